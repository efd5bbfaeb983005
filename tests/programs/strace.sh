#!/bin/sh
# A tracer of a process and its child, and one that makes a call fail.
set -eu
strace -f -o log -e trace=execve sh -c 'true; cat /dev/null'
grep --count --regexp='execve.* = 0$' log
strace -o log -e trace=mkdir,mkdirat -e inject=mkdir,mkdirat:error=ENOSPC mkdir directory 2>&1 | sed 's/.*: //'
grep --count INJECTED log
