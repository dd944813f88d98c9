/* See probe.h. A probe is an ICMP or ICMPv6 echo request; what it is for stands in its flight, a
 * slot that waits for the answer until its time is over:
 *
 *   probe_start -> [ send when due ] -> flight -- reply, error or timeout --> event -> probe_poll
 *                        ^                                                      |
 *                        +---- a trace begins its next hop when none flies -----+
 *
 * One timer per probe drives both sending and timeouts, so that probing goes on, and a sleeping
 * core wakes, whether or not anybody polls. Events that nobody fetches stop the sending, not the
 * router. */
#include "net/probe.h"

#include "kernel/base/random.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/datagram.h"
#include "net/datapath.h"
#include "net/forwarding.h"
#include "net/local.h"
#include "net/router.h"
#include "net/wire/checksum.h"
#include "net/wire/icmp4.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"

enum {
    FLIGHT_MAX = 64, /* unanswered at once; with all in use, the next one waits */
    EVENT_MAX = 128, /* not fetched yet; beyond, nothing is sent */
    ECHO_HEADER_BYTES = ICMP4_HEADER_BYTES,
    PATTERN_BYTES = 256,
};

/* RFC 792, RFC 4443 4.1: but for type and checksum an echo is the same in both families. */
_Static_assert(sizeof(struct icmp4_header) == sizeof(struct icmp6_header), "one echo header");

struct flight {
    bool flies;
    uint8_t ttl;
    struct address source;
    uint32_t sequence;
    uint64_t sent_ns;
};

struct probe {
    /* Set when created. */
    struct probes *probes;
    struct probe_setup setup;
    bool is_ipv6;
    uint16_t port; /* of a link-local target, else PORT_NONE */
    uint16_t identifier_be;
    /* Owned by the control core. */
    struct timer timer;
    uint64_t next_send_ns;
    uint32_t sequence;  /* of the next one; how many were sent */
    uint32_t hop_count; /* trace: sent with this TTL */
    uint8_t ttl;        /* of the next one */
    bool is_last_hop;   /* trace: the target has answered, or somebody says it cannot be reached */
    bool is_all_sent;
    unsigned flight_count;
    struct flight flights[FLIGHT_MAX];
    unsigned event_first, event_count;
    struct probe_event events[EVENT_MAX];
};

struct probes {
    struct core *core;
    struct probe *active[PROBE_MAX];
};

/* ---- Events --------------------------------------------------------------------------------- */

static void add_event(struct probe *probe, const struct probe_event *event)
{
    CHECK(probe->event_count < EVENT_MAX);
    probe->events[(probe->event_first + probe->event_count) % EVENT_MAX] = *event;
    probe->event_count++;
}

/* The flight is over. */
static void finish(struct probe *probe, struct flight *flight, const struct probe_event *event)
{
    flight->flies = false;
    probe->flight_count--;
    add_event(probe, event);
    if (event->answer != PROBE_TTL_EXPIRED && event->answer != PROBE_TIMEOUT)
        probe->is_last_hop = true;
}

/* ---- Sending -------------------------------------------------------------------------------- */

/* An IP header, and room for message_bytes behind it. */
static struct packet *create_packet(const struct probe *probe, const struct flight *flight,
                                    uint32_t message_bytes)
{
    struct core *core = probe->probes->core;
    const struct probe_setup *setup = &probe->setup;

    if (probe->is_ipv6)
        return datagram6_create(core, &(struct datagram6_setup){
                                          .source = flight->source.bytes,
                                          .destination = setup->target.bytes,
                                          .port = probe->port,
                                          .protocol = PROTOCOL_ICMP6,
                                          .hop_limit = flight->ttl,
                                          .dont_fragment = setup->dont_fragment,
                                          .payload_bytes = message_bytes,
                                      });
    return datagram_create(core, &(struct datagram_setup){
                                     .source_be = address_ipv4_be(&flight->source),
                                     .destination_be = address_ipv4_be(&setup->target),
                                     .protocol = PROTOCOL_ICMP,
                                     .ttl = flight->ttl,
                                     .dont_fragment = setup->dont_fragment,
                                     .payload_bytes = (uint16_t)message_bytes,
                                 });
}

/* An echo request with the bytes 0, 1, 2 ... behind its header. */
static void send_echo(const struct probe *probe, const struct flight *flight)
{
    struct core *core = probe->probes->core;
    uint32_t payload_bytes = probe->setup.payload_bytes;
    uint32_t message_bytes = ECHO_HEADER_BYTES + payload_bytes;
    uint32_t offset = probe->is_ipv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES;
    struct icmp4_header icmp = {
        .type = probe->is_ipv6 ? ICMP6_ECHO_REQUEST : ICMP4_ECHO_REQUEST,
        .echo = { .identifier_be = probe->identifier_be,
                  .sequence_be = __builtin_bswap16((uint16_t)flight->sequence) },
    };
    uint8_t pattern[PATTERN_BYTES];
    struct packet *packet = create_packet(probe, flight, message_bytes);
    uint64_t sum = 0;

    if (!packet)
        return; /* as good as lost: it will time out */
    for (unsigned i = 0; i < PATTERN_BYTES; i++)
        pattern[i] = (uint8_t)i;
    for (uint32_t done = 0; done < payload_bytes; done += PATTERN_BYTES)
        datagram_write(packet, offset + ECHO_HEADER_BYTES + done, pattern,
                       MIN_OF(payload_bytes - done, (uint32_t)PATTERN_BYTES));
    datagram_write(packet, offset, &icmp, sizeof(icmp));
    if (probe->is_ipv6)
        sum = icmp6_pseudo_sum(flight->source.bytes, probe->setup.target.bytes, message_bytes);
    icmp.checksum_be = checksum_finish(datagram_sum(packet, offset, message_bytes, sum));
    datagram_write(packet, offset, &icmp, sizeof(icmp));
    if (probe->is_ipv6)
        datapath_originate6(core, packet);
    else
        datapath_originate(core, packet);
}

/* FAMILY_NONE: there is no way to the target. */
static struct address source_of(const struct probe *probe)
{
    const struct core *core = probe->probes->core;
    const struct address *target = &probe->setup.target;

    if (probe->setup.source.family == target->family)
        return probe->setup.source;
    if (probe->is_ipv6)
        return datagram6_source(core, target, probe->port);
    uint32_t source_be = datagram_source(core, address_ipv4_be(target));
    return source_be == 0 ? (struct address){ .family = FAMILY_NONE } : address_of_ipv4(source_be);
}

static void send_next(struct probe *probe, uint64_t now_ns)
{
    struct flight *flight = probe->flights;

    while (flight->flies)
        flight++;
    *flight = (struct flight){
        .flies = true,
        .ttl = probe->ttl,
        .source = source_of(probe),
        .sequence = probe->sequence++,
        .sent_ns = now_ns,
    };
    probe->flight_count++;
    probe->hop_count++;
    probe->next_send_ns = now_ns + (uint64_t)probe->setup.interval_ms * NS_PER_MS;
    if (flight->source.family == FAMILY_NONE)
        finish(probe, flight,
               &(struct probe_event){ .answer = PROBE_NO_ROUTE, .sequence = flight->sequence });
    else
        send_echo(probe, flight);
}

/* Moves a trace to its next hop once this one has said all it will; true if all has been sent. */
static bool sending_is_over(struct probe *probe)
{
    if (!probe->setup.trace)
        return probe->sequence >= probe->setup.count;
    if (probe->hop_count < probe->setup.count)
        return false;
    if (probe->flight_count > 0)
        return false;
    if (probe->is_last_hop || probe->ttl >= probe->setup.ttl_max)
        return true;
    probe->ttl++;
    probe->hop_count = 0;
    return false;
}

static bool may_send(const struct probe *probe)
{
    if (probe->is_all_sent || probe->flight_count == FLIGHT_MAX)
        return false;
    if (probe->event_count + probe->flight_count >= EVENT_MAX) /* each flight ends in an event */
        return false;
    return !probe->setup.trace || probe->hop_count < probe->setup.count;
}

/* ---- Time ----------------------------------------------------------------------------------- */

static uint64_t timeout_of(const struct probe *probe, const struct flight *flight)
{
    return flight->sent_ns + (uint64_t)probe->setup.timeout_ms * NS_PER_MS;
}

static void expire_flights(struct probe *probe, uint64_t now_ns)
{
    for (unsigned i = 0; i < FLIGHT_MAX; i++) {
        struct flight *flight = &probe->flights[i];
        if (flight->flies && now_ns >= timeout_of(probe, flight))
            finish(probe, flight,
                   &(struct probe_event){
                       .answer = PROBE_TIMEOUT, .sequence = flight->sequence, .ttl = flight->ttl });
    }
}

static void set_timer(struct probe *probe)
{
    uint64_t deadline_ns = may_send(probe) ? probe->next_send_ns : UINT64_MAX;

    for (unsigned i = 0; i < FLIGHT_MAX; i++)
        if (probe->flights[i].flies)
            deadline_ns = MIN_OF(deadline_ns, timeout_of(probe, &probe->flights[i]));
    if (deadline_ns == UINT64_MAX)
        timer_cancel(&probe->probes->core->timers, &probe->timer);
    else
        timer_set(&probe->probes->core->timers, &probe->timer, deadline_ns);
}

/* Whatever has happened: what is due now, and when next? */
static void advance(struct probe *probe, uint64_t now_ns)
{
    expire_flights(probe, now_ns);
    probe->is_all_sent = probe->is_all_sent || sending_is_over(probe);
    if (may_send(probe) && now_ns >= probe->next_send_ns) {
        send_next(probe, now_ns);
        probe->is_all_sent = sending_is_over(probe);
    }
    set_timer(probe);
}

static void probe_expired(struct timer *timer, uint64_t now_ns)
{
    advance(CONTAINER_OF(timer, struct probe, timer), now_ns);
}

/* ---- Answers -------------------------------------------------------------------------------- */

static bool is_of(const struct probe *probe, const struct probe_echo *echo)
{
    return probe->identifier_be == echo->identifier_be &&
           address_equal(&probe->setup.target, &echo->target) &&
           (probe->port == PORT_NONE || probe->port == echo->port);
}

static struct flight *find_flight(struct probes *probes, const struct probe_echo *echo,
                                  struct probe **owner)
{
    for (unsigned i = 0; i < PROBE_MAX; i++) {
        struct probe *probe = probes->active[i];
        if (!probe || !is_of(probe, echo))
            continue;
        for (unsigned j = 0; j < FLIGHT_MAX; j++) {
            struct flight *flight = &probe->flights[j];
            if (flight->flies && address_equal(&flight->source, &echo->source) &&
                (uint16_t)flight->sequence == __builtin_bswap16(echo->sequence_be)) {
                *owner = probe;
                return flight;
            }
        }
    }
    return NULL;
}

/* `event` becomes that of the flight, if there is one. */
static bool input(struct probes *probes, const struct probe_echo *echo, struct probe_event *event,
                  uint64_t now_ns)
{
    struct probe *probe;
    struct flight *flight = find_flight(probes, echo, &probe);

    if (!flight)
        return false;
    event->sequence = flight->sequence;
    if (event->answer != PROBE_REPLY || probe->setup.trace)
        event->ttl = flight->ttl;
    event->round_trip_ns = now_ns - flight->sent_ns;
    finish(probe, flight, event);
    advance(probe, now_ns);
    return true;
}

bool probes_input_reply(struct probes *probes, const struct probe_echo *echo, uint8_t ttl,
                        uint16_t length_bytes, uint64_t now_ns)
{
    struct probe_event event = {
        .answer = PROBE_REPLY, .from = echo->target, .ttl = ttl, .length_bytes = length_bytes
    };

    return input(probes, echo, &event, now_ns);
}

static enum probe_answer answer_of(const struct icmp4_error *error, bool from_ourselves)
{
    if (error->type == ICMP4_TIME_EXCEEDED)
        return PROBE_TTL_EXPIRED;
    if (error->type == ICMP4_UNREACHABLE && error->code == ICMP4_FRAGMENTATION_NEEDED)
        return PROBE_TOO_BIG;
    if (error->type == ICMP4_UNREACHABLE && error->code == ICMP4_NET_UNREACHABLE && from_ourselves)
        return PROBE_NO_ROUTE;
    return PROBE_UNREACHABLE;
}

bool probes_input_error(struct probes *probes, const struct icmp4_error *error, uint32_t from_be,
                        uint64_t now_ns)
{
    struct icmp4_header icmp;

    memcpy(&icmp, error->transport, sizeof(icmp));
    if (icmp.type != ICMP4_ECHO_REQUEST)
        return false;
    const struct probe_echo echo = {
        .source = address_of_ipv4(error->source_be),
        .target = address_of_ipv4(error->destination_be),
        .identifier_be = icmp.echo.identifier_be,
        .sequence_be = icmp.echo.sequence_be,
    };
    struct probe_event event = {
        .answer = answer_of(error, from_be == error->source_be),
        .from = address_of_ipv4(from_be),
        .icmp_type = error->type,
        .icmp_code = error->code,
        .mtu = error->mtu,
    };
    return input(probes, &echo, &event, now_ns);
}

static enum probe_answer answer6_of(const struct icmp6_error *error, bool from_ourselves)
{
    if (error->type == ICMP6_TIME_EXCEEDED)
        return PROBE_TTL_EXPIRED;
    if (error->type == ICMP6_PACKET_TOO_BIG)
        return PROBE_TOO_BIG;
    if (error->type == ICMP6_UNREACHABLE && error->code == ICMP6_NO_ROUTE && from_ourselves)
        return PROBE_NO_ROUTE;
    return PROBE_UNREACHABLE;
}

bool probes_input_error6(struct probes *probes, const struct icmp6_error *error,
                         const struct address *from, uint16_t port, uint64_t now_ns)
{
    struct icmp6_header icmp;

    memcpy(&icmp, error->transport, sizeof(icmp));
    if (icmp.type != ICMP6_ECHO_REQUEST)
        return false;
    const struct probe_echo echo = {
        .source = address_of_ipv6(error->source),
        .target = address_of_ipv6(error->destination),
        .port = port,
        .identifier_be = icmp.echo.identifier_be,
        .sequence_be = icmp.echo.sequence_be,
    };
    struct probe_event event = {
        .answer = answer6_of(error, ipv6_equal(from->bytes, error->source)),
        .from = *from,
        .icmp_type = error->type,
        .icmp_code = error->code,
        .mtu = error->mtu,
    };
    return input(probes, &echo, &event, now_ns);
}

/* ---- The console's side --------------------------------------------------------------------- */

static uint16_t choose_identifier(struct probes *probes)
{
    for (;;) {
        uint16_t identifier_be = (uint16_t)random_next(&probes->core->random_state);
        bool taken = false;
        for (unsigned i = 0; i < PROBE_MAX; i++)
            taken |= probes->active[i] && probes->active[i]->identifier_be == identifier_be;
        if (!taken)
            return identifier_be;
    }
}

struct probe *probe_start(struct router *router, const struct probe_setup *setup, uint64_t now_ns)
{
    struct probes *probes = router->local->probes;

    for (unsigned i = 0; i < PROBE_MAX; i++) {
        if (probes->active[i])
            continue;
        struct probe *probe = memory_alloc(sizeof(*probe), 0, MEMORY_SOCKET);
        if (!probe)
            return NULL;
        probe->probes = probes;
        probe->setup = *setup;
        probe->is_ipv6 = setup->target.family == FAMILY_IPV6;
        uint16_t payload_max = probe->is_ipv6 ? PROBE6_PAYLOAD_MAX_BYTES : PROBE_PAYLOAD_MAX_BYTES;
        probe->setup.payload_bytes = MIN_OF(setup->payload_bytes, payload_max);
        probe->setup.ttl_max = MAX_OF(setup->ttl_max, (uint8_t)1);
        probe->port = address_is_link_local(&setup->target) ? setup->port : (uint16_t)PORT_NONE;
        probe->identifier_be = choose_identifier(probes);
        probe->ttl = setup->trace ? 1 : probe->setup.ttl_max;
        probe->is_all_sent = setup->count == 0;
        probe->next_send_ns = now_ns;
        probe->timer.expired = probe_expired;
        probes->active[i] = probe;
        set_timer(probe);
        return probe;
    }
    return NULL;
}

bool probe_poll(struct probe *probe, uint64_t now_ns, struct probe_event *event)
{
    if (probe->event_count == 0)
        return false;
    *event = probe->events[probe->event_first];
    probe->event_first = (probe->event_first + 1) % EVENT_MAX;
    probe->event_count--;
    advance(probe, now_ns); /* there is room for one more */
    return true;
}

bool probe_done(const struct probe *probe)
{
    return probe->is_all_sent && probe->flight_count == 0 && probe->event_count == 0;
}

void probe_stop(struct probe *probe)
{
    struct probes *probes = probe->probes;

    timer_cancel(&probes->core->timers, &probe->timer);
    for (unsigned i = 0; i < PROBE_MAX; i++)
        if (probes->active[i] == probe)
            probes->active[i] = NULL;
    memory_free(probe);
}

struct probes *probes_create(struct core *core)
{
    struct probes *probes = memory_alloc(sizeof(*probes), 0, MEMORY_SOCKET);

    if (probes)
        probes->core = core;
    return probes;
}

void probes_destroy(struct probes *probes)
{
    if (!probes)
        return;
    for (unsigned i = 0; i < PROBE_MAX; i++)
        if (probes->active[i])
            probe_stop(probes->active[i]);
    memory_free(probes);
}
