"""Goal: tools made to bring IPv6 stacks down, thc-ipv6 and SI6's ipv6toolkit, do not bring this one down, nor disturb those
who have no part in it. Method: an attacker on a link of its own runs them one after the other, briefly, and for as long
as they like with SOAK=1; two hosts behind other ports ping each other all the time and lose nothing; then the router
answers the attacker as well, has its packets and its heap back, and the books balance."""
import os
import re

from attack_tests import SETTLE_S, heap_in_use, wait_for_packets
from cases import matrix
from forwarding_tests import ALL_CARDS
from lab import DEBUG_KERNEL, KERNEL, PING_WAIT_S, Lab, expect, expect_equal, wait_until

CONFIG = """system name lab
ipv6 eth0 address 2001:db8:1::1/64
ipv6 eth1 address 2001:db8:2::1/64
ipv6 eth2 address 2001:db8:3::1/64
ipv6 eth2 proxy 2001:db8:2::/64
"""
FAR, NEAR, ALL_NODES = "2001:db8:2::2", "2001:db8:3::1", "ff02::1"
SOAK = bool(os.environ.get("SOAK"))
NEIGHBORS_MAX = 16384    # NEIGHBOR_MAX of net/neighbor.h
PING_INTERVAL_S = 0.05

# Seconds when it is short, and when it is a soak; the words. MAC is that of the router.
MALFORMED = [
    (2, 20, f"atk6-exploit6 eth0 {NEAR}"),
    (2, 20, f"atk6-fuzz_ip6 -1 -IFSDHRJ -n 1 eth0 {NEAR}"),
    (2, 20, f"atk6-fuzz_ip6 -2 -n 1 eth0 {NEAR}"),
    *[(1, 20, f"atk6-fuzz_ip6 -{kind} -n 1 eth0 {ALL_NODES}") for kind in (3, 4, 5, 6, 7, 8, 9)],
    (4, 60, f"atk6-fragmentation6 -p eth0 {NEAR}"),
    (4, 120, f"atk6-implementation6 eth0 {NEAR}"),
]
FLOODS = [
    *[(3 if kind == 2 else 1, 3, f"atk6-denial6 eth0 {NEAR} {kind}") for kind in (1, 2, 3, 4, 5, 6, 7)],
    (1, 4, f"ra6 -i eth0 -d {NEAR} -D MAC --flood-sources 100 --flood-prefixes 20 -l -z 1"),
    (1, 4, f"na6 -i eth0 -d {NEAR} -D MAC -t 2001:db8:3::99 --flood-targets 1000 -l -z 1"),
    (1, 4, f"ns6 -i eth0 -d {NEAR} -D MAC -t {NEAR} --flood-sources 1000 -l -z 1"),
    (1, 10, "atk6-flood_mld6 eth0"),
    (1, 10, "atk6-flood_rs6 eth0"),
]
TABLE = [
    (4, 30, f"atk6-flood_solicitate6 eth0 {NEAR}"),
    (4, 30, "atk6-ndpexhaust26 -c eth0 2001:db8:2::/64"),
]


def cards(first):
    """All of them in a soak; else one, another one for each test."""
    return ALL_CARDS if SOAK else [first]


def three_sided(lab, nic, kernel):
    """h1 2001:db8:1::2 - eth0 router eth1 - 2001:db8:2::2 h2, and the attacker 2001:db8:3::2 on eth2."""
    hosts = [lab.host(name, f"2001:db8:{net}::2/64", gateway=f"2001:db8:{net}::1")
             for name, net in (("h1", 1), ("h2", 2), ("attacker", 3))]
    router = lab.router(hosts, nic=nic, cores=2, config=CONFIG, kernel=kernel, memory_mib=256)
    for host in hosts:
        wait_until(lambda host=host: host.ping(host.gateway, count=1), 10, f"{host.name} to reach its gateway")
    hosts[0].expect_ping(FAR)
    return router, *hosts


def attack(attacker, words, seconds):
    """Most of them go on until they are told to stop, and their status says little."""
    return attacker.run("timeout", "-k", "2", str(seconds), *words.split(), check=False, limit_s=seconds + 10)


def ping_all_the_time(host, seconds):
    """What ping said of it."""
    return host.run("ping", "-n", "-c", str(int(seconds / PING_INTERVAL_S)), "-i", str(PING_INTERVAL_S),
                    "-W", str(PING_WAIT_S), FAR, check=False, limit_s=seconds + 10 + PING_WAIT_S)


def arrived(router):
    return router.interface("eth2")["rx_packets"]


def run_tools(tools, nic, kernel=KERNEL):
    with Lab() as lab:
        router, h1, _, attacker = three_sided(lab, nic, kernel)
        mac, heap = router.interface("eth2")["mac"], heap_in_use(router)
        for short_s, long_s, words in tools:
            seconds, before = long_s if SOAK else short_s, arrived(router)
            pings = lab.in_background(ping_all_the_time, h1, seconds)
            attack(attacker, words.replace("MAC", mac), seconds)
            expect(" 0% packet loss" in pings.result, f"during {words}: {pings.result}drops: {router.drops()}")
            print(f"{words}: {arrived(router) - before} packets arrived")
        wait_until(lambda: attacker.ping(NEAR) == 3, SETTLE_S, "the router to answer the attacker")
        known = int(re.search(r"\d+", router.command("show ipv6 neighbors | count")).group())
        expect(known <= NEIGHBORS_MAX + 10, f"{known} lines of neighbors")
        wait_for_packets(router)
        wait_until(lambda: heap_in_use(router) == heap, SETTLE_S, f"the heap to be back at {heap}")
        trouble = router.show("memory")["heap"]
        expect_equal((trouble["double_frees"], trouble["corruptions"]), (0, 0), "double frees, corruptions")
        print(router.drops())


@matrix(nic=cards("virtio-net"))
def test_ipv6_survives_malformed_packets(nic):
    run_tools(MALFORMED, nic, DEBUG_KERNEL)


@matrix(nic=cards("e1000e"))
def test_ipv6_survives_floods(nic):
    run_tools(FLOODS, nic)


@matrix(nic=cards("igb"))
def test_ipv6_survives_a_scan_and_forged_neighbors(nic):
    run_tools(TABLE, nic)


for test in (test_ipv6_survives_malformed_packets, test_ipv6_survives_floods,
             test_ipv6_survives_a_scan_and_forged_neighbors):
    test.limit_s = 600 if SOAK else 180
