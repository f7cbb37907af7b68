"""docs/benchmarks.md, from the figures of one run."""

import datetime
import os
import pathlib
import platform
import subprocess

CORES = len(os.sched_getaffinity(0))


def first_line(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.partition("\n")[0].strip()


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def versions(venv):
    packages = first_line(f"{venv}/bin/python", "-c", "import boto3, numpy, awscli; print('boto3', boto3.__version__, 'with numpy', numpy.__version__ + ', aws-cli', awscli.__version__)")
    s5cmd = first_line(f"{venv}/bin/s5cmd", "version")
    memory = next(int(line.split()[1]) >> 20 for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return (f"{processor()}, {CORES} cores, {memory} GiB, Linux {platform.release()}, {first_line('rustc', '--version')}; "
            f"s5cmd {s5cmd}, {packages}; cc: {first_line('cc', '--version') or 'none'}")


def verdict(value, goal, at_most=True):
    return "met" if (value <= goal if at_most else value >= goal) else "**not met**"


def size(count):
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= bytes_:
            return f"{count / bytes_:g} {unit}"
    return f"{count} B"


def goals(figures):
    """What was asked, and what came."""
    rows = []

    def row(what, value, goal, at_most=True, show="{:.2f}"):
        sign = "at most" if at_most else "at least"
        rows.append(f"| {what} | {show.format(value)} | {sign} {goal:g} | {verdict(value, goal, at_most)} |")

    for bytes_, lines in figures["xor"]["sizes"].items():
        row(f"XOR of {size(bytes_)} in place, times memcpy", lines["in place"]["to_memcpy"], 1.8, False)
        row(f"XOR of {size(bytes_)} out of place, times memcpy", lines["out of place"]["to_memcpy"], 0.97, False)
        row(f"XOR of {size(bytes_)} in place, times numpy's best", lines["numpy, best"]["ours_to_it"], 1.5, False)
        row(f"XOR of {size(bytes_)} in place, times numpy as written", lines["numpy, as written"]["ours_to_it"], 20, False)
    for bytes_, kernels in figures["xor"]["kernels"].items():
        row(f"XOR of {size(bytes_)}, slowest kernel as part of the fastest", min(k["of_best"] for k in kernels.values()), 0.9, False)
    many, one, small, foot = figures["many"], figures["one"], figures["small"], figures["footprint"]
    name = f"{many['count']:,} × {size(many['size'])}"
    row(f"{name}: wall time, times s5cmd's down and up", many["wall"], 1.15)
    row(f"{name}: CPU time of the agent, times s5cmd's", many["cpu"], 1.0)
    if "boto3" in many:
        row(f"{name}: times faster than boto3 with numpy", many["boto3"].wall / many["dayfly"].wall, 4, False)
    row(f"one object of {size(one['size'])}: wall time, times s5cmd's", one["wall"], 1.10)
    row(f"one object of {size(one['size'])}: resident memory, MB", one["rss"] / 1e6, 200, True, "{:.0f}")
    name = f"{small['count']:,} × {size(small['size'])}"
    row(f"{name}: billed requests a task", small["dayfly"].billed / small["count"], 2.15, True, "{:.3f}")
    row(f"{name}: tasks a second, times s5cmd's objects", 1 / small["wall"], 0.8, False)
    row("the agent's file, MB", foot["bytes"] / 1e6, 8)
    row("resident memory of an idle agent, MB", foot["idle"] / 1e6, 25, True, "{:.1f}")
    row("from exec to the first claim's arrival, ms", foot["start"] * 1000, 40, True, "{:.0f}")
    for page in figures["report"][-1:]:
        row(f"report of {page['tasks']:,} tasks: drawn by a browser, s", page["drawn"] / 1000, 3)
    return rows


def xor_table(figures):
    lines = ["| bytes | what | GB/s | times memcpy |", "|---|---|---|---|"]
    for bytes_, rows in figures["sizes"].items():
        for name, row in rows.items():
            lines.append(f"| {size(bytes_)} | {name} | {row['gbps']:.1f} | {row['to_memcpy']:.2f} |")
    lines += ["", "| bytes | kernel, bytes | GB/s, slowest of three offsets | part of the fastest kernel |", "|---|---|---|---|"]
    for bytes_, kernels in figures["kernels"].items():
        lines += [f"| {size(bytes_)} | {kernel:,} | {row['gbps']:.1f} | {row['of_best']:.2f} |" for kernel, row in kernels.items()]
    return lines


def job_table(all_jobs):
    lines = ["| objects | at once | who | wall s | CPU s | resident MB | server's CPU s | server's share of all CPU | MB/s each way | objects/s | billed requests an object |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for job in all_jobs:
        for who, name in (("dayfly", "dayfly"), ("s5cmd", "s5cmd, down and up"), ("boto3", "boto3 with numpy, one by one"), ("aws", "aws s3 cp, down and up")):
            if who not in job:
                continue
            run, count = job[who], job["count"]
            lines.append(f"| {count:,} × {size(job['size'])} | {job['at_once'] if who in ('dayfly', 's5cmd') else ''} | {name} | {run.wall:.2f} | {run.cpu:.2f} | "
                         f"{run.rss / 1e6:.0f} | {run.server_cpu:.2f} | {100 * run.server_cpu / (run.wall * CORES):.0f} % | {count * job['size'] / run.wall / 1e6:.0f} | "
                         f"{count / run.wall:.0f} | {run.billed / count:.3f} |")
    return lines


def alone(figures):
    """What the server does for a client that costs next to nothing."""
    if not figures:
        return ["What the server can do alone was not measured: no C compiler."]
    down, up, few = figures["down"], figures["up"], figures["requests"]
    return [f"What the server does alone, for a client that drops what it gets and makes up what it sends (`tests/benches/data/load.c`; 8 connections): {down['gbps']:.2f} GB/s",
            f"of 2 MB objects out, {up['gbps']:.2f} GB/s in, {few['per_second']:,.0f} GET requests/s of 1 kB objects. Of the {CORES} cores it had {down['server']:.1f}, {up['server']:.1f} and {few['server']:.1f},",
            f"the client {down['client']:.1f}, {up['client']:.1f} and {few['client']:.1f}. Client and server share the cores, so whatever the server spends on a request is part of every wall time",
            f"above: a put costs it the MD5 that S3 gives as its ETag. To bring out and take in 1 GB it needs {1 / down['gbps'] + 1 / up['gbps']:.1f} s by itself: no client can be faster."]


def report_table(pages):
    """How long the report takes."""
    if not pages:
        return ["The report was not measured: no browser."]
    lines = ["`dayfly report` of jobs made up in a folder, drawn by headless Chromium without a graphics card: from the page's being asked for to two",
             "frames after the last thing was drawn, beside an empty page of as many bytes. Medians of five.", "",
             "| tasks | agents | page, kB | made in s | drawn in ms | times an empty page |", "|---|---|---|---|---|---|"]
    return lines + [f"| {page['tasks']:,} | {page['agents']} | {page['bytes'] / 1000:,.0f} | {page['made']:.2f} | {page['drawn']:.0f} | {page['times_empty']:.1f} |" for page in pages]


def text(figures, venv, command, minutes):
    jobs = [figures["many"], figures["one"], figures["small"]]
    foot = figures["footprint"]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return "\n".join([
        "# Benchmarks",
        "",
        f"Written by `{command}` on {now}, in {minutes:.0f} minutes, load at the start {figures['load']:.1f}; nothing here ran on AWS. Every figure is a ratio to a peer or a",
        "limit measured in the same run: absolute ones are this machine's and this hour's.",
        "",
        f"Machine and versions: {versions(venv)}.",
        "",
        "## Goals",
        "",
        "| what | measured | goal | |",
        "|---|---|---|---|",
        *goals(figures),
        "",
        "## XOR, one thread, kernel of 1,000 bytes",
        "",
        f"Medians of {figures['rounds']['xor']} interleaved turns; ratios are medians of the pairs' ratios. memcpy is the C library's, on the loop's own buffers. The C loops are `cc -O3",
        "-march=native` (`tests/benches/data/loop.c`): what a processor does at best with read, modify, write. Numpy's best is in place with the",
        "kernel tiled beforehand; as written is `data ^ numpy.resize(kernel, data.shape)`. All buffers may have huge pages: numpy asks for them itself,",
        "for the loops the C library does (`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`).",
        "",
        "What bounds it: in place each byte goes over the bus twice (in, out), in memcpy three times where it stays below the caches' size (in, the old line in,",
        "out) and twice where the C library writes past them. A kernel of 65,537 bytes does not fit the first-level cache, lies at another distance from a line at each",
        "repetition, and has to come from the second level once for every eight. Numpy as written first makes the kernel as long as the data and then a third",
        "buffer; beyond the caches twenty times its speed would be several times that of memcpy.",
        "",
        *xor_table(figures["xor"]),
        "",
        "## Whole jobs on loopback",
        "",
        "One server for all: the embedded endpoint in a process of its own, on a folder in memory (/dev/shm); what is downloaded goes there too. dayfly",
        "also XORs, claims, commits create-only, checks checksums both ways, and keeps the views; s5cmd copies down, then up, at the same concurrency.",
        f"Ratios are medians of {figures['rounds']['jobs']} interleaved pairs; the rows show the middle run. Requests are counted by the endpoint; billed are PUT,",
        "LIST and multipart at the price of a PUT, GET and HEAD at theirs; deletes are free.",
        "",
        *job_table(jobs),
        "",
        *alone(figures["alone"]),
        "",
        "## Footprint",
        "",
        f"`scripts/build-agent`: {foot['bytes']:,} bytes, static. Idle after a job: {foot['idle'] / 1e6:.1f} MB resident (peak {foot['peak'] / 1e6:.1f}). From exec to the first",
        f"claim's object in the bucket: median {foot['start'] * 1000:.0f} ms of {len(foot['starts'])} starts ({foot['starts'][0] * 1000:.0f} to {foot['starts'][-1] * 1000:.0f}), no metadata service asked.",
        "",
        "## The report",
        "",
        *report_table(figures["report"]),
        "",
        "## Not measured",
        "",
        "NEON's speed: `scripts/test-neon` shows in emulation that the loop is right on arm64, no arm64 machine was there. Networks other than loopback, TLS, and AWS itself.",
        "",
        f"Again: `{command}`; `scripts/bench data -- --small` takes a minute or two and proves nothing.",
        "",
    ])
