#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What protection costs: amberfs beside itself, with a part of it on or off, through real mounts, in
turn. Under noise the CPU time of server and program is the figure to look at: it is counted by
process, so that what else runs is not in it. Started by tools/bench --protection."""
import argparse
import contextlib
import json
import os
import resource
import shutil
import statistics
import sys
import time
from pathlib import Path

from machine import Work, describe, drop_caches, run, seconds
from report import number
from systems import Amberfs, require_root, unmount_all

MIB = 2**20
PLAIN = "plain"
ALL_OFF = {"chain": False, "parity__percent": "0", "audit__watch": "[]"}
# What each store is made with. "again" is another "plain": how far the two differ is the noise.
FORMS = {
    PLAIN: {},
    "again": {},
    "encrypted": {"encrypt": True},
    "no chain": {"chain": False},
    "no parity": {"parity__percent": "0"},
    "no audit": {"audit__watch": "[]"},
    "nothing": ALL_OFF,
}
CHAIN_FILES = ("chain", "signing.key", "signing.pub")


class Form(Amberfs):
    """A store with some of its protection on or off; the time its processes take."""

    def __init__(self, base, binary, name):
        self.name = name.replace(" ", "-")
        super().__init__(base, binary)
        settings = dict(FORMS[name])
        if settings.pop("encrypt", False):
            self.key_file = self.base / "key"
            self.key_file.touch(mode=0o600)
            self.key_file.write_bytes(os.urandom(32))
        chain = settings.pop("chain", True)
        self.init(capture__exact='["exact/**"]', schedule__every='"off"', gc__every='"off"',
                  scrub__every='"off"', **settings)
        if not chain:  # as a store that was made before there were chains
            for file in CHAIN_FILES:
                (self.store / file).unlink()
        self.mount()

    def mount(self):
        super().mount()
        self.server = Path(f"/proc/{self.status()['server_pid']}")

    def server_cpu(self):
        words = (self.server / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def written(self):
        """Bytes that the server gave to the disk."""
        for line in (self.server / "io").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(": ")
            if name == "write_bytes":
                return int(value)
        raise SystemExit("/proc/PID/io has no write_bytes")

    def cpu(self):
        """Seconds of the server, and of the programs that are done."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return self.server_cpu() + children.ru_utime + children.ru_stime


class Table:
    """Figures of all forms, by row."""

    def __init__(self):
        self.rows = {}

    def note(self, key, form, value):
        self.rows.setdefault(key, {}).setdefault(form, []).append(value)


# key: (work, unit, whether more is better)
ROWS = {
    "append": ("100-byte appends", "µs a write", False),
    "append-cpu": ("the same, CPU until committed", "µs a write", False),
    "sync": ("append + fdatasync", "µs", False),
    "sync-cpu": ("the same, CPU", "µs", False),
    "exact": ("`exact` capture, 100-byte writes", "µs a write", False),
    "exact-cpu": ("the same, CPU until committed", "µs a write", False),
    "stream": ("a log of {size} MiB streamed in, fsynced", "MB/s", True),
    "stream-committed": ("the same, until committed", "MB/s", True),
    "stream-cpu": ("the same, CPU until committed", "s a GiB", False),
    "commit-cpu": ("of which after the fsync", "s a GiB", False),
    "stream-disk": ("bytes to the disk for each byte logged", "bytes", False),
    "read": ("read back, cold", "MB/s", True),
    "read-cpu": ("the same, CPU", "s a GiB", False),
    "restore": ("`restore --to`, cold, synced", "MB/s", True),
    "restore-cpu": ("the same, CPU", "s a GiB", False),
    "snapshot": ("snapshot of {files:,} files, one changed", "ms", False),
    "snapshot-rate": ("the same, one after another", "snapshots a second", True),
    "snapshot-cpu": ("the same, CPU", "ms", False),
    "create": ("create files of 100 bytes", "µs a file", False),
    "create-cpu": ("the same, CPU until committed", "µs a file", False),
    "unlink": ("unlink them", "µs a file", False),
    "unlink-cpu": ("the same, CPU until committed", "µs a file", False),
    "unlink-rotated": ("unlink them once renamed to NAME.1", "µs a file", False),
    "unlink-rotated-cpu": ("the same, CPU until committed", "µs a file", False),
}


class Protection:
    def __init__(self, options):
        self.base = options.work
        self.smoke = options.smoke
        self.quick = options.quick
        self.bench_work = Work(options.work_binary)
        self.table = Table()
        self.only = options.only
        self.forms = {name: Form(self.base, options.binary, name) for name in FORMS}
        self.size_mib = self.scaled(1024, 8)
        self.files = self.scaled(10_000, 50)

    def scaled(self, full, smoke):
        return smoke if self.smoke else full // 4 if self.quick else full

    def rounds(self, key, full, parts, work):
        """work(form, directory, note) for each of the forms, in turn; who begins changes. The
        directory is new and empty, and removed afterwards."""
        if self.only and key not in self.only:
            return
        start = time.monotonic()
        names = [PLAIN, "again", "encrypted", *parts, "nothing"]
        for round_number in range(1 if self.smoke else min(full, 3) if self.quick else full):
            turn = round_number * 2 % len(names)
            for name in names[turn:] + names[:turn]:
                form = self.forms[name]
                directory = form.directory / "work"
                directory.mkdir()
                work(form, directory, lambda row, value, name=name: self.table.note(row, name, value))
                shutil.rmtree(directory)
                form.settle()
        print(f"# {key}: {time.monotonic() - start:.0f} s", flush=True)

    def run(self):
        self.rounds("append", 7, ["no audit"], self.append)
        self.rounds("sync", 7, [], self.sync)
        self.rounds("exact", 5, ["no audit"], self.exact)
        self.rounds("stream", 3, ["no parity"], self.stream)
        self.rounds("snapshot", 5, ["no chain", "no audit"], self.snapshots)
        self.rounds("names", 5, ["no audit"], self.names)

    def append(self, form, directory, note):
        count = self.scaled(500_000, 500)
        cpu = form.cpu()
        result = self.bench_work("append", directory, "--size", 100, "--count", count)
        form.settle()
        note("append", result["seconds"] / count * 1e6)
        note("append-cpu", (form.cpu() - cpu) / count * 1e6)

    def sync(self, form, directory, note):
        count = self.scaled(3000, 20)
        cpu = form.cpu()
        result = self.bench_work("append", directory, "--size", 100, "--count", count, "--sync-each")
        note("sync", result["seconds"] / count * 1e6)
        note("sync-cpu", (form.cpu() - cpu) / count * 1e6)

    def exact(self, form, _, note):
        count = self.scaled(40_000, 50)
        directory = form.directory / "exact"
        directory.mkdir()
        cpu = form.cpu()
        result = self.bench_work("append", directory, "--size", 100, "--count", count)
        form.settle()
        note("exact", result["seconds"] / count * 1e6)
        note("exact-cpu", (form.cpu() - cpu) / count * 1e6)
        shutil.rmtree(directory)

    def stream(self, form, directory, note):
        size, gib = self.size_mib, self.size_mib / 1024
        log, target = directory / "stream.log", self.base / "restored"
        # No log comes twice in a store: the second one would be found in it.
        seed = len(self.table.rows.get("stream", {}).get(PLAIN, [])) * 100 + 1
        cpu, disk, start = form.cpu(), form.written(), time.monotonic()
        result = self.bench_work("stream", log, "--size", size * MIB, "--seed", seed)
        fsynced = form.cpu()
        form.snapshot(f"stream-{seed}-{start}")
        note("stream", size / result["seconds"])
        note("stream-committed", size / (time.monotonic() - start))
        note("stream-cpu", (form.cpu() - cpu) / gib)
        note("commit-cpu", (form.cpu() - fsynced) / gib)
        note("stream-disk", (form.written() - disk) / (size * MIB))

        form.forget()
        drop_caches()
        cpu = form.cpu()
        note("read", size / self.bench_work("read", log)["seconds"])
        note("read-cpu", (form.cpu() - cpu) / gib)

        form.forget()
        drop_caches()
        cpu = form.cpu()
        note("restore", size / seconds(run, form.binary, "restore", form.directory,
                                       f"stream-{seed}-{start}", "work", "--to", target))
        note("restore-cpu", (form.cpu() - cpu) / gib)
        shutil.rmtree(target)

    def snapshots(self, form, directory, note):
        count = self.scaled(40, 3)
        self.bench_work("create", directory, "--count", self.files)
        form.settle()
        log = directory / "changed.log"
        took, cpu, start = [], form.cpu(), time.monotonic()
        for _ in range(count):
            with open(log, "a", encoding="ascii") as out:
                out.write("one more line\n")
            took.append(seconds(form.snapshot))
        note("snapshot-rate", count / (time.monotonic() - start))
        note("snapshot-cpu", (form.cpu() - cpu) / count * 1e3)
        note("snapshot", statistics.median(took) * 1e3)

    def names(self, form, directory, note):
        count = self.scaled(4000, 20)

        def each(row, kind, *options):
            cpu = form.cpu()
            result = self.bench_work(kind, directory, "--count", count, *options)
            form.settle()
            if row:
                note(row, result["seconds"] / count * 1e6)
                note(f"{row}-cpu", (form.cpu() - cpu) / count * 1e6)

        each("create", "create", "--size", 100)
        each("unlink", "unlink", "--suffix", "log")
        shutil.rmtree(directory)
        directory.mkdir()
        each(None, "create", "--size", 100)
        each(None, "rename")
        each("unlink-rotated", "unlink")


def rows_of(table, size, files):
    """`cost`: times that of plain, the median over the rounds; a rate that is half costs twice."""
    for key, (work, unit, more_is_better) in ROWS.items():
        values = table.rows.get(key)
        if not values:
            continue
        cells = {}
        for name, of in values.items():
            ratios = [p / v if more_is_better else v / p for v, p in zip(of, values[PLAIN]) if v and p]
            cells[name] = {"median": statistics.median(of), "values": of,
                           "cost": statistics.median(ratios) if ratios else None}
        yield {"key": key, "work": work.format(size=size, files=files), "unit": unit, "forms": cells}


def head(result):
    machine = result["machine"]
    kind = "smoke run: the figures mean nothing" if result["smoke"] else \
        "quick run" if result["quick"] else "full run"
    return (f"{machine['date']}, {kind}; {machine['cpus']} × {machine['cpu']}, {machine['memory_gib']} GiB, "
            f"Linux {machine['kernel']}, {machine['amberfs']}.")


def table_text(rows):
    lines = ["| work | unit | " + " | ".join(FORMS) + " |", "| --- " * (len(FORMS) + 2) + "|"]
    for row in rows:
        cells = []
        for name in FORMS:
            cell = row["forms"].get(name)
            if cell is None:
                cells.append("")
            elif name == PLAIN or cell["cost"] is None:
                cells.append(number(cell["median"]))
            else:
                cells.append(f"{number(cell['median'])} ({cell['cost']:.2f})")
        lines.append(f"| {row['work']} | {row['unit']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/bench --protection", description=__doc__)
    parser.add_argument("--protection", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a quarter of the work, three rounds")
    parser.add_argument("--smoke", action="store_true", help="only that it runs")
    parser.add_argument("--only", metavar="GROUP", action="append",
                        choices=("append", "sync", "exact", "stream", "snapshot", "names"))
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/amberfs-protection"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--work-binary", type=Path, required=True)
    parser.add_argument("--corpus", type=Path)
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    require_root()
    if options.work.exists():
        raise SystemExit(f"{options.work} is there already: remove it, or choose another --work")
    options.work.mkdir(parents=True)
    options.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, options.work, ignore_errors=True)
        cleanup.callback(unmount_all, options.work)
        protection = Protection(options)
        protection.run()
        for form in protection.forms.values():
            form.stop()
        rows = list(rows_of(protection.table, protection.size_mib, protection.files))
        result = {"machine": describe([], options.binary), "quick": options.quick, "smoke": options.smoke,
                  "rows": rows}
    (options.out / "protection.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    text = f"{head(result)}\n\n{table_text(rows)}"
    (options.out / "protection.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
