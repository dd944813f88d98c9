#!/usr/bin/python3
"""Sends the frames of a recording byte for byte, over and over, to another MAC address.

    replay.py INTERFACE GATEWAY-MAC FILE COUNT        prints how many were sent

The recording host's own ARP and neighbor discovery are left out: they would speak for an address that the hosts of
the test have. Runs inside the namespace of a host.
"""
import socket
import struct
import sys
import time

FILE_HEADER_BYTES = 24
RECORD_HEADER = struct.Struct("<IIII")   # seconds, microseconds, captured, original length
ETHERTYPE_ARP, ETHERTYPE_IPV6 = b"\x08\x06", b"\x86\xdd"
ICMPV6 = 58
NEIGHBOR_DISCOVERY = range(133, 138)     # RFC 4861, 4
FRAME_MAX = 1514
BURST = 32
PACKETS_PER_S = 20000


def is_link_talk(frame):
    kind = frame[12:14]
    return kind == ETHERTYPE_ARP or (kind == ETHERTYPE_IPV6 and len(frame) > 54 and frame[20] == ICMPV6 and
                                     frame[54] in NEIGHBOR_DISCOVERY)


def read_frames(path, mac):
    with open(path, "rb") as file:
        data = file.read()
    frames, at = [], FILE_HEADER_BYTES
    while at + RECORD_HEADER.size <= len(data):
        captured = RECORD_HEADER.unpack_from(data, at)[2]
        frame = data[at + RECORD_HEADER.size:at + RECORD_HEADER.size + captured]
        at += RECORD_HEADER.size + captured
        if 14 <= len(frame) <= FRAME_MAX and not is_link_talk(frame):
            frames.append(frame if frame[0] & 1 else mac + frame[6:])
    return frames


def main():
    interface, mac, path, count = sys.argv[1:5]
    frames = read_frames(path, bytes.fromhex(mac.replace(":", "")))
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))
        started = time.monotonic()
        for number in range(int(count)):
            try:
                wire.send(frames[number % len(frames)])
                sent += 1
            except OSError:
                time.sleep(0.001)  # the card's queue is full: this one is lost
            if number % BURST == 0:
                time.sleep(max(0.0, started + number / PACKETS_PER_S - time.monotonic()))
    print(sent)


if __name__ == "__main__":
    main()
