#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshots taken under running writers read back byte for byte the same, for ever: at once, later,
after more changes, after a remount, and through `amberfs cat`."""
import os
import threading
import time

import amber

WRITERS, SNAPSHOTS = 3, 8


def write_until(stop, path, rng):
    """Appends, rotates by rename, and rewrites in place, as log writers do."""
    number = 0
    while not stop.is_set():
        with open(path, "ab") as log:
            log.writelines(amber.log_lines(200, rng, number))
        number += 200
        if number % 2000 == 0:
            os.rename(path, path + f".{number // 2000 % 4}")
        if number % 600 == 0 and os.path.exists(path):
            with open(path, "r+b") as log:
                log.seek(rng.randrange(1 + os.path.getsize(path)))
                log.write(b"REWRITTEN")
        time.sleep(0.005)


def sums(a, snap):
    return amber.manifest(a.past(snap))


with amber.Amber() as a:
    rng, stop = amber.seeded(), threading.Event()
    threads = [threading.Thread(target=write_until, args=(stop, a.path(f"app{i}.log"),
                                                          amber.random.Random(rng.random())))
               for i in range(WRITERS)]
    for thread in threads:
        thread.start()
    taken = {}
    for _ in range(SNAPSHOTS):
        time.sleep(0.3)
        name = a.snapshot()
        taken[name] = sums(a, name)
    stop.set()
    for thread in threads:
        thread.join()
    amber.equal(len(taken), SNAPSHOTS, "snapshots of a changing tree have different names")
    amber.check(len({str(tree) for tree in taken.values()}) == SNAPSHOTS, "snapshots do not differ")
    for name, tree in taken.items():
        amber.same_tree(sums(a, name), tree, f"snapshot {name} changed under later writes")
    a.umount()
    a.mount()
    for name, tree in taken.items():
        amber.same_tree(sums(a, name), tree, f"snapshot {name} changed by a remount")
    first = min(taken)
    for path in taken[first]:
        if path.endswith(b".log"):
            through_cat = amber.run("cat", a.mnt, f"{first}:{os.fsdecode(path)}", text=False).stdout
            amber.equal(through_cat, amber.read_file(a.past(first, os.fsdecode(path))), "cat")
    kept = next(os.fsdecode(path) for path in sorted(taken[first]) if path.endswith(b".log"))
    for call in (lambda: open(a.past(first, "new"), "w"), lambda: os.unlink(a.past(first, kept)),
                 lambda: os.chmod(a.past(first, kept), 0), lambda: os.mkdir(a.past(first, "d")),
                 lambda: os.rename(a.past(first, kept), a.path("x"))):
        try:
            call()
        except OSError as error:
            amber.check(error.errno in (30, 18), f"writing into a snapshot: {error}")  # EROFS, EXDEV
        else:
            amber.fail("a snapshot could be written to")
    amber.check(".snapshots" not in os.listdir(a.mnt), ".snapshots is hidden from a listing")
    amber.run("verify", a.mnt, "--full")
