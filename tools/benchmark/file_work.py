# SPDX-License-Identifier: Apache-2.0
"""Rows that compare file systems on bytes: appends, streams, reads."""
import shutil
import time

from machine import cpu_seconds, drop_caches
from rows import Goal, Row

MIB = 2**20
LINE = 150


class Rounds:
    """Runs a piece of work on each system in turn, several times."""

    def __init__(self, bench, systems, rounds):
        self.bench = bench
        self.systems = [bench.systems[name] for name in systems if name in bench.systems]
        self.rounds = rounds

    def run(self, work):
        """work(system, directory) returns a figure; the directory is new and empty."""
        values = {system.name: [] for system in self.systems}
        for _ in range(self.rounds):
            for system in self.systems:
                directory = system.directory / "work"
                directory.mkdir()
                values[system.name].append(work(system, directory))
                shutil.rmtree(directory)
                system.settle()
        return values


def append_rows(bench):
    """Small appends without fsync."""
    everyone = ("ext4", "btrfs", "xfs", "bindfs", "gocryptfs", "amberfs")
    count = bench.scaled(2_000_000, 200_000)
    for key, text, options, limit in (
            ("append-1", "150-byte appends, one writer", (), 1.15),
            ("append-8", "the same, 8 writers on 8 files", ("--writers", 8), 1.25),
            ("append-8-one", "the same, 8 writers on one file", ("--writers", 8, "--one-file"), 1.25)):
        def work(system, directory, options=options):
            result = bench.work("append", directory, "--count", count // system.slow, *options)
            return result["seconds"] / result["operations"] * 1e6
        values = Rounds(bench, everyone, bench.rounds(4)).run(work)
        yield Row(key, text, "µs a write", values, [Goal(limit, "ext4")])


def sync_rows(bench):
    def work_of(count, writers):
        def work(system, directory, count=count):
            if system.name == "btrfs" and writers > 1:
                count //= 10
            result = bench.work("append", directory, "--count", count, "--writers", writers,
                                "--sync-each")
            return result["seconds"] / result["operations"] * 1e6
        return work

    systems = ("ext4", "btrfs", "xfs", "gocryptfs", "amberfs")
    values = Rounds(bench, systems, bench.rounds(5)).run(work_of(bench.scaled(3000, 500), 1))
    yield Row("sync-1", "append + fdatasync, one writer", "µs", values, [Goal(1.0, "ext4")])
    values = Rounds(bench, systems, bench.rounds(4)).run(work_of(bench.scaled(24000, 4000), 16))
    rates = {name: [1e3 / value for value in of] for name, of in values.items()}
    yield Row("sync-16", "append + fdatasync, 16 writers", "thousand a second", rates,
              [Goal(1.0, "ext4", at_least=True), Goal(10.0, "btrfs", at_least=True)])


def exact_rows(bench):
    """Every write(2) reaches the journal before it returns."""
    def work(system, directory):
        target = directory
        if system.name == "amberfs":
            target = system.directory / "exact"
            target.mkdir()
        result = bench.work("append", target, "--count", bench.scaled(100_000, 10_000))
        if target != directory:
            shutil.rmtree(target)
        return result["seconds"] / result["operations"] * 1e6

    values = Rounds(bench, ("ext4", "bindfs", "amberfs"), bench.rounds(5)).run(work)
    yield Row("exact", "`exact` capture, 150-byte writes", "µs a write", values,
              [Goal(20), Goal(0.3, "bindfs")])


def stream_rows(bench):
    """One large log in, and what it costs: time, bytes on the disk, CPU."""
    size = bench.scaled(4096, 256) * MIB
    systems = ("ext4", "btrfs", "xfs", "amberfs")
    disk_bytes = {name: [] for name in systems}
    cpu = {name: [] for name in systems}

    def work(system, directory):
        system.settle()
        written, busy = bench.disk.written(), cpu_seconds()
        result = bench.work("stream", directory / "stream.log", "--size", size)
        system.settle()
        disk_bytes[system.name].append((bench.disk.written() - written) / size)
        cpu[system.name].append((cpu_seconds() - busy) * 2**30 / size)
        return size / MIB / result["seconds"]

    values = Rounds(bench, systems, bench.rounds(2)).run(work)
    yield Row("stream", f"streaming a {size // MIB} MiB log in, fsynced at the end", "MB/s", values,
              note="at the disk's own speed; the goal is for a disk slower than the codec, below")
    yield Row("stream-disk", "bytes written to disk per byte logged, streaming", "bytes",
              disk_bytes, [Goal(0.5)], note="until all of it is committed")
    yield Row("stream-cpu", "CPU seconds per GiB logged", "s", cpu,
              note="all CPUs, the writing program and background work until it is committed")


def slow_disk_rows(bench):
    """The same on a disk that is held to a speed below the codec's."""
    size = bench.scaled(4096, 256) * MIB
    with bench.slow_disk() as slow:
        if slow is None:
            yield Row("stream-slow", "streaming to a slow disk", "MB/s", {},
                      note="not measured: no write limit can be set here")
            return
        def work(system, directory):
            result = bench.work("stream", directory / "stream.log", "--size", size)
            return size / MIB / result["seconds"]
        values, cold = ({"ext4": [], "amberfs": []} for _ in range(2))
        for _ in range(bench.rounds(2)):
            for system in slow.systems:
                directory = system.directory / "work"
                directory.mkdir()
                values[system.name].append(work(system, directory))
                system.settle()
                system.forget()
                drop_caches()
                cold[system.name].append(
                    size / MIB / bench.work("read", directory / "stream.log")["seconds"])
                shutil.rmtree(directory)
                system.settle()
        yield Row("stream-slow", f"streaming a {size // MIB} MiB log in, fsynced at the end, to a disk "
                  f"held to {slow.limit // 10**6} MB/s", "MB/s", values,
                  [Goal(1.5, "ext4", at_least=True)])
        yield Row("read-slow", f"reading it back from that disk (reads held to {slow.limit // 10**6} MB/s), "
                  "caches dropped", "MB/s", cold, [Goal(1.5, "ext4", at_least=True)])


def paced_sync_rows(bench):
    """One fsynced line a millisecond: what reaches the disk for each byte."""
    count = bench.scaled(5000, 1000)

    def work(system, directory):
        system.settle()
        before = bench.disk.written()
        bench.work("append", directory, "--count", count, "--sync-each", "--pause-us", 1000)
        system.settle()
        return (bench.disk.written() - before) / (count * LINE)

    values = Rounds(bench, ("ext4", "btrfs", "amberfs"), bench.rounds(3)).run(work)
    yield Row("sync-disk", "bytes written to disk per byte logged, a fsynced 150-byte line a ms",
              "bytes", values, [Goal(1.0, "ext4")])


def read_rows(bench):
    """A large log that was sealed: cold, warm, here and there."""
    size = bench.scaled(4096, 256) * MIB
    names = [name for name in ("ext4", "btrfs", "xfs", "amberfs") if name in bench.systems]
    systems = [bench.systems[name] for name in names]
    for system in systems:
        bench.work("stream", system.directory / "sealed.log", "--size", size)
        system.settle()
    cold, warm, random = ({name: [] for name in names} for _ in range(3))
    for round_number in range(bench.rounds(2)):
        for system in systems:
            file = system.directory / "sealed.log"
            system.forget()
            drop_caches()
            cold[system.name].append(size / MIB / bench.work("read", file)["seconds"])
            warm[system.name].append(size / MIB / bench.work("read", file)["seconds"])
            system.forget()
            drop_caches()
            result = bench.work("read", file, "--block", 4096, "--seed", round_number + 1, "--random",
                                bench.scaled(2000, 300))
            random[system.name].append(result["seconds"] / result["operations"] * 1e6)
    yield Row("read-cold", f"reading a sealed {size // MIB} MiB log, caches dropped", "MB/s", cold,
              [Goal(1.5, "ext4", at_least=True)])
    yield Row("read-warm", "reading it again", "MB/s", warm, [Goal(0.95, "ext4", at_least=True)])
    yield Row("read-random", "random 4 KiB reads of it, cold", "µs", random, [Goal(3.0, "ext4")])
    for system in systems:
        (system.directory / "sealed.log").unlink()
        system.settle()


def follow_rows(bench):
    def work(_, directory):
        time.sleep(0.2)
        return bench.work("follow", directory / "followed.log", "--lines", 300)["p50_us"]

    values = Rounds(bench, ("ext4", "btrfs", "xfs", "bindfs", "amberfs"), bench.rounds(4)).run(work)
    yield Row("follow", "`tail -F`: from write to reader, median", "µs", values, [Goal(2.0, "ext4")])
