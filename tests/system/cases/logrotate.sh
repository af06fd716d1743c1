#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# logrotate with rename, with copytruncate, and with compression: every line that was written before a
# rotation by rename is in some generation; every snapshot reads back as it was.
. "$AMBERFS_LIB/lib.sh"
need logrotate
PATH=$PATH:/usr/sbin
start_mount
cat >"$SCRATCH/rotate.conf" <<CONF
su root root
"$MNT/renamed.log" {
  rotate 100
  create 0640 root root
  compress
  delaycompress
  missingok
}
"$MNT/truncated.log" {
  rotate 100
  copytruncate
  compress
  missingok
}
CONF
chmod 600 "$SCRATCH/rotate.conf"
chmod 755 "$MNT"
number=0
for round in $(seq 1 6); do
  for _ in $(seq 1 400); do
    number=$((number + 1))
    echo "line $number of the log" >>"$MNT/renamed.log"
  done
  seq "$((round * 1000))" "$((round * 1000 + 999))" >>"$MNT/truncated.log"
  name=$(take_snapshot)
  sums "$MNT/.snapshots/$name" >"$SCRATCH/sums.$name"
  logrotate --force --state "$SCRATCH/state" "$SCRATCH/rotate.conf"
done
remount
(zcat -f "$MNT"/renamed.log*) | sort -u -k2n | cmp - <(seq -f 'line %g of the log' "$number" | sort -u -k2n) ||
  fail "lines are missing after rotation by rename"
(zcat -f "$MNT"/truncated.log*) | sort -n | cmp - <(seq 1000 6999) || fail "copytruncate lost lines"
for file in "$SCRATCH"/sums.*; do
  sums "$MNT/.snapshots/${file##*/sums.}" | cmp - "$file" || fail "a snapshot changed"
done
amberfs verify "$MNT" --full
stop_mount
