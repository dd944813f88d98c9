#!/bin/bash
# Guest instructions per forwarded packet, beside Linux and DPDK's testpmd in the same QEMU, by the packet rig (a generator and a
# QEMU plugin that counts instructions). The count hardly jitters, so it can be compared on a busy machine.
#
#   tests/bench/forward_bench.sh [nic=virtio|e1000|e1000e|igb] [attach=stream] [runs=5] [table=0] [peers=1]
#
# TSUJI_RIG names the folder of the rig (default ../shared/rig); it is copied to the cache and built there.
# table=1: with the full table of TSUJI_DATA (default ../shared/data) in force, less 16/8 and 48/8, where the
# generator sends to.
set -eu
cd "$(dirname "$0")/../.."
nic=virtio attach=stream runs=5 peers=1 table=0
for word in "$@"; do declare "${word%%=*}=${word#*=}"; done
rig_source=${TSUJI_RIG:-../shared/rig}
[ -d "$rig_source" ] || { echo "forward_bench: no packet rig at $rig_source (set TSUJI_RIG)"; exit 2; }
rig=${XDG_CACHE_HOME:-$HOME/.cache}/tsuji/rig
mkdir -p "$rig"
cp -ru "$rig_source/." "$rig/"
router=$PWD/build/tsuji.elf
(
    cd "$rig"
    [ rigpkt -nt rigpkt.c ] || gcc -O2 -march=native -w -o rigpkt rigpkt.c -lpthread
    [ insncount.so -nt insncount.c ] || gcc -O2 -shared -fPIC -fvisibility=hidden -w -o insncount.so insncount.c
)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
config=$work/config extra=
cat > "$config" <<'CONFIG'
ip eth0 address 10.0.0.1/24
ip eth1 address 10.0.1.1/24
ip route 16.0.0.0/8 gateway 10.0.1.2
ip route 48.0.0.0/8 gateway 10.0.0.2
CONFIG
if [ "$table" = 1 ]; then
    echo "ip route file full" >> "$config"
    gunzip -c "${TSUJI_DATA:-../shared/data}/dfz-2023-02-v4.txt.gz" |
        awk '!/^(16|48)\./ { print $1, "10.0." $2 % 2 "." 2 + $2 }' > "$work/full"
    extra="-fw_cfg name=opt/tsuji/full,file=$work/full"
fi
commands=()
for size in 60 1514; do
    for run in $(seq "$runs"); do
        commands+=("run size=$size win=128 secs=1 warm=1 tag=size$size")
    done
done
# Only a newer QEMU has an igb, and plugins of its own kind. An igb's virtual functions take the slots behind its own.
qemu=qemu-system-x86_64 plugin=insncount.so
if [ "$nic" = igb ]; then
    newer=$(tools/newer_qemu)
    qemu=$work/qemu plugin=insncount4.so
    cat > "$qemu" <<QEMU
#!/bin/bash
slot=2 words=()
for word in "\$@"; do
    case \$word in igb,*) word=\$word,addr=\$slot slot=\$((slot + 4)) ;; esac
    words+=("\$word")
done
exec "$newer" "\${words[@]}"
QEMU
    chmod +x "$qemu"
    [ "$rig/$plugin" -nt "$rig/insncount.c" ] ||
        gcc -O2 -shared -fPIC -fvisibility=hidden -w -DAPI=4 -o "$rig/$plugin" "$rig/insncount.c"
fi
devopt=
# QEMU 7.2 crashes with vhost-user and MSI-X.
[ "$attach" != vhost ] || devopt=,vectors=0
measure() { (cd "$rig" && ./qemu-forward.sh "qemu=$qemu" "plugin=$plugin" "nic=$nic" "attach=$attach" "devopt=$devopt" count=1 "$@" "out=$work/rig" -- "${commands[@]}" | grep SUMMARY | grep insn); }
echo "tsuji, $nic, $attach:"
measure os=custom "kernel=$router" "initrd=$config" "extra=$extra"
if [ "$peers" = 1 ]; then
    [ -f "$rig/cache/initrd-dpdk.gz" ] || (cd "$rig" && ./mkinitramfs.sh > /dev/null)
    echo "linux, $nic, $attach:"
    measure os=linux
    # Between the same two cards, but it changes MAC addresses only: no routes, no TTL, no checksum.
    echo "testpmd in linux, $nic, $attach:"
    measure os=linux mode=dpdk || echo "did not run"
fi
