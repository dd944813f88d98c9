"""Goal: whole tables of routes come in from files, as one commit or not at all, and packets go on meanwhile. Method:
the real table of the default-free zone with answers that somebody else has computed; small files with a mistake;
numbered packets while a table is read, over and over, or while routes and links flap."""
import gzip
import os
from pathlib import Path

from cases import Skip, matrix
from forwarding_tests import two_sided
from lab import DEBUG_KERNEL, KERNEL, TREE, Lab, expect, expect_equal
from queue_tests import run_flows

DATA = Path(os.environ.get("TSUJI_DATA", TREE.parent / "shared/data"))
TABLE, LOOKUPS = DATA / "dfz-2023-02-v4.txt.gz", DATA / "dfz-2023-02-v4.lookups.gz"
TABLE6, LOOKUPS6 = DATA / "dfz-2023-02-v6.txt.gz", DATA / "dfz-2023-02-v6.lookups.gz"
NETS = "ip eth0 address 10.1.0.1/24\nip eth1 address 10.2.0.1/24\n"
LOAD_LIMIT_S = 100
PACKETS = 60000


def next_hop(number):
    """The table's next hops have numbers: odd ones are behind eth0, even ones behind eth1; 0 is none."""
    return f"10.{2 - number % 2}.0.{10 + number}" if number else "none"


def next_hop6(number):
    return f"fd00:{2 - number % 2}::{10 + number:x}" if number else "none"


def with_next_hops(path, name=next_hop):
    with gzip.open(path, "rt") as lines:
        for line in lines:
            what, number = line.split()
            yield f"{what} {name(int(number))}\n"


def need_table(path=TABLE):
    if not path.exists():
        raise Skip(f"no routing table: TSUJI_DATA names no folder with {path.name}")


def some_routes(count):
    return "".join(f"{20 + i // 65536}.{i // 256 % 256}.{i % 256}.0/24 {next_hop(1 + i % 60)}\n" for i in range(count))


@matrix(kernel=["release", "debug"], memory_mib=[512, 256])
def test_the_real_table_answers_as_was_computed_elsewhere(kernel, memory_mib):
    need_table()
    with Lab() as lab:
        files = {"full": "".join(with_next_hops(TABLE)), "lookups": "".join(with_next_hops(LOOKUPS))}
        router = lab.router([None, None], cores=2, memory_mib=memory_mib, files=files, wait=False,
                            kernel=KERNEL if kernel == "release" else DEBUG_KERNEL,
                            config=NETS + "ip route file full\n")
        router.wait_ready(limit_s=LOAD_LIMIT_S)
        router.command("terminal length 0")
        routes = files["full"].count("\n")
        summary = router.show("ip route summary")
        expect_equal(summary["routes"], routes + 2, "routes")
        expect(summary["fib_bytes"] <= (48 << 20 if memory_mib > 256 else 20 << 20), f"the FIB is too large: {summary}")
        tags = {tag["tag"]: tag["live_bytes"] for tag in router.show("memory")["tags"]}
        expect(tags["route"] <= 64 << 20, f"the RIB is too large: {tags}")
        check = "load routes full check lookups"
        expect(f"{files['lookups'].count(chr(10))} looked up, 0 differ" in router.command(check, limit_s=LOAD_LIMIT_S),
               "answers of the cores' own table")
        # Once more, beside what is in force; then nothing is left of it.
        before = router.show("memory")["tags"]
        expect(f"{routes} routes in" in router.command("load routes full", limit_s=LOAD_LIMIT_S), "a second reading")
        after = router.show("memory")["tags"]
        for old, new in zip(before, after):
            if old["tag"] in ("route", "fib"):
                expect(new["live_bytes"] <= old["live_bytes"] * 1.01, f"memory grew: {old} {new}")
        expect(f"{files['lookups'].count(chr(10))} looked up, 0 differ" in router.command(check, limit_s=LOAD_LIMIT_S),
               "answers after a second reading")


test_the_real_table_answers_as_was_computed_elsewhere.limit_s = 300


@matrix(kernel=["release", "debug"])
def test_the_real_ipv6_table_answers_as_was_computed_elsewhere(kernel):
    need_table(TABLE6)
    with Lab() as lab:
        files = {"full": "".join(with_next_hops(TABLE6, next_hop6)), "lookups": "".join(with_next_hops(LOOKUPS6, next_hop6))}
        router = lab.router([None, None], cores=2, memory_mib=256, files=files, wait=False,
                            kernel=KERNEL if kernel == "release" else DEBUG_KERNEL,
                            config="ipv6 eth0 address fd00:1::1/64\nipv6 eth1 address fd00:2::1/64\n"
                                   "ipv6 route file full\n")
        router.wait_ready(limit_s=LOAD_LIMIT_S)
        router.command("terminal length 0")
        routes, lookups = (files[name].count("\n") for name in ("full", "lookups"))
        summary = router.show("ipv6 route summary")
        expect_equal(summary["routes"], routes + 2, "routes")
        expect(summary["fib_bytes"] <= 16 << 20, f"the FIB is too large: {summary}")
        for reading in ("first", "second"):
            expect(f"{lookups} looked up, 0 differ" in
                   router.command("load ipv6 routes full check lookups", limit_s=LOAD_LIMIT_S),
                   f"answers after the {reading} reading")
            if reading == "first":
                expect(f"{routes} routes in" in router.command("load ipv6 routes full", limit_s=LOAD_LIMIT_S), "again")


test_the_real_ipv6_table_answers_as_was_computed_elsewhere.limit_s = 300


def test_a_table_that_does_not_fit_leaves_the_old_one_in_force():
    """64 MiB hold the full table once, in the compact form, but not a second one beside it."""
    need_table()
    with Lab() as lab:
        files = {"full": "".join(with_next_hops(TABLE)), "lookups": "".join(with_next_hops(LOOKUPS))}
        router = lab.router([None, None], memory_mib=64, files=files, wait=False, config=NETS + "ip route file full\n")
        router.wait_ready(limit_s=LOAD_LIMIT_S)
        before = router.show("ip route summary")
        expect("out of memory" in router.command("load routes full", limit_s=LOAD_LIMIT_S), "the error")
        expect_equal(router.show("ip route summary"), before, "the table")
        expect(" looked up, 0 differ" in router.command("load routes full check lookups", limit_s=LOAD_LIMIT_S), "answers")


def test_a_file_with_a_bad_line_changes_nothing():
    files = {"good": some_routes(100), "bad": some_routes(5000) + "20.9.0.0/33 10.1.0.2\n", "empty": ""}
    with Lab() as lab:
        router = lab.router([None, None], config=NETS + "ip route file good\n", files=files)
        expect_equal(router.show("ip route summary")["routes"], 102, "routes")
        expect("ip route file bad: line 5001, column 1: a prefix's length is 0 to 32" in
               router.command("ip route file bad"), "the bad line is named")
        expect("there is no such file" in router.command("load routes nowhere"), "a file that is not there")
        expect("bad" not in router.command("show configuration"), "a statement that was refused")
        expect_equal(router.show("ip route summary")["routes"], 102, "routes after it")
        expect("0 routes in" in router.command("load routes empty"), "an empty file")
        router.command("no ip route file good")
        expect_equal(router.show("ip route summary")["routes"], 2, "routes without the file")


def test_a_configuration_whose_file_is_bad_is_refused_at_the_start():
    with Lab() as lab:
        router = lab.router([None, None], config=NETS + "ip route file bad\n", files={"bad": "20.0.0.0/8\n"})
        expect("ip route file bad: line 1, column 11: the next hop is missing" in router.console.all, "the reason")
        expect_equal(router.show("ip route")["routes"], [], "routes")


@matrix(cores=[1, 2, 4])
def test_no_packet_is_lost_while_tables_are_read(cores):
    """As many readings as fit into the time that the packets take."""
    with Lab() as lab:
        files = {"table": some_routes(20000)}
        h1, router, h2 = two_sided(lab, "virtio-net", cores, config=NETS + "ip route file table\n", files=files,
                                   memory_mib=256)
        flows = lab.in_background(run_flows, h1, h2, PACKETS)
        readings = 0
        while flows.running:
            expect("20000 routes in" in router.command("load routes table", limit_s=60), "a reading")
            readings += 1
        report = flows.result
        expect(readings > 0, "no reading at all")
        expect_equal((report["received"], report["reordered"]), (PACKETS, 0), f"{report}, router: {router.drops()}")


@matrix(cores=[2])
def test_no_packet_is_lost_while_routes_flap(cores):
    """Statements at the prompt, with a table in force that is worth a large FIB."""
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, "virtio-net", cores, config=NETS + "ip route file table\n",
                                   files={"table": some_routes(20000)}, memory_mib=512)
        flows = lab.in_background(run_flows, h1, h2, PACKETS)
        flaps = 0
        while flows.running:
            flaps += 1
            router.configure("ip route 99.0.0.0/8 gateway 10.2.0.2", "ip route 10.2.0.2/32 gateway 10.2.0.2",
                             "no ip route 10.2.0.2/32", "no ip route 99.0.0.0/8",
                             "ip eth1 address 10.9.0.1/24 secondary", "no ip eth1 address 10.9.0.1/24")
        report = flows.result
        expect(flaps > 0, "no flap at all")
        expect_equal((report["received"], report["reordered"]), (PACKETS, 0), f"{report}, router: {router.drops()}")
        expect_equal(router.show("ip route summary")["routes"], 20002, "routes")
