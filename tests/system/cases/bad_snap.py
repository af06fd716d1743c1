#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Unknown SNAP, a path that is not in it, names that are taken or impossible, a rollback while files
are open: one clear line, exit code 2 or 3, nothing changed; mounted and unmounted alike. (That two
snapshots share the beginning of their id needs luck: catalog_test has it.)"""
import json
import os

import amber

with amber.Amber() as a:
    ids = []
    for i in range(18):
        amber.write_file(a.path("app.log"), b"state %d\n" % i)
        a.snapshot("--name", f"n{i}")
    listed = json.loads(amber.run("list", a.mnt, "--json").stdout)
    listed = listed if isinstance(listed, list) else listed["snapshots"]
    amber.equal(len(listed), 18, "snapshots listed")
    tree = amber.manifest(a.mnt)

    def each_refused(target):
        for snap, code in (("no-such-snapshot", 3), ("2001-01-01T00:00:00Z", 3), ("latest~99", 3),
                           ("0" * 64, 3), ("#99", 3)):
            for command in (["diff", target, snap], ["cat", target, f"{snap}:app.log"],
                            ["restore", target, snap, "app.log"], ["rollback", target, snap]):
                amber.refused(*command, code=code)
        amber.refused("cat", target, "n0:no/such/file", says=["no/such/file"])
        amber.refused("restore", target, "n0", "no/such/file", says=["no/such/file"])
        amber.refused("snapshot", target, "--name", "n3", says=["n3"])
        amber.refused("snapshot", target, "--name", "bad name/!", code=2)
        amber.refused("snapshot", target, "--name", "latest", code=2)

    each_refused(a.mnt)
    amber.same_tree(amber.manifest(a.mnt), tree, "refused commands changed the tree")
    with open(a.path("held.log"), "wb") as held:
        held.write(b"open\n")
        held.flush()
        line = amber.refused("rollback", a.mnt, "n0")
        amber.check("held.log" in line or "python" in line or str(os.getpid()) in line,
                    f"it names who holds files open: {line}")
        amber.equal(amber.read_file(a.path("app.log")), b"state 17\n", "not rolled back")
        amber.run("rollback", a.mnt, "n0", "--force")
        amber.equal(amber.read_file(a.path("app.log")), b"state 0\n", "rolled back by force")
    amber.run("rollback", a.mnt, "n17")
    a.umount()
    each_refused(a.store)
    a.mount()
    amber.same_tree(amber.manifest(a.mnt), tree, "refused commands changed the store")
    for arguments in (["frobnicate"], [], ["snapshot"], ["diff", a.mnt], ["list", a.mnt, "--nonsense"],
                      ["cat", a.mnt, "no-colon"]):
        amber.equal(amber.run(*arguments, code=None).returncode, 2, f"usage error {arguments}")
    for command in ("init", "mount", "umount", "snapshot", "list", "diff", "cat", "restore", "rollback",
                    "verify", "status"):
        amber.check(len(amber.run(command, "--help").stdout) > 200, f"{command} --help teaches")
    amber.check("0." in amber.run("--version").stdout, "--version")
