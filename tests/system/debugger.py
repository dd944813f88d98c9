"""QEMU's gdb stub: processors held and let go one by one, breakpoints by the names of functions. The protocol is GDB's
remote one: `$text#checksum`, each packet answered by `+`."""
import os
import re
import shutil
import tempfile
from pathlib import Path

from lab import TREE, Stream, expect, run

NAMES = TREE / "build/tsuji.elf.debug"
LIMIT_S = 30


class Debugger:
    """Made before the router, which is then given `arguments` as extra and stands still until it is told to go."""

    def __init__(self, lab):
        folder = Path(tempfile.mkdtemp(prefix=f"tsuji-debugger-{os.getpid()}-"))
        lab.undo.callback(shutil.rmtree, folder, True)
        self.stream = Stream(folder / "gdb")
        lab.undo.callback(self.stream.close)
        self.arguments = ("-S", "-chardev", f"socket,id=gdb,path={folder}/gdb", "-gdb", "chardev:gdb")
        self.addresses = {name: int(address, 16) for address, _, name in
                          (line.split() for line in run("nm", "--defined-only", str(NAMES)).splitlines())}

    def send(self, text):
        self.stream.send(f"${text}#{sum(text.encode()) % 256:02x}")

    def answer(self, what):
        _, match = self.stream.wait(r"\$([^#]*)#[0-9a-f]{2}", LIMIT_S, what)
        self.stream.send("+")
        return match.group(1)

    def attach(self):
        self.stream.accept(LIMIT_S)
        self.send("?")
        self.answer("why it stands still")

    def breakpoint(self, name, there=True):
        """By the debug registers, as the kernel's text is not there before it is loaded."""
        self.send(f"{'Z' if there else 'z'}1,{self.addresses[name]:x},1")
        expect(self.answer(f"breakpoint at {name}") == "OK", "no breakpoint at", name)

    def go(self, *processors):
        """All of them, or these alone, counted from 0, while the others stand still."""
        self.send("vCont;" + ";".join(f"c:{number + 1:x}" for number in processors) if processors else "vCont;c")

    def stopped(self):
        """Waits for a breakpoint: processor and function."""
        words = self.answer("a breakpoint")
        match = re.match(r"T05.*thread:(?:p\w+\.)?(\w+);", words)
        expect(match, "stopped for another reason:", words)
        self.send("g")
        rip = int.from_bytes(bytes.fromhex(self.answer("registers"))[16 * 8:17 * 8], "little")
        names = [name for name, address in self.addresses.items() if address == rip]
        return int(match.group(1), 16) - 1, names[0] if names else hex(rip)

    def pause(self):
        self.stream.send("\x03")
        self.answer("the end of all processors' work")
