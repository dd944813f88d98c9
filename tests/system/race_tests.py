"""Goal: no core reads what another writes without an order between them. Method: the router as a process, built with
ThreadSanitizer, forwards on two cores while an operator changes and looks at everything. It finds every such pair of
accesses that happens, not only those that do harm; so two seconds of traffic are enough."""
from cases import matrix
from forwarding_tests import CONFIG, iperf
from lab import Lab, expect, wait_until

CHANGES = ("ip route 10.9.0.0/16 gateway 10.2.0.2", "clear arp", "interface eth1 mtu 1400", "clear counters",
           "no ip route 10.9.0.0/16 gateway 10.2.0.2", "ip eth1 address 10.3.0.1/24", "no interface eth1 mtu",
           "no ip eth1 address 10.3.0.1/24")
QUESTIONS = ("arp", "cores", "drops", "interfaces", "interfaces queues", "interfaces books", "ip route", "log", "memory")


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
        for change in CHANGES:
            router.configure(change)
            for question in QUESTIONS:
                expect("error: " not in router.command(f"show {question}"), question)
        iperf(h1, h2, "--time", "1", "--parallel", "4")
        h2.ip("link", "set", "eth0", "down")
        wait_until(lambda: router.interface("eth1")["link"] == "down", 10, "eth1 to go down")
        h2.ip("link", "set", "eth0", "up")
        wait_until(lambda: router.interface("eth1")["link"] == "up", 10, "eth1 to come up")
        races = router.races()
        expect(not races, races)
