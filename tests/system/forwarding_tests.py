"""Goal: IPv4 packets of real hosts go through and to the router as RFC 1812 wants it, over each kind of card and with
one, two and four cores. Method: Linux hosts in namespaces on both sides; ping, traceroute, mtr, iperf3, arping."""
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from cases import matrix
from lab import Lab, expect, expect_equal, wait_until

CARDS = ["virtio-net", "e1000"]
ALL_CARDS = [*CARDS, "e1000e", "igb"]
CORES = [1, 2, 4]
EVERYWHERE = {"nic": CARDS, "cores": CORES}
CONFIG = """system name lab
ip eth0 address 10.1.0.1/24
ip eth1 address 10.2.0.1/24
"""
REACHABLE_S = 30          # as long as a neighbor is believed, RFC 4861's ReachableTime


def two_sided(lab, nic="virtio-net", cores=1, config=CONFIG, mtu2=1500, queue_count=None, polled=False, **more):
    """h1 10.1.0.2 - eth0 router eth1 - h2 10.2.0.2, links up."""
    queue_count = queue_count or (cores if nic.startswith("virtio") else 1)
    h1 = lab.host("h1", "10.1.0.2/24", gateway="10.1.0.1", queue_count=queue_count)
    h2 = lab.host("h2", "10.2.0.2/24", gateway="10.2.0.1", queue_count=queue_count, mtu=mtu2)
    router = lab.router([h1, h2], nic=nic, cores=cores, config=config, **more)
    for port in ("eth0", "eth1"):
        wait_until(lambda name=port: router.interface(name)["link"] == "up", 10, f"link of {port}")
        expect_equal(router.interface(port)["polled"], polled, f"{port} is polled")
    # QEMU's e1000 takes no frame in the first second after its receiver was enabled (flush_queue_timer).
    for host in (h1, h2):
        wait_until(lambda host=host: host.ping(host.gateway, count=1), 10, f"{host.name} to reach its gateway")
    return h1, router, h2


def iperf(client, server, *options, limit_s=30):
    """iperf3's report of a run from client to server, as JSON."""
    server.start("iperf3", "--server", "--one-off", "--forceflush", ready="Server listening")
    output = client.run("iperf3", "--client", server.address, "--json", *options, limit_s=limit_s)
    return json.loads(output)


@matrix(nic=ALL_CARDS, cores=CORES)
def test_ping_through_both_ways_and_router(nic, cores):
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, cores)
        h1.expect_ping("10.2.0.2", count=5)
        h2.expect_ping("10.1.0.2", count=5)
        for address in ("10.1.0.1", "10.2.0.1"):
            h1.expect_ping(address)
            h2.expect_ping(address)
        # Fragments, through and to ourselves.
        h1.expect_ping("10.2.0.2", size=4000)
        h1.expect_ping("10.1.0.1", size=4000)
        for size in (0, 1, 17, 18, 19, 1471, 1472):
            h1.expect_ping("10.2.0.2", count=1, size=size)
        expect(router.interface("eth0")["rx_packets"] > 0, "eth0 counted nothing")


@matrix(nic=CARDS + ["e1000-82545em"])
def test_router_pings_and_traces(nic):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, 2)
        answer = router.command("ping 10.2.0.2 count 3", limit_s=20)
        expect(re.search(r"^received +3$", answer, re.MULTILINE), f"ping said:\n{answer}")
        answer = router.command("traceroute 10.1.0.2", limit_s=30)
        expect(h1.address in answer, f"traceroute said:\n{answer}")


@matrix(interrupts=["pin", "none"])
def test_card_without_message_signals(interrupts):
    """virtio-net then has its pin. Without a control queue either nothing can be asked of the card that would make it
    raise the pin, so whether it arrives cannot be known: it is polled, and says so."""
    nic = "virtio-net-pci,vectors=0" + (",ctrl_vq=off" if interrupts == "none" else "")
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, 1, polled=interrupts == "none")
        h1.expect_ping("10.2.0.2")
        h2.expect_ping("10.1.0.2")
        polled = re.findall(r"no interrupt reaches us, so it is polled", router.command("show log"))
        expect_equal(len(polled), 2 if interrupts == "none" else 0, "cards that are polled")


@matrix(**EVERYWHERE)
def test_traceroute_and_mtr_show_the_router(nic, cores):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, cores)
        # traceroute sends 16 probes at once: more than wait for an unresolved neighbor.
        h1.expect_ping("10.2.0.2")
        for kind in ([], ["-I"]):
            output = h1.run("traceroute", "-n", "-q", "1", "-w", "2", *kind, "10.2.0.2")
            hops = re.findall(r"^\s*\d+\s+(\S+)", output, re.MULTILINE)
            expect_equal(hops, ["10.1.0.1", "10.2.0.2"], f"hops of traceroute {kind}")
        report = json.loads(h1.run("mtr", "-n", "-c", "3", "-i", "0.3", "--json", "10.2.0.2", limit_s=30))
        hops = [hub["host"] for hub in report["report"]["hubs"]]
        expect_equal(hops, ["10.1.0.1", "10.2.0.2"], "hops of mtr")
        expect(router.drops().get("ttl-expired", 0) > 0, "no drop with the reason ttl-expired")


@matrix(**EVERYWHERE)
def test_iperf3_tcp_through(nic, cores):
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, cores)
        for client, server in ((h1, h2), (h2, h1)):
            report = iperf(client, server, "--time", "2", "--parallel", "4")
            rate = report["end"]["sum_received"]["bits_per_second"]
            print(f"{client.name} to {server.name}: {rate / 1e6:.0f} Mbit/s")
            expect(rate > 10e6, f"only {rate / 1e6:.1f} Mbit/s")
        expect(router.running, "the router is gone")


def ip_octets(host):
    """What reached the host, whoever reads it: a loaded machine lets iperf3's socket overflow, or end with some in it."""
    if host.family == "-6":
        counters = dict(line.split() for line in host.run("cat", "/proc/net/snmp6").splitlines())
        return int(counters["Ip6InOctets"])
    names, values = [line.split()[1:] for line in host.run("cat", "/proc/net/netstat").splitlines()
                     if line.startswith("IpExt:")]
    return int(dict(zip(names, values))["InOctets"])


def lost_outside(source, router, target):
    """Frames that the hosts' taps or the cards had no room for."""
    statistics = "/sys/class/net/eth0/statistics"
    taps = source.run("cat", f"{statistics}/tx_dropped") + target.run("cat", f"{statistics}/rx_dropped")
    backlog = sum(int(line.split()[1], 16) for line in target.run("cat", "/proc/net/softnet_stat").splitlines())
    return (sum(map(int, taps.split())) + backlog + router.interface("eth0")["rx_no_buffer"] +
            router.interface("eth1")["tx_dropped"])


def expect_udp(h1, router, h2, seconds):
    """Datagrams from h1 to h2, and none is lost."""
    length, headers = 1200, 48 if h2.family == "-6" else 28
    before, lost_before = ip_octets(h2), lost_outside(h1, router, h2)
    report = iperf(h1, h2, "--udp", "--bitrate", "5M", "--length", str(length), "--time", str(seconds))
    # Those of iperf3's connection are among them, but few.
    sent, arrived = report["end"]["sum"]["packets"], (ip_octets(h2) - before) // (length + headers)
    # A machine with more to do than processors lets a virtual one stand still until rings and taps overflow.
    lost = lost_outside(h1, router, h2) - lost_before
    expect(arrived >= sent - lost, f"{sent} sent, {arrived} arrived, {lost} lost before or behind the router")


@matrix(**EVERYWHERE)
def test_iperf3_udp_through(nic, cores):
    with Lab() as lab:
        expect_udp(*two_sided(lab, nic, cores), 2)


@matrix(nic=ALL_CARDS)
def test_path_mtu_1500_into_1400(nic):
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, 1, CONFIG + "interface eth1 mtu 1400\n", mtu2=1400)
        # With DF: the first answers "fragmentation needed, MTU 1400", nothing passes.
        output = h1.run("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1472", "10.2.0.2", check=False)
        expect(re.search(r"mtu ?= ?1400", output), f"no MTU in what ping says:\n{output}")
        expect(router.drops().get("fragment-needed", 0) + router.drops().get("fragmentation-needed", 0) > 0,
               "no drop for it:", router.drops())
        expect("mtu 1400" in h1.ip("route", "get", "10.2.0.2"), "the host has not learned the MTU")
        h1.expect_ping("10.2.0.2", size=1372, df=True)
        # Without DF: the router fragments. The learned MTU would do it at the host, so it is forgotten.
        h1.ip("route", "flush", "cache")
        h1.expect_ping("10.2.0.2", size=1472, df=False)
        # TCP finds its way.
        rate = iperf(h1, h2, "--time", "1")["end"]["sum_received"]["bits_per_second"]
        expect(rate > 1e6, f"TCP over the narrow link: {rate / 1e6:.2f} Mbit/s")


@matrix(nic=CARDS)
def test_arp_resolves_again_after_expiry(nic):
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, 2)
        h1.expect_ping("10.2.0.2")

        def state():
            return {entry["address"]: entry for entry in router.show("arp")["neighbors"]}
        # Learned from its own request it is stale; used, it is asked after some seconds.
        wait_until(lambda: state()["10.2.0.2"]["state"] == "reachable", 15, "the entry to be confirmed")
        wait_until(lambda: state().get("10.2.0.2", {"state": "gone"})["state"] != "reachable",
                   REACHABLE_S * 2, "the entry to grow old")
        # Now there is another card behind the address, which does not tell it by questions of its own.
        h2.ip("neighbor", "replace", "10.2.0.1", "lladdr", router.interface("eth1")["mac"], "dev", "eth0", "nud",
              "permanent")
        h2.ip("link", "set", "eth0", "address", "02:00:00:00:00:77")
        wait_until(lambda: h1.ping("10.2.0.2", count=1, options=("-w", "1")), 30, "the other card to be found")
        entry = state()["10.2.0.2"]
        expect_equal((entry["mac"], entry["state"]), ("02:00:00:00:00:77", "reachable"), "MAC address and state")


def test_arp_of_an_absent_host_gives_host_unreachable():
    with Lab() as lab:
        h1, router, _ = two_sided(lab)
        output = h1.run("ping", "-n", "-c", "2", "-W", "6", "10.2.0.99", limit_s=30, check=False)
        expect("Destination Host Unreachable" in output, f"ping said:\n{output}")
        expect(router.drops().get("neighbor-failed", 0) > 0, "drops:", router.drops())


def test_address_is_announced_twice():
    """Seen by a host that listens before the router boots."""
    with Lab() as lab:
        h1 = lab.host("h1", "10.1.0.2/24")
        folder = Path(tempfile.mkdtemp(prefix=f"tsuji-capture-{os.getpid()}-"))
        lab.undo.callback(shutil.rmtree, folder, True)
        capture = str(folder / "arp.pcap")
        h1.start("tcpdump", "-Z", "root", "-U", "-i", "eth0", "-w", capture, "arp", ready="listening on")
        lab.router([h1], config="ip eth0 address 10.1.0.1/24\n")

        def announcements():
            words = h1.run("tcpdump", "-Z", "root", "-n", "-e", "-r", capture, check=False)
            return re.findall(r"> ff:ff:ff:ff:ff:ff, .* who-has 10\.1\.0\.1 tell 10\.1\.0\.1,", words)

        wait_until(lambda: len(announcements()) == 2, 10, "two announcements")


def test_conflict_is_reported():
    with Lab() as lab:
        h1, router, _ = two_sided(lab)
        h1.ip("address", "add", "10.1.0.1/32", "dev", "eth0")
        h1.run("arping", "-c", "2", "-U", "-I", "eth0", "-s", "10.1.0.1", "10.1.0.1", check=False)
        log = wait_until(lambda: re.search(r".*(conflict|also).*", router.command("show log")), 5, "conflict in the log")
        expect("10.1.0.1" in log.group(0), "the log does not name the address")


@matrix(nic=ALL_CARDS)
def test_link_down_and_up(nic):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, 2)
        h1.expect_ping("10.2.0.2")
        router.set_link(1, False)
        wait_until(lambda: router.interface("eth1")["link"] == "down", 5, "link down")
        routes = {route["prefix"]: route["active"] for route in router.show("ip route")["routes"]}
        expect_equal(routes["10.2.0.0/24"], False, "route through the dead port is active")
        expect_equal(h1.ping("10.2.0.2", count=1), 0, "answers over a dead link")
        router.set_link(1, True)
        wait_until(lambda: router.interface("eth1")["link"] == "up", 5, "link up")
        wait_until(lambda: h1.ping("10.2.0.2", count=1) == 1, 15, "traffic after the link came back")


@matrix(nic=CARDS)
def test_interface_down_and_up_by_statement(nic):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, 2)
        h1.expect_ping("10.2.0.2")
        router.configure("interface eth1 down")
        expect_equal(router.interface("eth1")["admin"], "down")
        expect_equal(h1.ping("10.2.0.2", count=1), 0, "answers through a port that is off")
        router.configure("interface eth1 up")
        wait_until(lambda: h1.ping("10.2.0.2", count=1) == 1, 15, "traffic after the port came back")


def test_routes_blackhole_reject_and_gateway():
    with Lab() as lab:
        h1, router, h2 = two_sided(lab)
        h2.ip("address", "add", "198.51.100.1/24", "dev", "lo")
        output = h1.run("ping", "-n", "-c", "1", "-W", "2", "198.51.100.1", check=False)
        expect("Net Unreachable" in output, f"without a route ping said:\n{output}")
        router.configure("ip route 198.51.100.0/24 gateway 10.2.0.2")
        h1.expect_ping("198.51.100.1")
        router.configure("ip route 198.51.100.1/32 reject")
        output = h1.run("ping", "-n", "-c", "1", "-W", "2", "198.51.100.1", check=False)
        expect("Unreachable" in output or "prohibited" in output or "filtered" in output,
               f"with a reject route ping said:\n{output}")
        router.configure("no ip route 198.51.100.1/32 reject", "ip route 198.51.100.1/32 blackhole")
        output = h1.run("ping", "-n", "-c", "1", "-W", "2", "198.51.100.1", check=False)
        expect("Unreachable" not in output and "1 received" not in output, f"a black hole answered:\n{output}")
        expect(router.drops().get("blackhole", 0) > 0, "drops:", router.drops())


def test_closed_udp_port_of_the_router_is_unreachable():
    with Lab() as lab:
        h1, router, _ = two_sided(lab)
        h1.run("traceroute", "-n", "-q", "1", "-w", "2", "10.1.0.1")
        expect(router.drops().get("udp-port-unreachable", 0) > 0, "drops:", router.drops())


def test_bad_headers_are_counted_by_reason():
    """Sent by scapy from the host's side: what must die, and as what."""
    packets = {
        "bad-ipv4-checksum": "IP(dst='10.2.0.2', chksum=1)/ICMP()",
        "bad-ipv4-header": "IP(dst='10.2.0.2', ihl=4)/ICMP()",
        "truncated": "IP(dst='10.2.0.2', len=900)/ICMP()",
        "martian-source": "IP(dst='10.2.0.2', src='127.0.0.1')/ICMP()",
        "ttl-expired": "IP(dst='10.2.0.2', ttl=1)/ICMP()",
        "no-route": "IP(dst='203.0.113.9')/ICMP()",
        "source-route": "IP(dst='10.2.0.2', options=[IPOption(bytes([0x83,7,4,10,9,0,1]))])/ICMP()",
    }
    with Lab() as lab:
        h1, router, _ = two_sided(lab)
        mac = router.interface("eth0")["mac"]
        for reason, packet in packets.items():
            before = router.drops().get(reason, 0)
            script = "from scapy.all import *; conf.verb=0; " \
                     f"sendp(Ether(dst='{mac}')/{packet}/('x'*40), iface='eth0', count=3)"
            h1.run("/usr/bin/python3", "-c", script, limit_s=30)
            wait_until(lambda: router.drops().get(reason, 0) >= before + 3, 5, f"three drops as {reason}")
        h1.expect_ping("10.2.0.2")


@matrix(nic=ALL_CARDS)
def test_flood_at_the_router_leaks_nothing(nic):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, 2)
        h1.expect_ping("10.2.0.2")
        for address in ("10.1.0.1", "10.2.0.2"):
            h1.run("ping", "-q", "-f", "-c", "3000", "-W", "1", address, limit_s=60, check=False)
        wait_until(lambda: router.packets_out() == 0, 10, "all packets to be back")
        h1.expect_ping("10.2.0.2")


@matrix(nic=ALL_CARDS)
def test_mac_address_by_configuration(nic):
    """A card takes another address at the boot and in service, and its neighbors follow at once."""
    first, second = "02:00:00:00:00:11", "02:00:00:00:00:12"
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, 2, config=CONFIG + f"interface eth0 mac {first}\n")

        def neighbor():
            return h1.ip("neighbor", "show", "10.1.0.1")

        h1.expect_ping("10.2.0.2")
        expect(first in neighbor(), "h1 knows:", neighbor())
        router.configure(f"interface eth0 mac {second}")
        wait_until(lambda: second in neighbor(), 5, f"h1 to learn {second}")
        h1.expect_ping("10.2.0.2")
        router.configure("no interface eth0 mac")
        wait_until(lambda: "52:54:00:00:00:01" in neighbor(), 5, "h1 to learn the card's own address")
        h1.expect_ping("10.2.0.2")
