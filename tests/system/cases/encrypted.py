#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An encrypted store: each key opens it, no other does; a killed or replaced server goes on without
a question; its files tell nothing of contents, names and snapshots; no process shows the key.
one form: it makes both forms itself"""
import json
import os
import pty
import random
import string
import subprocess
import time

import amber

os.environ.pop("AMBERFS_KEY_FILE", None)


def word(length=14):
    return "".join(random.SystemRandom().choice(string.ascii_lowercase) for _ in range(length))


def secret_file(name, content):
    path = amber.scratch(name)
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as target:
        target.write(content)
    return path


KEY = os.urandom(40)
PASSPHRASE = f"{word()} {word()}"
key = secret_file("first.key", KEY)
other = secret_file("other.key", os.urandom(32))
passphrase = secret_file("passphrase", PASSPHRASE.encode() + b"\nnot this line\n")
store, mnt = amber.scratch("store"), amber.scratch("mnt")
os.mkdir(mnt)

# init asks for what it needs.
amber.refused("init", amber.scratch("s2"), "--key-file", key, code=2, says=["--encrypt"])
amber.refused("init", amber.scratch("s2"), "--encrypt", says=["passphrase"])
short = secret_file("short", b"x" * 31)
amber.refused("init", amber.scratch("s2"), "--encrypt", "--key-file", short, code=2, says=["32"])
os.chmod(short, 0o640)
amber.refused("init", amber.scratch("s2"), "--encrypt", "--passphrase-file", short, code=2,
              says=["chmod 600"])
amber.check(not os.path.exists(amber.scratch("s2")), "a refused init made something")
amber.run("init", store, "--encrypt", "--key-file", key)
amber.run("key", "add", store, "--key-file", key, "--new-passphrase-file", passphrase,
          "--label", "for the safe")

# No key, a wrong one, the wrong kind.
for command in (["list", store], ["mount", store, mnt], ["verify", store]):
    amber.refused(*command, says=["--key-file"])
    amber.refused(*command, "--key-file", other, says=["not the key of this store"])
    amber.refused(*command, "--passphrase-file", other, says=["not the key of this store"])
amber.refused("mount", store, mnt, "-o", "debug", "--key-file", key, code=2, says=["names of files", "encrypted"])
amber.check(not os.path.ismount(mnt), "refused, but mounted")

# What must not be found afterwards.
CONTENT, NAME, DIRECTORY, SNAPSHOT, REASON, XATTR, TARGET = (word() for _ in range(7))
needles = [CONTENT, NAME, DIRECTORY, SNAPSHOT, REASON, XATTR, TARGET]


def use(number):
    folder = os.path.join(mnt, DIRECTORY)
    os.makedirs(folder, exist_ok=True)
    for size in (1, 3000, 40000):  # small, journaled as it is, packed
        with open(os.path.join(folder, f"{NAME}-{number}-{size}"), "ab") as log:
            log.write(f"{number} {CONTENT}\n".encode() * size)
            os.fsync(log.fileno())
    path = os.path.join(folder, f"{NAME}-{number}-1")
    os.setxattr(path, f"user.{XATTR}", XATTR.encode())
    os.symlink(TARGET, os.path.join(folder, f"link-{number}"))
    amber.run("snapshot", mnt, "--name", f"{SNAPSHOT}-{number}", "--reason", REASON)
    with open(path, "ab") as log:  # stays in the journal
        log.write(f"later {CONTENT}\n".encode())
        os.fsync(log.fileno())


def check_content(numbers):
    for number in numbers:
        for size in (1, 3000, 40000):
            path = os.path.join(mnt, DIRECTORY, f"{NAME}-{number}-{size}")
            expected = f"{number} {CONTENT}\n".encode() * size
            if size == 1:
                expected += f"later {CONTENT}\n".encode()
            amber.equal(amber.sha256(path), __import__("hashlib").sha256(expected).hexdigest(), path)


def status():
    return json.loads(amber.run("status", mnt, "--json").stdout)


def secrets():
    return [KEY, KEY.hex().encode(), PASSPHRASE.encode(), PASSPHRASE.split()[0].encode()]


def check_process(pid, name):
    """Nothing of the secrets where others, or a core file, could see it."""
    for file in ("cmdline", "environ", "comm", "status", "maps"):
        with open(f"/proc/{pid}/{file}", "rb") as shown:
            text = shown.read()
        for secret in secrets():
            amber.check(secret not in text, f"{name}: a secret in /proc/{pid}/{file}")
    with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        core = next(line for line in limits if line.startswith("Max core file size"))
    amber.equal(core.split()[4:6], ["0", "0"], f"{name}: core files")
    # Not dumpable: what the kernel then gives to root alone, whoever runs it.
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "readlink",
                           f"/proc/{pid}/exe"], capture_output=True, check=False)
    amber.check(done.returncode != 0, f"{name}: others may look into it")
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        amber.check(int(fd) != 7 or not target.startswith("pipe:"), f"{name}: the key's pipe is open")
        if "memfd:amberfs-mount" in target:
            with open(f"/proc/{pid}/fd/{fd}", "rb") as memory:
                amber.check(KEY not in memory.read(1 << 20), f"{name}: the key in the mount's state")


def check_processes():
    now = status()
    check_process(now["server_pid"], "server")
    check_process(now["keeper_pid"], "keeper")
    return now


amber.run("mount", store, mnt, "--passphrase-file", passphrase)
use(1)
first = check_processes()
os.kill(first["server_pid"], 9)
check_content([1])
second = check_processes()
amber.check(second["server_pid"] != first["server_pid"], "it was not killed")
amber.run("upgrade", mnt)
check_processes()
check_content([1])

# Keys change while it is mounted; commands on the mount need none.
amber.refused("key", "remove", mnt, "--key-file", other, "--slot", "2", says=["not the key"])
amber.run("key", "rotate", mnt, "--key-file", key, "--new-key-file", other)
amber.refused("key", "add", store, "--key-file", key, "--new-key-file", key, says=["not the key"])
amber.run("key", "add", store, "--key-file", other, "--new-key-file", key)
listed = json.loads(amber.run("key", "list", mnt, "--json").stdout)["keys"]
amber.equal([slot["kind"] for slot in listed], ["keyfile", "passphrase", "keyfile"], "the keys")
amber.run("list", mnt)
use(2)


def key_events(target):
    events = json.loads(amber.run("audit", target, "--json").stdout)["events"]
    return [(e["event"], e["key"], e["kind"], e["label"]) for e in events if e["event"].startswith("key_")
            and (e["uid"], e["command"], e["pid"] > 0) == (os.getuid(), "amberfs", True)]


CHANGES = [("key_added", 2, "passphrase", "for the safe"), ("key_replaced", 1, "keyfile", "init"),
           ("key_added", 3, "keyfile", "")]
amber.equal(key_events(mnt), CHANGES, "what the audit log says of the keys")
amber.run("umount", mnt)

# Each of the three opens it.
for way in (["--key-file", key], ["--key-file", other], ["--passphrase-file", passphrase]):
    amber.run("mount", store, mnt, *way)
    check_content([1, 2])
    amber.run("umount", mnt)
os.environ["AMBERFS_PASSPHRASE_FILE"] = passphrase
amber.run("verify", store, "--full")
amber.run("repair", "--index", store)
amber.run("gc", store)
amber.run("verify", store, "--full")
del os.environ["AMBERFS_PASSPHRASE_FILE"]

# A terminal is asked, and does not show what is typed.
child, terminal = pty.fork()
if child == 0:
    os.execv(amber.BINARY, [amber.BINARY, "list", store])
shown = b""
while b"Passphrase" not in shown:
    shown += os.read(terminal, 1000)
time.sleep(0.3)
os.write(terminal, PASSPHRASE.encode() + b"\n")
try:
    while chunk := os.read(terminal, 1000):
        shown += chunk
except OSError:
    pass
amber.equal(os.waitpid(child, 0)[1], 0, f"asked at the terminal: {shown!r}")
amber.check(SNAPSHOT.encode() in shown, f"the list is not there: {shown!r}")
amber.check(PASSPHRASE.encode() not in shown, "the terminal shows the passphrase")

# Taken away: it opens no more; the last one stays.
amber.run("key", "remove", store, "--key-file", other, "--slot", "3")
amber.refused("list", store, "--key-file", key, says=["not the key"])
amber.run("key", "remove", store, "--key-file", other, "--slot", "2")
amber.refused("list", store, "--passphrase-file", passphrase, says=["only key files"])
amber.refused("key", "remove", store, "--key-file", other, "--slot", "1", code=2, says=["last"])
os.environ["AMBERFS_KEY_FILE"] = other
CHANGES += [("key_removed", 3, "keyfile", ""), ("key_removed", 2, "passphrase", "for the safe")]
amber.equal(key_events(store), CHANGES, "what the audit log says in the end")
amber.run("verify", store)
del os.environ["AMBERFS_KEY_FILE"]

# One damaged file of keys is mended from the other; a key for a store that is not encrypted.
with open(os.path.join(store, "keys.json"), "r+b") as keys:
    keys.seek(120)
    keys.write(b"\0")
done = amber.run("list", store, "--key-file", other)
amber.check("keys.json" in done.stderr, "the damaged file is not named")
amber.equal(amber.read_file(os.path.join(store, "keys.json")),
            amber.read_file(os.path.join(store, "keys.copy.json")), "the two files of keys")
subprocess.run([amber.BINARY, "init", amber.scratch("plain")], check=True)
amber.refused("list", amber.scratch("plain"), "--key-file", other, code=2, says=["not encrypted"])

# Everything that lies in the store, byte by byte.
looked = 0
for folder, _, names in os.walk(store):
    for name in names:
        data = amber.read_file(os.path.join(folder, name))
        looked += len(data)
        for needle in needles + [PASSPHRASE.split()[0]]:
            for form in (needle.encode(), needle.encode().hex().encode()):
                amber.check(form not in data, f"'{needle}' stands in {name}")
        amber.check(KEY not in data and KEY.hex().encode() not in data, f"the key stands in {name}")
        amber.check(not any(needle in name for needle in needles), f"{name} tells a name")
amber.check(looked > 100000, "there was nothing to look at")
