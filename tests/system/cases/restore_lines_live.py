#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Line restores under a running appender lose no line: neither old ones nor those being written."""
import os
import subprocess
import sys
import time

import amber


def append_for_ever(path, ledger):
    fd, number = os.open(path, os.O_WRONLY | os.O_APPEND), 0
    with open(ledger, "ab", buffering=0) as done:
        while True:
            number += 1
            line = b"appended %d while restores run\n" % number
            os.write(fd, line)
            done.write(line)
            if number % 50 == 0:
                time.sleep(0.001)


if len(sys.argv) > 1:
    append_for_ever(*sys.argv[1:])

with amber.Amber() as a:
    old = amber.log_lines(20000, amber.seeded())
    log, ledger = a.path("app.log"), amber.scratch("ledger")
    amber.write_file(log, b"".join(old))
    a.snapshot("--name", "good")
    amber.write_file(log, b"".join(old[:5000] + old[9000:]))  # 4000 lines are lost
    appender = subprocess.Popen([sys.executable, __file__, log, ledger])
    for turn in range(6):
        time.sleep(0.3)
        amber.run("restore", a.mnt, "good", "app.log", "--lines")
    appender.terminate()
    appender.wait()
    got = amber.read_file(log).splitlines(keepends=True)
    appended = amber.read_file(ledger).splitlines(keepends=True)
    amber.check(len(appended) > 200, f"the appender wrote only {len(appended)} lines")
    kept = [line for line in got if not line.startswith(b"appended")]
    amber.equal(len(kept), len(old), "number of old lines")
    amber.equal(kept, old, "old lines, each once, in order")
    live = [line for line in got if line.startswith(b"appended")]
    amber.equal(live[:len(appended)], appended, "appended lines, each once, in order")
    print(f"{len(appended)} lines appended during 6 restores are there", flush=True)
