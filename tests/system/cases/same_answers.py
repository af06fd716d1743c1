#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command answers the same with the store mounted (by DIR and by STORE) and unmounted."""
import os

import amber

QUESTIONS = (["list"], ["list", "--json"], ["diff", "one"], ["diff", "one", "two"],
             ["diff", "one", "--json"], ["diff", "one", "--lines"], ["diff", "one", "two", "app.log"],
             ["diff", "two", "live"], ["cat", "one:app.log"], ["cat", "latest:dir/b.log"], ["verify"],
             ["verify", "--full"], ["cat", "one:nothing"], ["diff", "nonsense"], ["diff", "latest~7"])


def ask(target):
    answers = []
    for question in QUESTIONS:
        done = amber.run(question[0], target, *question[1:], code=None)
        answers.append((question, done.returncode, done.stdout.replace(target, "X"),
                        done.stderr.replace(target, "X")))
    return answers


with amber.Amber() as a:
    rng = amber.seeded()
    amber.write_file(a.path("app.log"), b"".join(amber.log_lines(500, rng)))
    amber.write_file(a.path("dir/b.log"), b"".join(amber.log_lines(500, rng)))
    a.snapshot("--name", "one", "--reason", "before the change")
    with open(a.path("app.log"), "ab") as log:
        log.write(b"one more line\n")
    os.unlink(a.path("dir/b.log"))
    amber.write_file(a.path("dir/b.log"), b"another\n")
    a.snapshot("--name", "two", "--reason", "\x1b[2Jred\x9b and\u0085 more")
    listed = amber.run("list", a.mnt).stdout
    amber.check("\\x1b[2Jred" in listed and "\x1b" not in listed and "\u0085" not in listed,
                f"a reason reaches the terminal as it is: {listed!r}")
    os.rename(a.path("app.log"), a.path("app.log.1"))
    mounted, by_store = ask(a.mnt), ask(a.store)
    a.umount()
    unmounted = ask(a.store)
    amber.run("status", a.store, "--json")
    a.mount()
    for one, two, three in zip(mounted, by_store, unmounted):
        amber.equal(two, one, f"{one[0]} by STORE while mounted, compared with by DIR")
        amber.equal(three, one, f"{one[0]} unmounted, compared with mounted")
    amber.run("diff", a.mnt, "two", "--exit-code", code=1)
    amber.run("diff", a.mnt, "two", "two", "--exit-code", code=0)
