# SPDX-License-Identifier: Apache-2.0
"""Programs that use a mount and check every call, while servers come and go beneath them.

Run as a process: load.py DIRECTORY SECONDS NAME. Exit code 0: every call did what it should, and
what is there afterwards is what was written.
"""
import os
import sys
import time

import amber


class Clock:
    """Longest time that one call took."""

    def __init__(self):
        self.longest = 0.0

    def __call__(self, function, *arguments):
        begin = time.monotonic()
        result = function(*arguments)
        self.longest = max(self.longest, time.monotonic() - begin)
        return result


def names(clock, folder, number):
    """Every operation on names, each of which fails when it is done twice."""
    clock(os.mkdir, folder)
    new = clock(os.open, f"{folder}/new", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    amber.equal(clock(os.write, new, b"abc"), 3, "write")
    clock(os.link, f"{folder}/new", f"{folder}/hard")
    clock(os.rename, f"{folder}/new", f"{folder}/renamed")
    clock(os.symlink, str(number), f"{folder}/soft")
    clock(os.setxattr, f"{folder}/renamed", "user.a", b"1", os.XATTR_CREATE)
    clock(os.removexattr, f"{folder}/hard", "user.a")
    clock(os.unlink, f"{folder}/hard")
    clock(os.unlink, f"{folder}/renamed")
    amber.equal(os.fstat(new).st_nlink, 0, "links of a file without a name")
    amber.equal(clock(os.write, new, b"def"), 3, "write to a file without a name")
    clock(os.close, new)
    clock(os.unlink, f"{folder}/soft")
    clock(os.rmdir, folder)


def run(directory, seconds, name):
    clock, number = Clock(), 0
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    own = os.open(f"{directory}/{name}.log", append)
    shared = os.open(f"{directory}/shared.log", append)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number += 1
        line = b"%s %08d\n" % (name.encode(), number)
        amber.equal(clock(os.write, own, line), len(line), "append")
        amber.equal(clock(os.write, shared, line), len(line), "append to a shared file")
        if number % 5 == 0:
            clock(os.fsync, own)
        names(clock, f"{directory}/{name}-{number}", number)
    expected = [b"%s %08d" % (name.encode(), i) for i in range(1, number + 1)]
    amber.equal(amber.read_file(f"{directory}/{name}.log").splitlines(), expected, "own lines")
    mine = [line for line in amber.read_file(f"{directory}/shared.log").splitlines()
            if line.startswith(name.encode() + b" ")]
    amber.equal(mine, expected, "lines in the shared file")
    print(f"{name}: {number} rounds, longest call {clock.longest:.3f} s", flush=True)


if __name__ == "__main__":
    run(sys.argv[1], float(sys.argv[2]), sys.argv[3])
