#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the libFuzzer targets, one after another: seeds first, then on from what was found before.

usage: run_fuzz.py [--seconds N] [--timeout N] [--build DIR] [--corpus DIR] [NAME…]
One line a target: executions, executions a second, edges covered. Exit 1 when one of them fell over;
what it fell over is kept in the corpus directory, and NAME_replay of any build runs it again.
"""
import argparse
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What a target may take: far more than it needs, far less than what a size in a file could ask for.
RSS_MAX_MB, MALLOC_MAX_MB = 2048, 512


def run_target(binary, corpus, seconds, timeout):
    name = os.path.basename(binary)
    seeds, found = os.path.join(corpus, name, "seeds"), os.path.join(corpus, name, "found")
    os.makedirs(found, exist_ok=True)
    subprocess.run([binary, "--write-seeds", seeds], check=True, stdout=subprocess.DEVNULL)
    # Leaks are looked for at the end: within the loop that stops the process again and again. A
    # small quarantine, as most targets take a MiB for each input, which is slow when it is new.
    log_path = os.path.join(corpus, name, "log")
    with open(log_path, "w", encoding="utf-8") as log:
        ran = subprocess.run(
            [binary, f"-max_total_time={seconds}", f"-rss_limit_mb={RSS_MAX_MB}",
             f"-malloc_limit_mb={MALLOC_MAX_MB}", f"-timeout={timeout}", "-max_len=65536",
             "-detect_leaks=0", "-print_final_stats=1", f"-artifact_prefix={corpus}/{name}/",
             found, seeds],
            stdout=log, stderr=subprocess.STDOUT, timeout=2 * seconds + 300,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=16"})
    with open(log_path, encoding="utf-8", errors="replace") as log:
        said = log.read()
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", said))
    covered = re.findall(r"cov: (\d+)", said)
    print(f"{name:20} {'ok' if ran.returncode == 0 else 'FELL OVER'}"
          f" {stats.get('number_of_executed_units', '?'):>10} runs"
          f" {stats.get('average_exec_per_sec', '?'):>7}/s"
          f" {covered[-1] if covered else '?':>6} edges"
          f" {stats.get('peak_rss_mb', '?'):>5} MiB", flush=True)
    if ran.returncode != 0:
        print("\n".join(said.splitlines()[-60:]))
    return ran.returncode == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--timeout", type=int, default=20,
                        help="seconds that one input may take; more on a machine that is busy")
    parser.add_argument("--build", default=os.path.join(ROOT, "build/fuzz"))
    parser.add_argument("--corpus", default=os.path.join(ROOT, "build/fuzz/corpus"))
    parser.add_argument("names", nargs="*", help="targets whose name holds one of these")
    args = parser.parse_args()
    folder = os.path.join(args.build, "tests/fuzz")
    targets = [os.path.join(folder, name) for name in sorted(os.listdir(folder))
               if name.endswith("_fuzz")]
    chosen = [t for t in targets if not args.names or any(
        part in os.path.basename(t) for part in args.names)]
    if not chosen:
        sys.exit("there is no such target; build them: cmake --build --preset fuzz")
    good = [run_target(target, args.corpus, args.seconds, args.timeout) for target in chosen]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
