#!/usr/bin/python3
"""Holds the table of ARCHITECTURE.md, section 2: who may include whom.

Read from the #include lines of every C and assembly file. Besides: no conditional compilation in .c files, and
no mutable file-scope state above the seam (from the symbols of the kernel's objects, where they are built).

    tools/check_layers.py [--self-test] [TREE]

Prints one line per offence and exits with 1 if there was one. A new module of net/ is given its place in
NET_ORDER below; a new edge of the table is a decision, to be written down in ARCHITECTURE.md first.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BASE = "kernel/base/"
PLATFORM = "kernel/platform.h"

# Folder -> what its files may include besides itself. The longest folder that fits a file counts.
FOLDERS = {
    "boot/": ["kernel/base/types.h", "kernel/base/bytes.h"],
    "kernel/base/": [],
    "kernel/libc/": [BASE],
    # kernel/ proper and kernel/x86/ are the machine, one layer in two folders.
    "kernel/x86/": [BASE, PLATFORM, "kernel/", "boot/boot_info.h", "boot/entry.h"],
    "kernel/": [BASE, PLATFORM, "kernel/x86/", "kernel/libc/", "boot/boot_info.h", "boot/entry.h"],
    "drivers/": [BASE, PLATFORM],
    "jit/": [BASE, PLATFORM],
    "net/wire/": [BASE],
    "net/": [BASE, PLATFORM, "jit/jit.h", "net/wire/"],
    "shell/": [BASE, PLATFORM, "net/"],
    "tests/": [""],
    "tools/": [""],
}

# Single files that may include more.
FILES = {
    "kernel/main.c": [""],
    "kernel/show_machine.h": ["shell/command.h", "drivers/pci.h"],
    "kernel/show_machine.c": ["shell/command.h", "shell/record.h", "drivers/pci.h"],
    "kernel/file.c": ["drivers/fw_cfg.h"],
    "kernel/consoles.h": ["shell/shell.h"],
    "kernel/consoles.c": ["drivers/console.h", "drivers/console_devices.h"],
    "net/port.c": ["drivers/nic.h"],
    "net/filter_cost.h": ["jit/show.h"],
    "shell/code_comments.h": ["jit/show.h"],
}

# The modules of kernel/base that stand on the seam (their memory, the current core's rings, panic) or are part of it.
for module in ["packet", "ring", "map", "log", "trace", "memory_tag", "file_name"]:
    FILES[f"kernel/base/{module}.c"] = FILES[f"kernel/base/{module}.h"] = [PLATFORM]

# Inside net/ includes go down or stay: from the last of these rows to the first.
NET_ORDER = [
    ("values", ["address", "config", "verdict", "next_hop", "prefix_tree", "route_file", "filter_set"]),
    ("stages", ["classify", "neighbor", "arp", "route", "filter", "filter_interpreter", "filter_compiled", "filter_cost", "filter_shadow", "filter_keys", "filter_log", "filter_stage", "refuse", "capture", "port", "rib", "fib4", "fib6_tree", "fib6_lookup",
                "fib6", "forwarding", "stage", "rewrite", "fragment", "icmp", "datagram", "config_routes", "routes", "ipv6_addresses",
                "autoconf", "interface_id", "nd", "ra", "mld", "icmp6", "classify6", "classify_frame", "route6", "fragment6",
                "path_mtu"]),
    ("transports", ["tcp", "udp", "tls", "reassembly", "probe"]),
    ("protocols", ["bgp", "dhcp", "hub"]),
    ("the router", ["router", "datapath", "local", "local6", "control"]),
]
# What every module of net is given (struct core, struct router), and the doors for packets it makes or is done with.
NET_CONTEXT = ["net/router.h", "net/stage.h", "net/datapath.h", "net/local.h"]

NO_STATE = ["net/", "shell/", "jit/", "kernel/base/", "drivers/"]
KERNEL_OBJECTS = ["build/kernel", "build/debug/kernel", "build/clang/kernel"]

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
CONDITIONAL = re.compile(r"^\s*#\s*(ifdef|ifndef|if|elif|else)\b", re.MULTILINE)


def folder_of(path):
    fitting = [folder for folder in FOLDERS if path.startswith(folder)]
    return max(fitting, key=len, default=None)


def net_place(path):
    """Row of a net/ file in NET_ORDER, -1 for net/wire/, None where it has none."""
    if path.startswith("net/wire/"):
        return -1
    module = Path(path).stem
    for place, (_, modules) in enumerate(NET_ORDER):
        if module in modules:
            return place
    return None


def check_net_edge(path, included):
    source, target = net_place(path), net_place(included)
    if included in NET_CONTEXT or source is None or target is None or target <= source:
        return None
    return f"{path}: includes {included}, but {NET_ORDER[source][0] if source >= 0 else 'wire'} " \
           f"may not know {NET_ORDER[target][0]}"


def check_include(path, included):
    folder = folder_of(path)
    own_folder = folder_of(included) == folder
    allowed = FOLDERS[folder] + FILES.get(path, [])

    if not own_folder and not any(included.startswith(prefix) for prefix in allowed):
        return f"{path}: includes {included}, which {folder} may not (ARCHITECTURE.md, section 2)"
    if path.startswith("net/") and included.startswith("net/"):
        return check_net_edge(path, included)
    return None


def check_file(path, text):
    offences = []
    if folder_of(path) is None:
        return [f"{path}: in no folder of ARCHITECTURE.md, section 2"]
    if path.startswith("net/") and net_place(path) is None:
        offences.append(f"{path}: has no place in NET_ORDER of tools/check_layers.py")
    if path.endswith(".c") and CONDITIONAL.search(text):
        offences.append(f"{path}: conditional compilation in a .c file (STYLE.md, 16)")
    offences += [check_include(path, included) for included in INCLUDE.findall(text)]
    return [offence for offence in offences if offence]


def check_tree(tree):
    offences = []
    for folder in {folder.split("/")[0] for folder in FOLDERS}:
        for file in sorted((tree / folder).rglob("*.[chS]")):
            path = file.relative_to(tree).as_posix()
            offences += check_file(path, file.read_text(encoding="utf-8", errors="replace"))
    return sorted(offences)


def parse_symbols(path, listing):
    """Offences in what `nm -P` says of one object: data (d), bss (b), common (C)."""
    names = [line.split()[0] for line in listing.splitlines() if line.split()[1:2] and line.split()[1] in "dDbBC"]
    return [f"{path}: mutable file-scope state above the seam: {name}" for name in names]


def check_state(tree):
    offences = []
    for objects in KERNEL_OBJECTS:
        for folder in NO_STATE:
            for file in sorted((tree / objects / folder).rglob("*.o")):
                # An object whose source is gone is a leftover of another branch.
                if not (tree / file.relative_to(tree / objects).with_suffix(".c")).exists():
                    continue
                listing = subprocess.run(["nm", "-P", str(file)], capture_output=True, text=True, check=True)
                offences += parse_symbols(file.relative_to(tree).as_posix(), listing.stdout)
    return offences


def self_test():
    """A tree with one offence of each kind, and the same tree without."""
    bad = {
        "drivers/card.c": '#include "net/port.h"\n',
        "net/wire/ipv4.c": '#include "kernel/platform.h"\n',
        "net/neighbor.c": '#include "net/control.h"\n',
        "net/strange.c": "int x;\n",
        "net/udp.c": '#include "drivers/nic.h"\n',
        "kernel/base/text.c": '#include "kernel/platform.h"\n',
        "boot/entry.c": '#include "kernel/base/text.h"\n',
        "shell/shell.c": "#ifdef FANCY\n#endif\n",
        "cellar/wine.c": "",
    }
    good = {
        "drivers/card.c": '#include "drivers/nic.h"\n#include "kernel/base/types.h"\n#include <string.h>\n',
        "net/port.c": '#include "drivers/nic.h"\n#include "net/router.h"\n#include "net/wire/ipv4.h"\n',
        "net/control.c": '#include "net/neighbor.h"\n',
        "shell/shell.c": '#include "net/control.h"\n',
        "kernel/main.c": '#include "shell/shell.h"\n#include "net/router.h"\n',
    }
    for path, text in bad.items():
        assert len(check_file(path, text)) == 1, f"not seen: {path}"
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for path, text in good.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        assert check_tree(tree) == [], check_tree(tree)
        (tree / "drivers/card.c").write_text(bad["drivers/card.c"])
        assert len(check_tree(tree)) == 1
    listing = "count b 0 4\nstart T 0 10\ntable R 0 8\nlimit D 0 4\nmemcpy U\n"
    assert len(parse_symbols("x.o", listing)) == 2


def main(arguments):
    if "--self-test" in arguments:
        self_test()
        arguments.remove("--self-test")
    tree = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    offences = check_tree(tree) + check_state(tree)
    for offence in offences:
        print(offence)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
