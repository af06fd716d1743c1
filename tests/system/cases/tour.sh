#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# one form: tools/run makes the store, which is plain
# tools/run without a directory plays the tour and leaves nothing behind; with a directory it adopts
# and mounts it, and a second run says that it is there already.
. "$AMBERFS_LIB/lib.sh"
"$AMBERFS_ROOT/tools/run"
[ "$(grep -c "$SCRATCH" /proc/mounts)" = 0 ] || fail "the tour left a mount"

mkdir "$SCRATCH/logs"
echo "an old line" >"$SCRATCH/logs/app.log"
export AMBERFS_STORE=$SCRATCH/store
"$AMBERFS_ROOT/tools/run" "$SCRATCH/logs"
mountpoint -q "$SCRATCH/logs" || fail "not mounted"
echo "a new line" >>"$SCRATCH/logs/app.log"
"$AMBERFS_ROOT/tools/run" "$SCRATCH/logs" | tee "$SCRATCH/second"
grep -qi "already" "$SCRATCH/second" || fail "the second run does not say that it is mounted"
printf 'an old line\na new line\n' | cmp - "$SCRATCH/logs/app.log"
amberfs umount "$SCRATCH/logs"
echo "an old line" | cmp - "$SCRATCH/logs/app.log" || fail "the original was changed"
"$AMBERFS_ROOT/tools/run" "$SCRATCH/logs"
printf 'an old line\na new line\n' | cmp - "$SCRATCH/logs/app.log" || fail "not there after mounting again"
amberfs umount "$SCRATCH/logs"
