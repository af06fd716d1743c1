# SPDX-License-Identifier: Apache-2.0
"""What system tests in Python share: a store and its mount, manifests of trees, checks that explain.

A case is a script: it uses Amber(), the check functions, and simply ends when all is well.
"""
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import time

BINARY = os.environ["AMBERFS"]
SCRATCH = os.environ["SCRATCH"]
SEED = int(os.environ.get("AMBERFS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)


def fail(message):
    print(f"FAILED: {message}", flush=True)
    sys.exit(1)


def skip(reason):
    print(reason, flush=True)
    sys.exit(77)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            skip(f"{program} is not installed")


def check(condition, message):
    if not condition:
        fail(message)


def equal(actual, expected, message):
    if actual != expected:
        fail(f"{message}\n  expected: {expected!r:.600}\n  actual:   {actual!r:.600}")


def seeded():
    print(f"AMBERFS_SEED={SEED}", flush=True)
    return random.Random(SEED)


def scratch(*parts):
    return os.path.join(SCRATCH, *parts)


ENCRYPTED = os.environ.get("AMBERFS_TEST_ENCRYPT") == "1"  # AMBERFS_KEY_FILE names the key


def run(*arguments, code=0, timeout=120, text=True, stdin=None):
    """Runs `amberfs ARGUMENTS`, prints it, checks the exit code. Returns the finished process."""
    if ENCRYPTED and arguments[:1] == ("init",) and "--encrypt" not in arguments:
        arguments += ("--encrypt",)
    print("$ amberfs", *arguments, flush=True)
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=text, input=stdin,
                          timeout=timeout, check=False)
    if text and (done.stdout or done.stderr):
        print((done.stdout + done.stderr)[-3000:], end="", flush=True)
    if code is not None and done.returncode != code:
        fail(f"amberfs {' '.join(arguments)}: exit code {done.returncode}, expected {code}\n"
             f"{done.stderr if text else done.stderr.decode(errors='replace')}")
    return done


def refused(*arguments, code=3, says=()):
    """The command must fail with `code` and one line on stderr that holds each of `says`."""
    done = run(*arguments, code=code)
    lines = done.stderr.strip().splitlines()
    equal(len(lines), 1, f"amberfs {' '.join(arguments)}: not one line of error: {done.stderr}")
    for word in says:
        check(word.lower() in lines[0].lower(), f"'{word}' is not in: {lines[0]}")
    return lines[0]


class Amber:
    """One store and its mount point. Used with `with`, it unmounts at the end of a case that passed."""

    def __init__(self, name="", init=True, config=()):
        self.store = scratch(f"store{name}")
        self.mnt = scratch(f"mnt{name}")
        os.makedirs(self.mnt, exist_ok=True)
        if init:
            run("init", self.store)
            self.configure(*config)

    def __enter__(self):
        return self.mount()

    def __exit__(self, kind, _value, _trace):
        if kind is None and os.path.ismount(self.mnt):
            self.umount()

    def configure(self, *settings):
        """settings: (section, key, TOML value): edits config.toml in place."""
        path = os.path.join(self.store, "config.toml")
        for section, key, value in settings:
            with open(path, encoding="utf-8") as config:
                text = config.read()
            with open(path, "w", encoding="utf-8") as config:
                config.write(set_toml(text, section, key, value))

    def mount(self, *options):
        run("mount", *options, self.store, self.mnt)
        check(os.path.ismount(self.mnt), "mount said yes, but nothing is mounted")
        return self

    def umount(self):
        run("umount", self.mnt)
        check(not os.path.ismount(self.mnt), "umount said yes, but it is still mounted")

    def path(self, *parts):
        return os.path.join(self.mnt, *parts)

    def past(self, snap, *parts):
        return os.path.join(self.mnt, ".snapshots", snap, *parts)

    def snapshot(self, *options):
        """Takes a snapshot; returns its directory name below .snapshots."""
        run("snapshot", self.mnt, *options)
        return os.readlink(self.past("latest"))

    def status(self):
        return json.loads(run("status", self.mnt, "--json").stdout)

    def server_pid(self):
        return int(self.status()["server_pid"])

    def kill_server(self):
        """kill -9 of the server; with a keeper the mount lives on, without one it is cleared away."""
        status = self.status()
        for name in ("keeper_pid", "server_pid"):
            pid = int(status.get(name) or 0)
            if pid:
                os.kill(pid, 9)
                wait_until(lambda p=pid: not alive(p), 20, f"process {pid} ignores SIGKILL")
        subprocess.run(["umount", "-l", self.mnt], check=False)


def set_toml(text, section, key, value):
    lines, current, done = text.splitlines(), None, False
    for i, line in enumerate(lines):
        word = line.strip()
        if word.startswith("["):
            current = word.strip("[]").strip()
        elif current == section and word.lstrip("# ").split("=")[0].strip() == key and not done:
            lines[i], done = f"{key} = {value}", True
    if not done:
        if f"[{section}]" not in text:
            lines += [f"[{section}]"]
        at = next(i for i, line in enumerate(lines) if line.strip() == f"[{section}]")
        lines.insert(at + 1, f"{key} = {value}")
    return "\n".join(lines) + "\n"


def child_of(pid):
    """The server that a keeper runs now; None between two of them."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as text:
            children = text.read().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
            if text.read().rsplit(")", 1)[1].split()[0] != "Z":
                return True
        return len(os.listdir(f"/proc/{pid}/task")) > 1  # its other threads still hold its files
    except OSError:
        return False


def wait_until(condition, seconds, message):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            fail(message)
        time.sleep(0.02)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def entry_of(path, first_names):
    """What of one path a rollback must bring back exactly."""
    info = os.lstat(path)
    kind = stat.S_IFMT(info.st_mode)
    content = None
    if stat.S_ISREG(kind):
        content = (info.st_size, sha256(path))
    elif stat.S_ISLNK(kind):
        content = os.readlink(path)
    xattrs = {name: os.getxattr(path, name, follow_symlinks=False)
              for name in os.listxattr(path, follow_symlinks=False)}
    link = first_names.setdefault(info.st_ino, path) if info.st_nlink > 1 and content else None
    return (oct(info.st_mode), info.st_uid, info.st_gid, info.st_nlink, info.st_mtime_ns,
            info.st_rdev, content, sorted(xattrs.items()), link)


def manifest(root):
    """path → everything that counts, of a whole tree; hard links by the first of their names."""
    root = os.fsencode(root)
    result, first_names = {}, {}
    for folder, dirs, files in os.walk(root):
        dirs.sort()
        for name in sorted([b"."] + dirs + files) if folder == root else sorted(dirs + files):
            path = os.path.join(folder, name)
            entry = entry_of(path, first_names)
            link = os.path.relpath(entry[-1], root) if entry[-1] else None
            result[os.path.relpath(path, root)] = entry[:-1] + (link,)
    return result


def same_tree(actual, expected, message):
    for path in sorted(set(actual) | set(expected)):
        if actual.get(path) != expected.get(path):
            fail(f"{message}: {path!r}\n  expected: {expected.get(path)}\n"
                 f"  actual:   {actual.get(path)}")


def write_file(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as target:
        target.write(data)


def read_file(path):
    with open(path, "rb") as source:
        return source.read()


PROGRAMS = ("sshd", "nginx", "kernel", "postgres", "cron", "systemd")


def log_lines(count, rng, start=0):
    """Log-like lines, each of them unique by its number."""
    lines = []
    for i in range(start, start + count):
        program = rng.choice(PROGRAMS)
        lines.append(f"Nov 20 {i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02} host {program}"
                     f"[{rng.randrange(300, 32000)}]: seq={i} request {rng.getrandbits(48):012x}"
                     f" from 10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}"
                     f" took {rng.randrange(5000)} ms\n".encode())
    return lines
