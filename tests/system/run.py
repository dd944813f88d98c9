#!/usr/bin/python3
"""Runs the system tests: every function test_* of tests/system/*_tests.py, each in a process of its own, two at a
time. Needs root and /dev/net/tun, for the namespaces and taps of the hosts.

    tests/system/run.py [--jobs N] [--list] [WORD]      only tests whose name contains WORD

A test passes by returning. It may raise Skip with a reason, which must be in tests/skips.txt: a test that
quietly stops being run is a failure. The last line is `N passed, N failed, N skipped`.
"""
import argparse
import fcntl
import importlib
import io
import itertools
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import redirect_stdout
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from cases import Skip  # noqa: E402 -- found by the line above

TEST_LIMIT_S = 120    # unless the function has an attribute limit_s
WORDS_MAX = 1 << 16    # of one test; the end is kept
PASSED, FAILED, SKIPPED = 0, 1, 2


def discover(word):
    """(name, function, arguments) of every test, in the order of files and lines."""
    tests = []
    for file in sorted(FOLDER.glob("*_tests.py")):
        module = importlib.import_module(file.stem)
        for name, function in vars(module).items():
            if not name.startswith("test_"):
                continue
            choices = getattr(function, "matrix", {})
            for values in itertools.product(*choices.values()):
                full = f"{file.stem[:-len('_tests')]}.{name[len('test_'):]}"
                full += "".join(f",{value}" for value in values)
                if word in full:
                    tests.append((full, function, dict(zip(choices, values))))
    return tests


def allowed_skips():
    lines = (FOLDER.parent / "skips.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def run_test(function, arguments, out):
    """In the child: status for the parent, words into the pipe."""
    words = io.StringIO()
    status = PASSED
    try:
        with redirect_stdout(words):
            function(**arguments)
    except Skip as skip:
        status = SKIPPED
        words = io.StringIO(str(skip))
        if str(skip) not in allowed_skips():
            status = FAILED
            words = io.StringIO(f"skipped for a reason that is not in tests/skips.txt: {skip}")
    except BaseException:  # pylint: disable=broad-except
        status = FAILED
        words.write(traceback.format_exc(limit=-6))
    os.write(out, words.getvalue().encode("utf-8", "replace")[-WORDS_MAX:])
    return status


def start(test):
    name, function, arguments = test
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, WORDS_MAX)  # so that the child never waits for its parent
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(read_end)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        os._exit(run_test(function, arguments, write_end))
    os.close(write_end)
    return {"name": name, "pid": child, "pipe": read_end, "started": time.monotonic(),
            "limit_s": getattr(function, "limit_s", TEST_LIMIT_S)}


def remove_leftovers(pid):
    """Namespaces of a test that was killed before it could."""
    listing = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    for line in listing.splitlines():
        namespace = line.split()[0]
        if namespace.startswith("tsuji-") and namespace.endswith(f"-{pid}"):
            subprocess.run(["ip", "netns", "delete", namespace], check=False)


def finish(running):
    """Status and words of a test that ended, or None; ends one that takes too long."""
    pid, wait_status = os.waitpid(running["pid"], os.WNOHANG)
    late = time.monotonic() - running["started"] > running["limit_s"]
    if pid == 0 and not late:
        return None
    if pid == 0:
        os.kill(running["pid"], signal.SIGTERM)
        time.sleep(5)
    try:
        os.killpg(running["pid"], signal.SIGKILL)
    except ProcessLookupError:
        pass
    if pid == 0:
        _, wait_status = os.waitpid(running["pid"], 0)
    remove_leftovers(running["pid"])
    words = os.read(running["pipe"], WORDS_MAX).decode("utf-8", "replace")
    os.close(running["pipe"])
    status = os.waitstatus_to_exitcode(wait_status)
    if late:
        return FAILED, f"not done within {running['limit_s']} s\n{words}"
    return (status if status in (PASSED, SKIPPED) else FAILED), words


def report(running, status, words):
    label = {PASSED: "ok  ", SKIPPED: "skip", FAILED: "FAIL"}[status]
    seconds = time.monotonic() - running["started"]
    print(f"{label} {running['name']} ({seconds:.1f} s)" + (f": {words}" if status == SKIPPED else ""))
    if status == FAILED:
        print(words)
    sys.stdout.flush()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--list", action="store_true")
    options.add_argument("word", nargs="?", default="")
    arguments = options.parse_args()

    waiting = discover(arguments.word)
    if arguments.list:
        print("\n".join(name for name, _, _ in waiting))
        return 0
    if os.geteuid() != 0 and waiting:
        print("the system tests need root, for network namespaces")
        print(f"0 passed, {len(waiting)} failed, 0 skipped")
        return 1
    counts = {PASSED: 0, FAILED: 0, SKIPPED: 0}
    running = []
    while waiting or running:
        while waiting and len(running) < arguments.jobs:
            running.append(start(waiting.pop(0)))
        time.sleep(0.02)
        for test in list(running):
            result = finish(test)
            if result:
                running.remove(test)
                counts[result[0]] += 1
                report(test, *result)
    print(f"{counts[PASSED]} passed, {counts[FAILED]} failed, {counts[SKIPPED]} skipped")
    return 1 if counts[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
