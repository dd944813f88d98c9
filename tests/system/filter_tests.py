"""Goal: filters typed at the console do to the traffic of real hosts what they say, and are counted. Method: Linux hosts
in namespaces on both sides, with addresses that filters are about; ping, TCP connections, what their kernels make of
resets and of ICMP errors."""
import ipv6_tests
from cases import matrix
from forwarding_tests import two_sided
from lab import Lab, expect, expect_equal, wait_until

# Says what becomes of a connection: "open", or the name of the error.
CONNECT = """import errno, socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])).close()
    print("open")
except TimeoutError:
    print("timeout")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
PORT = "8080"


def connect(host, address, limit_s=5):
    return host.run("/usr/bin/python3", "-c", CONNECT, address, PORT, str(limit_s), limit_s=limit_s + 10).strip()


def serve(host, address):
    host.start("/usr/bin/python3", "-u", "-m", "http.server", "--bind", address, PORT, ready="Serving")


def filters(router, family="ip"):
    """Number -> entry."""
    return {entry["number"]: entry for entry in router.show(f"{family} filter")["filters"]}


def ping_from(host, source, address, count=3):
    """The output of pings that need no answer, 0.2 s apart."""
    return host.run("ping", "-c", str(count), "-i", "0.2", "-W", "1", "-I", source, address, check=False)


def expect_dropped(router, host, source, target, number):
    before = filters(router)[number]["packets"]
    output = ping_from(host, source, target)
    expect(" 0 received" in output, "not dropped:", output)
    entry = filters(router)[number]
    expect_equal(entry["packets"] - before, 3, f"packets that filter {number} has counted")
    expect_equal(entry["bytes"], entry["packets"] * 84, "bytes of pings")


@matrix(nic=["virtio-net", "e1000"], cores=[1, 4])
def test_short_filters_drop_their_sources(nic, cores):
    with Lab() as lab:
        h1, router, _ = two_sided(lab, nic, cores)
        for address in ("192.0.2.9/24", "133.27.4.9/16", "198.51.100.9/24"):
            h1.ip("address", "add", address, "dev", "eth0")
        router.configure("ip filter 192.0.2.0/24", "ip filter 133.27.0.0/16")
        answer = router.command("ip filter jit flash")
        expect("2 filters" in answer and "bytes of code" in answer and " us" in answer, answer)
        expect(" 0 judged otherwise" in router.command("ip filter jit verify 20000"), "the code decides otherwise")
        expect_dropped(router, h1, "192.0.2.9", "10.2.0.2", 100)
        expect_dropped(router, h1, "133.27.4.9", "10.2.0.2", 101)
        expect_dropped(router, h1, "133.27.4.9", "10.1.0.1", 101)   # to the router itself
        expect_equal(router.drops()["filter"], 9, "drops for the reason filter")
        h1.expect_ping("10.2.0.2")
        expect_equal([entry["action"] for entry in filters(router).values()], ["drop", "drop"])
        # Most hits first; what is not used; and what is left when one is gone.
        order = [entry["number"] for entry in router.show("ip filter sort hits")["filters"]]
        expect_equal(order, [101, 100])
        router.configure("ip filter 198.51.100.0/24", "no ip filter 192.0.2.0/24")
        expect_equal([entry["number"] for entry in router.show("ip filter unused")["filters"]], [102])
        expect_equal(filters(router)[101]["packets"], 6, "hits after a commit")
        router.command("clear counters filter")
        expect_equal(filters(router)[101]["packets"], 0)
        document = router.show("ip filter")
        expect_equal((document["default"], document["jit"]["state"]), ("pass", "on"))
        router.configure("ip filter jit off")
        expect_dropped(router, h1, "198.51.100.9", "10.2.0.2", 102)
        expect_equal(router.show("ip filter")["jit"]["state"], "off")


@matrix(nic=["virtio-net", "e1000"])
def test_reject_is_seen_by_the_sender(nic):
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic)
        serve(h2, "10.2.0.2")
        expect_equal(connect(h1, "10.2.0.2"), "open")
        router.configure("ip filter 10 reject dst 10.2.0.0/24 in eth0")
        expect_equal(connect(h1, "10.2.0.2"), "ECONNREFUSED")
        output = ping_from(h1, "10.1.0.2", "10.2.0.2", 1)
        expect("From 10.1.0.1" in output and "Packet filtered" in output, output)
        expect(router.drops()["filter-reject"] >= 2, router.drops())
        router.configure("ip filter 10 drop dst 10.2.0.0/24 proto tcp flags S!A out eth1")
        expect_equal(connect(h1, "10.2.0.2", 2), "timeout")
        h1.expect_ping("10.2.0.2")
        router.configure("no ip filter 10")
        expect_equal(connect(h1, "10.2.0.2"), "open")


@matrix(nic=["virtio-net", "e1000"])
def test_ipv6_filters(nic):
    with Lab() as lab:
        h1, router, h2 = ipv6_tests.two_sided(lab, nic)
        serve(h2, ipv6_tests.H2)
        router.configure(f"ipv6 filter 10 reject dst {ipv6_tests.H2}/128 proto tcp", "ipv6 filter default drop",
                         "ipv6 filter 20 pass src 2001:db8:2::/64")
        expect_equal(connect(h1, ipv6_tests.H2), "ECONNREFUSED")
        output = ping_from(h1, ipv6_tests.H1, ipv6_tests.H2, 2)
        expect(" 0 received" in output, output)
        # Neighbor discovery goes on: the router's own pings, which rules about arriving packets do not concern.
        h1.ip("neighbor", "flush", "dev", "eth0")
        router.configure("ipv6 filter 30 pass proto icmp type 129")
        answer = router.command(f"ping {ipv6_tests.H1} count 1", limit_s=20)
        expect("received" in answer and "reply" in answer, answer)
        router.configure("ipv6 filter 15 reject proto icmp dst 2001:db8:2::/64")
        output = ping_from(h1, ipv6_tests.H1, ipv6_tests.H2, 1)
        expect("prohibited" in output.lower(), output)
        entries = filters(router, "ipv6")
        expect_equal([entries[number]["action"] for number in (10, 15, 20, 30)], ["reject", "reject", "pass", "pass"])
        expect(entries[10]["packets"] >= 1 and entries[30]["packets"] >= 1, entries)
        router.configure("no ipv6 filter default", "no ipv6 filter 10", "no ipv6 filter 15")
        expect_equal(connect(h1, ipv6_tests.H2), "open")


def test_set_of_many_prefixes_from_a_file():
    """100,000 prefixes of which one is the host's."""
    lines = [f"{100 + i // 65536}.{i // 256 % 256}.{i % 256}.0/25" for i in range(100000)]
    with Lab() as lab:
        h1, router, _ = two_sided(lab, files={"bad": "\n".join([*lines, "192.0.2.9/32"]) + "\n"})
        h1.ip("address", "add", "192.0.2.9/24", "dev", "eth0")
        router.configure("ip filter set evil file bad")
        answer = router.command("ip filter 10 drop src set evil", limit_s=60)
        expect("error" not in answer, answer)
        expect_dropped(router, h1, "192.0.2.9", "10.2.0.2", 10)
        h1.expect_ping("10.2.0.2")
        expect_equal(filters(router)[10]["source"], "set evil")
        wait_until(lambda: router.show("ip filter")["jit"]["compile_us"] > 0, 1, "how long it took")
        print(router.show("ip filter")["jit"])
