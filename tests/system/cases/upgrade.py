#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Another binary takes over the mount under load: no call fails. One that cannot start is not left
in charge; what is no program is refused."""
import os
import shutil
import subprocess
import sys

import amber

UPGRADES = 6
LOAD = os.path.join(os.environ["AMBERFS_LIB"], "load.py")

builds = []
for name in ("old", "new"):
    folder = amber.scratch(name)
    os.makedirs(folder)
    for program in ("amberfs", "amberfs-keeper"):
        shutil.copy(os.path.join(os.path.dirname(amber.BINARY), program), folder)
    builds.append(os.path.join(folder, "amberfs"))

a = amber.Amber()
a.mount()
first = a.status()
programs = [subprocess.Popen([sys.executable, LOAD, a.mnt, "8", name]) for name in ("one", "two")]
for turn in range(UPGRADES):
    binary = builds[turn % 2]
    done = subprocess.run([binary, "upgrade", a.mnt], capture_output=True, text=True, timeout=60,
                          check=False)
    amber.equal(done.returncode, 0, f"upgrade: {done.stderr}")
    amber.equal(a.status()["server_binary"], binary, "the binary that serves")

broken = amber.scratch("broken")
with open(broken, "w", encoding="ascii") as script:
    script.write("#!/bin/sh\nexit 3\n")
os.chmod(broken, 0o755)
amber.refused("upgrade", a.mnt, "--binary", broken, says=["could not take over"])
amber.equal(a.status()["server_binary"], builds[(UPGRADES - 1) % 2], "the binary that serves")
amber.refused("upgrade", a.mnt, "--binary", amber.scratch("absent"), code=2)
amber.refused("upgrade", amber.scratch("nowhere"), says=["mounted"], code=None)

for program in programs:
    amber.equal(program.wait(timeout=60), 0, "a program saw an error")
after = a.status()
amber.equal(after["keeper_pid"], first["keeper_pid"], "the keeper")
amber.check(after["server_life"] > UPGRADES, "no server was replaced")
a.umount()
amber.run("verify", a.store, "--full")
