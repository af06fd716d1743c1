#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""[gc] every packs what is there smaller by itself, and every byte stays."""
import json
import subprocess
import time

import amber


def pack_bytes(a):
    return json.loads(amber.run("status", a.mnt, "--json").stdout)["blocks"]["pack_bytes"]


# An umount while a command collects does not wait for the end of it.
b = amber.Amber("slow", config=[("gc", "every", '"off"')])
b.mount()
noise = amber.seeded().randbytes(24 << 20).hex().encode()
amber.write_file(b.path("noise"), noise)
b.snapshot()
collector = subprocess.Popen([amber.BINARY, "gc", b.mnt], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
time.sleep(2)
amber.check(collector.poll() is None, "gc was too fast to see anything")
begun = time.monotonic()
b.umount()
took = time.monotonic() - begun
amber.check(took < 30, f"umount waited {took:.0f} s for gc")
amber.check(collector.wait(60) in (0, 3), "gc when unmounted")
amber.run("verify", b.store, "--full")
b.mount()
amber.equal(amber.read_file(b.path("noise")), noise, "the file after it")
b.umount()

with amber.Amber(config=[("gc", "every", '"2s"')]) as a:
    rng, files = amber.seeded(), {}
    for number in range(40):
        lines = (b"Nov 21 10:%02d:%02d host app[%d]: request %d took %d us\n"
                 % (rng.randrange(60), rng.randrange(60), rng.randrange(9), n, rng.randrange(10**6))
                 for n in range(400))
        files[f"app-{number}.log"] = b"".join(lines)
        amber.write_file(a.path(f"app-{number}.log"), files[f"app-{number}.log"])
    snap, before = a.snapshot(), pack_bytes(a)
    amber.wait_until(lambda: pack_bytes(a) < before * 0.8, 30, f"packs of {before} bytes did not get smaller")
    for name, content in files.items():
        amber.equal(amber.read_file(a.past(snap, name)), content, f"{name} in the snapshot")
        amber.equal(amber.read_file(a.path(name)), content, name)
    verified = json.loads(amber.run("verify", a.mnt, "--full", "--json").stdout)
    amber.equal(verified["ok"], True, "verify --full")
