#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Someone with full write access to the store, at a later time, with the signing key of the moment:
whatever is done to the past, `verify --key` finds and names it; and what was noted down elsewhere
finds a store that was rolled back as a whole. In an encrypted store the same attacks by who has not
its key: what is sealed cannot be said anew, only altered, and the signing key is not to be had."""
import ctypes
import ctypes.util
import glob
import hashlib
import json
import os
import shutil
import struct
import subprocess

import amber

amber.need("openssl")
RECORD = 256
LABEL = b"amberfs chain link v1\n"
REFUSED = "it is not what this store's key sealed"  # of a sealed manifest
LINE = b"09:15 session opened for user mallory\n"
HARMLESS = b"09:15 session opened for user nobody_\n"

xxhash = ctypes.CDLL(ctypes.util.find_library("xxhash"))
xxhash.XXH3_64bits.restype = ctypes.c_uint64


def xxh3(data):
    return struct.pack("<Q", xxhash.XXH3_64bits(data, ctypes.c_size_t(len(data))))


class Store:
    """A store with a past, and copies of it to be attacked."""

    def __init__(self):
        self.keys = {}
        self.good = amber.scratch("store")
        made = json.loads(amber.run("init", self.good, "--zstd-level", "0", "--json").stdout)
        self.key = made["verification_key"]
        amber.equal(read(self.good, "signing.pub").decode().strip(), self.key, "signing.pub")
        text = amber.set_toml(read(self.good, "config.toml").decode(), "packs", "size", '"1MiB"')
        write(text.encode(), self.good, "config.toml")
        self.path = amber.scratch("attacked")

    def attack(self, name):
        print(f"---- {name}", flush=True)
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self.good, self.path)
        return self.path

    def found(self, *says, full=False, head=None):
        arguments = ["verify", self.path, "--key", self.key]
        arguments += ["--full"] if full else []
        arguments += ["--head", head] if head else []
        done = amber.run(*arguments, code=1)
        for word in says:
            amber.check(word in done.stdout, f"'{word}' is not said")

    def clean(self, *arguments):
        done = amber.run("verify", self.path, "--full", "--key", self.key, *arguments)
        amber.check("All is well" in done.stdout, "not well")
        return done.stdout


def read(*parts):
    with open(os.path.join(*parts), "rb") as file:
        return file.read()


def write(data, *parts):
    with open(os.path.join(*parts), "wb") as file:
        file.write(data)


def manifest_of(store, sequence):
    [path] = glob.glob(f"{store}/snapshots/{sequence:012}-*.json")
    return path


def canonical_hash(document):
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seal_manifest(store, document):
    """Writes a manifest with a good id, checksum and name, as amberfs itself would. The id of a
    sealed one says what only the key shows: it stays."""
    document.pop("checksum", None)
    if not amber.ENCRYPTED:
        document.pop("id", None)
        link = document.pop("link", None)
        document["id"] = canonical_hash(document)
        if link:
            document["link"] = link
    document["checksum"] = canonical_hash(document)
    time = document["time"].replace("-", "").replace(":", "")
    name = f"{document['sequence']:012}-{time}-{document['id'][:16]}.json"
    write(json.dumps(document).encode(), store, "snapshots", name)


def present_secret(store):
    """The secret of the moment, as who has taken the machine over reads it from signing.key; sealed
    it is of no use: one as good as any."""
    data = read(store, "signing.key")
    slots = [data[at:at + 4096] for at in (0, 4096)]
    [slot] = [s for s in slots if s[:4] == b"ABSK"]
    amber.equal(struct.unpack_from("<Q", slot, 16)[0], 72 if amber.ENCRYPTED else 32, "its size")
    return slot[56:88]


def sign(secret, message):
    der = bytes.fromhex("302e020100300506032b657004220420") + secret
    write(der, amber.scratch("key.der"))
    write(message, amber.scratch("message"))
    signed = subprocess.run(
        ["openssl", "pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey",
         amber.scratch("key.der"), "-in", amber.scratch("message")],
        capture_output=True, check=True)
    return signed.stdout


def records(store):
    data = read(store, "chain")
    return [data[at:at + RECORD] for at in range(0, len(data), RECORD)]


def put_records(store, all_records):
    write(b"".join(all_records), store, "chain")


def with_checksum(record):
    return record[:RECORD - 8] + xxh3(record[:RECORD - 8])


def largest_frame(data):
    at, found = 64, []
    while data[at:at + 4] == b"AFRM":
        size = struct.unpack_from("<I", data, at + 8)[0]
        found.append((size, at))
        at += 56 + size
    return max(found)


def edit_block(store):
    """Another line in a stored block, with the frame's checksum made anew. Sealed, the line cannot
    be found: then another byte somewhere in a block."""
    packs = {p: read(p) for p in sorted(glob.glob(f"{store}/packs/*/*.pack"))}
    if amber.ENCRYPTED:
        amber.check(not any(LINE in data for data in packs.values()), "the line can be read")
        path, data = max(packs.items(), key=lambda item: largest_frame(item[1]))
        size, frame = largest_frame(data)
        at = frame + 56 + size // 2
        data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
    else:
        path, data = next(item for item in packs.items() if LINE in item[1])
        at = data.index(LINE)
        frame = data.rindex(b"AFRM", 0, at)
        size = struct.unpack_from("<I", data, frame + 8)[0]
        amber.check(frame + 56 <= at < frame + 56 + size, "the line is not in that frame")
        data = data.replace(LINE, HARMLESS, 1)
    pack_id = data[16:32]
    summed = pack_id + data[frame:frame + 48] + data[frame + 56:frame + 56 + size]
    write(data[:frame + 48] + xxh3(summed) + data[frame + 56:], path)


def main():
    store = Store()
    with_mount = amber.Amber(init=False)
    with_mount.store = store.good
    heads = {}
    with with_mount as fs:
        for number in range(1, 7):
            with open(fs.path("auth.log"), "ab") as log:
                log.write(LINE if number == 2 else b"%02d:00 nothing to see\n" % number)
            with open(fs.path(f"noise{number}"), "wb") as noise:
                noise.write(os.urandom(600_000))
            fs.snapshot()
            heads[number] = fs.status()["chain"]["head"]
            if number == 4:
                shutil.copytree(store.good, amber.scratch("older"),
                                ignore=shutil.ignore_patterns("control.sock"))
        # Also while it is mounted.
        amber.run("verify", fs.mnt, "--key", store.key, "--head", heads[3])

    store.attack("none")
    said = store.clean("--head", heads[6])
    amber.check(f"Chain: 6 links, head {heads[6]}" in said, "the head is not told")
    write(store.key.encode() + b"\n", amber.scratch("my.pub"))
    amber.run("verify", store.path, "--key", amber.scratch("my.pub"))
    amber.refused("verify", store.path, "--key", "amberfs-key:12", code=2, says=["64 hex digits"])
    amber.refused("verify", store.path, "--head", "6:abc", code=2, says=["no head"])

    path = store.attack("a line edited in an old snapshot's block")
    edit_block(path)
    store.found("damaged: frame", full=True)

    path = store.attack("a snapshot in the middle dropped")
    os.remove(manifest_of(path, 3))
    store.found("snapshot #3", "it is missing without a tombstone: it was removed")

    path = store.attack("the same, with its record taken out of the chain")
    os.remove(manifest_of(path, 3))
    put_records(path, [r for i, r in enumerate(records(path)) if i != 3])
    store.found("links were removed or reordered")

    path = store.attack("the last snapshot dropped with its record")
    os.remove(manifest_of(path, 6))
    put_records(path, records(path)[:6])
    store.found("signing.key is for link 7, but the chain has only 5: its newest links were removed")
    done = amber.run("status", path, "--json")
    amber.check("cannot go on" in done.stdout, "status does not say it")

    path = store.attack("the same, and signing.key, too: the tail goes on by itself")
    for number in (5, 6):
        os.remove(manifest_of(path, number))
    put_records(path, records(path)[:5])
    os.remove(os.path.join(path, "signing.key"))
    amber.run("snapshot", path)
    store.found("signing.key is gone", "snapshot #7", "it is not signed")

    path = store.attack("two packs swapped")
    one, two = sorted(glob.glob(f"{path}/packs/*/*.pack"))[:2]
    first, second = read(one), read(two)
    write(second, one)
    write(first, two)
    store.found("damaged:", full=True)

    path = store.attack("the whole store rolled back to an older copy")
    shutil.rmtree(path)
    shutil.copytree(amber.scratch("older"), path)
    store.clean()  # of itself it is consistent
    store.clean("--head", heads[4])
    store.found("rolled back to an older copy", head=heads[6])

    path = store.attack("the tail replaced: an older copy that went on another way")
    shutil.rmtree(path)
    shutil.copytree(amber.scratch("older"), path)
    amber.run("snapshot", path)
    amber.run("snapshot", path)
    store.clean()
    store.found("the chain was replaced from there on", head=heads[6])

    path = store.attack("an older snapshot forged and signed with the key of the moment")
    document = json.loads(read(manifest_of(path, 3)))
    newest = json.loads(read(manifest_of(path, 6)))
    root = "sealed" if amber.ENCRYPTED else "root"  # with all else that can be moved
    document[root] = newest[root]
    os.remove(manifest_of(path, 3))
    link = document["link"]
    document.pop("link")
    for name in ("id", "checksum"):
        document.pop(name)
    new_id = bytes.fromhex(canonical_hash(document))
    document["id"] = new_id.hex()
    forged = bytearray(records(path)[3])
    forged[8 + 32:8 + 64] = new_id
    signed = bytes(forged[8:8 + 160])
    signature = sign(present_secret(path), LABEL + signed)
    forged[8 + 160:8 + 224] = signature
    all_records = records(path)
    all_records[3] = with_checksum(bytes(forged))
    put_records(path, all_records)
    link["signature"] = signature.hex()
    document["link"] = link
    seal_manifest(path, document)
    store.found("link 3", "its signature is false: it was altered", *[REFUSED] * amber.ENCRYPTED)

    path = store.attack("two records of the chain change places")
    all_records = records(path)
    all_records[2], all_records[3] = all_records[3], all_records[2]
    put_records(path, all_records)
    store.found("link 3 stands where link 2 belongs: links were removed or reordered")
    amber.run("seal", path, "--mend")
    store.clean("--head", heads[6])

    path = store.attack("a snapshot back-dated")
    document = json.loads(read(manifest_of(path, 4)))
    os.remove(manifest_of(path, 4))
    document["time_ns"] -= 5_000_000
    millisecond = document["time_ns"] // 1_000_000 % 1000
    second = subprocess.run(["date", "-u", "-d", f"@{document['time_ns'] // 10**9}",
                             "+%Y-%m-%dT%H:%M:%S"], capture_output=True, check=True, text=True)
    document["time"] = f"{second.stdout.strip()}.{millisecond:03}Z"
    seal_manifest(path, document)
    store.found("snapshot #4", REFUSED if amber.ENCRYPTED else
                "it is not the one that was sealed: it was altered, back-dated")

    path = store.attack("a snapshot put there by hand")
    document = json.loads(read(manifest_of(path, 6)))
    document.pop("link")
    document["sequence"] = 9
    document["time_ns"] += 5_000_000_000
    document["time"] = "2036-01-01T00:00:00.000Z"
    document["time_ns"] = 2082758400000000000
    seal_manifest(path, document)
    if amber.ENCRYPTED:
        store.found("000000000009-", REFUSED)
    else:
        store.found("snapshot #9", "it is not signed")

    if amber.ENCRYPTED:
        path = store.attack("it no longer says that it is encrypted")
        text = read(path, "config.toml").decode().splitlines(keepends=True)
        write("".join(line for line in text if not line.startswith("encryption")).encode(), path, "config.toml")
        amber.refused("verify", path, says=["store.encryption", "there are keys"])
        path = store.attack("the keys of another store")
        amber.run("init", amber.scratch("other"))
        for name in ("keys.json", "keys.copy.json"):
            shutil.copy(os.path.join(amber.scratch("other"), name), path)
        amber.refused("verify", path, says=["they are of another store"])

    path = store.attack("a legitimate forgetting")
    amber.run("forget", path, "#3", "--reason", "disk space")
    said = store.clean("--head", heads[6])
    amber.check("1 forgotten with a tombstone" in said, "the tombstone is not told")


main()
