#!/usr/bin/python3
"""Compiled filters beside DPDK's rte_acl and a search by halves, in one process: filter_bench.c says how.

    tests/bench/filter_bench.py [--passes 9]

ClassBench's rules come from TSUJI_DATA (default ../shared/data). Large pages are taken for that time and given back.
What cannot run is skipped, and said.
"""
import argparse
import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import dpdk

TREE = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("TSUJI_DATA", TREE / "../shared/data")) / "classbench"
PROGRAM = TREE / "build/host/filter_bench"
HUGE_PAGES = 800  # of 2 MiB: what EAL is told to take
PREFIXES = [10, 1000, 10000, 100000]
RULES = [("acl1_1000", 10), ("acl1_1000", 64), ("acl1_1000", 1000), ("fw1_1000", 1000), ("ipc1_1000", 1000)]


def run(*arguments):
    return subprocess.run([str(PROGRAM), *map(str, arguments)], check=False,
                          env=os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=2"}).returncode


def run_rules(passes, name, count, folder):
    for kind in ("rules", "trace"):
        (folder / kind).write_bytes(gzip.decompress((DATA / f"{name}.{kind}.gz").read_bytes()))
    print(f"{name}, its first {count}:", flush=True)
    return run(passes, "rules", folder / "rules", folder / "trace", count)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", type=int, default=9)
    options = parser.parse_args()

    for what, missing in (("libdpdk is not installed: run tools/setup bench", not PROGRAM.exists()),
                          ("DPDK wants root", os.geteuid() != 0)):
        if missing:
            print(f"skipped: filters beside rte_acl: {what}")
            return 0
    pages = dpdk.HugePages(HUGE_PAGES)
    try:
        results = [run(options.passes, "prefixes", count) for count in PREFIXES]
        if not DATA.exists():
            print(f"skipped: several fields: no {DATA} (set TSUJI_DATA)")
            return max(results)
        with tempfile.TemporaryDirectory() as folder:
            results += [run_rules(options.passes, name, count, Path(folder)) for name, count in RULES]
        return max(results)
    finally:
        pages.end()


if __name__ == "__main__":
    sys.exit(main())
