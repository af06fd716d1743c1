#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""restore --to: copies are as the snapshot has them, byte for byte and with holes, links and all times,
whatever the size of a file, from a mounted and an unmounted store; what cannot be written is an error that names
the file, nothing that is there is replaced unasked, and what was reported as written is on the disk."""
import os
import subprocess

import amber

amber.need("/usr/sbin/mkfs.ext4")
VAST, VAST_AT = 1 << 40, (5 << 30) + 100
PIECE = 32 << 20  # what one thread writes of a file
SIZES = (0, 1, 4095, 4096, 4097, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, PIECE - 1, PIECE, PIECE + 1,
         2 * PIECE + 12345)


def text(rng, size):
    """`size` bytes that compress like a log, no part of which comes twice."""
    lines = []
    while size > 0:
        lines.append(b"%016x request served in %d us\n" % (rng.getrandbits(64), rng.randrange(10**6)))
        size -= len(lines[-1])
    return b"".join(lines)[:size or None]


def times(path):
    info = os.lstat(path)
    return (info.st_mtime_ns, info.st_mode, info.st_uid, info.st_gid)


def blocks(path):
    return os.stat(path).st_blocks * 512


def same_copies(target):
    amber.same_tree({k: v for k, v in amber.manifest(target).items() if k.startswith(b"tree")},
                    expected, f"copies in {target}")
    for path, was in of_directories.items():
        amber.equal(times(os.path.join(target, path)), was, f"times and mode of {path} in {target}")
    if not target.startswith(a.mnt):  # which does not tell by st_blocks
        amber.check(blocks(os.path.join(target, "tree/holes")) < 4 << 20, "holes were filled")
    amber.equal(os.stat(os.path.join(target, "tree/deep/er/other name")).st_ino,
                os.stat(os.path.join(target, "tree/large")).st_ino, "a hard link")


def survives_power_loss(target):
    """The disk as it is once restore has returned holds all of it: nothing waits in memory."""
    amber.run("restore", a.mnt, "good", "tree/many", "tree/size-4097", f"tree/size-{1 << 20}", "--to", target)
    subprocess.run(["cp", "--sparse=always", image, amber.scratch("later")], check=True)
    after = amber.scratch("after")
    os.makedirs(after)
    subprocess.run(["mount", "-o", "loop", amber.scratch("later"), after], check=True)
    try:
        found = os.path.join(after, os.path.basename(target))
        for path in ["tree/size-4097", f"tree/size-{1 << 20}"] + [f"tree/many/small-{n}" for n in range(200)]:
            amber.equal(amber.sha256(os.path.join(found, path)), expected[path.encode()][6][1], path)
        amber.equal(times(os.path.join(found, "tree/many")), of_directories["tree/many"], "tree/many")
    finally:
        subprocess.run(["umount", after], check=True)


with amber.Amber() as a:
    rng = amber.seeded()
    os.makedirs(a.path("tree/deep/er"))
    os.makedirs(a.path("above/this"))
    plain = text(rng, max(SIZES))
    for size in SIZES:
        start = rng.randrange(max(SIZES) - size + 1)
        amber.write_file(a.path(f"tree/size-{size}"), plain[start:start + size])
    amber.write_file(a.path("tree/large"), plain[:PIECE + 777])
    os.link(a.path("tree/large"), a.path("tree/deep/er/other name"))
    with open(a.path("tree/holes"), "wb") as holes:  # data, a hole, 5 bytes across a block, a hole
        holes.write(plain[:1 << 20])
        holes.seek(2 * PIECE + 4094)
        holes.write(b"hello")
        holes.truncate(3 * PIECE + 5)
    for number in range(200):
        amber.write_file(a.path(f"tree/many/small-{number}"), b"%d\n" % number)
    amber.write_file(a.path("above/this/one"), b"one\n")
    amber.write_file(a.path("above/two"), b"two\n")
    os.symlink("../large", a.path("tree/deep/link"))
    os.setxattr(a.path("tree/large"), "user.x", b"1")
    os.chown(a.path("tree/large"), 5, 6)
    os.chmod(a.path("tree/large"), 0o4750)
    for number, path in enumerate(("tree/large", "tree/deep/er", "tree/deep", "tree/many", "tree", "above/this", "above")):
        os.utime(a.path(path), ns=(10**18, 10**18 + number))
    os.chmod(a.path("above/this"), 0o555)
    expected = {k: v for k, v in amber.manifest(a.mnt).items() if k.startswith(b"tree")}
    of_directories = {path: times(a.path(path)) for path in ("tree/large", "tree/deep/er", "tree/deep", "tree/many", "tree")}
    above = {path: times(a.path(path)) for path in ("above/this", "above")}
    os.makedirs(a.path("special"))
    os.mkfifo(a.path("special/fifo"))
    os.setxattr(a.path("special/fifo"), "system.posix_acl_access",
                bytes.fromhex("02000000 01000600ffffffff 02000600e8030000 04000400ffffffff 10000600ffffffff 20000400ffffffff"))
    os.symlink("nowhere", a.path("special/link"))
    os.setxattr(a.path("special/link"), "trusted.a", b"1", follow_symlinks=False)
    with open(a.path("vast"), "wb") as vast:  # as the lastlog of a large uid
        vast.seek(VAST_AT)
        vast.write(b"login")
        vast.truncate(VAST)
    a.snapshot("--name", "good")

    # Of a terabyte that is a hole nothing is sent.
    amber.run("restore", a.mnt, "good", "vast", "--to", amber.scratch("vast"))
    for path in (amber.scratch("vast/vast"), a.past("by-name", "good", "vast")):
        with open(path, "rb") as vast:
            amber.equal(os.fstat(vast.fileno()).st_size, VAST, f"size of {path}")
            amber.equal(os.lseek(vast.fileno(), 0, os.SEEK_DATA) // 4096, VAST_AT // 4096, f"SEEK_DATA in {path}")
            amber.check(os.lseek(vast.fileno(), VAST_AT, os.SEEK_HOLE) <= VAST_AT + 4096, f"SEEK_HOLE in {path}")
            amber.equal(os.pread(vast.fileno(), 7, VAST_AT - 1), b"\0login\0", path)
    amber.check(blocks(amber.scratch("vast/vast")) < 1 << 20, "a hole was filled")

    amber.run("restore", a.mnt, "good", "tree", "--to", amber.scratch("mounted"))
    same_copies(amber.scratch("mounted"))

    # Into the mount itself, through FUSE.
    amber.run("restore", a.mnt, "good", "tree", "--to", a.path("inside"))
    same_copies(a.path("inside"))

    # Directories that are made above what was asked for are as they were, too.
    amber.run("restore", a.mnt, "good", "above/this/one", "above/two", "--to", amber.scratch("parts"))
    for path, was in above.items():
        amber.equal(times(amber.scratch("parts", path)), was, f"{path}, which lies above")

    # What is there stays, unless asked otherwise; then nothing of it is left.
    there = amber.scratch("mounted/tree/size-1")
    amber.write_file(there, b"mine, and longer")
    amber.refused("restore", a.mnt, "good", "tree/size-1", "--to", amber.scratch("mounted"),
                  says=["tree/size-1", "exists"])
    amber.equal(amber.read_file(there), b"mine, and longer", "a file that was there")
    amber.run("restore", a.mnt, "good", "tree", "--to", amber.scratch("mounted"), "--overwrite")
    same_copies(amber.scratch("mounted"))

    # Asked for twice, also by another name; by globs; to nowhere.
    os.makedirs(amber.scratch("twice"))
    amber.write_file(amber.scratch("twice/two"), b"precious")
    for path in ("above/two", "tree/large", "tree/deep/er/other name"):
        amber.run("restore", a.mnt, "good", path, path, os.path.dirname(path), "--to", amber.scratch("twice"), "--overwrite")
        amber.equal(amber.sha256(amber.scratch("twice", path)), amber.sha256(a.path(path)), f"{path}, asked for twice")
    amber.run("restore", a.mnt, "good", "tree/many/small-1?", "above/**", "--to", amber.scratch("globs"))
    amber.equal(sorted(os.listdir(amber.scratch("globs/tree/many"))), sorted(f"small-{n}" for n in range(10, 20)), "a glob")
    amber.equal(amber.read_file(amber.scratch("globs/above/this/one")), b"one\n", "a glob of directories")
    amber.refused("restore", a.mnt, "good", "tree/none*", "--to", amber.scratch("globs"), says=["nothing matches"])
    amber.write_file(a.path("above/two"), b"newer\n")
    amber.run("restore", a.mnt, "good", "above/two", "--to", "", code=2)
    amber.equal(amber.read_file(a.path("above/two")), b"newer\n", "a file that was not to be touched")

    # Access is that of the snapshot, whatever the target's default ACL; not only files have attributes.
    def acls(path):
        return [name for name in os.listxattr(path, follow_symlinks=False) if "acl" in name]

    shared = amber.scratch("shared")
    os.makedirs(shared)
    default = bytes.fromhex("02000000 01000700ffffffff 02000700e8030000 04000500ffffffff 10000700ffffffff 20000500ffffffff")
    os.setxattr(shared, "system.posix_acl_default", default)
    amber.run("restore", a.mnt, "good", "tree", "special", "--to", shared)
    for path in ("tree", "tree/large", "tree/many", "tree/many/small-1"):
        amber.equal(acls(os.path.join(shared, path)), [], f"ACLs of {path}")
    amber.check(acls(os.path.join(shared, "special/fifo")), "the ACL of a fifo is lost")
    amber.equal(os.getxattr(os.path.join(shared, "special/link"), "trusted.a", follow_symlinks=False), b"1",
                "attribute of a symlink")

    # A disk that is too small, or may not be written to; with and without O_DIRECT.
    small = amber.scratch("small")
    image = amber.scratch("image")
    os.makedirs(small)
    with open(image, "wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", image], check=True)
    for mount in (["-t", "tmpfs", "-o", "size=16m", "none"], ["-o", "loop", image]):
        subprocess.run(["mount", *mount, small], check=True)
        try:
            amber.refused("restore", a.mnt, "good", f"tree/size-{PIECE + 1}", "--to", f"{small}/x",
                          says=[f"tree/size-{PIECE + 1}", "no space left on device"])
            amber.equal(os.path.getsize(f"{small}/x/tree/size-{PIECE + 1}"), 0,
                        "a file that is not whole looks as if it were")
            amber.run("restore", a.mnt, "good", f"tree/size-{(1 << 20) + 1}", "--to", f"{small}/y")
            amber.equal(amber.sha256(f"{small}/y/tree/size-{(1 << 20) + 1}"),
                        expected[b"tree/size-%d" % ((1 << 20) + 1)][6][1], "a copy on a small disk")
            if image in mount:
                survives_power_loss(f"{small}/z")
            subprocess.run(["mount", "-o", "remount,ro", small], check=True)
            amber.refused("restore", a.mnt, "good", "tree/size-1", "--to", f"{small}/x",
                          says=["tree/size-1", "read-only file system"])
        finally:
            subprocess.run(["umount", small], check=True)

    # The same from the unmounted store.
    a.umount()
    amber.run("restore", a.store, "good", "tree", "--to", amber.scratch("unmounted"))
    same_copies(amber.scratch("unmounted"))
    a.mount()
