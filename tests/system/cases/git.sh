#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# git works inside the mount: init, commits, branches, merge, gc, clone, fsck; also after a remount.
. "$AMBERFS_LIB/lib.sh"
need git
export GIT_CONFIG_GLOBAL=$SCRATCH/gitconfig GIT_CONFIG_NOSYSTEM=1
git config --global user.name test
git config --global user.email test@example.org
git config --global init.defaultBranch main
git config --global safe.directory '*'
start_mount
git init -q "$MNT/repo"
cd "$MNT/repo"
for i in $(seq 1 30); do
  mkdir -p "src/$((i % 5))"
  seq "$i" $((i * 100)) >"src/$((i % 5))/file$i.c"
  git add -A
  git commit -qm "change $i"
done
git checkout -qb side HEAD~10
echo side >side.txt
git add -A && git commit -qm side
git checkout -q main
git merge -q -m merged side
amberfs snapshot "$MNT"
git gc -q --aggressive --prune=now
git fsck --full --strict
git clone -q "$MNT/repo" "$MNT/clone"
git clone -q "file://$MNT/repo" "$SCRATCH/outside"
diff -r --exclude=.git "$MNT/clone" "$SCRATCH/outside" || fail "a clone inside and one outside differ"
[ -z "$(git status --porcelain)" ] || fail "git status is not clean"
cd /
remount
git -C "$MNT/repo" fsck --full --strict
[ "$(git -C "$MNT/repo" rev-list --count main)" = 32 ] || fail "commits are missing"
stop_mount
