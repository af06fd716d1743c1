#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary user mounts through fusermount3: the server is killed, comes back, and is unmounted."""
import atexit
import os
import shutil
import signal
import stat
import subprocess
import time

import amber

USER = 65534  # nobody
amber.need("fusermount3")
if os.geteuid() != 0:
    amber.skip("needs root to become another user")

# udev gives the device to everybody; a bare machine may not. Given back at the end, whatever happens.
mode = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
atexit.register(os.chmod, "/dev/fuse", mode)
os.chmod("/dev/fuse", 0o666)

home = amber.scratch("home")
os.makedirs(os.path.join(home, "mnt"))
for folder in (amber.SCRATCH, home, os.path.join(home, "mnt")):
    os.chmod(folder, 0o755)
    os.chown(folder, USER, USER)
programs = os.path.join(home, "bin")
os.makedirs(programs)
for program in ("amberfs", "amberfs-keeper"):
    shutil.copy(os.path.join(os.path.dirname(amber.BINARY), program), programs)
binary = os.path.join(programs, "amberfs")
mnt, store = os.path.join(home, "mnt"), os.path.join(home, "store")


def as_user(*command, code=0):
    done = subprocess.run(command, user=USER, group=USER, extra_groups=[], capture_output=True,
                          text=True, timeout=60, check=False, cwd="/")
    print("$", *command, done.stdout, done.stderr, flush=True)
    if code is not None:
        amber.equal(done.returncode, code, f"{command}: {done.stderr}")
    return done


if amber.ENCRYPTED:
    os.chown(os.environ["AMBERFS_KEY_FILE"], USER, USER)
as_user(binary, "init", store, *(["--encrypt"] if amber.ENCRYPTED else []))
mounted = as_user(binary, "mount", store, mnt, code=None)
if mounted.returncode != 0 and "fusermount" in mounted.stderr:
    amber.skip(f"no mounts for users here: {mounted.stderr}")
amber.equal(mounted.returncode, 0, mounted.stderr)
as_user("sh", "-c", f"echo one > {mnt}/log")
status = as_user(binary, "status", mnt, "--json").stdout
keeper = int(status.split('"keeper_pid":')[1].split(",")[0])
for turn in range(4):
    os.kill(amber.child_of(keeper), signal.SIGKILL)
    as_user("sh", "-c", f"echo again {turn} >> {mnt}/log")
    time.sleep(0.3)
amber.equal(as_user("cat", f"{mnt}/log").stdout.count("again"), 4, "lines")
as_user(binary, "umount", mnt)
amber.check(not amber.alive(keeper), "the keeper stays")
as_user(binary, "verify", store, "--full")
