/* See arp.h. */
#include "net/arp.h"

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/forwarding.h"
#include "net/neighbor.h"
#include "net/router.h"
#include "net/wire/arp.h"
#include "net/wire/ipv4.h"

enum { FRAME_BYTES = ETHERNET_HEADER_BYTES + ARP_BYTES };

/* The second announcement of a port's addresses. */
struct announcer {
    struct timer timer;
    struct arp *arp;
    uint16_t port;
};

struct arp {
    struct core *core;
    struct neighbor_table *neighbors;
    struct arp_uses uses;
    struct announcer announcers[PORT_MAX + 1];
    uint64_t next_defense_ns[PORT_MAX + 1];
    uint64_t next_conflict_log_ns;
};

static uint64_t ms_later(uint64_t now_ns, uint64_t ms)
{
    return now_ns + ms * NS_PER_MS;
}

/* ---- Frames --------------------------------------------------------------------------------- */

static void send(struct arp *arp, uint16_t port, const uint8_t *target_mac,
                 const struct arp_message *message)
{
    struct core *core = arp->core;
    struct packet *packet = packet_alloc(core->pool);
    struct ethernet_header header = { .ethertype = ETHERTYPE_ARP };

    if (!packet)
        return; /* as if lost on the way: requests are repeated, and so are questions to us */
    uint8_t *frame = packet_append(packet, FRAME_BYTES);
    CHECK(frame);
    memcpy(header.target, target_mac, MAC_BYTES);
    memcpy(header.source, message->sender_mac, MAC_BYTES);
    ethernet_write(&header, frame);
    arp_write(message, frame + ETHERNET_HEADER_BYTES);
    arp->uses.originate_frame(core, port, packet);
}

/* Asks for target_be, everybody or one station. A sender of 0 makes it a probe (RFC 5227 2.1.1), a
 * sender equal to the target an announcement (2.3). */
static void send_request(struct arp *arp, uint16_t port, uint32_t sender_be, uint32_t target_be,
                         const uint8_t *target_mac)
{
    struct arp_message message = { .operation = ARP_REQUEST,
                                   .sender_be = sender_be,
                                   .target_be = target_be };

    memcpy(message.sender_mac, arp->core->router->ports[port].mac, MAC_BYTES);
    if (target_mac != mac_broadcast)
        memcpy(message.target_mac, target_mac, MAC_BYTES);
    send(arp, port, target_mac, &message);
}

static void send_reply(struct arp *arp, uint16_t port, const struct arp_message *request)
{
    struct arp_message message = {
        .operation = ARP_REPLY,
        .sender_be = request->target_be,
        .target_be = request->sender_be,
    };

    memcpy(message.sender_mac, arp->core->router->ports[port].mac, MAC_BYTES);
    memcpy(message.target_mac, request->sender_mac, MAC_BYTES);
    send(arp, port, request->sender_mac, &message);
}

/* A port that has lost its addresses asks nobody, for nobody would answer. */
void arp_solicit(struct arp *arp, uint16_t port, uint32_t address_be, const uint8_t *mac)
{
    uint32_t source_be = forwarding_source_ipv4(arp->core->forwarding, port, address_be);

    if (source_be != 0)
        send_request(arp, port, source_be, address_be, mac ? mac : mac_broadcast);
}

/* ---- ARP ------------------------------------------------------------------------------------ */

/* RFC 5227 2.4 (b): says once more that the address is ours, but not so often that two stubborn
 * stations fill the link. */
static void report_conflict(struct arp *arp, uint16_t port, const struct arp_message *message,
                            uint64_t now_ns)
{
    if (now_ns >= arp->next_conflict_log_ns) {
        arp->next_conflict_log_ns = ms_later(now_ns, ARP_CONFLICT_LOG_MS);
        log_warning("arp", "%s: our address %pI4 is also used by %pM",
                    arp->core->router->ports[port].name, (const void *)&message->sender_be,
                    (const void *)message->sender_mac);
    }
    if (now_ns >= arp->next_defense_ns[port]) {
        arp->next_defense_ns[port] = ms_later(now_ns, ARP_DEFEND_MS);
        send_request(arp, port, message->sender_be, message->sender_be, mac_broadcast);
    }
}

/* Everything about a message but its payload's owner: PASS where it was for us. */
static enum verdict input(struct arp *arp, uint16_t port, const struct arp_message *message,
                          uint64_t now_ns)
{
    const struct forwarding *view = arp->core->forwarding;
    bool for_us = forwarding_is_own_on_ipv4(view, port, message->target_be);
    bool is_request = message->operation == ARP_REQUEST;

    if (!mac_is_station(message->sender_mac))
        return DROP_BAD_ARP;
    if (mac_equal(message->sender_mac, arp->core->router->ports[port].mac))
        return DROP_ARP_NOT_FOR_US; /* our own words, come back */

    if (message->sender_be == 0) { /* RFC 5227 2.1.1: may I have this address? */
        if (!is_request)
            return DROP_BAD_ARP;
        if (!for_us)
            return DROP_ARP_NOT_FOR_US;
        send_reply(arp, port, message);
        return PASS;
    }
    if (forwarding_is_own_on_ipv4(view, port, message->sender_be)) {
        report_conflict(arp, port, message, now_ns);
        return DROP_ARP_CONFLICT;
    }
    if (!ipv4_is_station(message->sender_be))
        return DROP_BAD_ARP;
    if (!forwarding_is_connected_ipv4(view, port, message->sender_be))
        return DROP_ARP_NOT_FOR_US;
    if (forwarding_kind_ipv4(view, message->sender_be) == NEXT_HOP_BROADCAST)
        return DROP_BAD_ARP;

    /* Whoever asks for us will be answered soon by a packet of ours (RFC 826, "Packet reception").
     * Others are not worth an entry: any station could fill the table with names. */
    const struct address sender = address_of_ipv4(message->sender_be);
    const struct neighbor_news news = { .mac = message->sender_mac,
                                        .is_answer = for_us && !is_request,
                                        .overrides = true,
                                        .is_worth_an_entry = for_us && is_request };
    bool known = neighbor_learn(arp->neighbors, port, &sender, &news, now_ns);

    if (for_us && is_request)
        send_reply(arp, port, message);
    return for_us || known ? PASS : DROP_ARP_NOT_FOR_US;
}

void arp_input(struct arp *arp, struct packet *packet, uint64_t now_ns)
{
    struct reader reader = reader_of(packet->data, packet->length_bytes);
    enum verdict verdict = DROP_BAD_ARP;
    struct arp_message message;

    reader_take(&reader, ETHERNET_HEADER_BYTES);
    if (arp_read(reader.at, reader_left(&reader), &message) == OK)
        verdict = input(arp, packet->port_in, &message, now_ns);
    if (verdict == PASS)
        arp->uses.delivered(arp->core, packet);
    else
        arp->uses.drop(arp->core, packet, verdict);
}

/* ---- Announcements, ports ------------------------------------------------------------------- */

static bool port_works(const struct port *port)
{
    return port->nic && port->admin_up && port->link_up;
}

static void announce_all(struct arp *arp, uint16_t port)
{
    const struct forwarding *view = arp->core->forwarding;

    for (unsigned i = 0; i < view->address_count; i++) {
        const struct own_address *own = &view->addresses[i];
        uint32_t address_be = address_ipv4_be(&own->address);
        if (own->port == port && own->address.family == FAMILY_IPV4)
            send_request(arp, port, address_be, address_be, mac_broadcast);
    }
}

static void announcer_expired(struct timer *timer, uint64_t now_ns)
{
    struct announcer *announcer = CONTAINER_OF(timer, struct announcer, timer);

    (void)now_ns;
    if (port_works(&announcer->arp->core->router->ports[announcer->port]))
        announce_all(announcer->arp, announcer->port);
}

static void announce_again(struct arp *arp, uint16_t port, uint64_t now_ns)
{
    timer_set(&arp->core->timers, &arp->announcers[port].timer, ms_later(now_ns, ARP_ANNOUNCE_MS));
}

void arp_announce(struct arp *arp, uint16_t port, uint32_t address_be, uint64_t now_ns)
{
    if (!port_works(&arp->core->router->ports[port]))
        return; /* when it comes up */
    /* RFC 5227 wants 3 probes and 4 s of silence before the address is used. A router is told its
     * address by who knows, and waits for nobody; but whoever has it too shall answer, and some
     * answer probes alone. */
    send_request(arp, port, 0, address_be, mac_broadcast);
    send_request(arp, port, address_be, address_be, mac_broadcast);
    announce_again(arp, port, now_ns);
}

void arp_port_changed(struct arp *arp, uint16_t port, uint64_t now_ns)
{
    if (!port_works(&arp->core->router->ports[port])) {
        timer_cancel(&arp->core->timers, &arp->announcers[port].timer);
        return;
    }
    announce_all(arp, port);
    announce_again(arp, port, now_ns);
}

/* ---- Create, destroy ------------------------------------------------------------------------ */

struct arp *arp_create(struct core *core, struct neighbor_table *neighbors,
                       const struct arp_uses *uses)
{
    struct arp *arp = memory_alloc(sizeof(*arp), 0, MEMORY_NEIGHBOR);

    if (!arp)
        return NULL;
    arp->core = core;
    arp->neighbors = neighbors;
    arp->uses = *uses;
    for (uint16_t i = 0; i < ARRAY_COUNT(arp->announcers); i++)
        arp->announcers[i] = (struct announcer){
            .timer.expired = announcer_expired,
            .arp = arp,
            .port = i,
        };
    return arp;
}

void arp_destroy(struct arp *arp)
{
    if (!arp)
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(arp->announcers); i++)
        timer_cancel(&arp->core->timers, &arp->announcers[i].timer);
    memory_free(arp);
}
