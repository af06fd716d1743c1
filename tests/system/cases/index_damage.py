#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The index is damaged under a live mount, in every coarse way: the server lives, what is fsynced is
there afterwards, status says so, and repair --index makes all well. An older copy of the index that
somebody put back is refused, and costs no byte of a pack."""
import glob
import json
import os

import amber

PAGE = 4096


def overwritten(store, change):
    path = os.path.join(store, "index", "data.mdb")
    with open(path, "r+b") as file:
        change(file, os.path.getsize(path))


def noise(file, size):
    file.seek(2 * PAGE)
    file.write(os.urandom(size - 2 * PAGE))


def zeros_from_the_start(file, size):
    file.write(bytes(size))


def cut_to(pages):
    return lambda file, _size: file.truncate(pages * PAGE)


def packs(store):
    return {path: os.path.getsize(path)
            for path in glob.glob(os.path.join(store, "packs", "**", "*.pack"), recursive=True)}


def problems(a):
    return " ".join(json.loads(amber.run("status", a.mnt, "--json").stdout)["problems"])


rng = amber.seeded()
lines = amber.log_lines(300, rng)
a = amber.Amber()
a.mount()
for number in range(20):
    amber.write_file(a.path(f"log{number}"), b"".join(lines[number:number + 200]))
zero = a.snapshot("--name", "zero")

for turn, change in enumerate([noise, zeros_from_the_start, cut_to(2), cut_to(0)]):
    a.snapshot("--name", f"whole{turn}")
    before = a.server_pid()
    overwritten(a.store, change)
    fd = os.open(a.path("log0"), os.O_WRONLY | os.O_APPEND)
    os.write(fd, lines[-1 - turn])
    os.fsync(fd)
    os.close(fd)
    amber.refused("snapshot", a.mnt, says=["repair --index"])
    amber.check("repair --index" in problems(a), f"status after {change}: {problems(a)}")
    amber.equal(a.server_pid(), before, "the server")
    a.umount()
    amber.refused("mount", a.store, a.mnt, says=["repair --index"])
    amber.run("repair", "--index", a.store)
    a.mount()
    expected = b"".join(lines[:200]) + b"".join(reversed(lines[-1 - turn:]))
    amber.equal(amber.read_file(a.path("log0")), expected, "what was fsynced")
    amber.equal(amber.read_file(a.past(zero, "log19")), b"".join(lines[19:219]), "the snapshot")
    amber.run("verify", a.mnt, "--full")

# An older copy.
a.umount()
index = os.path.join(a.store, "index", "data.mdb")
old = amber.read_file(index)
a.mount()
amber.write_file(a.path("later"), b"".join(lines))
later = a.snapshot("--name", "later")
a.umount()
amber.write_file(index, old)
there = packs(a.store)
for command in (["list", a.store], ["status", a.store], ["verify", a.store], ["mount", a.store, a.mnt]):
    amber.refused(*command, says=["older than the snapshot", "repair --index"])
amber.equal(packs(a.store), there, "sizes of the packs")
amber.run("repair", "--index", a.store)
a.mount()
amber.equal(amber.read_file(a.past(later, "later")), b"".join(lines), "the later snapshot")
amber.run("verify", a.mnt, "--full")
a.umount()
