#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that cannot start any more: the keeper gives up, the mount answers EIO instead of hanging,
status says so, and mount --recover goes on once the cause is gone. A killed keeper takes nothing
with it as long as the server lives."""
import errno
import os
import signal
import time

import amber

a = amber.Amber()
a.mount()
amber.write_file(a.path("before"), b"line\n")
with open(a.path("before"), "ab") as log:
    os.fsync(log.fileno())
keeper = a.status()["keeper_pid"]

config = os.path.join(a.store, "config.toml")
os.rename(config, config + ".away")
os.kill(a.server_pid(), signal.SIGKILL)
begin = time.monotonic()
try:
    amber.write_file(a.path("during"), b"x")
    amber.fail("a write succeeded without any server")
except OSError as error:
    amber.equal(error.errno, errno.EIO, "a request while nobody serves")
print(f"refused after {time.monotonic() - begin:.1f} s", flush=True)
amber.check(amber.alive(keeper), "the keeper is gone")
amber.refused("status", a.mnt, says=["--recover"])
amber.refused("mount", "--recover", a.mnt, says=["server.log"])

os.rename(config + ".away", config)
amber.run("mount", "--recover", a.mnt)
amber.equal(amber.read_file(a.path("before")), b"line\n", "what was written before")
amber.write_file(a.path("after"), b"y")
amber.equal(a.status()["keeper_pid"], keeper, "the keeper")

os.kill(keeper, signal.SIGKILL)
amber.write_file(a.path("alone"), b"z")
a.snapshot()
amber.check(any("keeper" in problem for problem in a.status()["problems"]),
            "status does not say that the keeper is gone")
a.umount()
amber.run("verify", a.store, "--full")
