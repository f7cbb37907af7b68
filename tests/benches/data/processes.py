"""Processes and what they used: the server with its counts, and commands that are timed."""

import json
import os
import pathlib
import resource
import subprocess
import threading
import time
from dataclasses import dataclass, field

KEYS = {"AWS_ACCESS_KEY_ID": "DAYFLYBENCH", "AWS_SECRET_ACCESS_KEY": "a secret of this benchmark", "AWS_REGION": "us-east-1"}
# What S3 bills at the price of a PUT and of a GET. Deletes and aborted uploads are free.
PUT_CLASS = {"PutObject", "ListObjectsV2", "ListObjects", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "ListMultipartUploads"}
GET_CLASS = {"GetObject", "HeadObject"}
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """One run of a command, or of several in a row."""

    wall: float
    cpu: float
    rss: int
    server_cpu: float
    requests: dict = field(default_factory=dict)
    said: str = ""

    def __add__(self, other):
        requests = {name: self.requests.get(name, 0) + other.requests.get(name, 0) for name in {*self.requests, *other.requests}}
        return Run(self.wall + other.wall, self.cpu + other.cpu, max(self.rss, other.rss), self.server_cpu + other.server_cpu, requests)

    @property
    def billed(self):
        return sum(count for name, count in self.requests.items() if name in PUT_CLASS | GET_CLASS)


def resident(pid, name="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


class Peak(threading.Thread):
    """The most memory that a process had resident: looked at until it ends. (What wait4 tells counts this script's own, from
    before the command was executed.)"""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.bytes = pid, 0
        self.start()

    def run(self):
        try:
            while found := resident(self.pid, "VmHWM"):
                self.bytes = found
                time.sleep(0.02)
        except OSError:
            return


class Server:
    """The embedded endpoint, in a process of its own, on a folder in memory."""

    def __init__(self, program, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        self.process = subprocess.Popen([program, folder, "0"], env={**os.environ, **KEYS}, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.url = self.process.stdout.readline().strip()

    def bucket(self, name):
        (self.folder / name).mkdir(exist_ok=True)
        return self.folder / name

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def requests(self):
        self.process.stdin.write("requests\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def environment(self):
        home = str(self.folder.parent)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_", "DAYFLY_"))}
        return {**clean, **KEYS, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": self.url, "S3_ENDPOINT_URL": self.url, "HOME": home,
                "AWS_EC2_METADATA_DISABLED": "true"}

    def run(self, *command, said=False, asks=None):
        """Runs a command to its end. What it used is its own, without this script's. `said`: keeps what it prints; `asks`: what it
        reads."""
        before, cpu = self.requests(), self.cpu()
        begun = time.monotonic()
        child = subprocess.Popen([str(word) for word in command], env=self.environment(), stdin=subprocess.PIPE if asks else None,
                                 stdout=subprocess.PIPE if said else subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        peak = Peak(child.pid)
        if asks:
            child.stdin.write(asks)
            child.stdin.close()
        words = child.stdout.read() if said else ""
        errors = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        wall = time.monotonic() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise SystemExit(f"error: {command[0]} ended with {child.returncode}:\n{errors[-2000:]}")
        after = self.requests()
        requests = {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}
        return Run(wall, used.ru_utime + used.ru_stime, peak.bytes, self.cpu() - cpu, requests, words)

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Timer:
    """A process that times one pass of a loop on request; the protocol is that of agent/benches/xor.rs."""

    def __init__(self, command):
        # Numpy asks for huge pages for its own arrays: without these the loops would be measured against another memory.
        environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def __call__(self, what, kernel, offset, size, passes):
        self.process.stdin.write(f"{what} {kernel} {offset} {size} {passes}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def one_thread():
    """Numpy's and this script's own work on one core, as the loops' that they are compared with."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
