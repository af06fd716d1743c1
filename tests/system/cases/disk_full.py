#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The disk below is full: the writer sees ENOSPC, nothing acknowledged is lost, and after room was
made the mount goes on. The disk below is read-only: refused in one line."""
import errno
import os
import subprocess

import amber


def sh(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


amber.need("mkfs.ext4", "losetup")
image, disk = amber.scratch("image"), amber.scratch("disk")
with open(image, "wb") as file:
    file.truncate(320 << 20)
sh("mkfs.ext4", "-q", "-m", "0", image)
os.mkdir(disk)
if subprocess.run(["mount", "-o", "loop", image, disk], check=False).returncode != 0:
    amber.skip("loop devices cannot be mounted here")
a = amber.Amber(init=False)
a.store = os.path.join(disk, "store")
try:
    amber.run("init", a.store)
    a.configure(("journal", "segment", '"32MiB"'))
    ballast = os.path.join(disk, "ballast")
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 160 << 20)
    a.mount()
    rng, kept, seen = amber.seeded(), {}, None
    amber.write_file(a.path("first.log"), b"".join(amber.log_lines(1000, rng)))
    amber.run("snapshot", a.mnt, "--name", "first")
    for i in range(200):
        content, path = rng.randbytes(1 << 20), a.path(f"random{i}")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT)
            try:
                os.write(fd, content)
                os.fsync(fd)
            finally:
                os.close(fd)
            kept[path] = content
        except OSError as error:
            seen = error.errno
            break
    amber.equal(errno.errorcode.get(seen), "ENOSPC", f"a full disk, after {len(kept)} MiB")
    amber.check(len(kept) > 5, f"only {len(kept)} MiB fitted")
    for path, content in kept.items():
        amber.equal(amber.hashlib.sha256(amber.read_file(path)).digest(),
                    amber.hashlib.sha256(content).digest(), f"acknowledged {path}, disk full")
    done = amber.run("snapshot", a.mnt, code=None)
    amber.check(done.returncode in (0, 3), "a snapshot of a full disk works or says why not")
    os.unlink(ballast)
    amber.run("umount", a.mnt)
    a.mount()
    for path, content in kept.items():
        amber.equal(amber.hashlib.sha256(amber.read_file(path)).digest(),
                    amber.hashlib.sha256(content).digest(), f"acknowledged {path}, after remount")
    amber.write_file(a.path("after.log"), b"there is room again\n")
    amber.run("verify", a.mnt, "--full")
    a.umount()

    sh("mount", "-o", "remount,ro", disk)
    amber.refused("mount", a.store, a.mnt)
    amber.refused("snapshot", a.store)
    amber.refused("init", os.path.join(disk, "new"))
    sh("mount", "-o", "remount,rw", disk)
    a.mount()
    amber.equal(amber.read_file(a.path("after.log")), b"there is room again\n", "nothing was changed")
    a.umount()
finally:
    if os.path.ismount(a.mnt):
        subprocess.run([amber.BINARY, "umount", a.mnt], check=False)
    subprocess.run(["umount", disk], check=False)
