/* See lab6.h. */
#include "tests/unit/lab6.h"

#include <stdio.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "net/icmp6.h"
#include "net/wire/ipv4.h"

struct lab lab6_create(unsigned core_count, unsigned port_count)
{
    struct lab lab = lab_create(core_count, port_count);

    for (unsigned i = 0; i < port_count; i++) {
        char interface[16], address[32];
        snprintf(interface, sizeof(interface), "eth%u", i);
        snprintf(address, sizeof(address), "2001:db8:%u::1/64", i);
        lab_address(&lab, interface, address);
    }
    lab_commit(&lab);
    lab_wait(&lab, 1500);
    lab6_forget_frames(&lab);
    return lab;
}

void lab6_forget_frames(struct lab *lab)
{
    struct lab_frame frame;

    for (unsigned i = 0; i < lab->port_count; i++)
        while (lab_take(lab, i, &frame))
            continue;
}

void lab6_meet(struct lab *lab, unsigned port, const char *address, unsigned host)
{
    char target[32];
    struct lab_frame out;

    snprintf(target, sizeof(target), "2001:db8:%u::1", port);
    struct lab_frame frame =
        lab6_solicitation(port, address, target, target, lab_host_mac(port, host));
    lab_put(lab, port, &frame);
    lab_step(lab, 4);
    EXPECT(lab_take(lab, port, &out));
}

/* ---- Frames -------------------------------------------------------------------------------- */

struct ipv6_header *lab6_header(struct lab_frame *frame)
{
    return (void *)(frame->bytes + ETHERNET_HEADER_BYTES);
}

uint8_t *lab6_payload(struct lab_frame *frame)
{
    return frame->bytes + ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES;
}

size_t lab6_payload_bytes(struct lab_frame *frame)
{
    return ipv6_payload_bytes(lab6_header(frame));
}

struct lab_frame lab6_frame(unsigned port, const struct lab6_packet *packet)
{
    unsigned behind_bytes = packet->extension_bytes + packet->payload_bytes;
    struct lab_frame frame = { .length_bytes =
                                   ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + behind_bytes };
    struct ethernet_header ethernet = { .ethertype = ETHERTYPE_IPV6 };
    struct ipv6_header *header = lab6_header(&frame);
    struct address source = address_of(packet->source);
    struct address destination = address_of(packet->destination);
    bool udp = packet->protocol == 0 && packet->extension_bytes == 0;

    memcpy(ethernet.target, lab_port_mac(port), sizeof(ethernet.target));
    if (ipv6_is_multicast(destination.bytes))
        ipv6_multicast_mac(destination.bytes, ethernet.target);
    memcpy(ethernet.source, lab_host_mac(port, 2), sizeof(ethernet.source));
    ethernet_write(&ethernet, frame.bytes);
    *header = (struct ipv6_header){
        .version_class_flow_be = ipv6_version_word_be(0, 0x12345),
        .payload_length_be = __builtin_bswap16((uint16_t)behind_bytes),
        .next_header = udp ? PROTOCOL_UDP : packet->protocol,
        .hop_limit = packet->hop_limit ? packet->hop_limit : 64,
    };
    memcpy(header->source, source.bytes, sizeof(header->source));
    memcpy(header->destination, destination.bytes, sizeof(header->destination));
    if (packet->extension_bytes > 0)
        memcpy(header + 1, packet->extensions, packet->extension_bytes);
    for (unsigned i = 0; i < packet->payload_bytes; i++)
        lab6_payload(&frame)[packet->extension_bytes + i] = (uint8_t)(i * 7 + i / 256);
    return frame;
}

void lab6_seal(struct lab_frame *frame)
{
    const struct ipv6_header *header = lab6_header(frame);

    icmp6_seal(lab6_payload(frame), lab6_payload_bytes(frame), header->source, header->destination);
}

struct lab_frame lab6_icmp(unsigned port, const struct lab6_packet *packet, const void *message,
                           size_t length_bytes)
{
    struct lab6_packet whole = *packet;

    whole.payload_bytes = (uint16_t)length_bytes;
    if (whole.extension_bytes == 0)
        whole.protocol = PROTOCOL_ICMP6;
    struct lab_frame frame = lab6_frame(port, &whole);
    uint8_t *payload = lab6_payload(&frame) + whole.extension_bytes;
    memcpy(payload, message, length_bytes);
    icmp6_seal(payload, length_bytes, lab6_header(&frame)->source,
               lab6_header(&frame)->destination);
    return frame;
}

struct lab_frame lab6_solicitation(unsigned port, const char *source, const char *destination,
                                   const char *target, const uint8_t *mac)
{
    struct nd_neighbor_solicitation solicitation = { .has_source_mac = mac != NULL };
    struct lab6_packet packet = { source, destination, .hop_limit = ND_HOP_LIMIT };
    uint8_t message[ND_NEIGHBOR_BYTES];

    memcpy(solicitation.target, address_of(target).bytes, sizeof(solicitation.target));
    if (mac)
        memcpy(solicitation.source_mac, mac, sizeof(solicitation.source_mac));
    size_t length = nd_neighbor_solicitation_write(&solicitation, message, sizeof(message));
    struct lab_frame frame = lab6_icmp(port, &packet, message, length);
    if (mac)
        memcpy(frame.bytes + MAC_BYTES, solicitation.source_mac, MAC_BYTES);
    return frame;
}

struct lab_frame lab6_advertisement(unsigned port, const char *source, const char *destination,
                                    const char *target, const uint8_t *mac, struct advertised flags)
{
    struct nd_neighbor_advertisement advertisement = { .router = flags.router,
                                                       .solicited = flags.solicited,
                                                       .override = flags.override,
                                                       .has_target_mac = mac != NULL };
    struct lab6_packet packet = { source, destination, .hop_limit = ND_HOP_LIMIT };
    uint8_t message[ND_NEIGHBOR_BYTES];

    memcpy(advertisement.target, address_of(target).bytes, sizeof(advertisement.target));
    if (mac)
        memcpy(advertisement.target_mac, mac, sizeof(advertisement.target_mac));
    size_t length = nd_neighbor_advertisement_write(&advertisement, message, sizeof(message));
    return lab6_icmp(port, &packet, message, length);
}

/* ---- Expectations -------------------------------------------------------------------------- */

void lab6_expect_address(const uint8_t *actual, const char *expected)
{
    const struct address is = address_of_ipv6(actual), wish = address_of(expected);
    char text[ADDRESS_TEXT_MAX], wish_text[ADDRESS_TEXT_MAX];

    EXPECT_TEXT(address_text(&is, text), address_text(&wish, wish_text));
}

void lab6_expect_silence(struct lab *lab)
{
    struct lab_frame out;

    for (unsigned i = 0; i < lab->port_count; i++)
        if (lab_take(lab, i, &out))
            test_fail(__FILE__, __LINE__, "a frame of %zu bytes left by eth%u", out.length_bytes,
                      i);
}

struct icmp6_header lab6_expect_error(struct lab *lab, unsigned port, struct lab_frame *frame,
                                      const char *source, uint8_t type, uint8_t code)
{
    size_t quoted = IPV6_HEADER_BYTES + lab6_payload_bytes(frame);
    struct lab_frame out;
    struct icmp6_header icmp;

    if (!lab_take(lab, port, &out))
        test_fail(__FILE__, __LINE__, "no error of type %u, code %u", type, code);
    const struct ipv6_header *header = lab6_header(&out);
    EXPECT_EQUAL(out.bytes[14] >> 4, 6);
    EXPECT_EQUAL(header->next_header, PROTOCOL_ICMP6);
    EXPECT_EQUAL(header->hop_limit, ICMP6_HOP_LIMIT);
    EXPECT_EQUAL(out.length_bytes, 54 + lab6_payload_bytes(&out));
    lab6_expect_address(header->source, source);
    EXPECT(ipv6_equal(header->destination, lab6_header(frame)->source));
    EXPECT(icmp6_is_good(lab6_payload(&out), lab6_payload_bytes(&out), header->source,
                         header->destination));
    memcpy(&icmp, lab6_payload(&out), sizeof(icmp));
    EXPECT_EQUAL(icmp.type, type);
    EXPECT_EQUAL(icmp.code, code);
    quoted = MIN_OF(quoted, (size_t)IPV6_MINIMUM_MTU - IPV6_HEADER_BYTES - ICMP6_HEADER_BYTES);
    EXPECT_EQUAL(lab6_payload_bytes(&out), ICMP6_HEADER_BYTES + quoted);
    EXPECT(memcmp(lab6_payload(&out) + 8, lab6_header(frame), quoted) == 0); /* as it came */
    EXPECT(!lab_take(lab, port, &out));
    return icmp;
}
