"""Whole jobs on one server: dayfly beside s5cmd, boto3 with numpy, and the aws tool, on the same objects."""

import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import time

from processes import Server, resident

HERE = pathlib.Path(__file__).parent
KERNEL_BYTES = 1000


class Bench:
    """The programs, and where everything lies: in memory."""

    def __init__(self, agent, endpoint, venv, folder, load):
        self.agent, self.endpoint, self.venv, self.folder, self.load = agent, endpoint, pathlib.Path(venv), folder, load
        self.jobs = 0

    def tool(self, name):
        return str(self.venv / "bin" / name)

    def server(self):
        return Server(self.endpoint, self.folder / "server")

    def end(self, server):
        server.stop()
        shutil.rmtree(self.folder / "server")

    def fill(self, server, count, size):
        """Puts the inputs: through the server, so that it knows their checksums as it knows any object's."""
        files = self.folder / "files"
        files.mkdir()
        dice = random.Random(1)
        block = dice.randbytes(min(size, 64 << 20))
        for n in range(count):
            with open(files / f"in{n}.dat", "wb") as file:
                file.write(n.to_bytes(8, "big"))
                left = size - 8
                while left > 0:
                    left -= file.write(block[:left])
        (files / "kernel.dat").write_bytes(dice.randbytes(KERNEL_BYTES))
        (files / "tasklist.txt").write_text("".join(f"in{n}.dat\n" for n in range(count)))
        server.bucket("inputs")
        server.run(self.tool("s5cmd"), "--numworkers", "16", "cp", f"{files}/", "s3://inputs/")
        shutil.rmtree(files)

    def job(self, server, at_once, **settings):
        """Seeds a job on the inputs, in buckets of its own."""
        self.jobs += 1
        name = f"job{self.jobs}"
        job = server.bucket(name)
        record = {"schema": 1, "inputs": "s3://inputs/", "outputs": f"s3://{name}-out/", "agents": at_once}
        server.bucket(f"{name}-out")
        (job / "job.json").write_text(json.dumps({**record, **settings}))
        for file in ("kernel.dat", "tasklist.txt"):
            shutil.copy(server.folder / "inputs" / file, job / file)
        return name

    def drop(self, server, *names):
        for name in names:
            shutil.rmtree(server.folder / name, ignore_errors=True)

    def dayfly(self, server, at_once, name=None):
        name = name or self.job(server, at_once)
        work = self.folder / "work"
        run = server.run(self.agent, "--job", f"s3://{name}/", "--slots", at_once, "--work-dir", work, "--quiet", "--name", "bench")
        shutil.rmtree(work, ignore_errors=True)
        self.check(server, name)
        self.drop(server, name, f"{name}-out")
        return run

    def check(self, server, name):
        """All there, and one of them byte by byte."""
        names = (server.folder / "inputs" / "tasklist.txt").read_text().split()
        outputs = server.folder / f"{name}-out"
        found = sorted(entry.name for entry in os.scandir(outputs) if entry.is_file())
        if len(found) != len(names):
            raise SystemExit(f"error: {len(found)} outputs of {len(names)}; see {server.folder / name}")
        import numpy

        kernel = numpy.frombuffer((server.folder / "inputs" / "kernel.dat").read_bytes(), dtype=numpy.uint8)
        with open(server.folder / "inputs" / names[-1], "rb") as one, open(outputs / names[-1].replace("in", "out"), "rb") as two:
            at = 0
            while True:
                data, out = one.read(64_000_000), two.read(64_000_000)
                if len(data) != len(out):
                    raise SystemExit("error: an output has another length than its input")
                if not data:
                    return
                data = numpy.frombuffer(data, dtype=numpy.uint8)
                wanted = data ^ numpy.resize(numpy.roll(kernel, -(at % len(kernel))), data.shape)
                if wanted.tobytes() != out:
                    raise SystemExit("error: an output is not its input XOR the kernel")
                at += len(data)

    def s5cmd(self, server, at_once, one_object=False):
        """Down and up again, one after the other, as a program of its kind has to."""
        local = self.folder / "local"
        local.mkdir()
        server.bucket("copy")
        workers = ["--numworkers", at_once]
        ways = ["--concurrency", at_once] if one_object else []
        down = server.run(self.tool("s5cmd"), *workers, "cp", *ways, "s3://inputs/in*", f"{local}/")
        up = server.run(self.tool("s5cmd"), *workers, "cp", *ways, f"{local}/", "s3://copy/")
        shutil.rmtree(local)
        self.drop(server, "copy")
        return down + up

    def seed_job(self, server):
        server.bucket("seed-out")
        run = server.run(self.tool("python"), HERE / "seed_job.py", "inputs", "seed-out")
        self.drop(server, "seed-out")
        return run

    def aws(self, server):
        local = self.folder / "local"
        local.mkdir()
        server.bucket("copy")
        aws = self.tool("aws")
        down = server.run(aws, "s3", "cp", "--quiet", "--recursive", "s3://inputs/", local)
        up = server.run(aws, "s3", "cp", "--quiet", "--recursive", local, "s3://copy/")
        shutil.rmtree(local)
        self.drop(server, "copy")
        return down + up


def pairs(rounds, ours, theirs):
    """Runs both in turn, the order changing."""
    one, two = [], []
    for n in range(rounds):
        for first in ((ours, one), (theirs, two))[:: 1 if n % 2 == 0 else -1]:
            first[1].append(first[0]())
    return one, two


def middle(runs):
    return sorted(runs, key=lambda run: run.wall)[len(runs) // 2]


def ratio(ours, theirs, what="wall"):
    return statistics.median(getattr(a, what) / getattr(b, what) for a, b in zip(ours, theirs))


def many(bench, count, size, at_once, rounds, others):
    """A job of many objects."""
    server = bench.server()
    try:
        bench.fill(server, count, size)
        ours, theirs = pairs(rounds, lambda: bench.dayfly(server, at_once), lambda: bench.s5cmd(server, at_once))
        figures = {"count": count, "size": size, "at_once": at_once, "dayfly": middle(ours), "s5cmd": middle(theirs),
                   "wall": ratio(ours, theirs), "cpu": ratio(ours, theirs, "cpu"), "rss": max(run.rss for run in ours)}
        if others:
            figures["boto3"] = bench.seed_job(server)
            figures["aws"] = bench.aws(server)
        return figures
    finally:
        bench.end(server)


def one(bench, size, at_once, rounds):
    """A job of one large object."""
    server = bench.server()
    try:
        bench.fill(server, 1, size)
        ours, theirs = pairs(rounds, lambda: bench.dayfly(server, at_once), lambda: bench.s5cmd(server, at_once, True))
        return {"count": 1, "size": size, "at_once": at_once, "dayfly": middle(ours), "s5cmd": middle(theirs),
                "wall": ratio(ours, theirs), "cpu": ratio(ours, theirs, "cpu"), "rss": max(run.rss for run in ours)}
    finally:
        bench.end(server)


def alone(bench, seconds):
    """What the server does for a client that costs next to nothing (load.c), at eight connections."""
    figures = {}
    for name, method, size in (("down", "GET", 2_000_000), ("up", "PUT", 2_000_000), ("requests", "GET", 1000)):
        server = bench.server()
        try:
            bench.fill(server, 16, size)
            paths = server.run(bench.tool("python"), HERE / "sign.py", method, 16, said=True).said
            run = server.run(bench.load, server.url.rpartition(":")[2], 8, seconds, method, size, said=True, asks=paths)
            requests, moved, took, cpu = map(float, run.said.split())
            figures[name] = {"gbps": moved / took / 1e9, "per_second": requests / took, "client": cpu / took, "server": run.server_cpu / took}
        finally:
            bench.end(server)
    return figures


def footprint(bench, rounds):
    """The file's size, memory while idle, and the time from exec to the first claim's arrival."""
    server = bench.server()
    try:
        bench.fill(server, 1, 100_000)
        name = bench.job(server, 1)
        work = bench.folder / "work"
        command = [bench.agent, "--job", f"s3://{name}/", "--work-dir", str(work), "--quiet", "--name", "bench", "--linger"]
        agent = subprocess.Popen(command, env=server.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        summary = server.folder / name / "summary.json"
        wait_for(summary.exists, 30)
        time.sleep(2)
        idle, peak = resident(agent.pid), resident(agent.pid, "VmHWM")
        agent.terminate()
        agent.wait()
        checked = (server.folder / name / "store.json").read_bytes()
        starts = []
        for _ in range(rounds):
            name = bench.job(server, 1)
            # Whoever seeds a job has noted already that the store keeps its conditions.
            (server.folder / name / "store.json").write_bytes(checked)
            first = server.folder / name / "semaphores"
            begun = time.monotonic()
            agent = subprocess.Popen([str(w) for w in command[:2]] + [f"s3://{name}/", *command[3:-1]], env=server.environment(),
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for(first.exists, 30)
            starts.append(time.monotonic() - begun)
            agent.wait()
        shutil.rmtree(work, ignore_errors=True)
        return {"bytes": os.path.getsize(bench.agent), "idle": idle, "peak": peak, "start": statistics.median(starts), "starts": sorted(starts)}
    finally:
        bench.end(server)


def wait_for(there, seconds):
    until = time.monotonic() + seconds
    while not there():
        if time.monotonic() > until:
            raise SystemExit("error: the agent did not do what it was started for")
        time.sleep(0.0002)
