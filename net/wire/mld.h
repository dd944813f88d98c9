/* Multicast listener discovery, a listener's part: queries in, reports out (version 2: RFC 3810;
 * version 1: RFC 2710). All are ICMPv6 messages from a link-local address (a report may come from
 * the unspecified one, RFC 3810 5.2.13) with hop limit 1 and a router alert in hop-by-hop options;
 * ipv6_router_alert_write() makes these, icmp6_seal() the checksum. */
#pragma once

#include "kernel/base/types.h"
#include "net/wire/ipv6.h"

enum {
    MLD_HOP_LIMIT = 1,
    MLD1_MESSAGE_BYTES = 24, /* queries, reports, "done" of version 1 */
    MLD_QUERY_BYTES = 28,    /* of version 2, without sources */
    MLD_REPORT_BYTES = 8,    /* without records */
    MLD_RECORD_BYTES = 20,   /* without sources */

    /* In one report: what fits into the minimum MTU, behind header and hop-by-hop options. */
    MLD_RECORDS_MAX =
        (IPV6_MINIMUM_MTU - IPV6_HEADER_BYTES - IPV6_ROUTER_ALERT_HEADER_BYTES - MLD_REPORT_BYTES) /
        MLD_RECORD_BYTES, /* 61 */
};

struct mld_query {
    uint8_t version; /* of the querier: 1 or 2, by the message's length (RFC 3810 8.1) */
    uint32_t maximum_response_ms;
    uint8_t group[IPV6_ADDRESS_BYTES]; /* unspecified: all of them */
    /* Of version 2; 0 in version 1. */
    bool suppress;       /* S: other routers leave their timers alone */
    uint8_t robustness;  /* QRV; 0: not told */
    uint32_t interval_s; /* QQIC */
    uint16_t source_count;
    const uint8_t *sources; /* 16 bytes each, borrowed from the message */
};

/* Reads a query of length_bytes contiguous bytes whose checksum is good. ERROR_TRUNCATED where it
 * is shorter than version 1's; ERROR_UNSUPPORTED where it is no query, or of a length that is
 * neither version's (RFC 3810 8.1); ERROR_MALFORMED where one of these rules is broken:
 *
 *   from a link-local address, hop limit 1, with router alert           RFC 3810 6.2
 *   the group is one, or unspecified                                    RFC 3810 5.1.5
 *   the sources are all there                                           RFC 3810 5.1.11 */
enum error mld_query_read(const struct ipv6_header *header, bool router_alert, const void *message,
                          size_t length_bytes, struct mld_query *query) MUST_CHECK;

enum mld_record_type { /* RFC 3810 5.2.12 */
                       MLD_IS_INCLUDE = 1,
                       MLD_IS_EXCLUDE =
                           2, /* without sources: listens to all, in answer to a query */
                       MLD_TO_INCLUDE = 3, /* without sources: listens no longer */
                       MLD_TO_EXCLUDE = 4, /* without sources: listens from now on */
                       MLD_ALLOW_SOURCES = 5,
                       MLD_BLOCK_SOURCES = 6,
};

/* A group, always without sources and auxiliary data. */
struct mld_record {
    enum mld_record_type type;
    uint8_t group[IPV6_ADDRESS_BYTES];
};

/* Writes a report of at most MLD_RECORDS_MAX records, to ff02::16, its checksum 0. How many bytes;
 * 0 where size_bytes is not enough. */
size_t mld_report_write(const struct mld_record *records, unsigned count, void *out,
                        size_t size_bytes) MUST_CHECK;

/* Version 1's report, to the group, or "done", to ff02::2, for a link with a querier of version 1
 * (RFC 3810 8.2.1): type is ICMP6_LISTENER_REPORT or ICMP6_LISTENER_DONE. */
void mld1_message_write(uint8_t type, const uint8_t *group, uint8_t out[MLD1_MESSAGE_BYTES]);
