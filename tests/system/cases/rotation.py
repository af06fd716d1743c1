#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real rotation is no tampering: logrotate in its modes, many rounds each, with a program that goes
on writing; a newsyslog-like shell script; and the same steps made by somebody else are."""
import json
import os
import subprocess

import amber

amber.need("logrotate", "gzip", "xz", "zstd")


def events(name):
    out = amber.run("audit", a.mnt, "--json").stdout
    return [event for event in json.loads(out)["events"] if event["event"] == name]


def append(path, text):
    with open(path, "ab") as log:
        log.write(text)


def rotate(directory, settings, rounds, day=False):
    """`rounds` times: lines come, and logrotate is made to rotate."""
    os.makedirs(a.path(directory))
    log, config = a.path(directory, "app.log"), amber.scratch(f"{directory}.conf")
    body = "\n".join(["rotate 3", "missingok", "su root root", *settings])
    amber.write_file(config, f"{log} {{\n{body}\n}}\n".encode())
    append(log, b"first\n")
    for i in range(rounds):
        append(log, b"line of round %d\n" % i * 500)
        if day:  # of each round a name of its own
            settings_now = body.replace("DATE", f"-202601{10 + i}")
            amber.write_file(config, f"{log} {{\n{settings_now}\n}}\n".encode())
        done = subprocess.run(["logrotate", "-f", "-s", amber.scratch(f"{directory}.state"), config],
                              capture_output=True, text=True, timeout=60, check=False)
        amber.equal(done.returncode, 0, f"logrotate {directory}: {done.stderr}")
    names = sorted(os.listdir(a.path(directory)))
    print(directory, names, flush=True)
    amber.check(len(names) >= 3, f"logrotate did nothing in {directory}: {names}")
    found = [event for event in events("tampering") if event["path"].startswith(f"/{directory}/")]
    amber.equal(found, [], f"logrotate, {directory}")
    limit = [name for name in names if name != "app.log"]
    # logrotate finds dated generations by its own dateformat only; their removal: maxage, below.
    amber.check(day or len(limit) <= 4, f"generations stay in {directory}: {names}")


a = amber.Amber()
a.mount()
os.chmod(a.mnt, 0o755)
rotate("create", ["create"], 6)
rotate("nocreate", ["nocreate"], 6)
rotate("copytruncate", ["copytruncate"], 6)
rotate("compress", ["compress", "create"], 6)
rotate("delaycompress", ["compress", "delaycompress", "create"], 6)
rotate("copycompress", ["compress", "copytruncate"], 6)
rotate("xz", ["compress", "compresscmd /usr/bin/xz", "compressext .xz", "create"], 6)
rotate("zstd", ["compress", "compresscmd /usr/bin/zstd", "compressext .zst", "compressoptions -q --rm",
                "create"], 6)
rotate("dateext", ["dateext", "dateformat DATE", "create"], 6, day=True)
rotate("datecompress", ["dateext", "dateformat DATE", "create", "compress"], 6, day=True)
rotate("datecopy", ["dateext", "dateformat DATE", "copytruncate"], 6, day=True)
rotate("extension", ["extension .log", "create"], 6)
rotate("start", ["start 0", "create"], 6)
amber.check(len(events("rotation")) > 5, "compressed generations are not listed as rotations")

# By age.
os.makedirs(a.path("maxage"))
for day in range(1, 9):
    path = a.path("maxage", f"app.log-2026010{day}")
    append(path, b"old\n" * 10)
    os.utime(path, (1, 1) if day < 4 else None)
append(a.path("maxage", "app.log"), b"line\n")
amber.write_file(amber.scratch("maxage.conf"),
                 f"{a.path('maxage')}/app.log {{\nsu root root\nrotate 20\ndateext\nmaxage 3\ncreate\n}}\n".encode())
subprocess.run(["logrotate", "-f", "-s", amber.scratch("maxage.state"), amber.scratch("maxage.conf")],
               check=True, timeout=60)
amber.check(not os.path.exists(a.path("maxage", "app.log-20260101")), "maxage removed nothing")
amber.equal([e for e in events("tampering") if e["path"].startswith("/maxage/")], [], "maxage")

# As newsyslog and savelog do it: each generation over the next.
os.makedirs(a.path("shift"))
for i in range(6):
    append(a.path("shift", "log"), b"round %d\n" % i)
    subprocess.run(["bash", "-c", "[ -e log.1 ] && mv -f log.1 log.2; [ -e log.0 ] && mv -f log.0 log.1;"
                    "mv -f log log.0"], cwd=a.path("shift"), check=False, timeout=60)
amber.equal([e for e in events("tampering") if e["path"].startswith("/shift/")], [], "newsyslog")

# What only looks like it.
amber.equal(events("tampering"), [], "before")
subprocess.run(["bash", "-c", "echo other > create/app.log.9; head -c 8000 create/app.log.1 | tr a-z A-Z > "
                "create/app.log.4; : > create/app.log.1"], cwd=a.mnt, check=True, timeout=60)
amber.equal([e["what"] for e in events("tampering")], ["truncated"], "cut although the copy differs")
subprocess.run(["bash", "-c", "rm create/app.log.1 create/app.log.2 create/app.log.3"], cwd=a.mnt,
               check=True, timeout=60)
amber.check(len(events("tampering")) >= 3, "young generations were deleted")
a.umount()
amber.run("verify", a.store)
