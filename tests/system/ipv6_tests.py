"""Goal: IPv6 packets of real hosts go through and to the router as RFC 8200, 4443, 4861 and 4862 want it, over each kind
of card and with one, two and four cores. Method: Linux hosts in namespaces on both sides; ping, traceroute, iperf3."""
import json
import re

from cases import matrix
from forwarding_tests import ALL_CARDS, CARDS, CORES, expect_udp, iperf
from lab import Lab, expect, expect_equal, wait_until

CONFIG = """system name lab
ipv6 eth0 address 2001:db8:1::1/64
ipv6 eth1 address 2001:db8:2::1/64
"""
ROUTER, H1, H2 = "2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::2"


def two_sided(lab, nic="virtio-net", cores=1, config=CONFIG, **more):
    """h1 2001:db8:1::2 - eth0 router eth1 - h2 2001:db8:2::2, links up, addresses valid."""
    queue_count = cores if nic.startswith("virtio") else 1
    h1 = lab.host("h1", f"{H1}/64", gateway=ROUTER, queue_count=queue_count)
    h2 = lab.host("h2", f"{H2}/64", gateway="2001:db8:2::1", queue_count=queue_count)
    router = lab.router([h1, h2], nic=nic, cores=cores, config=config, **more)
    wait_until(lambda: states(router) == {"valid"}, 10, "the router's addresses to become valid")
    for host in (h1, h2):
        wait_until(lambda host=host: host.ping(host.gateway, count=1), 10, f"{host.name} to reach its gateway")
    return h1, router, h2


def link_local_of(host):
    return re.search(r"inet6 (fe80\S+)/", host.ip("-6", "address", "show", "dev", "eth0")).group(1)


def states(router):
    return {address["state"] for address in router.show("ipv6 interfaces")["addresses"]}


def expect_pings(h1, router, h2):
    h1.expect_ping(H2, count=5)
    h2.expect_ping(H1, count=5)
    for address in (ROUTER, "2001:db8:2::1"):
        h1.expect_ping(address)
        h2.expect_ping(address)
    h1.expect_ping(H2, size=4000)               # fragments pass
    for size in (0, 1, 17, 1451, 1452):
        h1.expect_ping(H2, count=1, size=size)
        h1.expect_ping(ROUTER, count=1, size=size)
    neighbors = {neighbor["address"] for neighbor in router.show("ipv6 neighbors")["neighbors"]}
    expect({H1, H2} <= neighbors, "neighbors:", neighbors)


def expect_traces(h1, router):
    for kind in ([], ["-I"]):
        output = h1.run("traceroute", "-6", "-n", "-q", "1", "-w", "2", *kind, H2)
        hops = re.findall(r"^\s*\d+\s+(\S+)", output, re.MULTILINE)
        expect_equal(hops, [ROUTER, H2], f"hops of traceroute {kind}")
    report = json.loads(h1.run("mtr", "-6", "-n", "-c", "2", "-i", "0.2", "--json", H2, limit_s=30))
    expect_equal([hub["host"] for hub in report["report"]["hubs"]], [ROUTER, H2], "hops of mtr")
    expect(router.drops().get("ttl-expired", 0) > 0, "no drop for it:", router.drops())


def expect_tcp(client, server, *options, least=10e6):
    rate = iperf(client, server, "--time", "1", *options)["end"]["sum_received"]["bits_per_second"]
    print(f"{client.name} to {server.name}: {rate / 1e6:.0f} Mbit/s")
    expect(rate > least, f"TCP: only {rate / 1e6:.2f} Mbit/s")


def expect_path_mtu(h1, router, h2):
    """Towards h2 from now on 1400."""
    router.configure("interface eth1 mtu 1400")
    h2.ip("link", "set", "eth0", "mtu", "1400")
    output = h1.run("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1452", H2, check=False)
    expect(re.search(r"mtu ?[=:]? ?1400", output, re.IGNORECASE), f"no MTU in what ping says:\n{output}")
    expect("mtu 1400" in h1.ip("-6", "route", "get", H2), "the host has not learned the MTU")
    h1.expect_ping(H2, size=1352, df=True)
    expect_tcp(h1, h2, least=1e6)


@matrix(nic=ALL_CARDS, cores=CORES)
def test_ipv6_goes_through_and_to_the_router(nic, cores):
    """By ping, traceroute, TCP, UDP, and over a link that is narrower: all of it in one boot."""
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, cores)
        expect_pings(h1, router, h2)
        expect_traces(h1, router)
        expect_tcp(h1, h2, "--parallel", "4")
        expect_tcp(h2, h1, "--parallel", "4")
        expect_udp(h1, router, h2, 1)
        expect_path_mtu(h1, router, h2)


@matrix(nic=CARDS)
def test_ipv6_link_local_of_the_router_answers(nic):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, 2)
        own = next(address["address"].split("/")[0] for address in router.show("ipv6 interfaces eth0")["addresses"]
                   if address["address"].startswith("fe80"))
        h1.expect_ping(f"{own}%eth0")
        # As a host's gateway, which is what advertisements name.
        h1.ip("-6", "route", "add", "2001:db8:2::/64", "via", own, "dev", "eth0")
        h1.expect_ping(H2)


@matrix(nic=CARDS)
def test_ipv6_router_pings_and_traces(nic):
    far = "2001:db8:99::2"                          # of h1, behind h2
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, 2)
        h2.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        h2.ip("link", "add", "far0", "type", "veth", "peer", "name", "far1", "netns", h1.namespace)
        for host, name, address in ((h2, "far0", "2001:db8:99::1"), (h1, "far1", far)):
            host.ip("link", "set", name, "up")
            host.ip("address", "add", f"{address}/64", "dev", name, "nodad")
        router.configure(f"ipv6 route 2001:db8:99::/64 gateway {H2}", f"ipv6 route 2001:db8:66::/48 gateway {H2}")
        h2.ip("-6", "route", "add", "unreachable", "2001:db8:66::/48")
        wait_until(lambda: h2.ping(far, count=1), 10, "the link between h2 and h1")
        for target in (H1, H2, far, ROUTER, f"{link_local_of(h2)} interface eth1"):
            answer = router.command(f"ping {target} count 3 interval 100", limit_s=20)
            expect(re.search(r"^received +3$", answer, re.MULTILINE), f"ping {target} said:\n{answer}")
        answer = router.command(f"ping {H1} count 2 interval 100 size 1452 df", limit_s=20)
        expect(re.search(r"^received +2$", answer, re.MULTILINE), f"ping of 1500 bytes said:\n{answer}")
        answer = router.command(f"ping {H1} count 1 size 1453 df", limit_s=20)
        expect("too-big" in answer, f"ping of 1501 bytes said:\n{answer}")
        answer = router.command("ping 2001:db8:66::1 count 1", limit_s=20)
        expect("net-unreachable" in answer and H2 in answer, f"ping of what h2 cannot reach said:\n{answer}")
        for target, hops in ((H1, [H1]), (far, [H2, far]), (f"{link_local_of(h1)} interface eth0", [link_local_of(h1)])):
            answer = router.command(f"traceroute {target}", limit_s=30)
            found = [(int(hop), address) for hop, address in re.findall(r"^ *(\d+) +\S+ +(\S+)", answer, re.MULTILINE)]
            expect_equal(list(dict.fromkeys(found)), list(enumerate(hops, 1)), f"hops to {target}:\n{answer}")
        router.check_books()


@matrix(nic=CARDS)
def test_ipv6_address_that_a_host_has_is_not_used(nic):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, 1)
        h1.ip("address", "add", "2001:db8:1::99/64", "dev", "eth0", "nodad")
        router.configure("ipv6 eth0 address 2001:db8:1::99/64")
        wait_until(lambda: "duplicate" in states(router), 10, "the conflict to be seen")
        h1.expect_ping(ROUTER)
        # And the other way: a host that comes with an address of ours is told so.
        h1.ip("address", "add", f"{ROUTER}/64", "dev", "eth0")
        wait_until(lambda: "dadfailed" in h1.ip("-6", "address", "show", "dev", "eth0"), 10, "the host to give it up")


@matrix(nic=CARDS)
def test_ipv6_static_blackhole_and_reject_routes(nic):
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, 2)
        h2.ip("address", "add", "2001:db8:55::5/128", "dev", "lo")
        router.configure(f"ipv6 route 2001:db8:55::/48 gateway {link_local_of(h2)} interface eth1",
                         "ipv6 route 2001:db8:66::/48 reject", "ipv6 route 2001:db8:77::/48 blackhole")
        h1.expect_ping("2001:db8:55::5")
        told = h1.run("ping", "-n", "-c", "2", "-W", "1", "2001:db8:66::1", check=False)
        expect("nreachable" in told or "prohibited" in told or "eject" in told, f"ping said:\n{told}")
        silent = h1.run("ping", "-n", "-c", "2", "-W", "1", "2001:db8:77::1", check=False)
        expect("nreachable" not in silent and " 0 received" in silent, f"ping said:\n{silent}")
        nowhere = h1.run("ping", "-n", "-c", "2", "-W", "1", "2001:db9::1", check=False)
        expect("No route" in nowhere, f"ping said:\n{nowhere}")
        dead = h1.run("ping", "-n", "-c", "2", "-W", "5", "2001:db8:2::77", check=False, limit_s=30)
        expect("Address unreachable" in dead, f"ping said:\n{dead}")


@matrix(mld=[1, 2])
def test_ipv6_snooping_bridge_lets_neighbor_discovery_through(mld):
    with Lab() as lab:
        h1, router, _ = two_sided(lab)
        # h1 behind a bridge that asks for listeners, and lets groups through to those who have answered only.
        h1.ip("link", "add", "bridge", "type", "bridge", "mcast_snooping", "1", "mcast_querier", "1",
              "mcast_mld_version", str(mld), "mcast_query_response_interval", "100",
              "mcast_startup_query_interval", "100")
        # With its link-local address from the start: a query from another one is none (RFC 3810 6.2).
        h1.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/bridge/accept_dad")
        h1.ip("address", "flush", "dev", "eth0")
        h1.ip("link", "set", "eth0", "master", "bridge")
        h1.ip("link", "set", "bridge", "up")
        h1.ip("address", "add", f"{H1}/64", "dev", "bridge", "nodad")
        h1.ip("-6", "route", "replace", "default", "via", ROUTER)

        def groups():
            return set(re.findall(r"port eth0 grp (\S+)", h1.run("bridge", "mdb", "show")))

        wait_until(lambda: {"ff02::1:ff00:1", "ff02::2"} <= groups(), 30, "the bridge to know the router's groups")
        wait_until(lambda: h1.ping(ROUTER, count=1), 10, "the router behind the bridge")
        h1.ip("neighbor", "flush", "dev", "bridge")
        h1.expect_ping(H2)
        # An address that comes later is told without being asked for, and so is one that goes.
        router.configure("ipv6 eth0 address 2001:db8:1::abc/64")
        wait_until(lambda: "ff02::1:ff00:abc" in groups(), 5, "the bridge to know the new group")
        router.configure("no ipv6 eth0 address 2001:db8:1::abc/64")
        wait_until(lambda: "ff02::1:ff00:abc" not in groups(), 10, "the bridge to forget the group")
        router.configure("interface eth0 down")
        wait_until(lambda: not any(group.startswith("ff02::1:ff") for group in groups()), 10, "the bridge to forget all groups")


@matrix(nic=CARDS)
def test_ipv6_hosts_make_their_addresses_from_our_advertisements(nic):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, 1, CONFIG + "ipv6 eth0 ra dns 2001:db8::53\n")
        h1.ip("link", "set", "eth0", "down")
        h1.run("sh", "-c", "echo 2 > /proc/sys/net/ipv6/conf/eth0/accept_ra")
        h1.ip("address", "flush", "dev", "eth0")
        h1.ip("link", "set", "eth0", "up")

        def own_address():
            found = re.search(r"inet6 (2001:db8:1:\S+)/64 scope global dynamic mngtmpaddr",
                              h1.ip("-6", "address", "show", "dev", "eth0", "-tentative"))
            return found and found.group(1)

        expect(not own_address(), "an address before there are advertisements")
        router.configure("ipv6 eth0 ra on")
        wait_until(own_address, 15, "the host to make its address")
        routes = h1.ip("-6", "route", "show", "default")
        expect("via fe80::5054:ff:fe00:1 dev eth0 proto ra" in routes, "routes:", routes)
        h1.expect_ping(H2)
        told = h1.run("rdisc6", "-1", "-w", "5000", "eth0", check=False, limit_s=20)
        for line in (r"Prefix +: 2001:db8:1::/64", r"Recursive DNS server +: 2001:db8::53", r"MTU +: +1500 bytes",
                     r"from fe80::5054:ff:fe00:1"):
            expect(re.search(line, told), f"no {line} in what rdisc6 says:\n{told}")
        router.configure("ipv6 eth0 ra off")
        wait_until(lambda: "default" not in h1.ip("-6", "route", "show", "default"), 5, "the host to forget its router")
        router.check_books()


@matrix(nic=CARDS)
def test_ipv6_neighbor_solicitations_of_ndisc6_are_answered(nic):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, 1)
        told = h1.run("ndisc6", "-1", "-m", ROUTER, "eth0")
        expect("52:54:00:00:00:01" in told.lower(), f"ndisc6 said:\n{told}")
        nobody = h1.run("ndisc6", "-1", "-r", "1", "-w", "500", "2001:db8:1::77", "eth0", check=False)
        expect("52:54:00" not in nobody, f"ndisc6 said:\n{nobody}")
        hops = re.findall(r"^\s*\d+\s+(\S+)", h1.run("rltraceroute6", "-n", "-q", "1", H2, limit_s=30), re.MULTILINE)
        expect_equal(hops, [ROUTER, H2], "hops of rltraceroute6")


def radvd(host, text):
    """Runs it until the lab ends, or until who started it ends it with SIGTERM: then it says goodbye."""
    folder = host.lab.folder()
    (folder / "config").write_text(text)
    host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    return host.start("radvd", "-n", "-m", "stderr", "-C", str(folder / "config"), "-p", str(folder / "pid"))


RADVD = """interface eth0 {
    AdvSendAdvert on;
    MinRtrAdvInterval 3;
    MaxRtrAdvInterval 4;
    AdvDefaultLifetime 30;
    AdvDefaultPreference high;
    AdvLinkMTU 1400;
    AdvCurHopLimit 77;
    prefix 2001:db8:1::/64 { AdvOnLink on; AdvAutonomous on; AdvValidLifetime 3600; AdvPreferredLifetime 1800; };
};
"""


@matrix(nic=CARDS, cores=[1, 2])
def test_ipv6_port_is_configured_by_radvd(nic, cores):
    """h1 is the provider's router, behind which 2001:db8:99::2 is; the router learns from it, and h2's packets go that way."""
    far = "2001:db8:99::2"
    with Lab() as lab:
        h1 = lab.host("h1", f"{H1}/64", queue_count=1 if nic == "e1000" else cores)
        h2 = lab.host("h2", f"{H2}/64", gateway="2001:db8:2::1", queue_count=1 if nic == "e1000" else cores)
        h1.ip("address", "add", f"{far}/128", "dev", "lo")
        router = lab.router([h1, h2], nic=nic, cores=cores,
                            config="ipv6 eth0 address auto\nipv6 eth1 address 2001:db8:2::1/64\n")
        daemon = radvd(h1, RADVD)

        def learned():
            return [address for address in router.show("ipv6 interfaces eth0")["addresses"]
                    if address["origin"] == "learned" and address["state"] == "valid"]

        def default():
            return router.show("ipv6 route default")["routes"]

        address = wait_until(learned, 20, "the router to make its address")[0]
        own = address["address"].split("/")[0]
        expect(own.startswith("2001:db8:1:0:") and ":ff:fe" not in own, "address:", own)
        expect(1500 < address["preferred_s"] <= 1800 and 3300 < address["valid_s"] <= 3600, "lifetimes:", address)
        route = wait_until(default, 5, "the default route")[0]
        expect_equal((route["protocol"], route["next_hop"], route["interface"], route["distance"]),
                     ("ra", link_local_of(h1), "eth0", 249), "the route")
        expect_equal([(seen["router"], seen["preference"], seen["in_use"])
                      for seen in router.show("ipv6 interfaces")["routers"]], [(link_local_of(h1), "high", True)], "routers")
        # The way there is the default route; back, h1 knows the router by the address that it has made.
        h1.ip("-6", "route", "add", "2001:db8:2::/64", "via", own)
        h2.expect_ping(far, count=5)
        told = h1.run("ping", "-n", "-c", "1", "-W", "5", own)
        expect("ttl=77" in told, "the hop limit is not that of the link:\n", told)
        large = h2.run("ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", "1400", far, check=False)
        expect(re.search(r"mtu ?[=:]? ?1400", large, re.IGNORECASE), f"no MTU in what ping says:\n{large}")
        # A commit of something else leaves it alone.
        router.configure("ipv6 eth1 address 2001:db8:3::1/64")
        expect_equal([entry["address"] for entry in learned()], [address["address"]], "learned")
        h2.expect_ping(far)
        # The link goes and comes back: the same address is made again.
        router.set_link(0, False)
        wait_until(lambda: not learned() and not default(), 10, "all that was learned to be forgotten")
        router.set_link(0, True)
        again = wait_until(learned, 20, "the address to come back")[0]
        expect_equal(again["address"], address["address"], "the address after the link was down")
        wait_until(default, 5, "the default route to come back")
        wait_until(lambda: h2.ping(far, count=1), 10, "packets to go on")
        # radvd ends with a last word, a lifetime of 0; the address has its two hours.
        daemon.terminate()
        wait_until(lambda: not default(), 10, "the default route to go")
        expect(learned(), "the address has gone, too")
        router.configure("no ipv6 eth0 address auto")
        expect_equal(router.show("ipv6 interfaces eth0")["addresses"], [], "what is left of eth0's addresses")
        router.check_books()


@matrix(nic=CARDS)
def test_ipv6_link_local_address_that_a_host_has_disables_the_port(nic):
    with Lab() as lab:
        h1 = lab.host("h1", f"{H1}/64", gateway=ROUTER)
        h2 = lab.host("h2", f"{H2}/64", gateway="2001:db8:2::1")
        h1.ip("address", "add", "fe80::5054:ff:fe00:1/64", "dev", "eth0", "nodad")
        router = lab.router([h1, h2], nic=nic, config=CONFIG)

        def states_of(interface):
            return {address["state"] for address in router.show(f"ipv6 interfaces {interface}")["addresses"]}

        wait_until(lambda: states_of("eth0") == {"duplicate", "disabled"}, 10, "eth0 to do without IPv6")
        wait_until(lambda: states_of("eth1") == {"valid"}, 10, "eth1's addresses to become valid")
        h2.expect_ping("2001:db8:2::1")
        expect_equal(h1.ping(ROUTER, count=2, options=("-w", "3")), 0, "answers from a port without IPv6")
        expect(router.drops().get("ipv6-disabled", 0) > 0, "no drop for it:", router.drops())
        h1.ip("address", "del", "fe80::5054:ff:fe00:1/64", "dev", "eth0")
        router.set_link(0, False)
        wait_until(lambda: not router.interface("eth0")["link"] == "up", 5, "the link to go down")
        router.set_link(0, True)
        wait_until(lambda: states_of("eth0") == {"valid"}, 10, "eth0's addresses to become valid")
        wait_until(lambda: h1.ping(H2, count=1), 10, "packets to go on")
        router.check_books()


@matrix(nic=CARDS)
def test_ipv6_proxy_answers_for_what_is_behind_another_port(nic):
    """h1 has a whole /64 on its link by what it knows; some of it is behind h2 in truth."""
    moved, other = "2001:db8:1::99", "2001:db8:1:0:5::1"
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, 2)
        for address in (moved, other):
            h2.ip("address", "add", f"{address}/128", "dev", "lo")
            router.configure(f"ipv6 route {address}/128 gateway {H2}")
        expect_equal(h1.ping(moved, count=1, options=("-w", "3")), 0, "answers without a proxy")
        router.configure(f"ipv6 eth0 proxy {moved}/128", "ipv6 eth0 proxy 2001:db8:1:0:5::/80")
        for address in (moved, other):
            h1.ip("neighbor", "flush", "dev", "eth0")
            h1.expect_ping(address)
            known = h1.ip("neighbor", "show", address, "dev", "eth0")
            expect("52:54:00:00:00:01" in known, "neighbor:", known)
        # In the prefix, but on h1's link as far as the router knows.
        expect_equal(h1.ping("2001:db8:1:0:5::2", count=1, options=("-w", "3")), 0, "answers from nobody")
        # Who wants that address here is told that somebody has it.
        h1.ip("address", "add", f"{moved}/64", "dev", "eth0")
        wait_until(lambda: "dadfailed" in h1.ip("-6", "address", "show", "dev", "eth0"), 10, "the host to give it up")
        router.check_books()
