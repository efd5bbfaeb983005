#!/bin/bash
# The bench's baseline: hands a sandbox over, and back, as shell helpers do.
#
# baseline.sh setup|cleanup <glexec> <proxy> <sandbox>, as the batch user. To be as fast as shell
# helpers can be, it checks nothing, undoes nothing, and makes as few calls of the switcher as
# possible.
set -euo pipefail
direction=$1 glexec=$2 proxy=$3 sandbox=$4
retained=$sandbox.condor
export GLEXEC_CLIENT_CERT=$retained/$proxy

setup() {
    mv "$sandbox" "$retained"
    "$glexec" /bin/mkdir "$sandbox.tmp"
    # shellcheck disable=SC2016  # $0 is for the other shell
    tar -C "$retained" -c . |
        "$glexec" /bin/sh -c 'tar -C "$0.tmp" -x && mv "$0.tmp" "$0"' "$sandbox"
    find "$retained" -mindepth 1 -maxdepth 1 ! -name "$proxy" -exec rm -rf {} \;
}

# One call, as the shell helpers' cleanup made.
cleanup() {
    mkdir "$sandbox.tmp"
    # shellcheck disable=SC2016  # $0 and $1 are for the other shell
    "$glexec" /bin/sh -c 'rm -f "$0/$1" && tar -C "$0" -c . && rm -rf "$0"' "$sandbox" "$proxy" |
        tar -C "$sandbox.tmp" -x
    mv -f "$retained/$proxy" "$sandbox.tmp/$proxy"
    mv "$sandbox.tmp" "$sandbox"
    rmdir "$retained"
}

"$direction"
