# SPDX-License-Identifier: Apache-2.0
"""Rows about many files: names, listings, snapshots of large trees, writers beside snapshots."""
import shutil
import subprocess
import threading

from machine import drop_caches, run, seconds, timed
from rows import Goal, Row


def name_rows(bench):
    count = bench.scaled(100_000, 5_000)
    names = [name for name in ("ext4", "btrfs", "bindfs", "amberfs") if name in bench.systems]
    steps = ("create", "rename", "ls-cold", "ls-warm", "unlink", "rm")
    values = {step: {name: [] for name in names} for step in steps}
    for _ in range(bench.rounds(2)):
        for name in names:
            one_round(bench, bench.systems[name], count, values)
    note = "bindfs: a fifth of the files, the time of each" if "bindfs" in names else ""
    for step, work, goals in (
            ("create", f"create {count:,} empty files", [Goal(4.0, "ext4"), Goal(0.3, "bindfs")]),
            ("unlink", f"unlink {count:,} empty files", [Goal(8.0, "ext4"), Goal(0.3, "bindfs")]),
            ("rename", f"rename {count:,} files", [Goal(0.5, "bindfs")]),
            ("ls-cold", f"`ls -lR` of {count:,} files, cold", [Goal(0.5, "bindfs")]),
            ("ls-warm", "the same, warm", [Goal(0.5, "bindfs"), Goal(1.5, "ext4")]),
            ("rm", f"`rm -r` of {count:,} files", [Goal(0.5, "bindfs")])):
        yield Row(step, work, "µs a file", values[step], goals, note=note)


def one_round(bench, system, count, values):
    if system.name == "bindfs":
        count //= 5
    directory = system.directory / "names"
    directory.mkdir()

    def note(step, took):
        values[step][system.name].append(took / count * 1e6)

    def each(step):
        note(step, bench.work(step, directory, "--count", count)["seconds"])

    each("create")
    system.settle()
    each("rename")
    system.settle()
    system.forget()
    drop_caches()
    note("ls-cold", timed("ls", "-lR", directory))
    note("ls-warm", timed("ls", "-lR", directory))
    each("unlink")
    shutil.rmtree(directory)
    directory.mkdir()
    bench.work("create", directory, "--count", count)
    system.settle()
    note("rm", timed("rm", "-r", directory))
    system.settle()


def change_files(directory, count):
    """Appends a line to so many files, spread over the directories."""
    files = sorted(directory.glob("d*/file-*.log"))
    for file in files[::max(1, len(files) // count)][:count]:
        with open(file, "a", encoding="ascii") as out:
            out.write("one more line\n")


def snapshot_rows(bench):
    """A large tree of which little changed, with the backup tools beside."""
    count = bench.scaled(100_000, 5_000)
    amberfs, ext4 = bench.systems["amberfs"], bench.systems["ext4"]
    takers = {"amberfs": (amberfs.directory / "tree", lambda: run(amberfs.binary, "snapshot",
                                                                  amberfs.directory))}
    btrfs = bench.systems.get("btrfs")
    if btrfs:
        volume = btrfs.directory / "tree"
        run("btrfs", "subvolume", "create", volume)
        takers["btrfs"] = (volume, lambda: run(
            "sh", "-c", 'btrfs subvolume snapshot -r "$1" "$1-$(date +%s%N)" && sync -f "$1"', "sh", volume))
    source = ext4.directory / "tree"
    for tool in bench.backup_tools(("restic", "borg")):
        takers[tool.name] = (source, lambda tool=tool: tool.backup(source))
    for directory in {directory for directory, _ in takers.values()}:
        directory.mkdir(exist_ok=True)
        bench.work("create", directory, "--count", count)
    for _, take in takers.values():
        take()
    for key, changed, limit in (("snapshot-10", 10, 20), ("snapshot-10000", count // 10, 500)):
        values = {name: [] for name in takers}
        for _ in range(bench.rounds(3)):
            for name, (directory, take) in takers.items():
                change_files(directory, changed)
                run("sync", "-f", directory)
                values[name].append(seconds(take) * 1e3)
        yield Row(key, f"snapshot of {count:,} files, {changed:,} changed", "ms", values, [Goal(limit)],
                  note="the command as a whole; restic and borg: a backup of it")
    if btrfs:
        for volume in sorted(btrfs.directory.glob("tree*")):
            run("btrfs", "subvolume", "delete", volume)
    for directory in (source, amberfs.directory / "tree"):
        if directory.exists():
            shutil.rmtree(directory)
    amberfs.settle()


def beside_snapshot_rows(bench):
    """Latencies of a writer, without snapshots and with one each second."""
    amberfs = bench.systems["amberfs"]
    count = bench.scaled(40_000, 8_000)
    values = {"amberfs": [], "without": []}

    def p99():
        directory = amberfs.directory / "beside"
        directory.mkdir()
        result = bench.work("append", directory, "--count", count, "--pause-us", 200, "--latencies")
        shutil.rmtree(directory)
        return result["p99_us"]

    for _ in range(bench.rounds(3)):
        values["without"].append(p99())
        stop = threading.Event()
        thread = threading.Thread(target=snapshot_each_second, args=(amberfs, stop))
        thread.start()
        values["amberfs"].append(p99())
        stop.set()
        thread.join()
        amberfs.settle()
    yield Row("beside-snapshot", "a writer's 99th percentile, a snapshot each second", "µs", values,
              [Goal(2.0, "without")], note="beside the same without snapshots")


def snapshot_each_second(amberfs, stop):
    while not stop.wait(1.0):
        subprocess.run([amberfs.binary, "snapshot", amberfs.directory], check=True,
                       stdout=subprocess.DEVNULL)
