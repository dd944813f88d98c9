/* The reset that answers a segment: RFC 9293 3.5.2, by hand. */
#include "net/wire/tcp.h"

#include "tests/unit/test.h"

static struct tcp_header segment_of(uint8_t flags, uint32_t sequence, uint32_t acknowledgment)
{
    return (struct tcp_header){ .source_port_be = __builtin_bswap16(1234),
                                .destination_port_be = __builtin_bswap16(80),
                                .sequence_be = __builtin_bswap32(sequence),
                                .acknowledgment_be = __builtin_bswap32(acknowledgment),
                                .data_offset = 6 << 4,
                                .flags = flags,
                                .window_be = 99,
                                .urgent_be = 7 };
}

TEST(tcp_reset_acknowledges_what_acknowledges_nothing)
{
    static const struct {
        uint8_t flags;
        uint32_t payload_bytes, length;
    } cases[] = {
        { TCP_SYN, 0, 1 },           { TCP_SYN, 10, 11 }, { TCP_SYN | TCP_FIN, 5, 7 },
        { TCP_FIN | TCP_PSH, 0, 1 }, { 0, 0, 0 },         { TCP_URG, 100, 100 },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tcp_header reset, segment = segment_of(cases[i].flags, 0xffffffff, 77);
        EXPECT(tcp_reset_for(&segment, 24 + cases[i].payload_bytes, &reset));
        EXPECT_EQUAL(reset.flags, TCP_RST | TCP_ACK);
        EXPECT_EQUAL(reset.sequence_be, 0);
        EXPECT_EQUAL(__builtin_bswap32(reset.acknowledgment_be), cases[i].length - 1u);
        EXPECT_EQUAL(reset.source_port_be, segment.destination_port_be);
        EXPECT_EQUAL(reset.destination_port_be, segment.source_port_be);
        EXPECT_EQUAL(reset.data_offset, 5 << 4);
        EXPECT_EQUAL(reset.window_be, 0);
        EXPECT_EQUAL(reset.urgent_be, 0);
        EXPECT_EQUAL(reset.checksum_be, 0);
    }
}

TEST(tcp_reset_goes_on_where_the_segment_acknowledges)
{
    struct tcp_header reset, segment = segment_of(TCP_SYN | TCP_ACK, 5, 0x01020304);

    EXPECT(tcp_reset_for(&segment, 24, &reset));
    EXPECT_EQUAL(reset.flags, TCP_RST);
    EXPECT_EQUAL(__builtin_bswap32(reset.sequence_be), 0x01020304);
    EXPECT_EQUAL(reset.acknowledgment_be, 0);
}

TEST(tcp_reset_answers_no_reset_and_nothing_malformed)
{
    struct tcp_header reset, segment = segment_of(TCP_RST | TCP_ACK, 5, 6);

    EXPECT(!tcp_reset_for(&segment, 24, &reset));
    segment = segment_of(TCP_SYN, 5, 6);
    EXPECT(!tcp_reset_for(&segment, 23, &reset)); /* shorter than it says */
    segment.data_offset = 4 << 4;                 /* than any header */
    EXPECT(!tcp_reset_for(&segment, 24, &reset));
}
