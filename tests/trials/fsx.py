#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random file operations on a mount, each checked against a plain in-memory model (as fsx does):
read, write, append, truncate, mmap write, punch hole, zero range, copy_file_range, close and open
again, drop caches, fsync; with snapshots and remounts in between when a store is given.

usage: fsx.py DIRECTORY [OPERATIONS] [SEED]        DIRECTORY on any mount
Environment: AMBERFS and STORE: then takes snapshots, checks them later, and remounts DIRECTORY.
"""
import ctypes, mmap, os, random, subprocess, sys

SIZE_MAX = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16


def check(condition, text):
    if not condition:
        sys.exit(f"fsx: FAILED: {text}")


class File:
    def __init__(self, path):
        self.path, self.model = path, bytearray()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    def reopen(self):
        os.close(self.fd)
        self.fd = os.open(self.path, os.O_RDWR)

    def write(self, offset, data):
        check(os.pwrite(self.fd, data, offset) == len(data), "short write")
        if offset > len(self.model):
            self.model.extend(bytes(offset - len(self.model)))
        self.model[offset:offset + len(data)] = data

    def compare(self, what):
        got = b""
        while piece := os.pread(self.fd, 1 << 17, len(got)):
            got += piece
        check(os.fstat(self.fd).st_size == len(self.model),
              f"{what}: {self.path}: size {os.fstat(self.fd).st_size}, not {len(self.model)}")
        if got != self.model:
            at = next((i for i, (a, b) in enumerate(zip(got, self.model)) if a != b), min(len(got), len(self.model)))
            check(False, f"{what}: {self.path}: differs at {at} ({len(got)} and {len(self.model)} bytes)")


def fallocate(fd, mode, offset, size):
    check(libc.fallocate(fd, mode, offset, size) == 0, f"fallocate {mode}: {os.strerror(ctypes.get_errno())}")


def step(rng, files):
    f = rng.choice(files)
    size = len(f.model)
    offset = rng.randrange(0, max(1, size + 1))
    length = rng.choice([1, 100, 4096, 4097, 30000, 131072])
    kind = rng.randrange(100)
    if kind < 25 and offset + length <= SIZE_MAX:
        f.write(offset, rng.randbytes(length))
    elif kind < 40 and size + length <= SIZE_MAX:
        f.write(size, (b"line %d of the log\n" % rng.randrange(10**6)) * (length // 20 + 1))
    elif kind < 46:
        new = rng.randrange(0, SIZE_MAX // 2)
        os.ftruncate(f.fd, new)
        f.model = f.model[:new] + bytearray(max(0, new - size))
    elif kind < 54 and size:
        with mmap.mmap(f.fd, size) as m:
            end = min(size, offset + length)
            data = rng.randbytes(max(0, end - offset))
            m[offset:end] = data
            f.model[offset:end] = data
    elif kind < 60:
        fallocate(f.fd, KEEP_SIZE | PUNCH_HOLE, offset, length)
        end = min(size, offset + length)
        f.model[offset:end] = bytes(max(0, end - offset))
    elif kind < 64 and offset + length <= SIZE_MAX:
        fallocate(f.fd, ZERO_RANGE, offset, length)
        if offset + length > size:
            f.model.extend(bytes(offset + length - size))
        f.model[offset:offset + length] = bytes(length)
    elif kind < 72:
        g = rng.choice(files)
        length = min(length, max(0, size - offset))
        target = rng.randrange(0, SIZE_MAX // 2)
        if length and (g is not f or target + length <= offset or offset + length <= target):
            data = bytes(f.model[offset:offset + length])
            done = 0
            while done < length:
                n = os.copy_file_range(f.fd, g.fd, length - done, offset + done, target + done)
                check(n > 0, "copy_file_range stopped")
                done += n
            if target > len(g.model):
                g.model.extend(bytes(target - len(g.model)))
            g.model[target:target + length] = data
    elif kind < 80:
        got = os.pread(f.fd, length, offset)
        check(got == f.model[offset:offset + length], f"read at {offset}: {f.path}")
    elif kind < 86:
        os.fsync(f.fd)
    elif kind < 90:
        f.reopen()
    elif kind < 92:
        os.posix_fadvise(f.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    elif kind < 94:
        new = f.path + "r"
        os.rename(f.path, new)
        f.path = new if len(new) < 200 else new
        if len(f.path.rsplit("/", 1)[1]) > 100:
            short = f.path[:f.path.rindex("/") + 1] + f"f{id(f)}"
            os.rename(f.path, short)
            f.path = short
    else:
        f.compare("compare")


def main():
    directory = os.path.abspath(sys.argv[1])
    operations = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    print(f"fsx: {operations} operations, seed {seed}", flush=True)
    rng = random.Random(seed)
    amberfs, store = os.environ.get("AMBERFS"), os.environ.get("STORE")
    work = f"{directory}/fsx-{seed}"
    os.mkdir(work)
    files = [File(f"{work}/f{i}") for i in range(4)]
    kept = []  # (snapshot path, {relative path: bytes})
    for i in range(operations):
        step(rng, files)
        if store and i % 1000 == 999:
            for f in files:
                f.compare("before snapshot")
            subprocess.run([amberfs, "snapshot", directory], check=True, stdout=subprocess.DEVNULL)
            name = os.readlink(f"{directory}/.snapshots/latest")
            kept.append((name, {os.path.relpath(f.path, directory): bytes(f.model) for f in files}))
        if store and i % 5000 == 4999:
            for f in files:
                os.close(f.fd)
            subprocess.run([amberfs, "umount", directory], check=True)
            subprocess.run([amberfs, "mount", store, directory], check=True)
            for f in files:
                f.fd = os.open(f.path, os.O_RDWR)
                f.compare("after a remount")
    for f in files:
        f.compare("at the end")
    for name, contents in kept:
        for path, data in contents.items():
            with open(f"{directory}/.snapshots/{name}/{path}", "rb") as f:
                check(f.read() == data, f"snapshot {name}: {path} changed")
    for f in files:
        os.close(f.fd)
    print(f"fsx: PASSED, {len(kept)} snapshots checked")


main()
