#!/usr/bin/python3
"""Our FIBs beside DPDK's rte_fib, rte_lpm and rte_fib6, in one process for each family: fib_bench.c and fib6_bench.c
say how.

    tests/bench/fib_bench.py [--passes 25] [--family 4 | 6]

The tables come from TSUJI_DATA (default ../shared/data). Large pages are taken for that time and given back; our own
tables lie in large pages, too, as in the kernel. What cannot run is skipped, and said.
"""
import argparse
import gzip
import os
import subprocess
import sys
from pathlib import Path

import dpdk

TREE = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("TSUJI_DATA", TREE / "../shared/data"))
PROGRAMS = {4: TREE / "build/host/fib_bench", 6: TREE / "build/host/fib6_bench"}
HUGE_PAGES = 1100     # of 2 MiB: two tables of rte_fib with their trees of routes, and ours


def run(family, passes):
    """The program's exit code."""
    program, table = PROGRAMS[family], DATA / f"dfz-2023-02-v{family}.txt.gz"
    for what, missing in (("libdpdk is not installed: run tools/setup bench", not program.exists()),
                          (f"no {table} (set TSUJI_DATA)", not table.exists()),
                          ("DPDK wants root", os.geteuid() != 0)):
        if missing:
            print(f"skipped: the IPv{family} FIB beside DPDK's: {what}")
            return 0
    with gzip.open(table, "rb") as packed:
        lines = packed.read()
    pages = dpdk.HugePages(HUGE_PAGES)
    try:
        return subprocess.run([program, str(passes)], input=lines, check=False,
                              env=os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=2"}).returncode
    finally:
        pages.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", type=int, default=25)
    parser.add_argument("--family", type=int, choices=sorted(PROGRAMS))
    options = parser.parse_args()

    families = [options.family] if options.family else sorted(PROGRAMS)
    return max([run(family, options.passes) for family in families])


if __name__ == "__main__":
    sys.exit(main())
