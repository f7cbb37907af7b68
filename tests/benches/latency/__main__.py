"""Whole jobs where every request takes a while, as on the way to S3: builds of the agent beside each other, in turn, on the same
inputs. What is printed is each run, then medians of the ratios to the first build.

    python tests/benches/latency --endpoint PROGRAM [--count N] [--size BYTES] [--ms MS] [--slots N] [--rounds N] NAME=AGENT…

PROGRAM is dayfly-test-endpoint; scripts/bench-data builds it. Nothing but Python is wanted."""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "data"))
from processes import Server  # noqa: E402


def run_one(server, agent, name, record, names, kernel, slots, work):
    """A job in buckets of its own, by one agent."""
    job, out = server.bucket(name), server.bucket(f"{name}-out")
    (job / "job.json").write_text(json.dumps(record))
    (job / "kernel.dat").write_bytes(kernel)
    (job / "tasklist.txt").write_text("".join(f"{each}\n" for each in names))
    own = ["--slots", slots] if slots else []
    run = server.run(agent, "--job", f"s3://{name}/", "--work-dir", work, "--quiet", "--name", "bench", *own)
    found = sum(1 for entry in os.scandir(out) if entry.is_file())
    if found != len(names):
        raise SystemExit(f"error: {found} outputs of {len(names)}")
    for place in (job, out, work):
        shutil.rmtree(place, ignore_errors=True)
    return run


def main():
    parser = argparse.ArgumentParser(prog="latency")
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--size", type=int, default=2_000_000)
    parser.add_argument("--ms", type=float, default=30)
    parser.add_argument("--slots", default="", help="default: the agent's own")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("agents", nargs="+", metavar="NAME=AGENT")
    options = parser.parse_args()
    builds = [each.split("=", 1) for each in options.agents]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dayfly-latency-", dir="/dev/shm"))
    server = Server(options.endpoint, folder / "server")
    port = server.url.rsplit(":", 1)[1]
    line = subprocess.Popen([sys.executable, HERE / "line.py", port, str(options.ms)], stdout=subprocess.PIPE, text=True)
    try:
        server.url = f"http://127.0.0.1:{line.stdout.readline().strip()}"
        block = random.Random(1).randbytes(options.size)
        names = [f"in{n}.dat" for n in range(options.count)]
        inputs = server.bucket("inputs")
        for n, name in enumerate(names):
            (inputs / name).write_bytes(n.to_bytes(8, "big") + block[8:])
        runs = {name: [] for name, _ in builds}
        for n in range(options.rounds):
            for name, agent in builds if n % 2 == 0 else builds[::-1]:
                job = f"job{n}-{name}"
                record = {"schema": 1, "inputs": "s3://inputs/", "outputs": f"s3://{job}-out/"}
                run = run_one(server, agent, job, record, names, block[:1000], options.slots, folder / "work")
                runs[name].append(run)
                print(f"{name}: {options.count / run.wall:.1f} tasks/s, {run.cpu:.2f} CPU s, {run.rss >> 20} MB, "
                      f"{run.billed / options.count:.3f} billed a task", flush=True)
        first = runs[builds[0][0]]
        for name, mine in runs.items():
            speed = statistics.median(b.wall / a.wall for a, b in zip(mine, first))
            print(f"{name}: {speed:.2f} times the tasks a second of {builds[0][0]}")
    finally:
        line.terminate()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


main()
