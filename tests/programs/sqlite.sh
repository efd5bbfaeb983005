#!/bin/sh
# A database with a write-ahead log, whose index is shared memory, and two processes that write.
set -eu
sqlite3 base 'pragma journal_mode = wal; create table numbers (n integer);'
fill() {
    seq "$1" "$2" | sed 's/.*/insert into numbers values (&);/' |
        sqlite3 -cmd '.timeout 60000' base
}
fill 1 100 &
fill 101 200
wait
sqlite3 base 'select count(*), sum(n) from numbers;'
