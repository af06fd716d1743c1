#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The disk stops taking writes (a loop device whose own backing is full, so that ext4 says yes to
write(2) and fails at the sync): fsync says so, nothing can be changed any more and status says why,
all that was promised can be read, umount works, and is there again once the disk is well."""
import errno
import os
import subprocess

import amber


def sh(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)


amber.need("mkfs.ext4", "losetup", "e2fsck")
thin, under = amber.scratch("thin"), amber.scratch("disk")
image = os.path.join(thin, "image")
os.mkdir(thin)
os.mkdir(under)
sh("mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", thin)
a = amber.Amber(init=False)
a.store = os.path.join(under, "store")
held = -1
try:
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    sh("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", image)
    if subprocess.run(["mount", "-o", "loop", image, under], check=False).returncode != 0:
        amber.skip("loop devices cannot be mounted here")
    amber.run("init", a.store)
    a.mount()
    rng, promised, seen = amber.seeded(), bytearray(), None
    held = os.open(a.path("first.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(200):
        piece = rng.randbytes(256 << 10)
        try:
            os.write(held, piece)
            os.fsync(held)
        except OSError as error:
            seen = error.errno
            break
        promised += piece
    amber.check(seen in (errno.EIO, errno.ENOSPC), f"fsync on a disk that fails: errno {seen}")
    print(f"{errno.errorcode[seen]} after {len(promised) >> 10} KiB", flush=True)

    # Never a success afterwards for what was not written.
    try:
        os.fsync(held)
        amber.fail("a failed fsync was retried into a success")
    except OSError:
        pass
    status = a.status()
    amber.equal(status["disk"]["state"], "readonly", "the state of a store that cannot be written")
    amber.check("journal" in status["disk"]["reason"], f"why: {status['disk']['reason']}")
    for what, change in (("make", lambda: os.mkdir(a.path("new"))),
                         ("remove", lambda: os.unlink(a.path("first.log"))),
                         ("rename", lambda: os.rename(a.path("first.log"), a.path("other")))):
        try:
            change()
            amber.fail(f"{what}: allowed in a read-only state")
        except OSError as error:
            amber.equal(errno.errorcode[error.errno], "EROFS", what)
    found = amber.read_file(a.path("first.log"))
    amber.check(found[:len(promised)] == promised, "what was promised is read while the disk fails")
    os.close(held)
    held = -1
    amber.run("umount", a.mnt, code=None)
    amber.check(not os.path.ismount(a.mnt), "umount works")

    # The disk is replaced by one that takes everything: what it has is what was synced.
    subprocess.run(["umount", under], check=True, timeout=60)
    sh("mount", "-o", "remount,size=400m", thin)
    subprocess.run(["e2fsck", "-fy", image], check=False, stdout=subprocess.DEVNULL, timeout=60)
    sh("mount", "-o", "loop", image, under)
    a.mount()
    found = amber.read_file(a.path("first.log"))
    amber.check(found[:len(promised)] == promised, "what was promised is there afterwards")
    amber.write_file(a.path("second.log"), b"it goes on\n")
    a.umount()
finally:
    if held >= 0:
        os.close(held)
    if os.path.ismount(a.mnt):
        subprocess.run([amber.BINARY, "umount", a.mnt], check=False, timeout=60)
    subprocess.run(["umount", under], check=False)
    subprocess.run(["umount", "-l", thin], check=False)
