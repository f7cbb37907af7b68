"""Systems Manager: Run Command that runs its command, sessions, and parameters that moto lacks (Systems Manager API
reference)."""

import subprocess
import tempfile
import threading
import uuid

from .wire import Refusal

# GetCommandInvocation, "StandardOutputContent": the first 24,000 characters.
OUTPUT_MAX = 24_000
# A test's command that hangs is ended after this long (seconds).
LONGEST = 60


class Commands:
    """Instances that have registered, and commands that were sent to them."""

    def __init__(self):
        self.registered, self.sent, self.parameters = {}, {}, {}

    def register(self, machine, region):
        """The agent of Systems Manager on a machine comes up. A test says when."""
        self.registered[machine] = region

    def send(self, region, key, asked):
        if asked.get("DocumentName") not in ("AWS-RunShellScript", "arn:aws:ssm:::document/AWS-RunShellScript"):
            raise Refusal("InvalidDocument", "The specified SSM document doesn't exist.")
        machines = asked.get("InstanceIds", [])
        for machine in machines:
            if machine not in self.registered:
                raise Refusal(
                    "InvalidInstanceId", f"Instances [[{machine}]] not in a valid state for account 123456789012"
                )
        command = str(uuid.uuid4())
        script = "\n".join(asked.get("Parameters", {}).get("commands", []))
        for machine in machines:
            state = {"Status": "Pending", "ResponseCode": -1, "StandardOutputContent": "", "StandardErrorContent": ""}
            self.sent[command, machine] = state
            threading.Thread(target=_run, args=(state, script), daemon=True).start()
        facts = {
            "CommandId": command,
            "DocumentName": asked["DocumentName"],
            "InstanceIds": machines,
            "Status": "Pending",
        }
        return {
            "Command": {
                **facts,
                "StatusDetails": "Pending",
                "TargetCount": len(machines),
                "Parameters": asked.get("Parameters", {}),
            }
        }

    def invocation(self, region, key, asked):
        command, machine = asked.get("CommandId"), asked.get("InstanceId")
        if (command, machine) not in self.sent:
            raise Refusal("InvocationDoesNotExist", "")
        state = self.sent[command, machine]
        return {
            "CommandId": command,
            "InstanceId": machine,
            "DocumentName": "AWS-RunShellScript",
            "StatusDetails": state["Status"],
            **state,
        }

    def information(self, region, key, asked):
        known = [m for m, where in self.registered.items() if where == region]
        for wanted in asked.get("Filters", []) + asked.get("InstanceInformationFilterList", []):
            name, values = wanted.get("Key") or wanted.get("key"), wanted.get("Values") or wanted.get("valueSet") or []
            if name == "InstanceIds":
                known = [m for m in known if m in values]
        return {
            "InstanceInformationList": [
                {"InstanceId": m, "PingStatus": "Online", "PlatformType": "Linux", "ResourceType": "EC2Instance"}
                for m in known
            ]
        }

    def session(self, region, key, asked):
        if asked.get("Target") not in self.registered:
            raise Refusal("TargetNotConnected", f"{asked.get('Target')} is not connected.")
        session = f"test-{uuid.uuid4().hex[:17]}"
        return {
            "SessionId": session,
            "TokenValue": "a token of these tests",
            "StreamUrl": f"wss://ssmmessages.{region}.amazonaws.com/v1/data-channel/{session}",
        }

    def parameter(self, region, key, asked):
        """A public parameter that a test set; None leaves it to moto."""
        value = self.parameters.get(asked.get("Name"))
        if value is None:
            return None
        return {
            "Parameter": {
                "Name": asked["Name"],
                "Type": "String",
                "Value": value,
                "Version": 1,
                "DataType": "aws:ec2:image",
            }
        }


def _run(state, script):
    state["Status"] = "InProgress"
    with tempfile.TemporaryDirectory(prefix="dayfly-command-") as folder:
        try:
            done = subprocess.run(
                ["sh", "-c", script],
                cwd=folder,
                capture_output=True,
                timeout=LONGEST,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            code, out, err = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            code, out, err = 137, late.stdout or b"", late.stderr or b""
    state["StandardOutputContent"] = out.decode("utf-8", "replace")[:OUTPUT_MAX]
    state["StandardErrorContent"] = err.decode("utf-8", "replace")[:8000]
    state["ResponseCode"] = code
    state["Status"] = "Success" if code == 0 else "Failed"
