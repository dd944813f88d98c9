#!/usr/bin/python3
"""Sends seeded nonsense that looks like IPv6, as attack.py does with IPv4: chains of extension headers, options,
fragments, neighbor discovery and other ICMPv6, each field right most of the time so that every later check is reached
as well.

    attack6.py INTERFACE GATEWAY-MAC TARGET COUNT SEED        prints how many were sent

Runs inside the namespace of a host; the same seed sends the same packets.
"""
import random
import socket
import struct
import sys

from attack import FRAME_MAX, OWN_MAC, checksum, send_all

NEAR = bytes.fromhex("fd01") + bytes(13)    # the sender's network, but for the last byte
LINK = bytes.fromhex("fe80") + bytes(13)
GROUPS = [socket.inet_pton(socket.AF_INET6, group) for group in ("ff02::1", "ff02::2", "ff02::1:ff00:1")]
HOP_BY_HOP, TCP, UDP, ROUTING, FRAGMENT, AH, ICMP6, NONE, DESTINATION = 0, 6, 17, 43, 44, 51, 58, 59, 60
EXTENSIONS = [HOP_BY_HOP, DESTINATION, ROUTING, FRAGMENT, AH]
OPTIONS = [0, 1, 5, 0x1E, 0x5E, 0x9E, 0xDE, 0xC2, 0xC9]    # padding, router alert, unknown of each kind, jumbo, home


def options(chance, size):
    """So many bytes of options, whose lengths are right most of the time; the last is cut off."""
    text = b""
    while len(text) < size:
        kind = chance.choice(OPTIONS)
        length = chance.choice([0, 2, 4, 4, 4, 255, chance.randrange(256)])
        text += b"\0" if kind == 0 else bytes([kind, length]) + bytes(min(length, size))
    return text[:size]


def extension(chance, kind, following):
    """One header of that kind."""
    if kind == FRAGMENT:
        offset = chance.choice([0, 1, 1, 8, 0x1FF9, 0xFFF8, chance.randrange(65536)])
        return struct.pack(">BBHI", following, 0, offset, chance.randrange(64))
    units = chance.choice([0, 0, 0, 1, 2, chance.randrange(20)])
    body = options(chance, 6 + 8 * units) if kind in (HOP_BY_HOP, DESTINATION) else chance.randbytes(6 + 8 * units)
    if kind == ROUTING:
        body = bytes([chance.choice([0, 0, 2, 3, 4]), chance.choice([0, 0, 1, 255])]) + body[2:]
    length = units if chance.random() < 0.9 else chance.randrange(256)
    return bytes([following, length]) + body


def neighbor_discovery(chance, target):
    """A message with options of right and wrong lengths; it is about the target, or about somebody near."""
    kind = chance.choice([133, 134, 135, 135, 136, 136, 137])
    about = target if chance.random() < 0.5 else NEAR + bytes([chance.randrange(16, 256)])
    body = {133: bytes(4), 134: chance.randbytes(12), 137: bytes(4) + about + target}.get(
        kind, bytes([chance.choice([0, 0x20, 0x60, 0xE0]), 0, 0, 0]) + about)
    for _ in range(chance.randrange(4)):
        units = chance.choice([0, 1, 1, 1, 4, 255])
        body += bytes([chance.choice([1, 2, 3, 4, 5, 25, 200]), units]) + chance.randbytes(8 * min(units, 4) - 2
                                                                                           if units else 6)
    return bytes([kind, 0 if chance.random() < 0.95 else 1]), body


def upper(chance, protocol, source, target):
    payload = chance.randbytes(chance.choice([0, 1, 7, 8, 20, chance.randint(0, 1400)]))
    if protocol != ICMP6:
        return payload
    if chance.random() < 0.5:
        head, body = neighbor_discovery(chance, target)
    else:
        head = bytes([chance.choice([1, 2, 3, 4, 128, 129, 130, 131, 143, chance.randrange(256)]),
                      chance.randrange(8)])
        body = chance.randbytes(4) + payload
    total = len(body) + 4
    pseudo = source + target + struct.pack(">II", total, ICMP6)
    return head + struct.pack(">H", checksum(pseudo + head + b"\0\0" + body)) + body


def packet(chance, target):
    source = chance.choice([NEAR, NEAR, NEAR, LINK]) + bytes([chance.randrange(16, 256)])
    if chance.random() < 0.1:
        source = chance.choice([bytes(16), bytes(15) + b"\1", target, GROUPS[0], chance.randbytes(16)])
    if chance.random() < 0.2:
        target = chance.choice(GROUPS)
    following = chance.choice([ICMP6, ICMP6, ICMP6, TCP, UDP, NONE, chance.randrange(256)])
    body = upper(chance, following, source, target)
    for _ in range(chance.choice([0, 0, 0, 0, 1, 2, 3, 20])):
        kind = chance.choice(EXTENSIONS)
        body = extension(chance, kind, following) + body
        following = kind
    body = body[:FRAME_MAX - 40]
    first = 0x60 if chance.random() < 0.95 else chance.randrange(256)
    length = len(body) if chance.random() < 0.9 else chance.choice([0, chance.randrange(65536)])
    hop_limit = chance.choice([0, 1, 2, 64, 64, 255, 255, 255])
    return bytes([first]) + chance.randbytes(3) + struct.pack(">HBB", length, following, hop_limit) + source + target + body


def main():
    interface, mac, target, count, seed = sys.argv[1:6]
    chance = random.Random(int(seed))
    ethernet = bytes.fromhex(mac.replace(":", "")) + OWN_MAC + b"\x86\xdd"
    target = socket.inet_pton(socket.AF_INET6, target)
    print(send_all(interface, (ethernet + packet(chance, target) for _ in range(int(count)))))


if __name__ == "__main__":
    main()
