#!/bin/sh
# A debugger that starts a program, stops it in a function, and shows an argument.
set -eu
printf 'int square(int n) { return n * n; }\nint main(void) { return square(7) - 49; }\n' >program.c
cc -g -O0 -o program program.c
gdb --nx --batch -ex 'set debuginfod enabled off' -ex 'break square' -ex run -ex 'print n' \
    -ex continue ./program >said 2>warned
grep --extended-regexp --only-matching ' = 7$|exited normally' said
grep 'address space randomization' warned said || true
