/* The table of drop reasons. ICMP types and codes are those of RFC 792 and RFC 1812 5.2.7.1; those
 * of ICMPv6 of RFC 4443. */
#include "net/verdict.h"

enum {
    UNREACHABLE = 3, /* ICMP type, with its codes */
    NET = 0,
    HOST = 1,
    PROTOCOL = 2,
    UDP_PORT = 3,
    FRAGMENTATION = 4,
    PROHIBITED = 13, /* communication administratively prohibited */
    TIME_EXCEEDED = 11,
    IN_TRANSIT = 0,
    IN_REASSEMBLY = 1,
    PARAMETER_PROBLEM = 12,
    AT_POINTER = 0,

    UNREACHABLE6 = 1, /* ICMPv6 type, with its codes */
    ROUTE6 = 0,
    PROHIBITED6 = 1,
    SCOPE6 = 2,
    ADDRESS6 = 3,
    PORT6 = 4,
    REJECT6 = 6,
    TOO_BIG6 = 2,
    TIME_EXCEEDED6 = 3,
    PARAMETER6 = 4,
    UNKNOWN_HEADER6 = 1,
    CODE_OF_PACKET6 = 0, /* packet->error_code says */
};

#define SILENT  ICMP_NONE, ICMP_NONE, ICMP_NONE, ICMP_NONE
#define ONLY_V4 ICMP_NONE, ICMP_NONE

/* clang-format off */
const struct drop_reason drop_reasons[VERDICT_COUNT] = {
    [PASS]                      = { "pass", "passed", SILENT },
    [TAKEN]                     = { "taken", "taken", SILENT },

    [DROP_SHORT_FRAME]          = { "short-frame", "shorter than an Ethernet header", SILENT },
    [DROP_NOT_FOR_US]           = { "not-for-us", "sent to another MAC address", SILENT },
    [DROP_UNKNOWN_ETHERTYPE]    = { "unknown-ethertype", "no protocol of ours", SILENT },
    [DROP_PORT_DOWN]            = { "port-down", "the interface is down", SILENT },
    [DROP_TOO_MANY_SEGMENTS]    = { "too-many-segments", "frame of too many buffers", SILENT },

    [DROP_BAD_ARP]              = { "bad-arp", "malformed ARP", SILENT },
    [DROP_ARP_NOT_FOR_US]       = { "arp-not-for-us", "ARP about somebody else", SILENT },
    [DROP_ARP_CONFLICT]         = { "arp-conflict", "somebody else claims our address", SILENT },
    [DROP_NEIGHBOR_TABLE_FULL]  = { "neighbor-table-full", "no room for another neighbor", SILENT },
    [DROP_NEIGHBOR_QUEUE_FULL]  = { "neighbor-queue-full", "too many wait for that neighbor", SILENT },
    [DROP_NEIGHBOR_RATE_LIMIT]  = { "neighbor-rate-limit", "too many new neighbors to ask for", SILENT },
    [DROP_NEIGHBOR_FAILED]      = { "neighbor-failed", "the neighbor does not answer", UNREACHABLE, HOST, UNREACHABLE6, ADDRESS6 },

    [DROP_BAD_IPV4_HEADER]      = { "bad-ipv4-header", "contradictory IPv4 header", SILENT },
    [DROP_BAD_IPV4_CHECKSUM]    = { "bad-ipv4-checksum", "wrong IPv4 header checksum", SILENT },
    [DROP_TRUNCATED]            = { "truncated", "shorter than its header says", SILENT },
    [DROP_BAD_IPV4_OPTION]      = { "bad-ipv4-option", "malformed IPv4 option", PARAMETER_PROBLEM, AT_POINTER, ONLY_V4 },
    [DROP_SOURCE_ROUTE]         = { "source-route", "source routing is refused", SILENT },
    [DROP_MARTIAN_SOURCE]       = { "martian-source", "impossible source address", SILENT },
    [DROP_MARTIAN_DESTINATION]  = { "martian-destination", "impossible destination address", SILENT },
    [DROP_LINK_BROADCAST]       = { "link-broadcast", "unicast packet in a broadcast frame", SILENT },
    [DROP_DIRECTED_BROADCAST]   = { "directed-broadcast", "broadcast into a net from outside", SILENT },
    [DROP_MULTICAST]            = { "multicast", "no group of ours", SILENT },

    [DROP_BAD_IPV6_HEADER]      = { "bad-ipv6-header", "contradictory IPv6 header", SILENT },
    [DROP_IPV6_EXTENSION]       = { "ipv6-extension", "an IPv6 extension header that cannot pass", ICMP_NONE, ICMP_NONE, PARAMETER6, CODE_OF_PACKET6 },
    [DROP_IPV6_DISCARD]         = { "ipv6-discard", "an unknown IPv6 option wants it dropped", SILENT },
    [DROP_IPV6_DISABLED]        = { "ipv6-disabled", "our link-local address is somebody else's", SILENT },
    [DROP_BEYOND_SCOPE]         = { "beyond-scope", "a link-local address on another link", ICMP_NONE, ICMP_NONE, UNREACHABLE6, SCOPE6 },
    [DROP_BAD_ND]               = { "bad-nd", "malformed neighbor discovery", SILENT },
    [DROP_ND_NOT_FOR_US]        = { "nd-not-for-us", "neighbor discovery about somebody else", SILENT },
    [DROP_ND_CONFLICT]          = { "nd-conflict", "somebody else claims our IPv6 address", SILENT },
    [DROP_ND_IGNORED]           = { "nd-ignored", "neighbor discovery that a router has no use for", SILENT },

    [DROP_ND_FULL]              = { "nd-full", "no room for another router", SILENT },

    [DROP_NO_ROUTE]             = { "no-route", "no route to the destination", UNREACHABLE, NET, UNREACHABLE6, ROUTE6 },
    [DROP_BLACKHOLE]            = { "blackhole", "a blackhole route", SILENT },
    [DROP_REJECT]               = { "reject", "a reject route", UNREACHABLE, PROHIBITED, UNREACHABLE6, REJECT6 },
    [DROP_FILTER]               = { "filter", "a filter drops it", SILENT },
    [DROP_FILTER_REJECT]        = { "filter-reject", "a filter rejects it", UNREACHABLE, PROHIBITED, UNREACHABLE6, PROHIBITED6 },
    [DROP_FILTER_OPAQUE]        = { "filter-opaque", "cut or wrapped so that no filter can judge it", SILENT },
    [DROP_TTL_EXPIRED]          = { "ttl-expired", "TTL or hop limit reached zero", TIME_EXCEEDED, IN_TRANSIT, TIME_EXCEEDED6, IN_TRANSIT },
    [DROP_FRAGMENT_NEEDED]      = { "fragment-needed", "too long, and must not be fragmented", UNREACHABLE, FRAGMENTATION, TOO_BIG6, 0 },
    [DROP_TX_RING_FULL]         = { "tx-ring-full", "the card did not keep up", SILENT },
    [DROP_MAILBOX_FULL]         = { "mailbox-full", "another core did not keep up", SILENT },
    [DROP_NO_BUFFER]            = { "no-buffer", "no packet buffer left", SILENT },

    [DROP_PROTOCOL_UNREACHABLE] = { "protocol-unreachable", "a protocol we do not speak", UNREACHABLE, PROTOCOL, PARAMETER6, UNKNOWN_HEADER6 },
    [DROP_UDP_PORT_UNREACHABLE] = { "udp-port-unreachable", "nobody listens on that UDP port", UNREACHABLE, UDP_PORT, UNREACHABLE6, PORT6 },
    [DROP_BAD_UDP]              = { "bad-udp", "malformed UDP", SILENT },
    [DROP_BAD_ICMP]             = { "bad-icmp", "malformed ICMP", SILENT },
    [DROP_ICMP_IGNORED]         = { "icmp-ignored", "ICMP that nobody waits for", SILENT },
    [DROP_SOCKET_FULL]          = { "socket-full", "the socket's queue is full", SILENT },
    [DROP_REASSEMBLY_TIMEOUT]   = { "reassembly-timeout", "fragments missing too long", TIME_EXCEEDED, IN_REASSEMBLY, TIME_EXCEEDED6, IN_REASSEMBLY },
    [DROP_REASSEMBLY_OVERLAP]   = { "reassembly-overlap", "overlapping fragments", SILENT },
    [DROP_REASSEMBLY_FULL]      = { "reassembly-full", "too many packets in fragments", SILENT },
    [DROP_REASSEMBLY_BAD]       = { "reassembly-bad", "fragments that make no packet", SILENT },

    [DROP_ICMP_RATE_LIMIT]      = { "icmp-rate-limit", "an ICMP error not sent, to limit their rate", SILENT },
};
/* clang-format on */
