#!/bin/bash
# Guest instructions per forwarded packet, beside Linux and DPDK's testpmd in the same QEMU, by the packet rig (a generator and a
# QEMU plugin that counts instructions). The count hardly jitters, so it can be compared on a busy machine.
#
#   tests/bench/forward_bench.sh [nic=virtio|e1000|e1000e|igb] [attach=stream] [runs=5] [table=0] [peers=1] [filters=0]
#   tests/bench/forward_bench.sh family=6 [nic=...] [runs=5] [peers=1] [flows=256] [filters=0]
#
# TSUJI_RIG names the folder of the rig (default ../shared/rig); it is copied to the cache and built there.
# table=1: with the full table of TSUJI_DATA (default ../shared/data) in force, less 16/8 and 48/8, where the
# generator sends to.
# filters=N: with as many filters, each of which drops another net's packets.
# family=6: with the full IPv6 table, by packet_generator.c, to addresses of that table; family=4 flows=N: likewise IPv4, in place
# of the rig's own generator.
set -eu
cd "$(dirname "$0")/../.."
nic=virtio attach=stream runs=5 peers=1 table=0 family=4 flows= filters=0
for word in "$@"; do declare "${word%%=*}=${word#*=}"; done
[ "$family" = 4 ] || flows=${flows:-256}
[ -z "$flows" ] || table=1
rig_source=${TSUJI_RIG:-../shared/rig}
data=${TSUJI_DATA:-../shared/data}
[ -d "$rig_source" ] || { echo "forward_bench: no packet rig at $rig_source (set TSUJI_RIG)"; exit 2; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tsuji/rig
mkdir -p "$cache"
cp -ru "$rig_source/." "$cache/"
tree=$PWD router=$PWD/build/tsuji.elf
(
    cd "$cache"
    [ rigpkt -nt rigpkt.c ] || gcc -O2 -march=native -w -o rigpkt rigpkt.c -lpthread
    [ insncount.so -nt insncount.c ] || gcc -O2 -shared -fPIC -fvisibility=hidden -w -o insncount.so insncount.c
)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The rig's scripts take what lies beside them.
rig=$work/rig
mkdir "$rig"
ln -s "$cache"/* "$rig/"
config=$work/config extra=

# The routes of the table, "PREFIX NUMBER", as lines "PREFIX GATEWAY": odd numbers lead to the second card. Gateways, like the
# hosts of the rig, begin at 2.
routes() {
    gunzip -c "$data/dfz-2023-02-v$family.txt.gz" | awk -v "nets=$1" -v "without=$2" \
        'BEGIN { split(nets, net) } !without || $1 !~ without { print $1, net[$2 % 2 + 1] 2 + $2 }'
}

if [ "$family" = 6 ]; then
    cat > "$config" <<'CONFIG'
ipv6 eth0 address 2001:db8:a::1/64
ipv6 eth1 address 2001:db8:b::1/64
ipv6 route file full
CONFIG
    routes "2001:db8:a:: 2001:db8:b::" "" > "$work/full"
else
    cat > "$config" <<'CONFIG'
ip eth0 address 10.0.0.1/24
ip eth1 address 10.0.1.1/24
ip route 16.0.0.0/8 gateway 10.0.1.2
ip route 48.0.0.0/8 gateway 10.0.0.2
CONFIG
    if [ "$table" = 1 ]; then
        echo "ip route file full" >> "$config"
        routes "10.0.0. 10.0.1." '^(16|48)[.]' > "$work/full"
    fi
fi
# Both nets have room for 16,384 of them.
for number in $(seq "$filters"); do
    if [ "$family" = 6 ]; then
        printf 'ipv6 filter %d drop src 3fff:%x:%x::/48\n' "$number" $((number / 256)) $((number % 256))
    else
        echo "ip filter $number drop src 100.$((64 + number / 256)).$((number % 256)).0/24"
    fi
done >> "$config"
[ "$table" = 0 ] || extra="-fw_cfg name=opt/tsuji/full,file=$work/full"
least=60
if [ -n "$flows" ]; then
    least=70 # IPv6, UDP and what our generator knows its packets by
    gunzip -c "$data/dfz-2023-02-v$family.lookups.gz" | awk -v "flows=$flows" \
        '$2 % 2 && $1 !~ /^(16|48)[.]/ && count < flows { print $1; count++ }' > "$work/destinations"
    rm "$rig/rigpkt"
    printf '#!/bin/sh\nexec "%s" -d "%s" "$@"\n' "$tree/build/host/packet_generator" "$work/destinations" > "$rig/rigpkt"
    chmod +x "$rig/rigpkt"
fi
commands=()
for size in $least 1514; do
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
    [ "$cache/$plugin" -nt "$cache/insncount.c" ] ||
        gcc -O2 -shared -fPIC -fvisibility=hidden -w -DAPI=4 -o "$cache/$plugin" "$cache/insncount.c"
    ln -sf "$cache/$plugin" "$rig/"
fi
devopt=
# QEMU 7.2 crashes with vhost-user and MSI-X.
[ "$attach" != vhost ] || devopt=,vectors=0
measure() { (cd "$rig" && ./qemu-forward.sh "qemu=$qemu" "plugin=$plugin" "nic=$nic" "attach=$attach" "devopt=$devopt" count=1 "$@" "out=$work/out" -- "${commands[@]}" | grep SUMMARY | grep insn); }

# Linux with the same IPv6 table: the rig's guest, with another /init and the routes laid over it.
linux6() {
    local driver=$nic
    [ "$nic" != virtio ] || driver=virtio_net
    mkdir "$work/root"
    install -m755 tests/bench/linux6_init.sh "$work/root/init"
    awk '{ print "route add", $1, "via", $2 }' "$work/full" > "$work/root/routes"
    (cd "$work/root" && find . | cpio -o -H newc --quiet | gzip -1 | cat "$cache/cache/initrd.gz" -) > "$work/initrd.gz"
    measure os=custom "kernel=$cache/cache/vmlinuz" "initrd=$work/initrd.gz" boot=300 mem=1024 \
        "append=console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check tsc=reliable audit=0 driver=$driver"
}

echo "tsuji, IPv$family, $nic, $attach${flows:+, $flows flows}:"
measure os=custom "kernel=$router" "initrd=$config" "extra=$extra"
if [ "$peers" = 1 ]; then
    [ -f "$cache/cache/initrd-dpdk.gz" ] || (cd "$cache" && ./mkinitramfs.sh > /dev/null)
    echo "linux, IPv$family, $nic, $attach:"
    if [ "$family" = 6 ]; then
        linux6
    else
        measure os=linux
        # Between the same two cards, but it changes MAC addresses only: no routes, no TTL, no checksum.
        echo "testpmd in linux, $nic, $attach:"
        measure os=linux mode=dpdk || echo "did not run"
    fi
fi
