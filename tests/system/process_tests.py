"""Goal: the router as a Linux process is the same router. Method: build/host/tsuji on taps between two Linux hosts, one
and two cores (threads); the console on its terminal."""
from cases import matrix
from forwarding_tests import CONFIG, iperf
from lab import Lab, expect, expect_equal, wait_until


def two_sided(lab, cores):
    """h1 10.1.0.2 - eth0 router eth1 - h2 10.2.0.2, links up."""
    router = lab.process_router(cores=cores, config=CONFIG)
    h1 = lab.host("h1", "10.1.0.2/24", gateway="10.1.0.1", tap=router.tap(0))
    h2 = lab.host("h2", "10.2.0.2/24", gateway="10.2.0.1", tap=router.tap(1))
    for port in ("eth0", "eth1"):
        wait_until(lambda name=port: router.interface(name)["link"] == "up", 10, f"link of {port}")
    return h1, router, h2


@matrix(cores=[1, 2])
def test_process_forwards_between_hosts(cores):
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, cores)
        expect_equal(router.show("version")["platform"], "process", "platform")
        h1.expect_ping("10.2.0.2", size=4000)
        h2.expect_ping("10.1.0.1")
        report = iperf(h1, h2, "--time", "2")
        expect(report["end"]["sum_received"]["bytes"] > 0, "iperf3 moved nothing")
        expect("10.1.0.1" in h1.run("traceroute", "-n", "-w", "2", "10.2.0.2"), "the router is no hop")


def test_process_sees_its_link_go_down():
    with Lab() as lab:
        h1, router, _ = two_sided(lab, 1)
        h1.ip("link", "set", "eth0", "down")
        wait_until(lambda: router.interface("eth0")["link"] == "down", 10, "eth0 to go down")
        h1.ip("link", "set", "eth0", "up")
        h1.ip("route", "add", "default", "via", "10.1.0.1")
        wait_until(lambda: router.interface("eth0")["link"] == "up", 10, "eth0 to come up")
        h1.expect_ping("10.2.0.2")
