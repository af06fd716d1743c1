#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""umount, then mount: everything is there, attributes and xattrs included; three times over."""
import os

import amber

with amber.Amber() as a:
    rng = amber.seeded()
    for i in range(40):
        amber.write_file(a.path(f"app{i % 7}", f"file{i}.log"), b"".join(amber.log_lines(i * 20, rng)))
    os.symlink("app0/file0.log", a.path("current"))
    os.link(a.path("app1/file1.log"), a.path("app2/hard"))
    os.mkfifo(a.path("fifo"))
    os.chown(a.path("app3"), 12, 34)
    os.chmod(a.path("app3/file3.log"), 0o600)
    os.setxattr(a.path("app4/file4.log"), "user.owner", b"someone")
    os.utime(a.path("app5/file5.log"), ns=(10**18, 10**18 + 7))
    os.truncate(a.path("app6/file6.log"), 10**7)
    before = amber.manifest(a.mnt)
    for turn in range(3):
        a.umount()
        amber.equal(os.listdir(a.mnt), [], "under the mount there is nothing")
        a.mount()
        amber.same_tree(amber.manifest(a.mnt), before, f"after remount {turn + 1}")
        amber.write_file(a.path(f"turn{turn}"), b"new in this turn\n")
        before = amber.manifest(a.mnt)
    with open(a.path("app0/file7.log"), "ab") as held:  # a file is open: umount waits for nobody
        held.write(b"not closed yet\n")
        held.flush()
        amber.refused("umount", a.mnt)
    amber.equal(amber.read_file(a.path("app0/file7.log"))[-15:], b"not closed yet\n", "still served")
