#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""restore brings back a path, a directory, a glob, single lines, or copies elsewhere; what it does not
name stays; the inode stays, so that open readers and writers go on and see the restored bytes."""
import os
import shutil

import amber

with amber.Amber() as a:
    rng = amber.seeded()
    lines = amber.log_lines(3000, rng)
    for path in ("app.log", "dir/a.log", "dir/b.log", "dir/sub/c.log", "dir/keep.txt", "big.log"):
        amber.write_file(a.path(path), b"".join(lines))
    os.chmod(a.path("dir/a.log"), 0o640)
    os.chown(a.path("dir/a.log"), 5, 6)
    os.setxattr(a.path("dir/a.log"), "user.x", b"1")
    os.symlink("a.log", a.path("dir/link"))
    then = amber.manifest(a.mnt)
    snap = a.snapshot("--name", "good")

    # One path, damaged in place: same inode, an open reader sees the old bytes again.
    inode = os.stat(a.path("app.log")).st_ino
    reader = open(a.path("app.log"), "rb", buffering=0)
    writer = open(a.path("app.log"), "ab", buffering=0)
    with open(a.path("app.log"), "r+b") as damaged:
        damaged.seek(500)
        damaged.write(b"\0" * 70000)
    amber.check(b"\0" in reader.read(), "the damage is seen")
    amber.run("restore", a.mnt, "good", "app.log")
    amber.equal(amber.sha256(a.path("app.log")), then[b"app.log"][6][1], "restored path")
    amber.equal(os.stat(a.path("app.log")).st_ino, inode, "inode of a restored file")
    reader.seek(0)
    amber.equal(reader.read(), b"".join(lines), "an open reader sees the restored bytes")
    writer.write(b"and goes on\n")
    amber.equal(amber.read_file(a.path("app.log")), b"".join(lines) + b"and goes on\n", "open writer")
    reader.close()
    writer.close()

    # A directory that is gone, with all attributes; what is not named stays.
    shutil.rmtree(a.path("dir"))
    amber.write_file(a.path("new.log"), b"since\n")
    amber.run("restore", a.mnt, "good", "dir")
    now = amber.manifest(a.mnt)
    below = [path for path in then if path.startswith(b"dir")]
    amber.same_tree({path: now.get(path) for path in below}, {path: then[path] for path in below},
                    "restored directory")
    amber.equal(amber.read_file(a.path("new.log")), b"since\n", "what restore does not name")

    # A glob: only what it matches.
    for path in ("dir/a.log", "dir/b.log", "dir/keep.txt"):
        os.truncate(a.path(path), 10)
    amber.run("restore", a.mnt, "good", "dir/*.log")
    amber.equal(amber.sha256(a.path("dir/b.log")), then[b"dir/b.log"][6][1], "restored by glob")
    amber.equal(os.path.getsize(a.path("dir/keep.txt")), 10, "not matched by the glob")

    # Lines: those that were lost come back in their place, those written since stay.
    lost = lines[:100] + [b"written since 1\n"] + lines[200:1000] + lines[1500:] + [b"since 2\n"]
    amber.write_file(a.path("big.log"), b"".join(lost))
    amber.run("restore", a.mnt, "good", "big.log", "--lines")
    got = amber.read_file(a.path("big.log")).splitlines(keepends=True)
    amber.equal([line for line in got if b"since" not in line], lines, "lost lines, in their order")
    amber.equal([line for line in got if b"since" in line], [b"written since 1\n", b"since 2\n"],
                "lines written since")

    # Copies elsewhere; the live file is not touched.
    os.truncate(a.path("app.log"), 0)
    amber.run("restore", a.mnt, "good", "app.log", "dir", "--to", amber.scratch("copies"))
    amber.equal(amber.sha256(amber.scratch("copies/app.log")), then[b"app.log"][6][1], "--to")
    amber.equal(os.stat(amber.scratch("copies/dir/a.log")).st_uid, 5, "--to keeps the owner")
    amber.equal(os.path.getsize(a.path("app.log")), 0, "--to leaves the live file")

    # What a restore replaced can be had back.
    amber.run("restore", a.mnt, "good", "app.log")
    amber.run("restore", a.mnt, "latest", "app.log")
    amber.equal(os.path.getsize(a.path("app.log")), 0, "the state before the restore")

    # A path that is not in the snapshot: nothing changes.
    before = amber.manifest(a.mnt)
    amber.refused("restore", a.mnt, "good", "no-such-file", says=["no-such-file"])
    amber.same_tree(amber.manifest(a.mnt), before, "a refused restore changed something")

    # The same on the unmounted store.
    os.unlink(a.path("dir/a.log"))
    a.umount()
    amber.run("restore", a.store, "good", "dir/a.log")
    a.mount()
    amber.equal(amber.manifest(a.mnt)[b"dir/a.log"], then[b"dir/a.log"], "restored while unmounted")
