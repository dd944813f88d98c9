/* Cards of a process: frames through a cable of two sockets, through capture files, and through a
 * tap device in a network namespace of its own. */
#include "tests/host/link.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/nic.h"
#include "tests/unit/test.h"

static struct packet_pools *pools;
static char directory[32];
static char why[200];

static void make_directory(void)
{
    snprintf(directory, sizeof(directory), "/tmp/tsuji-link-XXXXXX");
    EXPECT(mkdtemp(directory) != NULL);
}

static void remove_directory(void)
{
    char file[100];
    snprintf(file, sizeof(file), "%s/file", directory);
    unlink(file);
    EXPECT_EQUAL(rmdir(directory), 0); /* sockets were removed when their links were closed */
}

static struct nic *open_one_queue(const char *description, unsigned queue_max)
{
    struct link *link = link_create(description, queue_max, why, sizeof(why));
    if (link == NULL)
        test_fail(__FILE__, __LINE__, "%s: %s", description, why);
    struct nic *nic = link_nic_create(link);
    EXPECT(nic != NULL);
    struct nic_queue_setup setup = { .pool = packet_pool(pools, 0), .core = 0 };
    EXPECT_EQUAL(nic->ops->open(nic, 1, &setup), OK);
    return nic;
}

static struct nic *open_card(const char *description)
{
    return open_one_queue(description, 1);
}

static void close_card(struct nic *nic)
{
    nic->ops->close(nic, packet_pool(pools, 0));
    link_nic_destroy(nic);
}

/* A frame of that many bytes, each of which depends on its place. */
static struct packet *make_frame(uint32_t length_bytes)
{
    struct packet *first = NULL, **link = &first;
    for (uint32_t at = 0; at < length_bytes;) {
        uint32_t part = MIN_OF(length_bytes - at, (uint32_t)PACKET_ROOM_BYTES);
        *link = packet_alloc(packet_pool(pools, 0));
        EXPECT(*link != NULL);
        uint8_t *bytes = packet_append(*link, part);
        EXPECT(bytes != NULL);
        for (uint32_t i = 0; i < part; i++)
            bytes[i] = (uint8_t)((at + i) * 7 + length_bytes);
        at += part;
        link = &(*link)->next_segment;
    }
    first->frame_length_bytes = length_bytes;
    return first;
}

static void send_frame(struct nic *nic, uint32_t length_bytes)
{
    struct packet *packet = make_frame(length_bytes);
    EXPECT_EQUAL(nic->ops->transmit(nic->queues[0], &packet, 1), 1);
    nic->ops->flush(nic->queues[0]);
}

static void expect_frame(struct packet *packet, uint32_t length_bytes)
{
    EXPECT_EQUAL(packet->frame_length_bytes, length_bytes);
    for (uint32_t i = 0; i < length_bytes; i++) {
        uint8_t byte;
        EXPECT(packet_copy_out(packet, i, &byte, 1));
        EXPECT_EQUAL(byte, (uint8_t)(i * 7 + length_bytes));
    }
    packet_free(packet_pool(pools, 0), packet);
}

static const uint32_t lengths[] = { 14, 60, 1514, 1792, 1793, 9018 };

TEST(frames_cross_a_cable_of_sockets)
{
    char left_name[160], right_name[160];
    make_directory();
    pools = packet_pools_create(1, 64);
    snprintf(left_name, sizeof(left_name), "unix:%s/left,%s/right", directory, directory);
    snprintf(right_name, sizeof(right_name), "unix:%s/right,%s/left", directory, directory);
    struct nic *left = open_card(left_name);
    EXPECT(!left->ops->link_up(left));
    struct nic *right = open_card(right_name);
    EXPECT(left->ops->link_up(left));

    struct batch batch = { .count = 0 };
    for (unsigned i = 0; i < ARRAY_COUNT(lengths); i++)
        send_frame(left, lengths[i]);
    EXPECT(!right->ops->arm(right->queues[0]));
    core_idle(UINT64_MAX); /* the frames wake the core */
    right->ops->disarm(right->queues[0]);
    right->ops->receive(right->queues[0], &batch);
    EXPECT_EQUAL(batch.count, ARRAY_COUNT(lengths));
    for (unsigned i = 0; i < batch.count; i++)
        expect_frame(batch.packets[i], lengths[i]);

    /* A runt and one beyond all buffers are counted; what the other end cannot take is lost. */
    struct nic_stats stats;
    send_frame(left, 13);
    send_frame(left, PACKET_SEGMENT_MAX * PACKET_ROOM_BYTES);
    batch.count = 0;
    right->ops->receive(right->queues[0], &batch);
    EXPECT_EQUAL(batch.count, 0);
    right->ops->stats(right, &stats);
    EXPECT_EQUAL(stats.rx_errors, 2);
    close_card(right);
    send_frame(left, 60);
    left->ops->stats(left, &stats);
    EXPECT_EQUAL(stats.tx_errors, 1);
    close_card(left);
    packet_pools_destroy(pools);
    remove_directory();
}

TEST(a_full_cable_takes_no_more_and_loses_nothing)
{
    char left_name[160], right_name[160];
    make_directory();
    pools = packet_pools_create(1, 64);
    snprintf(left_name, sizeof(left_name), "unix:%s/left,%s/right", directory, directory);
    snprintf(right_name, sizeof(right_name), "unix:%s/right,%s/left", directory, directory);
    struct nic *left = open_card(left_name), *right = open_card(right_name);
    unsigned sent = 0, received = 0;
    struct packet *packet = make_frame(1000);
    while (sent < 100000 && left->ops->transmit(left->queues[0], &packet, 1) == 1) {
        sent++;
        packet = make_frame(1000);
    }
    EXPECT(sent < 100000);
    packet_free(packet_pool(pools, 0), packet);
    for (;;) {
        struct batch batch = { .count = 0 };
        right->ops->receive(right->queues[0], &batch);
        if (batch.count == 0)
            break;
        EXPECT(batch.count <= BATCH_MAX);
        for (unsigned i = 0; i < batch.count; i++)
            expect_frame(batch.packets[i], 1000);
        received += batch.count;
    }
    EXPECT_EQUAL(received, sent);
    close_card(left);
    close_card(right);
    packet_pools_destroy(pools);
    remove_directory();
}

TEST(frames_go_into_a_capture_file_and_come_out_again)
{
    char out_name[160], in_name[160];
    make_directory();
    pools = packet_pools_create(1, 64);
    snprintf(out_name, sizeof(out_name), "pcap:,%s/file", directory);
    snprintf(in_name, sizeof(in_name), "pcap:%s/file,", directory);
    struct nic *out = open_card(out_name);
    for (unsigned i = 0; i < ARRAY_COUNT(lengths); i++)
        send_frame(out, lengths[i]);
    close_card(out);

    struct nic *in = open_card(in_name);
    EXPECT(in->polled);
    struct batch batch = { .count = 0 };
    in->ops->receive(in->queues[0], &batch);
    EXPECT_EQUAL(batch.count, ARRAY_COUNT(lengths));
    for (unsigned i = 0; i < batch.count; i++)
        expect_frame(batch.packets[i], lengths[i]);
    send_frame(in, 60); /* goes nowhere */
    batch.count = 0;
    in->ops->receive(in->queues[0], &batch);
    EXPECT_EQUAL(batch.count, 0);
    close_card(in);
    packet_pools_destroy(pools);
    remove_directory();
}

TEST(links_that_cannot_be_had_say_why)
{
    static const char *const bad[] = {
        "",
        "eth0",
        "tap:",
        "tap:a-name-that-is-much-too-long",
        "unix:",
        "unix:/a",
        "unix:,/b",
        "unix:/no/such/directory/a,/b",
        "pcap:",
        "pcap:/a",
        "pcap:/no/x,",
        "pcap:,/no/such/directory/x",
        "tap",
        "pcap:/dev/null,",
        "hub:one",
    };
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        why[0] = '\0';
        EXPECT(link_create(bad[i], 1, why, sizeof(why)) == NULL);
        EXPECT(why[0] != '\0');
    }
    host_fail_allocation(0);
    EXPECT(link_create("pcap:,", 1, why, sizeof(why)) == NULL);
}

/* ---- Tap --------------------------------------------------------------------------------------
 */

static void set_address(const char *name, const uint8_t address[4])
{
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = { .ifr_flags = 0 };
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    struct sockaddr_in internet = { .sin_family = AF_INET };
    memcpy(&internet.sin_addr, address, 4);
    memcpy(&request.ifr_addr, &internet, sizeof(internet));
    EXPECT_EQUAL(ioctl(control, SIOCSIFADDR, &request), 0);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    EXPECT_EQUAL(ioctl(control, SIOCSIFFLAGS, &request), 0);
    close(control);
}

/* clang-format off */
static const uint8_t arp_request[42] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x08, 0x06,
    0, 1, 0x08, 0x00, 6, 4, 0, 1,
    2, 0, 0, 0, 0, 9, 10, 9, 8, 2,
    0, 0, 0, 0, 0, 0, 10, 9, 8, 1,
};
/* clang-format on */

static void make_namespace(void)
{
    if (unshare(CLONE_NEWNET) != 0)
        test_skip("not allowed to make a network namespace");
    if (access("/dev/net/tun", R_OK | W_OK) != 0)
        test_skip("no /dev/net/tun");
}

/* One datagram of a flow of its own to all on the tap. */
static void broadcast(void)
{
    int out = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
    memcpy(&to.sin_addr, (uint8_t[]){ 10, 255, 255, 255 }, 4);
    EXPECT_EQUAL(setsockopt(out, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)), 0);
    EXPECT_EQUAL(sendto(out, "x", 1, 0, (void *)&to, sizeof(to)), 1);
    close(out);
}

/* Linux deals flows to a tap's queues: a card opened with fewer than it could have gets them all.
 */
TEST(a_tap_opened_with_fewer_queues_loses_no_flow)
{
    enum { QUEUES = 4, FLOWS = 40 };
    make_namespace();
    pools = packet_pools_create(1, 64);
    struct nic *nic = open_one_queue("tap:tsuji0", QUEUES);
    set_address("tsuji0", (uint8_t[]){ 10, 9, 8, 1 });

    unsigned received = 0;
    for (unsigned i = 0; i < FLOWS; i++) {
        struct batch batch = { .count = 0 };
        broadcast();
        nic->ops->receive(nic->queues[0], &batch);
        for (unsigned k = 0; k < batch.count; k++) {
            const uint8_t *frame = batch.packets[k]->data;
            received += frame[12] == 0x08 && frame[13] == 0x00 && frame[23] == IPPROTO_UDP;
            packet_free(packet_pool(pools, 0), batch.packets[k]);
        }
    }
    EXPECT_EQUAL(received, FLOWS);
    close_card(nic);
    packet_pools_destroy(pools);
}

/* Linux behind the tap is asked for its address, and answers. */
TEST(linux_answers_behind_a_tap)
{
    make_namespace();
    pools = packet_pools_create(1, 64);
    struct nic *nic = open_card("tap:tsuji0");
    EXPECT(!nic->ops->link_up(nic));
    set_address("tsuji0", (uint8_t[]){ 10, 9, 8, 1 });
    EXPECT(nic->ops->link_up(nic));

    struct packet *request = packet_alloc(packet_pool(pools, 0));
    memcpy(packet_append(request, sizeof(arp_request)), arp_request, sizeof(arp_request));
    EXPECT_EQUAL(nic->ops->transmit(nic->queues[0], &request, 1), 1);

    bool answered = false;
    uint64_t deadline_ns = clock_ns() + 5ull * NS_PER_S;
    while (!answered && clock_ns() < deadline_ns) {
        struct batch batch = { .count = 0 };
        nic->ops->arm(nic->queues[0]);
        core_idle(deadline_ns);
        nic->ops->disarm(nic->queues[0]);
        nic->ops->receive(nic->queues[0], &batch);
        for (unsigned i = 0; i < batch.count; i++) {
            const uint8_t *frame = batch.packets[i]->data;
            answered |= frame[12] == 0x08 && frame[13] == 0x06 && frame[21] == 2 &&
                        memcmp(frame, (uint8_t[]){ 2, 0, 0, 0, 0, 9 }, 6) == 0;
            packet_free(packet_pool(pools, 0), batch.packets[i]);
        }
    }
    EXPECT(answered);
    close_card(nic);
    packet_pools_destroy(pools);
}
