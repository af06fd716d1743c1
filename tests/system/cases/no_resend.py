#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""As on a kernel before 6.9, which cannot send requests again: after a kill the mount comes back,
what was under way fails with EINTR or EIO and nothing hangs, and what was fsynced is there."""
import errno
import os
import signal
import subprocess
import sys
import time

import amber

KILLS = 8


def write_lines(directory):
    """Child process: fsynced lines; errors may only be the two. The ledger is its output."""
    log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number = failures = 0
    while os.path.exists(amber.scratch("go")):
        number += 1
        try:
            os.write(log, b"line %08d\n" % number)
            os.fsync(log)
            print(f"line {number:08}", flush=True)
            folder = f"{directory}/d{number}"
            os.mkdir(folder)
            os.rmdir(folder)
        except OSError as error:
            if error.errno not in (errno.EINTR, errno.EIO):
                raise
            failures += 1
    print(f"failures {failures}", flush=True)


if len(sys.argv) > 1:
    write_lines(sys.argv[1])
    sys.exit(0)

a = amber.Amber()
a.mount("-o", "noresend")
amber.write_file(amber.scratch("go"), b"")
keeper = a.status()["keeper_pid"]
with open(amber.scratch("ledger"), "w", encoding="ascii") as ledger:
    writer = subprocess.Popen([sys.executable, __file__, a.mnt], stdout=ledger)
    for _ in range(KILLS):
        time.sleep(0.4)
        server = amber.child_of(keeper)
        if server:
            os.kill(server, signal.SIGKILL)
    os.unlink(amber.scratch("go"))
    amber.equal(writer.wait(timeout=60), 0, "the writer")
with open(amber.scratch("ledger"), encoding="ascii") as text:
    *promised, failures = text.read().split("\n")[:-1]
there = set(amber.read_file(a.path("log")).decode().split("\n"))
for line in promised:
    amber.check(line in there, f"{line} was fsynced and is lost")
amber.check(len(promised) > 10, "hardly anything was written: the test proves nothing")
amber.equal(a.status()["keeper_pid"], keeper, "the keeper")
print(f"{len(promised)} fsynced lines are there; {failures}", flush=True)
a.umount()
amber.run("verify", a.store, "--full")
