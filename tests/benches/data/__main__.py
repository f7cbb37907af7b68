"""`scripts/bench data`: measures, and writes docs/benchmarks.md."""

import argparse
import os
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import processes

processes.one_thread()

import jobs
import page
import report
import xor


def main():
    take = argparse.ArgumentParser(description=__doc__)
    take.add_argument("--agent", required=True)
    take.add_argument("--endpoint", required=True)
    take.add_argument("--xor", required=True, help="the loop's timer")
    take.add_argument("--loop", default="", help="the plain C loop's timer")
    take.add_argument("--venv", required=True)
    take.add_argument("--load", default="", help="the client that costs next to nothing")
    take.add_argument("--dayfly", required=True)
    take.add_argument("--lay-out", required=True, help="what lays out a job that is over")
    take.add_argument("--browser", default="", help="where playwright-core is")
    take.add_argument("--page", help="where the page goes; default: standard output")
    take.add_argument("--memory", default="/dev/shm", help="a folder in memory")
    take.add_argument("--small", action="store_true", help="everything, on little data")
    take.add_argument("--at-once", type=int, default=8, help="tasks and transfers at once")
    take.add_argument("--rounds", type=int, default=3, help="pairs of whole jobs")
    take.add_argument("--xor-rounds", type=int, default=21)
    take.add_argument("--only", choices=["xor", "many", "one", "small", "alone", "footprint", "report"], help="print this one's figures")
    given = take.parse_args()
    few = given.small
    folder = pathlib.Path(given.memory) / f"dayfly-bench-{os.getpid()}"
    bench = jobs.Bench(given.agent, given.endpoint, given.venv, folder, given.load)
    rounds, xor_rounds = (1, 3) if few else (given.rounds, given.xor_rounds)
    parts = {
        "xor": lambda: xor.measure([given.xor], [given.loop] if given.loop else None, [2_000_000, 16_000_000 if few else 512_000_000], xor_rounds, xor_rounds),
        "many": lambda: jobs.many(bench, 40 if few else 500, 2_000_000, given.at_once, rounds, True),
        "one": lambda: jobs.one(bench, 100_000_000 if few else 4_000_000_000, given.at_once, rounds),
        "small": lambda: jobs.many(bench, 600 if few else 20_000, 1000, given.at_once, rounds, False),
        "alone": lambda: jobs.alone(bench, 1 if few else 5) if given.load else {},
        "footprint": lambda: jobs.footprint(bench, 5 if few else 21),
        "report": lambda: report.measure(given.dayfly, given.lay_out, given.browser, folder, [(10, 3), (1000, 30), (2000 if few else 100_000, 200)], 1 if few else 5) if given.browser else [],
    }
    folder.mkdir()
    begun = time.monotonic()
    figures = {"rounds": {"xor": xor_rounds, "jobs": rounds}, "load": os.getloadavg()[0]}
    try:
        for name, measure in parts.items():
            if given.only in (None, name):
                figures[name] = measure()
                print(f"{name}: {time.monotonic() - begun:.0f} s so far", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if given.only:
        return print(figures[given.only])
    command = "scripts/bench data" + (" -- --small" if few else "")
    text = page.text(figures, given.venv, command, (time.monotonic() - begun) / 60)
    if given.page and not few:
        pathlib.Path(given.page).write_text(text)
    print(text)


main()
