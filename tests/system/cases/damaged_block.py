#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A block of a pack cannot be read: EIO for exactly its bytes, page by page, however they are read;
verify names the same bytes; writing to the file goes on, and what is written over reads again."""
import errno
import glob
import json
import os

import amber

PAGE = 4096


def unreadable(path, data, step, advice):
    """The offsets that give EIO; all others must give what was written."""
    bad, offset = set(), 0
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, advice)
        while offset < len(data):
            try:
                found = os.pread(fd, step, offset)
                amber.check(found, f"no bytes at {offset}")
                amber.check(found == data[offset:offset + len(found)], f"wrong bytes at {offset}")
                offset += len(found)
            except OSError as error:
                amber.equal(errno.errorcode[error.errno], "EIO", f"reading at {offset}")
                bad.add(offset)
                offset += PAGE
    finally:
        os.close(fd)
    return bad


with amber.Amber() as a:
    rng = amber.seeded()
    data = rng.randbytes(8 << 20)
    amber.write_file(a.path("hurt"), data)
    amber.write_file(a.path("well"), data[::-1])
    a.snapshot()
    a.umount()
    pack = glob.glob(os.path.join(a.store, "packs", "*", "*.pack"))[0]
    with open(pack, "r+b") as file:
        file.seek(5 << 20)
        byte = file.read(1)[0]
        file.seek(5 << 20)
        file.write(bytes([byte ^ 1]))
    a.mount()
    hurt = next(path for path, content in (("hurt", data), ("well", data[::-1]))
                if unreadable(a.path(path), content, PAGE, os.POSIX_FADV_SEQUENTIAL))
    whole, other = (data, "well") if hurt == "hurt" else (data[::-1], "hurt")
    report = json.loads(amber.run("verify", a.mnt, "--json", code=1).stdout)
    said = next(d for d in report["damage"] if d["kind"] == "file" and d["snapshot"] == "live")
    amber.equal(said["object"], f"/{hurt}", "what verify names")
    begin, end = said["offset"], said["offset"] + said["size"]
    expected = set(range(begin // PAGE * PAGE, end, PAGE))
    # A copy of all: the file that cannot be read is named and empty, the other one is whole.
    copied = amber.run("restore", a.mnt, "latest", "hurt", "well", "--to", amber.scratch("copies"), "--json", code=3)
    amber.equal([failure["path"] for failure in json.loads(copied.stdout)["failed"]], [hurt], "what was not copied")
    amber.check(f"/{hurt}" in copied.stderr, f"stderr does not name it: {copied.stderr}")
    amber.equal(os.path.getsize(amber.scratch("copies", hurt)), 0, "a copy that is not whole")
    amber.equal(amber.read_file(amber.scratch("copies", other)), data if other == "hurt" else data[::-1], other)
    for step, advice in ((PAGE, os.POSIX_FADV_NORMAL), (PAGE, os.POSIX_FADV_RANDOM),
                         (PAGE, os.POSIX_FADV_SEQUENTIAL)):
        amber.equal(unreadable(a.path(hurt), whole, step, advice), expected,
                    f"the pages that give EIO, advice {advice}")
    amber.equal(amber.read_file(a.path(other)), data if other == "hurt" else data[::-1],
                "the other file")
    with open(a.path(hurt), "r+b") as file:
        file.seek(begin // PAGE * PAGE)
        file.write(whole[begin // PAGE * PAGE:(end + PAGE - 1) // PAGE * PAGE])
        file.flush()
        os.fsync(file.fileno())
    amber.equal(amber.read_file(a.path(hurt)), whole, "once it was written again")
