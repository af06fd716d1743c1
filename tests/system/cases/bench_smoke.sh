#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# one form: tools/benchmark makes the stores, and chooses their form
# The benchmark suite runs, every group of it, and gives a figure for each row. Not how fast.
. "$AMBERFS_LIB/lib.sh"
built=$(dirname "$AMBERFS")
suite=$AMBERFS_LIB/../../../tools/benchmark
work=$built/benchmark/amberfs-bench-work
[ -x "$work" ] || fail "there is no $work"

python3 "$suite/bench.py" --smoke --binary "$AMBERFS" --work-binary "$work" \
  --work "$SCRATCH/bench" --out "$SCRATCH/out" >"$SCRATCH/log" 2>&1 || { cat "$SCRATCH/log"; fail "bench.py"; }
python3 - "$SCRATCH/out/results.json" <<'PYTHON' || fail "rows without a figure"
import json, sys
rows = {row["key"]: row["medians"].get("amberfs") for row in json.load(open(sys.argv[1]))["rows"]}
print(rows)
missing = [key for key, value in rows.items() if not value and key not in ("stream-slow",)]
sys.exit(f"no figure: {missing}" if missing or len(rows) < 25 else 0)
PYTHON
grep -q '^| streaming' "$SCRATCH/out/table.md" || fail "no table"

python3 "$suite/scale.py" --smoke --binary "$AMBERFS" --work-binary "$work" \
  --work "$SCRATCH/scale" --out "$SCRATCH/out" >"$SCRATCH/log" 2>&1 || { cat "$SCRATCH/log"; fail "scale.py"; }
[ "$(grep -c '^{' "$SCRATCH/log")" -eq 4 ] || { cat "$SCRATCH/log"; fail "not all sizes"; }
