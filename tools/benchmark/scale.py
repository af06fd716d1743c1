#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cost against size: one store that grows in logical bytes, and one that grows in files. At each
size: appends, a snapshot of little that changed, unmounting and mounting, gc, and the server's
memory. Started by tools/bench --scale."""
import argparse
import contextlib
import json
import shutil
import sys
from pathlib import Path

from machine import Work, describe, seconds, timed
from systems import Amberfs, require_root, unmount_all

GIB = 2**30
SIZES_GIB = (1, 10, 100)
FILES = (1_000, 10_000, 100_000, 1_000_000)
SMOKE_GIB = 2**20  # what stands for a GiB when it is only tried whether all this runs


class Growing:
    """A store that is filled step by step."""

    def __init__(self, base, options):
        self.amberfs = Amberfs(base, options.binary)
        self.work = Work(options.work_binary)
        self.gib = SMOKE_GIB if options.smoke else GIB
        self.parts = 0
        self.files = 0
        self.amberfs.init(schedule__every='"off"')
        self.amberfs.mount()

    def grow_bytes(self, target_gib):
        while self.parts < target_gib:
            self.work("stream", self.amberfs.directory / f"log-{self.parts:04}.log", "--size",
                      self.gib, "--seed", self.parts + 1)
            self.parts += 1
        self.amberfs.snapshot()

    def grow_files(self, target):
        directory = self.amberfs.directory / f"more-{target}"
        directory.mkdir()
        self.work("create", directory, "--count", target - self.files)
        self.files = target
        self.amberfs.snapshot()

    def measure(self):
        """What things cost now."""
        amberfs = self.amberfs
        work = amberfs.directory / "work"
        work.mkdir()
        appended = self.work("append", work, "--count", 300_000)
        synced = self.work("append", work, "--count", 1000, "--sync-each")
        amberfs.snapshot()
        snapshots = []
        for number in range(5):
            (work / f"changed-{number}").write_text("a line\n", encoding="ascii")
            snapshots.append(seconds(amberfs.snapshot))
        shutil.rmtree(work)
        unmounted = seconds(amberfs.unmount)
        mounted = seconds(amberfs.mount)
        memory_mounted = amberfs.note_memory()
        # Level 3: what gc costs by the number of blocks, not what zstd costs.
        gc = (amberfs.binary, "gc", amberfs.directory, "--level", "3")
        first_gc = timed(*gc, timeout=3600)
        second_gc = timed(*gc, timeout=3600)
        return {
            "append_us": appended["seconds"] / appended["operations"] * 1e6,
            "sync_us": synced["seconds"] / synced["operations"] * 1e6,
            "snapshot_ms": sorted(snapshots)[2] * 1e3,
            "unmount_ms": unmounted * 1e3,
            "mount_ms": mounted * 1e3,
            "gc_rewriting_s": first_gc,
            "gc_s": second_gc,
            "memory_mounted_mib": memory_mounted / 2**20,
            "memory_peak_mib": amberfs.note_memory() / 2**20,
        }


def series(base, options, sizes, grow):
    """One store through all sizes; a dictionary of figures for each."""
    store = Growing(base, options)
    points = []
    for size in sizes:
        point = {"size": size, "fill_s": seconds(grow, store, size), **store.measure()}
        print(json.dumps(point), flush=True)
        points.append(point)
    store.amberfs.unmount()
    shutil.rmtree(base)
    return points


PANELS = (("append_us", "append of 150 bytes, µs"), ("sync_us", "append + fdatasync, µs"),
          ("snapshot_ms", "snapshot, one file changed, ms"), ("mount_ms", "mount, ms"),
          ("gc_s", "gc with nothing to rewrite, s"), ("memory_mounted_mib", "memory once mounted, MiB"),
          ("memory_peak_mib", "memory, peak of all this, MiB"))


def table(points, unit):
    names = ["size", "fill_s", *(name for name, _ in PANELS), "gc_rewriting_s", "unmount_ms"]
    lines = [f"| {unit} | " + " | ".join(names[1:]) + " |", "| ---: " * len(names) + "|"]
    for point in points:
        lines.append("| " + " | ".join(f"{point[name]:,.4g}" if name != "size" else f"{point[name]:,}"
                                       for name in names) + " |")
    return "\n".join(lines)


def plot(result, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, rows = pyplot.subplots(2, len(PANELS), figsize=(2.7 * len(PANELS), 5.4))
    for panels, (points, unit) in zip(rows, ((result["bytes"], "GiB logical"), (result["files"], "files"))):
        for axes, (name, title) in zip(panels, PANELS):
            axes.plot([point["size"] for point in points], [point[name] for point in points], "o-",
                      color="#c77800")
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.set_title(title, fontsize=8)
            axes.set_xlabel(unit, fontsize=8)
            axes.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main(arguments):
    parser = argparse.ArgumentParser(prog="tools/bench --scale", description=__doc__)
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--quick", action="store_true", help="without the largest sizes")
    parser.add_argument("--smoke", action="store_true", help="only that it runs")
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/amberfs-scale"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--work-binary", type=Path, required=True)
    parser.add_argument("--corpus", type=Path)
    options = parser.parse_args(arguments)
    require_root()
    if options.work.exists():
        raise SystemExit(f"{options.work} is there already: remove it, or choose another --work")
    last = -1 if options.quick else 2 if options.smoke else None
    options.work.mkdir(parents=True)
    options.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, options.work, ignore_errors=True)
        cleanup.callback(unmount_all, options.work)
        result = {
            "machine": describe([], options.binary),
            "files": series(options.work / "files", options, FILES[:last], Growing.grow_files),
            "bytes": series(options.work / "bytes", options, SIZES_GIB[:last],
                            Growing.grow_bytes),
        }
    (options.out / "scale.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    text = f"{table(result['bytes'], 'GiB')}\n\n{table(result['files'], 'files')}\n"
    (options.out / "scale.md").write_text(text, encoding="utf-8")
    if not options.smoke:
        plot(result, options.out / "scale.png")


if __name__ == "__main__":
    main(sys.argv[1:])
