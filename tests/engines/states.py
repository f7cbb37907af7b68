"""Runs the state machine of examples/engines in moto, which carries the Amazon States Language out, over buckets in which
real agents have worked: a job that is over, one with a task given up, one that nobody finished. Moto's Batch runs nothing:
it notes what was submitted, and says that it succeeded.
    states.py AGENT DAYFLY"""

import contextlib
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}

import boto3  # noqa: E402
import botocore  # noqa: E402
import botocore.session  # noqa: E402
from moto import mock_aws  # noqa: E402
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import (  # noqa: E402
    StateTaskService,
)


from recipes import RECIPES  # noqa: E402
from run import PATIENCE, World  # noqa: E402


PREFIXES = ("done", "given-up", "open")
# What ends badly here ends so on purpose, and moto logs it at length.
logging.disable(logging.ERROR)


def complete_moto():
    """Names on their way to the services and back: Step Functions writes them with a capital, Batch does not. Moto has what it
    takes, and leaves the models to look them up in to whoever has them."""
    models = botocore.session.get_session()

    def operation(service, action):
        model = models.get_service_model(service)
        return model.operation_model(next(n for n in model.operation_names if botocore.xform_name(n) == action))

    def request(self, parameters, boto_service_name=None, service_action_name=None):
        service, action = boto_service_name or self._get_boto_service_name(), service_action_name or self._get_boto_service_action()
        self._to_boto_request(parameters, operation(service, action).input_shape)

    def response(self, response, boto_service_name=None, service_action_name=None):
        service, action = boto_service_name or self._get_boto_service_name(), service_action_name or self._get_boto_service_action()
        self._from_boto_response(response, operation(service, action).output_shape)

    StateTaskService._normalise_parameters = request
    StateTaskService._normalise_response = response


def work(agent, dayfly, folder):
    """Three jobs, and what agents made of them."""
    world = World(dayfly, folder)
    with contextlib.ExitStack() as stack:
        stack.callback(world.server.wait)
        stack.callback(world.server.kill)
        inputs = folder / "inputs"
        inputs.mkdir()
        for name in ("good", "bad"):
            inputs.joinpath(name).write_text(name)
        for prefix, program in (("done", "cat {input}"), ("given-up", "grep good {input}"), ("open", "cat {input}")):
            job = f"s3://my-bucket/{prefix}"
            world.run("seed", job, "--inputs", str(inputs), "--max-attempts", "1", "--shell", program)
            if prefix != "open":
                environment = world.environment | {"PATH": "/usr/bin:/bin", "TMPDIR": str(folder), "AWS_REGION": "us-east-1"}
                subprocess.run([agent, "--job", job, "--quiet"], env=environment, check=True, timeout=PATIENCE)
    return folder / "buckets/my-bucket"


def execute(machine, prefix):
    states = boto3.client("stepfunctions")
    given = json.dumps({"bucket": "my-bucket", "prefix": prefix, "agents": 20})
    arn = states.start_execution(stateMachineArn=machine, name=f"run-of-{prefix}", input=given)["executionArn"]
    end = time.monotonic() + PATIENCE
    while (told := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < end, f"the execution of {prefix} does not end"
        time.sleep(0.2)
    return told


def surroundings():
    """Queue and definition, with all that moto wants of a Batch."""
    role = boto3.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    batch = boto3.client("batch")
    environment = batch.create_compute_environment(computeEnvironmentName="machines", type="UNMANAGED", serviceRole=role)
    order = [{"order": 1, "computeEnvironment": environment["computeEnvironmentArn"]}]
    batch.create_job_queue(jobQueueName="my-queue", state="ENABLED", priority=1, computeEnvironmentOrder=order)
    batch.register_job_definition(**json.loads((RECIPES / "batch/job-definition.json").read_text()))
    return role


def main(agent, dayfly):
    with tempfile.TemporaryDirectory(prefix="dayfly-states-", ignore_cleanup_errors=True) as folder:
        complete_moto()
        bucket = work(agent, dayfly, pathlib.Path(folder))
        with mock_aws(config={"stepfunctions": {"execute_state_machine": True}, "batch": {"use_docker": False}}):
            s3 = boto3.client("s3")
            s3.create_bucket(Bucket="my-bucket")
            for path in bucket.rglob("*"):
                if path.is_file() and ".dayfly" not in path.parts:
                    s3.put_object(Bucket="my-bucket", Key=str(path.relative_to(bucket)), Body=path.read_bytes())
            role = surroundings()
            definition = (RECIPES / "step-functions/state-machine.asl.json").read_text()
            states = boto3.client("stepfunctions")
            machine = states.create_state_machine(name="dayfly", definition=definition, roleArn=role)["stateMachineArn"]
            told = execute(machine, "done")
            assert told["status"] == "SUCCEEDED", told
            assert json.loads(told["output"])["done"] == 2, told
            for prefix, error in (("given-up", "TasksGivenUp"), ("open", "JobNotOver")):
                told = execute(machine, prefix)
                assert (told["status"], told.get("error")) == ("FAILED", error), told
            submitted = [job["jobName"] for job in boto3.client("batch").list_jobs(jobQueue="my-queue")["jobSummaryList"]]
            # Each a parent and its twenty children.
            assert {name: submitted.count(name) for name in submitted} == {f"dayfly-run-of-{p}": 21 for p in PREFIXES}, submitted
    print("ok      the state machine, carried out by moto: done, tasks given up, not over")


if __name__ == "__main__":
    main(*sys.argv[1:])
