#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Every file of a corpus written, snapshotted, changed in each way, snapshotted again: both states
read back exactly through .snapshots and `amberfs cat`, and a rollback gives the tree of the snapshot.
AMBERFS_CORPUS=DIR takes the files of a directory instead of generated logs."""
import gzip
import json
import os
import shutil

import amber

CORPUS = os.environ.get("AMBERFS_CORPUS")


def make_corpus(root, rng):
    """Text of several shapes, compressed, random, empty, tiny, UTF-16, without a last newline."""
    text = b"".join(amber.log_lines(20000, rng))
    files = {"syslog": text, "app/access.log": b"".join(amber.log_lines(5000, rng)),
             "app/one-line": b"x" * 300000, "app/syslog.1.gz": gzip.compress(text[:800000]),
             "bin/random": rng.randbytes(3 << 20), "bin/zeros": bytes(1 << 20), "empty": b"",
             "tiny": b"a", "windows.log": text[:200000].decode().encode("utf-16"),
             "no-newline": text[:12345], "crlf.log": text[:100000].replace(b"\n", b"\r\n")}
    for i in range(10):
        files[f"many/{i}.log"] = b"".join(amber.log_lines(rng.randrange(2000), rng))
    for name, content in files.items():
        amber.write_file(os.path.join(root, name), content)


def change(directory, path, rng, how):
    full = os.path.join(directory, path)
    size = os.path.getsize(full)
    if how == "append":
        with open(full, "ab") as target:
            target.writelines(amber.log_lines(50, rng))
    elif how == "truncate":
        os.truncate(full, size // 3)
    elif how == "overwrite":
        with open(full, "r+b") as target:
            target.seek(size // 2)
            target.write(rng.randbytes(1000))
    elif how == "insert":
        content = amber.read_file(full)
        amber.write_file(full, content[:size // 2] + b"INSERTED\n" * 5 + content[size // 2:])
    elif how == "delete":
        os.unlink(full)
    elif how == "rename":
        os.rename(full, full + ".renamed")
    elif how == "attributes":
        os.chmod(full, 0o604)
        os.chown(full, 77, 88)
        os.setxattr(full, "user.changed", b"yes")


def compare_with_cat(source, snap, tree, count):
    regular = [path for path, entry in tree.items() if isinstance(entry[6], tuple)]
    for path in regular[:count]:
        content = amber.run("cat", source, f"{snap}:{os.fsdecode(path)}", text=False).stdout
        amber.equal((len(content), amber.hashlib.sha256(content).hexdigest()), tree[path][6],
                    f"cat {snap}:{path!r}")


WAYS = ("append", "truncate", "overwrite", "insert", "delete", "rename", "attributes")
with amber.Amber() as a:
    rng = amber.seeded()
    native = amber.scratch("native")  # the same done beside it, on the native file system
    if CORPUS:
        shutil.copytree(CORPUS, native)
    else:
        make_corpus(native, rng)
    shutil.copytree(native, a.mnt, dirs_exist_ok=True)
    for path, entry in amber.manifest(native).items():
        if isinstance(entry[6], tuple):
            amber.equal(amber.sha256(a.path(os.fsdecode(path))), entry[6][1], f"written {path!r}")
    os.setxattr(a.path(), "user.root", b"of the tree")
    live, snaps = amber.manifest(a.mnt), []
    history = []
    for turn in range(3):
        files = sorted(path for path, entry in live.items() if isinstance(entry[6], tuple))
        history.append((a.snapshot("--name", f"turn-{turn}"), live))
        for i, path in enumerate(files):
            change(a.mnt, os.fsdecode(path), rng, WAYS[(i + turn * 3) % len(WAYS)])
        live = amber.manifest(a.mnt)
    for snap, tree in history:
        amber.same_tree(amber.manifest(a.past(snap)), tree, f".snapshots/{snap}")
        compare_with_cat(a.mnt, snap, tree, 12)
    amber.same_tree(amber.manifest(a.mnt), live, "reading snapshots changed the live tree")
    kept = []
    for turn in (1, 0, 2):
        kept.append(json.loads(amber.run("rollback", a.mnt, f"turn-{turn}", "--json").stdout))
        amber.same_tree(amber.manifest(a.mnt), history[turn][1], f"rollback to turn {turn}")
    amber.run("rollback", a.mnt, kept[0]["before"]["id"])
    amber.same_tree(amber.manifest(a.mnt), live, "a rollback can be rolled back")
    amber.write_file(a.path("after"), b"rollback")
    last = amber.manifest(a.mnt)
    a.umount()
    compare_with_cat(a.store, "turn-0", history[0][1], 12)
    amber.run("verify", a.store, "--full")
    a.mount()
    amber.same_tree(amber.manifest(a.mnt), last, "after rollbacks and a remount")
