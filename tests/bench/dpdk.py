"""DPDK's testpmd and l3fwd as peers of a benchmark: built from Debian's packages, run on software devices, stopped
while others have their turn.

l3fwd comes from Debian's source package, fetched into the cache (never into the tree) and checked by the archive's
signature. Two changes, no more: no checksum offload is asked for, as software devices have none; and of a second
copy the limits (routes, buffers) are raised so that it can hold a full table.
"""
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tsuji/dpdk"
KEYS = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
HUGEPAGES = Path("/proc/sys/vm/nr_hugepages")
PROCESSOR = 1      # all single-core runs, ours as well, take turns on it
FRAME_BYTES = 60
ROUTE_LIMIT = 1 << 20
BUFFER_LIMIT = 180000


class Missing(Exception):
    """Why a peer cannot run here."""


def run(*command, **more):
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, check=False, **more)
    except FileNotFoundError as error:
        raise Missing(f"{error.filename} is not installed: run tools/setup bench") from None
    if result.returncode != 0:
        raise Missing(f"{' '.join(map(str, command[:3]))} ...: {result.stdout.strip()[-300:]}")
    return result.stdout


# ---- l3fwd, from source -----------------------------------------------------------------------

def source_lines():
    """The archives that this machine installs from, for their source packages."""
    archives = run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    return "".join(f"deb-src {KEYS} {archive}\n" for archive in sorted(set(archives.splitlines())))


def source_folder():
    """The unpacked source package of the version that is installed."""
    version = run("pkg-config", "--modversion", "libdpdk").strip()
    folder = CACHE / f"dpdk-{version}"
    if not folder.exists():
        (CACHE / "apt/lists/partial").mkdir(parents=True, exist_ok=True)
        (CACHE / "apt/sources.list").write_text(source_lines())
        options = [f"-oDir::Etc::SourceList={CACHE}/apt/sources.list", "-oDir::Etc::SourceParts=/dev/null",
                   f"-oDir::State::Lists={CACHE}/apt/lists", f"-oDir::Cache={CACHE}/apt"]
        run("apt-get", "-q", *options, "update")
        run("apt-get", "-q", *options, "source", "dpdk", cwd=CACHE)
    if not folder.exists():
        raise Missing(f"Debian's source package is another version than the libdpdk {version} installed here")
    return folder


def build_l3fwd(full):
    """The program, and the folder of its example routes."""
    examples = source_folder() / "examples"
    folder = CACHE / ("l3fwd-full" if full else "l3fwd")
    program = folder / "l3fwd"
    if not program.exists():
        run("rm", "-rf", str(folder))
        run("cp", "-r", str(examples / "l3fwd"), str(folder))
        changes = [("main.c", "= RTE_ETH_RX_OFFLOAD_CHECKSUM", "= 0")]
        if full:
            changes += [("main.c", "(unsigned)8192)", f"(unsigned){BUFFER_LIMIT})"),
                        ("l3fwd_fib.c", "config_ipv4.max_routes = (1 << 16)",
                         f"config_ipv4.max_routes = {ROUTE_LIMIT}")]
        for name, old, new in changes:
            text = (folder / name).read_text()
            if old not in text:
                raise Missing(f"l3fwd's {name} is not as expected: no {old!r}")
            (folder / name).write_text(text.replace(old, new))
        # The parsers of routes are included by other files.
        files = [str(file) for file in folder.glob("*.c") if "route_parse" not in file.name]
        flags = run("pkg-config", "--cflags", "--libs", "libdpdk").split()
        run("gcc", "-O3", "-march=native", "-w", "-DALLOW_EXPERIMENTAL_API", f"-I{examples / 'common'}", f"-I{folder}",
            *files, "-o", str(program), *flags)
    return program, folder


# ---- What they forward ------------------------------------------------------------------------

def write_pcap(path, destinations):
    """A UDP packet of 60 bytes to each destination (a number), for net_pcap to replay."""
    ethernet = bytes.fromhex("020000000000" "020000000001" "0800")
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for index, destination in enumerate(destinations):
            source = 0x64400000 + index
            header = struct.pack(">BBHHHBBHII", 0x45, 0, FRAME_BYTES - 14, 0, 0, 64, 17, 0, source, destination)
            total = sum(struct.unpack(">10H", header))
            total = (total & 0xffff) + (total >> 16)
            checksum = ~(total + (total >> 16)) & 0xffff
            packet = (ethernet + header[:10] + struct.pack(">H", checksum) + header[12:] +
                      struct.pack(">HHHH", 1024 + index % 0x3fff, 9, FRAME_BYTES - 34, 0) + bytes(FRAME_BYTES - 42))
            file.write(struct.pack("<IIII", 0, 0, FRAME_BYTES, FRAME_BYTES) + packet)


def few_routes(folder):
    """l3fwd's own example, of which two routes lead to ports that are there; 1,024 flows, as ours."""
    chance = random.Random(1)
    pcap = folder / "few.pcap"
    write_pcap(pcap, [0xc6120000 | chance.randrange(2) << 8 | chance.randrange(1, 255) for _ in range(1024)])
    return pcap


def full_table(folder, table):
    """Rules for every prefix, half of them to each port; random hosts in random prefixes, as many as buffers allow."""
    chance = random.Random(1)
    prefixes = []
    with open(folder / "full.cfg", "w", encoding="ascii") as rules:
        for line in table.read_text(encoding="ascii").splitlines():
            prefix, number = line.split()
            address, length = prefix.split("/")
            rules.write(f"R{prefix} {int(number) % 2}\n")
            prefixes.append((struct.unpack(">I", socket.inet_aton(address))[0], int(length)))
    pcap = folder / "full.pcap"
    chosen = (chance.choice(prefixes) for _ in range(65536))
    write_pcap(pcap, [address | chance.getrandbits(32) & (0xffffffff >> length) for address, length in chosen])
    return pcap, folder / "full.cfg"


# ---- Running ----------------------------------------------------------------------------------

class HugePages:
    """2 MiB pages, as many as the peers want; the number is put back afterwards."""

    def __init__(self, wanted):
        self.before = int(HUGEPAGES.read_text())
        free = int(re.search(r"HugePages_Free:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))
        self.ours = free < wanted
        if self.ours:
            HUGEPAGES.write_text(str(self.before + wanted - free))

    def end(self):
        if self.ours:
            HUGEPAGES.write_text(str(self.before))


class Peer:
    """A DPDK program that forwards as fast as it can whenever it is not stopped."""
    serial = 0

    def __init__(self, program, memory_mib, devices, options, lcores=str(PROCESSOR), ready_s=60):
        Peer.serial += 1
        prefix = f"tsuji{os.getpid()}-{Peer.serial}"
        self.folder = Path(f"/var/run/dpdk/{prefix}")
        command = [str(program), "--in-memory", "--no-pci", f"--file-prefix={prefix}", "--log-level=lib.eal:4",
                   f"--lcores={lcores}", "-m", str(memory_mib)]
        for device in devices:
            command += ["--vdev", device]
        try:
            self.process = subprocess.Popen([*command, "--", *options], stdin=subprocess.PIPE,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except FileNotFoundError as error:
            raise Missing(f"{error.filename} is not installed: run tools/setup bench") from None
        try:
            self._connect(ready_s)
            self.process.send_signal(signal.SIGSTOP)
        except BaseException:
            self.end()
            raise

    def _connect(self, ready_s):
        """Ready is when packets move."""
        deadline = time.monotonic() + ready_s
        while True:
            try:
                if self.process.poll() is not None:
                    raise Missing(f"it ended: {self.process.stderr.read().decode()[-300:]}")
                self.telemetry = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self.telemetry.settimeout(5)
                self.telemetry.connect(str(self.folder / "dpdk_telemetry.v2"))
                self.telemetry.recv(4096)
                if self._packets() > 0:
                    return
            except (OSError, TypeError):
                pass
            if time.monotonic() > deadline:
                raise Missing("it does not forward")
            time.sleep(0.2)

    def _packets(self):
        total = 0
        for port in (0, 1):
            self.telemetry.send(b"/ethdev/stats,%d" % port)
            total += json.loads(self.telemetry.recv(65536))["/ethdev/stats"]["opackets"]
        return total

    def _cpu_ns(self):
        """Of the process; only one of its threads does anything. clock_getcpuclockid(3)."""
        return time.clock_gettime_ns(~self.process.pid << 3 | 2)

    def nanoseconds(self, seconds):
        """Processor time for each packet, of a run that long."""
        self.process.send_signal(signal.SIGCONT)
        time.sleep(0.02)
        packets, cpu_ns = self._packets(), self._cpu_ns()
        time.sleep(seconds)
        packets, cpu_ns = self._packets() - packets, self._cpu_ns() - cpu_ns
        self.process.send_signal(signal.SIGSTOP)
        return cpu_ns / packets

    def end(self):
        self.process.kill()
        self.process.communicate()
        for file in self.folder.glob("*"):
            file.unlink()
        if self.folder.exists():
            self.folder.rmdir()


def replay(pcap):
    return [f"net_pcap{port},rx_pcap={pcap},infinite_rx=1" for port in (0, 1)]


def l3fwd(lookup, pcap, rules=None):
    program, folder = build_l3fwd(full=rules is not None)
    options = ["-p", "3", "-P", f"--config=(0,0,{PROCESSOR}),(1,0,{PROCESSOR})", "--parse-ptype", f"--lookup={lookup}",
               f"--rule_ipv4={rules or folder / 'lpm_default_v4.cfg'}", f"--rule_ipv6={folder / 'lpm_default_v6.cfg'}"]
    return Peer(program, 1100 if rules else 200, replay(pcap), options)


def testpmd(device, mode):
    """device: net_null (nothing is copied) or net_ring (pointers go round)."""
    first = ["--tx-first"] if device == "net_ring" else []
    return Peer("dpdk-testpmd", 64, [f"{device}0", f"{device}1"],
                [f"--forward-mode={mode}", "--nb-cores=1", "--total-num-mbufs=8192", "--auto-start", *first],
                lcores=f"(0,1)@{PROCESSOR}")
