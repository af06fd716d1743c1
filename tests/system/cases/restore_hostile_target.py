#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""timeout: 240
restore --to writes below its target and nowhere else, also when the target belongs to somebody who puts
symlinks and hard links there, before or while it is written to; root gets set-user-id programs and devices as they
were, others get no program that runs as them because it once ran as somebody else. In place, only what was
named changes."""
import os
import signal
import stat
import subprocess
import time

import amber

USER, GROUP = 65534, 60322
if os.geteuid() != 0:
    amber.skip("needs root to become another user")
amber.need("setfattr")
os.chmod(amber.SCRATCH, 0o755)
victim, target = amber.scratch("victim"), amber.scratch("target")


def make_victim():
    for name in ("file", "new/file", "passwd", "d/file", "d/fifo", "d/device", "d/link", "e/other"):
        os.makedirs(os.path.dirname(os.path.join(victim, name)), exist_ok=True)
        amber.write_file(os.path.join(victim, name), b"precious " + name.encode())
        os.chmod(os.path.join(victim, name), 0o600)


def look_at(top):
    found = {}
    for folder, folders, names in os.walk(top):
        for name in folders + names + ["."]:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            found[os.path.relpath(path, top)] = (
                stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_nlink, info.st_size,
                amber.read_file(path) if stat.S_ISREG(info.st_mode) else None, tuple(os.listxattr(path)))
    return found


def unharmed(why):
    amber.equal(look_at(victim), precious, f"what lies outside of the target ({why})")


def fresh_target():
    subprocess.run(["rm", "-rf", target], check=True)
    for folder in ("", "d", "e"):
        os.makedirs(os.path.join(target, folder))
        os.chown(os.path.join(target, folder), USER, USER)


def attack():
    """Swaps directories and names for links to the victim, for ever."""
    os.setgid(USER)
    os.setuid(USER)
    os.chdir(target)

    def attempt(action, *arguments):
        try:
            action(*arguments)
        except OSError:
            pass

    turn = 0
    while True:
        turn += 1
        for folder in ("d", "e"):
            attempt(os.rename, folder, f"was-{folder}-{turn}")
            attempt(os.symlink, os.path.join(victim, folder), folder)
            attempt(os.unlink, folder)
            attempt(os.mkdir, folder)
            os.path.exists(folder)
            for name in ("fifo", "device", "link", "file", "other"):
                at = os.path.join(folder, name)
                attempt(os.unlink, at)
                attempt(os.symlink, os.path.join(victim, folder, name), at)
                attempt(os.link, os.path.join(victim, folder, name), at)
                attempt(os.unlink, at)


def as_user(*command, code=0):
    done = subprocess.run(command, user=USER, group=USER, extra_groups=[GROUP], cwd="/", text=True,
                          capture_output=True, timeout=60, check=False)
    print("$ (user)", *command, done.stdout[-500:], done.stderr[-500:], flush=True)
    amber.equal(done.returncode, code, f"{command}: {done.stderr}")


def restored(*paths, options=(), code=0):
    return amber.run("restore", a.mnt, "good", *paths, "--to", target, *options, code=code)


with amber.Amber(config=(("access", "group", f'"{GROUP}"'),)) as a:
    make_victim()
    precious = look_at(victim)
    os.makedirs(a.path("d"))
    os.makedirs(a.path("e"))
    amber.write_file(a.path("d/file"), b"file\n")
    os.link(a.path("d/file"), a.path("e/other"))
    os.mkfifo(a.path("d/fifo"), 0o666)
    os.chmod(a.path("d/fifo"), 0o666)
    os.chown(a.path("d/fifo"), 1234, 1234)
    os.mknod(a.path("d/device"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.symlink(os.path.join(victim, "passwd"), a.path("d/link"))
    os.setxattr(a.path("d/fifo"), "trusted.mark", b"1")
    os.makedirs(a.path("programs"))
    for name, owner in (("roots", 0), ("mine", USER)):
        amber.write_file(a.path("programs", name), b"#!/bin/true\n")
        os.chown(a.path("programs", name), owner, owner)
        os.chmod(a.path("programs", name), 0o6755)
    a.snapshot("--name", "good")

    # Links that are there already.
    fresh_target()
    os.rmdir(os.path.join(target, "d"))
    os.symlink(os.path.join(victim, "d"), os.path.join(target, "d"))
    for options in ((), ("--overwrite",)):
        restored("d", options=options, code=3)
        restored("d/file", options=options, code=3)
        unharmed("a directory that is a symlink")
    fresh_target()
    for link in (os.path.join(victim, "file"), os.path.join(victim, "new/not there yet")):
        os.symlink(link, os.path.join(target, "d/file"))
        restored("d/file", code=3)
        unharmed("a file that is a symlink")
        restored("d/file", options=("--overwrite",))
        amber.equal(amber.read_file(os.path.join(target, "d/file")), b"file\n", "the copy")
        unharmed("a symlink that is replaced")
        os.unlink(os.path.join(target, "d/file"))
    os.link(os.path.join(victim, "file"), os.path.join(target, "d/file"))
    restored("d", "e", options=("--overwrite",))
    unharmed("a hard link that is replaced")
    amber.equal(os.stat(os.path.join(target, "d/file")).st_ino, os.stat(os.path.join(target, "e/other")).st_ino, "a hard link")
    info = os.lstat(os.path.join(target, "d/fifo"))
    amber.equal((stat.S_IMODE(info.st_mode), info.st_uid), (0o666, 1234), "a fifo")
    amber.equal(os.getxattr(os.path.join(target, "d/fifo"), "trusted.mark"), b"1", "attribute of a fifo")

    # Links that come while it is written.
    fresh_target()
    attacker = os.fork()
    if attacker == 0:
        attack()
    whole, until = 0, time.monotonic() + 15
    try:
        while time.monotonic() < until:
            whole += restored("d", "e", "d/link", options=("--overwrite",), code=None).returncode == 0
    finally:
        os.kill(attacker, signal.SIGKILL)
        os.waitpid(attacker, 0)
    print(f"{whole} restores went through")
    unharmed("a race")

    # Set-user-id: root gets it, others only their own.
    fresh_target()
    restored("programs")
    for name in ("roots", "mine"):
        amber.equal(stat.S_IMODE(os.stat(os.path.join(target, "programs", name)).st_mode), 0o6755, f"{name}, by root")
    fresh_target()
    amber.run("restore", a.mnt, "good", "programs", "--to", amber.scratch("again"))
    binary = amber.scratch("amberfs")
    subprocess.run(["cp", amber.BINARY, binary], check=True)
    as_user(binary, "restore", a.mnt, "good", "programs", "--to", target)
    for name, mode in (("roots", 0o755), ("mine", 0o6755)):
        info = os.stat(os.path.join(target, "programs", name))
        amber.equal((stat.S_IMODE(info.st_mode), info.st_uid), (mode, USER), f"{name}, by a user")

    # In place: a symlink on the way is not followed, and what was not named stays.
    amber.write_file(a.path("e/bystander"), b"new")
    os.rename(a.path("d"), a.path("was-d"))
    os.symlink(os.path.join(victim, "d"), a.path("d"))
    before = look_at(a.path("e"))
    amber.run("restore", a.mnt, "good", "d/file", code=None)
    amber.run("restore", a.mnt, "good", "d/fifo", "--exact", code=None)
    unharmed("in place")
    amber.equal({k: v for k, v in look_at(a.path("e")).items() if "bystander" in k},
                {k: v for k, v in before.items() if "bystander" in k}, "what was not named")
