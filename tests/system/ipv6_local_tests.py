"""Goal: what is sent to the router itself over IPv6 fares as with any host: fragments are put together or refused as RFC
8200, 5722, 6946 and 7112 say, closed UDP ports are told, and what is ours fits the path (RFC 8201). Method: real Linux hosts
with ping, traceroute and UDP sockets; scapy for fragments that no host sends."""
import json
import re
from pathlib import Path

from cases import matrix
from forwarding_tests import CARDS, EVERYWHERE
from ipv6_tests import CONFIG, H1, H2, ROUTER, two_sided
from lab import Lab, expect, expect_equal, wait_until

FRAGMENTS = Path(__file__).with_name("fragments6.py")
FAR = "2001:db8:99::2"


def expect_pings(router, words, count):
    answer = router.command(f"ping {words} count {count} interval 100", limit_s=20 + count)
    expect(re.search(rf"^received +{count}$", answer, re.MULTILINE), f"ping {words} said:\n{answer}")


@matrix(**EVERYWHERE)
def test_ipv6_large_pings_to_and_from_the_router(nic, cores):
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, cores)
        for size in (1453, 8000, 65000):
            h1.expect_ping(ROUTER, count=2, size=size)
            h2.expect_ping(ROUTER, count=2, size=size)
            expect_pings(router, f"{H1} size {size}", 2)
        expect_pings(router, f"{H2} size 65487", 1)
        expect("65487" in router.refused(f"ping {H1} size 65488"), "the limit is not told")
        expect("no address of ours" in router.refused(f"ping {H1} from {H2}"), "a source of others is taken")
        expect_equal({word for word in router.drops() if word.startswith("reassembly")}, set(), "drops of fragments")
        router.check_books()


@matrix(nic=CARDS)
def test_ipv6_fragments_that_no_host_sends(nic):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, 1)
        mac = router.interface("eth0")["mac"]
        report = json.loads(h1.run("/usr/bin/python3", str(FRAGMENTS), "eth0", H1, ROUTER, mac, limit_s=60).splitlines()[-1])
        refused = {"overlapping", "overlapping at the end", "other bytes in the same place",
                   "not the last and no multiple of 8", "first without the ICMPv6 header", "fragments in fragments"}
        for name, answered in report["answered"].items():
            expect_equal(answered, name not in refused, name)
        # Parameter problems: payload length; incomplete chain; a fragment header, which the IPv6 header names.
        expect_equal(report["errors"], [[4, 0, 4], [4, 3, 0], [4, 1, 6]], "errors")
        expect(router.drops().get("reassembly-overlap", 0) >= 9, "drops:", router.drops())
        router.check_books()


def test_ipv6_fragments_that_stay_incomplete_are_told_after_a_minute():
    script = """import socket, sys
from scapy.all import Ether, IPv6, IPv6ExtHdrFragment, Raw, sendp
errors = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
errors.settimeout(100)
for place, identity in ((0, 1), (200, 1), (100, 2)):
    sendp(Ether(dst=sys.argv[3]) / IPv6(src=sys.argv[1], dst=sys.argv[2]) /
          IPv6ExtHdrFragment(nh=58, offset=place, m=1, id=identity) / Raw(bytes([128]) * 800), iface="eth0", verbose=False)
message = b"\\xff"
while message[0] >= 128:
    message = errors.recv(65536)
print("type", message[0], "code", message[1])
"""
    with Lab() as lab:
        h1, router, _ = two_sided(lab)
        mac = router.interface("eth0")["mac"]
        told = h1.run("/usr/bin/python3", "-c", script, H1, ROUTER, mac, limit_s=120)
        expect("type 3 code 1" in told, "what came:", told)
        wait_until(lambda: router.drops().get("reassembly-timeout", 0) == 3, 10, "all three to be dropped")
        router.check_books()


@matrix(**EVERYWHERE)
def test_ipv6_closed_udp_ports_are_told(nic, cores):
    script = "import socket, sys; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.connect((sys.argv[1], 9)); " \
             "s.settimeout(10); s.send(bytes(int(sys.argv[2])))\n" \
             "try:\n    s.recv(1)\nexcept ConnectionRefusedError:\n    print('refused')"
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, cores)
        hops = re.findall(r"^\s*\d+\s+(.*)", h1.run("traceroute", "-6", "-n", "-q", "1", "-w", "5", ROUTER, limit_s=60),
                          re.MULTILINE)
        expect(len(hops) == 1 and hops[0].split()[0] == ROUTER and "!" not in hops[0], "hops of traceroute:", hops)
        for size in (0, 100, 3000, 60000):
            told = h1.run("/usr/bin/python3", "-c", script, ROUTER, str(size))
            expect("refused" in told, f"nothing told about {size} bytes:", told)
        expect(router.drops().get("udp-port-unreachable", 0) >= 5, "drops:", router.drops())
        router.check_books()


def narrow_way(lab, nic):
    """h2 leads on to h1's other address by a link of 1,300 bytes; what h1 sends comes back the wide way."""
    h1, router, h2 = two_sided(lab, nic, 2, CONFIG)
    h2.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    h2.ip("link", "add", "far0", "type", "veth", "peer", "name", "far1", "netns", h1.namespace)
    for host, name, address in ((h2, "far0", "2001:db8:99::1"), (h1, "far1", FAR)):
        host.ip("link", "set", name, "mtu", "1300", "up")
        host.ip("address", "add", f"{address}/64", "dev", name, "nodad")
    router.configure(f"ipv6 route 2001:db8:99::/64 gateway {H2}")
    wait_until(lambda: h2.ping(FAR, count=1), 10, "the link between h2 and h1")
    return h1, router


@matrix(nic=CARDS)
def test_ipv6_path_mtu_of_what_is_ours(nic):
    with Lab() as lab:
        router = narrow_way(lab, nic)[1]
        expect_pings(router, FAR, 1)

        answer = router.command(f"ping {FAR} count 1 size 4000", limit_s=30)
        expect(re.search(r"too-big +2001:db8:2::2", answer), f"h2 has not told:\n{answer}")
        expect_pings(router, f"{FAR} size 4000", 3)
        answer = router.command(f"ping {FAR} count 1 size 1252 df", limit_s=20)
        expect("reply" in answer, f"ping of 1300 bytes said:\n{answer}")
        answer = router.command(f"ping {FAR} count 1 size 1253 df", limit_s=20)
        expect(re.search(r"too-big +2001:db8:2::1", answer), f"we ourselves should have told:\n{answer}")
        expect_pings(router, f"{H2} size 1452 df", 1)         # of the way to others nothing is known
        router.check_books()


@matrix(nic=CARDS)
def test_ipv6_path_mtu_of_echo_replies(nic):
    with Lab() as lab:
        h1, router = narrow_way(lab, nic)
        wait_until(lambda: h1.ping(ROUTER, count=1, options=["-I", FAR]), 10, "the way around")
        expect_equal(h1.ping(ROUTER, count=1, size=4000, options=["-I", FAR]), 0, "answers through the narrow link")
        h1.expect_ping(ROUTER, size=4000, options=["-I", FAR])
        router.check_books()
