"""Goal: every queue and every core of a router works, each flow keeps its order, and no packet is lost or counted
twice. Method: 64 UDP flows with numbered packets (flows.c) from one Linux host to another, over each kind of card, on
one, two and four cores, with cards that have more queues than cores, or fewer; a million packets in all, ten with
SOAK=1; fewer of IPv6, for the cards that spread flows themselves."""
import json
import os

import ipv6_tests
from cases import matrix
from forwarding_tests import two_sided
from lab import FLOWS, Lab, expect, expect_equal

FLOW_COUNT = 64
TOTAL = 10_000_000 if os.environ.get("SOAK") else 1_000_000
FLOW_LIMIT_S = 600 if os.environ.get("SOAK") else 90
SPREAD_PERCENT = 30

# What cards have that do not get it from their tap.
CARD_QUEUES = {"e1000": 1, "e1000e": 2, "igb": 8}
# Cards that spread flows by a hash of ours; else the host steers.
SPREADING = ["virtio-rss", "e1000e", "igb"]
# The 82574 knows no UDP ports, so flows differ by address.
BY_ADDRESS = ["e1000e"]
SOURCE_PORT, SOURCE_ADDRESSES = 40000, {"-4": "10.1.0.100", "-6": "2001:db8:1::100"}

# Card, queues of its tap, cores.
CASES = ["virtio-net 1 1", "virtio-packed 1 1", "e1000 1 1", "e1000e 1 1", "igb 1 1",
         "virtio-net 1 2", "virtio-net 4 2", "virtio-packed 4 2", "virtio-rss 4 2", "e1000 1 2",
         "e1000e 1 2", "igb 1 2",
         "virtio-net 1 4", "virtio-net 2 4", "virtio-net 4 4", "virtio-packed 1 4", "virtio-packed 4 4",
         "virtio-rss 4 4", "e1000 1 4", "e1000e 1 4", "igb 1 4"]


def working_cores(cores):
    """With four cores or more the control core owns no queue."""
    return cores if cores < 4 else cores - 1


def in_ipv6_form(address):
    return address if ":" in address else f"::ffff:{address}"


def run_flows(source, target, packets, nic="virtio-net"):
    more = [SOURCE_PORT, in_ipv6_form(SOURCE_ADDRESSES[source.family])] if nic in BY_ADDRESS else []
    output = source.lab.run_program(FLOWS, source.namespace, target.namespace, in_ipv6_form(target.address), FLOW_COUNT,
                                    packets, *more, limit_s=FLOW_LIMIT_S)
    return json.loads(output)


def queues_of(router, port):
    return [queue for queue in router.show("interfaces queues")["queues"] if queue["interface"] == port]


def received_by_queue(router, port, before):
    old = {queue["queue"]: queue["rx_packets"] for queue in before}
    return [queue["rx_packets"] - old[queue["queue"]] for queue in queues_of(router, port)]


def expect_flows(h1, router, h2, packets, nic):
    """That many packets of FLOW_COUNT flows: none is lost, each flow keeps its order, each queue gets its share."""
    queues = queues_of(router, "eth0")
    books = router.show("interfaces books")["books"]

    report = run_flows(h1, h2, packets, nic)
    expect_equal(report["received"], packets, f"packets that came: {report}, router: {router.drops()}")
    expect_equal(report["reordered"], 0, "packets out of order in their flow")
    expect_equal(report["foreign"], 0, "packets that were not ours")

    shares = received_by_queue(router, "eth0", queues)
    expect(sum(shares) >= packets, f"queues have counted {shares}")
    least = packets // len(shares) // 5
    expect(min(shares) >= least, f"a queue got nearly nothing: {shares}")
    if nic in SPREADING:
        mean = sum(shares) / len(shares)
        expect(all(abs(share - mean) <= mean * SPREAD_PERCENT / 100 for share in shares),
               f"queues differ by more than {SPREAD_PERCENT} %: {shares}")
    sent = router.show("interfaces books")["books"][0]["sent"] - books[0]["sent"]
    expect(packets <= sent <= packets + 16, f"the router has sent {sent} of {packets} packets")


@matrix(case=CASES)
def test_flows_spread_over_all_queues_and_keep_their_order(case):
    nic, queue_count, cores = case.split()
    queue_count, cores = int(queue_count), int(cores)
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, cores, queue_count=queue_count)
        h1.expect_ping(h2.address)
        queues = queues_of(router, "eth0")
        expect_equal(len(queues), min(CARD_QUEUES.get(nic, queue_count), working_cores(cores)), "queues in use")
        expect_equal(len({queue["core"] for queue in queues}), len(queues), "cores that have one")
        expect_flows(h1, router, h2, TOTAL // len(CASES), nic)


@matrix(nic=SPREADING)
def test_ipv6_flows_spread_over_all_queues_and_keep_their_order(nic):
    """Two queues with the e1000e, three with the others."""
    with Lab() as lab:
        h1, router, h2 = ipv6_tests.two_sided(lab, nic, 4)
        h1.expect_ping(h2.address)
        expect_equal(len(queues_of(router, "eth0")), 2 if nic == "e1000e" else 3, "queues in use")
        expect_flows(h1, router, h2, TOTAL // len(CASES), nic)


@matrix(nic=["virtio-net", "virtio-packed", "virtio-rss", "e1000e", "igb"])
def test_both_directions_at_once_keep_their_order(nic):
    """Two cores, each with a queue of each card. The ports differ, as a tap moves a flow to the queue by which its
    answers came, and what lies in the other queue then comes late."""
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, 2)
        h1.expect_ping(h2.address)
        back = lab.start_program(FLOWS, h2.namespace, h1.namespace, in_ipv6_form(h1.address), FLOW_COUNT, 20000, 50000)
        there = run_flows(h1, h2, 20000)
        expect_equal((there["received"], there["reordered"]), (20000, 0), f"{there}, router: {router.drops()}")
        back = json.loads(back.communicate(timeout=FLOW_LIMIT_S)[0])
        expect_equal((back["received"], back["reordered"]), (20000, 0), f"{back}, router: {router.drops()}")
