#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server under load, mount again: what was fsynced, and every change of names that
was answered, is there. The writer keeps its ledger outside the mount."""
import os
import signal
import subprocess
import sys
import time

import amber

ROUNDS = 4


def write_with_ledger(directory, ledger):
    """Child process: fsynced lines, renames and directories, each noted after it was answered."""
    with open(ledger, "a", encoding="ascii", buffering=1) as done:
        number = int(time.time() * 1000)
        log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        while True:
            number += 1
            os.write(log, b"line %d\n" % number)
            os.fsync(log)
            done.write(f"line {number}\n")
            os.mkdir(f"{directory}/d{number}")
            done.write(f"dir d{number}\n")
            amber.write_file(f"{directory}/t{number}", b"x" * 100)
            os.rename(f"{directory}/t{number}", f"{directory}/r{number}")
            done.write(f"file r{number}\n")
            os.setxattr(f"{directory}/r{number}", "user.number", b"%d" % number)
            done.write(f"xattr r{number}\n")


def check_ledger(directory, ledger):
    lines = set(amber.read_file(f"{directory}/log").splitlines())
    with open(ledger, encoding="ascii") as text:
        entries = [entry.split() for entry in text.read().split("\n")[:-1]]
    for kind, what in entries:
        path = f"{directory}/{what}"
        if kind == "line":
            amber.check(b"line " + what.encode() in lines, f"fsynced line {what} is lost")
        elif kind == "xattr":
            amber.equal(os.getxattr(path, "user.number"), what[1:].encode(), f"xattr of {what}")
        else:
            amber.check(os.path.lexists(path), f"{kind} {what} was answered and is lost")
    return len(entries)


if len(sys.argv) > 1:
    write_with_ledger(*sys.argv[1:])

ledger = amber.scratch("ledger")
a = amber.Amber()
a.mount()
for turn in range(ROUNDS):
    writer = subprocess.Popen([sys.executable, __file__, a.mnt, ledger])
    time.sleep(1.5)
    if turn % 2:
        a.snapshot()
    a.kill_server()
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    a.mount()
    count = check_ledger(a.mnt, ledger)
    amber.check(count > 20 * (turn + 1), f"only {count} acknowledged changes: the test proves nothing")
    print(f"round {turn}: {count} acknowledged changes are there", flush=True)
amber.run("verify", a.mnt, "--full")
a.umount()
amber.run("verify", a.store, "--full")
