/* ping and traceroute: probes sent from the console, a state each, polled by whoever started them.
 * Both families are alike; TTL is IPv6's hop limit, too. Belongs to the control core. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"

struct router;
struct probe;

enum {
    /* No packet of ours is longer than 65,535 bytes, 8 of which are the ICMP header. */
    PROBE_PAYLOAD_MAX_BYTES = 65535 - 20 - 8,
    PROBE6_PAYLOAD_MAX_BYTES = 65535 - 40 - 8,
};

struct probe_setup {
    struct address target;
    struct address source;  /* of the same family; none: chosen by the way out */
    uint16_t port;          /* of a link-local target: where it is; else ignored */
    bool trace;             /* TTL 1, 2, ...: traceroute */
    uint32_t count;         /* probes; for a trace: per hop */
    uint32_t interval_ms;   /* between probes */
    uint32_t timeout_ms;    /* for an answer */
    uint16_t payload_bytes; /* behind the ICMP header; at most PROBE_PAYLOAD_MAX_BYTES, over IPv6
                             * PROBE6_PAYLOAD_MAX_BYTES: what is more is cut */
    bool dont_fragment;     /* IPv6: not by us; others never do */
    uint8_t ttl_max;        /* trace: the last hop tried; ping: the TTL */
};

enum probe_answer {
    PROBE_REPLY,       /* echo reply */
    PROBE_TTL_EXPIRED, /* from a hop on the way */
    PROBE_UNREACHABLE, /* icmp_type and icmp_code of the family of `from` say what */
    PROBE_TOO_BIG,     /* mtu says */
    PROBE_TIMEOUT,
    PROBE_NO_ROUTE, /* we ourselves know no way */
};

struct probe_event {
    enum probe_answer answer;
    struct address from;
    uint32_t sequence;
    uint8_t ttl;                  /* reply: as it came; trace: as we sent it */
    uint8_t icmp_type, icmp_code; /* of an error */
    uint32_t mtu;
    uint16_t length_bytes;
    uint64_t round_trip_ns;
};

enum { PROBE_MAX = 16 }; /* at once */

struct probe *probe_start(struct router *router, const struct probe_setup *setup,
                          uint64_t now_ns) MUST_CHECK; /* NULL: too many, or no memory */
/* One event, if there is one. */
bool probe_poll(struct probe *probe, uint64_t now_ns, struct probe_event *event) MUST_CHECK;
bool probe_done(const struct probe *probe);
void probe_stop(struct probe *probe); /* frees it */

/* ---- For local.c and local6.c --------------------------------------------------------------- */

struct core;
struct icmp4_error;
struct icmp6_error;
struct probes;

struct probes *probes_create(struct core *core) MUST_CHECK; /* the control core; NULL: no memory */
void probes_destroy(struct probes *probes); /* stops those that are left; NULL is allowed */

/* The echo that an answer is about. */
struct probe_echo {
    struct address source; /* ours */
    struct address target;
    uint16_t port; /* by which the answer came; of link-local targets only */
    uint16_t identifier_be, sequence_be;
};

/* An echo reply, or an error about an echo request of ours, has come. False where nobody waits for
 * it: too late, twice, or never asked. */
bool probes_input_reply(struct probes *probes, const struct probe_echo *echo, uint8_t ttl,
                        uint16_t length_bytes, uint64_t now_ns) MUST_CHECK;
bool probes_input_error(struct probes *probes, const struct icmp4_error *error, uint32_t from_be,
                        uint64_t now_ns) MUST_CHECK;
bool probes_input_error6(struct probes *probes, const struct icmp6_error *error,
                         const struct address *from, uint16_t port, uint64_t now_ns) MUST_CHECK;
