#!/usr/bin/python3
"""Checks that interrupt handlers call nothing that might touch vector registers.

Usage: check_handlers.py OBJECT...   (all objects of the kernel)

Objects whose file name begins with "interrupt" are compiled with -mgeneral-regs-only. Functions in
them may call each other, and functions that never come back; anything else fails the build.
"""
import os
import subprocess
import sys

NEVER_RETURN = {"panic_at", "panic_exception", "check_failed", "platform_panic"}
FUNCTION_KINDS = "tTwW"


def is_handler(path):
    return os.path.basename(path).startswith("interrupt")


def symbols(path):
    """(functions defined, names used but not defined) of an object."""
    lines = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout
    defined, used = set(), set()
    for fields in map(str.split, lines.splitlines()):
        kind, name = fields[-2], fields[-1]
        if kind == "U":
            used.add(name)
        elif kind in FUNCTION_KINDS:
            defined.add(name)
    return defined, used


def main(paths):
    handlers = {path: symbols(path) for path in paths if is_handler(path)}
    ours = set().union(*(defined for defined, _ in handlers.values()))
    others = set().union(*(symbols(path)[0] for path in paths if not is_handler(path)))
    wrong = [
        f"{path}: calls {name}(), which may use vector registers"
        for path, (_, used) in handlers.items()
        for name in sorted(used & others - ours - NEVER_RETURN)
    ]
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


sys.exit(main(sys.argv[1:]))
