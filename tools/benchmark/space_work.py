# SPDX-License-Identifier: Apache-2.0
"""Rows about what a store takes on disk, and how fast it gives everything back."""
import shutil
import time

from backups import TOOLS
from log_life import LogLife
from machine import disk_use, drop_caches, run, seconds, timed
from rows import Goal, Row, smallest
from systems import Amberfs

MIB = 2**20


def write_corpus(bench, directory):
    for file in bench.corpus():
        shutil.copyfile(file, directory / file.name)


def tidy_up(amberfs):
    """What an idle server does by and by: the work is done now, so that the size is the last."""
    if amberfs.has_command("gc"):
        run(amberfs.binary, "gc", amberfs.directory, timeout=1800)


def fresh_amberfs(bench, label):
    amberfs = Amberfs(bench.base / label, bench.binary)
    amberfs.init(schedule__every='"off"')
    amberfs.mount()
    return amberfs


def corpus_rows(bench):
    """Logs written once."""
    source = bench.base / "corpus-source"
    source.mkdir()
    write_corpus(bench, source)
    sizes = {}
    amberfs = fresh_amberfs(bench, "corpus")
    write_corpus(bench, amberfs.directory)
    amberfs.snapshot()
    gc_seconds = seconds(tidy_up, amberfs)
    amberfs.unmount()
    size, fixed = amberfs.store_size()
    sizes["amberfs"] = [size / MIB]
    for name in TOOLS:
        for tool in bench.backup_tools((name,), "-corpus"):
            tool.backup(source)
            sizes[name] = [tool.size() / MIB]
            shutil.rmtree(tool.repository)
    btrfs = bench.systems.get("btrfs")
    if btrfs:
        btrfs.settle()
        before = btrfs.used()
        (btrfs.directory / "corpus").mkdir()
        write_corpus(bench, btrfs.directory / "corpus")
        btrfs.settle()
        sizes["btrfs"] = [(btrfs.used() - before) / MIB]
    tar = bench.base / "corpus.tar"
    run("tar", "-C", source, "-cf", tar, ".")
    for name, command in (("zstd -19 --long", ("zstd", "-q", "-19", "--long")),
                          ("xz -9e", ("xz", "-9e", "-T1"))):
        run("sh", "-c", f'{" ".join(command)} -c "$1" > "$1.packed"', "sh", tar)
        sizes[name] = [(bench.base / "corpus.tar.packed").stat().st_size / MIB]
    total = disk_use(source) / MIB
    goals = [Goal(1.0, name) for name in ("restic", "borg", "zbackup", "btrfs") if name in sizes]
    yield Row("size-corpus", f"store size, {total:.1f} MiB of logs written once", "MiB", sizes,
              [*goals, Goal(1.05, "zstd -19 --long")],
              note=f"blocks, index, snapshots, after gc ({gc_seconds:.0f} s); journal and reserve, which do not "
              f"grow, take {fixed / MIB:.0f} MiB more")


def history_rows(bench):
    """Hourly snapshots of a log directory that lives."""
    hours = bench.scaled(48, 6)
    amberfs = fresh_amberfs(bench, "history")
    source = bench.base / "history-source"
    source.mkdir()
    tools = bench.backup_tools(TOOLS, "-history")
    directories = [source, amberfs.directory]
    btrfs, volume = bench.systems.get("btrfs"), None
    if btrfs:
        btrfs.settle()
        before = btrfs.used()
        volume = btrfs.directory / "history"
        run("btrfs", "subvolume", "create", volume)
        directories.append(volume)
    life = LogLife([file.read_bytes() for file in bench.corpus()], 48)
    for number in range(hours):
        life.hour(number, directories)
        amberfs.snapshot()
        for tool in tools:
            tool.backup(source)
        if btrfs:
            run("btrfs", "subvolume", "snapshot", "-r", volume, f"{volume}-{number}")
    sizes = {tool.name: [tool.size() / MIB] for tool in tools}
    if btrfs:
        btrfs.settle()
        sizes["btrfs"] = [(btrfs.used() - before) / MIB]
    tidy_up(amberfs)
    amberfs.unmount()
    size, fixed = amberfs.store_size()
    sizes["amberfs"] = [size / MIB]
    yield Row("size-history", f"store size, {hours} hourly snapshots of a growing, rotating directory", "MiB",
              sizes, [smallest(sizes)],
              note=f"{disk_use(source) / MIB:.1f} MiB at the end; journal and reserve take {fixed / MIB:.0f} MiB more")


def going_back_rows(bench):
    """Rollback of a large tree; restore of a large directory beside the backup tools."""
    amberfs = fresh_amberfs(bench, "back")
    files, size = 5, bench.scaled(2048, 64) * MIB
    for number in range(files):
        half = amberfs.directory / ("part" if number % 2 == 0 else "rest")
        half.mkdir(exist_ok=True)
        bench.work("stream", half / f"log-{number}.log", "--size", size, "--seed", number + 1)
    amberfs.snapshot("full")
    values = {"amberfs": []}
    for number in range(bench.rounds(5)):
        with open(amberfs.directory / "part" / "log-0.log", "r+b") as log:
            log.truncate(1000 + number)
        values["amberfs"].append(timed(amberfs.binary, "rollback", amberfs.directory, "full") * 1e3)
    total = files * size
    yield Row("rollback", f"rollback of a {total / 2**30:.1f} GiB tree", "ms", values, [Goal(200)],
              note="the command as a whole")
    yield from restore_rows(bench, amberfs, 3 * size)
    amberfs.unmount()
    shutil.rmtree(amberfs.base)


def restore_rows(bench, amberfs, size):
    source = amberfs.directory / "part"
    rates = {}

    def measure(name, restore):
        target = bench.base / "restored"
        drop_caches()
        start = time.monotonic()
        restore(target)
        run("sync", "-f", bench.base)
        rates[name] = [size / MIB / (time.monotonic() - start)]
        shutil.rmtree(target)

    amberfs.forget()
    measure("amberfs", lambda target: run(amberfs.binary, "restore", amberfs.directory, "full", "part",
                                          "--to", target))
    for tool in bench.backup_tools(("restic", "borg"), "-restore"):
        tool.backup(source)
        measure(tool.name, lambda target, tool=tool: tool.restore(source, target))
        shutil.rmtree(tool.repository)
    yield Row("restore", f"restore of {size / 2**30:.1f} GiB to a directory, synced", "MB/s", rates,
              [Goal(2.0, name, at_least=True) for name in ("restic", "borg") if name in rates])
