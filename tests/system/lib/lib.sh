# SPDX-License-Identifier: Apache-2.0
# What system tests in bash share. Sourced: . "$AMBERFS_LIB/lib.sh"
set -euo pipefail
STORE=$SCRATCH/store
MNT=$SCRATCH/mnt

amberfs() {
  if [ "${AMBERFS_TEST_ENCRYPT:-0}" = 1 ] && [ "${1:-}" = init ]; then set -- "$@" --encrypt; fi
  echo "\$ amberfs $*" >&2
  "$AMBERFS" "$@"
}
fail() { echo "FAILED: $*"; exit 1; }
skip() { echo "$*"; exit 77; }
need() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || skip "$1 is not installed"; }

start_mount() {
  mkdir -p "$MNT"
  amberfs init "$STORE"
  amberfs mount "$@" "$STORE" "$MNT"
}
stop_mount() { amberfs umount "$MNT"; }
remount() {
  stop_mount
  amberfs mount "$STORE" "$MNT"
}

# sums DIR: a checksum per file, to compare two trees.
sums() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum); }

# Takes a snapshot, prints its name below .snapshots.
take_snapshot() {
  amberfs snapshot "$MNT" "$@" >&2
  readlink "$MNT/.snapshots/latest"
}
