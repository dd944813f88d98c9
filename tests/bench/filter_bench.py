#!/usr/bin/python3
"""Compiled filters beside DPDK's rte_acl and a search by halves, in one process: filter_bench.c says how.

    tests/bench/filter_bench.py [--passes 9]

ClassBench's rules come from TSUJI_DATA (default ../shared/data), gzipped as NAME.rules.gz and NAME.trace.gz. Its
db_generator makes more of them (-bc parameter_files/fw1_seed 10000 2 0 0 NAME, and trace_generator 1 0 5 NAME). Large
pages are taken for that time and given back. What cannot run is skipped, and said.
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
DATA = Path(os.environ.get("TSUJI_DATA", TREE / "../shared/data"))
PROGRAM = TREE / "build/host/filter_bench"
HUGE_PAGES = 800  # of 2 MiB: what EAL is told to take
PREFIXES = [10, 1000, 10000, 100000]
TABLE6 = DATA / "dfz-2023-02-v6.txt.gz"
RULES = [("acl1_1000", 10), ("acl1_1000", 64), ("acl1_1000", 1000), ("fw1_1000", 1000), ("ipc1_1000", 1000),
         ("acl1_10000", 10000), ("fw1_10000", 10000), ("ipc1_10000", 10000), ("acl1_100000", 100000),
         ("fw1_100000", 100000), ("ipc1_100000", 100000)]
SETS = [("acl1_1000", 20, 100000), ("acl1_1000", 1000, 100000)]


def run(*arguments):
    return subprocess.run([str(PROGRAM), *map(str, arguments)], check=False,
                          env=os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=2"}).returncode


def unpack(source, target):
    target.write_bytes(gzip.decompress(source.read_bytes()))
    return target


def run_rules(passes, folder, what, name, count, *set_size):
    if not (DATA / "classbench" / f"{name}.rules.gz").exists():
        print(f"skipped: {name}: {DATA}/classbench has no such rules")
        return 0
    files = [unpack(DATA / "classbench" / f"{name}.{kind}.gz", folder / kind) for kind in ("rules", "trace")]
    print(what, f"{name}, its first {count}", *set_size, flush=True)
    return run(passes, what, *files, count, *set_size)


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
            print(f"skipped: IPv6, several fields: no {DATA} (set TSUJI_DATA)")
            return max(results)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            table6 = unpack(TABLE6, folder / "table6")
            results += [run(options.passes, "prefixes6", count, table6) for count in PREFIXES]
            results += [run_rules(options.passes, folder, what, *rules) for what in ("rules", "rules6") for rules in RULES]
            results += [run_rules(options.passes, folder, "set", *rules) for rules in SETS]
        return max(results)
    finally:
        pages.end()


if __name__ == "__main__":
    sys.exit(main())
