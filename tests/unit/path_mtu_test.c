/* Path MTUs: the table beside a naive twin, and a router that is told of narrow links: what it
 * believes, and how long its packets are then. */
#include "net/path_mtu.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "net/local.h"
#include "net/probe.h"
#include "net/udp.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab6.h"

/* ---- The table ----------------------------------------------------------------------------- */

enum { ADDRESSES = 100, LINK_MTU = 1500 };

static const uint8_t *address_number(unsigned number)
{
    static uint8_t address[16];

    memset(address, 0x20, sizeof(address));
    address[number % 2 ? 3 : 12] = (uint8_t)number; /* in either half */
    return address;
}

/* What is known of each address; time begins at 1. */
struct twin {
    uint64_t told_ns[ADDRESSES]; /* 0: never */
    uint16_t mtu_bytes[ADDRESSES];
};

static bool twin_knows(const struct twin *twin, unsigned number, uint64_t now_ns)
{
    return twin->told_ns[number] != 0 &&
           now_ns - twin->told_ns[number] < (uint64_t)PATH_MTU_LIFETIME_S * NS_PER_S;
}

static void twin_learn(struct twin *twin, unsigned number, uint16_t mtu_bytes, uint64_t now_ns)
{
    unsigned known = 0, oldest = ADDRESSES;

    if (twin_knows(twin, number, now_ns)) {
        if (mtu_bytes > twin->mtu_bytes[number])
            return;
    } else {
        for (unsigned i = 0; i < ADDRESSES; i++) {
            known += twin_knows(twin, i, now_ns);
            if (twin_knows(twin, i, now_ns) &&
                (oldest == ADDRESSES || twin->told_ns[i] < twin->told_ns[oldest]))
                oldest = i;
        }
        if (known == PATH_MTU_MAX)
            twin->told_ns[oldest] = 0;
    }
    twin->told_ns[number] = now_ns;
    twin->mtu_bytes[number] = mtu_bytes;
}

TEST(path_mtu_agrees_with_a_naive_twin)
{
    struct path_mtus *mtus = path_mtus_create();
    struct twin twin = { .told_ns = { 0 } };
    uint64_t random = 3, now_ns = 1;
    unsigned known = 0;

    EXPECT(mtus);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned number = random_below(&random, ADDRESSES);
        uint16_t mtu_bytes = (uint16_t)(1280 + random_below(&random, 220));
        now_ns += 1 + (uint64_t)random_below(&random, 20) * NS_PER_S;
        path_mtu_learn(mtus, address_number(number), mtu_bytes, now_ns);
        twin_learn(&twin, number, mtu_bytes, now_ns);
        for (unsigned k = 0; k < ADDRESSES; k++) {
            bool knows = twin_knows(&twin, k, now_ns);
            EXPECT_EQUAL(path_mtu(mtus, address_number(k), LINK_MTU, now_ns),
                         knows ? twin.mtu_bytes[k] : LINK_MTU);
            known += knows;
        }
    }
    EXPECT(known > 20000 * 40);
    EXPECT_EQUAL(path_mtu(mtus, address_number(0), 1280, now_ns), 1280); /* the link's at most */
    path_mtus_destroy(mtus);
}

TEST(path_mtu_without_memory_is_not_created)
{
    host_fail_allocation(0);
    EXPECT(!path_mtus_create());
    path_mtus_destroy(NULL);
}

/* ---- A router that is told ------------------------------------------------------------------ */

#define HOST   "2001:db8::2"
#define US     "2001:db8::1"
#define FAR    "2001:db8:77::7"
#define NARROW "2001:db8::99" /* the router in between */

enum { MESSAGE_MAX = 8008 };

static struct lab start(unsigned core_count)
{
    struct lab lab = lab6_create(core_count, 2);

    lab6_meet(&lab, 0, HOST, 2);
    lab_route(&lab, "2001:db8:77::/64", HOST);
    lab_commit(&lab);
    lab_step(&lab, 4);
    lab6_forget_frames(&lab);
    return lab;
}

/* Packet too big about that frame, from the narrow router. */
static void object(struct lab *lab, const struct lab_frame *frame, uint32_t mtu_bytes)
{
    struct lab6_packet packet = { .source = NARROW, .destination = US };
    uint8_t message[ICMP6_HEADER_BYTES + ICMP6_QUOTE_MAX_BYTES] = { ICMP6_PACKET_TOO_BIG };
    size_t quote_bytes =
        MIN_OF(frame->length_bytes - ETHERNET_HEADER_BYTES, (size_t)ICMP6_QUOTE_MAX_BYTES);

    store_be32(message + 4, mtu_bytes);
    memcpy(message + ICMP6_HEADER_BYTES, frame->bytes + ETHERNET_HEADER_BYTES, quote_bytes);
    struct lab_frame error = lab6_icmp(0, &packet, message, ICMP6_HEADER_BYTES + quote_bytes);
    lab_put(lab, 0, &error);
    lab_step(lab, 4);
}

static bool take_echo(struct lab *lab, struct lab_frame *frame)
{
    while (lab_take(lab, 0, frame)) {
        uint8_t next_header = lab6_header(frame)->next_header;
        uint8_t type = lab6_payload(frame)[0];
        if (next_header == PROTOCOL_FRAGMENT || type == ICMP6_ECHO_REQUEST ||
            type == ICMP6_ECHO_REPLY || next_header == PROTOCOL_UDP)
            return true;
    }
    return false;
}

static unsigned packet_bytes(struct lab_frame *frame)
{
    return IPV6_HEADER_BYTES + (unsigned)lab6_payload_bytes(frame);
}

/* The packet that follows is so long, and in pieces of no more than mtu_bytes, but not of less
 * than fits. The first of them in *first. */
static void expect_pieces(struct lab *lab, unsigned message_bytes, unsigned mtu_bytes,
                          struct lab_frame *first)
{
    unsigned total = 0, count = 0, longest = 0;
    struct lab_frame frame;

    while (total < message_bytes && take_echo(lab, &frame)) {
        if (count++ == 0)
            *first = frame;
        total += (unsigned)lab6_payload_bytes(&frame);
        if (lab6_header(&frame)->next_header == PROTOCOL_FRAGMENT)
            total -= IPV6_FRAGMENT_HEADER_BYTES;
        longest = MAX_OF(longest, packet_bytes(&frame));
    }
    EXPECT_EQUAL(total, message_bytes);
    EXPECT(longest <= mtu_bytes);
    EXPECT(longest > mtu_bytes - 8);
    EXPECT(!take_echo(lab, &frame));
}

static struct probe *ping(struct lab *lab, const char *target, unsigned payload_bytes)
{
    struct probe *probe =
        probe_start(lab->router,
                    &(struct probe_setup){ .target = address_of(target),
                                           .port = PORT_NONE,
                                           .count = 1,
                                           .interval_ms = 1000,
                                           .timeout_ms = 2000,
                                           .payload_bytes = (uint16_t)payload_bytes,
                                           .ttl_max = 64 },
                    lab->now_ns);
    EXPECT(probe);
    lab_wait(lab, 20);
    return probe;
}

static struct probe_event next_event(struct lab *lab, struct probe *probe)
{
    struct probe_event event;

    EXPECT(probe_poll(probe, lab->now_ns, &event));
    return event;
}

static unsigned known_mtu(const struct lab *lab, const char *destination)
{
    return path_mtu(lab->router->path_mtus, address_of(destination).bytes, MTU_DEFAULT,
                    lab->now_ns);
}

static void finish(struct lab *lab)
{
    lab_expect_books(lab);
    lab_destroy(lab);
}

TEST(path_mtu_of_a_ping_is_learned_and_forgotten)
{
    struct lab lab = start(1);
    struct probe *probe = ping(&lab, FAR, 8000);
    struct lab_frame first;

    expect_pieces(&lab, 8008, 1496, &first);
    object(&lab, &first, 1400);
    struct probe_event event = next_event(&lab, probe);
    EXPECT_EQUAL(event.answer, PROBE_TOO_BIG);
    EXPECT_EQUAL(event.mtu, 1400);
    probe_stop(probe);
    probe = ping(&lab, FAR, 8000);
    expect_pieces(&lab, 8008, 1400, &first);
    object(&lab, &first, 1300); /* and a narrower one behind it */
    probe_stop(probe);
    probe = ping(&lab, FAR, 1300);
    expect_pieces(&lab, 1308, 1300, &first);
    probe_stop(probe);
    probe = ping(&lab, HOST, 1452); /* another destination */
    expect_pieces(&lab, 1460, 1500, &first);
    probe_stop(probe);
    EXPECT_EQUAL(known_mtu(&lab, FAR), 1300);
    lab_wait(&lab, PATH_MTU_LIFETIME_S * 1000);
    EXPECT_EQUAL(known_mtu(&lab, FAR), MTU_DEFAULT);
    finish(&lab);
}

/* "df": the path is what is asked for. Our own refusal is not taken for news, which would keep the
 * MTU known for ever. */
TEST(path_mtu_that_is_known_refuses_a_ping_that_must_not_be_cut)
{
    struct lab lab = start(1);
    struct probe *probe = ping(&lab, FAR, 1452);
    struct lab_frame first;

    expect_pieces(&lab, 1460, 1500, &first);
    object(&lab, &first, 1400);
    probe_stop(probe);
    lab_wait(&lab, (PATH_MTU_LIFETIME_S - 5) * 1000);
    lab6_forget_frames(&lab);
    lab6_meet(&lab, 0, HOST, 2); /* for so long no neighbor is known to be there */
    probe = probe_start(lab.router,
                        &(struct probe_setup){ .target = address_of(FAR),
                                               .port = PORT_NONE,
                                               .count = 1,
                                               .timeout_ms = 2000,
                                               .payload_bytes = 1452,
                                               .dont_fragment = true,
                                               .ttl_max = 64 },
                        lab.now_ns);
    lab_wait(&lab, 3500);
    struct probe_event event = next_event(&lab, probe);
    EXPECT_EQUAL(event.answer, PROBE_TOO_BIG);
    EXPECT_EQUAL(event.mtu, 1400);
    lab6_expect_address(event.from.bytes, US);
    probe_stop(probe);
    EXPECT_EQUAL(known_mtu(&lab, FAR), 1400);
    lab_wait(&lab, 6000);
    EXPECT_EQUAL(known_mtu(&lab, FAR), MTU_DEFAULT);
    lab_wait(&lab, 5000);
    finish(&lab);
}

/* Nobody keeps a note of what we have answered, so our address must do. On any core. */
TEST(path_mtu_of_echo_replies_is_learned)
{
    for (unsigned cores = 1; cores <= 2; cores++) {
        struct lab lab = start(cores);
        struct lab6_packet packet = { .source = FAR, .destination = US };
        uint8_t message[1460] = { ICMP6_ECHO_REQUEST };
        struct lab_frame request = lab6_icmp(0, &packet, message, sizeof(message)), first;

        lab_put(&lab, 0, &request);
        lab_step(&lab, 4);
        expect_pieces(&lab, sizeof(message), 1500, &first);
        object(&lab, &first, 1280);
        for (unsigned queue = 0; queue < cores; queue++) {
            EXPECT(wire_nic_put(lab.cards[0], queue, request.bytes, request.length_bytes));
            lab_step(&lab, 4);
            expect_pieces(&lab, sizeof(message), 1280, &first);
        }
        finish(&lab);
    }
}

static void ignore_failure(void *context, const struct udp_failure *failure, uint64_t now_ns)
{
    *(uint32_t *)context = failure->mtu;
    (void)now_ns;
}

static void ignore_datagram(void *context, const struct udp_datagram *datagram, uint64_t now_ns)
{
    (void)context;
    (void)datagram;
    (void)now_ns;
}

TEST(path_mtu_of_a_socket_is_learned_with_and_without_a_handler)
{
    uint8_t payload[UDP_PAYLOAD_MAX_BYTES] = { 0 };
    const struct udp_target target = { .address = address_of(FAR), .port = 7 };
    uint32_t told_mtu = 0;

    for (unsigned handled = 0; handled < 2; handled++) {
        struct lab lab = start(1);
        struct udp_handlers handlers = { .received = ignore_datagram,
                                         .failed = handled ? ignore_failure : NULL,
                                         .context = &told_mtu };
        struct udp_socket *socket;
        struct lab_frame first;

        EXPECT_EQUAL(udp_bind(lab.router->local->udp, NULL, 0, &handlers, &socket), OK);
        EXPECT_EQUAL(udp_send(socket, &target, payload, 1452), OK);
        lab_step(&lab, 4);
        expect_pieces(&lab, 1460, 1500, &first);
        object(&lab, &first, 1320);
        EXPECT_EQUAL(told_mtu, handled ? 1320 : 0);
        EXPECT_EQUAL(udp_send(socket, &target, payload, 1452), OK);
        lab_step(&lab, 4);
        expect_pieces(&lab, 1460, 1320, &first);
        finish(&lab);
    }
}

/* What we cannot have sent, or what would not have been too big. */
TEST(path_mtu_that_cannot_be_is_not_believed)
{
    struct lab lab = start(1);
    struct probe *probe = ping(&lab, FAR, 1452);
    struct lab_frame sent, forged;

    expect_pieces(&lab, 1460, 1500, &sent);
    forged = sent; /* by somebody else */
    lab6_header(&forged)->source[15] = 9;
    object(&lab, &forged, 1400);
    forged = sent; /* never asked */
    lab6_payload(&forged)[7] ^= 1;
    object(&lab, &forged, 1400);
    forged = sent; /* from a port that nobody has */
    lab6_header(&forged)->next_header = PROTOCOL_UDP;
    object(&lab, &forged, 1400);
    forged = sent; /* a reply in another's name */
    lab6_payload(&forged)[0] = ICMP6_ECHO_REPLY;
    lab6_header(&forged)->source[15] = 9;
    object(&lab, &forged, 1400);
    forged = sent; /* that had fit */
    lab6_payload(&forged)[0] = ICMP6_ECHO_REPLY;
    object(&lab, &forged, 1500);
    lab6_header(&forged)->payload_length_be = __builtin_bswap16(1400 - IPV6_HEADER_BYTES);
    object(&lab, &forged, 1400);
    forged = sent; /* where no way leads */
    lab6_payload(&forged)[0] = ICMP6_ECHO_REPLY;
    lab6_header(&forged)->destination[1] = 9;
    object(&lab, &forged, 1400);
    EXPECT_EQUAL(
        path_mtu(lab.router->path_mtus, lab6_header(&forged)->destination, MTU_DEFAULT, lab.now_ns),
        MTU_DEFAULT);
    object(&lab, &sent, 1279); /* RFC 8201 4: less than any link has */
    object(&lab, &sent, 70000);
    EXPECT_EQUAL(known_mtu(&lab, FAR), MTU_DEFAULT);
    probe_stop(probe);
    probe = ping(&lab, FAR, 1452);
    expect_pieces(&lab, 1460, 1500, &sent);
    object(&lab, &sent, 1400);
    EXPECT_EQUAL(known_mtu(&lab, FAR), 1400);
    probe_stop(probe);
    finish(&lab);
}
