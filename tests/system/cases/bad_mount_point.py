#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mount points that cannot be: missing, a file, already mounted, inside the store, the store inside
it. One line, exit code 3, nothing changed, nothing mounted."""
import os

import amber

a = amber.Amber()
before = sorted(os.listdir(a.store))
amber.refused("mount", a.store, amber.scratch("missing"), says=["missing"])
amber.check(not os.path.exists(amber.scratch("missing")), "a mount point was made up")
amber.write_file(amber.scratch("file"), b"")
amber.refused("mount", a.store, amber.scratch("file"), says=["directory"])
os.mkdir(os.path.join(a.store, "inside"))
amber.refused("mount", a.store, os.path.join(a.store, "inside"), says=["inside"])
os.rmdir(os.path.join(a.store, "inside"))
amber.refused("mount", a.store, amber.SCRATCH, says=["inside"])
amber.refused("mount", "--adopt", a.store, amber.SCRATCH, says=["inside"])
amber.check(not os.path.ismount(amber.SCRATCH), "mounted over its own store")
amber.equal([name for name in sorted(os.listdir(a.store)) if name not in ("server.log", "lock")],
            [name for name in before if name not in ("server.log", "lock")], "the store is as it was")
a.mount()
b = amber.Amber("-b")
amber.refused("mount", b.store, a.mnt, says=["mount"])
amber.refused("mount", a.store, a.mnt, says=["mount"])
amber.refused("mount", b.store, b.mnt, "-o", "no_such_option", says=["no_such_option"]) \
    if amber.run("mount", b.store, b.mnt, "-o", "no_such_option", code=None).returncode == 3 else \
    amber.refused("mount", b.store, b.mnt, "-o", "no_such_option", code=2, says=["no_such_option"])
a.umount()
amber.refused("umount", a.mnt, says=["mount"])
for command in ("snapshot", "list", "status", "verify"):
    amber.refused(command, a.mnt)
