#!/bin/sh
# A container in the payload's world: other root, own processes, nothing writable.
set -eu
echo content >file
bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --unshare-all --hostname inside \
    --uid 0 --gid 0 sh -c 'id -u; uname -n; cat file; ls -A /tmp | wc -l; echo $$ | grep -c "^[1-9]$"
        echo more >file' 2>said || true
grep --only-matching 'Read-only file system' said || { cat said >&2 && exit 1; }
