#!/bin/sh
# A session bus without systemd, and a client that asks it for its names.
set -eu
# shellcheck disable=SC2016  # another shell expands it
dbus-run-session -- sh -c 'dbus-send --session --print-reply=literal \
    --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames | tr -s " " "\n" |
    grep "^org.freedesktop.DBus$"; echo "$DBUS_SESSION_BUS_ADDRESS" | cut -d: -f1'
