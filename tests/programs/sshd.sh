#!/bin/sh
# A server for the payload's user, and its client.
set -eu
port=$((20000 + $$ % 20000))
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f user
printf '%s\n' "Port $port" 'ListenAddress 127.0.0.1' "HostKey $PWD/host" \
    "AuthorizedKeysFile $PWD/user.pub" 'StrictModes no' 'UsePAM no' "PidFile $PWD/pid" >config
/usr/sbin/sshd -f "$PWD/config" -E "$PWD/log"
tries=0
until [ -s pid ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { cat log && exit 1; }
    sleep 0.1
done
ssh -F /dev/null -p "$port" -i user -o StrictHostKeyChecking=no -o UserKnownHostsFile=known \
    -o LogLevel=ERROR "$(id -un)@127.0.0.1" 'echo hello; id -u' >said || { cat log && exit 1; }
kill "$(cat pid)"
head -n 1 said
[ "$(sed -n 2p said)" = "$(id -u)" ] && echo 'the same user'
