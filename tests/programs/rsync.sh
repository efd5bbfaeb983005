#!/bin/sh
# A tree with links, times and access modes, copied and compared.
set -eu
mkdir -p from/below
echo content >from/below/file
chmod 640 from/below/file
ln from/below/file from/again
ln -s below/file from/link
touch --date='2001-02-03 04:05:06' from/below/file
rsync --archive --hard-links from/ to/
diff --recursive from to
stat --format='%a %h %y' to/again | cut --characters=1-25
readlink to/link
rsync --archive --hard-links --checksum --itemize-changes from/ to/
