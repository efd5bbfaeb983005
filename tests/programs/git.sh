#!/bin/sh
# A repository with a commit, and a clone of it through git's own transport.
set -eu
git init --quiet original
cd original
git config user.name payload
git config user.email payload@example.org
echo content >file
git add file
git commit --quiet --message first
cd ..
git clone --quiet --no-local "file://$PWD/original" clone
cat clone/file
git -C clone log --format=%s
