"""Goal: no core reads what another writes without an order between them. Method: the router as a process, built with
ThreadSanitizer, forwards IPv4 and IPv6 on several cores while an operator changes and looks at everything. It finds every
such pair of accesses that happens, not only those that do harm; so two seconds of traffic are enough."""
from attack_tests import CONFIG as CONFIG_BOTH
from attack_tests import give_ipv6
from cases import matrix
from forwarding_tests import CONFIG, iperf
from ipv6_tests import CONFIG as CONFIG6
from ipv6_tests import H1, H2, ROUTER, states
from lab import Lab, expect, wait_until

CHANGES = ("ip route 10.9.0.0/16 gateway 10.2.0.2", "clear arp", "interface eth1 mtu 1400", "clear counters",
           "no ip route 10.9.0.0/16 gateway 10.2.0.2", "ip eth1 address 10.3.0.1/24", "no interface eth1 mtu",
           "no ip eth1 address 10.3.0.1/24")
QUESTIONS = ("arp", "cores", "drops", "interfaces", "interfaces queues", "interfaces books", "ip route", "log", "memory")
# One route alone changes the FIB in place, two in one commit make it anew, as does a file.
CHANGES6 = (f"ipv6 route 2001:db8:9::/48 gateway {H2}", "clear ipv6 neighbors", "interface eth1 mtu 1400",
            "clear counters", "ipv6 route file table", f"ipv6 route 2001:db8:9:8000::/49 gateway {H2}",
            "ipv6 eth1 address 2001:db8:3::1/64", "ipv6 eth0 ra on", f"ipv6 route ::/0 gateway {H2}",
            "ipv6 eth0 address auto", "ipv6 eth1 proxy 2001:db8:4::/64",
            "no interface eth1 mtu", "load ipv6 routes table", "clear ipv6 neighbors",
            "no ipv6 eth1 address 2001:db8:3::1/64", "no ipv6 eth0 ra on",
            "no ipv6 eth0 address auto", "no ipv6 eth1 proxy 2001:db8:4::/64",
            f"no ipv6 route 2001:db8:9:8000::/49 gateway {H2}", "no ipv6 route file table",
            f"no ipv6 route 2001:db8:9::/48 gateway {H2}", f"no ipv6 route ::/0 gateway {H2}")
QUESTIONS6 = ("ipv6 neighbors", "ipv6 interfaces", "ipv6 route", "ipv6 route summary", "cores", "drops", "interfaces books",
              "log", "memory")
# Of either family; of all shapes that code has, judged on arrival and on leaving, with and without a log.
FILTERS = ("filter 10 pass proto icmp type {echo} log", "filter {bad}", "filter set bad {bad}",
           "filter 20 reject src set bad proto tcp", "filter 30 drop proto udp out eth1 log", "filter default drop",
           "filter jit flash", "filter 5 pass proto tcp", "filter jit verify 1000", "filter jit off",
           "filter 6 drop src {bad} flags S!A", "filter jit on", "filter set bad file {family}")
NO_FILTERS = ("clear counters filter", "no {family} filter 20", "no {family} filter set bad", "no {family} filter 30",
              "no {family} filter default", "no {family} filter 5", "no {family} filter 6", "no {family} filter 10")
QUESTIONS_FILTERS = ("ip filter", "ipv6 filter", "ip filter sort hits", "log", "drops", "interfaces books", "cores",
                     "memory")
ROUTES6 = "".join(f"2001:db8:{net:x}::/48 {H2}\n" for net in range(0x1000, 0x1400))


def change_and_ask(router, changes, questions):
    for change in changes:
        router.configure(change)
        for question in questions:
            expect("error: " not in router.command(f"show {question}"), question)


def expect_no_races(h1, router, h2):
    """After some TCP, and after a link was down."""
    iperf(h1, h2, "--time", "1", "--parallel", "4")
    for state in ("down", "up"):
        h2.ip("link", "set", "eth0", state)
        wait_until(lambda wish=state: router.interface("eth1")["link"] == wish, 10, f"eth1 to be {state}")
    races = router.races()
    expect(not races, races)


@matrix(cores=[2, 4])
def test_cores_do_not_race(cores):
    with Lab() as lab:
        router = lab.process_router(cores=cores, config=CONFIG, watch_races=True)
        h1 = lab.host("h1", "10.1.0.2/24", gateway="10.1.0.1", tap=router.tap(0))
        h2 = lab.host("h2", "10.2.0.2/24", gateway="10.2.0.1", tap=router.tap(1))
        for port in ("eth0", "eth1"):
            wait_until(lambda name=port: router.interface(name)["link"] == "up", 10, f"link of {port}")
        h1.expect_ping("10.2.0.2", size=4000)
        flood = ("ping", "-n", "-q", "-i", "0.002", "-s", "3000")
        h1.start(*flood, "10.2.0.2")
        h2.start(*flood, "10.1.0.1")
        h1.start(*flood, "10.9.0.1")
        change_and_ask(router, CHANGES, QUESTIONS)
        expect_no_races(h1, router, h2)


@matrix(cores=[2, 4])
def test_cores_do_not_race_over_filters(cores):
    changes = []
    for family, bad, echo in (("ip", "192.0.2.0/24", 8), ("ipv6", "2001:db8:bad::/48", 128)):
        words = {"family": family, "bad": bad, "echo": echo}
        changes += [f"{family} {change}".format(**words) for change in FILTERS]
        changes += [change.format(**words) for change in NO_FILTERS]
    with Lab() as lab:
        router = lab.process_router(cores=cores, config=CONFIG_BOTH, watch_races=True,
                                    files={"ip": "198.51.100.0/24\n", "ipv6": "2001:db8:dad::/48\n"})
        h1, h2 = (lab.host(f"h{net}", f"10.{net}.0.2/24", gateway=f"10.{net}.0.1", tap=router.tap(net - 1))
                  for net in (1, 2))
        for port in ("eth0", "eth1"):
            wait_until(lambda name=port: router.interface(name)["link"] == "up", 10, f"link of {port}")
        give_ipv6(h1, h2)
        h1.ip("address", "add", "192.0.2.9/24", "dev", "eth0")
        flood = ("ping", "-n", "-q", "-i", "0.002", "-s", "600")
        for source, words in ((h1, ("10.2.0.2",)), (h2, ("10.1.0.1",)), (h1, ("-I", "192.0.2.9", "10.2.0.2")),
                              (h1, ("fd02::2",)), (h2, ("fd01::2",)), (h2, ("fd02::1",))):
            source.start(*flood, *words)
        change_and_ask(router, changes, QUESTIONS_FILTERS)
        expect_no_races(h1, router, h2)


@matrix(cores=[2, 4])
def test_cores_do_not_race_over_ipv6(cores):
    with Lab() as lab:
        router = lab.process_router(cores=cores, config=CONFIG6, files={"table": ROUTES6}, watch_races=True)
        h1 = lab.host("h1", f"{H1}/64", gateway=ROUTER, tap=router.tap(0))
        h2 = lab.host("h2", f"{H2}/64", gateway="2001:db8:2::1", tap=router.tap(1))
        wait_until(lambda: states(router) == {"valid"}, 15, "the router's addresses to become valid")
        wait_until(lambda: h1.ping(H2, count=1), 10, "h1 to reach h2")
        h1.expect_ping(H2, size=4000)
        flood = ("ping", "-n", "-q", "-i", "0.002", "-s", "1200")
        for source, target in ((h1, H2), (h2, ROUTER), (h1, "2001:db8:9::1"), (h1, "2001:db8:1234::1"),
                               (h1, "2001:db8:2::77")):
            source.start(*flood, target)
        change_and_ask(router, CHANGES6, QUESTIONS6)
        expect_no_races(h1, router, h2)
