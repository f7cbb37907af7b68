"""The recipes of examples/engines, read as their engines read them: what is started, with which environment, and what becomes
of an agent that has ended. Nothing of a recipe is typed here again."""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess

import yaml

from doubles import ECS, POD_IDENTITY

RECIPES = pathlib.Path(__file__).parents[2] / "examples/engines"
# What the agent's image sets (examples/engines/image/Containerfile), and every process has.
IMAGE = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
DONE, AGAIN, OVER = "done", "again", "over"


def descendants(pid):
    """The processes below one, as /proc has them."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


class Recipe:
    """One engine's. `started` counts how often each index was."""

    def __init__(self, agent, credentials, folder):
        self.agent, self.credentials, self.folder = agent, credentials, pathlib.Path(folder)
        self.started = {}

    def start(self, index, more):
        attempt = self.started[index] = self.started.get(index, 0) + 1
        words, environment = self.command(index, attempt)
        environment |= more
        name = self.host(index)
        if name:
            words = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name, *words]
        log = (self.folder / f"{index}-{attempt}.log").open("wb")
        return subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)

    def host(self, index):
        """The host's name, where the engine gives one."""
        return None

    def stop(self, process):
        """As the engine does when it wants an agent to end in time."""
        process.send_signal(signal.SIGTERM)

    def kill(self, process):
        """As a kernel short of memory does."""
        process.kill()


class Kubernetes(Recipe):
    """Indexed Jobs: each pod's environment, restarts by podFailurePolicy (Kubernetes documentation, "Jobs")."""

    name = "kubernetes"

    def __init__(self, *parts):
        super().__init__(*parts)
        documents = list(yaml.safe_load_all((RECIPES / "kubernetes/job.yaml").read_text()))
        self.account, self.job = ({d["kind"]: d for d in documents}[kind] for kind in ("ServiceAccount", "Job"))
        self.pod = self.job["spec"]["template"]["spec"]
        [self.container] = self.pod["containers"]
        assert self.pod["serviceAccountName"] == self.account["metadata"]["name"]
        self.credentials.role = self.account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
        self.grace = self.pod["terminationGracePeriodSeconds"]

    def host(self, index):
        return f"{self.job['metadata']['name']}-{index}"

    def command(self, index, attempt):
        fields = {"spec.nodeName": "node-7.internal"}
        given = {e["name"]: e["value"] if "value" in e else fields[e["valueFrom"]["fieldRef"]["fieldPath"]]
                 for e in self.container["env"]}
        engine = {"KUBERNETES_SERVICE_HOST": "10.100.0.1", "KUBERNETES_SERVICE_PORT": "443", "HOSTNAME": self.host(index),
                  "KUBERNETES_PORT": "tcp://10.100.0.1:443", "JOB_COMPLETION_INDEX": str(index)}
        # What the two webhooks of EKS put into a pod; each agent has one of them.
        web = {"AWS_STS_REGIONAL_ENDPOINTS": "regional", "AWS_DEFAULT_REGION": given["AWS_REGION"],
               "AWS_ROLE_ARN": self.credentials.role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(self.credentials.web_token)}
        pod = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{POD_IDENTITY}/v1/credentials",
               "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.credentials.pod_token)}
        tmp = self.folder / f"pod-{index}-{attempt}"
        tmp.mkdir(exist_ok=True)
        identity = pod if index % 2 else web
        return [self.agent, *self.container["args"]], IMAGE | {"TMPDIR": str(tmp)} | engine | identity | given

    def sources(self):
        return {"sts", "pod identity"}

    def words(self, index):
        return f"kubernetes index {index} on node-7.internal, {self.host(index)}"

    def agent_name(self, index):
        return self.host(index)

    def verdict(self, code, attempt):
        if code == 0:
            return DONE
        # A killed process has the code that a shell would give it.
        code = 128 - code if code < 0 else code
        for rule in self.job["spec"]["podFailurePolicy"]["rules"]:
            codes = rule.get("onExitCodes")
            if codes and codes["containerName"] == self.container["name"]:
                if (code in codes["values"]) == (codes["operator"] == "In"):
                    return {"FailJob": OVER, "FailIndex": OVER, "Ignore": AGAIN, "Count": AGAIN}[rule["action"]]
        return AGAIN if attempt <= self.job["spec"]["backoffLimitPerIndex"] else OVER


class Batch(Recipe):
    """Array jobs on Fargate (Batch user guide, "Array jobs", "Job environment variables", "Automated job retries")."""

    name = "batch"

    def __init__(self, *parts):
        super().__init__(*parts)
        self.definition = json.loads((RECIPES / "batch/job-definition.json").read_text())
        self.submission = json.loads((RECIPES / "batch/submit-job.json").read_text())
        assert self.submission["jobDefinition"] == self.definition["jobDefinitionName"]
        self.credentials.role = self.definition["containerProperties"]["jobRoleArn"]
        # What Fargate gives where the task definition says nothing, as here.
        self.grace = 30
        self.id = "0a1b2c3d-1111-2222-3333-444455556666"

    def command(self, index, attempt):
        parameters = self.definition["parameters"] | self.submission["parameters"]
        container = self.definition["containerProperties"]
        words = [parameters[word.removeprefix("Ref::")] if word.startswith("Ref::") else word for word in container["command"]]
        given = {e["name"]: e["value"] for e in container["environment"]}
        engine = {"AWS_BATCH_JOB_ID": f"{self.id}:{index}", "AWS_BATCH_JOB_ARRAY_INDEX": str(index),
                  "AWS_BATCH_JOB_ARRAY_SIZE": str(self.submission["arrayProperties"]["size"]),
                  "AWS_BATCH_JOB_ATTEMPT": str(attempt), "AWS_BATCH_JQ_NAME": self.submission["jobQueue"],
                  "AWS_BATCH_CE_NAME": "my-environment", "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE", "AWS_DEFAULT_REGION": "us-east-1",
                  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": self.credentials.ecs_path,
                  "ECS_CONTAINER_METADATA_URI_V4": f"http://{ECS}/v4/0a1b2c3d", "HOSTNAME": f"ip-10-0-0-{index}.ec2.internal"}
        tmp = self.folder / f"container-{index}-{attempt}"
        tmp.mkdir(exist_ok=True)
        return [self.agent, *words], IMAGE | {"TMPDIR": str(tmp)} | engine | given

    def sources(self):
        return {"ecs"}

    def words(self, index):
        again = ", try 2" if self.started[index] > 1 else ""
        return f"batch {self.id}:{index}{again}, {os.uname().nodename}"

    def agent_name(self, index):
        return f"batch-{self.id[:8]}-{index}"

    def verdict(self, code, attempt):
        if code == 0:
            return DONE
        strategy = self.definition["retryStrategy"]
        if attempt >= strategy["attempts"]:
            return OVER
        code = 128 - code if code < 0 else code
        for rule in strategy["evaluateOnExit"]:
            exits = re.fullmatch(rule.get("onExitCode", "*").replace("*", ".*"), str(code))
            reasons = re.fullmatch(rule.get("onReason", "*").replace("*", ".*"), "Essential container in task exited")
            if exits and reasons:
                return {"EXIT": OVER, "RETRY": AGAIN}[rule["action"]]
        return AGAIN


class Slurm(Recipe):
    """Arrays (sbatch(1)); what is queued again is what the script asks `scontrol` for, played by one that notes it."""

    name = "slurm"

    def __init__(self, *parts):
        super().__init__(*parts)
        self.script = RECIPES / "slurm/agents.sbatch"
        self.options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", self.script.read_text(), re.M))
        assert self.options["signal"].startswith("B:USR1@") and "requeue" in self.options
        self.grace = int(self.options["signal"].split("@")[1])
        home = self.folder / "home/.aws"
        home.mkdir(parents=True)
        access, secret = self.credentials.keys
        home.joinpath("credentials").write_text(f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
        self.bin, self.queue = self.folder / "bin", self.folder / "queue"
        self.bin.mkdir()
        self.bin.joinpath("scontrol").write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(self.queue))}\n')
        self.bin.joinpath("scontrol").chmod(0o755)
        self.bin.joinpath("dayfly-agent").symlink_to(self.agent)
        self.queue.touch()

    def command(self, index, attempt):
        first, last = self.options["array"].split("-")
        engine = {"SLURM_JOB_ID": str(1235 + index), "SLURM_ARRAY_JOB_ID": "1234", "SLURM_ARRAY_TASK_ID": str(index),
                  "SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_MAX": last, "SLURM_JOB_NAME": self.options["job-name"],
                  "SLURM_CPUS_PER_TASK": self.options["cpus-per-task"], "SLURMD_NODENAME": "node7"}
        if attempt > 1:
            engine["SLURM_RESTART_COUNT"] = str(attempt - 1)
        # sbatch hands on the environment of whoever submits.
        user = {"HOME": str(self.folder / "home"), "PATH": f"{self.bin}:/usr/bin:/bin", "AWS_REGION": "us-east-1"}
        return ["bash", str(self.script), "s3://my-bucket/my-job"], user | engine

    def sources(self):
        return set()

    def words(self, index):
        again = ", try 2" if self.started[index] > 1 else ""
        return f"slurm 1234_{index}{again}, {os.uname().nodename}"

    def agent_name(self, index):
        return f"slurm-1234_{index}"

    def stop(self, process):
        # --signal=B:USR1: to the script alone.
        process.send_signal(signal.SIGUSR1)

    def kill(self, process):
        [agent] = descendants(process.pid)
        os.kill(agent, signal.SIGKILL)

    def verdict(self, code, attempt):
        queued = self.queue.read_text()
        self.queue.write_text("")
        if queued:
            assert queued.startswith("requeue ") and 1235 <= int(queued.split()[1]) <= 1254, queued
            return AGAIN
        return DONE if code == 0 else OVER


ALL = [Kubernetes, Batch, Slurm]
