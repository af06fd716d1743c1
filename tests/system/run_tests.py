#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the system tests: every executable in cases/, each through a real mount.

A case gets a scratch directory and its own process group. Exit 0 passes, 77 skips (the last line of
output is the reason), anything else fails. A case may carry "timeout: SECONDS" in its first 15 lines.
Whatever a case does, afterwards its processes are gone and its mounts are taken down; a case that
leaves a mount up, or whose server died or was reported by a sanitizer, fails.

With --encrypted every store that a case makes is encrypted: AMBERFS_TEST_ENCRYPT=1 makes lib/ say
`init --encrypt`, and AMBERFS_KEY_FILE names a key of the case's own to every command. A case that
would be the same once more says "one form: REASON" in its first 15 lines, and is skipped then.

usage: run_tests.py --binary build/release/tools/amberfs [--encrypted] [--jobs N] [--keep] [--list]
                    [FILTER...]
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = os.path.join(HERE, "cases")
FUSE_CONNECTIONS = "/sys/fs/fuse/connections"
SKIP = 77
TIMEOUT_S = 150
REPORTS = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:")


def mounts_below(directory):
    """[(mount point, minor)] below directory, deepest first, without touching any of them."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields = line.split()
            point = re.sub(r"\\(\d{3})", lambda m: chr(int(m.group(1), 8)), fields[4])
            if point.startswith(directory + "/"):
                found.append((point, fields[2].split(":")[1]))
    return sorted(found, reverse=True)


def processes_of(directory):
    """Processes that name the scratch directory in their command line: servers left their group."""
    needle = directory.encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                if int(pid) != os.getpid() and needle in cmdline.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def quietly(*command, timeout=10):
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              stdin=subprocess.DEVNULL, timeout=timeout, check=False).returncode
    except subprocess.TimeoutExpired:
        return -1


def abort_connection(minor):
    if not os.path.isdir(FUSE_CONNECTIONS) or not os.listdir(FUSE_CONNECTIONS):
        quietly("mount", "-t", "fusectl", "none", FUSE_CONNECTIONS)
    try:
        with open(f"{FUSE_CONNECTIONS}/{minor}/abort", "w", encoding="ascii") as abort:
            abort.write("1")
    except OSError:
        pass  # gone by itself


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def clean_up(directory):
    """Takes everything of a case down. Returns what it should not have left."""
    left = []
    for point, minor in mounts_below(directory):
        left.append(f"mount left: {point}")
        if quietly("umount", point, timeout=5) != 0:
            abort_connection(minor)
            quietly("umount", "-l", point)
    deadline = time.monotonic() + 10
    while processes_of(directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    still = processes_of(directory)
    if still:
        left.append(f"processes left: {still}")
        kill_all(still)
    for point, minor in mounts_below(directory):
        abort_connection(minor)
        quietly("umount", "-l", point)
    return left


def said_by(case, what):
    """What a case says of itself: "WHAT: …" in its first lines, up to the end of the line."""
    with open(case, encoding="utf-8") as text:
        head = "".join(text.readlines()[:15])
    found = re.search(rf"\b{what}: (.*)", head)
    return found.group(1).strip().removesuffix('"""') if found else None


def timeout_of(case):
    return int(said_by(case, "timeout") or TIMEOUT_S)


def wait_for(process, seconds):
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None


def server_logs(scratch):
    for folder, _, names in os.walk(scratch):
        for name in names:
            if name == "server.log" or name.startswith("sanitizer."):
                yield os.path.join(folder, name)


def sanitizer_reports(scratch):
    for path in server_logs(scratch):
        with open(path, encoding="utf-8", errors="replace") as log:
            if REPORTS.search(log.read()):
                yield path


def add_key(env, scratch):
    path = os.path.join(scratch, "key")
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as key:
        key.write(os.urandom(32))
    env.update(AMBERFS_TEST_ENCRYPT="1", AMBERFS_KEY_FILE=path)


def environment(binary, scratch, encrypted):
    env = dict(os.environ, AMBERFS=binary, SCRATCH=scratch, TMPDIR=scratch, LC_ALL="C.UTF-8",
               AMBERFS_ROOT=os.path.dirname(os.path.dirname(HERE)), PYTHONDONTWRITEBYTECODE="1",
               PYTHONPATH=os.path.join(HERE, "lib"), AMBERFS_LIB=os.path.join(HERE, "lib"))
    for tool in ("ASAN", "TSAN", "UBSAN"):
        env[f"{tool}_OPTIONS"] = f"log_path={scratch}/sanitizer.{tool.lower()}"
    # A server that makes way for another just ends, with its threads.
    env["TSAN_OPTIONS"] += ":report_thread_leaks=0"
    if encrypted:
        add_key(env, scratch)
    return env


class Outcome:
    def __init__(self, name):
        self.name, self.verdict, self.why, self.text, self.seconds = name, "FAIL", "", "", 0.0


def tail(path, lines):
    try:
        with open(path, encoding="utf-8", errors="replace") as text:
            return "".join(text.readlines()[-lines:])
    except OSError as error:
        return f"({error})\n"


def run_case(name, options, slow):
    outcome = Outcome(name)
    case = os.path.join(CASES, name)
    one_form = said_by(case, "one form")
    if options.encrypted and one_form:
        outcome.verdict, outcome.why = "skip", f"one form: {one_form}"
        return outcome
    scratch = tempfile.mkdtemp(prefix=f"amberfs-{name.split('.')[0]}-", dir=options.scratch)
    os.chmod(scratch, 0o755)  # cases switch to other users
    log = os.path.join(scratch, "case.log")
    began = time.monotonic()
    with open(log, "wb") as output:
        process = subprocess.Popen([case], cwd=scratch, env=environment(options.binary, scratch, options.encrypted),
                                   stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        code = wait_for(process, timeout_of(case) * slow)
        if code is None:
            outcome.why = f"no end after {timeout_of(case) * slow} s"
        kill_group(process.pid)
        left = clean_up(scratch)
        if wait_for(process, 10) is None:
            left.append(f"process {process.pid} cannot be killed")
    outcome.seconds = time.monotonic() - began
    text = tail(log, 60)
    reports = list(sanitizer_reports(scratch))
    if code == 0 and not left and not reports:
        outcome.verdict = "ok"
    elif code == SKIP and not left:
        outcome.verdict, outcome.why = "skip", (text.strip().splitlines() or ["no reason"])[-1]
    else:
        outcome.why = outcome.why or "; ".join(left + [f"exit code {code}"] + reports)
        outcome.text = text + "".join(f"--- tail of {path}\n{tail(path, 40)}"
                                      for path in server_logs(scratch))
    if outcome.verdict != "FAIL" and not options.keep:
        shutil.rmtree(scratch, ignore_errors=True)
    elif outcome.verdict == "FAIL":
        outcome.text += f"--- left for a look: {scratch}\n"
    return outcome


def kill_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass


def report(outcome, options):
    print(f"{outcome.verdict:4} {outcome.seconds:6.1f} s  {outcome.name}"
          + (f"  ({outcome.why})" if outcome.why else ""), flush=True)
    if outcome.verdict == "FAIL":
        print(outcome.text.rstrip() + f"\n--- again: sudo {os.path.relpath(__file__)} --binary "
              f"{os.path.relpath(options.binary)} {outcome.name}", flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description="system tests through real mounts")
    parser.add_argument("--binary", default=os.path.join(HERE, "../../build/release/tools/amberfs"))
    parser.add_argument("--encrypted", action="store_true", help="every store is encrypted")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--keep", action="store_true", help="keep the scratch directories")
    parser.add_argument("--list", action="store_true", help="only name the cases")
    parser.add_argument("--scratch", default="/tmp", help="where scratch directories are made")
    parser.add_argument("filter", nargs="*", help="parts of case names")
    options = parser.parse_args()
    options.binary = os.path.realpath(options.binary)
    return options


def main():
    options = parse_arguments()
    names = [name for name in sorted(os.listdir(CASES))
             if os.access(os.path.join(CASES, name), os.X_OK)
             and os.path.isfile(os.path.join(CASES, name))
             and (not options.filter or any(part in name for part in options.filter))]
    if options.list:
        print("\n".join(names))
        return 0
    if not os.access(options.binary, os.X_OK):
        sys.exit(f"{options.binary} is not there: build it first, or give --binary")
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        sys.exit("system tests mount file systems: they need root and /dev/fuse")
    slow = 4 if re.search(r"asan|tsan|coverage|debug", options.binary) else 1
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in concurrent.futures.as_completed(
                [pool.submit(run_case, name, options, slow) for name in names]):
            report(done.result(), options)
            counts[done.result().verdict] += 1
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
