#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gc through the mount while a program writes and commits run: every snapshot and the live files stay
to the byte, the packs get smaller; the same after a kill -9 right behind it, and after repair --index."""
import json
import multiprocessing
import os
import time

import amber


def write(path, seed, stop, expected):
    """A log that is appended to and, now and then, overwritten in the middle."""
    rng, model = amber.random.Random(seed), bytearray()
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    while not stop.is_set():
        data = b"%d line of a log\n" % rng.getrandbits(40) * rng.randrange(1, 400)
        at = len(model) if rng.randrange(4) or not model else rng.randrange(len(model))
        os.pwrite(fd, data, at)
        model[at:at + len(data)] = data
        if rng.randrange(20) == 0:
            os.fsync(fd)
        time.sleep(0.002)  # on a busy machine gc would never catch up with all that is kept as evidence
        if len(model) > 4 << 20:
            os.ftruncate(fd, 0)
            model.clear()
    os.fsync(fd)
    os.close(fd)
    amber.write_file(expected, bytes(model))


def gc(target):
    return json.loads(amber.run("gc", target, "--json", "--level", "3").stdout)


def check_past(where, a):
    for snap, digest in kept.items():
        amber.equal(a_hash(amber.read_file(a.past(snap, "frozen"))), digest, f"{snap} {where}")


def a_hash(data):
    return amber.hashlib.sha256(data).hexdigest()


a = amber.Amber()
a.mount()
rng, stop, kept = amber.seeded(), multiprocessing.Event(), {}
writer = multiprocessing.Process(target=write, args=(a.path("log"), rng.getrandbits(32), stop,
                                                     amber.scratch("want")))
writer.start()
moved = 0
for _ in range(6):
    content = rng.randbytes(300000)
    amber.write_file(a.path("frozen"), content)
    kept[a.snapshot()] = a_hash(content)
    report = gc(a.mnt)
    amber.equal(report["damage"], [], "damage found by gc")
    moved += report["blocks_moved"]
    check_past("while a program writes", a)
stop.set()
writer.join()
amber.check(moved > 20, f"gc moved only {moved} blocks")
amber.equal(amber.read_file(a.path("log")), amber.read_file(amber.scratch("want")), "log, live")
gc(a.mnt)
a.kill_server()
a.mount()
amber.equal(amber.read_file(a.path("log")), amber.read_file(amber.scratch("want")), "log, after kill")
check_past("after kill -9", a)
a.umount()
report = gc(a.store)
amber.check(report["bytes_after"] <= report["bytes_before"] + 4096, f"packs grew: {report}")
amber.equal(gc(a.store)["blocks_moved"], 0, "blocks moved though nothing changed")
amber.run("verify", a.store, "--full")
os.unlink(os.path.join(a.store, "index", "data.mdb"))
amber.run("repair", "--index", a.store)
amber.run("verify", a.store, "--full")
a.mount()
amber.equal(amber.read_file(a.path("log")), amber.read_file(amber.scratch("want")), "log, repaired")
check_past("after repair --index", a)
a.umount()
amber.refused("gc", amber.scratch("nothing"), says=["nothing"])
