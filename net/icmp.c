/* See icmp.h. */
#include "net/icmp.h"

#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "net/datagram.h"
#include "net/datapath.h"
#include "net/forwarding.h"
#include "net/router.h"
#include "net/wire/checksum.h"
#include "net/wire/icmp4.h"
#include "net/wire/ipv4.h"

enum {
    ERROR_INTERVAL_NS = NS_PER_S / ICMP_ERRORS_PER_SECOND,
    QUOTE_MAX_BYTES = ICMP_ERROR_MAX_BYTES - IPV4_HEADER_BYTES - ICMP4_HEADER_BYTES,
};

static const struct ipv4_header *header_of(const struct packet *packet)
{
    return (const void *)(packet->data + packet->network_offset);
}

/* ---- When not to -------------------------------------------------------------------------- */

/* "An ICMP error message" (RFC 1812 4.3.2.7), or one that we cannot tell from an error. */
static bool is_about_icmp_error(const struct packet *packet, const struct ipv4_header *header)
{
    uint8_t type;

    if (header->protocol != PROTOCOL_ICMP)
        return false;
    if (!packet_copy_out(packet, packet->network_offset + packet->header_length_bytes, &type, 1))
        return true;
    return !icmp4_is_query(type);
}

/* An address that cannot be one station's. */
static bool is_of_many(enum next_hop_kind kind)
{
    return kind == NEXT_HOP_BROADCAST || kind == NEXT_HOP_LIMITED_BROADCAST ||
           kind == NEXT_HOP_MULTICAST || kind == NEXT_HOP_MARTIAN;
}

/* RFC 1812 4.3.2.7, paragraph by paragraph. */
bool icmp_is_forbidden(const struct core *core, const struct packet *packet)
{
    const struct forwarding *view = core->forwarding;
    const struct ipv4_header *header = header_of(packet);
    enum next_hop_kind source_kind = forwarding_kind_ipv4(view, header->source_be);

    if (is_about_icmp_error(packet, header))
        return true;
    if (is_of_many(forwarding_kind_ipv4(view, header->destination_be)))
        return true;
    if (packet->flags & (PACKET_LINK_BROADCAST | PACKET_LINK_MULTICAST))
        return true;
    if (ipv4_fragment_offset_bytes(header) != 0)
        return true;
    if (is_of_many(source_kind))
        return true;
    /* The error about a packet of our own comes back to us; nobody else speaks in our name, and
     * nobody is told of what we send in his (net/refuse.h). */
    bool is_our_name = source_kind == NEXT_HOP_LOCAL || source_kind == NEXT_HOP_LOOPBACK;
    return is_our_name != ((packet->flags & PACKET_LOCAL) != 0);
}

/* A bucket of ICMP_ERROR_BURST tokens, kept as the time at which it will be full again. */
bool icmp_is_over_limit(struct core *core)
{
    uint64_t full_ns = MAX_OF(core->icmp_bucket_full_ns, core->now_ns);

    if (full_ns - core->now_ns > (uint64_t)(ICMP_ERROR_BURST - 1) * ERROR_INTERVAL_NS) {
        struct port_counters *loopback = &core->ports[router_loopback(core->router)];
        counter_add(&loopback->originated, 1);
        counter_add(&loopback->dropped[DROP_ICMP_RATE_LIMIT], 1);
        return true;
    }
    core->icmp_bucket_full_ns = full_ns + ERROR_INTERVAL_NS;
    return false;
}

/* ---- Errors ------------------------------------------------------------------------------- */

/* That of the port where the packet came in, toward its sender, so that traceroute shows the near
 * side of each router. */
static uint32_t error_source(const struct core *core, const struct packet *packet)
{
    uint32_t sender_be = header_of(packet)->source_be;

    if (packet->flags & PACKET_LOCAL)
        return sender_be;
    uint32_t source_be = forwarding_source_ipv4(core->forwarding, packet->port_in, sender_be);
    return source_be ? source_be : datagram_source(core, sender_be);
}

/* Sends `icmp` with as much of the packet behind it as fits. */
static void send_about(struct core *core, const struct packet *packet, struct icmp4_header icmp)
{
    uint16_t quote_bytes = MIN_OF(packet->network_length_bytes, (uint16_t)QUOTE_MAX_BYTES);
    uint32_t source_be = error_source(core, packet);

    if (icmp_is_forbidden(core, packet) || source_be == 0 || icmp_is_over_limit(core))
        return;
    struct packet *message =
        datagram_create(core, &(struct datagram_setup){
                                  .source_be = source_be,
                                  .destination_be = header_of(packet)->source_be,
                                  .protocol = PROTOCOL_ICMP,
                                  .ttl = ICMP_ERROR_TTL,
                                  .type_of_service = ICMP_ERROR_TOS,
                                  .payload_bytes = (uint16_t)(ICMP4_HEADER_BYTES + quote_bytes),
                              });
    if (!message)
        return; /* the pool has counted it */

    uint8_t *payload = message->data + IPV4_HEADER_BYTES;
    bool quoted =
        packet_copy_out(packet, packet->network_offset, payload + ICMP4_HEADER_BYTES, quote_bytes);
    CHECK(quoted);
    memcpy(payload, &icmp, sizeof(icmp));
    icmp.checksum_be = checksum_of(payload, ICMP4_HEADER_BYTES + (size_t)quote_bytes);
    memcpy(payload, &icmp, sizeof(icmp));
    datapath_originate(core, message);
}

void icmp_send_error(struct core *core, const struct packet *packet, enum verdict verdict)
{
    const struct drop_reason *reason = &drop_reasons[verdict];
    struct icmp4_header icmp = { .type = reason->icmp_type, .code = reason->icmp_code };

    if (reason->icmp_type == ICMP_NONE)
        return;
    if (verdict == DROP_FRAGMENT_NEEDED)
        icmp.fragmentation_needed.mtu_be = __builtin_bswap16(packet->mtu_bytes);
    if (verdict == DROP_BAD_IPV4_OPTION)
        icmp.parameter_problem.pointer = (uint8_t)packet->error_offset;
    send_about(core, packet, icmp);
}

void icmp_send_redirect(struct core *core, const struct packet *packet, uint32_t gateway_be)
{
    struct icmp4_header icmp = {
        .type = ICMP4_REDIRECT,
        .code = ICMP4_REDIRECT_HOST, /* RFC 1812 5.2.7.2: never for nets */
        .gateway_be = gateway_be,
    };

    send_about(core, packet, icmp);
}

/* ---- Echo ----------------------------------------------------------------------------------- */

void icmp_answer_echo(struct core *core, struct packet *packet)
{
    uint32_t header_bytes = packet->header_length_bytes;
    uint16_t old_be, new_be;

    counter_add(&core->ports[packet->port_in].delivered, 1);
    datagram_trim(core, packet);

    struct ipv4_header *header = (void *)packet->data;
    struct icmp4_header *icmp = (void *)(packet->data + header_bytes);
    memcpy(&old_be, icmp, sizeof(old_be)); /* the word of type and code */
    icmp->type = ICMP4_ECHO_REPLY;
    icmp->code = 0;
    memcpy(&new_be, icmp, sizeof(new_be));
    icmp->checksum_be = checksum_replace(icmp->checksum_be, old_be, new_be);

    uint32_t sender_be = header->source_be;
    header->source_be = header->destination_be;
    header->destination_be = sender_be;
    header->identification_be = (uint16_t)random_next(&core->random_state);
    header->fragment_be = 0;
    header->ttl = ICMP_ECHO_TTL;
    ipv4_seal(header);
    datapath_originate(core, packet);
}
