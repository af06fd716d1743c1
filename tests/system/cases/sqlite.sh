#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SQLite in the mount, with a rollback journal and with WAL (shared memory map): writers at once,
# snapshots meanwhile, integrity_check at the end, of the live file and of the file in a snapshot.
. "$AMBERFS_LIB/lib.sh"
need sqlite3
start_mount
for mode in delete wal; do
  db=$MNT/$mode.db
  sqlite3 "$db" "PRAGMA journal_mode=$mode; CREATE TABLE t (id INTEGER PRIMARY KEY, who, line TEXT);" >/dev/null
  pids=()
  for who in 1 2 3; do
    (for i in $(seq 1 60); do
      sqlite3 -cmd ".timeout 30000" "$db" "INSERT INTO t (who, line) VALUES ($who, hex(randomblob(200)));"
    done) &
    pids+=($!)
  done
  sleep 0.5
  amberfs snapshot "$MNT"
  for pid in "${pids[@]}"; do wait "$pid" || fail "a writer of $mode failed"; done
  [ "$(sqlite3 "$db" 'SELECT count(*) FROM t')" = 180 ] || fail "rows are missing ($mode)"
  [ "$(sqlite3 "$db" 'PRAGMA integrity_check')" = ok ] || fail "integrity_check ($mode)"
done
snap=$(take_snapshot)
remount
for mode in delete wal; do
  [ "$(sqlite3 "$MNT/$mode.db" 'PRAGMA integrity_check')" = ok ] || fail "after remount ($mode)"
  mkdir "$SCRATCH/$mode"
  cp "$MNT/.snapshots/$snap/$mode.db"* "$SCRATCH/$mode/"
  [ "$(sqlite3 "$SCRATCH/$mode/$mode.db" 'SELECT count(*) FROM t')" = 180 ] || fail "snapshot ($mode)"
done
stop_mount
