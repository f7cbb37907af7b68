"""Runs the agents of each recipe of examples/engines on a job of thirty files, as the engine would: its command line, its
environment, its credentials, its way of stopping, and its judgement of what has ended. In a network namespace of its own.
    run.py AGENT DAYFLY [ENGINE…]"""

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import recipes
from doubles import ECS, METADATA, POD_IDENTITY, Credentials

JOB = "s3://my-bucket/my-job"
FILES, AGENTS = 30, 4
# For what takes seconds on a busy machine.
PATIENCE = 120


class World:
    """An S3 endpoint with one bucket, and dayfly to talk to it."""

    def __init__(self, dayfly, folder):
        self.dayfly, self.folder = dayfly, folder
        bucket = folder / "buckets/my-bucket"
        bucket.mkdir(parents=True)
        self.job = bucket / "my-job"
        self.server = subprocess.Popen([dayfly, "serve", folder / "buckets", "--port", "0"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"}, text=True)
        self.environment = {}
        for line in self.server.stdout:
            if line.startswith("export "):
                name, value = line.removeprefix("export ").strip().split("=", 1)
                self.environment[name] = value
            if line.startswith("# then"):
                break
        self.keys = self.environment["AWS_ACCESS_KEY_ID"], self.environment["AWS_SECRET_ACCESS_KEY"]
        self.url = self.environment["AWS_ENDPOINT_URL"]

    def run(self, *words, code=0):
        environment = self.environment | {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "AWS_REGION": "us-east-1"}
        ran = subprocess.run([self.dayfly, *words], env=environment, capture_output=True, text=True, timeout=PATIENCE)
        assert ran.returncode == code, f"dayfly {words} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def watch(self):
        """`dayfly watch`, its lines in a file."""
        environment = self.environment | {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "AWS_REGION": "us-east-1"}
        lines = self.folder.joinpath("watch.log").open("wb")
        return subprocess.Popen([self.dayfly, "watch", JOB], env=environment, stdout=lines, stderr=lines)

    def agents(self):
        """The agents' records, by name."""
        status = json.loads(self.run("status", JOB, "--json"))
        return {agent["agent"].rsplit("-", 1)[0]: agent for agent in sorted(status["agents"], key=lambda a: a["born"])}


def until(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited for {PATIENCE} s, and still not: {what}"
        time.sleep(0.2)


def ended(process):
    return process.wait(timeout=PATIENCE)


def play(engine, agent, dayfly):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dayfly-engines-", ignore_cleanup_errors=True)))
        world = World(dayfly, folder)
        stack.callback(world.server.wait)
        stack.callback(world.server.kill)
        credentials = DOUBLES
        credentials.keys, credentials.asked = world.keys, []
        recipe = engine(agent, credentials, folder)
        more = {"AWS_ENDPOINT_URL_S3": world.url, "AWS_ENDPOINT_URL_STS": credentials.sts, "DAYFLY_SLOTS": "2"}
        if recipe.name == "slurm":
            del more["DAYFLY_SLOTS"]

        def start(index):
            process = recipe.start(index, more)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        try:
            scenes(recipe, world, start, stack)
        except BaseException:
            for log in sorted(folder.glob("*.log")):
                print(f"---- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
            raise
        assert "metadata" not in credentials.asked, "somebody asked for an instance's metadata, and there is none"
        missing = recipe.sources() - set(credentials.asked)
        assert not missing, f"nobody asked {missing} for credentials"


def scenes(recipe, world, start, stack):
    # Tasks wait at a gate, so that who is killed has something in hand.
    inputs, gate = world.folder / "inputs", world.folder / "gate"
    inputs.mkdir()
    for n in range(FILES):
        inputs.joinpath(f"text{n:02}").write_text(f"file {n}\n" * (n + 1))
    program = f"until test -e {gate}; do sleep 0.1; done; tr a-z A-Z < {{input}}"
    world.run("seed", JOB, "--inputs", str(inputs), "--lease-ttl", "3s", "--agents", str(AGENTS), "--shell", program)

    watch = world.watch()
    stack.callback(watch.wait)
    stack.callback(watch.kill)
    agents = {index: start(index) for index in range(AGENTS)}
    places = [recipe.words(index) for index in range(AGENTS)]
    names = [recipe.agent_name(index) for index in range(AGENTS)]

    def at_work(wanted):
        for index, process in agents.items():
            code = process.poll()
            assert code is None, f"agent {index} ended with {code} before its time"
        records = world.agents()
        return all(records.get(name, {}).get("running") for name in wanted)

    until("all agents have tasks in hand", lambda: at_work(names))
    records = world.agents()
    for name, place in zip(names, places):
        engine, _, host = place.rpartition(", ")
        assert (records[name]["engine"], records[name]["host"]) == (engine, host), records[name]
        assert engine in world.run("status", JOB), f"status does not say {engine}"

    asked = recipe.credentials.asked
    until("credentials are renewed", lambda: all(asked.count(source) > AGENTS for source in recipe.sources()))
    killed, stopped = 1, 2

    # What it runs stands in a lease from the next heartbeat on; before that a takeover knows of no attempt.
    def announced():
        leases = [json.loads(path.read_text()) for path in world.job.joinpath("semaphores").iterdir()]
        return any(lease["agent"].startswith(names[killed]) and lease.get("running") for lease in leases)

    until("a lease says what the one runs that is killed", announced)
    recipe.kill(agents[killed])
    recipe.stop(agents[stopped])
    # One whose tasks are stopped at once is gone soon.
    until("the stopped agent says so", lambda: world.agents()[names[stopped]]["state"] in ("draining", "ended"))
    code = ended(agents[killed])
    assert recipe.verdict(code, 1) == recipes.AGAIN, f"a killed agent ({code}) is to be started again"
    agents[killed] = start(killed)
    gate.touch()
    code = ended(agents[stopped])
    assert code == 4, f"an agent that was told to stop ended with {code}"
    assert recipe.verdict(code, 1) == recipes.AGAIN, "an agent that was told to stop is to be started again"
    agents[stopped] = start(stopped)
    for index, process in agents.items():
        code = ended(process)
        assert recipe.verdict(code, recipe.started[index]) == recipes.DONE, f"agent {index} ended with {code}"
    assert ended(watch) == 0
    watched = world.folder.joinpath("watch.log").read_text()
    for place in places:
        assert f"on {place}" in watched, f"watch does not say {place}:\n{watched}"
    look(world, names[killed])
    cancelled(recipe, world, start)


def look(world, killed):
    """The job is over, and right; what the killed agent had in hand was done by another."""
    for n in range(FILES):
        text = (f"file {n}\n" * (n + 1)).upper()
        assert world.job.joinpath(f"out/text{n:02}").read_text() == text, f"text{n:02} is wrong"
    summary = json.loads(world.job.joinpath("summary.json").read_text())
    assert (summary["done"], summary["failed"]) == (FILES, 0), summary
    assert world.job.joinpath("tasklist.txt").read_text() == ""
    assert len(world.job.joinpath("completed.txt").read_text().splitlines()) == FILES
    left = [path for name in ("semaphores", "standby") for path in world.job.joinpath(name).rglob("*") if path.is_file()]
    assert not left, left
    results = [json.loads(path.read_text()) for path in world.job.joinpath("results").iterdir()]
    attempts = [(task["name"], attempt) for result in results for task in result["tasks"] for attempt in task["attempts"]]
    lost = {name for name, attempt in attempts if attempt["agent"].startswith(killed) and attempt["end"].startswith("vanished")}
    assert lost, "nothing was lost with the killed agent"
    told = world.run("describe", JOB, min(lost))
    assert "vanished" in told, told


def cancelled(recipe, world, start):
    """Started on a job that is over an agent ends well; on one that is cancelled or drains it ends, and is not tried again for the
    first."""
    assert recipe.verdict(ended(start(0)), 1) == recipes.DONE
    with world.job.joinpath("tasklist.txt").open("a") as more:
        more.write("text99\n")
    world.run("cancel", JOB, "--why", "a wrong list")
    code = ended(start(0))
    assert code == 5, f"an agent of a cancelled job ended with {code}"
    assert recipe.verdict(code, 1) == recipes.OVER, "a cancelled job's agents are not tried again"
    world.run("resume", JOB)
    world.run("drain", JOB)
    code = ended(start(0))
    assert code == 4, f"an agent of a job that drains ended with {code}"


if __name__ == "__main__":
    agent, dayfly, *wanted = sys.argv[1:]
    for address in (ECS, POD_IDENTITY, METADATA):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    kept = tempfile.TemporaryDirectory(prefix="dayfly-engines-")
    DOUBLES = Credentials(kept.name)
    for engine in recipes.ALL:
        if not wanted or engine.name in wanted:
            began = time.monotonic()
            play(engine, agent, dayfly)
            print(f"ok      {engine.name}: {FILES} files, {AGENTS} agents, one killed, one stopped, one job cancelled "
                  f"({time.monotonic() - began:.1f} s)", flush=True)
