#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tail -F follows a log in the mount through rename and copytruncate, dd writes and reads any offset,
# and a file truncated under its O_APPEND writer goes on at the new end.
. "$AMBERFS_LIB/lib.sh"
start_mount
log=$MNT/app.log
: >"$log"
tail -n +1 -s 0.1 --max-unchanged-stats=1 -F "$log" >"$SCRATCH/seen" 2>/dev/null &
follower=$!
for i in 1 2 3; do echo "before $i" >>"$log"; done
sleep 1.2
mv "$log" "$log.1"
for i in 1 2 3; do echo "renamed $i" >>"$log"; done
sleep 2.5
cp "$log" "$log.2" && : >"$log"
sleep 1.2
for i in 1 2 3; do echo "truncated $i" >>"$log"; done
for _ in $(seq 50); do grep -q 'truncated 3' "$SCRATCH/seen" && break; sleep 0.1; done
kill "$follower"
printf '%s\n' before\ {1..3} renamed\ {1..3} truncated\ {1..3} | cmp - "$SCRATCH/seen" ||
  fail "tail -F saw something else"

exec 5>>"$log"
echo one >&5
: >"$log"
echo two >&5
exec 5>&-
[ "$(cat "$log")" = two ] || fail "an appender after truncation"

head -c 3000000 /dev/urandom >"$SCRATCH/random"
dd if="$SCRATCH/random" of="$MNT/dd" bs=7777 status=none
cmp "$SCRATCH/random" "$MNT/dd"
dd if="$SCRATCH/random" of="$MNT/dd" bs=1000 skip=100 seek=50 count=77 conv=notrunc,fsync status=none
dd if="$SCRATCH/random" of="$SCRATCH/dd" bs=7777 status=none
dd if="$SCRATCH/random" of="$SCRATCH/dd" bs=1000 skip=100 seek=50 count=77 conv=notrunc status=none
cmp "$SCRATCH/dd" "$MNT/dd" || fail "dd into the middle"
dd if=/dev/zero of="$MNT/direct" bs=64k count=32 oflag=direct status=none
[ "$(stat -c %s "$MNT/direct")" = 2097152 ] || fail "oflag=direct"
tar -C "$MNT" -cf - dd app.log app.log.1 | tar -C "$SCRATCH" -xf - || fail "tar"
cmp "$SCRATCH/dd" "$MNT/dd"
stop_mount
