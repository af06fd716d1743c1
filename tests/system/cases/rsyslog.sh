#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rsyslogd writes into the mount; the file is rotated by rename and HUP; each line is in a generation.
. "$AMBERFS_LIB/lib.sh"
need rsyslogd
need logger
PATH=$PATH:/usr/sbin
start_mount
cat >"$SCRATCH/rsyslog.conf" <<CONF
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="$SCRATCH/log.sock" RateLimit.Interval="0" CreatePath="on")
global(workDirectory="$SCRATCH")
template(name="plain" type="string" string="%msg%\n")
*.* action(type="omfile" file="$MNT/syslog" template="plain" fileCreateMode="0640")
CONF
rsyslogd -n -f "$SCRATCH/rsyslog.conf" -i "$SCRATCH/rsyslogd.pid" &
server=$!
for _ in $(seq 100); do [ -S "$SCRATCH/log.sock" ] && break; sleep 0.1; done
[ -S "$SCRATCH/log.sock" ] || skip "rsyslogd did not start here"
for round in 1 2 3; do
  seq -f "message %g" $((round * 1000)) $((round * 1000 + 999)) | logger -u "$SCRATCH/log.sock"
  sleep 0.5
  name=$(take_snapshot)
  sums "$MNT/.snapshots/$name" >"$SCRATCH/sums.$name"
  mv "$MNT/syslog" "$MNT/syslog.$round"
  kill -HUP "$server"
  sleep 0.5
done
kill "$server"
wait "$server" || true
remount
cat "$MNT"/syslog* | sed 's/^ *//' | grep '^message ' | sort -u -k2n |
  cmp - <(seq -f 'message %g' 1000 3999) || fail "messages are missing"
for file in "$SCRATCH"/sums.*; do
  sums "$MNT/.snapshots/${file##*/sums.}" | cmp - "$file" || fail "a snapshot changed"
done
stop_mount
