# SPDX-License-Identifier: Apache-2.0
"""Calls whose answers can be compared between two file systems: a value, or the name of an errno."""
import ctypes
import errno
import hashlib
import mmap
import os
import pickle
import stat
import subprocess
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)


def name_of(code):
    return errno.errorcode.get(code, str(code))


class Probe:
    @staticmethod
    def call(function, *arguments, **named):
        try:
            return function(*arguments, **named)
        except OSError as error:
            return name_of(error.errno)

    @staticmethod
    def put(path, content):
        with open(path, "wb") as target:
            target.write(content)

    @staticmethod
    def put_flags(path, content, flags):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
        done = os.write(fd, content)
        os.close(fd)
        return done

    @staticmethod
    def create(directory, name):
        path = os.path.join(directory, name)
        done = Probe.call(Probe.put, path, b"x")
        return done, done is None and Probe.look(path)

    @staticmethod
    def append(path, content):
        with open(path, "ab") as target:
            target.write(content)

    @staticmethod
    def append_at(path, content, offset):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.lseek(fd, offset, os.SEEK_SET)
        done = os.write(fd, content), os.lseek(fd, 0, os.SEEK_CUR)
        os.close(fd)
        return done

    @staticmethod
    def read(path):
        with open(path, "rb") as source:
            return source.read()

    @staticmethod
    def digest(path):
        with open(path, "rb") as source:
            return os.fstat(source.fileno()).st_size, hashlib.file_digest(source, "sha256").hexdigest()

    @staticmethod
    def look(path):
        """What of lstat() two file systems must agree on."""
        info = os.lstat(path)
        size = None if stat.S_ISDIR(info.st_mode) else info.st_size
        return oct(info.st_mode), info.st_nlink, info.st_uid, info.st_gid, size, info.st_rdev

    @staticmethod
    def renameat2(source, target, flags):
        done = LIBC.renameat2(-100, source, -100, target, flags)
        return name_of(ctypes.get_errno()) if done else 0

    @staticmethod
    def link_open(fd, path):
        """linkat() of /proc/self/fd with AT_SYMLINK_FOLLOW: gives an O_TMPFILE file its name."""
        done = LIBC.linkat(-100, b"/proc/self/fd/%d" % fd, -100, path, 0x400)
        return name_of(ctypes.get_errno()) if done else 0

    @staticmethod
    def fallocate(fd, mode, offset, length):
        done = LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length))
        return name_of(ctypes.get_errno()) if done else 0

    @staticmethod
    def touch_omit(path):
        return subprocess.run(["touch", "-a", path], check=False).returncode

    @staticmethod
    def direct(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o644)
        block = mmap.mmap(-1, 8192)
        block.write(b"direct!!" * 1024)
        done = os.write(fd, block), os.preadv(fd, [block], 4096)
        os.close(fd)
        return done, Probe.digest(path)

    @staticmethod
    def copy_all(source, target):
        total = 0
        while done := os.copy_file_range(source, target, 1 << 30):
            total += done
        return total

    @staticmethod
    def shell(command, directory):
        done = subprocess.run(["sh", "-c", command], cwd=directory, capture_output=True, check=False)
        return done.returncode, done.stdout, bool(done.stderr)

    @staticmethod
    def as_user(uid, gid, function, *arguments):
        """Runs the call in a child that is nobody but this user; descriptors become "ok"."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            result = Probe.call(function, *arguments)
            os.write(writer, (result if isinstance(result, str) else "ok").encode())
            os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        answer = os.read(reader, 100).decode()
        os.close(reader)
        return answer


def run_family(family, directory):
    results = []
    try:
        for probe in family(directory):
            results.append(tuple(probe) if isinstance(probe, tuple) else (probe,))
    except Exception:  # pylint: disable=broad-except
        results.append(("ended by", traceback.format_exc(limit=-2).replace(str(directory), "D")))
    return results


def probes_of(family, parent):
    """Runs one family of probes in a new directory below parent: [(name, results…)]. In a child
    process, so that what a family leaves open is closed."""
    directory = os.path.join(os.fsencode(parent), family.__name__.encode())
    os.makedirs(directory)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as answer:
            pickle.dump(run_family(family, directory), answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        results = pickle.load(answer)
    os.waitpid(child, 0)
    return results
