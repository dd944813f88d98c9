"""Goal: nonsense from the wire costs nothing but counted drops. Method: 100,000 packets at the router and as many
through it, of either family, made by attack.py and attack6.py from a seed or recorded from the ISIC tools; then it must
still forward both, and its memory must be back where it was."""
import os
from pathlib import Path

from cases import Skip, matrix
import forwarding_tests
from lab import DEBUG_KERNEL, KERNEL, TREE, Lab, expect, expect_equal, wait_until

FOLDER = Path(__file__).resolve().parent
RECORDING = Path(os.environ.get("TSUJI_DATA", TREE.parent / "shared/data")) / "pcap/isic-dev.pcap"
PACKETS = 100000
SEEDS = range(1, 21) if os.environ.get("SOAK") else [1]
# The router itself, and a host behind it. Overruns, double frees and use after free are found by the debug kernel
# alone, which meets each target and each card once.
CASES = ["10.1.0.1 virtio-net debug", "10.1.0.1 e1000 release", "10.2.0.2 virtio-net release",
         "10.2.0.2 e1000 debug", "fd01::1 virtio-net release", "fd01::1 e1000 debug", "fd02::2 virtio-net debug",
         "fd02::2 e1000 release"]
CONFIG = forwarding_tests.CONFIG + "ipv6 eth0 address fd01::1/64\nipv6 eth1 address fd02::1/64\n"
# Each kind of answer, the decision that waits for the way out, and all that is left dropped.
FILTERS = "".join(f"""{family} filter 10 reject proto tcp
{family} filter 20 drop proto udp out eth1 log
{family} filter 30 reject fragment in eth0 dst {net}
{family} filter 40 pass proto icmp
{family} filter default drop
""" for family, net in (("ip", "10.1.0.0/16"), ("ipv6", "fd01::/64")))
# Of IPv4 a seventh of all sources, of IPv6 half of all ports: what is random in the recorded attack. One field decides,
# so that there is code for 10,000 of them.
MANY = 10000
MANY_FILTERS = "".join(f"ip filter {i + 100} drop src {11 + i % 200}.{i // 200 * 5}.0.0/16\n"
                       f"ipv6 filter {i + 100} drop dport {i * 6}-{i * 6 + 2}\n" for i in range(MANY))
SEND_S = 100
LOST_PERCENT = 1    # at most, of what the host's tap has not dropped
SETTLE_S = 60    # neighbors that never answer are given up
REASSEMBLY_S = 75    # that of IPv6 after a minute


def dropped_by_tap(host):
    return int(host.run("cat", "/sys/class/net/eth0/statistics/tx_dropped"))


def heap_in_use(router):
    heap = router.show("memory")["heap"]
    return heap["live"], heap["live_bytes"]


def wait_for_packets(router):
    """Until reassembly has given all back, in a soak; else the books, which are looked at after every test, say that what is
    not back is held."""
    if os.environ.get("SOAK"):
        wait_until(lambda: router.packets_out() == 0, REASSEMBLY_S, "all packets to be back")


def two_sided(lab, nic, kernel, config, cores=2, **more):
    """h1 10.1.0.2, fd01::2 - eth0 router eth1 - h2 10.2.0.2, fd02::2, links up, addresses valid."""
    h1, router, h2 = forwarding_tests.two_sided(lab, nic, cores, config, kernel=kernel, memory_mib=256, **more)
    give_ipv6(h1, h2)
    return h1, router, h2


def give_ipv6(h1, h2):
    for host, net in ((h1, "fd01::"), (h2, "fd02::")):
        host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
        host.ip("address", "add", f"{net}2/64", "dev", "eth0", "nodad")
        host.ip("-6", "route", "add", "default", "via", f"{net}1")
        wait_until(lambda host=host, net=net: host.ping(f"{net}1", count=1), 10, f"{host.name} to reach {net}1")


def survives(nic, attack, kernel=KERNEL, config=CONFIG, look=lambda router: None):
    """attack(h1, MAC address of the router) sends from the namespace of h1 and answers what it sent. look(router) is
    called before and afterwards."""
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, kernel, config)
        h1.expect_ping("10.2.0.2")
        h1.expect_ping("fd02::2")
        look(router)
        heap, before = heap_in_use(router), router.interface("eth0")["rx_packets"]
        sent = int(attack(h1, router.interface("eth0")["mac"]))
        dropped, came = dropped_by_tap(h1), lambda: router.interface("eth0")["rx_packets"] - before
        print(f"{sent} sent, {dropped} dropped by the tap, {came()} arrived")
        expect(sent > PACKETS // 2, f"only {sent} sent")
        wait_until(lambda: came() >= (sent - dropped) * (100 - LOST_PERCENT) // 100, 10,
                   f"{sent} packets, of which the tap has dropped {dropped}")
        # What still waits for neighbors that never answer may cost the first packets.
        for host, address in ((h1, "10.2.0.2"), (h2, "10.1.0.2"), (h1, "10.1.0.1"), (h1, "fd02::2"), (h2, "fd01::2"),
                              (h1, "fd01::1")):
            wait_until(lambda host=host, address=address: host.ping(address) == 3, SETTLE_S, f"{address} to answer")
        wait_for_packets(router)
        wait_until(lambda: heap_in_use(router) == heap, SETTLE_S, f"the heap to be back at {heap}")
        heap = router.show("memory")["heap"]
        expect_equal((heap["double_frees"], heap["corruptions"]), (0, 0), "double frees, corruptions")
        look(router)
        return router.drops()


def random_packets(target, seed):
    """The attack."""
    program = "attack6.py" if ":" in target else "attack.py"
    return lambda host, mac: host.run("/usr/bin/python3", str(FOLDER / program), "eth0", mac, target, str(PACKETS),
                                      str(seed), limit_s=SEND_S)


@matrix(case=CASES, seed=SEEDS)
def test_survives_random_packets(case, seed):
    target, nic, kernel = case.split()
    survives(nic, random_packets(target, seed), DEBUG_KERNEL if kernel == "debug" else KERNEL)


test_survives_random_packets.limit_s = 240


@matrix(case=["10.2.0.2 virtio-net debug", "10.1.0.1 e1000 release", "fd01::1 virtio-net release"], seed=SEEDS)
def test_filters_survive_random_packets(case, seed):
    target, nic, kernel = case.split()
    drops = survives(nic, random_packets(target, seed), DEBUG_KERNEL if kernel == "debug" else KERNEL, CONFIG + FILTERS)
    for reason in ("filter", "filter-reject", "filter-opaque"):
        expect(drops.get(reason, 0) > 100, f"few dropped for {reason}:", drops)


test_filters_survive_random_packets.limit_s = 240


def recorded_packets():
    """The attack."""
    if not RECORDING.exists():
        raise Skip("no recorded ISIC attack: TSUJI_DATA names no folder with pcap/isic-dev.pcap")
    return lambda host, mac: host.run("/usr/bin/python3", str(FOLDER / "replay.py"), "eth0", mac, str(RECORDING),
                                      str(PACKETS), limit_s=SEND_S)


@matrix(nic=["virtio-net", "e1000"])
def test_survives_the_recorded_isic_attack(nic):
    survives(nic, recorded_packets())


def expect_code_of_many(router):
    """That is in force, and decides as it should."""
    for family in ("ip", "ipv6"):
        answer = router.command(f"{family} filter jit flash", limit_s=60)
        expect(f"{MANY} filters: " in answer and " (intervals" in answer, answer)
        answer = router.command(f"{family} filter jit verify 2000", limit_s=60)
        expect_equal(answer, "2000 packets, 0 judged otherwise than by the interpreter")


@matrix(nic=["virtio-net", "e1000"] if os.environ.get("SOAK") else ["virtio-net"])
def test_ten_thousand_filters_survive_the_recorded_isic_attack(nic):
    drops = survives(nic, recorded_packets(), config=CONFIG + MANY_FILTERS, look=expect_code_of_many)
    expect(drops.get("filter", 0) > PACKETS // 20, "few dropped by filters:", drops)


for test in (test_survives_the_recorded_isic_attack, test_ten_thousand_filters_survive_the_recorded_isic_attack):
    test.limit_s = 240
