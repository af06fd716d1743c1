#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""[schedule] every takes snapshots by itself, and none when nothing changed."""
import json
import os
import time

import amber


def count(a):
    listed = json.loads(amber.run("list", a.mnt, "--json").stdout)
    return len(listed if isinstance(listed, list) else listed["snapshots"])


with amber.Amber(config=[("schedule", "every", '"1s"')]) as a:
    amber.write_file(a.path("app.log"), b"line\n")
    amber.wait_until(lambda: count(a) >= 1, 15, "no snapshot was taken by the schedule")
    time.sleep(2.5)
    quiet = count(a)
    time.sleep(3)
    amber.equal(count(a), quiet, "snapshots of an unchanged tree")
    amber.write_file(a.path("app.log"), b"another line\n")
    amber.wait_until(lambda: count(a) > quiet, 15, "no snapshot after a change")
    amber.equal(amber.read_file(a.past("latest", "app.log")), b"another line\n", "what it holds")
    amber.equal(os.listdir(a.mnt), ["app.log"], "the tree")
