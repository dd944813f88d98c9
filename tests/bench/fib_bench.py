#!/usr/bin/python3
"""Our FIB beside DPDK's rte_fib and rte_lpm, in one process: fib_bench.c says how.

    tests/bench/fib_bench.py [--passes 25]

The table comes from TSUJI_DATA (default ../shared/data). Large pages are taken for that time and given back; our own
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
PROGRAM = TREE / "build/host/fib_bench"
TABLE = Path(os.environ.get("TSUJI_DATA", TREE / "../shared/data")) / "dfz-2023-02-v4.txt.gz"
HUGE_PAGES = 1100     # of 2 MiB: two tables of rte_fib with their trees of routes, and ours


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", type=int, default=25)
    options = parser.parse_args()

    for what, missing in (("libdpdk is not installed: run tools/setup bench", not PROGRAM.exists()),
                          (f"no {TABLE} (set TSUJI_DATA)", not TABLE.exists()),
                          ("DPDK wants root", os.geteuid() != 0)):
        if missing:
            print(f"skipped: the FIB beside rte_fib: {what}")
            return 0
    with gzip.open(TABLE, "rb") as packed:
        table = packed.read()
    pages = dpdk.HugePages(HUGE_PAGES)
    try:
        return subprocess.run([PROGRAM, str(options.passes)], input=table, check=False,
                              env=os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=2"}).returncode
    finally:
        pages.end()


if __name__ == "__main__":
    sys.exit(main())
