#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that match [capture] exact reach the journal with each write(2): a kill -9 of the server right
after a write loses nothing, without any fsync; and such a file still behaves as a file."""
import os
import subprocess

import amber

with amber.Amber(config=[("capture", "exact", '["audit.log", "secure/**"]')]) as a:
    os.mkdir(a.path("secure"))
    lines = [b"audit event %d\n" % i for i in range(300)]
    for turn, name in enumerate(("audit.log", "secure/deep.log")):
        fd = os.open(a.path(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for line in lines:
            os.write(fd, line)
        a.kill_server()
        try:
            os.close(fd)
        except OSError:
            pass
        a.mount()
        amber.equal(amber.read_file(a.path(name)), b"".join(lines), f"{name} after kill -9")
    tail = subprocess.run(["tail", "-n", "1", a.path("audit.log")], capture_output=True, check=True)
    amber.equal(tail.stdout, lines[-1], "tail of an exact file")
    with open(a.path("audit.log"), "r+b") as log:
        log.seek(6)
        log.write(b"EVENT")
        log.truncate(1000)
    amber.equal(amber.read_file(a.path("audit.log")),
                b"".join(lines).replace(b"event", b"EVENT", 1)[:1000], "overwrite and truncate")
    subprocess.run(["cp", "/bin/true", a.path("secure/program")], check=True)
    subprocess.run([a.path("secure/program")], check=True)
    snap = a.snapshot()
    amber.write_file(a.path("audit.log"), b"")
    amber.equal(os.path.getsize(a.past(snap, "audit.log")), 1000, "exact file in a snapshot")
