#!/usr/bin/python3
"""Sends echo requests in IPv6 fragments, good and bad ones, and tells as JSON which were answered: by name, and
the ICMPv6 errors that came, as [type, code, what is behind them].

    fragments6.py INTERFACE OWN-ADDRESS ROUTER-ADDRESS ROUTER-MAC

Runs inside the namespace of a host. The last request is a plain one: when its answer comes, all that was sent
before has been decided.
"""
import json
import socket
import struct
import sys

from scapy.all import Ether, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN, Raw, conf

ECHO_REPLY, FIRST_INFORMATIONAL = 129, 128
WAIT_S = 10


def pieces(data, cuts, identity, protocol=58):
    """[start, end) of the data as fragments; `more` where they end before the data does."""
    return [IPv6ExtHdrFragment(nh=protocol, offset=start // 8, m=int(end < len(data)), id=identity) / Raw(data[start:end])
            for start, end in cuts]


def in_pieces_of(size, data):
    return [(start, min(start + size, len(data))) for start in range(0, len(data), size)]


def main():
    interface, own, router, mac = sys.argv[1:]
    answers = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    answers.settimeout(WAIT_S)
    sender = conf.L2socket(iface=interface)
    names = []

    def request(name, size):
        """The bytes of an echo request, whose identifier is the place of the name."""
        names.append(name)
        return bytes(IPv6(src=own, dst=router) / ICMPv6EchoRequest(id=len(names), data=bytes(size)))[40:]

    def send(packets, before=None):
        for packet in packets:
            head = Ether(dst=mac) / IPv6(src=own, dst=router)
            sender.send(head / before / packet if before else head / packet)

    data = request("whole in order", 2000)
    send(pieces(data, in_pieces_of(1000, data), 1))
    data = request("whole backwards, after options", 2000)
    send(reversed(pieces(data, in_pieces_of(1000, data), 2)), IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]))
    data = request("smallest pieces", 300)
    send(pieces(data, in_pieces_of(8, data), 3))
    data = request("each piece twice", 2000)
    send([piece for piece in pieces(data, in_pieces_of(1000, data), 4)[:1] * 2 + pieces(data, [(1000, 2008)], 4)])
    data = request("overlapping", 2000)
    send(pieces(data, [(0, 1000), (992, 1008), (1000, 2008)], 5))
    data = request("overlapping at the end", 2000)
    send(pieces(data, [(1000, 2008), (0, 1008), (0, 1000)], 6))
    data = request("other bytes in the same place", 2000)
    send(pieces(bytes(data[:1000]) + b"\1" * 8 + data[1008:], [(1000, 2008)], 7) +
         pieces(data, [(1000, 2008), (0, 1000)], 7))
    data = request("around an atomic one", 2000)
    send(pieces(data, [(0, 1000)], 8))
    atomic = request("atomic with their identification", 100)
    send(pieces(atomic, [(0, len(atomic))], 8))
    send(pieces(data, [(1000, 2008)], 8))
    data = request("not the last and no multiple of 8", 2000)
    send(pieces(data, [(0, 1001), (1000, 2008)], 9))
    data = request("first without the ICMPv6 header", 2000)
    send(IPv6ExtHdrFragment(nh=60, offset=0, m=1, id=10) / Raw(bytes([58, 1]) + bytes(6)) for _ in range(1))
    data = request("fragments in fragments", 200)
    inner = bytes(IPv6ExtHdrFragment(nh=58, offset=0, m=0, id=12)) + data
    send(pieces(inner, in_pieces_of(104, inner), 11, protocol=44))
    request("the last, plain", 10)
    send([ICMPv6EchoRequest(id=len(names), data=bytes(10))])

    answered, errors = set(), []
    while len(names) not in answered:
        message = answers.recv(65536)
        if message[0] == ECHO_REPLY:
            answered.add(struct.unpack_from(">H", message, 4)[0])
        elif message[0] < FIRST_INFORMATIONAL:
            errors.append([message[0], message[1], struct.unpack_from(">I", message, 4)[0]])
    print(json.dumps({"answered": {name: number in answered for number, name in enumerate(names, 1)}, "errors": errors}))


main()
