#!/bin/sh
# A terminal with a shell that suspends and continues a job. The shell writes files; this script
# waits for each of them.
set -eu
export TMUX_TMPDIR="$PWD" TERM=screen
await() {
    tries=0
    until [ -s "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "no $1" && tmux capture-pane -p && exit 1; }
        sleep 0.1
    done
}
tmux -f /dev/null new-session -d -x 80 -y 24 'bash --norc -i'
type() { tmux send-keys -- "$@"; }
type 'tty >terminal' Enter
await terminal
type 'sh -c "echo 1 >started; exec sleep 1000"' Enter
await started
type C-z
type 'jobs >stopped' Enter
await stopped
type 'bg; jobs >running' Enter
await running
type 'kill %1; wait; echo ended >ended' Enter
await ended
sed 's/[0-9]*$//' terminal
awk '{ print $2 }' stopped running
cat ended
tmux kill-server
