#!/usr/bin/python3
"""The datapath natively, from memory card to memory card, in turns with DPDK's l3fwd and testpmd.

    tests/bench/datapath_bench.py [--runs 9] [--seconds 0.25] [--routes N] [--no-peers]

Every round gives each program one run; all are pinned to one processor and stopped outside their turn. A figure is
TSC cycles of processor time per packet, 60-byte frames; minimum and median over the rounds, ratios are of minima.
The full table comes from TSUJI_DATA (default ../shared/data). What cannot run is skipped, and said.
"""
import argparse
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import dpdk

TREE = Path(__file__).resolve().parent.parent.parent
PROGRAM = TREE / "build/host/datapath_bench"
TABLE = Path(os.environ.get("TSUJI_DATA", TREE / "../shared/data")) / "dfz-2023-02-v4.txt.gz"
HUGE_PAGES = 2400     # of 2 MiB, for all peers together
STIR_KPPS = 100       # by each queue
WARM_MS = 20          # before every run
STIR_MS = 400         # see set_undisturbed() in datapath_bench.c


class Ours:
    """datapath_bench: a line in, a line out. Its memory is in large pages, as the kernel's is."""

    def __init__(self, table):
        command = [str(PROGRAM)] + ([str(table)] if table else [])
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"})

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"datapath_bench.py: {PROGRAM} ended at {words}")
        return {name: float(value) for name, value in (part.split("=") for part in answer.split())}

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def prefer_ourselves():
    """Our session before others, where that is allowed."""
    try:
        Path("/proc/self/autogroup").write_text("-10")
    except OSError as error:
        print(f"not preferred to what else runs here: {error}")


def start_peers(folder, table):
    """name -> peer, for all that can run; why not, for the others."""
    peers = {}

    def add(name, start):
        try:
            peers[name] = start()
        except dpdk.Missing as why:
            print(f"skipped: {name}: {why}")

    few = dpdk.few_routes(folder)
    add("l3fwd lpm", lambda: dpdk.l3fwd("lpm", few))
    add("l3fwd fib", lambda: dpdk.l3fwd("fib", few))
    if table:
        add("l3fwd fib, full table", lambda: dpdk.l3fwd("fib", *dpdk.full_table(folder, table)))
    for device in ("net_null", "net_ring"):
        for mode in ("io", "mac"):
            add(f"testpmd {mode}, {device}", lambda device=device, mode=mode: dpdk.testpmd(device, mode))
    return peers


def measure(ours, peers, routes, runs, seconds):
    """name -> cycles per packet of each run; and what else the last run of ours told."""
    cycles, more = {}, {}
    ms = int(seconds * 1000)
    requests = {f"tsuji, {count} route{'s' * (count > 1)}, {cores} core{'s' * (cores > 1)}":
                ("forward", count, cores, ms) for count in routes for cores in (1, 2)}
    requests |= {f"tsuji, {count} route{'s' * (count > 1)}, IP path alone": ("path", count, ms) for count in routes}
    for _ in range(runs):
        for name, request in requests.items():
            more[name] = ours.ask(*request)
            cycles.setdefault(name, []).append(more[name]["cycles"])
        ghz = max(answer.get("tsc_ghz", 0) for answer in more.values())
        for name, peer in peers.items():
            cycles.setdefault(name, []).append(peer.nanoseconds(seconds) * ghz)
    return cycles, more


def report(cycles, more, routes):
    def lowest(name):
        return min(cycles[name]) if name in cycles else None

    def ratio(what, peer, own):
        if lowest(peer) and lowest(own):
            print(f"  {what:58} {lowest(peer) / lowest(own):5.2f}")

    print(f"{'TSC cycles per packet':44} {'min':>8} {'median':>8}")
    for name, runs in cycles.items():
        print(f"  {name:42} {min(runs):8.1f} {statistics.median(runs):8.1f}")
    print("ratios of minima")
    one, many = (f"tsuji, {count} route{'s' * (count > 1)}" for count in (routes[0], routes[-1]))
    for own in dict.fromkeys((one, many)):
        for peer in ("l3fwd lpm", "l3fwd fib", "l3fwd fib, full table"):
            ratio(f"{peer} / {own}, 1 core", peer, f"{own}, 1 core")
        two = lowest(f"{own}, 2 cores")
        print(f"  {f'{own}: rate of 2 cores / 1 core':58} {2 * lowest(f'{own}, 1 core') / two:5.2f}")
    busy = more[f"{one}, 1 core"]
    print(f"register accesses per packet, saturated: {busy['accesses']:.4f} (1/{1 / busy['accesses']:.0f})")
    lost = sum(answer.get("lost", 0) for answer in more.values())
    print(f"packets lost by the router, saturated: {lost:.0f}")


def report_stirring(ours, routes):
    print(f"losses and latency, {STIR_KPPS} kpps by each queue, rings of 256, best of 5 runs of {STIR_MS} ms by p99.9")
    print(f"  {'':50} {'received':>9} {'lost':>7} {'p50 us':>7} {'p99.9 us':>9} {'max us':>8} {'changes/s':>9} "
          f"{'us each':>9}")
    deeds = [("commit", 0), ("commit", 1000), ("flap", 10000), ("load", 2)]
    for deed, changes in deeds:
        for cores in (1, 2):
            best = min((ours.ask("stir", routes, cores, STIR_MS, STIR_KPPS, deed, changes) for _ in range(5)),
                       key=lambda answer: answer["p999_us"])
            wish = f"{deed}, {changes} a second wanted" if changes else "nothing changes"
            print(f"  {f'{routes} routes, {cores} cores, {wish}':50} {best['received']:9.0f} "
                  f"{best['ring_full'] + best['lost']:7.0f} {best['p50_us']:7.1f} {best['p999_us']:9.1f} "
                  f"{best['max_us']:8.1f} {best['changes'] * 1000 / (STIR_MS + WARM_MS):9.0f} {best['change_us']:9.1f}")


def report_building(ours, routes):
    runs = [ours.ask("build", routes) for _ in range(5)]

    def least(name):
        return min(run[name] for run in runs)

    print(f"{routes} routes: RIB made in {least('rib_ms'):.1f} ms, FIB in {least('fib_ms'):.1f} ms, one change in both "
          f"{least('change_ns'):.0f} ns; RIB {runs[0]['rib_bytes'] / 2**20:.1f} MiB, FIB {runs[0]['fib_bytes'] / 2**20:.1f} MiB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--routes", type=int, default=0, help="of the table; 0: all")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()

    prefer_ourselves()
    folder = Path(tempfile.mkdtemp(prefix="tsuji-bench-"))
    peers, pages = {}, None
    table = None
    routes = [1]
    try:
        if TABLE.exists():
            table = folder / "table.txt"
            with gzip.open(TABLE, "rb") as packed:
                table.write_bytes(packed.read())
            count = table.read_bytes().count(b"\n")
            routes.append(min(options.routes or count, count))
        else:
            print(f"skipped: the full table: no {TABLE} (set TSUJI_DATA)")
        if options.no_peers:
            print("skipped: all peers, as wished")
        elif os.geteuid() != 0:
            print("skipped: all peers: DPDK wants root")
        else:
            pages = dpdk.HugePages(HUGE_PAGES)
            peers = start_peers(folder, table)
        ours = Ours(table)
        report(*measure(ours, peers, routes, options.runs, options.seconds), routes)
        report_stirring(ours, routes[-1])
        report_building(ours, routes[-1])
        ours.end()
    finally:
        for peer in peers.values():
            peer.end()
        if pages:
            pages.end()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
