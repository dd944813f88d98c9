#!/usr/bin/python3
"""Runs every fuzzer over its corpus, or for a while.

    tests/fuzz/run.py [WORD]                 the corpora, and some thousand more inputs; the file that a
                                             target names as covered must reach 90 % of lines by its corpus
    tests/fuzz/run.py --seconds N [WORD]     fuzzes each target so long; what it finds stays in build/fuzz/found

The last line is `N passed, N failed, N skipped`.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent.parent
BUILD = TREE / "build/fuzz"
LINES_MIN_PERCENT = 90
JOBS = 2
CORPUS_LIMIT_S = 120
RUNS = 10000  # inputs beyond the corpus, always the same ones
RUNS_LIMIT_S = 10
COVERS = re.compile(r"/\* covers: (\S+) \*/")


def corpus_of(name):
    return TREE / "tests/fuzz/corpus" / name


def run_fuzzer(name, options, limit_s, profile):
    environment = dict(os.environ, LLVM_PROFILE_FILE=str(profile))
    command = [str(BUILD / f"{name}_fuzz"), f"-artifact_prefix={BUILD}/found/", "-timeout=10", *options]
    return subprocess.run(command, cwd=TREE, env=environment, timeout=limit_s, capture_output=True, text=True,
                          errors="replace", check=False)


def lines_percent(name, profile, covered):
    """Percentage of the lines of one file that the run went through."""
    merged = profile.with_suffix(".profdata")
    subprocess.run(["llvm-profdata-14", "merge", str(profile), "-o", str(merged)], check=True)
    report = subprocess.run(["llvm-cov-14", "export", "-summary-only", f"-instr-profile={merged}",
                             str(BUILD / f"{name}_fuzz"), str(TREE / covered)],
                            check=True, capture_output=True, text=True)
    # Where the binary has nothing of the file, all other files are reported instead.
    for entry in json.loads(report.stdout)["data"][0]["files"]:
        if Path(entry["filename"]) == TREE / covered:
            return entry["summary"]["lines"]["percent"]
    return 0.0


def check_corpus(name, source):
    """None, or what is wrong."""
    corpus = corpus_of(name)
    if not corpus.is_dir() or not any(corpus.iterdir()):
        return "no corpus"
    profile = BUILD / f"{name}.profraw"
    result = run_fuzzer(name, ["-runs=0", str(corpus)], CORPUS_LIMIT_S, profile)
    if result.returncode != 0:
        return "\n".join(result.stderr.splitlines()[-25:])
    for covered in COVERS.findall(source.read_text()):
        percent = lines_percent(name, profile, covered)
        if percent < LINES_MIN_PERCENT:
            return f"the corpus covers {percent:.1f} % of the lines of {covered}, not {LINES_MIN_PERCENT}"
    # libFuzzer keeps what is new in its first directory: one that goes away, so that every run is the same.
    with tempfile.TemporaryDirectory() as found:
        result = run_fuzzer(name, [f"-runs={RUNS}", "-seed=1", f"-max_total_time={RUNS_LIMIT_S}", "-max_len=4096", found,
                                   str(corpus)], CORPUS_LIMIT_S, profile)
    return None if result.returncode == 0 else "\n".join(result.stderr.splitlines()[-25:])


def fuzz(name, seconds):
    found = BUILD / "corpus" / name
    found.mkdir(parents=True, exist_ok=True)
    result = run_fuzzer(name, [f"-max_total_time={seconds}", "-max_len=4096", str(found), str(corpus_of(name))],
                        seconds + CORPUS_LIMIT_S, BUILD / f"{name}.profraw")
    return None if result.returncode == 0 else "\n".join(result.stderr.splitlines()[-25:])


def name_of(source):
    return source.name[: -len("_fuzz.c")]


def try_target(source, seconds):
    """None, or what is wrong."""
    try:
        return fuzz(name_of(source), seconds) if seconds else check_corpus(name_of(source), source)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=0)
    options.add_argument("word", nargs="?", default="")
    arguments = options.parse_args()

    (BUILD / "found").mkdir(parents=True, exist_ok=True)
    sources = sorted((TREE / "tests/fuzz").glob("*_fuzz.c"))
    sources = [source for source in sources if arguments.word in f"fuzz_{name_of(source)}"]
    failed = 0
    with ThreadPoolExecutor(JOBS) as pool:
        for source, problem in zip(sources, pool.map(lambda source: try_target(source, arguments.seconds), sources)):
            label = f"fuzz_{name_of(source)}"
            print(f"FAIL {label}\n{problem}" if problem else f"ok   {label}", flush=True)
            failed += bool(problem)
    passed = len(sources) - failed
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
