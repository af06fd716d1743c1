#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that are appended to, overwritten, truncated and punched while commit after commit runs hold
the bytes that were written: live, after a kill -9, and after a remount."""
import ctypes
import multiprocessing
import os
import time

import amber

SECONDS, WRITERS = 6, 3
LIBC = ctypes.CDLL(None, use_errno=True)


def step(rng, fd, model):
    """One random change, to the file and to its model."""
    size = len(model)
    what = rng.randrange(10)
    if what < 6 or size < 8192:  # appends of a line, as loggers make them
        data = b"%d " % rng.getrandbits(64) * rng.randrange(1, 20) + b"\n"
        os.pwrite(fd, data, size)
        model += data
    elif what < 8:
        at, data = rng.randrange(size), rng.randbytes(rng.randrange(1, 9000))
        os.pwrite(fd, data, at)
        model[at:at + len(data)] = data
    elif what == 8 and size > 200000:
        cut = rng.randrange(size)
        os.ftruncate(fd, cut)
        del model[cut:]
    else:
        at = rng.randrange(size)
        length = min(rng.randrange(1, 9000), size - at)
        LIBC.fallocate(fd, 3, ctypes.c_long(at), ctypes.c_long(length))
        model[at:at + length] = bytes(length)


def write(path, seed, stop, expected):
    rng, model = amber.random.Random(seed), bytearray()
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    while not stop.is_set():
        step(rng, fd, model)
        if rng.randrange(20) == 0:
            os.fsync(fd)
    os.fsync(fd)
    os.close(fd)
    amber.write_file(expected, bytes(model))


def compare(a, when):
    for i in range(WRITERS):
        got, want = amber.read_file(a.path(f"log{i}")), amber.read_file(amber.scratch(f"want{i}"))
        amber.equal(len(got), len(want), f"size of log{i} {when}")
        if got != want:
            at = next(k for k, (x, y) in enumerate(zip(got, want)) if x != y)
            amber.fail(f"log{i} {when}: byte {at} of {len(want)} is {got[at:at + 20]!r}, "
                       f"written was {want[at:at + 20]!r}")


a = amber.Amber()
a.mount()
rng, stop = amber.seeded(), multiprocessing.Event()
writers = [multiprocessing.Process(target=write, args=(a.path(f"log{i}"), rng.getrandbits(32), stop,
                                                       amber.scratch(f"want{i}")))
           for i in range(WRITERS)]
for writer in writers:
    writer.start()
deadline = time.monotonic() + SECONDS
while time.monotonic() < deadline:
    a.snapshot()
stop.set()
for writer in writers:
    writer.join()
compare(a, "live")
a.kill_server()
a.mount()
compare(a, "after kill -9")
a.umount()
a.mount()
compare(a, "after a remount")
a.umount()
amber.run("verify", a.store, "--full")
