#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The journal that a killed server left is damaged. In the middle: nothing opens the store, verify
names the place, repair --journal says what it would lose, keeps the files, and the store goes on.
At its end: the store opens, and says what was lost until somebody says that it is known."""
import glob
import json
import os
import shutil

import amber


def newest_segment(store):
    return max(path for path in glob.glob(os.path.join(store, "journal", "*.wal"))
               if amber.read_file(path)[:8] == b"AMBERWAL")


def records(segment):
    """Offsets of what looks like records."""
    content, places, at = amber.read_file(segment), [], 4096
    while content[at:at + 4] == b"AJR1":
        places.append(at)
        at += 128 + sum(int.from_bytes(content[at + field:at + field + 4], "little") for field in (40, 44))
    return places, at


def poke(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def write_lines(a, name, lines):
    """Each of them durable before the next one."""
    fd = os.open(a.path(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for line in lines:
        os.write(fd, line)
        os.fsync(fd)
    os.close(fd)


def problems(a):
    return " ".join(json.loads(amber.run("status", a.mnt, "--json").stdout)["problems"])


rng = amber.seeded()
lines = amber.log_lines(400, rng)
a = amber.Amber(config=[("commit", "every", '"1h"')])
a.mount()
amber.write_file(a.path("app.log"), b"".join(lines[:200]))
a.snapshot("--name", "before")
write_lines(a, "app.log", lines[200:300])
write_lines(a, "new.log", lines[300:])
a.kill_server()
killed = amber.scratch("killed")
shutil.copytree(a.store, killed, ignore=shutil.ignore_patterns("control.sock"))
wal = newest_segment(a.store)
places, end = records(wal)
amber.check(len(places) > 150, f"{len(places)} records are too few")

# In the middle.
hurt = places[len(places) // 4]  # before new.log is made
poke(wal, hurt + 130, bytes([amber.read_file(wal)[hurt + 130] ^ 1]))
damaged = amber.read_file(wal)
amber.refused("mount", a.store, a.mnt, says=["repair --journal", f"offset {hurt}"])
amber.refused("snapshot", a.store, says=["repair --journal"])
verified = json.loads(amber.run("verify", a.store, "--full", "--json", code=1).stdout)
amber.equal([d["kind"] for d in verified["damage"]], ["journal"], "what verify finds")
amber.check(f"offset {hurt}" in verified["damage"][0]["what"], verified["damage"][0]["what"])
amber.equal(verified["snapshots"], 1, "snapshots that verify looked at")

done = amber.run("repair", "--journal", "--dry-run", a.store, "--json")
amber.equal(done.stderr, "", "what a dry run says besides")
looked = json.loads(done.stdout)
amber.check("/new.log" in looked["paths"], f"what is lost: {looked['paths']}")
amber.check(looked["batches_set_aside"] >= 90, f"batches: {looked['batches_set_aside']}")
amber.equal(amber.read_file(wal), damaged, "a dry run changes nothing")
amber.refused("mount", a.store, a.mnt, says=["repair --journal"])

amber.run("repair", "--journal", a.store)
kept = glob.glob(os.path.join(a.store, "journal", "set-aside-*", os.path.basename(wal)))
amber.equal(len(kept), 1, "segments that were kept")
amber.equal(amber.read_file(kept[0]), damaged.rstrip(b"\0"), "what was kept")
a.mount()
whole = b"".join(lines[:300])
now = amber.read_file(a.path("app.log"))
amber.check(whole.startswith(now) and len(now) >= len(b"".join(lines[:200])), "what is there is what was")
amber.equal(problems(a), "", "after the repair")
amber.equal(amber.read_file(a.past("by-name/before", "app.log")), b"".join(lines[:200]), "the snapshot")
amber.write_file(a.path("goes-on"), b"it does\n")
a.umount()
amber.run("verify", a.store, "--full")
amber.check("journal_loss" in amber.run("audit", a.store).stdout, "the audit log does not say so")
a.mount()
amber.equal(amber.read_file(a.path("goes-on")), b"it does\n", "what was written afterwards")
a.umount()

# At the end: the last records are zeros, as if they had never been written; but they were synced.
shutil.rmtree(a.store)
shutil.copytree(killed, a.store)
wal = newest_segment(a.store)
poke(wal, places[-3], b"\0" * (end - places[-3]))
a.mount()
now = amber.read_file(a.path("new.log"))
amber.check(b"".join(lines[300:]).startswith(now), "what is there is what was")
amber.check("lost" in problems(a), "status says nothing of what was lost")
amber.check("lost" in amber.run("verify", a.mnt, code=1).stdout, "verify says nothing of it")
a.umount()
a.mount()
amber.check("lost" in problems(a), "it is forgotten after a remount")
amber.run("repair", "--journal", a.mnt)
amber.equal(problems(a), "", "once it is known")
amber.run("verify", a.mnt)
a.umount()

# Nothing wrong: nothing is done.
done = amber.run("repair", "--journal", a.store)
amber.check("nothing is wrong" in done.stdout.lower() and not done.stderr, f"nothing is wrong: {done.stderr}")
