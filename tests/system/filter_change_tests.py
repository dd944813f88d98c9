"""Goal: while filters change and are compiled, packets go on through all cores, none is judged wrong and none is lost.
Method: two streams of UDP, of which one rule passes and another one drops all, while the console changes other rules as
fast as it can, or sets of many prefixes; then every packet of both is accounted for: numbered packets by flows.c, the
others by the rule's hits, the drops, and what the host's own tap has not taken."""
import json
import os
import time

from attack_tests import CONFIG, dropped_by_tap, give_ipv6, two_sided
from cases import matrix
from filter_tests import filters
from lab import DEBUG_KERNEL, FLOWS, KERNEL, Lab, expect, expect_equal, wait_until
from queue_tests import FLOW_COUNT, FLOW_LIMIT_S, in_ipv6_form

CORES = 4
PACKETS = 2_000_000 if os.environ.get("SOAK") else 200_000
PASS, DROP = 60000, 60001    # numbers of the rules that stay
DROPPED_PACKETS = PACKETS // 5

# Family -> the address that packets to be dropped come from, where all go, and a host of many.
ENDS = {"ip": ("10.1.0.99", "10.2.0.2", "198.51.{}.{}"), "ipv6": ("fd01::99", "fd02::2", "2001:db8:{:x}::{:x}")}
LENGTHS = {"ip": (24, 32), "ipv6": (64, 128)}

# From many ports, so that all queues get some.
SEND = """import socket, sys, time
source, target, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in target else socket.AF_INET
sockets = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(64)]
for each in sockets:
    each.bind((source, 0))
    each.connect((target, 9))
for number in range(count):
    sockets[number % 64].send(b"drop me")
    if number % 32 == 31:
        time.sleep(0.003)
print(count)
"""


def qemu(lab, kernel=KERNEL):
    return two_sided(lab, "virtio-net", kernel, CONFIG, CORES)


def debug(lab):
    """Which finds what is used after it was freed."""
    return qemu(lab, DEBUG_KERNEL)


def process(lab):
    """The same with the router as a process: quicker, and its console much quicker than a serial port."""
    router = lab.process_router(cores=CORES, config=CONFIG)
    h1, h2 = (lab.host(f"h{net}", f"10.{net}.0.2/24", gateway=f"10.{net}.0.1", tap=router.tap(net - 1)) for net in (1, 2))
    for port in ("eth0", "eth1"):
        wait_until(lambda name=port: router.interface(name)["link"] == "up", 10, f"link of {port}")
    give_ipv6(h1, h2)
    return h1, router, h2


def pass_flows(h1, h2, target):
    output = h1.lab.run_program(FLOWS, h1.namespace, h2.namespace, in_ipv6_form(target), FLOW_COUNT, PACKETS,
                                limit_s=FLOW_LIMIT_S)
    return json.loads(output)


def send_dropped(h1, source, target):
    return int(h1.run("/usr/bin/python3", "-c", SEND, source, target, str(DROPPED_PACKETS), limit_s=FLOW_LIMIT_S))


def keep_rules(h1, router, h2, family, dropped="proto udp", passed="dst {}/{} proto udp dport 5001"):
    """Those that pass the one stream and drop the other; all that neither knows is dropped as well."""
    source, target, _ = ENDS[family]
    length = LENGTHS[family][1]
    # Deprecated, so that nobody takes it who is not told to.
    h1.ip("address", "add", f"{source}/{LENGTHS[family][0]}", "dev", "eth0",
          *(["nodad", "preferred_lft", "0"] if family == "ipv6" else []))
    h1.expect_ping(target)
    h2.expect_ping(source)
    router.configure(f"{family} filter {DROP} drop src {source}/{length} {dropped}",
                     f"{family} filter {PASS} pass {passed.format(target, length)}",
                     f"{family} filter default drop")


def change_under_traffic(lab, h1, router, h2, family, change):
    """change(round) again and again, until both streams are over. How often, and in how many seconds."""
    source, target, _ = ENDS[family]
    dropped_before, lost_before, rounds, start_s = router.drops().get("filter", 0), dropped_by_tap(h1), 0, time.monotonic()
    dropped = lab.in_background(send_dropped, h1, source, target)
    passed = lab.in_background(pass_flows, h1, h2, target)
    while passed.running or dropped.running:
        change(rounds)
        rounds += 1
    seconds = time.monotonic() - start_s
    report = passed.result
    expect_equal([report[key] for key in ("sent", "received", "lost", "reordered", "foreign")], [PACKETS, PACKETS, 0, 0, 0],
                 f"packets to be passed: sent, received, lost, out of order, not ours; router: {router.drops()}")
    came = dropped.result - (dropped_by_tap(h1) - lost_before)
    wait_until(lambda: filters(router, family)[DROP]["packets"] >= came, 10, f"{came} packets to be dropped")
    entries = filters(router, family)
    expect_equal([entries[PASS]["packets"], entries[DROP]["packets"]], [PACKETS, came], "what the two rules have counted")
    # The host's own chatter is dropped by default.
    expect(router.drops()["filter"] - dropped_before >= came, "drops:", router.drops())
    return rounds, seconds


def changes(family, number):
    """Statements each of which makes filters anew, before and behind the rules that stay, in all shapes that code has,
    and in none."""
    def host(index):
        return f"{ENDS[family][2].format(number % 250, index)}/{LENGTHS[family][1]}"
    return [
        *[f"{family} filter {100 + index} drop src {host(index)}" for index in range(8)],
        f"{family} filter 90 drop proto tcp dport {number % 1000 + 1} src {host(20)}",
        *[f"{family} filter {61000 + index} reject dst {host(index)} proto icmp" for index in range(4)],
        f"{family} filter set bad {host(30)}",
        f"{family} filter 91 drop src set bad",
        f"{family} filter jit off",
        f"no {family} filter 102",
        f"{family} filter jit on",
        f"no {family} filter 91",
        f"no {family} filter set bad {host(30)}",
        f"no {family} filter 90",
        f"{family} filter 91 drop in eth1 src {host(40)}",
        f"{family} filter 92 drop out eth0 src {host(41)}",
        f"no {family} filter 91",
        f"no {family} filter 92",
    ]


@matrix(family=["ip", "ipv6"], machine=["qemu", "debug", "process"])
def test_filters_change_as_fast_as_the_console_can(family, machine):
    with Lab() as lab:
        h1, router, h2 = {"qemu": qemu, "debug": debug, "process": process}[machine](lab)
        keep_rules(h1, router, h2, family)

        def change(number):
            answer = router.paste(*changes(family, number))
            expect("error: " not in answer, answer)
        generation = router.show(f"{family} filter")["jit"]["generation"]
        rounds, seconds = change_under_traffic(lab, h1, router, h2, family, change)
        commits = rounds * len(changes(family, 0))
        expect_equal(router.show(f"{family} filter")["jit"]["generation"] - generation, commits, "generations of filters")
        print(f"{commits} commits, {commits / seconds:.0f} a second")


test_filters_change_as_fast_as_the_console_can.limit_s = 300


def prefixes(family, count, second):
    """A file of that many, none touching another, none about anybody here, and one that is about the stream to drop."""
    if family == "ip":
        lines = [f"{100 + i // 32768}.{i // 128 % 256}.{i % 128 * 2 + second}.0/24" for i in range(count)]
    else:
        lines = [f"2a00:{i // 32768:x}:{i % 32768 * 2 + second:x}::/48" for i in range(count)]
    return "\n".join([*lines, ENDS[family][0]]) + "\n"


@matrix(family=["ip", "ipv6"], cores=[1, CORES], count=[10000, 100000])
def test_sets_are_compiled_while_packets_go_on(family, cores, count):
    """One of two files after the other, so that each commit is another set. With one core, it compiles between packets.
    All is about sources, so that there is code for so many of them."""
    with Lab() as lab:
        files = {name: prefixes(family, count, second) for second, name in enumerate(("even", "odd"))}
        h1, router, h2 = two_sided(lab, "virtio-net", KERNEL, CONFIG, cores, files=files)
        own = {"ip": "10.1.0.2/32", "ipv6": "fd01::2/128"}[family]
        keep_rules(h1, router, h2, family, dropped="", passed=f"src {own}")
        # What it asks of its neighbors comes from there, too, and so is dropped.
        h1.ip("neighbor", "replace", h1.gateway if family == "ip" else "fd01::1", "lladdr",
              router.interface("eth0")["mac"], "dev", "eth0")
        router.configure(f"{family} filter set bad file odd", f"{family} filter 61000 drop src set bad")

        def change(number):
            old, new = ("odd", "even") if number % 2 == 0 else ("even", "odd")
            answer = router.paste("configure", f"no {family} filter set bad file {old}",
                                  f"{family} filter set bad file {new}", "commit and-quit")
            expect("commit complete: 2 lines changed" in answer, answer)
        rounds, seconds = change_under_traffic(lab, h1, router, h2, family, change)
        jit, cores_now = router.show(f"{family} filter")["jit"], router.show("cores")["cores"]
        print(f"{rounds} sets of {count} in {seconds:.1f} s; {jit}, "
              f"longest slices {[core['longest_slice_us'] for core in cores_now]} us")
        expect(jit["state"] == "on", "no code:", jit)


test_sets_are_compiled_while_packets_go_on.limit_s = 300
