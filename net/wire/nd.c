/* See nd.h. A message is opened by what all have in common, then read field by field in the order
 * of the RFC's drawings, its options last; the rules that need them all are asked at the end. */
#include "net/wire/nd.h"

#include "kernel/base/bytes.h"
#include "net/wire/icmp6.h"

enum {
    OPTION_UNIT = 8,
    OPTION_HEAD_BYTES = 2,
    LINK_ADDRESS_UNITS = 1,
    PREFIX_UNITS = 4,
    MTU_UNITS = 1,
    SERVERS_UNITS_MIN = 3,
    REDIRECTED_RESERVED_BYTES = 6,
    ADDRESS_UNITS = IPV6_ADDRESS_BYTES / OPTION_UNIT,

    RA_MANAGED = 0x80, /* 4.2 */
    RA_OTHER = 0x40,
    RA_PREFERENCE = 0x18, /* RFC 4191 2.2 */
    RA_PREFERENCE_HIGH = 0x08,
    RA_PREFERENCE_LOW = 0x18,
    PREFIX_ON_LINK = 0x80, /* 4.6.2 */
    PREFIX_AUTONOMOUS = 0x40,
    NA_ROUTER = 0x80, /* 4.4, in the first of 4 bytes */
    NA_SOLICITED = 0x40,
    NA_OVERRIDE = 0x20,
};

/* ---- Options, read -------------------------------------------------------------------------- */

/* What the options of any message hold. */
struct options {
    bool source_seen; /* whether its value is good or not */
    bool has_source_mac, has_target_mac;
    uint8_t source_mac[MAC_BYTES], target_mac[MAC_BYTES];
    const uint8_t *redirected;
    uint32_t redirected_bytes;
    struct nd_router_advertisement *advertisement; /* NULL: in no other message are they wanted */
};

static void link_address_read(struct reader *value, unsigned units, bool *has_mac, uint8_t *mac)
{
    const uint8_t *bytes = reader_take(value, MAC_BYTES);

    if (units != LINK_ADDRESS_UNITS || !bytes || !mac_is_station(bytes))
        return;
    *has_mac = true;
    memcpy(mac, bytes, MAC_BYTES);
}

/* Clears what lies behind the prefix, which its sender should have done: 4.6.2. */
static void prefix_mask(struct nd_prefix *prefix)
{
    for (unsigned i = 0; i < IPV6_ADDRESS_BYTES; i++) {
        unsigned kept = prefix->prefix_bits > i * 8 ? prefix->prefix_bits - i * 8u : 0;
        if (kept < 8)
            prefix->prefix[i] &= (uint8_t)(0xff00 >> kept);
    }
}

static void prefix_read(struct reader *value, unsigned units,
                        struct nd_router_advertisement *advertisement)
{
    struct nd_prefix prefix = { .prefix_bits = read_u8(value) };
    uint8_t flags = read_u8(value);

    prefix.on_link = flags & PREFIX_ON_LINK;
    prefix.valid_s = read_be32(value);
    prefix.preferred_s = read_be32(value);
    read_be32(value); /* reserved */
    const uint8_t *bytes = reader_take(value, IPV6_ADDRESS_BYTES);
    if (units != PREFIX_UNITS || !bytes || prefix.prefix_bits > IPV6_ADDRESS_BYTES * 8)
        return;
    prefix.autonomous = (flags & PREFIX_AUTONOMOUS) && prefix.preferred_s <= prefix.valid_s;
    memcpy(prefix.prefix, bytes, IPV6_ADDRESS_BYTES);
    prefix_mask(&prefix);
    if (ipv6_is_link_local(prefix.prefix) || ipv6_is_multicast(prefix.prefix))
        return;
    if (advertisement->prefix_count == ND_PREFIXES_MAX)
        advertisement->prefixes_left_out++;
    else
        advertisement->prefixes[advertisement->prefix_count++] = prefix;
}

static void mtu_read(struct reader *value, unsigned units,
                     struct nd_router_advertisement *advertisement)
{
    read_be16(value); /* reserved */
    uint32_t mtu = read_be32(value);

    if (units == MTU_UNITS && mtu >= IPV6_MINIMUM_MTU)
        advertisement->mtu = mtu;
}

/* RFC 8106 5.1: reserved, lifetime, addresses; 5.3.1: without any, or with half of one, it is
 * skipped. */
static void servers_read(struct reader *value, unsigned units,
                         struct nd_router_advertisement *advertisement)
{
    if (units < SERVERS_UNITS_MIN || (units - 1) % ADDRESS_UNITS != 0)
        return;
    read_be16(value);
    uint32_t lifetime_s = read_be32(value);
    while (reader_left(value) > 0) {
        const uint8_t *address = reader_take(value, IPV6_ADDRESS_BYTES);
        if (advertisement->server_count == ND_SERVERS_MAX) {
            advertisement->servers_left_out++;
            continue;
        }
        struct nd_server *server = &advertisement->servers[advertisement->server_count++];
        memcpy(server->address, address, IPV6_ADDRESS_BYTES);
        server->lifetime_s = lifetime_s;
    }
}

static void option_read(uint8_t type, struct reader *value, unsigned units, struct options *options)
{
    switch (type) {
    case ND_OPTION_SOURCE_LINK_ADDRESS:
        options->source_seen = true;
        link_address_read(value, units, &options->has_source_mac, options->source_mac);
        return;
    case ND_OPTION_TARGET_LINK_ADDRESS:
        link_address_read(value, units, &options->has_target_mac, options->target_mac);
        return;
    case ND_OPTION_REDIRECTED_HEADER:
        reader_take(value, REDIRECTED_RESERVED_BYTES);
        options->redirected_bytes = (uint32_t)reader_left(value);
        options->redirected = options->redirected_bytes > 0 ? value->at : NULL;
        return;
    }
    if (!options->advertisement)
        return;
    switch (type) {
    case ND_OPTION_PREFIX:
        prefix_read(value, units, options->advertisement);
        return;
    case ND_OPTION_MTU:
        mtu_read(value, units, options->advertisement);
        return;
    case ND_OPTION_SERVERS:
        servers_read(value, units, options->advertisement);
        return;
    }
}

/* All options up to the message's end. */
static enum error options_read(struct reader *reader, struct options *options)
{
    while (reader_left(reader) > 0) {
        uint8_t type = read_u8(reader);
        unsigned units = read_u8(reader);
        if (units == 0) /* that there is no byte for it included */
            return ERROR_MALFORMED;
        size_t value_bytes = (size_t)units * OPTION_UNIT - OPTION_HEAD_BYTES;
        const uint8_t *bytes = reader_take(reader, value_bytes);
        if (!bytes)
            return ERROR_MALFORMED;
        struct reader value = reader_of(bytes, value_bytes);
        option_read(type, &value, units, options);
    }
    return OK;
}

/* ---- Options, written ----------------------------------------------------------------------- */

static void link_address_write(struct writer *writer, uint8_t type, const uint8_t *mac)
{
    write_u8(writer, type);
    write_u8(writer, LINK_ADDRESS_UNITS);
    write_bytes(writer, mac, MAC_BYTES);
}

static void mtu_write(struct writer *writer, uint32_t mtu)
{
    write_u8(writer, ND_OPTION_MTU);
    write_u8(writer, MTU_UNITS);
    write_be16(writer, 0);
    write_be32(writer, mtu);
}

static void prefix_write(struct writer *writer, const struct nd_prefix *prefix)
{
    struct nd_prefix masked = *prefix;
    unsigned flags = 0;

    prefix_mask(&masked);
    if (prefix->on_link)
        flags |= PREFIX_ON_LINK;
    if (prefix->autonomous)
        flags |= PREFIX_AUTONOMOUS;
    write_u8(writer, ND_OPTION_PREFIX);
    write_u8(writer, PREFIX_UNITS);
    write_u8(writer, prefix->prefix_bits);
    write_u8(writer, (uint8_t)flags);
    write_be32(writer, prefix->valid_s);
    write_be32(writer, prefix->preferred_s);
    write_be32(writer, 0);
    write_bytes(writer, masked.prefix, IPV6_ADDRESS_BYTES);
}

/* An option for each, since each has its own lifetime. */
static void server_write(struct writer *writer, const struct nd_server *server)
{
    write_u8(writer, ND_OPTION_SERVERS);
    write_u8(writer, SERVERS_UNITS_MIN);
    write_be16(writer, 0);
    write_be32(writer, server->lifetime_s);
    write_bytes(writer, server->address, IPV6_ADDRESS_BYTES);
}

static void redirected_write(struct writer *writer, const uint8_t *packet, uint32_t packet_bytes)
{
    static const uint8_t reserved[REDIRECTED_RESERVED_BYTES];
    size_t room_bytes = (size_t)(writer->end - writer->at);
    size_t units = packet_bytes / OPTION_UNIT;

    if (room_bytes < 2 * OPTION_UNIT)
        return; /* it may be left out: 4.5 */
    units = MIN_OF(units, room_bytes / OPTION_UNIT - 1);
    units = MIN_OF(units, (size_t)UINT8_MAX - 1);
    write_u8(writer, ND_OPTION_REDIRECTED_HEADER);
    write_u8(writer, (uint8_t)(units + 1));
    write_bytes(writer, reserved, sizeof(reserved));
    write_bytes(writer, packet, units * OPTION_UNIT);
}

/* ---- Messages ------------------------------------------------------------------------------- */

/* What all messages begin with, and the rules that all have. */
static enum error message_open(const struct ipv6_header *header, struct reader *reader,
                               uint8_t type)
{
    uint8_t found = read_u8(reader);
    uint8_t code = read_u8(reader);

    read_be16(reader); /* the checksum is good */
    if (reader->failed)
        return ERROR_TRUNCATED;
    if (found != type)
        return ERROR_UNSUPPORTED;
    if (header->hop_limit != ND_HOP_LIMIT || code != 0)
        return ERROR_MALFORMED;
    return OK;
}

static void message_begin(struct writer *writer, uint8_t type)
{
    write_u8(writer, type);
    write_u8(writer, 0);
    write_be16(writer, 0);
}

static size_t message_end(const struct writer *writer, const void *out)
{
    return writer->failed ? 0 : (size_t)(writer->at - (const uint8_t *)out);
}

enum error nd_router_solicitation_read(const struct ipv6_header *header, const void *message,
                                       size_t length_bytes,
                                       struct nd_router_solicitation *solicitation)
{
    struct reader reader = reader_of(message, length_bytes);
    struct options options = { .advertisement = NULL };
    enum error error = message_open(header, &reader, ICMP6_ROUTER_SOLICITATION);

    if (error)
        return error;
    read_be32(&reader); /* reserved */
    if (reader.failed)
        return ERROR_TRUNCATED;
    error = options_read(&reader, &options);
    if (error)
        return error;
    if (ipv6_is_unspecified(header->source) && options.source_seen)
        return ERROR_MALFORMED;

    solicitation->has_source_mac = options.has_source_mac;
    memcpy(solicitation->source_mac, options.source_mac, MAC_BYTES);
    return OK;
}

size_t nd_router_solicitation_write(const struct nd_router_solicitation *solicitation, void *out,
                                    size_t size_bytes)
{
    struct writer writer = writer_of(out, size_bytes);

    message_begin(&writer, ICMP6_ROUTER_SOLICITATION);
    write_be32(&writer, 0);
    if (solicitation->has_source_mac)
        link_address_write(&writer, ND_OPTION_SOURCE_LINK_ADDRESS, solicitation->source_mac);
    return message_end(&writer, out);
}

static int8_t preference_read(uint8_t flags)
{
    return flags == RA_PREFERENCE_HIGH  ? ND_PREFERENCE_HIGH
           : flags == RA_PREFERENCE_LOW ? ND_PREFERENCE_LOW
                                        : ND_PREFERENCE_MEDIUM;
}

enum error nd_router_advertisement_read(const struct ipv6_header *header, const void *message,
                                        size_t length_bytes,
                                        struct nd_router_advertisement *advertisement)
{
    struct reader reader = reader_of(message, length_bytes);
    struct options options = { .advertisement = advertisement };
    enum error error = message_open(header, &reader, ICMP6_ROUTER_ADVERTISEMENT);

    if (error)
        return error;
    if (!ipv6_is_link_local(header->source))
        return ERROR_MALFORMED;
    *advertisement = (struct nd_router_advertisement){ .hop_limit = read_u8(&reader) };
    uint8_t flags = read_u8(&reader);
    advertisement->managed = flags & RA_MANAGED;
    advertisement->other_configuration = flags & RA_OTHER;
    advertisement->preference = preference_read(flags & RA_PREFERENCE);
    advertisement->lifetime_s = read_be16(&reader);
    advertisement->reachable_ms = read_be32(&reader);
    advertisement->retransmit_ms = read_be32(&reader);
    if (reader.failed)
        return ERROR_TRUNCATED;
    error = options_read(&reader, &options);
    if (error)
        return error;

    advertisement->has_source_mac = options.has_source_mac;
    memcpy(advertisement->source_mac, options.source_mac, MAC_BYTES);
    return OK;
}

size_t nd_router_advertisement_write(const struct nd_router_advertisement *advertisement, void *out,
                                     size_t size_bytes)
{
    struct writer writer = writer_of(out, size_bytes);
    unsigned flags = 0;

    CHECK(advertisement->prefix_count <= ND_PREFIXES_MAX);
    CHECK(advertisement->server_count <= ND_SERVERS_MAX);
    if (advertisement->managed)
        flags |= RA_MANAGED;
    if (advertisement->other_configuration)
        flags |= RA_OTHER;
    if (advertisement->preference != ND_PREFERENCE_MEDIUM)
        flags |= advertisement->preference == ND_PREFERENCE_HIGH ? RA_PREFERENCE_HIGH
                                                                 : RA_PREFERENCE_LOW;
    message_begin(&writer, ICMP6_ROUTER_ADVERTISEMENT);
    write_u8(&writer, advertisement->hop_limit);
    write_u8(&writer, (uint8_t)flags);
    write_be16(&writer, advertisement->lifetime_s);
    write_be32(&writer, advertisement->reachable_ms);
    write_be32(&writer, advertisement->retransmit_ms);
    if (advertisement->has_source_mac)
        link_address_write(&writer, ND_OPTION_SOURCE_LINK_ADDRESS, advertisement->source_mac);
    if (advertisement->mtu != 0)
        mtu_write(&writer, advertisement->mtu);
    for (unsigned i = 0; i < advertisement->prefix_count; i++)
        prefix_write(&writer, &advertisement->prefixes[i]);
    for (unsigned i = 0; i < advertisement->server_count; i++)
        server_write(&writer, &advertisement->servers[i]);
    return message_end(&writer, out);
}

enum error nd_neighbor_solicitation_read(const struct ipv6_header *header, const void *message,
                                         size_t length_bytes,
                                         struct nd_neighbor_solicitation *solicitation)
{
    struct reader reader = reader_of(message, length_bytes);
    struct options options = { .advertisement = NULL };
    enum error error = message_open(header, &reader, ICMP6_NEIGHBOR_SOLICITATION);

    if (error)
        return error;
    read_be32(&reader); /* reserved */
    const uint8_t *target = reader_take(&reader, IPV6_ADDRESS_BYTES);
    if (!target)
        return ERROR_TRUNCATED;
    if (ipv6_is_multicast(target))
        return ERROR_MALFORMED;
    error = options_read(&reader, &options);
    if (error)
        return error;
    if (ipv6_is_unspecified(header->source) &&
        (options.source_seen || !ipv6_is_solicited_node(header->destination)))
        return ERROR_MALFORMED;

    memcpy(solicitation->target, target, IPV6_ADDRESS_BYTES);
    solicitation->has_source_mac = options.has_source_mac;
    memcpy(solicitation->source_mac, options.source_mac, MAC_BYTES);
    return OK;
}

size_t nd_neighbor_solicitation_write(const struct nd_neighbor_solicitation *solicitation,
                                      void *out, size_t size_bytes)
{
    struct writer writer = writer_of(out, size_bytes);

    message_begin(&writer, ICMP6_NEIGHBOR_SOLICITATION);
    write_be32(&writer, 0);
    write_bytes(&writer, solicitation->target, IPV6_ADDRESS_BYTES);
    if (solicitation->has_source_mac)
        link_address_write(&writer, ND_OPTION_SOURCE_LINK_ADDRESS, solicitation->source_mac);
    return message_end(&writer, out);
}

enum error nd_neighbor_advertisement_read(const struct ipv6_header *header, const void *message,
                                          size_t length_bytes,
                                          struct nd_neighbor_advertisement *advertisement)
{
    struct reader reader = reader_of(message, length_bytes);
    struct options options = { .advertisement = NULL };
    enum error error = message_open(header, &reader, ICMP6_NEIGHBOR_ADVERTISEMENT);

    if (error)
        return error;
    uint8_t flags = (uint8_t)(read_be32(&reader) >> 24);
    const uint8_t *target = reader_take(&reader, IPV6_ADDRESS_BYTES);
    if (!target)
        return ERROR_TRUNCATED;
    if (ipv6_is_multicast(target))
        return ERROR_MALFORMED;
    if (ipv6_is_multicast(header->destination) && (flags & NA_SOLICITED))
        return ERROR_MALFORMED;
    error = options_read(&reader, &options);
    if (error)
        return error;

    memcpy(advertisement->target, target, IPV6_ADDRESS_BYTES);
    advertisement->router = flags & NA_ROUTER;
    advertisement->solicited = flags & NA_SOLICITED;
    advertisement->override = flags & NA_OVERRIDE;
    advertisement->has_target_mac = options.has_target_mac;
    memcpy(advertisement->target_mac, options.target_mac, MAC_BYTES);
    return OK;
}

size_t nd_neighbor_advertisement_write(const struct nd_neighbor_advertisement *advertisement,
                                       void *out, size_t size_bytes)
{
    struct writer writer = writer_of(out, size_bytes);
    uint32_t flags = 0;

    if (advertisement->router)
        flags |= NA_ROUTER;
    if (advertisement->solicited)
        flags |= NA_SOLICITED;
    if (advertisement->override)
        flags |= NA_OVERRIDE;
    message_begin(&writer, ICMP6_NEIGHBOR_ADVERTISEMENT);
    write_be32(&writer, flags << 24);
    write_bytes(&writer, advertisement->target, IPV6_ADDRESS_BYTES);
    if (advertisement->has_target_mac)
        link_address_write(&writer, ND_OPTION_TARGET_LINK_ADDRESS, advertisement->target_mac);
    return message_end(&writer, out);
}

enum error nd_redirect_read(const struct ipv6_header *header, const void *message,
                            size_t length_bytes, struct nd_redirect *redirect)
{
    struct reader reader = reader_of(message, length_bytes);
    struct options options = { .advertisement = NULL };
    enum error error = message_open(header, &reader, ICMP6_REDIRECT);

    if (error)
        return error;
    read_be32(&reader); /* reserved */
    const uint8_t *target = reader_take(&reader, IPV6_ADDRESS_BYTES);
    const uint8_t *destination = reader_take(&reader, IPV6_ADDRESS_BYTES);
    if (reader.failed)
        return ERROR_TRUNCATED;
    if (!ipv6_is_link_local(header->source) || ipv6_is_multicast(destination))
        return ERROR_MALFORMED;
    if (!ipv6_is_link_local(target) && !ipv6_equal(target, destination))
        return ERROR_MALFORMED;
    error = options_read(&reader, &options);
    if (error)
        return error;

    memcpy(redirect->target, target, IPV6_ADDRESS_BYTES);
    memcpy(redirect->destination, destination, IPV6_ADDRESS_BYTES);
    redirect->has_target_mac = options.has_target_mac;
    memcpy(redirect->target_mac, options.target_mac, MAC_BYTES);
    redirect->redirected = options.redirected;
    redirect->redirected_bytes = options.redirected_bytes;
    return OK;
}

size_t nd_redirect_write(const struct nd_redirect *redirect, void *out, size_t size_bytes)
{
    struct writer writer = writer_of(out, size_bytes);

    message_begin(&writer, ICMP6_REDIRECT);
    write_be32(&writer, 0);
    write_bytes(&writer, redirect->target, IPV6_ADDRESS_BYTES);
    write_bytes(&writer, redirect->destination, IPV6_ADDRESS_BYTES);
    if (redirect->has_target_mac)
        link_address_write(&writer, ND_OPTION_TARGET_LINK_ADDRESS, redirect->target_mac);
    if (redirect->redirected_bytes >= OPTION_UNIT)
        redirected_write(&writer, redirect->redirected, redirect->redirected_bytes);
    return message_end(&writer, out);
}
