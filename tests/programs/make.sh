#!/bin/sh
# A library and a program, compiled in parallel, linked and executed.
set -eu
printf 'int square(int n) { return n * n; }\n' >square.c
printf '#include <stdio.h>\nint square(int);\nint main(void) { printf("%%d\\n", square(7)); }\n' >main.c
# shellcheck disable=SC2016  # make expands it
printf 'program: main.o square.o\n\t$(CC) -o $@ $^\n' >Makefile
make --silent -j2 CC=cc
./program
