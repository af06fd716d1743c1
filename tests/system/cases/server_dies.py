#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server under load, again and again: no call fails, no line is lost or doubled, in
both capture modes; what was open and without a name stays; afterwards the store is whole."""
import os
import signal
import subprocess
import sys
import time

import amber

KILLS = 12
LOAD = os.path.join(os.environ["AMBERFS_LIB"], "load.py")


def kill_under_load(a, names):
    status = a.status()
    seconds = KILLS * 0.4 + 1
    programs = [subprocess.Popen([sys.executable, LOAD, a.mnt, str(seconds), name])
                for name in names]
    held = os.open(a.path("held"), os.O_CREAT | os.O_RDWR)
    os.write(held, b"still here")
    os.unlink(a.path("held"))
    for _ in range(KILLS):
        time.sleep(0.4)
        server = amber.child_of(status["keeper_pid"])
        if server:
            os.kill(server, signal.SIGKILL)
    amber.equal(os.pread(held, 100, 0), b"still here", "a file without a name")
    os.close(held)
    for program in programs:
        amber.equal(program.wait(timeout=60), 0, "a program saw an error")
    after = a.status()
    amber.check(after["server_life"] >= KILLS // 2, f"only server {after['server_life']}: no kills")
    amber.equal(after["keeper_pid"], status["keeper_pid"], "the keeper")


a = amber.Amber()
a.mount()
kill_under_load(a, ["one", "two"])
a.umount()
amber.run("verify", a.store, "--full")
b = amber.Amber("exact")
b.configure(("capture", "exact", '["**"]'))
b.mount()
kill_under_load(b, ["three"])
b.umount()
amber.run("verify", b.store, "--full")
