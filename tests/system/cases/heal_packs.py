#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs rot. Within their parity they are healed to the byte: by repair --packs mounted and unmounted,
and by themselves once a read met the damage. Beyond it the damage is named, nothing wrong is read, and
what is lost comes back for every snapshot when it is written again."""
import errno
import glob
import json
import os

import amber


def packs():
    """The sealed packs, which are those with parity, and their bytes."""
    found = glob.glob(os.path.join(a.store, "packs", "*", "*.parity"))
    return {path[:-6] + "pack": amber.read_file(path[:-6] + "pack") for path in found}


def hurt(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def hurt_all(whole):
    """A run of zeros of nearly 3 % in each pack, and bits here and there in others of its columns."""
    for path, data in whole.items():
        begin = rng.randrange(len(data) - (16 << 10))
        hurt(path, begin, bytes(16 << 10))
        at = rng.randrange(len(data))
        hurt(path, at, bytes([data[at] ^ (1 << rng.randrange(8))]))


def check_packs(whole, when):
    for path, data in whole.items():
        amber.check(amber.read_file(path) == data, f"{path} is not what it was, {when}")


def check_files(when):
    for name, data in files.items():
        amber.check(amber.read_file(a.path(name)) == data, f"{name} is not what it was, {when}")


def repair(target, *options, code=0):
    return json.loads(amber.run("repair", "--packs", target, "--json", *options, code=code).stdout)


def protected():
    blocks = a.status()["scrub"]
    return blocks["parity_bytes"] > 0 and blocks["packs_without_parity"] == 0


rng = amber.seeded()
a = amber.Amber(config=[("packs", "size", '"1MiB"')])
a.mount()
files = {f"file{i}": rng.randbytes(1 << 20) for i in range(8)}
for name, content in files.items():
    amber.write_file(a.path(name), content)
snap = a.snapshot()
amber.wait_until(protected, 60, "sealed packs get no parity")
whole = packs()
amber.check(len(whole) >= 5, f"only {len(whole)} packs are sealed")

hurt_all(whole)
report = repair(a.mnt)
amber.check(len(report["repaired"]) >= len(whole), "what was repaired, mounted")
check_packs(whole, "after repair --packs of the mount")
check_files("after repair --packs of the mount")

a.umount()
hurt_all(whole)
before = {path: amber.read_file(path) for path in whole}
report = repair(a.store, "--dry-run")
amber.check(len(report["repaired"]) >= len(whole), "what would be repaired")
check_packs(before, "after a dry run")
amber.check("to repair:" in amber.run("repair", "--packs", a.store).stdout, "it does not say first what it does")
check_packs(whole, "after repair --packs of the store")
os.unlink(next(iter(whole))[:-4] + "parity")
amber.equal(repair(a.store)["parity_written"], 1, "parity that is made again")

hurt_all(whole)
a.mount()
for name in files:
    try:
        amber.check(amber.read_file(a.path(name)) == files[name], f"wrong bytes of {name}")
    except OSError as error:
        amber.equal(error.errno, errno.EIO, f"reading damaged {name}")
amber.wait_until(lambda: all(amber.read_file(p) == d for p, d in whole.items()), 60,
                 "packs in which reads met damage are not healed")
check_files("once it was healed by itself")
amber.run("verify", a.mnt)
amber.equal(a.status()["problems"], [], "problems when all is healed")

# Beyond parity.
a.umount()
path, data = max(whole.items(), key=lambda item: len(item[1]))
hurt(path, 4096, bytes(256 << 10))
a.mount()
report = repair(a.mnt, code=1)
amber.check(any(lost["object"] == path for lost in report["lost"]), "it does not name the pack")
found = json.loads(amber.run("verify", a.mnt, "--json", code=1).stdout)["damage"]
lost = {d["object"][1:] for d in found if d["kind"] == "file" and d["snapshot"] == "live"}
amber.check(lost, "verify names no file")
for d in (d for d in found if d["kind"] == "file" and d["snapshot"] == "live"):
    content = files[d["object"][1:]]
    for begin, end in (d["readable_before"], d["readable_behind"]):
        with open(a.path(d["object"][1:]), "rb", buffering=0) as file:
            file.seek((begin + 4095) // 4096 * 4096)  # the page cache reads whole pages
            want = content[file.tell():end // 4096 * 4096 if end < len(content) else end]
            got = b""
            while len(got) < len(want):
                got += file.read(len(want) - len(got))
            amber.check(got == want, f"what can be read around {d}")
status = a.status()
amber.check(status["scrub"]["damaged_blocks"] > 0, "status does not count damaged blocks")
amber.check(any("damaged" in problem for problem in status["problems"]), f"problems: {status['problems']}")
for name, content in files.items():
    if name not in lost:
        amber.check(amber.read_file(a.path(name)) == content, f"{name}, which is not damaged")
        continue
    try:
        amber.read_file(a.path(name))
        amber.fail(f"{name} is lost and was read")
    except OSError as error:
        amber.equal(error.errno, errno.EIO, f"reading {name}")
a.umount()
a.mount()
amber.check(a.status()["scrub"]["damaged_blocks"] > 0, "what is damaged is forgotten by a remount")
for name in lost:
    amber.write_file(a.path("again-" + name), files[name])
a.snapshot()
check_files("once its content was written again")
for name, content in files.items():
    amber.check(amber.read_file(a.past(snap, name)) == content, f"{name} in the old snapshot")
amber.equal(a.status()["scrub"]["damaged_blocks"], 0, "damaged blocks once they were stored anew")
a.umount()
