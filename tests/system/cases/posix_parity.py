#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each call answers on the mount as on a native directory: same result, or same errno."""
import fcntl
import mmap
import os
import socket
import stat
import subprocess
import sys
import time

import amber
from parity import Probe, probes_of

p = Probe


def names(d):
    yield "255 bytes", p.create(d, b"n" * 255)
    yield "256 bytes", p.create(d, b"n" * 256)
    yield "odd bytes", p.create(d, b"a\x01\xff\xfe b\n\t\"'\\*?")
    yield "utf-8", p.create(d, "größe-日誌.log".encode())
    yield "listing", sorted(os.listdir(d))
    yield "dot", p.call(os.mkdir, os.path.join(d, b"."))
    yield "trailing slash of a file", p.call(os.stat, os.path.join(d, b"n" * 255) + b"/")
    yield "missing", p.call(os.stat, os.path.join(d, b"missing"))
    yield "below a file", p.call(os.stat, os.path.join(d, b"n" * 255, b"x"))


def links(d):
    f = d + b"/f"
    p.put(f, b"content")
    yield "link", p.call(os.link, f, d + b"/g"), p.look(f), p.look(d + b"/g")
    yield "link onto existing", p.call(os.link, f, d + b"/g")
    yield "link of a directory", (os.mkdir(d + b"/dir"), p.call(os.link, d + b"/dir", d + b"/dir2"))[1]
    yield "unlink one", p.call(os.unlink, f), p.look(d + b"/g"), p.read(d + b"/g")
    yield "symlink", p.call(os.symlink, b"g", d + b"/s"), os.readlink(d + b"/s"), p.read(d + b"/s")
    yield "long symlink", p.call(os.symlink, b"x" * 4095, d + b"/long"), p.look(d + b"/long")
    yield "too long symlink", p.call(os.symlink, b"x" * 4096, d + b"/longer")
    yield "symlink loop", p.call(os.symlink, b"loop", d + b"/loop"), p.call(os.stat, d + b"/loop")
    yield "link of a symlink", p.call(os.link, d + b"/s", d + b"/s2", follow_symlinks=False), \
        p.look(d + b"/s2")
    yield "O_NOFOLLOW", p.call(os.open, d + b"/s", os.O_RDONLY | os.O_NOFOLLOW)


def renames(d):
    p.put(d + b"/a", b"A")
    p.put(d + b"/b", b"B")
    yield "over a file", p.call(os.rename, d + b"/a", d + b"/b"), p.read(d + b"/b"), os.listdir(d)
    p.put(d + b"/a", b"A")
    yield "NOREPLACE onto a file", p.renameat2(d + b"/a", d + b"/b", 1), p.read(d + b"/b")
    yield "NOREPLACE onto nothing", p.renameat2(d + b"/a", d + b"/c", 1), p.read(d + b"/c")
    yield "EXCHANGE", p.renameat2(d + b"/b", d + b"/c", 2), p.read(d + b"/b"), p.read(d + b"/c")
    yield "EXCHANGE with nothing", p.renameat2(d + b"/b", d + b"/none", 2)
    yield "NOREPLACE|EXCHANGE", p.renameat2(d + b"/b", d + b"/c", 3)
    os.makedirs(d + b"/dir/sub")
    yield "EXCHANGE of a file and a directory", p.renameat2(d + b"/b", d + b"/dir/sub", 2), \
        p.look(d), p.look(d + b"/dir"), p.read(d + b"/dir/sub"), p.look(d + b"/b")
    p.renameat2(d + b"/b", d + b"/dir/sub", 2)
    yield "file onto directory", p.call(os.rename, d + b"/b", d + b"/dir")
    yield "directory onto file", p.call(os.rename, d + b"/dir", d + b"/b")
    yield "directory into itself", p.call(os.rename, d + b"/dir", d + b"/dir/sub/x")
    os.mkdir(d + b"/empty")
    yield "onto an empty directory", p.call(os.rename, d + b"/dir/sub", d + b"/empty"), \
        p.look(d), p.look(d + b"/dir")
    p.put(d + b"/empty/x", b"")
    os.mkdir(d + b"/other")
    yield "onto a full directory", p.call(os.rename, d + b"/other", d + b"/empty")
    os.link(d + b"/b", d + b"/b2")
    yield "onto the same inode", p.call(os.rename, d + b"/b", d + b"/b2"), sorted(os.listdir(d))
    yield "same name", p.call(os.rename, d + b"/b", d + b"/b")
    yield "missing", p.call(os.rename, d + b"/zzz", d + b"/b")


def directories(d):
    yield "mkdir", p.call(os.mkdir, d + b"/x", 0o750), p.look(d + b"/x"), p.look(d)
    yield "again", p.call(os.mkdir, d + b"/x")
    yield "below nothing", p.call(os.mkdir, d + b"/no/x")
    p.put(d + b"/x/f", b"")
    yield "rmdir full", p.call(os.rmdir, d + b"/x")
    yield "unlink a directory", p.call(os.unlink, d + b"/x")
    yield "rmdir a file", p.call(os.rmdir, d + b"/x/f")
    os.unlink(d + b"/x/f")
    yield "rmdir", p.call(os.rmdir, d + b"/x"), p.look(d)
    for i in range(600):
        p.put(d + b"/many-%d" % i, b"")
    yield "many", sorted(os.listdir(d))
    seen = []
    for entry in os.scandir(d):  # unlink while reading: each of the rest exactly once
        seen.append(entry.name)
        os.unlink(entry.path)
    yield "unlink while listing", sorted(seen), os.listdir(d)
    os.chmod(d, 0o2775)
    os.chown(d, 0, 1234)
    os.mkdir(d + b"/inherits", 0o755)
    p.put(d + b"/file", b"")
    yield "set-gid directory", p.look(d + b"/inherits"), p.look(d + b"/file")
    os.mkdir(d + b"/open")
    fd = os.open(d + b"/open", os.O_RDONLY)
    os.rmdir(d + b"/open")
    yield "removed but open", os.listdir(fd), p.call(os.open, b"x", os.O_CREAT, dir_fd=fd)
    os.close(fd)


def attributes(d):
    f = d + b"/f"
    p.put(f, b"x" * 1000)
    yield "chmod", p.call(os.chmod, f, 0o4751), p.look(f)
    yield "chown clears set-id", p.call(os.chown, f, 12, 34), p.look(f)
    yield "chown -1", p.call(os.chown, f, -1, 56), p.look(f)
    yield "big ids", p.call(os.chown, f, 4294967294, 4294967293), p.look(f)
    for stamp in (0, 1, 10**9 + 1, 4102444800 * 10**9 + 123456789, -10**9 + 5):
        yield f"utime {stamp}", p.call(os.utime, f, ns=(stamp, stamp)), os.stat(f).st_mtime_ns, \
            os.stat(f).st_atime_ns
    before = os.stat(f).st_ctime_ns
    time.sleep(0.02)  # the kernel's clock for times is coarse
    os.chmod(f, 0o600)
    yield "ctime moves", os.stat(f).st_ctime_ns > before
    os.utime(f, ns=(5, 5))
    p.append(f, b"y")
    yield "mtime moves on write", os.stat(f).st_mtime_ns > 5
    os.utime(d, ns=(5, 5))
    p.put(d + b"/new", b"")
    yield "directory mtime moves", os.stat(d).st_mtime_ns > 5
    os.utime(f, ns=(5, 5))
    os.rename(f, d + b"/moved")
    yield "rename keeps mtime", os.stat(d + b"/moved").st_mtime_ns
    yield "UTIME_OMIT", p.touch_omit(d + b"/moved"), os.stat(d + b"/moved").st_mtime_ns
    yield "truncate", p.call(os.truncate, d + b"/moved", 10), p.look(d + b"/moved")
    yield "truncate up", p.call(os.truncate, d + b"/moved", 10**6), p.digest(d + b"/moved")
    yield "truncate negative", p.call(os.truncate, d + b"/moved", -1)
    yield "truncate a directory", p.call(os.truncate, d, 0)
    os.symlink(b"moved", d + b"/s")
    yield "lchown", p.call(os.chown, d + b"/s", 7, 8, follow_symlinks=False), p.look(d + b"/s")
    yield "symlink times", p.call(os.utime, d + b"/s", ns=(7, 7), follow_symlinks=False), \
        os.lstat(d + b"/s").st_mtime_ns


def data(d):
    f = d + b"/f"
    fd = os.open(f, os.O_RDWR | os.O_CREAT)
    yield "write at", os.pwrite(fd, b"hello", 100), p.digest(f), os.fstat(fd).st_size
    yield "overlap", os.pwrite(fd, b"HELLO WORLD", 98), os.pread(fd, 200, 0)
    yield "read behind the end", os.pread(fd, 10, 10**6)
    yield "sparse 5 GiB", os.pwrite(fd, b"end", 5 << 30), os.fstat(fd).st_size, \
        os.pread(fd, 6, (5 << 30) - 3), os.pread(fd, 11, 98)
    yield "no such offset", p.call(os.pwrite, fd, b"x", (1 << 63) - 1), p.call(os.lseek, fd, -1, 0)
    yield "shrink", p.call(os.ftruncate, fd, 100), p.call(os.ftruncate, fd, 200), os.pread(fd, 200, 0)
    os.close(fd)
    yield "O_EXCL", p.call(os.open, f, os.O_CREAT | os.O_EXCL)
    yield "O_TRUNC", p.call(os.close, os.open(f, os.O_WRONLY | os.O_TRUNC)), p.look(f)
    one, two = (os.open(f, os.O_WRONLY | os.O_APPEND) for _ in range(2))
    for i in range(50):
        os.write(one, b"one %d\n" % i)
        os.write(two, b"two %d\n" % i)
    yield "two appenders", p.digest(f)
    os.close(one)
    os.close(two)
    yield "append ignores the offset", p.append_at(f, b"tail", 3), p.digest(f)
    reader = os.open(f, os.O_RDONLY)
    yield "write through a reader", p.call(os.write, reader, b"x")
    yield "read of a directory", p.call(os.read, os.open(d, os.O_RDONLY), 10)
    yield "write-open of a directory", p.call(os.open, d, os.O_WRONLY)
    big = bytes(range(256)) * 4096 * 5
    p.put(d + b"/big", big)
    yield "5 MiB", p.read(d + b"/big") == big, p.digest(d + b"/big")
    vectors = [b"a" * 10, b"", b"b" * 5000, b"c"]
    fd = os.open(d + b"/v", os.O_RDWR | os.O_CREAT)
    yield "writev", os.writev(fd, vectors), p.digest(d + b"/v")
    yield "O_DIRECT", p.direct(d + b"/direct")
    yield "O_SYNC", p.put_flags(d + b"/sync", b"synced", os.O_SYNC), p.read(d + b"/sync")
    src, dst = os.open(d + b"/big", os.O_RDONLY), os.open(d + b"/copy", os.O_RDWR | os.O_CREAT)
    yield "copy_file_range", p.copy_all(src, dst), p.digest(d + b"/copy")
    yield "copy in the middle", p.call(os.copy_file_range, src, dst, 1000, 17, 99), \
        p.digest(d + b"/copy")
    yield "sendfile", p.call(os.sendfile, dst, src, 5, 3000), p.digest(d + b"/copy")


def unlinked(d):
    f = d + b"/f"
    fd = os.open(f, os.O_RDWR | os.O_CREAT)
    os.write(fd, b"before")
    os.unlink(f)
    yield "gone", p.call(os.stat, f), os.fstat(fd).st_nlink
    yield "still there", os.write(fd, b"after"), os.pread(fd, 100, 0), os.fstat(fd).st_size
    yield "still changes", p.call(os.fchmod, fd, 0o640), oct(os.fstat(fd).st_mode), \
        p.call(os.ftruncate, fd, 3), os.pread(fd, 9, 0), p.call(os.fsync, fd)
    p.put(f, b"another")
    yield "new file of the name", p.read(f), os.pread(fd, 9, 0)
    os.close(fd)
    p.put(d + b"/g", b"old")
    fd = os.open(d + b"/g", os.O_RDONLY)
    p.put(d + b"/h", b"new")
    os.rename(d + b"/h", d + b"/g")
    yield "renamed over", os.read(fd, 9), p.read(d + b"/g"), os.fstat(fd).st_nlink
    tmp = p.call(os.open, d, os.O_TMPFILE | os.O_RDWR, 0o600)
    if tmp not in ("ENOTSUP", "EOPNOTSUPP"):
        os.write(tmp, b"temporary")
        amber.equal((p.link_open(tmp, d + b"/named"), p.read(d + b"/named")), (0, b"temporary"),
                    "O_TMPFILE linked in")


def sparse(d):
    f = d + b"/f"
    fd = os.open(f, os.O_RDWR | os.O_CREAT)
    mib = 1 << 20
    os.pwrite(fd, b"D" * mib, 0)
    os.pwrite(fd, b"E" * mib, 4 * mib)
    os.ftruncate(fd, 8 * mib)
    os.fsync(fd)
    yield "data and holes", [p.call(os.lseek, fd, at, how) for at in (0, mib, 5 * mib, 8 * mib)
                             for how in (os.SEEK_DATA, os.SEEK_HOLE)]
    yield "punch", p.fallocate(fd, 3, mib // 2, mib // 4), p.digest(f)
    yield "punch needs keep size", p.fallocate(fd, 2, 0, 4096)
    yield "zero range", p.fallocate(fd, 0x10, 4 * mib, 8192), p.digest(f), os.fstat(fd).st_size
    yield "zero range beyond", p.fallocate(fd, 0x10, 8 * mib, 100), os.fstat(fd).st_size
    yield "zero range keeping", p.fallocate(fd, 0x11, 9 * mib, 100), os.fstat(fd).st_size
    yield "allocate", p.fallocate(fd, 0, 9 * mib, 1000), os.fstat(fd).st_size, p.digest(f)
    yield "keep size", p.fallocate(fd, 1, 10 * mib, mib), os.fstat(fd).st_size
    yield "no length", p.fallocate(fd, 0, 0, 0)
    yield "posix_fallocate", p.call(os.posix_fallocate, fd, 0, 12 * mib), os.fstat(fd).st_size
    yield "all", p.digest(f)


def mapped(d):
    f = d + b"/f"
    p.put(f, bytes(20000))
    fd = os.open(f, os.O_RDWR)
    with mmap.mmap(fd, 20000) as shared:
        shared[5000:5010] = b"0123456789"
        yield "seen by read", os.pread(fd, 10, 5000)
        os.pwrite(fd, b"WRITTEN", 100)
        yield "seen by the map", shared[100:107]
        shared[19990:20000] = b"the end ok"
        shared.flush()
        yield "after msync", p.digest(f)
    os.close(fd)
    yield "after close", p.digest(f)
    with open(f, "rb") as source, mmap.mmap(source.fileno(), 0, mmap.MAP_PRIVATE,
                                            mmap.PROT_READ) as private:
        yield "private map", bytes(private) == p.read(f)
    subprocess.run(["cp", "/bin/true", d + b"/program"], check=True)
    yield "execute", subprocess.run([d + b"/program"], check=False).returncode
    fd = os.open(f, os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
    child = f"import fcntl,os,sys;f=os.open({f!r},os.O_RDWR)\n" \
        "try: fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB,1,7)\nexcept OSError as e: sys.exit(e.errno)"
    yield "lock held", subprocess.run([sys.executable, "-c", child], check=False).returncode


def xattrs(d):
    f = d + b"/f"
    p.put(f, b"")
    for name in ("user.color", "trusted.t", "security.mine"):
        yield name, p.call(os.setxattr, f, name, b"blue\0x"), p.call(os.getxattr, f, name)
    yield "list", sorted(os.listxattr(f))
    yield "create existing", p.call(os.setxattr, f, "user.color", b"", os.XATTR_CREATE)
    yield "replace missing", p.call(os.setxattr, f, "user.none", b"", os.XATTR_REPLACE)
    yield "replace", p.call(os.setxattr, f, "user.color", b"", os.XATTR_REPLACE), \
        os.getxattr(f, "user.color")
    yield "missing", p.call(os.getxattr, f, "user.none"), p.call(os.removexattr, f, "user.none")
    yield "remove", p.call(os.removexattr, f, "user.color"), sorted(os.listxattr(f))
    yield "bad namespace", p.call(os.setxattr, f, "nonsense.x", b"")
    yield "long name", p.call(os.setxattr, f, "user." + "n" * 251, b"")
    yield "3000 bytes", p.call(os.setxattr, f, "user.long", b"v" * 3000), \
        len(os.getxattr(f, "user.long"))
    yield "too long", p.call(os.setxattr, f, "user.huge", b"v" * 65537)
    os.symlink(b"f", d + b"/s")
    yield "user on a symlink", p.call(os.setxattr, d + b"/s", "user.x", b"1", follow_symlinks=False)
    yield "trusted on a symlink", p.call(os.setxattr, d + b"/s", "trusted.x", b"1",
                                         follow_symlinks=False)
    yield "directory", p.call(os.setxattr, d, "user.dir", b"1"), os.getxattr(d, "user.dir")


def acls(d):
    f = d + b"/f"
    p.put(f, b"secret")
    os.chmod(f, 0o600)
    yield "set", p.shell("setfacl -m u:1234:r,g:99:rw f", d), p.shell("getfacl -n f", d), p.look(f)
    yield "as that user", p.as_user(1234, 1234, os.open, f, os.O_RDONLY)
    yield "not for writing", p.as_user(1234, 1234, os.open, f, os.O_RDWR)
    yield "as another", p.as_user(4321, 4321, os.open, f, os.O_RDONLY)
    yield "chmod moves the mask", p.call(os.chmod, f, 0o640), p.shell("getfacl -n f", d)
    os.mkdir(d + b"/dir")
    yield "default", p.shell("setfacl -d -m u:55:rwx dir", d), p.shell("getfacl -n dir", d)
    p.put(d + b"/dir/child", b"")
    os.mkdir(d + b"/dir/sub")
    yield "inherited", p.shell("getfacl -n dir/child dir/sub", d), p.look(d + b"/dir/child")
    yield "remove", p.shell("setfacl -b f; getfacl -n f", d), sorted(os.listxattr(f))


def nodes(d):
    yield "fifo", p.call(os.mkfifo, d + b"/fifo", 0o620), p.look(d + b"/fifo")
    yield "character device", p.call(os.mknod, d + b"/null", stat.S_IFCHR | 0o666,
                                     os.makedev(1, 3)), p.look(d + b"/null")
    yield "block device", p.call(os.mknod, d + b"/blk", stat.S_IFBLK | 0o600,
                                 os.makedev(259, 70000)), p.look(d + b"/blk")
    yield "regular by mknod", p.call(os.mknod, d + b"/reg", stat.S_IFREG | 0o640), p.look(d + b"/reg")
    os.chdir(d)
    server = socket.socket(socket.AF_UNIX)
    server.bind("sock")
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    yield "socket", p.call(client.connect, "sock"), p.look(b"sock")
    reader = os.open(d + b"/fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(d + b"/fifo", os.O_WRONLY)
    yield "fifo carries", os.write(writer, b"through"), os.read(reader, 9)
    os.chdir("/")


def permissions(d):
    f = d + b"/f"
    p.put(f, b"x")
    os.chown(f, 1000, 1000)
    for mode in (0o400, 0o040, 0o004, 0o200, 0o000):
        os.chmod(f, mode)
        for user, group in ((1000, 1000), (1001, 1000), (1001, 1001)):
            yield f"{mode:o} {user}:{group}", p.as_user(user, group, os.open, f, os.O_RDONLY), \
                p.as_user(user, group, os.open, f, os.O_WRONLY)
    os.chmod(d, 0o1777)
    yield "sticky", p.as_user(1001, 1001, os.unlink, f), p.as_user(1000, 1000, os.unlink, f)
    yield "create as user", p.as_user(1001, 1002, os.mkdir, d + b"/own"), p.look(d + b"/own")
    p.put(d + b"/suid", b"x")
    os.chown(d + b"/suid", 1001, 1001)
    os.chmod(d + b"/suid", 0o6777)
    yield "write by another clears set-id", p.as_user(1002, 1002, p.append, d + b"/suid", b"y"), \
        p.look(d + b"/suid")
    os.chmod(d + b"/suid", 0o6777)
    yield "truncate by another clears set-id", p.as_user(1002, 1002, os.truncate, d + b"/suid", 0), \
        p.look(d + b"/suid")
    yield "chown by a user", p.as_user(1001, 1001, os.chown, d + b"/own", 5, 5)
    yield "chmod by a stranger", p.as_user(1002, 1002, os.chmod, d + b"/own", 0o777)
    yield "utime by a stranger", p.as_user(1002, 1002, os.utime, d + b"/own")


FAMILIES = (names, links, renames, directories, attributes, data, unlinked, sparse, mapped, xattrs,
            acls, nodes, permissions)

amber.need("setfacl", "getfacl")
os.umask(0o022)
different = []
with amber.Amber() as a:
    for family in FAMILIES:
        native = probes_of(family, amber.scratch("native"))
        mounted = probes_of(family, a.path("parity"))
        if len(native) != len(mounted):
            different.append(f"{family.__name__}: ended early: {native[-1:]} / {mounted[-1:]}")
        different += [f"{family.__name__}: {one[0]}\n    native: {one[1:]}\n    mount:  {two[1:]}"
                      for one, two in zip(native, mounted) if one != two]
    amber.check(not different, f"{len(different)} differ:\n" + "\n".join(different))
