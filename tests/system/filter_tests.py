"""Goal: filters typed at the console do to the traffic of real hosts what they say, and are counted. Method: Linux hosts
in namespaces on both sides, with addresses that filters are about; ping, TCP connections, what their kernels make of
resets and of ICMP errors."""
import os

import ipv6_tests
from cases import matrix
from forwarding_tests import two_sided
from lab import Lab, expect, expect_equal, wait_until
import process_tests

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
PING_BYTES = {"ip": 84, "ipv6": 104}
VERIFIED = 1_000_000 if os.environ.get("SOAK") else 20_000

# Filters of each shape that code has, about sources alone, few and many about more, and some about the way out.
SHAPES = {
    "intervals": [f"filter {i + 1} drop src {{net{i}}}" for i in range(100)],
    "linear": ["filter 1 drop src {net1} proto tcp flags S!A", "filter 2 reject dst {net2} proto udp dport 53-60",
               "filter 3 pass proto icmp type 8", "filter 4 drop fragment in eth1"],
    "rows": [f"filter {i + 1} drop src {{net{i}}} proto udp dport {i + 1}-{2 * i + 1}" for i in range(100)],
    "way out": ["filter 1 drop src {net1} out eth1", "filter 2 reject proto tcp out eth0", "filter 3 pass dst {net2}"],
}
NETS = {"ip": {f"net{i}": f"10.{i // 8}.{i % 8 * 32}.0/{19 + i % 8}" for i in range(100)},
        "ipv6": {f"net{i}": f"2001:db8:{i // 8:x}:{i % 8 * 32:x}::/{59 + i % 6}" for i in range(100)}}


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


def expect_dropped(router, host, source, target, number, family="ip"):
    before = filters(router, family)[number]["packets"]
    output = ping_from(host, source, target)
    expect(" 0 received" in output, "not dropped:", output)
    entry = filters(router, family)[number]
    expect_equal(entry["packets"] - before, 3, f"packets that filter {number} has counted")
    expect_equal(entry["bytes"], entry["packets"] * PING_BYTES[family], "bytes of pings")


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


@matrix(nic=["virtio-net", "e1000"], cores=[1, 4])
def test_short_ipv6_filters_drop_their_sources(nic, cores):
    """What the hosts ask of their neighbors comes from their first addresses, the others being deprecated."""
    with Lab() as lab:
        h1, router, _ = ipv6_tests.two_sided(lab, nic, cores)
        h1.expect_ping(ipv6_tests.H2)
        for address in ("2001:db8:bad::9/48", "2001:db8:f00d:1::9/64"):
            h1.ip("address", "add", address, "dev", "eth0", "nodad", "preferred_lft", "0")
        h1.ip("neighbor", "replace", ipv6_tests.ROUTER, "lladdr", router.interface("eth0")["mac"], "dev", "eth0")
        router.configure("ipv6 filter 2001:db8:bad::/48", "ipv6 filter 2001:db8:f000::/36")
        answer = router.command("ipv6 filter jit flash")
        expect("2 filters" in answer and "bytes of code" in answer and " us" in answer, answer)
        expect(" 0 judged otherwise" in router.command("ipv6 filter jit verify 20000"), "the code decides otherwise")
        expect_dropped(router, h1, "2001:db8:bad::9", ipv6_tests.H2, 100, "ipv6")
        expect_dropped(router, h1, "2001:db8:f00d:1::9", ipv6_tests.H2, 101, "ipv6")
        expect_dropped(router, h1, "2001:db8:f00d:1::9", ipv6_tests.ROUTER, 101, "ipv6")   # to the router itself
        expect_equal(router.drops()["filter"], 9, "drops for the reason filter")
        h1.expect_ping(ipv6_tests.H2)
        order = [entry["number"] for entry in router.show("ipv6 filter sort hits")["filters"]]
        expect_equal(order, [101, 100])
        router.configure("no ipv6 filter 2001:db8:f000::/36", "ipv6 filter jit off")
        expect_dropped(router, h1, "2001:db8:bad::9", ipv6_tests.H2, 100, "ipv6")
        expect_equal(router.show("ipv6 filter")["jit"]["state"], "off")


def expect_code_right(router, family, vectors):
    """False: this processor has no such vectors."""
    if "this processor has no such vectors" in router.command(f"{family} filter jit on {vectors}"):
        return False
    for shape, statements in SHAPES.items():
        lines = [f"{family} {statement}".format(**NETS[family]) for statement in statements]
        answer = router.paste("configure", *lines, "commit and-quit")
        expect("error: " not in answer and "commit complete" in answer, answer)
        jit = router.show(f"{family} filter")["jit"]
        expect(jit["state"] == "on" and vectors in jit["kind"], f"{shape}: {jit}")
        expect(family == "ipv6" or shape in (jit["kind"].split()[0], "way out"), f"{shape}: {jit}")
        expect_equal(router.command(f"{family} filter jit verify {VERIFIED}", limit_s=300),
                     f"{VERIFIED} packets, 0 judged otherwise than by the interpreter")
        router.paste("configure", *[f"no {line}" for line in lines], "commit and-quit")
    return True


@matrix(cpu=["qemu64", "max", "process"])
def test_code_decides_as_the_interpreter_does(cpu):
    """By all vectors that the processor has: QEMU's have SSE2, and AVX2; where ours has AVX-512, a process does, too."""
    with Lab() as lab:
        router = lab.process_router() if cpu == "process" else lab.router([None, None], cpu=cpu)
        had = {family: [vectors for vectors in ("sse2", "avx2", "avx512") if expect_code_right(router, family, vectors)]
               for family in ("ip", "ipv6")}
        print(had)
        expect_equal(had["ip"], had["ipv6"], "vectors")
        if cpu != "process":
            expect_equal(had["ip"], {"qemu64": ["sse2"], "max": ["sse2", "avx2"]}[cpu], "vectors")


test_code_decides_as_the_interpreter_does.limit_s = 1800 if os.environ.get("SOAK") else 120


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


FEW = ("ip filter 10 drop src 192.0.2.0/24 proto icmp", "ip filter 20 pass src 198.51.100.7/32")


def expect_code(router, kind, *whats):
    """All of the code is read as instructions, without a gap, and the words are among what is said of them."""
    jit = router.show("ip filter")["jit"]
    expect_equal(jit["kind"], kind)
    document = router.show("ip filter code")["arriving"]
    expect_equal((document["kind"], document["code_bytes"]), (kind, jit["code_bytes"]))
    lines = [line for line in document["code"] if line["bytes"]]
    at = 0
    for line in lines:
        expect(int(line["at"], 16) == at and line["instruction"], "no instruction:", line)
        at += len(line["bytes"]) // 2
    expect_equal((at, lines[-1]["instruction"]), (jit["code_bytes"], "ret"))
    for what in whats:
        expect(what in [line["what"] for line in document["code"]], what, "is not said in", document)
    cost = router.show("ip filter code cost")["arriving"]
    expect(cost["cycles"] > 0, "it takes no time:", cost)
    expect_equal(sum(part["bytes"] for part in cost["parts"]), jit["code_bytes"])
    expect(" 0 judged otherwise" in router.command("ip filter jit verify 2000"), "the code decides otherwise")


def test_code_is_shown_for_each_kind_of_vectors():
    """In the kernel, on a processor with AVX2 and without AVX-512."""
    with Lab() as lab:
        h1, router, _ = two_sided(lab, cpu="max")
        h1.ip("address", "add", "192.0.2.9/24", "dev", "eth0")
        router.configure(*FEW)
        for vectors in ("sse2", "avx2"):
            router.configure(f"ip filter jit on {vectors}")
            expect_code(router, f"linear {vectors}", "rule 10: drop src 192.0.2.0/24 proto icmp",
                        "up to 192.0.2.255", "is icmp", "then rule 10", "is 198.51.100.7", "the default: pass")
            expect_dropped(router, h1, "192.0.2.9", "10.2.0.2", 10)
        expect_equal(router.refused("ip filter jit on avx512"), "this processor has no such vectors")
        expect_equal(router.show("ip filter")["jit"]["kind"], "linear avx2")
        hexadecimal = router.command("show ip filter code 20 hex")
        expect("rule 20: pass src 198.51.100.7/32" in hexadecimal and "rule 10" not in hexadecimal, hexadecimal)
        router.configure("ip filter jit off")
        expect("filters are read one by one" in router.command("show ip filter code"), "who decides is not said")


def test_code_of_tables_is_shown_with_what_leads_to_a_rule():
    with Lab() as lab:
        _, router, _ = two_sided(lab)
        router.configure("ip filter jit on sse2", "ip filter 10 drop src 192.0.2.64/26", "ip filter 20 pass src 192.0.2.0/24")
        expect_code(router, "intervals sse2", "source address: which interval, step 1 of 1", "bounds of intervals")
        entries = router.show("ip filter code 20")["arriving"]["entries"]
        expect_equal([(entry["looked_up"], entry["values"]) for entry in entries],
                     [("source address", "192.0.2.0 - 192.0.2.63"), ("source address", "192.0.2.128 - 192.0.2.255")])
        router.configure(*(f"ip filter {100 + i} drop src 10.9.{i}.0/24 proto tcp dport {i}" for i in range(20)))
        expect_code(router, "rows sse2", "packet 0: the rules that all its fields leave", "the rule of that bit")
        entries = router.show("ip filter code 105")["arriving"]["entries"]
        expect_equal([(entry["looked_up"], entry["values"]) for entry in entries],
                     [("source address", "10.9.5.0 - 10.9.5.255"), ("protocol", "tcp"), ("destination port", "5"),
                      ("row of rules", "bit 7")])


def test_rules_that_are_never_reached_are_told_of():
    with Lab() as lab:
        _, router, _ = two_sided(lab)
        router.configure("ip filter 10 drop src 192.0.2.0/24")
        said = "rule 30 is never reached: rule 10 has all of its packets"
        expect(f"note: {said}" in router.command("ip filter 30 pass src 192.0.2.7/32 proto tcp"), "nothing is said")
        expect_equal([entry["shadowed_by"] for entry in filters(router).values()], [None, 10])
        expect("rule 10 has all" in router.command("show ip filter code 30"), "there is code of it")


def test_process_shows_code_for_each_kind_of_vectors():
    """As a process, on whatever this machine has: AVX-512 is in no processor of QEMU."""
    with open("/proc/cpuinfo", encoding="ascii") as file:
        flags = next(line for line in file if line.startswith("flags")).split()
    with Lab() as lab:
        h1, router, _ = process_tests.two_sided(lab, 1)
        h1.expect_ping("10.2.0.2")
        h1.ip("address", "add", "192.0.2.9/24", "dev", "eth0")
        router.configure(*FEW)
        for vectors, flag in (("sse2", "sse2"), ("avx2", "avx2"), ("avx512", "avx512vl")):
            if flag not in flags:
                expect_equal(router.refused(f"ip filter jit on {vectors}"), "this processor has no such vectors")
                continue
            router.configure(f"ip filter jit on {vectors}")
            expect_code(router, f"linear {vectors}", "rule 10: drop src 192.0.2.0/24 proto icmp", "up to 192.0.2.255")
            expect_dropped(router, h1, "192.0.2.9", "10.2.0.2", 10)
