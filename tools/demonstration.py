#!/usr/bin/python3
"""The demonstration of tools/run.sh: the lab of the system tests with a person at the console."""
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE / "tests/system"))

from lab import CARDS, Lab, Skip, card_place, qemu_program  # noqa: E402 -- found by the line above

CONFIG_WITH_HOSTS = """system name tsuji
ip eth0 address 10.1.0.1/24
ip eth1 address 10.2.0.1/24
"""
# QEMU's user networks: the gateway of each is its .2.
CONFIG_ALONE = """system name tsuji
ip eth0 address 10.0.2.15/24
ip eth1 address 10.0.3.15/24
ip route default gateway 10.0.2.2
"""
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last when the terminal is closed
PROBE_KVM = b'{"execute":"qmp_capabilities"}{"execute":"quit"}'


def kvm_works():
    """The device file says little: machines without a processor's virtualization may have it, and even start, and then
    fail at the first vector instruction."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="ascii"), re.MULTILINE)
    if not flags or not {"vmx", "svm"} & set(flags.group(1).split()):
        return False
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    try:
        return subprocess.run(["qemu-system-x86_64", "-accel", "kvm", "-machine", "none", "-display", "none", "-qmp",
                               "stdio"], input=PROBE_KVM, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def qemu(ports, config, cores, nic, files=()):
    """Runs QEMU on this terminal until it ends. Control-C belongs to the router."""
    device = f"{CARDS[nic]},romfile="
    command = [qemu_program(nic), "-nodefaults", "-no-reboot", "-display", "none", "-machine", "q35",
               "-accel", "kvm" if kvm_works() else "tcg", "-smp", str(cores), "-m", os.environ.get("MEMORY_MIB", "256"),
               "-kernel", str(TREE / "build/tsuji.elf"), "-append", "console=com1",
               "-chardev", "stdio,id=console,mux=on,signal=off", "-serial", "chardev:console",
               "-mon", "chardev=console"]
    for index, (netdev, options) in enumerate(ports):
        options += f",mac=52:54:00:00:00:{index + 1:02x}{card_place(nic, index)}"
        command += ["-netdev", f"{netdev},id=net{index}", "-device", f"{device},netdev=net{index}{options}"]
    with tempfile.NamedTemporaryFile("w", prefix="tsuji-config-") as file:
        file.write(config)
        file.flush()
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return subprocess.run(command + ["-initrd", file.name], pass_fds=files, check=False).returncode
        finally:
            signal.signal(signal.SIGINT, previous)


def tap_port(host):
    files = ":".join(str(file) for file in host.tap_files)
    if len(host.tap_files) == 1:
        return f"tap,fd={files}", ""
    return f"tap,fds={files}", f",mq=on,vectors={2 * len(host.tap_files) + 2}"


def with_hosts(cores, nic):
    queue_count = cores if nic == "virtio-net" else 1
    with Lab() as lab:
        h1 = lab.host("h1", "10.1.0.2/24", gateway="10.1.0.1", queue_count=queue_count)
        h2 = lab.host("h2", "10.2.0.2/24", gateway="10.2.0.1", queue_count=queue_count)
        lab.start(h2.command("iperf3", "--server"))
        lab.start(h1.command("ping", "-q", "-i", "0.5", "10.2.0.2"))
        print(f"""
  h1 10.1.0.2 ---- eth0 10.1.0.1 [ Tsuji ] 10.2.0.1 eth1 ---- h2 10.2.0.2      h1 pings h2 all the time

  Type here:             show interfaces     show ip route     show arp     ping 10.1.0.2     show drops     ?
  In another terminal:   ip netns exec {h1.namespace} traceroute -n 10.2.0.2
                         ip netns exec {h1.namespace} iperf3 -c 10.2.0.2
  To end:                halt   (or Control-A, then x)
""", flush=True)
        return qemu([tap_port(h1), tap_port(h2)], CONFIG_WITH_HOSTS, cores, nic, h1.tap_files + h2.tap_files)


def alone(cores, nic):
    print("""
  Not root, so there are no hosts: eth0 and eth1 are on QEMU's user networks, 10.0.2.0/24 and 10.0.3.0/24.

  Type here:             show interfaces     ping 10.0.2.2     show arp     show ip route     ?
  To end:                halt   (or Control-A, then x)
""", flush=True)
    return qemu([("user,net=10.0.2.0/24", ""), ("user,net=10.0.3.0/24", "")], CONFIG_ALONE, cores, nic)


def end(*_):
    """Once: what cleans up is not to be interrupted by the next."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    sys.exit(1)


def main():
    cores, nic = int(os.environ.get("CORES", "2")), os.environ.get("NIC", "virtio-net")
    if nic not in CARDS:
        print(f"NIC={nic}: one of {', '.join(CARDS)}")
        return 2
    root = os.geteuid() == 0 and os.path.exists("/dev/net/tun")
    try:
        return with_hosts(cores, nic) if root else alone(cores, nic)
    except Skip as reason:
        print(reason)
        return 2


if __name__ == "__main__":
    for ending in ENDINGS:
        signal.signal(ending, end)
    sys.exit(main())
