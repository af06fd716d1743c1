#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stores that are no store, locked, newer, broken in their configuration, or damaged: one line that
says what to do, exit code 3, nothing changed; damaged bytes give EIO for themselves alone."""
import os
import shutil
import subprocess

import amber


def state(directory):
    """Every byte of the store but the logs and the lock, to see that nothing was changed."""
    return {path: entry[6] for path, entry in amber.manifest(directory).items()
            if not path.startswith((b"server.log", b"lock", b"index/lock", b"audit.log", b"."))}


def flip(path, offset):
    with open(path, "r+b") as target:
        target.seek(offset)
        byte = target.read(1)
        target.seek(offset)
        target.write(bytes([byte[0] ^ 0x5A]))


COMMANDS = (["list"], ["status"], ["verify"], ["snapshot"], ["diff", None, "latest"],
            ["cat", None, "latest:app.log"], ["rollback", None, "latest"],
            ["restore", None, "latest", "app.log"])


def all_refused(store, says, mnt):
    for command in COMMANDS:
        before = state(store) if os.path.isdir(store) else None
        amber.refused(command[0], store, *command[2:], says=says)
        amber.check(before is None or before == state(store), f"{command[0]} changed the store")
    amber.refused("mount", store, mnt, says=says)
    amber.check(not os.path.ismount(mnt), "refused, but mounted")


# Not a store: missing, an empty directory, a directory of something else, a file.
mnt = amber.scratch("mnt-of-nothing")
os.mkdir(mnt)
os.mkdir(amber.scratch("empty"))
amber.write_file(amber.scratch("other/notes.txt"), b"mine")
amber.write_file(amber.scratch("file"), b"mine")
for store in ("missing", "empty", "other", "file"):
    all_refused(amber.scratch(store), ["amberfs init"], mnt)
amber.check(not os.path.exists(amber.scratch("missing")), "nothing was made")
amber.refused("init", amber.scratch("other"), says=["other"])
amber.equal(os.listdir(amber.scratch("other")), ["notes.txt"], "a refused init makes nothing")

# A store with content, unmounted.
a = amber.Amber()
a.mount()
for i in range(3):
    amber.write_file(a.path(f"app{i or ''}.log"), b"".join(amber.log_lines(8000, amber.seeded(), i)))
a.snapshot("--name", "good")
amber.refused("init", a.store, says=[a.store])

# Locked: mounted by another process, second mount and direct use of a second mount point.
other = amber.scratch("second")
os.mkdir(other)
amber.refused("mount", a.store, other, says=["mounted"])
amber.check(not os.path.ismount(other), "a second mount of one store")
a.umount()
pristine = amber.scratch("pristine")
shutil.copytree(a.store, pristine)


def fresh():
    shutil.rmtree(a.store)
    shutil.copytree(pristine, a.store)


# A newer format, and a configuration that is wrong.
a.configure(("store", "format", "99"))
all_refused(a.store, ["newer"], a.mnt)
fresh()
a.configure(("codec", "zstd_level", '"very high"'))
all_refused(a.store, ["zstd_level"], a.mnt)
fresh()
amber.write_file(os.path.join(a.store, "config.toml"), b"this is [not toml")
all_refused(a.store, ["config.toml"], a.mnt)

# Damaged packs: verify names file and range, reading gives EIO for those bytes alone, rest is right.
fresh()
packs = [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(a.store, "packs"))
         for name in names if name.endswith(".pack")]
largest = max(packs, key=os.path.getsize)
flip(largest, os.path.getsize(largest) // 3)
done = amber.run("verify", a.store, "--full", code=1)
amber.check(".log" in done.stdout, "verify names the damaged file")
a.mount()
good, bad = 0, 0
for name in ("app.log", "app1.log", "app2.log"):
    try:
        amber.read_file(a.path(name))
        good += 1
    except OSError as error:
        amber.equal(error.errno, 5, f"reading damaged {name}")
        bad += 1
amber.check(bad >= 1, "the damage was not noticed by reading")
amber.write_file(a.path("still.log"), b"the mount lives on\n")
amber.equal(amber.read_file(a.path("still.log")), b"the mount lives on\n", "the mount lives on")
a.umount()

# A damaged index is an error that says what to do; a torn journal tail is none.
fresh()
for folder, _, names in os.walk(os.path.join(a.store, "index")):
    for name in names:
        if name == "data.mdb":
            amber.write_file(os.path.join(folder, name), os.urandom(65536))
for command in (["mount", a.store, a.mnt], ["list", a.store]):
    amber.refused(*command, says=["index"])
fresh()
subprocess.run(["rm", "-r", os.path.join(a.store, "packs")], check=True)
done = amber.run("verify", a.store, code=None)
amber.check(done.returncode in (1, 3), "packs are gone: verify says no")
