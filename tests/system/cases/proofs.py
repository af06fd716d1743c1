#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A proof made from a mount is checked in an empty directory that has only the binary and the key;
any changed byte of it fails; a forgotten snapshot is gone from the mount, and gc takes its space."""
import hashlib
import json
import os
import shutil

import amber


def check(proof, key, code=0):
    done = amber.run("check-proof", proof, "--key", key, "--json", code=code)
    return json.loads(done.stdout)


def main():
    rng = amber.seeded()
    with amber.Amber() as fs:
        key = open(os.path.join(fs.store, "signing.pub"), encoding="ascii").read().strip()
        lines = [f"{number:06} {rng.random()} something happened\n" for number in range(60_000)]
        os.makedirs(fs.path("app", "deep"))
        with open(fs.path("app", "deep", "a log.txt"), "w", encoding="ascii") as log:
            log.writelines(lines)
        fs.snapshot("--name", "evidence", "--reason", "for the court")
        with open(fs.path("app", "deep", "a log.txt"), "w", encoding="ascii") as log:
            log.write("rewritten\n")
        fs.snapshot()
        office = amber.scratch("office")
        os.mkdir(office)
        some, whole = os.path.join(office, "some.proof"), os.path.join(office, "whole.proof")
        amber.run("prove", fs.mnt, "evidence:/app/deep/a log.txt", "--lines", "31000-31002",
                  "-o", some)
        amber.run("prove", fs.mnt, "evidence:/app/deep/a log.txt", "-o", whole)
        amber.refused("prove", fs.mnt, "evidence:/app/deep", code=2, says=["regular file"])
        amber.refused("prove", fs.mnt, "evidence:/app/deep/a log.txt", "--lines", "70000-70001",
                      code=2, says=["no line 70000"])
        amber.run("verify", fs.mnt, "--key", key)

        # A forgotten snapshot cannot be reached any more, and never comes back.
        past = fs.past("evidence") if os.path.exists(fs.past("evidence")) else None
        held = os.open(os.path.join(fs.mnt, ".snapshots", "by-name", "evidence", "app", "deep",
                                    "a log.txt"), os.O_RDONLY)
        before = json.loads(amber.run("list", fs.mnt, "--json").stdout)["snapshots"]
        amber.run("forget", fs.mnt, "evidence", "--reason", "case closed")
        amber.check(past is None, "a name is no directory of .snapshots")
        amber.equal(len(json.loads(amber.run("list", fs.mnt, "--json").stdout)["snapshots"]),
                    len(before) - 1, "the list")
        amber.check(not os.path.exists(fs.past("by-name", "evidence")), "it is still there by name")
        try:
            found = os.pread(held, 6, 0)
            amber.equal(found, b"000000", "what the kernel still has")
        except OSError as error:
            amber.check(error.errno in (2, 5, 116), f"errno {error.errno}")
        os.close(held)
        amber.run("gc", fs.mnt, "--level", "1")
        said = amber.run("verify", fs.mnt, "--full", "--key", key).stdout
        amber.check("1 forgotten with a tombstone" in said, "the tombstone")
        amber.refused("cat", fs.mnt, "evidence:/app/deep/a log.txt", says=["evidence"])

    shutil.rmtree(fs.store)
    said = check(some, key)
    wanted = "".join(lines[30_999:31_002]).encode()
    amber.equal(said["to"] - said["from"], len(wanted), "the range")
    amber.equal(said["path"], "/app/deep/a log.txt", "the path")
    amber.equal(said["snapshot"]["name"], "evidence", "the snapshot")
    amber.run("check-proof", some, "--key", key, "--out", os.path.join(office, "bytes"))
    with open(os.path.join(office, "bytes"), "rb") as out:
        amber.equal(out.read(), wanted, "the proved lines")
    done = amber.run("check-proof", whole, "--key", key, "--out", "-", text=False)
    amber.equal(hashlib.sha256(done.stdout).hexdigest(),
                hashlib.sha256("".join(lines).encode()).hexdigest(), "the whole file")
    amber.check(os.path.getsize(some) < os.path.getsize(whole), "a part is not smaller")

    other = "amberfs-key:" + "00" * 32
    amber.check("another key" in check(some, other, code=1)["why"], "another key")
    with open(some, "rb") as file:
        good = file.read()
    for _ in range(40):
        at = rng.randrange(len(good))
        bad = bytearray(good)
        bad[at] ^= 1 << rng.randrange(8)
        if rng.random() < 0.5:
            bad[-32:] = hashlib.sha256(bytes(bad[:-32])).digest()
        with open(some, "wb") as file:
            file.write(bad)
        done = amber.run("check-proof", some, "--key", key, "--json", code=None)
        if done.returncode == 0:  # a range inside the same blocks: still true
            said = json.loads(done.stdout)
            out = amber.run("check-proof", some, "--key", key, "--out", "-", text=False).stdout
            amber.equal(out, "".join(lines).encode()[said["from"]:said["to"]], "a lie")
            amber.equal(said["path"], "/app/deep/a log.txt", "another path")
        else:
            amber.check(done.returncode in (1, 3), f"exit code {done.returncode}")


main()
