#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs and index of an encrypted store show neither file bytes nor names, also after gc and repair --index; all that was
written is read back to the byte, and verify finds flipped bytes. A plain store, the same way, shows that the search works.
one form: it makes both forms itself"""
import os
import string
import subprocess

import amber

FILES = 30


def letters(rng, count):
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(count))


def stored_bytes(store):
    """Everything below packs/ and index/."""
    found = b""
    for top in ("packs", "index"):
        for where, _, names in os.walk(os.path.join(store, top)):
            for name in names:
                found += amber.read_file(os.path.join(where, name))
    return found


def readable(store, words):
    found = stored_bytes(store)
    return sum(word.encode() in found for word in words)


def damaged_packs(store):
    return amber.run("verify", "--full", store, code=None).returncode


def run_store(name, options, rng):
    """Writes, snapshots, collects, rebuilds; returns the store and how many of the words that were written into it can be
    found in its packs and index, at most."""
    a = amber.Amber(name, init=False)
    amber.run("init", a.store, *options, "--zstd-level", "0")
    a.mount()
    words, content = [], {}
    for number in range(FILES):
        name, word = letters(rng, 12), letters(rng, 12)
        words += [name, word]
        content[name] = f"line {number} of {word}\n".encode() * rng.randrange(1, 3000)
        amber.write_file(a.path(name), content[name])
        if number == FILES // 2:
            snap, then = a.snapshot(), dict(content)
    for name in list(content)[::3]:
        os.unlink(a.path(name))
        del content[name]
    a.snapshot()
    found = readable(a.store, words)  # nothing is compressed yet
    amber.run("gc", a.mnt, "--level", "1")
    amber.run("verify", "--full", a.mnt)

    def check_all(when):
        for name, data in content.items():
            amber.equal(amber.read_file(a.path(name)), data, f"{name} {when}")
        for name, data in then.items():
            amber.equal(amber.read_file(a.past(snap, name)), data, f"{name} of {snap} {when}")

    check_all("after gc")
    a.umount()
    amber.run("repair", "--index", a.store)
    amber.run("verify", "--full", a.store)
    a.mount()
    check_all("after repair --index")
    a.umount()
    return a, max(found, readable(a.store, words))


rng = amber.seeded()
_, found = run_store("-plain", (), rng)
amber.check(found > FILES, f"the search finds {found} words in a plain store")

key = amber.scratch("key")
with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
    file.write(os.urandom(32))
os.environ["AMBERFS_KEY_FILE"] = key
a, found = run_store("-encrypted", ("--encrypt",), rng)
amber.equal(found, 0, "words that can be read without the key")

# A byte that rots is found.
packs = subprocess.run(["find", a.store + "/packs", "-name", "*.pack"], capture_output=True, text=True, check=True)
largest = max(packs.stdout.split(), key=os.path.getsize)
amber.equal(damaged_packs(a.store), 0, "verify of a whole store")
with open(largest, "r+b") as file:
    file.seek(os.path.getsize(largest) // 2)
    byte = file.read(1)
    file.seek(-1, os.SEEK_CUR)
    file.write(bytes([byte[0] ^ 1]))
amber.check(damaged_packs(a.store) != 0, "verify found nothing in a damaged pack")

# Without the key nothing opens it.
del os.environ["AMBERFS_KEY_FILE"]
for command in (("verify", a.store), ("repair", "--index", a.store), ("mount", a.store, a.mnt)):
    amber.refused(*command, says=("encrypted",))
