#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The programs of the torture run: each a process of its own that checks the result of every call
and in the end every byte against its ledger, which stands outside the mount.

usage: worker.py KIND DIRECTORY LEDGER STOP-FILE SEED

A worker ends when STOP-FILE exists. It prints one line of JSON: what it did, what was wrong, and the
calls that took long, as [begin, seconds].
"""
import hashlib
import json
import mmap
import os
import random
import sys
import time

SLOW_S = 0.02


class Wrong(Exception):
    """Not what was written, or not what the call should have done."""


class Calls:
    """Makes calls, keeps count, and remembers the slow ones."""

    def __init__(self):
        self.count = 0
        self.slow = []

    def __call__(self, function, *arguments, **options):
        begin = time.time()
        self.count += 1
        try:
            return function(*arguments, **options)
        except OSError as error:
            raise Wrong(f"{function.__name__}{arguments!r:.120}: {error}") from error
        finally:
            took = time.time() - begin
            if took >= SLOW_S:
                self.slow.append([round(begin, 4), round(took, 4)])


def same(actual, expected, what):
    if actual != expected:
        raise Wrong(f"{what}: {actual!r:.200} instead of {expected!r:.200}")


class Worker:
    def __init__(self, directory, ledger, seed):
        self.call = Calls()
        self.random = random.Random(seed)
        self.directory = directory
        self.ledger = ledger
        self.rounds = 0
        os.makedirs(directory, exist_ok=True)

    def path(self, name):
        return f"{self.directory}/{name}"

    def start(self):
        """Opens what all rounds use."""

    def round(self):
        raise NotImplementedError

    def check(self):
        """Compares what is there with the ledger."""


class Appender(Worker):
    """Numbered lines to a file of its own and to one shared with others; with fsync, each line that
    was synced goes to the ledger."""
    SYNC = 7

    def start(self):
        how = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.name = os.path.basename(self.ledger)
        self.own = self.call(os.open, self.path(f"{self.name}.log"), how, 0o644)
        self.shared = self.call(os.open, os.path.dirname(self.directory) + "/shared.log", how, 0o644)
        self.synced = open(self.ledger, "a", encoding="ascii")

    def line(self, number):
        digest = hashlib.blake2b(f"{self.name} {number}".encode(), digest_size=20).hexdigest()
        return f"{self.name} {number:08} {digest * (1 + number % 5)}\n".encode()

    def round(self):
        self.rounds += 1
        line = self.line(self.rounds)
        same(self.call(os.write, self.own, line), len(line), "write")
        same(self.call(os.write, self.shared, line), len(line), "write to the shared file")
        if self.rounds % self.SYNC == 0:
            self.call(os.fsync if self.rounds % 2 else os.fdatasync, self.own)
            self.synced.write(f"{self.rounds}\n")
            self.synced.flush()
        if self.SYNC > 1:
            time.sleep(0.0005)

    def check(self):
        expected = b"".join(self.line(i) for i in range(1, self.rounds + 1))
        with open(self.path(f"{self.name}.log"), "rb") as file:
            same_bytes(file.read(), expected, f"{self.name}.log")
        with open(os.path.dirname(self.directory) + "/shared.log", "rb") as file:
            mine = b"".join(line for line in file if line.startswith(self.name.encode() + b" "))
        same_bytes(mine, expected, f"lines of {self.name} in the shared file")


class Syncer(Appender):
    """Every line synced."""
    SYNC = 1


class Namer(Worker):
    """Every operation on names, each of which fails when it is applied twice or not at all."""

    def start(self):
        self.kept = {}

    def round(self):
        self.rounds += 1
        call, folder = self.call, self.path(f"d{self.rounds}")
        call(os.mkdir, folder)
        new = call(os.open, f"{folder}/new", os.O_CREAT | os.O_EXCL | os.O_RDWR)
        body = b"body %d" % self.rounds
        same(call(os.write, new, body), len(body), "write")
        call(os.link, f"{folder}/new", f"{folder}/hard")
        same(call(os.stat, f"{folder}/new").st_nlink, 2, "links")
        call(os.rename, f"{folder}/new", f"{folder}/moved")
        call(os.symlink, body.decode(), f"{folder}/soft")
        same(call(os.readlink, f"{folder}/soft"), body.decode(), "symlink")
        call(os.setxattr, f"{folder}/moved", "user.torture", body, os.XATTR_CREATE)
        same(call(os.getxattr, f"{folder}/hard", "user.torture"), body, "xattr")
        call(os.removexattr, f"{folder}/hard", "user.torture")
        call(os.mkfifo, f"{folder}/pipe")
        same(sorted(call(os.listdir, folder)), ["hard", "moved", "pipe", "soft"], "names")
        call(os.unlink, f"{folder}/hard")
        if self.rounds % 10 == 0:
            call(os.close, new)
            call(os.rename, f"{folder}/moved", self.path(f"kept{self.rounds}"))
            self.kept[f"kept{self.rounds}"] = body
        else:
            call(os.unlink, f"{folder}/moved")
            same(call(os.fstat, new).st_nlink, 0, "links of a file without a name")
            same(call(os.pread, new, 100, 0), body, "a file without a name")
            call(os.close, new)
        call(os.unlink, f"{folder}/soft")
        call(os.unlink, f"{folder}/pipe")
        call(os.rmdir, folder)

    def check(self):
        same(sorted(os.listdir(self.directory)), sorted(self.kept), "names in the end")
        for name, body in self.kept.items():
            with open(self.path(name), "rb") as file:
                same(file.read(), body, name)


class Changer(Worker):
    """pwrite, truncate and pread at random places, against a copy in memory."""
    SIZE = 1 << 20

    def start(self):
        self.file = self.call(os.open, self.path("changed"), os.O_RDWR | os.O_CREAT, 0o644)
        self.copy = bytearray()

    def round(self):
        self.rounds += 1
        what = self.random.random()
        offset = self.random.randrange(self.SIZE)
        if what < 0.6:
            data = self.random.randbytes(self.random.choice([1, 100, 4096, 5000, 60000]))
            same(self.call(os.pwrite, self.file, data, offset), len(data), "pwrite")
            if len(self.copy) < offset:
                self.copy.extend(bytes(offset - len(self.copy)))
            self.copy[offset:offset + len(data)] = data
        elif what < 0.65:
            self.call(os.ftruncate, self.file, offset)
            self.copy = self.copy[:offset] + bytes(max(0, offset - len(self.copy)))
        elif what < 0.7:
            self.call(os.fsync, self.file)
        else:
            data = self.call(os.pread, self.file, 50000, offset)
            same_bytes(data, bytes(self.copy[offset:offset + 50000]), f"bytes at {offset}")

    def check(self):
        with open(self.path("changed"), "rb") as file:
            same_bytes(file.read(), bytes(self.copy), "the changed file")


class Mapper(Worker):
    """A shared mapping: stores, msync, and reads through the file."""
    SIZE = 1 << 20

    def start(self):
        self.file = self.call(os.open, self.path("mapped"), os.O_RDWR | os.O_CREAT, 0o644)
        self.call(os.ftruncate, self.file, self.SIZE)
        self.map = mmap.mmap(self.file, self.SIZE)
        self.copy = bytearray(self.SIZE)

    def round(self):
        self.rounds += 1
        for _ in range(20):
            at = self.random.randrange(self.SIZE - 100)
            data = self.random.randbytes(100)
            self.map[at:at + 100] = data
            self.copy[at:at + 100] = data
        if self.rounds % 5 == 0:
            self.call(self.map.flush)
        at = self.random.randrange(self.SIZE - 4096)
        data = self.call(os.pread, self.file, 4096, at)
        same_bytes(data, bytes(self.copy[at:at + 4096]), f"mapped bytes at {at}")
        time.sleep(0.002)

    def check(self):
        self.map.flush()
        with open(self.path("mapped"), "rb") as file:
            same_bytes(file.read(), bytes(self.copy), "the mapped file")


def same_bytes(actual, expected, what):
    if actual == expected:
        return
    at = next((i for i, (a, b) in enumerate(zip(actual, expected)) if a != b),
              min(len(actual), len(expected)))
    raise Wrong(f"{what}: {len(actual)} bytes instead of {len(expected)}, the first difference at "
                f"{at}: {actual[at:at + 60]!r} instead of {expected[at:at + 60]!r}")


KINDS = {"append": Appender, "sync": Syncer, "names": Namer, "change": Changer, "map": Mapper}


def main(kind, directory, ledger, stop, seed):
    worker = KINDS[kind](directory, ledger, seed)
    report = {"kind": kind, "wrong": ""}
    try:
        worker.start()
        while not os.path.exists(stop):
            worker.round()
        worker.check()
    except Wrong as wrong:
        report["wrong"] = str(wrong)
    report.update(rounds=worker.rounds, calls=worker.call.count, slow=worker.call.slow)
    print(json.dumps(report), flush=True)
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
