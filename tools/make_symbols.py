#!/usr/bin/python3
"""Makes the table of function names that a panic's backtrace is printed with.

Reads `nm -n` of the image's first link on standard input and writes assembly: the number of
functions, their addresses relative to image_start in ascending order, where each name begins,
and the names. kernel/symbols.c reads it. Without input the table is empty.
"""
import sys

FUNCTION_KINDS = "tTwW"


def read_functions(lines):
    """(address, name) of every function, the first name where several share an address."""
    functions = {}
    start = 0
    for line in lines:
        fields = line.split()
        if len(fields) != 3:
            continue
        address, kind, name = int(fields[0], 16), fields[1], fields[2]
        if name == "image_start":
            start = address
        elif kind in FUNCTION_KINDS and name != "text_end":
            functions.setdefault(address, name)
    return [(address - start, name) for address, name in sorted(functions.items()) if start <= address]


def main():
    functions = read_functions(sys.stdin)
    print('.section .symbols, "a"')
    print(".balign 8")
    for label in ("symbol_count", "symbol_addresses", "symbol_names", "symbol_text"):
        print(f".global {label}")
    print(f"symbol_count: .long {len(functions)}")
    print("symbol_addresses:")
    for address, _ in functions:
        print(f".long {address:#x}")
    print("symbol_names:")
    offset = 0
    for _, name in functions:
        print(f".long {offset}")
        offset += len(name) + 1
    print("symbol_text:")
    for _, name in functions:
        print(f'.asciz "{name}"')


main()
