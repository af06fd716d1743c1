#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What programs take away from logs is recorded with who did it, and can be had back; appending,
editors' temporary files and databases are no tampering. Through the mount, with real programs; then
after a kill of the server, a rollback and a new mount; and an audit log that was edited is named."""
import json
import os
import sqlite3
import subprocess

import amber


def audit(target, *options):
    return json.loads(amber.run("audit", target, "--json", *options).stdout)["events"]


def removals(target, name="tampering"):
    return [event for event in audit(target) if event["event"] == name]


def shell(command):
    print("$", command, flush=True)
    subprocess.run(["bash", "-c", command], cwd=a.mnt, check=True, timeout=60)


def shown(target, number):
    return amber.run("audit", target, "--show", str(number), text=False).stdout


def expect(command, path, what, bytes_gone, program, named=None):
    """`command` takes `bytes_gone` from `path`, which the audit names and has."""
    amber.write_file(a.path(path), LOG)
    before = {event["number"] for event in removals(a.mnt)}
    shell(command)
    os.sync()
    new = [event for event in removals(a.mnt) if event["number"] not in before]
    amber.check(new, f"nothing was recorded of: {command}")
    event = new[0]
    amber.equal((event["path"], event["what"]), (f"/{named or path}", what), command)
    amber.equal(event["command"], program, f"who did: {command}")
    amber.equal(event["uid"], os.getuid(), f"whose program did: {command}")
    if bytes_gone is None:  # random bytes may be the old ones at either end
        bytes_gone = LOG[event["begin"]:event["end"]]
        amber.check(len(bytes_gone) > len(LOG) - 16, f"{len(bytes_gone)} bytes went by {command}")
    amber.equal(shown(a.mnt, event["number"]), bytes_gone, f"the bytes that went by: {command}")
    everything[event["number"]] = bytes_gone


LOG = b"".join(b"line %d of the log\n" % i for i in range(2000))
everything = {}
a = amber.Amber()
a.mount()

# What is no tampering.
shell("for i in $(seq 300); do echo line $i >> grows.log; done; sync grows.log; "
      "for i in $(seq 300); do echo line $i >> grows.log; done; sync")
shell("logger() { cat >> piped.log; }; seq 100000 | logger; seq 5 | logger; sync")
database = sqlite3.connect(a.path("state.sqlite"))
database.execute("create table t(x)")
for i in range(50):
    database.execute("insert into t values(?)", (i,))
    database.execute("update t set x = x + 1")
    database.commit()
database.close()
shell("cp grows.log copy.log; cat grows.log more 2>/dev/null > fresh; echo more >> fresh; mv fresh grows.log")
shell("touch empty; rm empty; ln grows.log second; rm second")
shell("truncate -s 1M sparse; dd if=/dev/zero of=sparse bs=1 seek=1000 count=10 conv=notrunc status=none; sync")
amber.equal(removals(a.mnt), [], "recorded although nothing was taken away")

# What is.
expect("> app.log", "app.log", "truncated", LOG, "bash")
expect("truncate -s 100 app.log", "app.log", "truncated", LOG[100:], "truncate")
expect("rm rm.log", "rm.log", "deleted", LOG, "rm")
expect("sed -i /line.7./d sed.log", "sed.log", "replaced", LOG, "sed")
expect("printf XXXX | dd of=dd.log bs=1 seek=50 conv=notrunc status=none", "dd.log", "overwritten",
       LOG[50:54], "dd")
expect("cp copy.log cp.log", "cp.log", "truncated", LOG, "cp")
expect("fallocate -p -o 10 -l 90 punch.log", "punch.log", "cleared", LOG[10:100], "fallocate")
expect("shred -n 1 -z shred.log", "shred.log", "overwritten", None, "shred")
expect("python3 -c \"import mmap; f = open('map.log', 'r+b'); m = mmap.mmap(f.fileno(), 0); "
       "m[7:9] = b'##'; m.flush()\"", "map.log", "overwritten", LOG[7:9], "python3")
expect("mv moved.log x.tmp; rm x.tmp", "moved.log", "hidden", LOG, "mv")
# As vi does it.
expect("mv vi.log vi.log~; sed 3d vi.log~ > vi.log; rm vi.log~", "vi.log", "deleted", LOG, "rm",
       named="vi.log~")
held = open(a.path("held.log"), "ab")
held.write(LOG)
held.flush()
shell("rm held.log")
held.write(b"after that\n")
held.close()
gone = [event for event in removals(a.mnt) if event["path"] == "/held.log"]
amber.equal(shown(a.mnt, gone[0]["number"]), LOG + b"after that\n", "a file deleted while open")
everything[gone[0]["number"]] = LOG + b"after that\n"

status = a.status()
amber.check(status["audit"]["tampering"] >= len(everything), f"status counts {status['audit']}")
amber.check(any("amberfs audit" in problem for problem in status["problems"]), "no problem line")


def still_there(target, when):
    for number, content in everything.items():
        amber.equal(shown(target, number), content, f"event {number} {when}")


snap = a.snapshot()
still_there(a.mnt, "after a snapshot")
amber.run("gc", a.mnt, "--level", "1")
still_there(a.mnt, "after gc")
a.kill_server()
a.mount()
still_there(a.mnt, "after kill -9")
shell("rm app.log")
amber.run("rollback", a.mnt, snap)
still_there(a.mnt, "after a rollback")
amber.equal([event["path"] for event in removals(a.mnt) if event["what"] == "deleted"][-1], "/app.log",
            "the rollback made the audit forget")
a.snapshot()
a.umount()
still_there(a.store, "of a store that is not mounted")
amber.run("verify", a.store, "--full")

# The log of what was done, and what happens to who edits it.
names = [event["event"] for event in audit(a.store)]
amber.equal(names.count("mount"), 2, "mounts")
for name in ("umount", "rollback"):
    amber.check(name in names, f"{name} is not in the audit log: {names}")
path = os.path.join(a.store, "audit.log")
good = amber.read_file(path)


def damaged(content, says):
    amber.write_file(path, content)
    done = amber.run("verify", a.store, code=1)
    amber.check("audit.log" in done.stdout and any(text in done.stdout for text in says),
                f"not named: {done.stdout}")
    amber.write_file(path, good)


lines = good.splitlines(keepends=True)
damaged(b"".join(lines[:2] + lines[3:]), ["does not go on"])
if amber.ENCRYPTED:
    amber.check(b'"command"' not in good and b"app.log" not in good, "the log of an encrypted store can be read")
    at = good.index(b'"sealed":"', len(good) // 2) + 10
    damaged(good[:at] + (b"1" if good[at:at + 1] == b"0" else b"0") + good[at + 1:], ["does not go on"])
else:
    damaged(good.replace(b'"command":"rm"', b'"command":"sh"', 1), ["does not go on"])
# What the map knows is written again, so that the log may even be longer than before.
damaged(b"".join(lines[:3]), ["cut off", "its beginning is not"])
damaged(b"{}\n" + good, ["no line"])
amber.run("verify", a.store)
amber.write_file(path, good + b'{"event":"half')
amber.run("verify", a.store)
amber.check("audit_log_torn" in [event["event"] for event in audit(a.store)], "torn line not named")
