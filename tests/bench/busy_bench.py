#!/usr/bin/python3
"""Does `busy_percent` of `show cores` tell what the host sees? Packets in closed loop through a router on four virtual
processors; then, for each, its busy share beside the processor time that its thread of QEMU took.

    tests/bench/busy_bench.py [PACKETS]      as root
"""
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))

from forwarding_tests import two_sided  # noqa: E402 -- found by the line above
from lab import Lab  # noqa: E402
from queue_tests import run_flows  # noqa: E402

CORES = 4


def thread_seconds(pid):
    """Processor seconds of each virtual processor's thread, by its number."""
    seconds = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        match = re.match(r"CPU (\d+)/TCG", (task / "comm").read_text())
        if match:
            seconds[int(match.group(1))] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return seconds


def main():
    packets = int(sys.argv[1]) if len(sys.argv) > 1 else 300000
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, "virtio-net", CORES, extra=("-name", "tsuji,debug-threads=on"))
        booted, before = time.monotonic(), thread_seconds(router.process.pid)
        run_flows(h1, h2, packets)
        time.sleep(1)
        passed, after = time.monotonic() - booted, thread_seconds(router.process.pid)
        print(f"{'core':>4} {'role':>20} {'packets':>9} {'busy %':>7} {'host sees %':>12}")
        for core in router.show("cores")["cores"]:
            number = core["core"]
            host = 100 * (after[number] - before[number]) / passed
            print(f"{number:4} {core['role']:>20} {core['packets']:9} {core['busy_percent']:7.1f} {host:12.1f}")


if __name__ == "__main__":
    main()
