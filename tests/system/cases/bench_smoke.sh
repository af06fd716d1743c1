#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
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

python3 "$suite/protection.py" --smoke --binary "$AMBERFS" --work-binary "$work" \
  --work "$SCRATCH/protection" --out "$SCRATCH/out" >"$SCRATCH/log" 2>&1 || { cat "$SCRATCH/log"; fail "protection.py"; }
python3 - "$SCRATCH/out/protection.json" <<'PYTHON' || fail "protection: rows without a figure"
import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
# CPU time is counted in ticks of 10 ms: so little work may take none.
missing = [(row["key"], form) for row in rows for form, cell in row["forms"].items()
           if not cell["median"] and not row["key"].endswith("-cpu")]
seen = {form for row in rows for form in row["forms"]}
sys.exit(f"no figure: {missing}, {sorted(seen)}" if missing or len(rows) < 24 or len(seen) < 7 else 0)
PYTHON
