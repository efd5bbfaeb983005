#!/bin/sh
# A container engine: an image of one program, and a container of it, in which its user is root.
set -eu
mkdir -p run image
cp /bin/busybox image/
engine() {
    XDG_RUNTIME_DIR="$PWD/run" podman --root "$PWD/store" --runroot "$PWD/run" --runtime runc \
        --storage-driver vfs --cgroup-manager cgroupfs --events-backend none "$@"
}
tar --owner=0 --group=0 --create --directory=image . | engine import --quiet - localhost/box >/dev/null
engine run --rm --network none localhost/box /busybox sh -c '/busybox id -u; echo content >/made; /busybox cat /made'
