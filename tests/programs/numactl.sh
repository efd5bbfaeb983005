#!/bin/sh
# A program whose memory is bound to a NUMA node.
set -eu
numactl --membind=0 --cpunodebind=0 sh -c 'grep --max-count=1 --only-matching bind:0 /proc/self/numa_maps'
