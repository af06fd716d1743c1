#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs amberfs beside its peers on the same disk, alternating, and writes a table of medians and
ratios, plots, and all figures. Started by tools/bench, which installs and builds."""
import argparse
import contextlib
import json
import shutil
import sys
import time
from pathlib import Path

import file_work
import name_work
import report
import space_work
from backups import TOOLS
from machine import Disk, Work, describe
from slow_disk import slow_disk
from systems import Amberfs, Bindfs, Btrfs, Ext4, Gocryptfs, Xfs, require_root, unmount_all

GROUPS = {
    "append": file_work.append_rows,
    "sync": file_work.sync_rows,
    "exact": file_work.exact_rows,
    "stream": file_work.stream_rows,
    "slow": file_work.slow_disk_rows,
    "paced": file_work.paced_sync_rows,
    "read": file_work.read_rows,
    "follow": file_work.follow_rows,
    "names": name_work.name_rows,
    "snapshot": name_work.snapshot_rows,
    "beside": name_work.beside_snapshot_rows,
    "corpus": space_work.corpus_rows,
    "history": space_work.history_rows,
    "back": space_work.going_back_rows,
}


class Bench:
    """What every group of rows is given."""

    def __init__(self, options):
        self.base = options.work
        self.binary = options.binary
        self.quick = options.quick
        self.smoke = options.smoke
        self.work = Work(options.work_binary)
        self.disk = Disk(self.base)
        self.corpus_directory = options.corpus
        self.systems = {}

    def scaled(self, full, quick):
        if self.smoke:
            return max(1, quick // 20)
        return quick if self.quick else full

    def rounds(self, full):
        if self.smoke:
            return 1
        return min(full, 3) if self.quick else full

    def start(self):
        classes = (Ext4, Btrfs, Xfs, Bindfs, Gocryptfs)
        for kind in (Ext4,) if self.smoke else classes:
            self.systems[kind.name] = kind(self.base)
        self.systems["amberfs"] = Amberfs(self.base, self.binary)
        for system in self.systems.values():
            system.start()

    def stop(self):
        for system in self.systems.values():
            system.stop()

    def backup_tools(self, names, label=""):
        if self.smoke:
            return []
        return [TOOLS[name](self.base, label) for name in names]

    def slow_disk(self):
        return slow_disk(self)

    def corpus(self):
        """Log files: those of AMBERFS_CORPUS, or generated ones."""
        if self.corpus_directory:
            files = sorted(file for file in self.corpus_directory.rglob("*") if file.is_file())
            return [file for file in files if file.suffix != ".md" and file.name != "SHA256SUMS"]
        generated = self.base / "generated"
        if not generated.exists():
            generated.mkdir()
            for number in range(12):
                self.work("stream", generated / f"log-{number:02}.log", "--size",
                          self.scaled(4 << 20, 4 << 20), "--seed", number + 1)
        return sorted(generated.iterdir())


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller work, in about 5 minutes")
    parser.add_argument("--smoke", action="store_true",
                        help="only that it runs: tiny work, without peers; the figures mean nothing")
    parser.add_argument("--only", metavar="GROUP", action="append", choices=GROUPS,
                        help=f"one of: {', '.join(GROUPS)}; may be repeated")
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/amberfs-bench"),
                        help="a directory on the disk to measure; what is in it is removed")
    parser.add_argument("--out", type=Path, required=True, help="where table, plots and figures go")
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--work-binary", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, help="a directory of real logs")
    return parser.parse_args(arguments)


def measure(bench, groups):
    """Yields rows as they come; a line for each on the terminal."""
    for group in groups:
        start = time.monotonic()
        for row in GROUPS[group](bench):
            yield row
            print(report.line_of(row.to_json()), flush=True)
        print(f"# {group}: {time.monotonic() - start:.0f} s", flush=True)


def main(arguments):
    options = parse(arguments)
    require_root()
    marker = options.work / "made-by-amberfs-bench"
    if options.work.exists():
        if any(options.work.iterdir()) and not marker.exists():
            raise SystemExit(f"{options.work} is not empty and was not made by tools/bench: choose another --work")
        unmount_all(options.work)
        shutil.rmtree(options.work)
    options.work.mkdir(parents=True)
    marker.touch()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, options.work, ignore_errors=True)
        cleanup.callback(unmount_all, options.work)
        bench = Bench(options)
        bench.start()
        for row in measure(bench, options.only or GROUPS):
            rows.append(row.to_json())
        amberfs = bench.systems["amberfs"]
        amberfs.note_memory()
        rows.append(report.memory_row(amberfs.peak_memory).to_json())
        print(report.line_of(rows[-1]))
        bench.stop()
        packages = sorted({system.package for system in bench.systems.values()} |
                          {tool.package for tool in TOOLS.values()} | {"zstd", "xz-utils"})
        machine = describe([name for name in packages if name], options.binary)
    result = {"machine": machine, "quick": options.quick, "smoke": options.smoke, "rows": rows}
    (options.out / "results.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    report.write(result, options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
