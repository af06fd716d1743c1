#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rsyslog, nginx, logrotate and systemd-journal-remote on a mount under load, with rotation by rename,
# by copytruncate and with compression, snapshots every few seconds. Every line that each program
# wrote must be in some generation, exactly once, and every snapshot must read back as it was.
# Needs: rsyslog nginx logrotate apache2-utils systemd-journal-remote python3.   SECONDS_LONG=120
. "$(dirname "$0")/lib.sh"
long=${SECONDS_LONG:-120}
start_mount
log=$MNT/log; mkdir -p "$log/nginx" "$log/journal"; chmod 755 "$TRIAL_DIR" "$MNT" "$log"

cat >"$TRIAL_DIR/rsyslog.conf" <<CONF
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="$TRIAL_DIR/log.sock" RateLimit.Interval="0")
\$RepeatedMsgReduction off
template(name="raw" type="string" string="%timestamp:::date-rfc3339% %msg%\n")
action(type="omfile" file="$log/syslog" template="raw")
CONF
rsyslogd -n -f "$TRIAL_DIR/rsyslog.conf" -i "$TRIAL_DIR/rsyslog.pid" & pids+=($!)

cat >"$TRIAL_DIR/nginx.conf" <<CONF
worker_processes 2; pid $TRIAL_DIR/nginx.pid; error_log $log/nginx/error.log info;
events { worker_connections 256; }
http { log_format n '\$request_id \$remote_addr "\$request" \$status';
  access_log $log/nginx/access.log n;
  client_body_temp_path $TRIAL_DIR/b; proxy_temp_path $TRIAL_DIR/p; fastcgi_temp_path $TRIAL_DIR/f;
  uwsgi_temp_path $TRIAL_DIR/u; scgi_temp_path $TRIAL_DIR/s;
  server { listen 127.0.0.1:18080; location / { return 200 "ok\n"; } } }
CONF
nginx -c "$TRIAL_DIR/nginx.conf" -g 'daemon off;' & pids+=($!)
for _ in $(seq 50); do [ -S "$TRIAL_DIR/log.sock" ] && [ -s "$TRIAL_DIR/nginx.pid" ] && break; sleep 0.1; done

cat >"$TRIAL_DIR/writers.py" <<'PY'
import os, signal, socket, sys, time
kind, target, ledger, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
end, n = time.time() + seconds, 0
if kind == "syslog":
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(target)
    while time.time() < end:
        n += 1; s.send(b"<13>trial: line %d of the run, user=%d took=%dms" % (n, n % 97, n % 1009))
        if n % 50 == 0: time.sleep(0.01)
else:
    f = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    while time.time() < end:
        n += 1; os.write(f, b"app line %d of the run, user=%d\n" % (n, n % 97))
        if n % 20 == 0: time.sleep(0.005)
open(ledger, "w").write(str(n))
PY
python3 "$TRIAL_DIR/writers.py" syslog "$TRIAL_DIR/log.sock" "$TRIAL_DIR/n.syslog" "$long" & w1=$!
python3 "$TRIAL_DIR/writers.py" app "$log/app.log" "$TRIAL_DIR/n.app" "$long" & w2=$!
( total=0; end=$((SECONDS + long)); while [ $SECONDS -lt $end ]; do
    ab -q -n 2000 -c 8 http://127.0.0.1:18080/ >/dev/null 2>&1 || exit 1; total=$((total + 2000)); done
  echo $total >"$TRIAL_DIR/n.nginx" ) & w3=$!
( n=0; end=$((SECONDS + long)); while [ $SECONDS -lt $end ]; do
    for i in $(seq 200); do n=$((n + 1)); printf '__REALTIME_TIMESTAMP=%s000\nMESSAGE=journal line %d\nPRIORITY=6\n\n' "$(date +%s%3N)" $n; done
    sleep 0.2; done; echo $n >"$TRIAL_DIR/n.journal" ) |
  /lib/systemd/systemd-journal-remote --output="$log/journal/trial.journal" - >/dev/null 2>&1 & w4=$!
pids+=("$w1" "$w2" "$w3" "$w4")

cat >"$TRIAL_DIR/logrotate.conf" <<CONF
$log/syslog { size 1
 rotate 1000
 nocompress
 nodateext
 create
 postrotate
  kill -HUP \$(cat $TRIAL_DIR/rsyslog.pid); sleep 0.3
 endscript
}
$log/nginx/access.log { size 1
 rotate 1000
 compress
 delaycompress
 nodateext
 create 666 root root
 postrotate
  kill -USR1 \$(cat $TRIAL_DIR/nginx.pid); sleep 0.3
 endscript
}
# What is written between copytruncate's copy and its truncate is lost on every file system, so the
# writer is stopped for that instant, as an administrator would do it.
$log/app.log { size 1
 rotate 1000
 compress
 copytruncate
 nodateext
 prerotate
  kill -STOP $w2; sleep 0.05
 endscript
 postrotate
  kill -CONT $w2
 endscript
}
CONF
chmod 600 "$TRIAL_DIR/logrotate.conf"
snapshots_every 3
rotations=0; end=$((SECONDS + long - 5))
while [ $SECONDS -lt $end ]; do
  sleep 6; logrotate -s "$TRIAL_DIR/logrotate.state" "$TRIAL_DIR/logrotate.conf" || die "logrotate"
  rotations=$((rotations + 1))
done
wait "$w1" "$w2" "$w3" || die "a writer failed"
wait "$w4" || die "journal-remote failed"
kill "$snapper"; wait "$snapper" 2>/dev/null || true
sleep 2; kill -HUP "$(cat "$TRIAL_DIR/rsyslog.pid")"; sleep 1
say "$rotations rotations; lines: syslog $(cat "$TRIAL_DIR/n.syslog"), app $(cat "$TRIAL_DIR/n.app"), nginx $(cat "$TRIAL_DIR/n.nginx"), journal $(cat "$TRIAL_DIR/n.journal")"

count_once() {  # name, pattern, ledger, files…
  local name=$1 pattern=$2 expected=$3; shift 3
  zcat -f "$@" | grep -oaE "$pattern" | grep -oE '[0-9]+' | sort -n >"$TRIAL_DIR/seen.$name"
  seq "$expected" | cmp -s - "$TRIAL_DIR/seen.$name" ||
    die "$name: $(wc -l <"$TRIAL_DIR/seen.$name") lines seen, $expected written, $(seq "$expected" | sort | comm -23 - <(sort -u "$TRIAL_DIR/seen.$name") | wc -l) missing"
  say "$name: $expected lines, each exactly once"
}
count_once syslog 'line [0-9]+ of' "$(cat "$TRIAL_DIR/n.syslog")" "$log"/syslog*
count_once app 'line [0-9]+ of' "$(cat "$TRIAL_DIR/n.app")" "$log"/app.log*
requests=$(zcat -f "$log"/nginx/access.log* | awk '{print $1}' | sort -u | wc -l)
[ "$requests" -eq "$(cat "$TRIAL_DIR/n.nginx")" ] || die "nginx: $requests lines of $(cat "$TRIAL_DIR/n.nginx")"
say "nginx: $requests lines, each exactly once"
journalctl --verify --file "$log/journal/trial.journal" >/dev/null 2>&1 || die "journalctl --verify"
entries=$(journalctl --file "$log/journal/trial.journal" -o cat | wc -l)
[ "$entries" -eq "$(cat "$TRIAL_DIR/n.journal")" ] || die "journal: $entries of $(cat "$TRIAL_DIR/n.journal")"
say "journal: verified, $entries entries"
check_snapshots
kill "$(cat "$TRIAL_DIR/nginx.pid")" "$(cat "$TRIAL_DIR/rsyslog.pid")"; sleep 2
before=$(tree_sums "$MNT" | sha256sum)
remount
[ "$before" = "$(tree_sums "$MNT" | sha256sum)" ] || die "the tree changed over a remount"
check_snapshots
"$AMBERFS" verify "$MNT" --full
