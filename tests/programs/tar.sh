#!/bin/sh
# An archive with a set-user-ID file. Its content comes out; the bit does not, and only a tar that
# is asked for all permissions says so.
set -eu
echo content >file
tar --create --mode=4755 --file=archive.tar file
tar --list --verbose --file=archive.tar | cut --characters=1-10
mkdir plain exact
tar --extract --directory=plain --file=archive.tar
tar --extract --preserve-permissions --directory=exact --file=archive.tar 2>said ||
    grep --only-matching 'Operation not permitted' said
stat --format=%a plain/file exact/file
cat plain/file exact/file
