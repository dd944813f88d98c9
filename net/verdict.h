/* What a stage says of a packet, and why packets die. Each reason is a counter per port and core, a
 * stable word for machines, a text for people, and the ICMP error that its sender is owed, if any.
 */
#pragma once

#include "kernel/base/types.h"

enum verdict {
    PASS,  /* on to the next stage */
    TAKEN, /* somebody else owns it now: a waiting list, a mailbox, the local stack */

    /* Link */
    DROP_SHORT_FRAME, /* shorter than an Ethernet header */
    DROP_NOT_FOR_US,  /* unicast to another MAC address */
    DROP_UNKNOWN_ETHERTYPE,
    DROP_PORT_DOWN,
    DROP_TOO_MANY_SEGMENTS,
    /* ARP (RFC 826, RFC 5227) */
    DROP_BAD_ARP,
    DROP_ARP_NOT_FOR_US,
    DROP_ARP_CONFLICT,
    DROP_NEIGHBOR_TABLE_FULL,
    DROP_NEIGHBOR_QUEUE_FULL,
    DROP_NEIGHBOR_RATE_LIMIT,
    DROP_NEIGHBOR_FAILED, /* nobody answered: host unreachable */
    /* IPv4 header (RFC 1812 5.2.2, 5.3.7) */
    DROP_BAD_IPV4_HEADER,
    DROP_BAD_IPV4_CHECKSUM,
    DROP_TRUNCATED,       /* the header's length is more than came */
    DROP_BAD_IPV4_OPTION, /* parameter problem */
    DROP_SOURCE_ROUTE,    /* refused, RFC 7126 */
    DROP_MARTIAN_SOURCE,
    DROP_MARTIAN_DESTINATION,
    DROP_LINK_BROADCAST,     /* unicast IP in a link broadcast: RFC 1122 3.3.6 */
    DROP_DIRECTED_BROADCAST, /* RFC 2644 */
    DROP_MULTICAST,          /* not a group of ours */
    /* IPv6 (RFC 8200, RFC 4291) */
    DROP_BAD_IPV6_HEADER,
    DROP_IPV6_EXTENSION, /* a header or option that we may not pass: parameter problem */
    DROP_IPV6_DISCARD,   /* an option wants to be dropped in silence */
    DROP_IPV6_DISABLED,  /* the port's link-local address is somebody else's: RFC 4862 5.4.5 */
    DROP_BEYOND_SCOPE,   /* from or to a link, and not on it: RFC 4291 2.5.6 */
    /* Neighbor discovery (RFC 4861) */
    DROP_BAD_ND,
    DROP_ND_NOT_FOR_US,
    DROP_ND_CONFLICT,
    DROP_ND_IGNORED, /* what a router has no use for */
    DROP_ND_FULL,    /* of another router, when there is room for no more */
    /* Forwarding */
    DROP_NO_ROUTE, /* net unreachable */
    DROP_BLACKHOLE,
    DROP_REJECT,        /* administratively prohibited */
    DROP_FILTER,        /* a rule says so */
    DROP_FILTER_REJECT, /* likewise: administratively prohibited, or a reset */
    DROP_FILTER_OPAQUE, /* there are rules, and it hides from them */
    DROP_TTL_EXPIRED,
    DROP_FRAGMENT_NEEDED, /* DF set and too long for the way out */
    DROP_TX_RING_FULL,
    DROP_MAILBOX_FULL,
    DROP_NO_BUFFER,
    /* To ourselves */
    DROP_PROTOCOL_UNREACHABLE,
    DROP_UDP_PORT_UNREACHABLE,
    DROP_BAD_UDP,
    DROP_BAD_ICMP,
    DROP_ICMP_IGNORED, /* of a kind that nobody waits for */
    DROP_SOCKET_FULL,
    DROP_REASSEMBLY_TIMEOUT,
    DROP_REASSEMBLY_OVERLAP,
    DROP_REASSEMBLY_FULL,
    DROP_REASSEMBLY_BAD, /* lengths that make no packet */
    /* What we owe nobody */
    DROP_ICMP_RATE_LIMIT, /* an error we did not send */
    VERDICT_COUNT,
};

enum { ICMP_NONE = 0xff };

struct drop_reason {
    const char *id;                 /* "ttl-expired" */
    const char *text;               /* "TTL reached zero" */
    uint8_t icmp_type, icmp_code;   /* of IPv4; ICMP_NONE: die in silence */
    uint8_t icmp6_type, icmp6_code; /* of IPv6, likewise */
};

/* Indexed by verdict; PASS and TAKEN have none. */
extern const struct drop_reason drop_reasons[VERDICT_COUNT];
