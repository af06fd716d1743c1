#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fio with verification and stress-ng's file-system class with --verify on a mount, then a git clone
# and build of this project inside the mount and git fsck.
# Needs: fio stress-ng git and what the build needs.   STRESS_SECONDS=3 (each stressor)
. "$(dirname "$0")/lib.sh"
start_mount
snapshots_every 5
cd "$TRIAL_DIR"  # fio leaves its state files where it runs
say "fio"
for engine in sync psync mmap libaio; do
  fio --name="v-$engine" --directory="$MNT" --ioengine=$engine --rw=randrw --bs=4k-64k --size=64m \
      --verify=crc32c --verify_fatal=1 --do_verify=1 --fsync=64 --end_fsync=1 --output="$TRIAL_DIR/fio.$engine" ||
    die "fio $engine: $(tail -3 "$TRIAL_DIR/fio.$engine")"
  grep -qE 'err= 0' "$TRIAL_DIR/fio.$engine" || die "fio $engine"
done
rm -f "$MNT"/v-*
say "stress-ng"
mkdir "$MNT/stress"
# Left out: what needs block devices, kernel modules or another file system below.
stress-ng --class filesystem --seq 1 --timeout "${STRESS_SECONDS:-3}" --verify --temp-path "$MNT/stress" \
  --exclude "${STRESS_EXCLUDE:-binderfs,bind-mount,ramfs,loop,quota,fanotify,iomix,verity,fiemap}" >"$TRIAL_DIR/stress.log" 2>&1 ||
  { grep -aE 'fail|error' "$TRIAL_DIR/stress.log" | head -20; die "stress-ng"; }
grep -aE 'successful run completed' "$TRIAL_DIR/stress.log" || die "stress-ng did not end well"
rm -rf "$MNT/stress"
say "git"
git clone -q "$root" "$MNT/clone"
cmake -S "$MNT/clone" -B "$MNT/clone/build" -G Ninja -DAMBERFS_TESTS=OFF >/dev/null
cmake --build "$MNT/clone/build" --target amberfs_blockstore >/dev/null
git -C "$MNT/clone" gc -q --aggressive
git -C "$MNT/clone" fsck --full --strict || die "git fsck"
kill "$snapper"; wait "$snapper" 2>/dev/null || true
before=$(tree_sums "$MNT" | sha256sum)
check_snapshots
remount
[ "$before" = "$(tree_sums "$MNT" | sha256sum)" ] || die "the tree changed over a remount"
git -C "$MNT/clone" fsck --full --strict || die "git fsck after a remount"
"$AMBERFS" verify "$MNT" --full
