"""Goal: nonsense from the wire costs nothing but counted drops. Method: attack.py, 100,000 packets at the router and as
many through it; then it must still forward, and its memory must be back where it was."""
import os
from pathlib import Path

from cases import matrix
from forwarding_tests import two_sided
from lab import Lab, expect, expect_equal

ATTACK = str(Path(__file__).resolve().parent / "attack.py")
PACKETS = 100000
SEEDS = range(1, 21) if os.environ.get("SOAK") else [1]
SETTLE_S = 60    # reassembly gives up after 30 s, neighbors that never answer after some more


@matrix(target=["10.1.0.1", "10.2.0.2"], nic=["virtio-net", "e1000"], seed=SEEDS)
def test_survives_random_packets(target, nic, seed):
    with Lab() as lab:
        h1, router, h2 = two_sided(lab, nic, 2)
        h1.expect_ping("10.2.0.2")
        free, before = router.free_packets(), router.interface("eth0")["rx_packets"]
        sent = h1.run("/usr/bin/python3", ATTACK, "eth0", router.interface("eth0")["mac"], target, str(PACKETS), str(seed),
                      limit_s=100)
        taken = router.interface("eth0")["rx_packets"] - before
        print(f"{sent.strip()} sent, {taken} arrived")
        expect(taken > PACKETS // 20, f"only {taken} arrived")
        h1.expect_ping("10.2.0.2")
        h2.expect_ping("10.1.0.2")
        h1.expect_ping("10.1.0.1")
        router.expect_packets_back(free, SETTLE_S)
        heap = router.show("memory")["heap"]
        expect_equal((heap["double_frees"], heap["corruptions"]), (0, 0), "double frees, corruptions")


test_survives_random_packets.limit_s = 240
