/* See mld.h. A port has one timer: whatever makes it report, all groups are told at once. */
#include "net/mld.h"

#include <string.h>

#include "kernel/base/random.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/ipv6_addresses.h"
#include "net/router.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv6.h"
#include "net/wire/mld.h"

enum {
    HEADERS_BYTES = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + IPV6_ROUTER_ALERT_HEADER_BYTES,
};

/* A group that we listen to no longer. */
struct leaving {
    uint8_t group[IPV6_ADDRESS_BYTES];
    unsigned reports_left; /* still owed for that */
};

struct mld_port {
    struct mld *owner;
    uint16_t port;
    bool is_asked;         /* a query waits for its answer */
    unsigned changes_left; /* reports still owed for a change of groups */
    unsigned leaving_count;
    struct leaving leaving[MLD_LEAVING_MAX];
    uint64_t old_querier_until_ns;
    uint64_t next_ns; /* no report before */
    struct timer timer;
};

struct mld {
    struct core *core;
    const struct ipv6_addresses *addresses;
    struct mld_uses uses;
    struct mld_port ports[PORT_MAX + 1];
};

/* ---- Groups --------------------------------------------------------------------------------- */

/* Also of addresses that are asked for first: RFC 4862 5.4.2. */
static bool belongs_to(const struct ipv6_address *address, uint16_t port)
{
    return address->port == port && address->state != IPV6_ADDRESS_DUPLICATE &&
           address->state != IPV6_ADDRESS_DISABLED;
}

static bool listens_to(const struct mld *mld, uint16_t port, const uint8_t *group)
{
    uint8_t own[IPV6_ADDRESS_BYTES];

    for (unsigned i = 0; i < ipv6_addresses_count(mld->addresses); i++) {
        const struct ipv6_address *at = ipv6_addresses_at(mld->addresses, i);
        if (!belongs_to(at, port))
            continue;
        ipv6_solicited_node(at->address.bytes, own);
        if (ipv6_is_unspecified(group) || ipv6_equal(group, ipv6_all_routers) ||
            ipv6_equal(group, own))
            return true;
    }
    return false;
}

/* ---- Sending -------------------------------------------------------------------------------- */

/* From the port's link-local address, or from none before that may be used: RFC 3810 5.2.13. */
static const uint8_t *source_of(const struct mld *mld, uint16_t port)
{
    for (unsigned i = 0; i < ipv6_addresses_count(mld->addresses); i++) {
        const struct ipv6_address *at = ipv6_addresses_at(mld->addresses, i);
        if (at->port == port && at->state == IPV6_ADDRESS_VALID &&
            address_is_link_local(&at->address))
            return at->address.bytes;
    }
    return ipv6_unspecified;
}

/* Without a buffer it is as if lost on the way. */
static void send_message(const struct mld *mld, uint16_t port, const uint8_t *destination,
                         const uint8_t *message, uint32_t length_bytes)
{
    struct packet *packet = packet_alloc(mld->core->pool);
    struct ethernet_header ethernet = { .ethertype = ETHERTYPE_IPV6 };
    const uint8_t *source = source_of(mld, port);

    if (!packet)
        return;
    uint8_t *frame = packet_append(packet, HEADERS_BYTES + length_bytes);
    CHECK(frame);
    ipv6_multicast_mac(destination, ethernet.target);
    memcpy(ethernet.source, mld->core->router->ports[port].mac, MAC_BYTES);
    ethernet_write(&ethernet, frame);
    struct ipv6_header *header = (void *)(frame + ETHERNET_HEADER_BYTES);
    *header = (struct ipv6_header){
        .version_class_flow_be = ipv6_version_word_be(0, 0),
        .payload_length_be =
            __builtin_bswap16((uint16_t)(IPV6_ROUTER_ALERT_HEADER_BYTES + length_bytes)),
        .next_header = PROTOCOL_HOP_BY_HOP,
        .hop_limit = MLD_HOP_LIMIT,
    };
    memcpy(header->source, source, IPV6_ADDRESS_BYTES);
    memcpy(header->destination, destination, IPV6_ADDRESS_BYTES);
    ipv6_router_alert_write(PROTOCOL_ICMP6, IPV6_ROUTER_ALERT_MLD, (void *)(header + 1));
    memcpy(frame + HEADERS_BYTES, message, length_bytes);
    icmp6_seal(frame + HEADERS_BYTES, length_bytes, source, destination);
    mld->uses.originate_frame(mld->core, port, packet);
}

/* What is told together. */
struct report {
    const struct mld *mld;
    uint16_t port;
    bool version_1;
    unsigned count;
    struct mld_record records[MLD_RECORDS_MAX];
};

/* RFC 3810 8.2.1: to each group itself, or to all routers that it has one listener less. */
static void send_old_report(const struct report *report, const struct mld_record *record)
{
    bool done = record->type == MLD_TO_INCLUDE;
    uint8_t message[MLD1_MESSAGE_BYTES];

    mld1_message_write(done ? ICMP6_LISTENER_DONE : ICMP6_LISTENER_REPORT, record->group, message);
    send_message(report->mld, report->port, done ? ipv6_all_routers : record->group, message,
                 sizeof(message));
}

static void send_report(struct report *report)
{
    uint8_t message[MLD_REPORT_BYTES + MLD_RECORDS_MAX * MLD_RECORD_BYTES];

    for (unsigned i = 0; report->version_1 && i < report->count; i++)
        send_old_report(report, &report->records[i]);
    if (!report->version_1 && report->count > 0) {
        size_t length_bytes =
            mld_report_write(report->records, report->count, message, sizeof(message));
        CHECK(length_bytes > 0);
        send_message(report->mld, report->port, ipv6_all_mld2_routers, message,
                     (uint32_t)length_bytes);
    }
    report->count = 0;
}

static void tell(struct report *report, const uint8_t *group, enum mld_record_type type)
{
    for (unsigned i = 0; i < report->count; i++)
        if (ipv6_equal(report->records[i].group, group))
            return;
    if (report->count == MLD_RECORDS_MAX)
        send_report(report);
    report->records[report->count].type = type;
    memcpy(report->records[report->count++].group, group, IPV6_ADDRESS_BYTES);
}

/* All nodes are never reported: RFC 3810 6. */
static void tell_all(struct report *report, enum mld_record_type type)
{
    const struct ipv6_addresses *addresses = report->mld->addresses;
    uint8_t group[IPV6_ADDRESS_BYTES];

    for (unsigned i = 0; i < ipv6_addresses_count(addresses); i++) {
        const struct ipv6_address *at = ipv6_addresses_at(addresses, i);
        if (!belongs_to(at, report->port))
            continue;
        tell(report, ipv6_all_routers, type);
        ipv6_solicited_node(at->address.bytes, group);
        tell(report, group, type);
    }
}

/* The groups that were left; a listener of version 1 says so once (RFC 2710 4). */
static void tell_leaving(struct report *report, struct mld_port *port)
{
    for (unsigned i = port->leaving_count; i-- > 0;) {
        struct leaving *leaving = &port->leaving[i];
        bool came_back = listens_to(report->mld, report->port, leaving->group);
        if (!came_back)
            tell(report, leaving->group, MLD_TO_INCLUDE);
        if (came_back || report->version_1 || --leaving->reports_left == 0)
            *leaving = port->leaving[--port->leaving_count];
    }
}

/* ---- When ------------------------------------------------------------------------------------ */

/* Within at most maximum_ms, unless it is due sooner anyway: RFC 3810 6.2. */
static void report_within(struct mld_port *port, uint64_t maximum_ms, uint64_t now_ns)
{
    struct core *core = port->owner->core;
    uint64_t delay_ms = random_next(&core->random_state) % (maximum_ms + 1);
    uint64_t due_ns = MAX_OF(now_ns + delay_ms * NS_PER_MS, port->next_ns);

    if (!timer_is_set(&port->timer) || due_ns < port->timer.deadline_ns)
        timer_set(&core->timers, &port->timer, due_ns);
}

static struct report report_of(const struct mld_port *port, uint64_t now_ns)
{
    return (struct report){ .mld = port->owner,
                            .port = port->port,
                            .version_1 = now_ns < port->old_querier_until_ns };
}

static void expired(struct timer *timer, uint64_t now_ns)
{
    struct mld_port *port = CONTAINER_OF(timer, struct mld_port, timer);
    struct report report = report_of(port, now_ns);

    if (port->changes_left > 0)
        tell_all(&report, MLD_TO_EXCLUDE);
    else if (port->is_asked)
        tell_all(&report, MLD_IS_EXCLUDE);
    port->changes_left -= port->changes_left > 0;
    port->is_asked = false;
    tell_leaving(&report, port);
    send_report(&report);
    port->next_ns = now_ns + (uint64_t)MLD_SPACING_MS * NS_PER_MS;
    if (port->changes_left > 0 || port->leaving_count > 0)
        report_within(port, MLD_REPORT_INTERVAL_MS, now_ns);
}

void mld_listen(struct mld *mld, uint16_t port)
{
    mld->ports[port].changes_left = MLD_REPORTS;
    report_within(&mld->ports[port], 0, mld->core->now_ns);
}

/* RFC 3810 6.1. */
static void leave_group(struct mld_port *port, const uint8_t *group)
{
    struct leaving *leaving = port->leaving;

    while (leaving < port->leaving + port->leaving_count && !ipv6_equal(leaving->group, group))
        leaving++;
    if (leaving == port->leaving + MLD_LEAVING_MAX)
        return;                                     /* the routers there find out by asking */
    if (listens_to(port->owner, port->port, group)) /* looks through all addresses */
        return;
    port->leaving_count = MAX_OF(port->leaving_count, (unsigned)(leaving - port->leaving) + 1);
    memcpy(leaving->group, group, IPV6_ADDRESS_BYTES);
    leaving->reports_left = MLD_REPORTS;
    report_within(port, 0, port->owner->core->now_ns);
}

void mld_leave(struct mld *mld, uint16_t port, const struct address *address)
{
    uint8_t group[IPV6_ADDRESS_BYTES];

    ipv6_solicited_node(address->bytes, group);
    leave_group(&mld->ports[port], group);
    leave_group(&mld->ports[port], ipv6_all_routers);
}

void mld_leave_all(struct mld *mld, uint16_t port)
{
    struct report report = report_of(&mld->ports[port], mld->core->now_ns);

    tell_all(&report, MLD_TO_INCLUDE);
    send_report(&report);
}

enum verdict mld_input(struct mld *mld, const struct packet *packet,
                       const struct ipv6_headers *headers, uint64_t now_ns)
{
    const struct ipv6_header *header = (const void *)(packet->data + packet->network_offset);
    const uint8_t *message = (const uint8_t *)header + headers->upper_offset;
    struct mld_port *port = &mld->ports[packet->port_in];
    struct mld_query query;

    if (mld_query_read(header, headers->router_alert, message,
                       packet->network_length_bytes - headers->upper_offset, &query) != OK)
        return DROP_BAD_ICMP;
    if (query.version == 1)
        port->old_querier_until_ns = now_ns + (uint64_t)MLD_OLD_QUERIER_MS * NS_PER_MS;
    if (!listens_to(mld, packet->port_in, query.group))
        return DROP_ICMP_IGNORED;
    port->is_asked = true;
    report_within(port, query.maximum_response_ms, now_ns);
    return PASS;
}

/* ---- Create, destroy --------------------------------------------------------------------------
 */

struct mld *mld_create(struct core *core, const struct ipv6_addresses *addresses,
                       const struct mld_uses *uses)
{
    struct mld *mld = memory_alloc(sizeof(*mld), 0, MEMORY_NEIGHBOR);

    if (!mld)
        return NULL;
    mld->core = core;
    mld->addresses = addresses;
    mld->uses = *uses;
    for (unsigned i = 0; i < ARRAY_COUNT(mld->ports); i++)
        mld->ports[i] =
            (struct mld_port){ .owner = mld, .port = (uint16_t)i, .timer.expired = expired };
    return mld;
}

void mld_destroy(struct mld *mld)
{
    if (!mld)
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(mld->ports); i++)
        timer_cancel(&mld->core->timers, &mld->ports[i].timer);
    memory_free(mld);
}
