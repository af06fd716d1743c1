# SPDX-License-Identifier: Apache-2.0
# Shared by the trials: long runs of real programs on a real mount, by hand, not part of the default
# tests. A trial makes a store and a mount in a scratch directory and removes both, whatever happens.
# Environment: AMBERFS (the binary), TRIAL_DIR (scratch; default a new one under /tmp).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
AMBERFS=${AMBERFS:-$root/build/release/tools/amberfs}
TRIAL_DIR=${TRIAL_DIR:-$(mktemp -d /tmp/amberfs-trial-XXXXXX)}
mkdir -p "$TRIAL_DIR"
STORE=$TRIAL_DIR/store
MNT=$TRIAL_DIR/mnt
pids=()

say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*"; }
die() { say "FAILED: $*"; exit 1; }

cleanup() {
  local status=$?
  trap - EXIT
  for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null || true; done
  sleep 0.5
  for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null || true; done
  if mountpoint -q "$MNT"; then
    timeout 60 "$AMBERFS" umount "$MNT" || umount -l "$MNT" || true
  fi
  if [ $status -eq 0 ]; then
    [ -n "${KEEP:-}" ] || rm -rf "$TRIAL_DIR"
    say "PASSED"
  else
    tail -n 20 "$STORE/server.log" 2>/dev/null || true
    say "left for a look: $TRIAL_DIR"
  fi
  exit $status
}
trap cleanup EXIT

start_mount() {
  mkdir -p "$MNT"
  "$AMBERFS" init "$STORE" >/dev/null
  "$AMBERFS" mount "$STORE" "$MNT" "$@"
}

snapshots_every() {  # seconds: in the background until killed
  ( while sleep "$1"; do
      "$AMBERFS" snapshot "$MNT" >/dev/null || exit 1
      newest=$(readlink "$MNT/.snapshots/latest")
      tree_sums "$MNT/.snapshots/$newest" >"$TRIAL_DIR/sums.$newest"
    done ) &
  snapper=$!
  pids+=("$snapper")
}

tree_sums() { ( cd "$1" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum ); }

# Every snapshot reads back as it did when it was taken.
check_snapshots() {
  local count=0 file name
  for file in "$TRIAL_DIR"/sums.*; do
    name=${file##*/sums.}
    tree_sums "$MNT/.snapshots/$name" | cmp -s - "$file" || die "snapshot $name changed"
    count=$((count + 1))
  done
  [ "$count" -gt 0 ] || die "no snapshot was taken"
  say "$count snapshots read back byte for byte"
}

remount() {
  "$AMBERFS" umount "$MNT"
  "$AMBERFS" mount "$STORE" "$MNT"
}
