# SPDX-License-Identifier: Apache-2.0
"""What the benchmark runs on, and what it reads off the machine: disk, CPU, versions."""
import json
import os
import platform
import re
import subprocess
import time
from pathlib import Path

SECTOR = 512


def run(*command, quiet=True, timeout=900, **more):
    """Runs a command; a failure ends the benchmark with what it said."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, check=False, **more)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{said}")
    if not quiet:
        print(done.stdout.decode(), end="")
    return done.stdout.decode(errors="replace")


def seconds(call, *arguments, **more):
    """How long a call took."""
    start = time.monotonic()
    call(*arguments, **more)
    return time.monotonic() - start


def timed(*command, **more):
    """How long a command took, in seconds."""
    return seconds(run, *command, **more)


def drop_caches():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")


class Disk:
    """The block device that a directory lies on."""

    def __init__(self, directory):
        device = os.stat(directory).st_dev
        self.number = f"{os.major(device)}:{os.minor(device)}"
        self.name = Path(f"/sys/dev/block/{self.number}").resolve().name

    def written(self):
        """Bytes written to it since the machine started."""
        for line in Path("/proc/diskstats").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[2] == self.name:
                return int(words[9]) * SECTOR
        raise SystemExit(f"no statistics of disk {self.name} in /proc/diskstats")


def cpu_seconds():
    """Busy seconds of all CPUs, the kernel's threads included."""
    words = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    user, nice, system, _idle, _iowait, irq, softirq = map(int, words[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def disk_use(path):
    """Bytes that a file or directory takes on its disk."""
    return int(run("du", "-s", "--block-size=1", path).split()[0])


def package_version(name):
    done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", name], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode() or "not installed"


def describe(packages, amberfs):
    """Machine and versions, for the head of the table."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"))
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "cpus": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "kernel": platform.release(),
        "amberfs": run(amberfs, "--version").strip(),
        "packages": {name: package_version(name) for name in packages},
    }


class Work:
    """Runs amberfs-bench-work and returns what it measured."""

    def __init__(self, binary):
        self.binary = binary

    def __call__(self, kind, *arguments, timeout=900):
        return json.loads(run(self.binary, kind, *arguments, timeout=timeout))
