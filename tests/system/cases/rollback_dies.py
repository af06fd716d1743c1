#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server is killed at some moment of a rollback: afterwards the tree is that of before or that of
the target, whole, and what the kernel shows is what the store holds."""
import os
import signal
import subprocess
import time

import amber

ROUNDS = 8
FILES = 30
rng = amber.seeded()


def write(version):
    for number in range(FILES):
        amber.write_file(a.path(f"f{number}"), f"{version} {number}\n".encode() * (1 + version % 7))
    amber.write_file(a.path(f"only{version}"), b"x")


def tree():
    return {name: amber.read_file(a.path(name)) for name in sorted(os.listdir(a.mnt))}


a = amber.Amber()
a.mount()
killed = 0
for turn in range(ROUNDS):
    write(2 * turn)
    target, snapshot = tree(), a.snapshot()
    os.unlink(a.path(f"only{2 * turn}"))
    write(2 * turn + 1)
    before = tree()
    server = a.server_pid()
    rollback = subprocess.Popen([amber.BINARY, "rollback", a.mnt, snapshot],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(rng.uniform(0.0, 0.06))
    os.kill(server, signal.SIGKILL)
    killed += rollback.wait(timeout=60) != 0
    amber.wait_until(lambda: a.status()["server_life"] > 1, 20, "no server took over")
    time.sleep(0.5)
    seen = tree()
    amber.check(seen in (before, target), f"round {turn}: neither before nor the target")
    if turn % 2:
        a.umount()
        a.mount()
        amber.same_tree(tree(), seen, f"round {turn}: the kernel showed what is not there")
print(f"{killed} of {ROUNDS} rollbacks were cut off", flush=True)
a.umount()
amber.run("verify", a.store, "--full")
