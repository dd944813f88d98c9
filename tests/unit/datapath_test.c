/* The path of packets through a router of software cards: what goes out, what is counted, and that
 * the books balance after everything. */
#include <string.h>

#include "kernel/base/bytes.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab.h"

static const struct ipv4_header *ip(const struct lab_frame *frame)
{
    return (const void *)(frame->bytes + ETHERNET_HEADER_BYTES);
}

TEST(datapath_forwards_between_connected_nets)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.1.2",
                                 .payload_bytes = 26 };
    struct lab_frame frame = lab_frame(0, &packet), out;

    lab_put(&lab, 0, &frame);
    lab_step(&lab, 1);
    EXPECT(lab_take(&lab, 1, &out));
    EXPECT_EQUAL(out.length_bytes, frame.length_bytes);
    EXPECT(memcmp(out.bytes, lab_host_mac(1, 2), 6) == 0);
    EXPECT(memcmp(out.bytes + 6, lab_port_mac(1), 6) == 0);
    EXPECT_EQUAL(ip(&out)->ttl, 63);
    EXPECT_EQUAL(checksum_of(ip(&out), IPV4_HEADER_BYTES), 0);
    EXPECT(memcmp(out.bytes + 34, frame.bytes + 34, 26) == 0);
    EXPECT_EQUAL(lab_counters(&lab, 0).received, 1);
    EXPECT_EQUAL(lab_counters(&lab, 0).sent, 1);
    EXPECT_EQUAL(lab_counters(&lab, 0).received_bytes, frame.length_bytes);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}
