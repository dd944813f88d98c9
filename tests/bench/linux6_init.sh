#!/bin/busybox sh
# /init of the Linux guest beside which forward_bench.sh measures IPv6: the rig's guest with IPv6 instead of IPv4. The driver is
# on the kernel's command line, the routes are in /routes.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
for word in $(cat /proc/cmdline); do case $word in driver=*) driver=${word#driver=} ;; esac; done
[ "$driver" != virtio_net ] || modprobe virtio_pci
modprobe "$driver"
sleep 0.3
# By default it is less than a full table.
echo 1000000 > /proc/sys/net/ipv6/route/max_size
for device in /sys/class/net/*; do
    case $(cat "$device/address") in
    52:54:00:00:00:0a) net=2001:db8:a ;;
    52:54:00:00:00:0b) net=2001:db8:b ;;
    *) continue ;;
    esac
    name=${device##*/}
    echo 0 > "/proc/sys/net/ipv6/conf/$name/accept_dad"
    /usr/sbin/ip link set "$name" up
    /usr/sbin/ip addr add "$net::1/64" dev "$name"
done
/usr/sbin/ip -batch /routes
echo "routes: $(/usr/sbin/ip -6 route | wc -l)"
# Last, so that the first packet to come through says that all is ready.
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
while :; do sleep 1000; done
