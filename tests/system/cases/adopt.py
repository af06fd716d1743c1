#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mount --adopt takes a non-empty directory into the store, exactly, and leaves the originals
untouched; without --adopt a non-empty mount point is refused with that advice."""
import os
import subprocess
import time

import amber

a = amber.Amber()
rng = amber.seeded()
for i in range(30):
    amber.write_file(a.path(f"d{i % 4}", f"f{i}.log"), b"".join(amber.log_lines(i * 30, rng)))
os.link(a.path("d0/f0.log"), a.path("d1/hard-of-f0"))
os.symlink("d0/f4.log", a.path("link"))
os.symlink("nowhere", a.path("dangling"))
os.mkfifo(a.path("fifo"), 0o640)
os.mknod(a.path("null"), 0o20666, os.makedev(1, 3))
os.chown(a.path("d2"), 33, 44)
os.chmod(a.path("d2/f2.log"), 0o4755)
os.setxattr(a.path("d3/f3.log"), "user.note", b"kept")
amber.subprocess.run(["setfacl", "-m", "u:1234:rw", a.path("d3/f7.log")], check=False)
with open(a.path("sparse"), "wb") as sparse:
    sparse.truncate(64 << 20)
    sparse.seek(32 << 20)
    sparse.write(b"in the middle")
amber.write_file(os.fsencode(a.path("")) + b"odd \xff\n name", b"odd")
for i in range(4):
    os.utime(a.path(f"d{i}"), ns=(10**18, 10**18 + i))
os.chmod(a.mnt, 0o751)
os.utime(a.mnt, ns=(10**18, 10**18 + 99))
before = amber.manifest(a.mnt)

amber.refused("mount", a.store, a.mnt, says=["--adopt"])
amber.check(not os.path.ismount(a.mnt), "refused, but mounted")
holder = subprocess.Popen(["tail", "-f", a.path("d0/f4.log")], stdout=subprocess.DEVNULL)
time.sleep(0.3)
done = amber.run("mount", "--adopt", a.store, a.mnt)
amber.check("tail" in done.stdout + done.stderr, "it reports who holds files open underneath")
holder.kill()
holder.wait()
amber.same_tree(amber.manifest(a.mnt), before, "adopted tree")
with open(a.path("sparse"), "rb") as sparse:
    amber.equal(os.lseek(sparse.fileno(), 0, os.SEEK_DATA) >> 20, 32, "a sparse file stays sparse")
amber.write_file(a.path("d0/f0.log"), b"changed through the mount\n")
snap = a.snapshot()
amber.run("umount", a.mnt)
amber.same_tree(amber.manifest(a.mnt), before, "the originals are untouched")

a.mount()  # a second mount of the same store over the same directory adopts nothing again
amber.equal(amber.read_file(a.path("d0/f0.log")), b"changed through the mount\n", "second mount")
a.umount()
