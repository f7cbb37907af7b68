"""Holds the recipes of examples/engines against the engines' own schemas: Kubernetes' OpenAPI documents, AWS's models of
Batch and S3 (botocore's), the Amazon States Language. Of each a recipe with a slip in it is refused, too.
    schemas.py [FOLDER-OF-NODE-MODULES]"""

import copy
import json
import re
import subprocess
import sys
import tempfile

import botocore.session
import kubernetes_validate
import yaml
from botocore.validate import ParamValidator

from recipes import RECIPES

# The first with all that the recipe uses switched on by itself, two since, and the newest that the package has.
VERSIONS = ["1.29", "1.31", "1.33", kubernetes_validate.latest_version()]


def refused(check, document, change):
    """Whether a copy with a slip in it is refused."""
    wrong = copy.deepcopy(document)
    change(wrong)
    try:
        check(wrong)
    except (AssertionError, kubernetes_validate.ValidationError):
        return True
    return False


def kubernetes():
    documents = list(yaml.safe_load_all((RECIPES / "kubernetes/job.yaml").read_text()))
    for version in VERSIONS:
        for document in documents:
            kubernetes_validate.validate(document, version, strict=True)
    job = next(d for d in documents if d["kind"] == "Job")
    pod = job["spec"]["template"]["spec"]

    def check(document):
        kubernetes_validate.validate(document, VERSIONS[0], strict=True)

    assert refused(check, job, lambda d: d["spec"].update(backoffLimitPerIdx=1))
    assert refused(check, job, lambda d: d["spec"].update(completions="20"))
    assert refused(check, job, lambda d: d["spec"]["template"]["spec"]["containers"][0].pop("name"))
    # Rules that the API server checks beyond its schema (API reference, "JobSpec", "PodFailurePolicy").
    assert pod["restartPolicy"] == "Never", "podFailurePolicy wants it"
    names = [container["name"] for container in pod["containers"]]
    rules = job["spec"]["podFailurePolicy"]["rules"]
    # The first that fits counts: whatever code an evicted agent ends with, it is not held against its index.
    assert (rules[0]["action"], rules[0]["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    for rule in rules:
        codes = rule.get("onExitCodes")
        assert codes is None or (codes["containerName"] in names and codes["values"] == sorted(set(codes["values"])))
    mounts = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    # What the agent needs between the signal and its end: its drain grace, and what comes after (docs/engines.md).
    words = pod["containers"][0]["args"]
    assert pod["terminationGracePeriodSeconds"] >= int(words[words.index("--drain-grace") + 1]) + 35
    print(f"ok      Kubernetes' schemas of {', '.join(VERSIONS)} take the job, and refuse slips")


def against(service, operation, document):
    """By botocore's model, with enumerations, which botocore itself leaves to the service."""
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    report = ParamValidator().validate(document, shape)
    assert not report.has_errors(), report.generate_report()
    enumerations(document, shape, operation)


def enumerations(value, shape, path):
    if shape.type_name == "structure":
        for name, inner in value.items():
            enumerations(inner, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            enumerations(inner, shape.member, path)
    elif shape.type_name == "string" and shape.enum:
        assert value in shape.enum, f"{path}: {value} is none of {shape.enum}"


def batch():
    definition = json.loads((RECIPES / "batch/job-definition.json").read_text())
    submission = json.loads((RECIPES / "batch/submit-job.json").read_text())
    against("batch", "RegisterJobDefinition", definition)
    against("batch", "SubmitJob", submission)

    def check(document):
        against("batch", "RegisterJobDefinition", document)

    assert refused(check, definition, lambda d: d["containerProperties"].update(jobRole="x"))
    assert refused(check, definition, lambda d: d["retryStrategy"]["evaluateOnExit"][0].update(action="AGAIN"))
    assert refused(check, definition, lambda d: d["timeout"].update(attemptDurationSeconds="43200"))
    # Rules beyond the model (API reference, "EvaluateOnExit", "RetryStrategy", "ResourceRequirement" for Fargate).
    assert 1 <= definition["retryStrategy"]["attempts"] <= 10 and len(definition["retryStrategy"]["evaluateOnExit"]) <= 5
    resources = {r["type"]: float(r["value"]) for r in definition["containerProperties"]["resourceRequirements"]}
    assert resources["VCPU"] == 1 and resources["MEMORY"] in range(2048, 8193, 1024)
    assert 2 <= submission["arrayProperties"]["size"] <= 10_000
    words = definition["containerProperties"]["command"]
    named = {word.removeprefix("Ref::") for word in words if word.startswith("Ref::")}
    assert named == set(definition["parameters"]) >= set(submission["parameters"])
    # The agent ends by itself before Batch ends it.
    assert int(words[words.index("--max-lifetime") + 1]) < definition["timeout"]["attemptDurationSeconds"]
    print("ok      AWS's model of Batch takes the definition and the submission, and refuses slips")


def slurm():
    script = RECIPES / "slurm/agents.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    subprocess.run(["shellcheck", script, RECIPES / "image/build"], check=True)
    text = script.read_text()
    # Directives count up to the first command only (sbatch(1)).
    first = re.search(r"^[^#\n]", text, re.M).start()
    assert "#SBATCH" not in text[first:], "a directive after the first command is none"
    print("ok      bash and shellcheck take the script")


def step_functions(modules):
    path = RECIPES / "step-functions/state-machine.asl.json"
    machine = json.loads(path.read_text())
    validator = f"{modules}/.bin/asl-validator"

    def check(document):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(document, file)
            file.flush()
            ran = subprocess.run([validator, "--json-path", file.name], capture_output=True, text=True)
            assert ran.returncode == 0, ran.stdout + ran.stderr

    check(machine)
    assert refused(check, machine, lambda d: d["States"].pop(d["StartAt"]))
    assert refused(check, machine, lambda d: d["States"]["Agents"].update(Nxt="x"))
    print("ok      the schema of the Amazon States Language takes the state machine, and refuses slips")


def arguments():
    """What the state machine hands to AWS, by AWS's models. Names have a capital there; what comes of the input is a text, or a
    number for a size."""
    machine = json.loads((RECIPES / "step-functions/state-machine.asl.json").read_text())

    def filled(value, small):
        made = {}
        for name, inner in value.items():
            plain = name.removesuffix(".$")
            plain = plain[:1].lower() + plain[1:] if small else plain
            if isinstance(inner, dict):
                # The parameters of a job are named by whoever defined it.
                made[plain] = filled(inner, small and name != "Parameters")
            else:
                made[plain] = (2 if plain == "size" else "text") if name.endswith(".$") else inner
        return made

    calls = {"arn:aws:states:::batch:submitJob.sync": ("batch", "SubmitJob", True),
             "arn:aws:states:::aws-sdk:s3:headObject": ("s3", "HeadObject", False),
             "arn:aws:states:::aws-sdk:s3:getObject": ("s3", "GetObject", False)}
    tasks = [state for state in machine["States"].values() if state["Type"] == "Task"]
    for state in tasks:
        service, operation, small = calls[state["Resource"]]
        against(service, operation, filled(state["Parameters"], small))
    assert len(tasks) == 3
    print("ok      AWS's models of Batch and S3 take what the state machine hands them")


if __name__ == "__main__":
    kubernetes()
    batch()
    slurm()
    arguments()
    if len(sys.argv) > 1:
        step_functions(sys.argv[1])
    else:
        print("SKIPPED: without npm nobody checks the state machine's own language")
