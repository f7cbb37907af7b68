"""Holds a component document against what EC2 Image Builder's user guide says of its schema ("Use the AWSTOE component
document framework"), then carries out its phases in a root: the download is a copy, commands run in a chroot.

    check.py COMPONENT ROOT VERSION
"""

import re
import shutil
import subprocess
import sys

import yaml

# Of "Action modules supported by AWSTOE component manager": those that are used here, with what each step's inputs need.
ACTIONS = {"ExecuteBash": dict, "S3Download": list}
PHASES = {"build", "validate", "test"}

path, root, version = sys.argv[1:]
with open(path) as file:
    component = yaml.safe_load(file)

assert set(component) <= {"name", "description", "schemaVersion", "parameters", "constants", "phases"}, set(component)
assert component["schemaVersion"] == 1.0
values = {"Bundle": "s3://bucket/bundle.tar.gz", "Version": version}
declared = set()
for parameter in component["parameters"]:
    [(name, facts)] = parameter.items()
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,126}", name), name
    assert facts["type"] == "string" and set(facts) <= {"type", "default", "description", "allowedValues"}, facts
    declared.add(name)
used = set(re.findall(r"{{\s*(\w+)\s*}}", str(component["phases"])))
assert used == declared == set(values), (used, declared)


def filled(text):
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: values[found[1]], text)


seen = []
for phase in component["phases"]:
    assert phase["name"] in PHASES, phase["name"]
    seen.append(phase["name"])
    names = [step["name"] for step in phase["steps"]]
    assert len(names) == len(set(names)), names
    for step in phase["steps"]:
        assert set(step) <= {"name", "action", "timeoutSeconds", "onFailure", "maxAttempts", "inputs"}, step
        assert isinstance(step["inputs"], ACTIONS[step["action"]]), step
        assert step.get("onFailure", "Abort") in ("Abort", "Continue", "Ignore")
        if step["action"] == "S3Download":
            for copied in step["inputs"]:
                assert filled(copied["source"]) == values["Bundle"]
                shutil.copy(f"{root}/bundle.tar.gz", f"{root}{copied['destination']}")
        else:
            # The commands of a step are one script of bash.
            script = "\n".join(["set -e", *(filled(command) for command in step["inputs"]["commands"])])
            subprocess.run(["chroot", root, "bash", "-c", script], check=True, stdout=subprocess.DEVNULL)
assert seen == ["build", "validate"], seen
