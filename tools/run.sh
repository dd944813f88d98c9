#!/bin/bash
# A first try: installs what is missing, builds, and boots the router in QEMU with its console on this terminal,
# between two live Linux hosts (network namespaces) that already ping each other through it.
#
#        h1 10.1.0.2 ---- eth0 10.1.0.1 [ Tsuji ] 10.2.0.1 eth1 ---- h2 10.2.0.2
#
# As another user than root there are no hosts: both ports are on QEMU's own user networks.
# CORES=2, MEMORY_MIB=256 and NIC=virtio-net|e1000|e1000e|igb may be set. Everything is removed at the end.
set -eu
cd "$(dirname "$0")/.."

# A make of its own, also under `make run`.
unset MAKEFLAGS MFLAGS MAKELEVEL
PATH=$PATH:/usr/sbin:/sbin

tools/setup run
make --silent all
exec /usr/bin/python3 tools/demonstration.py
