#!/bin/sh
# A loop in the background that starts a task again and again, one at a time, until it is ended.
set -eu
task='flock --nonblock lock sh -c "echo run >>runs"'
setsid nohup sh -c "while :; do timeout 10 $task; sleep 0.05; done" >/dev/null 2>&1 &
loop=$!
tries=0
until [ "$(wc -l 2>/dev/null <runs || echo 0)" -ge 3 ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || exit 1
    sleep 0.1
done
kill $loop
wait $loop 2>/dev/null || true
head -n 3 runs
