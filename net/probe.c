/* See probe.h. A probe is an ICMP echo request; what it is for stands in its flight, a slot that
 * waits for the answer until its time is over:
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
#include "net/wire/ipv4.h"

enum {
    FLIGHT_MAX = 64, /* unanswered at once; with all in use, the next one waits */
    EVENT_MAX = 128, /* not fetched yet; beyond, nothing is sent */
    PAYLOAD_MAX_BYTES = IPV4_PACKET_MAX_BYTES - IPV4_HEADER_BYTES - ICMP4_HEADER_BYTES,
    PATTERN_BYTES = 256,
};

struct flight {
    bool flies;
    uint8_t ttl;
    uint32_t sequence;
    uint64_t sent_ns;
};

struct probe {
    /* Set when created. */
    struct probes *probes;
    struct probe_setup setup;
    uint32_t target_be;
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

/* An echo request with the bytes 0, 1, 2 ... behind its header. */
static void send_echo(struct probe *probe, uint32_t source_be, uint8_t ttl, uint32_t sequence)
{
    struct core *core = probe->probes->core;
    uint32_t payload_bytes = probe->setup.payload_bytes;
    uint32_t offset = IPV4_HEADER_BYTES + ICMP4_HEADER_BYTES;
    struct icmp4_header icmp = {
        .type = ICMP4_ECHO_REQUEST,
        .echo = { .identifier_be = probe->identifier_be,
                  .sequence_be = __builtin_bswap16((uint16_t)sequence) },
    };
    uint8_t pattern[PATTERN_BYTES];
    struct packet *packet =
        datagram_create(core, &(struct datagram_setup){
                                  .source_be = source_be,
                                  .destination_be = probe->target_be,
                                  .protocol = PROTOCOL_ICMP,
                                  .ttl = ttl,
                                  .dont_fragment = probe->setup.dont_fragment,
                                  .payload_bytes = (uint16_t)(ICMP4_HEADER_BYTES + payload_bytes),
                              });

    if (!packet)
        return; /* as good as lost: it will time out */
    for (unsigned i = 0; i < PATTERN_BYTES; i++)
        pattern[i] = (uint8_t)i;
    for (uint32_t done = 0; done < payload_bytes; done += PATTERN_BYTES)
        datagram_write(packet, offset + done, pattern,
                       MIN_OF(payload_bytes - done, (uint32_t)PATTERN_BYTES));
    datagram_write(packet, IPV4_HEADER_BYTES, &icmp, sizeof(icmp));
    icmp.checksum_be = checksum_finish(
        datagram_sum(packet, IPV4_HEADER_BYTES, ICMP4_HEADER_BYTES + payload_bytes, 0));
    datagram_write(packet, IPV4_HEADER_BYTES, &icmp, sizeof(icmp));
    datapath_originate(core, packet);
}

static uint32_t source_of(const struct probe *probe)
{
    if (probe->setup.source.family == FAMILY_IPV4)
        return address_ipv4_be(&probe->setup.source);
    return datagram_source(probe->probes->core, probe->target_be);
}

static void send_next(struct probe *probe, uint64_t now_ns)
{
    struct flight *flight = probe->flights;
    uint32_t source_be = source_of(probe);

    while (flight->flies)
        flight++;
    *flight = (struct flight){
        .flies = true,
        .ttl = probe->ttl,
        .sequence = probe->sequence++,
        .sent_ns = now_ns,
    };
    probe->flight_count++;
    probe->hop_count++;
    probe->next_send_ns = now_ns + (uint64_t)probe->setup.interval_ms * NS_PER_MS;
    if (source_be == 0)
        finish(probe, flight,
               &(struct probe_event){ .answer = PROBE_NO_ROUTE, .sequence = flight->sequence });
    else
        send_echo(probe, source_be, flight->ttl, flight->sequence);
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

static struct flight *find_flight(struct probes *probes, uint32_t target_be,
                                  const struct icmp4_header *icmp, struct probe **owner)
{
    for (unsigned i = 0; i < PROBE_MAX; i++) {
        struct probe *probe = probes->active[i];
        if (!probe || probe->identifier_be != icmp->echo.identifier_be ||
            probe->target_be != target_be)
            continue;
        for (unsigned j = 0; j < FLIGHT_MAX; j++) {
            struct flight *flight = &probe->flights[j];
            if (flight->flies &&
                (uint16_t)flight->sequence == __builtin_bswap16(icmp->echo.sequence_be)) {
                *owner = probe;
                return flight;
            }
        }
    }
    return NULL;
}

bool probes_input_reply(struct probes *probes, const struct icmp4_header *icmp, uint32_t from_be,
                        uint8_t ttl, uint16_t length_bytes, uint64_t now_ns)
{
    struct probe *probe;
    struct flight *flight = find_flight(probes, from_be, icmp, &probe);

    if (!flight)
        return false;
    finish(probe, flight,
           &(struct probe_event){
               .answer = PROBE_REPLY,
               .from = address_of_ipv4(from_be),
               .sequence = flight->sequence,
               .ttl = probe->setup.trace ? flight->ttl : ttl,
               .length_bytes = length_bytes,
               .round_trip_ns = now_ns - flight->sent_ns,
           });
    advance(probe, now_ns);
    return true;
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
    struct probe *probe;

    memcpy(&icmp, error->transport, sizeof(icmp));
    if (icmp.type != ICMP4_ECHO_REQUEST ||
        !forwarding_is_own_ipv4(probes->core->forwarding, error->source_be))
        return false;
    struct flight *flight = find_flight(probes, error->destination_be, &icmp, &probe);
    if (!flight)
        return false;
    finish(probe, flight,
           &(struct probe_event){
               .answer = answer_of(error, from_be == error->source_be),
               .from = address_of_ipv4(from_be),
               .sequence = flight->sequence,
               .ttl = flight->ttl,
               .icmp_code = error->code,
               .mtu = error->mtu,
               .round_trip_ns = now_ns - flight->sent_ns,
           });
    advance(probe, now_ns);
    return true;
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
        probe->setup.payload_bytes = MIN_OF(setup->payload_bytes, (uint16_t)PAYLOAD_MAX_BYTES);
        probe->setup.ttl_max = MAX_OF(setup->ttl_max, (uint8_t)1);
        probe->target_be = address_ipv4_be(&setup->target);
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
