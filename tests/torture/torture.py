#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Torture: programs write while the server beneath them is killed, or replaced, at random times.
No call may fail, no line be lost or doubled, no byte changed; every snapshot that was reported must
hold what was synced before it. Says how long the programs had to wait.

usage: torture.py --binary build/release/tools/amberfs [--kills 50] [--upgrades 0 --other BINARY]
                  [--files 0] [--snapshots-every 2.0] [--interval 0.1 1.0] [--seed N] [--keep]

Exit code 0: nothing was wrong. The workers are in worker.py. The run has a time limit; whatever
happens, the mount is taken down, in the end by aborting its FUSE connection.
"""
import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WORKERS = [("append", "cached"), ("append", "cached"), ("sync", "cached"), ("names", "cached"),
           ("names", "cached"), ("change", "cached"), ("map", "cached"),
           ("append", "exact"), ("sync", "exact"), ("change", "exact")]


class Torture:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.scratch = tempfile.mkdtemp(prefix="amberfs-torture-")
        self.store, self.mnt = f"{self.scratch}/store", f"{self.scratch}/mnt"
        self.stop = f"{self.scratch}/stop"
        self.wrong = []
        self.kills = []      # times
        self.snapshots = []  # (its directory, {ledger: synced lines before it})
        self.lost_commands = 0
        os.makedirs(self.mnt)
        os.makedirs(f"{self.scratch}/ledgers")

    def amberfs(self, *arguments, check=True, binary=None):
        done = subprocess.run([binary or self.options.binary, *arguments], capture_output=True,
                              text=True, timeout=300, check=False)
        if check and done.returncode != 0:
            raise SystemExit(f"amberfs {' '.join(arguments)}: {done.returncode}\n{done.stderr}")
        return done

    def status(self):
        return json.loads(self.amberfs("status", self.mnt, "--json").stdout)

    # ---- before

    def set_up(self):
        encrypt = ["--encrypt"] if os.environ.get("AMBERFS_TEST_ENCRYPT") == "1" else []
        self.amberfs("init", self.store, *encrypt)
        config = f"{self.store}/config.toml"
        with open(config, encoding="utf-8") as text:
            lines = text.read().splitlines()
        at = next(i for i, line in enumerate(lines) if line.lstrip("# ").startswith("exact ="))
        lines[at] = 'exact = ["exact/**"]'
        with open(config, "w", encoding="utf-8") as text:
            text.write("\n".join(lines) + "\n")
        self.amberfs("mount", self.store, self.mnt)
        for number in range(self.options.files):
            if number % 1000 == 0:
                os.makedirs(f"{self.mnt}/many/{number // 1000}")
            with open(f"{self.mnt}/many/{number // 1000}/{number}", "w", encoding="ascii") as file:
                file.write(f"{number}\n")
        self.keeper = self.status()["keeper_pid"]

    def start_workers(self):
        self.workers = []
        for i, (kind, mode) in enumerate(WORKERS):
            directory = f"{self.mnt}/{mode}/{kind}{i}"
            os.makedirs(os.path.dirname(directory), exist_ok=True)
            ledger = f"{self.scratch}/ledgers/{kind}{i}"
            self.workers.append(subprocess.Popen(
                [sys.executable, f"{HERE}/worker.py", kind, directory, ledger, self.stop,
                 str(self.random.randrange(1 << 30))], stdout=subprocess.PIPE, text=True))

    # ---- during

    def kill_server(self):
        try:
            with open(f"/proc/{self.keeper}/task/{self.keeper}/children", encoding="ascii") as text:
                server = int(text.read().split()[0])
            os.kill(server, signal.SIGKILL)
        except (IndexError, ProcessLookupError):
            return False  # between two servers
        self.kills.append(time.time())
        return True

    def synced(self):
        """How many lines each writer has synced: what a snapshot taken now must hold."""
        counts = {}
        for name in os.listdir(f"{self.scratch}/ledgers"):
            with open(f"{self.scratch}/ledgers/{name}", encoding="ascii") as text:
                numbers = [line for line in text.read().split("\n")[:-1]]
            counts[name] = int(numbers[-1]) if numbers else 0
        return counts

    def take_snapshot(self):
        before = self.synced()
        done = self.amberfs("snapshot", self.mnt, "--json", check=False)
        if done.returncode == 0:
            self.snapshots.append((json.loads(done.stdout)["snapshot"]["time"], before))
        else:
            self.lost_commands += 1  # its server was killed: nothing was promised

    def upgrade(self, turn):
        binary = [self.options.other, self.options.binary][turn % 2]
        self.kills.append(time.time())
        done = self.amberfs("upgrade", self.mnt, check=False, binary=binary)
        if done.returncode != 0:
            self.wrong.append(f"upgrade {turn}: {done.stderr.strip()}")

    def alive(self):
        for worker in self.workers:
            if worker.poll() is not None:
                return False
        return True

    def run(self):
        low, high = self.options.interval
        snapshot_at = time.time() + self.options.snapshots_every
        child = None
        for turn in range(self.options.kills + self.options.upgrades):
            time.sleep(self.random.uniform(low, high))
            if not self.alive():
                self.wrong.append("a worker ended early")
                break
            if turn >= self.options.kills:
                self.upgrade(turn)
            elif not self.kill_server():
                time.sleep(0.05)
                self.kill_server()
            if self.random.random() < 0.05:  # the next one at its very start
                time.sleep(self.random.uniform(0, 0.05))
                self.kill_server()
            if time.time() >= snapshot_at and child is None:
                child = time.time()
                self.take_snapshot()
                child = None
                snapshot_at = time.time() + self.options.snapshots_every
            if turn % 50 == 49:
                print(f"  {turn + 1} done, {len(self.snapshots)} snapshots", flush=True)

    # ---- afterwards

    def plant_mistake(self):
        """Does to a file what a bug might do: the workers must find it."""
        if self.options.plant == "double":
            path = f"{self.mnt}/cached/append0/append0.log"
            with open(path, "rb") as file:
                last = file.read().rstrip(b"\n").rsplit(b"\n", 1)[-1]
            with open(path, "ab") as file:
                file.write(last + b"\n")
        elif self.options.plant == "drop":
            os.truncate(f"{self.mnt}/exact/sync8/sync8.log", 100)
        elif self.options.plant == "flip":
            with open(f"{self.mnt}/cached/change5/changed", "r+b") as file:
                byte = file.read(1)
                file.seek(0)
                file.write(bytes([byte[0] ^ 1]))
        elif self.options.plant == "name":
            with open(f"{self.mnt}/cached/names3/stray", "wb"):
                pass

    def finish_workers(self):
        if self.options.plant:
            self.plant_mistake()
        with open(self.stop, "w", encoding="ascii"):
            pass
        self.reports = []
        for worker, (kind, mode) in zip(self.workers, WORKERS):
            try:
                text, _ = worker.communicate(timeout=120)
                report = json.loads(text.splitlines()[-1])
            except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
                self.wrong.append(f"{kind} ({mode}) did not report: {error!r:.200}")
                continue
            self.reports.append(report)
            if report["wrong"]:
                self.wrong.append(f"{kind} ({mode}): {report['wrong']}")

    def check_snapshots(self):
        for snapshot, synced in self.snapshots:
            for name, count in synced.items():
                for mode in ("cached", "exact"):
                    path = f"{self.mnt}/.snapshots/{snapshot}/{mode}/{name}/{name}.log"
                    if os.path.isdir(f"{self.mnt}/{mode}/{name}") and count:
                        self.check_lines(snapshot, path, name, count)

    def check_lines(self, snapshot, path, name, count):
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
        for number, line in enumerate(lines[:-1], 1):
            if line.split(b" ")[:2] != [name.encode(), b"%08d" % number]:
                self.wrong.append(f"snapshot {snapshot}: line {number} of {name} is {line!r:.80}")
                return
        if len(lines) - 1 < count:
            self.wrong.append(f"snapshot {snapshot}: {len(lines) - 1} lines of {name}, "
                              f"{count} were synced before it")

    def digest(self):
        total = hashlib.sha256()
        for folder, folders, files in os.walk(self.mnt):
            folders.sort()
            if folder == self.mnt and "many" in folders:
                folders.remove("many")
            for name in sorted(files):
                path = os.path.join(folder, name)
                total.update(os.path.relpath(path, self.mnt).encode() + b"\0")
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        total.update(file.read())
        return total.hexdigest()

    def check_after(self):
        self.check_snapshots()
        life = self.status()["server_life"]
        before = self.digest()
        self.amberfs("umount", self.mnt)
        self.amberfs("mount", self.store, self.mnt)
        if self.digest() != before:
            self.wrong.append("after a remount the tree is another one")
        self.amberfs("umount", self.mnt)
        verify = self.amberfs("verify", self.store, "--full", check=False)
        if verify.returncode != 0:
            self.wrong.append(f"verify --full: {verify.stdout[-500:]}{verify.stderr[-500:]}")
        return life

    def pauses(self):
        """For each kill: the longest call that it fell into."""
        slow = sorted(entry for report in self.reports for entry in report["slow"])
        result = []
        for kill in self.kills:
            hit = [took for begin, took in slow if begin - 0.001 <= kill + 0.25 and
                   begin + took >= kill and begin >= kill - took]
            result.append(max(hit, default=0.0))
        return result

    def report(self, life):
        calls = sum(report["calls"] for report in self.reports)
        print(f"{len(self.kills)} kills or upgrades, {life} servers, {calls} calls, "
              f"{len(self.snapshots)} snapshots ({self.lost_commands} cut off by a kill), "
              f"{len(self.wrong)} wrong")
        pauses = sorted(self.pauses())
        if pauses:
            print(f"longest call around each: median {statistics.median(pauses):.3f} s, "
                  f"99% {pauses[int(len(pauses) * 0.99)]:.3f} s, worst {pauses[-1]:.3f} s")
        for what in self.wrong[:20]:
            print("WRONG:", what)

    def clean_up(self):
        for worker in getattr(self, "workers", []):
            worker.kill()
        if os.path.ismount(self.mnt) or subprocess.run(
                ["mountpoint", "-q", self.mnt], timeout=10, check=False).returncode == 0:
            subprocess.run(["umount", "-l", self.mnt], timeout=20, check=False)
        expected = bool(self.wrong) == bool(self.options.plant)
        if expected and not self.options.keep:
            shutil.rmtree(self.scratch, ignore_errors=True)
        else:
            print("left for a look:", self.scratch)


def abort_fuse(mnt):
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        for line in table:
            fields = line.split()
            if fields[4] == mnt:
                with open(f"/sys/fs/fuse/connections/{fields[2].split(':')[1]}/abort", "w",
                          encoding="ascii") as switch:
                    switch.write("1")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--upgrades", type=int, default=0)
    parser.add_argument("--other", help="the binary to change places with")
    parser.add_argument("--files", type=int, default=0, help="files in the store beforehand")
    parser.add_argument("--snapshots-every", type=float, default=2.0)
    parser.add_argument("--interval", type=float, nargs=2, default=(0.1, 1.0))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--plant", choices=["double", "drop", "flip", "name"],
                        help="make a mistake on purpose: the run must fail")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    options.other = os.path.abspath(options.other) if options.other else options.binary
    print(f"seed {options.seed}", flush=True)
    torture = Torture(options)

    def too_long(*_):
        abort_fuse(torture.mnt)
        raise SystemExit("the run hangs: its mount was aborted")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(int(300 + 2 * (options.kills + options.upgrades) + options.files / 500))
    try:
        torture.set_up()
        torture.start_workers()
        torture.run()
        torture.finish_workers()
        torture.report(torture.check_after())
    finally:
        torture.clean_up()
    return 1 if torture.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
