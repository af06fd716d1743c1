#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Full, free, go on, many times over on an ext4 of 64 MiB, one mount all the while: programs are told
ENOSPC in time, what they were promised is there, removing works on the full disk, nothing sticks.
A few cycles; AMBERFS_CYCLES=100 (or the target full_disk_cycles) for the long form.
timeout: 1200"""
import errno
import json
import os
import signal
import subprocess
import sys
import time

import amber

CYCLES = int(os.environ.get("AMBERFS_CYCLES", "0")) or 10
# Nothing that was committed comes free again, so each cycle may use up only a part of the disk: a
# ballast file beside the store takes the rest, and gives it back.
PART = min(3 << 20, (18 << 20) // CYCLES)
CYCLE_LIMIT_S = 60


def sh(*command, code=0):
    subprocess.run(command, check=code == 0, stdout=subprocess.DEVNULL, timeout=60)


class Ledger:
    """What one file must hold: `data` was accepted by write(2), `promised` of it by fsync, too."""

    def __init__(self, path, fd):
        self.path, self.fd, self.data, self.promised = path, fd, bytearray(), 0

    def write(self, content):
        """None, or the errno. A short write counts as far as it went."""
        try:
            self.data += content[:os.write(self.fd, content)]
        except OSError as error:
            return error.errno
        return None

    def sync(self):
        try:
            os.fsync(self.fd)
        except OSError as error:
            return error.errno
        self.promised = len(self.data)
        return None

    def compare(self, when):
        with open(self.path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            found = file.read()
        if found[:self.promised] != self.data[:self.promised]:
            wrong = next(i for i in range(self.promised + 1)
                         if found[i:i + 1] != self.data[i:i + 1] or i == self.promised)
            amber.fail(f"{self.path} {when}: byte {wrong} of {self.promised} promised ones is wrong"
                       f" ({len(found)} bytes found)")

    def cut_to_promise(self):
        os.ftruncate(self.fd, self.promised)
        del self.data[self.promised:]


def opened(path):
    return Ledger(path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))


def stuck(*_):
    minor = None
    print("a cycle is stuck; the connection is aborted", flush=True)
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        for line in table:
            if line.split()[4] == a.mnt:
                minor = line.split()[2].split(":")[1]
    if minor:
        with open(f"/sys/fs/fuse/connections/{minor}/abort", "w", encoding="ascii") as abort:
            abort.write("1")
    amber.fail("stuck")


def fill(ledger, size, rng, sync_every=0):
    """Writes until it is told ENOSPC; how is part of the test. Returns what was accepted."""
    begin, since = len(ledger.data), 0
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        told = ledger.write(rng.randbytes(size))
        since += size
        if told is None and sync_every and since >= sync_every:
            told, since = ledger.sync(), 0
        if told is not None:
            amber.equal(errno.errorcode[told], "ENOSPC", f"writing {ledger.path}")
            return len(ledger.data) - begin
    amber.fail(f"{ledger.path}: never told that the disk is full")


def settle(ledger, when):
    """fsync after ENOSPC: all that was accepted is there, or the writer is told that it is not."""
    told = ledger.sync()
    if told is not None:
        amber.equal(errno.errorcode[told], "ENOSPC", f"fsync of {ledger.path} {when}")
        ledger.cut_to_promise()
        amber.equal(ledger.sync(), None, f"fsync of {ledger.path} once it was cut {when}")
    return told is None


def disk():
    said = subprocess.run([amber.BINARY, "status", a.mnt, "--json"], capture_output=True, timeout=60,
                          check=True)
    return json.loads(said.stdout)["disk"]


def make_ballast(leave):
    """Takes the disk from all others, but for about `leave` bytes of new data."""
    for _ in range(20):
        size = os.path.getsize(ballast) if os.path.exists(ballast) else 0
        grow = disk()["headroom_bytes"] - leave
        if grow < 64 << 10:
            return
        with open(ballast, "ab") as file:
            os.posix_fallocate(file.fileno(), size, grow)
    amber.fail("the ballast does not settle")


def cycle(number, rng):
    make_ballast(PART)
    kind = number % 4 if number < 8 else number % 3  # a large write uses up more than its part
    if kind == 0:    # no fsync at all, small pieces, opened when there was room: all in the cache
        accepted = fill(first, 700, rng)
        kept = settle(first, "after small cached writes")
        amber.check(kept, "what write(2) accepted before ENOSPC was placed")
    elif kind == 1:  # promised every now and then
        accepted = fill(second, 16 << 10, rng, 64 << 10)
        settle(second, "after synced writes")
    elif kind == 2:  # opened on a disk that is nearly full: direct
        files.append(opened(a.path(f"file{number}")))
        accepted = fill(files[-1], 50_000, rng)
        amber.check(settle(files[-1], "after direct writes"), "direct writes are told at once")
    else:            # one write larger than all there is: told by the write, or by fsync
        accepted = 0
        told = second.write(rng.randbytes(PART + (8 << 20)))
        told = told or second.sync()
        amber.equal(errno.errorcode.get(told), "ENOSPC", "a write larger than the disk")
        second.cut_to_promise()
        fill(second, 4096, rng)
        settle(second, "after a large write")
    state = disk()
    # A commit may have made a little room since.
    amber.check(state["state"] in ("full", "low"), f"the state of a full disk: {state}")
    amber.check(state["reason"], "a full disk is explained")
    for ledger in files:
        ledger.compare("on the full disk")
    # What frees or keeps must work now.
    os.rename(a.path("first.log"), a.path("first.moved"))
    os.rename(a.path("first.moved"), a.path("first.log"))
    os.truncate(a.path("second.log"), second.promised)
    if len(files) > 3:
        gone = files.pop(2)
        os.close(gone.fd)
        os.unlink(gone.path)
    amber.run("snapshot", a.mnt)
    os.unlink(ballast)
    amber.wait_until(lambda: disk()["state"] != "full", 20, f"cycle {number}: still full: {disk()}")
    for ledger in (first, second):   # the same descriptors go on, without a remount
        amber.equal(ledger.write(b"there is room again\n"), None, "a write after space was freed")
        amber.equal(ledger.sync(), None, "a sync after space was freed")
    print(f"cycle {number}: {accepted >> 10} KiB accepted, {state['available_bytes'] >> 10} KiB left"
          f" beneath when full", flush=True)


amber.need("mkfs.ext4", "losetup")
image, under = amber.scratch("image"), amber.scratch("disk")
with open(image, "wb") as empty:
    empty.truncate(64 << 20)
sh("mkfs.ext4", "-q", "-m", "0", image)
os.mkdir(under)
if subprocess.run(["mount", "-o", "loop", image, under], check=False).returncode != 0:
    amber.skip("loop devices cannot be mounted here")
a = amber.Amber(init=False)
a.store, ballast = os.path.join(under, "store"), os.path.join(under, "ballast")
files = []
try:
    signal.signal(signal.SIGALRM, stuck)
    random = amber.seeded()
    amber.run("init", a.store)
    a.mount()
    first, second = opened(a.path("first.log")), opened(a.path("second.log"))
    files += [first, second]
    for turn in range(CYCLES):
        signal.alarm(CYCLE_LIMIT_S)
        cycle(turn, random)
    signal.alarm(CYCLE_LIMIT_S)
    for held in files:
        held.compare("at the end")
        os.close(held.fd)
    a.umount()
    a.mount()
    for held in files:
        held.compare("after a remount")
    amber.run("verify", a.mnt, "--full")
    a.umount()
    signal.alarm(0)
finally:
    if os.path.exists(ballast):
        os.unlink(ballast)
    if os.path.ismount(a.mnt):
        for held in files:
            try:
                os.close(held.fd)
            except OSError:
                pass
        if subprocess.run([amber.BINARY, "umount", a.mnt], check=False, timeout=60).returncode != 0:
            subprocess.run(["umount", "-l", a.mnt], check=False)
    subprocess.run(["umount", under], check=False)
sys.exit(0)
