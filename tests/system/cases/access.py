#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may see what: snapshots show owners, modes and ACLs of their time to an ordinary user; the control
socket serves root, and members of the configured group for what only reads, whatever a hostile one does;
.snapshots can be root's alone; nosuid and nodev of the mount hold for snapshots, too."""
import os
import shutil
import socket
import stat
import struct
import subprocess
import time

import amber

USER, GROUP = 65534, 60321
if os.geteuid() != 0:
    amber.skip("needs root to become another user")
os.chmod(amber.SCRATCH, 0o755)
programs = amber.scratch("bin")
os.makedirs(programs)
shutil.copy(amber.BINARY, programs)
BINARY = os.path.join(programs, "amberfs")
# POSIX ACL, version 2: owner rw-, USER r--, group ---, mask r--, others ---
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in (
    (1, 6, 0xFFFFFFFF), (2, 4, USER), (4, 0, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)))


def as_user(*command, groups=(), code=0):
    done = subprocess.run(command, user=USER, group=USER, extra_groups=list(groups), cwd="/", text=True,
                          capture_output=True, timeout=60, check=False)
    print("$ (user)", *command, done.stdout[-500:], done.stderr[-500:], flush=True)
    if code is not None:
        amber.equal(done.returncode, code, f"{command}: {done.stderr}")
    return done


def may(test, path, expected, why):
    amber.equal(as_user("test", test, path, code=None).returncode == 0, expected, f"{why}: test {test} {path}")


def as_of_then(a):
    for name in ("secret", "with-acl", "was-open"):
        amber.write_file(a.path(name), name.encode())
    os.chmod(a.path("secret"), 0o600)
    os.chmod(a.path("with-acl"), 0o600)
    os.setxattr(a.path("with-acl"), "system.posix_acl_access", ACL)
    os.makedirs(a.path("private/below"), mode=0o755)
    amber.write_file(a.path("private/below/file"), b"file")
    os.chmod(a.path("private"), 0o700)
    os.chown(a.path("was-open"), 1234, 4321)
    a.snapshot("--name", "then")
    os.chmod(a.path("secret"), 0o644)
    os.removexattr(a.path("with-acl"), "system.posix_acl_access")
    os.chmod(a.path("with-acl"), 0o600)
    os.chmod(a.path("private"), 0o755)
    os.chmod(a.path("was-open"), 0o600)
    os.chown(a.path("was-open"), 0, 0)

    def then(*parts):
        return a.past("by-name", "then", *parts)

    for name, was_readable in (("secret", False), ("with-acl", True), ("was-open", True),
                               ("private/below/file", False)):
        may("-r", then(name), was_readable, "as it was then")
        done = as_user("cat", then(name), code=None)
        amber.equal(done.returncode == 0, was_readable, f"cat {name}")
    may("-r", a.path("secret"), True, "as it is now")
    may("-r", a.path("with-acl"), False, "as it is now")
    may("-x", then("private"), False, "a directory that was 0700")
    as_user("ls", then("private"), code=2)
    may("-w", then("with-acl"), False, "a snapshot")
    info = os.stat(then("was-open"))
    amber.equal((info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)), (1234, 4321, 0o644), "owner of then")
    amber.equal(os.getxattr(then("with-acl"), "system.posix_acl_access"), ACL, "ACL of then")


def socket_of(a):
    return os.path.join(a.store, "control.sock")


def only_root(a):
    amber.equal(stat.S_IMODE(os.stat(socket_of(a)).st_mode), 0o600, "mode of the socket")
    for folder, _, files in os.walk(a.store):
        for name in files:
            mode = os.lstat(os.path.join(folder, name)).st_mode
            amber.equal(stat.S_IMODE(mode) & 0o077, 0, f"others may use {name} of the store: {oct(mode)}")
    for groups in ((), (GROUP,)):
        told = as_user(BINARY, "list", a.mnt, groups=groups, code=3).stderr
        amber.check("only root" in told, f"not told who may: {told}")


def group_reads(a):
    info = os.stat(socket_of(a))
    amber.equal((stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid), (0o660, 0, GROUP), "the socket")
    as_user(BINARY, "list", a.mnt, code=3)
    as_user("ls", a.store, groups=(GROUP,), code=2)  # pass through, not look around
    as_user("cat", os.path.join(a.store, "config.toml"), groups=(GROUP,), code=1)
    for reading in (("list",), ("status",), ("verify",), ("diff", "then", "live")):
        as_user(BINARY, reading[0], a.mnt, *reading[1:], groups=(GROUP,))
    amber.equal(as_user(BINARY, "cat", a.mnt, "then:/secret", groups=(GROUP,)).stdout, "secret", "cat")
    before = len(amber.run("list", a.mnt).stdout.splitlines())
    for changing in (("snapshot",), ("gc",), ("restore", "then", "secret"), ("rollback", "then", "--force")):
        told = as_user(BINARY, changing[0], a.mnt, *changing[1:], groups=(GROUP,), code=3).stderr
        amber.check(f"group {GROUP}" in told and "root" in told, f"not told who may: {told}")
    amber.equal(len(amber.run("list", a.mnt).stdout.splitlines()), before, "snapshots")
    amber.equal(stat.S_IMODE(os.stat(a.path("secret")).st_mode), 0o644, "a file that was not restored")


HEADER = struct.Struct("<IBBHII")


def hostile_member(a):
    """Run as the user: floods the socket in every way that it knows."""
    def connect():
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(5)
        made.connect(socket_of(a))
        return made

    def request(text, size=None):
        return HEADER.pack(0x54434241, 1, 0, 0, len(text) if size is None else size, 0) + text

    held = []
    for number in range(300):
        try:
            made = connect()
        except OSError:
            continue  # the queue is full
        what = (b"", b"AB", request(b"", 200 << 10), request(b"[" * 1000), os.urandom(64),
                request(b'{"command":"list"}'))[number % 6]
        try:
            made.sendall(what)
        except OSError:
            pass
        held.append(made)
    for made in held:
        made.close()

    def outcome(size):
        """What comes of a request that only says how large it is."""
        while True:
            with connect() as made:
                made.settimeout(2)
                try:
                    made.sendall(request(b"", size))
                    if made.recv(1) == b"":
                        return "refused"
                except TimeoutError:
                    return "waited for"
                except OSError:
                    return "refused"
            time.sleep(0.1)  # it was told that there are too many

    for size, expected in ((255 << 10, "waited for"), (300 << 10, "refused"), (16 << 20, "refused")):
        amber.equal(outcome(size), expected, f"a request of {size} bytes")


def a_hostile_member_harms_nobody(a):
    server = a.server_pid()
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os.setgroups([GROUP])
            os.setgid(USER)
            os.setuid(USER)
            try:
                hostile_member(a)
                os._exit(0)
            finally:
                os._exit(1)
        # Meanwhile root is served, and so are programs.
        for number in range(10):
            amber.run("status", a.mnt, timeout=20)
            amber.write_file(a.path("meanwhile"), b"%d" % number)
        amber.equal(os.waitpid(child, 0)[1], 0, "the hostile program")
    amber.equal(a.server_pid(), server, "the server")
    as_user(BINARY, "list", a.mnt, groups=(GROUP,))


with amber.Amber() as a:
    as_of_then(a)
    only_root(a)
    a.umount()
    a.configure(("access", "group", f'"{GROUP}"'))
    a.mount()
    group_reads(a)
    a_hostile_member_harms_nobody(a)

    # A group that there is not: said before anything is mounted.
    a.umount()
    a.configure(("access", "group", '"no such group"'))
    amber.refused("mount", a.store, a.mnt, says=["no such group"])
    a.configure(("access", "group", '""'))

    # .snapshots for root alone, also when root's look at it is in the kernel's cache.
    a.mount("-o", "snapshots=root")
    inside = a.past("by-name", "then", "with-acl")
    for _ in range(3):
        amber.equal(amber.read_file(inside), b"with-acl", "root in .snapshots")
        for path in (a.path(".snapshots"), a.past("latest"), inside, os.path.realpath(inside)):
            may("-r", path, False, "snapshots=root")
        as_user("ls", a.path(".snapshots"), code=2)
        as_user("cat", os.path.realpath(inside), code=1)
    amber.equal(as_user("cat", a.path("secret")).stdout, "secret", "the live tree")
    a.umount()
    a.configure(("access", "snapshots", '"none"'))
    a.mount()
    amber.check(not os.path.exists(a.path(".snapshots")), "snapshots=none shows .snapshots")
    amber.equal(amber.run("cat", a.mnt, "then:/secret").stdout, "secret", "cat without .snapshots")
    a.umount()

    # What the mount forbids is forbidden in snapshots.
    a.mount("-o", "snapshots=all")
    shutil.copy("/usr/bin/id", a.path("id"))
    os.chmod(a.path("id"), 0o4755)
    os.mknod(a.path("null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chmod(a.path("null"), 0o666)
    a.snapshot("--name", "suid")
    now, past = a.path(), a.past("by-name", "suid")
    for folder in (now, past):
        amber.equal(as_user(os.path.join(folder, "id"), "-u").stdout.strip(), "0", f"set-user-id in {folder}")
        as_user("sh", "-c", f"echo > {folder}/null")
    a.umount()
    a.mount("-o", "nosuid,nodev,snapshots=all")
    for folder in (now, past):
        amber.equal(as_user(os.path.join(folder, "id"), "-u").stdout.strip(), str(USER), f"nosuid in {folder}")
        as_user("sh", "-c", f"echo > {folder}/null", code=2)
        as_user("cat", os.path.join(folder, "null"), code=1)
