#!/usr/bin/python3
"""Sends the frames of a recording byte for byte, over and over, to another MAC address.

    replay.py INTERFACE GATEWAY-MAC FILE COUNT        prints how many were sent

The recording host's own ARP and neighbor discovery are left out: they would speak for an address that the hosts of
the test have. Runs inside the namespace of a host.
"""
import struct
import sys

from attack import send_all

FILE_HEADER_BYTES = 24
RECORD_HEADER = struct.Struct("<IIII")   # seconds, microseconds, captured, original length
ETHERTYPE_ARP, ETHERTYPE_IPV6 = b"\x08\x06", b"\x86\xdd"
ICMPV6 = 58
NEIGHBOR_DISCOVERY = range(133, 138)     # RFC 4861, 4
FRAME_MAX = 1514


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
    print(send_all(interface, (frames[number % len(frames)] for number in range(int(count)))))


if __name__ == "__main__":
    main()
