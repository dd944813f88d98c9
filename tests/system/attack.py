#!/usr/bin/python3
"""Sends seeded nonsense that looks like IPv4, in the spirit of ISIC: random headers, options, fragments, lengths and
checksums, each field right most of the time so that every later check is reached as well.

    attack.py INTERFACE GATEWAY-MAC TARGET COUNT SEED        prints how many were sent

Runs inside the namespace of a host; the same seed sends the same packets.
"""
import random
import socket
import struct
import sys
import time

OWN_MAC = bytes.fromhex("020000000042")
NEAR = bytes([10, 1, 0])      # the sender's network
FRAME_MAX = 1500
BURST = 32                    # packets between two looks at the clock
PACKETS_PER_S = 20000
ICMP, TCP, UDP = 1, 6, 17


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def options(chance):
    """Multiples of four bytes, 40 at most: known kinds with good and bad lengths, or noise."""
    if chance.random() < 0.5:
        return chance.randbytes(4 * chance.randint(1, 10))
    kind = chance.choice([0, 1, 7, 68, 130, 131, 136, 137, 148])
    length = chance.choice([0, 1, 2, 3, 4, 7, 8, 11, 40, 255])
    pointer = chance.choice([0, 3, 4, 5, 8, 255])
    text = bytes([kind, length, pointer]) + chance.randbytes(max(0, min(length, 40) - 3))
    return text[:40].ljust((min(len(text), 40) + 3) // 4 * 4, b"\0")


def transport(chance, protocol):
    payload = chance.randbytes(chance.choice([0, 1, 7, 8, 20, chance.randint(0, 1400)]))
    if protocol == ICMP:
        kind = chance.choice([0, 3, 5, 8, 11, 12, 13, chance.randrange(256)])
        head = bytes([kind, chance.randrange(20), 0, 0]) + chance.randbytes(4)
        return head[:2] + struct.pack(">H", checksum(head + payload)) + head[4:] + payload
    if protocol == UDP:
        length = 8 + len(payload) if chance.random() < 0.8 else chance.randrange(65536)
        return chance.randbytes(4) + struct.pack(">HH", length, chance.choice([0, chance.randrange(65536)])) + payload
    if protocol == TCP:
        return chance.randbytes(20) + payload
    return payload


def packet(chance, target):
    protocol = chance.choice([ICMP, ICMP, UDP, TCP, chance.randrange(256)])
    body = transport(chance, protocol)
    extra = options(chance) if chance.random() < 0.2 else b""
    body = body[:FRAME_MAX - 20 - len(extra)]
    words = 5 + len(extra) // 4
    first = 0x40 | words if chance.random() < 0.95 else chance.randrange(256)
    length = 20 + len(extra) + len(body) if chance.random() < 0.9 else chance.randrange(65536)
    fragment = 0 if chance.random() < 0.7 else chance.choice([0x2000, 0x4000, 0x8000, 0x1FFF, chance.randrange(65536)])
    ttl = chance.choice([0, 1, 2, 64, 64, 64, 255])
    source = NEAR + bytes([chance.randrange(256)]) if chance.random() < 0.7 else chance.randbytes(4)
    identity = chance.randrange(64) if fragment else chance.randrange(65536)
    header = struct.pack(">BBHHHBBH4s4s", first, chance.randrange(256), length, identity, fragment, ttl, protocol, 0,
                         source, target) + extra
    if chance.random() < 0.95:
        header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    return header + body


def send_all(interface, frames):
    """At PACKETS_PER_S; how many the card took."""
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))
        started = time.monotonic()
        for number, frame in enumerate(frames):
            try:
                wire.send(frame)
                sent += 1
            except OSError:
                time.sleep(0.001)  # the card's queue is full: this one is lost
            if number % BURST == 0:
                time.sleep(max(0.0, started + number / PACKETS_PER_S - time.monotonic()))
    return sent


def main():
    interface, mac, target, count, seed = sys.argv[1:6]
    chance = random.Random(int(seed))
    ethernet = bytes.fromhex(mac.replace(":", "")) + OWN_MAC + b"\x08\x00"
    target = socket.inet_aton(target)
    print(send_all(interface, (ethernet + packet(chance, target) for _ in range(int(count)))))


if __name__ == "__main__":
    main()
