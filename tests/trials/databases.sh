#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sqlite3 with WAL, PostgreSQL with its whole data directory, Redis with AOF inside the mount, with
# snapshots every few seconds; their own checkers afterwards, and again after a remount.
# Needs: sqlite3 postgresql postgresql-contrib redis-server.   SECONDS_LONG=60
. "$(dirname "$0")/lib.sh"
long=${SECONDS_LONG:-60}
start_mount
chmod 755 "$TRIAL_DIR" "$MNT"
snapshots_every 5

say "sqlite3"
db=$MNT/trial.db
sqlite3 "$db" 'PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);' >/dev/null
for i in $(seq 20); do
  sqlite3 "$db" "PRAGMA synchronous=FULL; WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<5000) INSERT INTO t(v) SELECT hex(randomblob(40)) FROM c; UPDATE t SET v=v||'x' WHERE id%7=$((i % 7));" >/dev/null
done
[ "$(sqlite3 "$db" 'PRAGMA integrity_check;')" = ok ] || die "sqlite3 integrity_check"
[ "$(sqlite3 "$db" 'SELECT count(*) FROM t;')" = 100000 ] || die "sqlite3 rows"

say "redis"
mkdir "$MNT/redis"
redis-server --port 16379 --bind 127.0.0.1 --dir "$MNT/redis" --appendonly yes --appendfsync everysec --save '' >/dev/null & redis=$!; pids+=("$redis")
for _ in $(seq 50); do redis-cli -p 16379 ping >/dev/null 2>&1 && break; sleep 0.1; done
redis-benchmark -p 16379 -t set -n 200000 -r 100000 -q >/dev/null
keys=$(redis-cli -p 16379 dbsize); digest=$(redis-cli -p 16379 debug digest 2>/dev/null || true)
redis-cli -p 16379 bgrewriteaof >/dev/null; sleep 2
redis-cli -p 16379 shutdown nosave >/dev/null 2>&1 || true; wait "$redis" || true
for aof in "$MNT"/redis/appendonlydir/*.manifest; do redis-check-aof "$aof" >/dev/null || die "redis-check-aof"; done
redis-server --port 16379 --bind 127.0.0.1 --dir "$MNT/redis" --appendonly yes --save '' >/dev/null & redis=$!; pids+=("$redis")
for _ in $(seq 50); do [ "$(redis-cli -p 16379 ping 2>/dev/null)" = PONG ] && break; sleep 0.1; done
[ "$(redis-cli -p 16379 dbsize)" = "$keys" ] || die "redis keys"
redis-cli -p 16379 shutdown nosave >/dev/null 2>&1 || true; wait "$redis" || true
say "redis: $keys keys after a restart"

say "postgresql"
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
mkdir "$MNT/pg"; chown postgres "$MNT/pg"
pg() { runuser -u postgres -- env PGHOST="$TRIAL_DIR" PGPORT=15432 "$@"; }
chmod 777 "$TRIAL_DIR"
runuser -u postgres -- "$bin/initdb" -D "$MNT/pg/data" --data-checksums >/dev/null
start_pg() { runuser -u postgres -- "$bin/pg_ctl" -w -D "$MNT/pg/data" -l "$MNT/pg/log" -o "-p 15432 -k $TRIAL_DIR -c listen_addresses=" start >/dev/null; }
stop_pg() { runuser -u postgres -- "$bin/pg_ctl" -w -D "$MNT/pg/data" -m "$1" stop >/dev/null; }
start_pg
pg pgbench -i -s 5 -q postgres >/dev/null 2>&1
pg pgbench -c 8 -j 2 -T "$long" postgres | grep -E 'tps|failed'
pg psql -qc 'CREATE EXTENSION amcheck' postgres
pg "$bin/pg_amcheck" --heapallindexed postgres || die "pg_amcheck"
sum='SELECT sum(abalance), (SELECT count(*) FROM pgbench_history) FROM pgbench_accounts'
before=$(pg psql -Atc "$sum" postgres)
stop_pg immediate
start_pg
[ "$(pg psql -Atc "$sum" postgres)" = "$before" ] || die "postgresql after an immediate stop"
stop_pg fast
runuser -u postgres -- "$bin/pg_checksums" --check -D "$MNT/pg/data" | grep -E 'Bad checksums:  0' || die "pg_checksums"
kill "$snapper"; wait "$snapper" 2>/dev/null || true
check_snapshots
remount
start_pg
[ "$(pg psql -Atc "$sum" postgres)" = "$before" ] || die "postgresql after a remount"
pg "$bin/pg_amcheck" --heapallindexed postgres || die "pg_amcheck after a remount"
stop_pg fast
[ "$(sqlite3 "$db" 'PRAGMA integrity_check;')" = ok ] || die "sqlite3 after a remount"
"$AMBERFS" verify "$MNT" --full
