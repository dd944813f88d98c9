"""The lab of the system tests: Linux hosts in network namespaces, and routers in QEMU between them.

        h1 (namespace)                 router (QEMU)                 h2 (namespace)
     +-------------------+         +------------------+          +-------------------+
     | eth0, a tap  o----|- - - - -|-o eth0    eth1 o-|- - - - - |----o  a tap, eth0 |
     +-------------------+  the    +------------------+          +-------------------+
                            tap's file, inherited by QEMU

The tap is the host's own interface: QEMU holds its other end as an open file, so there are no bridges and no
joints in between. The router's serial console, and QEMU's monitor, are unix sockets.

Everything has a time limit; leaving `with Lab() as lab:` ends what it started, by process number and by name
of namespace, whatever happened. When the test went well, the routers' books must balance.
"""
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from cases import Skip

TREE = Path(__file__).resolve().parent.parent.parent
KERNEL = TREE / "build/tsuji.elf"
DEBUG_KERNEL = TREE / "build/debug/tsuji.elf"
ISO = TREE / "build/tsuji.iso"
PROCESS = TREE / "build/host/tsuji"
FLOWS = TREE / "build/host/flows"
RACE_PROCESS = TREE / "build/tsan/tsuji"
OVMF_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"

# The prompt with its last blank, which may come later than the rest; the line that says that forwarding is up.
PROMPT = re.compile(r"(?:^|\n)[\w.-]+(?:\(config\))?\*?[>#] $")
PASTED_PROMPT = re.compile(r"(?:^|\n)[\w.-]+(?:\(config\))?\*?[>#] ")    # the next line's echo may follow
READY = re.compile(r"ready: ([\d.]+) ms, (\d+) cores?, (\d+) interfaces?")

BOOT_LIMIT_S = 30
COMMAND_LIMIT_S = 15
PING_WAIT_S = 5    # for an answer: a loaded machine lets a virtual core wait for its turn
PANIC_STATUS = 255

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x100, 0x1000, 0x4000

CARDS = {"virtio-net": "virtio-net-pci", "virtio-packed": "virtio-net-pci,packed=on",
         "virtio-rss": "virtio-net-pci,rss=on", "e1000": "e1000", "e1000e": "e1000e",
         "igb": "igb"}
IGB_SLOTS = 4    # its virtual functions take those behind its own, far off
POSTING = {"virtio-net", "tap", "e1000e", "igb"}    # drivers whose receive rings hold packets, one in each entry


class Failure(Exception):
    """What a test found wrong, in words."""


def expect(condition, *what):
    if not condition:
        raise Failure(" ".join(str(word) for word in what) or "unexpected")


def expect_equal(actual, expected, what=""):
    expect(actual == expected, f"{what}: " if what else "", f"got {actual!r}, expected {expected!r}")


def wait_until(condition, limit_s, what, step_s=0.1):
    """Polls until condition() is true and answers its value."""
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"not within {limit_s} s: {what}")
        time.sleep(step_s)


def qemu_program(nic):
    """The QEMU that has such cards."""
    if nic != "igb":
        return "qemu-system-x86_64"
    try:
        return run(str(TREE / "tools/newer_qemu"), "--have").strip()
    except Failure:
        raise Skip("no newer QEMU, which has an igb: tools/newer_qemu") from None


def card_place(nic, index):
    """Where card number `index` is to be, as a property of its device."""
    return f",addr={2 + IGB_SLOTS * index:x}" if nic == "igb" else ""


def run(*command, limit_s=20, check=True):
    """Runs a program to its end. Its output as one text; with check, its status must be 0."""
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=limit_s, text=True, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"not done within {limit_s} s: {' '.join(command)}\n{error.output or ''}") from None
    if check and result.returncode != 0:
        raise Failure(f"status {result.returncode}: {' '.join(command)}\n{result.stdout}")
    return result.stdout


class Host:
    """A Linux host: a namespace with one interface, eth0, and a default route, of IPv4 or IPv6."""

    def __init__(self, lab, name, address, gateway, queue_count, mtu, tap):
        self.name = name
        self.namespace = f"tsuji-{name}-{os.getpid()}"
        self.address = address.split("/")[0]
        self.gateway = gateway
        self.lab = lab
        run("ip", "netns", "add", self.namespace)
        lab.undo.callback(self._remove)
        self.tap_files = []
        if tap:
            tap_namespace, tap_name = tap
            run("ip", "-n", tap_namespace, "link", "set", tap_name, "netns", self.namespace, "name", "eth0")
        else:
            self._open_tap(queue_count)
        self.family = "-6" if ":" in address else "-4"
        if self.family == "-4":     # no autoconfiguration chatter: the tests count packets
            self.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
        # A host answers only some of traceroute's probes at once, unless told otherwise.
        self.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit")
        self.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/icmp/ratelimit")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", "eth0", "mtu", str(mtu), "up")
        self.ip("address", "add", address, "dev", "eth0", *(["nodad"] if self.family == "-6" else []))
        if gateway:
            self.ip(self.family, "route", "add", "default", "via", gateway)

    def _remove(self):
        for file in self.tap_files:
            os.close(file)
        run("ip", "netns", "delete", self.namespace, check=False)

    def _open_tap(self, queue_count):
        """One file per queue of a new tap, eth0, inside the namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if queue_count > 1 else 0)
        with open("/proc/thread-self/ns/net", "rb") as home, \
                open(f"/run/netns/{self.namespace}", "rb") as there:
            expect(libc.setns(there.fileno(), CLONE_NEWNET) == 0, "cannot enter", self.namespace)
            try:
                for _ in range(queue_count):
                    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                    self.tap_files.append(file)
                    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", b"eth0", flags))
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)

    def command(self, *words):
        return ("ip", "netns", "exec", self.namespace, *words)

    def run(self, *words, limit_s=20, check=True):
        return run(*self.command(*words), limit_s=limit_s, check=check)

    def ip(self, *words):
        return run("ip", "-n", self.namespace, *words)

    def start(self, *words, ready=None):
        """A program that runs until the lab ends; waits for a line that contains `ready`."""
        return self.lab.start(self.command(*words), ready)

    def ping(self, address, count=3, size=56, df=None, limit_s=None, options=()):
        """How many answers came."""
        words = ["ping", "-n", "-c", str(count), "-i", "0.2", "-W", str(PING_WAIT_S), "-s", str(size), *options]
        if df is not None:
            words += ["-M", "do" if df else "dont"]
        output = self.run(*words, address, limit_s=limit_s or 10 + 3 * count, check=False)
        received = re.search(r"(\d+) received", output)
        expect(received, "ping said:", output)
        return int(received.group(1))

    def expect_ping(self, address, count=3, **more):
        got = self.ping(address, count=count, **more)
        expect_equal(got, count, f"{self.name}: answers from {address}")


class Stream:
    """A unix socket to QEMU with `wait for this` on top; keeps all that came, for the report."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.connection = None
        self.all = ""
        self.unread = ""

    def accept(self, limit_s):
        self.listener.settimeout(limit_s)
        self.connection, _ = self.listener.accept()
        self.listener.close()

    def close(self):
        for end in (self.connection, self.listener):
            if end:
                end.close()

    def send(self, text):
        self.connection.settimeout(COMMAND_LIMIT_S)
        self.connection.sendall(text.encode())

    def receive(self, limit_s):
        """What came within the time, "" when nothing; None at the end."""
        self.connection.settimeout(max(limit_s, 0.001))
        try:
            data = self.connection.recv(65536)
        except (TimeoutError, BlockingIOError):
            return ""
        except ConnectionError:
            return None
        text = data.decode("utf-8", "replace").replace("\r", "")
        self.all += text
        self.unread += text
        return text if data else None

    def forget(self):
        while self.receive(0.001):
            pass
        self.unread = ""

    def wait(self, pattern, limit_s, what):
        """Reads until the pattern is found; drops all up to its end and answers (text before, match)."""
        deadline = time.monotonic() + limit_s
        while True:
            match = re.search(pattern, self.unread)
            if match:
                before = self.unread[:match.start()]
                self.unread = self.unread[match.end():]
                return before, match
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"not within {limit_s} s: {what}; the end of what came:\n{self.all[-2000:]}")
            if self.receive(left) is None:
                match = re.search(pattern, self.unread)
                if not match:
                    raise Failure(f"ended before: {what}; the end of what came:\n{self.all[-2000:]}")


class Router:
    """A router in QEMU. boot: kernel, iso-bios or iso-uefi; hosts: one per port, None for an empty one; nic: of CARDS, or
    what QEMU calls it; files: what it can open, by name: text, bytes, or the Path of a file."""

    def __init__(self, lab, hosts=(), nic="virtio-net", cores=1, memory_mib=128, config="", files=None, words="",
                 boot="kernel", kernel=KERNEL, iso=ISO, machine="q35", vga="none", cpu=None, extra=(),
                 wait=True, balanced=True):
        self.lab = lab
        self.folder = Path(tempfile.mkdtemp(prefix=f"tsuji-lab-{os.getpid()}-"))
        lab.undo.callback(shutil.rmtree, self.folder, True)
        self.balanced = balanced and wait
        self.console = Stream(self.folder / "console")
        lab.undo.callback(self.console.close)
        self.monitor = Stream(self.folder / "monitor")
        lab.undo.callback(self.monitor.close)
        self.events = []

        command = [qemu_program(nic), "-nodefaults", "-no-reboot", "-display", "none", "-vga", vga,
                   "-accel", "tcg", "-machine", machine, "-smp", str(cores), "-m", str(memory_mib),
                   "-chardev", f"socket,id=console,path={self.folder}/console", "-serial", "chardev:console",
                   "-chardev", f"socket,id=monitor,path={self.folder}/monitor",
                   "-mon", "chardev=monitor,mode=control",
                   "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        if cpu:
            command += ["-cpu", cpu]
        command += self._boot_options(boot, kernel, iso, config, words)
        for file in self._place_files(files):
            command += ["-fw_cfg", f"name=opt/tsuji/{file.name},file={file}"]
        command += extra    # before the cards, which may be on a bridge of it
        tap_files = []
        for index, host in enumerate(hosts):
            command += self._port_options(index, host, nic)
            tap_files += host.tap_files if host else []
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, pass_fds=tap_files)
        lab.undo.callback(self._end)
        self._connect()
        self.ready = None
        if wait:
            self.wait_ready()

    def _place_files(self, files):
        """All in the folder `files`, by their names there."""
        folder = self.folder / "files"
        folder.mkdir()
        for name, content in (files or {}).items():
            if isinstance(content, Path):
                (folder / name).symlink_to(content.resolve())
            else:
                (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return sorted(folder.iterdir())

    def _boot_options(self, boot, kernel, iso, config, words):
        if boot == "kernel":
            options = ["-kernel", str(kernel), "-append", f"console=com1 test {words}".strip()]
            if config:
                (self.folder / "config").write_text(config)
                options += ["-initrd", str(self.folder / "config")]
            return options
        options = ["-cdrom", str(iso)]
        if config:
            (self.folder / "config").write_text(config)
            options += ["-fw_cfg", f"name=opt/tsuji/config,file={self.folder}/config"]
        if boot == "iso-uefi":
            options += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF_CODE}",
                        "-drive", f"if=pflash,format=raw,snapshot=on,file={OVMF_VARS}"]
        return options

    @staticmethod
    def _port_options(index, host, nic):
        mac = f"52:54:00:00:00:{index + 1:02x}"
        device = f"{CARDS.get(nic, nic)},id=card{index},netdev=net{index},mac={mac},romfile={card_place(nic, index)}"
        if host is None:
            # A hub with nobody else takes no frame, and they would stay in the transmit ring.
            return ["-netdev", f"hubport,id=net{index},hubid={100 + index}",
                    "-netdev", f"hubport,id=nobody{index},hubid={100 + index}", "-device", device]
        files = ":".join(str(file) for file in host.tap_files)
        queue_count = len(host.tap_files)
        if queue_count == 1:
            return ["-netdev", f"tap,id=net{index},fd={files}", "-device", device]
        return ["-netdev", f"tap,id=net{index},fds={files}",
                "-device", f"{device},mq=on,vectors={2 * queue_count + 2}"]

    def _connect(self):
        try:
            self.monitor.accept(10)
            self.console.accept(10)
        except TimeoutError:
            self.process.kill()
            raise Failure(f"QEMU did not start: {self.process.communicate()[0].decode()}") from None
        self.monitor.wait(r'"QMP".*\n', 10, "greeting of QEMU's monitor")
        self.qmp("qmp_capabilities")

    def _end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    # ---- The console -------------------------------------------------------------------------

    def wait_ready(self, limit_s=BOOT_LIMIT_S):
        """Until the prompt after the ready line; keeps milliseconds, cores and interfaces."""
        _, match = self.console.wait(READY, limit_s, "ready line")
        self.ready = (float(match.group(1)), int(match.group(2)), int(match.group(3)))
        self.console.wait(PROMPT, COMMAND_LIMIT_S, "prompt")
        self.command("terminal length 0")
        return self.ready

    def send(self, line):
        self.console.forget()
        self.console.send(line + "\r")

    def command(self, line, limit_s=COMMAND_LIMIT_S):
        """Types a line; answers what was printed until the next prompt, without the echo."""
        self.send(line)
        self.console.wait(r"\n", limit_s, f"echo of {line!r}")
        self.console.unread = "\n" + self.console.unread
        before, _ = self.console.wait(PROMPT, limit_s, f"prompt after {line!r}")
        return before.strip("\n")

    def paste(self, *lines, limit_s=60):
        """Types many lines without waiting for answers; what was printed until the last prompt, echoes and all."""
        self.console.forget()
        self.console.send("".join(line + "\r" for line in lines))
        return "".join(self.console.wait(PASTED_PROMPT, limit_s, f"prompt after {line!r}")[0] for line in lines)

    def configure(self, *lines):
        """Statements that must be accepted."""
        for line in lines:
            answer = self.command(line)
            expect("error: " not in answer, f"{line!r} was refused:\n{answer}")

    def refused(self, line):
        """The error text of a statement that must be refused."""
        answer = self.command(line)
        match = re.search(r"^error: (.*)$", answer, re.MULTILINE)
        expect(match, f"{line!r} was not refused:\n{answer}")
        return match.group(1)

    def show(self, what):
        """The document of `show ... | json`."""
        answer = self.command(f"show {what} | json")
        try:
            return json.loads(answer)
        except json.JSONDecodeError:
            raise Failure(f"no JSON from show {what}:\n{answer}") from None

    def interface(self, name):
        for interface in self.show("interfaces")["interfaces"]:
            if interface["name"] == name:
                return interface
        raise Failure(f"no interface {name}")

    def drops(self):
        """Reason -> packets, without those of no packets."""
        return {drop["reason"]: drop["packets"] for drop in self.show("drops")["drops"] if drop["packets"]}

    def packets_out(self):
        """How many packets are not in their pools, beside those that lie in receive rings: POSTING cards keep one in
        each entry, the others have buffers of their own."""
        posting = {interface["name"] for interface in self.show("interfaces")["interfaces"]
                   if interface["driver"] in POSTING}
        posted = sum(queue["rx_ring"] for queue in self.show("interfaces queues")["queues"]
                     if queue["interface"] in posting)
        return sum(pool["total"] - pool["free"] for pool in self.show("memory")["packets"]) - posted

    def check_books(self):
        """Once nothing is in flight: received + originated = sent + delivered + dropped + held for each port, and
        what is held is all that is not in the pools of packets."""
        def unbalanced():
            wrong = []
            accounts = self.show("interfaces books")["books"]
            for books in accounts:
                left = books["received"] + books["originated"]
                right = books["sent"] + books["delivered"] + books["dropped"] + books["held"]
                if left != right or not books["balanced"]:
                    wrong.append(str(books))
            held, out = sum(books["held"] for books in accounts), self.packets_out()
            if held != out:
                wrong.append(f"{out} packets are out of their pools and rings, {held} are held")
            return wrong

        wrong = unbalanced()
        deadline = time.monotonic() + 5
        while wrong and time.monotonic() < deadline:
            time.sleep(0.2)
            wrong = unbalanced()
        expect(not wrong, "the books do not balance:", *wrong)

    # ---- QEMU --------------------------------------------------------------------------------

    def qmp(self, execute, **arguments):
        self.monitor.send(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
        deadline = time.monotonic() + COMMAND_LIMIT_S
        while True:
            _, match = self.monitor.wait(r"([^\n]*)\n", deadline - time.monotonic(), f"answer to {execute}")
            answer = json.loads(match.group(1) or "{}")
            if "event" in answer:
                self.events.append(answer["event"])
            elif "error" in answer:
                raise Failure(f"QEMU refused {execute}: {answer['error']['desc']}")
            elif "return" in answer:
                return answer["return"]

    def set_link(self, port, up):
        self.qmp("set_link", name=f"card{port}", up=up)

    def press(self, *keys):
        """Types keys by QEMU's names, each with those it is held with: "a", "shift-a", "ret"."""
        for key in keys:
            codes = [{"type": "qcode", "data": code} for code in key.split("-")]
            self.qmp("send-key", keys=codes, **{"hold-time": 20})
            time.sleep(0.05)

    def screenshot(self):
        """(width, height, rows of pixels as bytes) of the screen."""
        path = self.folder / "screen.ppm"
        self.qmp("screendump", filename=str(path))
        match = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", path.read_bytes())
        expect(match, "screendump of an unknown kind")
        width, height = int(match.group(1)), int(match.group(2))
        pixels = path.read_bytes()[match.end():]
        return width, height, [pixels[y * width * 3:(y + 1) * width * 3] for y in range(height)]

    def physical_memory(self, address, size):
        path = self.folder / "memory"
        self.qmp("pmemsave", val=address, size=size, filename=str(path))
        return path.read_bytes()

    def wait_end(self, limit_s=10):
        """QEMU's exit status, once it has ended by itself."""
        deadline = time.monotonic() + limit_s
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise Failure(f"QEMU still runs after {limit_s} s; console:\n{self.console.all[-2000:]}")
            if self.console.receive(0.05) is None:
                time.sleep(0.05)
        self.balanced = False
        return self.process.returncode

    @property
    def running(self):
        return self.process.poll() is None


class Undo:
    """What is to be undone, last first; one that fails does not keep the others from it."""

    def __init__(self):
        self.steps = []

    def callback(self, function, *arguments):
        self.steps.append((function, arguments))

    def run(self):
        while self.steps:
            function, arguments = self.steps.pop()
            try:
                function(*arguments)
            except Exception as error:  # pylint: disable=broad-except
                print(f"while cleaning up: {error}")


class ProcessRouter(Router):
    """The same router as a Linux process, build/host/tsuji, in a namespace of its own. Its taps t0, t1 ... are made
    there and then moved to the hosts: lab.host(..., tap=router.tap(0)). With `watch_races` it is build/tsan/tsuji, and
    races() tells what ThreadSanitizer has found."""

    # pylint: disable-next=super-init-not-called -- there is no QEMU
    def __init__(self, lab, cores=1, config="", files=None, port_count=2, watch_races=False):
        self.lab = lab
        self.namespace = f"tsuji-router-{os.getpid()}"
        run("ip", "netns", "add", self.namespace)
        lab.undo.callback(lambda: run("ip", "netns", "delete", self.namespace, check=False))
        self.folder = Path(tempfile.mkdtemp(prefix=f"tsuji-lab-{os.getpid()}-"))
        lab.undo.callback(shutil.rmtree, self.folder, True)
        self.balanced = True
        self.console = Stream(self.folder / "console")
        lab.undo.callback(self.console.close)
        (self.folder / "config").write_text(config)
        self._place_files(files)
        program = RACE_PROCESS if watch_races else PROCESS
        command = ["ip", "netns", "exec", self.namespace, str(program), "--config", str(self.folder / "config"),
                   "--files", str(self.folder / "files"), "--cores", str(cores)]
        for index in range(port_count):
            command += ["--port", f"eth{index}=tap:t{index}"]
        with socket.socket(socket.AF_UNIX) as terminal:
            terminal.connect(str(self.folder / "console"))
            options = {"TSAN_OPTIONS": f"log_path={self.folder}/races"}
            self.process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE,
                                            env=os.environ | options)
        lab.undo.callback(self._end)
        self.console.accept(10)
        self.wait_ready()

    def tap(self, index):
        return self.namespace, f"t{index}"

    def races(self):
        return "\n".join(file.read_text() for file in self.folder.glob("races.*"))


class Background:
    """A function that runs beside the test, in a thread; its result, or what it raised."""

    def __init__(self, function, *arguments):
        self.value, self.error = None, None
        self.thread = threading.Thread(target=self._run, args=(function, arguments))
        self.thread.start()

    def _run(self, function, arguments):
        try:
            self.value = function(*arguments)
        except BaseException as error:  # pylint: disable=broad-except
            self.error = error

    @property
    def running(self):
        return self.thread.is_alive()

    @property
    def result(self):
        self.thread.join()
        if self.error:
            raise self.error
        return self.value


class Lab:
    def __init__(self):
        self.undo = Undo()
        self.routers = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            for router in self.routers:
                if kind is None and router.balanced:
                    router.check_books()
        finally:
            if kind is not None:
                for router in self.routers:
                    print(f"---- console of the router:\n{router.console.all[-4000:]}\n----")
            self.undo.run()

    def host(self, name, address, gateway=None, queue_count=1, mtu=1500, tap=None):
        """tap: (namespace, name) of one that a ProcessRouter has made; else the host makes its own."""
        return Host(self, name, address, gateway, queue_count, mtu, tap)

    def folder(self):
        """A new one, which goes with the lab."""
        path = Path(tempfile.mkdtemp(prefix=f"tsuji-lab-{os.getpid()}-"))
        self.undo.callback(shutil.rmtree, path, True)
        return path

    def router(self, *arguments, **more):
        router = Router(self, *arguments, **more)
        self.routers.append(router)
        return router

    def process_router(self, *arguments, **more):
        router = ProcessRouter(self, *arguments, **more)
        self.routers.append(router)
        return router

    def in_background(self, function, *arguments):
        """The function has a time limit of its own; the lab waits for it."""
        background = Background(function, *arguments)
        self.undo.callback(background.thread.join)
        return background

    @staticmethod
    def run_program(*words, limit_s=20):
        """Output of a program that enters namespaces by itself."""
        return run(*(str(word) for word in words), limit_s=limit_s)

    def start_program(self, *words):
        process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   text=True)
        self.undo.callback(self._stop, process)
        return process

    def start(self, command, ready=None):
        """A program that runs until the lab ends. Its words are kept for waiting on `ready`, else thrown away."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE if ready else subprocess.DEVNULL,
                                   stderr=subprocess.STDOUT, text=True)
        self.undo.callback(self._stop, process)
        while ready:
            line = process.stdout.readline()
            expect(line, f"ended before {ready!r}: {' '.join(command)}")
            if ready in line:
                break
        return process

    @staticmethod
    def _stop(process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()
