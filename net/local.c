/* See local.h. */
#include "net/local.h"

#include "kernel/platform.h"
#include "net/datagram.h"
#include "net/datapath.h"
#include "net/forwarding.h"
#include "net/icmp.h"
#include "net/probe.h"
#include "net/reassembly.h"
#include "net/router.h"
#include "net/udp.h"
#include "net/wire/checksum.h"
#include "net/wire/icmp4.h"
#include "net/wire/ipv4.h"

static const struct ipv4_header *header_of(const struct packet *packet)
{
    return (const void *)(packet->data + packet->network_offset);
}

/* ---- ICMP ----------------------------------------------------------------------------------- */

/* Of a whole packet that says it is ICMP. */
static bool icmp_is_good(const struct packet *packet)
{
    uint32_t offset = packet->network_offset + packet->header_length_bytes;
    uint32_t length_bytes = packet->network_length_bytes - packet->header_length_bytes;

    return length_bytes >= ICMP4_HEADER_BYTES &&
           checksum_finish(datagram_sum(packet, offset, length_bytes, 0)) == 0;
}

/* RFC 1122 3.2.2.6 allows to ignore a request to many, and who answers it is an amplifier. */
static bool is_to_many(const struct core *core, const struct packet *packet)
{
    enum next_hop_kind kind =
        forwarding_kind_ipv4(core->forwarding, header_of(packet)->destination_be);

    return packet->flags & (PACKET_LINK_BROADCAST | PACKET_LINK_MULTICAST) ||
           (kind != NEXT_HOP_LOCAL && kind != NEXT_HOP_LOOPBACK);
}

/* PASS: somebody wanted to know. */
static enum verdict input_icmp_error(struct core *core, const struct packet *packet)
{
    struct local *local = core->router->local;
    uint32_t offset = packet->network_offset + packet->header_length_bytes;
    uint32_t length_bytes = packet->network_length_bytes - packet->header_length_bytes;
    uint32_t from_be = header_of(packet)->source_be;
    uint8_t bytes[ICMP4_HEADER_BYTES + IPV4_HEADER_MAX_BYTES + ICMP4_QUOTED_MINIMUM_BYTES];
    struct icmp4_error error;

    length_bytes = MIN_OF(length_bytes, sizeof(bytes));
    bool copied = packet_copy_out(packet, offset, bytes, length_bytes);
    CHECK(copied);
    switch (icmp4_error_read(bytes, length_bytes, &error)) {
    case OK:
        break;
    case ERROR_UNSUPPORTED:
        return DROP_ICMP_IGNORED;
    default:
        return DROP_BAD_ICMP;
    }
    if (error.protocol == PROTOCOL_ICMP)
        return probes_input_error(local->probes, &error, from_be, core->now_ns) ? PASS
                                                                                : DROP_ICMP_IGNORED;
    if (error.protocol == PROTOCOL_UDP)
        return udp_input_error(local->udp, &error, from_be, core->now_ns) ? PASS
                                                                          : DROP_ICMP_IGNORED;
    return DROP_ICMP_IGNORED;
}

/* Control core. All but echo requests. */
static enum verdict input_icmp(struct core *core, const struct packet *packet)
{
    const struct ipv4_header *header = header_of(packet);
    uint16_t length_bytes = packet->network_length_bytes - packet->header_length_bytes;
    struct icmp4_header icmp;
    bool copied = packet_copy_out(packet, packet->network_offset + packet->header_length_bytes,
                                  &icmp, sizeof(icmp));

    CHECK(copied);
    if (icmp.type != ICMP4_ECHO_REPLY)
        return input_icmp_error(core, packet);
    const struct probe_echo echo = {
        .source = address_of_ipv4(header->destination_be),
        .target = address_of_ipv4(header->source_be),
        .identifier_be = icmp.echo.identifier_be,
        .sequence_be = icmp.echo.sequence_be,
    };
    return probes_input_reply(core->router->local->probes, &echo, header->ttl, length_bytes,
                              core->now_ns)
               ? PASS
               : DROP_ICMP_IGNORED;
}

/* Takes an echo request, and whatever is wrong; false where the packet is left to control. */
static bool take_icmp(struct core *core, struct packet *packet)
{
    uint8_t type;

    if (!icmp_is_good(packet)) {
        datapath_drop(core, packet, DROP_BAD_ICMP);
        return true;
    }
    bool copied = packet_copy_out(packet, packet->network_offset + packet->header_length_bytes,
                                  &type, sizeof(type));
    CHECK(copied);
    if (type != ICMP4_ECHO_REQUEST)
        return false;
    if (is_to_many(core, packet))
        datapath_drop(core, packet, DROP_ICMP_IGNORED);
    else
        icmp_answer_echo(core, packet);
    return true;
}

/* ---- All protocols -------------------------------------------------------------------------- */

/* Control core, whole packets. */
static void dispatch(struct core *core, struct packet *packet)
{
    switch (header_of(packet)->protocol) {
    case PROTOCOL_ICMP: {
        enum verdict verdict = input_icmp(core, packet);
        if (verdict == PASS)
            datapath_delivered(core, packet);
        else
            datapath_drop(core, packet, verdict);
        return;
    }
    case PROTOCOL_UDP:
        udp_input(core->router->local->udp, core, packet);
        return;
    default:
        datapath_drop(core, packet, DROP_PROTOCOL_UNREACHABLE);
        return;
    }
}

void local_input(struct core *core, struct packet *packet)
{
    bool is_fragment = ipv4_is_fragment(header_of(packet));

    if (!is_fragment && header_of(packet)->protocol == PROTOCOL_ICMP && take_icmp(core, packet))
        return;
    if (!core_is_control(core)) {
        mailbox_send(core, CONTROL_CORE, packet, MAIL_LOCAL);
        return;
    }
    if (is_fragment) {
        packet = reassembly_input(core->router->local->reassembly, packet, core->now_ns);
        if (!packet)
            return;
        if (header_of(packet)->protocol == PROTOCOL_ICMP && take_icmp(core, packet))
            return;
    }
    dispatch(core, packet);
}

/* ---- Create, destroy ------------------------------------------------------------------------ */

struct local *local_create(struct router *router)
{
    struct core *core = router->cores[CONTROL_CORE];
    struct local *local = memory_alloc(sizeof(*local), 0, MEMORY_SOCKET);

    if (!local)
        return NULL;
    local->reassembly = reassembly_create(core, &(struct reassembly_uses){ .drop = datapath_drop });
    local->udp = udp_create(router);
    local->probes = probes_create(core);
    if (local->reassembly && local->udp && local->probes)
        return local;
    local_destroy(local);
    return NULL;
}

void local_destroy(struct local *local)
{
    if (!local)
        return;
    probes_destroy(local->probes);
    udp_destroy(local->udp);
    reassembly_destroy(local->reassembly);
    memory_free(local);
}
