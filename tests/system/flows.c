/* Many UDP flows through a router, from one network namespace to another, and what became of each
 * packet of them. One process has both ends:
 *
 *   namespace 1: a socket per flow   -- router -->   namespace 2: one socket, which counts
 *
 * A packet carries its flow and its number in it. At most WINDOW packets are under way, so that no
 * ring overflows and any loss is a mistake; what has not come after PATIENCE_MS is lost.
 *
 *   flows NAMESPACE1 NAMESPACE2 ADDRESS2 FLOWS PACKETS [SOURCE_PORT [SOURCE_ADDRESS]]
 *
 * Addresses are IPv6, or IPv4 in IPv6's form (::ffff:10.1.0.2): a socket of IPv6 speaks both.
 * SOURCE_PORT is that of the first flow; those of the others follow. So do their addresses after
 * SOURCE_ADDRESS, which need not be the host's: for cards that spread UDP by addresses alone.
 *
 * Prints one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    FLOW_MAX = 1024,
    SOURCE_PORT = 40000,
    TARGET_PORT = 5001,
    WINDOW = 192, /* fewer than any ring has entries */
    BURST = 32,
    PATIENCE_MS = 2000,
    SOCKET_BYTES = 4 << 20,
    PAYLOAD_BYTES = 18, /* 60 bytes of frame, 80 of IPv6 */
    NS_PER_S = 1000000000,
};

struct payload {
    uint32_t flow;
    uint32_t number;
    uint8_t rest[PAYLOAD_BYTES - 8];
};

struct totals {
    uint64_t sent, received, lost, reordered, foreign;
};

static uint32_t next_to_send[FLOW_MAX];
static uint32_t next_to_come[FLOW_MAX];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void enter(const char *namespace)
{
    char path[256];
    snprintf(path, sizeof(path), "/run/netns/%s", namespace);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || setns(file, CLONE_NEWNET) != 0)
        die(namespace);
    close(file);
}

static struct sockaddr_in6 end_of(const struct in6_addr *address, uint16_t port)
{
    return (struct sockaddr_in6){ .sin6_family = AF_INET6,
                                  .sin6_port = htons(port),
                                  .sin6_addr = *address };
}

/* own: any, or an address that this host need not have. */
static int udp_socket(const struct in6_addr *own, uint16_t port)
{
    const struct sockaddr_in6 end = end_of(own, port);
    int bytes = SOCKET_BYTES, on = 1;
    int file = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (!IN6_IS_ADDR_UNSPECIFIED(own) &&
        setsockopt(file, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)) != 0)
        die("transparent");
    if (file < 0 || bind(file, (const struct sockaddr *)&end, sizeof(end)) != 0)
        die("socket");
    setsockopt(file, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    return file;
}

/* The address so many further. */
static struct in6_addr address_after(struct in6_addr address, uint32_t count)
{
    address.s6_addr32[3] = htonl(ntohl(address.s6_addr32[3]) + count);
    return address;
}

static bool parse_address(const char *text, struct in6_addr *address)
{
    return inet_pton(AF_INET6, text, address) == 1;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Packet number `packet` of all: the flows take turns. */
static bool send_one(const int *files, unsigned flows, uint64_t packet)
{
    uint32_t flow = (uint32_t)(packet % flows);
    struct payload payload = { .flow = flow, .number = next_to_send[flow] };
    if (send(files[flow], &payload, sizeof(payload), 0) != (ssize_t)sizeof(payload)) {
        if (errno == EAGAIN || errno == ENOBUFS)
            return false;
        die("send");
    }
    next_to_send[flow]++;
    return true;
}

/* All that is there. */
static void receive(int file, unsigned flows, struct totals *totals)
{
    struct payload payloads[BURST];
    struct iovec vectors[BURST];
    struct mmsghdr messages[BURST];
    for (unsigned i = 0; i < BURST; i++) {
        vectors[i] = (struct iovec){ &payloads[i], sizeof(payloads[i]) };
        messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &vectors[i], .msg_iovlen = 1 } };
    }
    int count = recvmmsg(file, messages, BURST, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        const struct payload *payload = &payloads[i];
        if (messages[i].msg_len != sizeof(*payload) || payload->flow >= flows) {
            totals->foreign++;
            continue;
        }
        totals->received++;
        if (payload->number < next_to_come[payload->flow])
            totals->reordered++;
        else
            next_to_come[payload->flow] = payload->number + 1;
    }
}

static struct totals run(const int *files, int target, unsigned flows, uint64_t packets)
{
    struct totals totals = { 0 };
    uint64_t moved_ns = now_ns();

    while (totals.received + totals.lost < packets) {
        uint64_t before = totals.received;
        uint64_t time_ns = now_ns();
        for (unsigned i = 0; i < BURST && totals.sent < packets &&
                             totals.sent < totals.received + totals.lost + WINDOW;
             i++) {
            if (!send_one(files, flows, totals.sent))
                break;
            totals.sent++;
        }
        receive(target, flows, &totals);
        if (totals.received != before) {
            moved_ns = time_ns;
            continue;
        }
        if (totals.sent > totals.received + totals.lost &&
            time_ns - moved_ns > PATIENCE_MS * (uint64_t)1000000) {
            totals.lost = totals.sent - totals.received;
            moved_ns = time_ns;
        }
        struct pollfd wait = { .fd = target, .events = POLLIN };
        poll(&wait, 1, 1);
    }
    totals.lost = totals.sent - totals.received;
    return totals;
}

int main(int count, char **words)
{
    static int files[FLOW_MAX];
    if (count < 6 || count > 8) {
        fprintf(stderr, "flows NAMESPACE1 NAMESPACE2 ADDRESS2 FLOWS PACKETS "
                        "[SOURCE_PORT [SOURCE_ADDRESS]]\n");
        return 2;
    }
    unsigned flows = (unsigned)strtoul(words[4], NULL, 10);
    uint64_t packets = strtoull(words[5], NULL, 10);
    unsigned source_port = count > 6 ? (unsigned)strtoul(words[6], NULL, 10) : SOURCE_PORT;
    struct in6_addr source = in6addr_any, address2;
    if (flows == 0 || flows > FLOW_MAX || !parse_address(words[3], &address2))
        return 2;
    if (count > 7 && !parse_address(words[7], &source))
        return 2;

    enter(words[2]);
    int target = udp_socket(&in6addr_any, TARGET_PORT);
    enter(words[1]);
    const struct sockaddr_in6 to = end_of(&address2, TARGET_PORT);
    for (unsigned i = 0; i < flows; i++) {
        struct in6_addr own = count > 7 ? address_after(source, i) : in6addr_any;
        files[i] = udp_socket(&own, (uint16_t)(source_port + i));
        if (connect(files[i], (const struct sockaddr *)&to, sizeof(to)) != 0)
            die("connect");
    }
    uint64_t start_ns = now_ns();
    struct totals totals = run(files, target, flows, packets);
    printf("{\"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"reordered\": %" PRIu64 ", \"foreign\": %" PRIu64 ", \"seconds\": %.3f}\n",
           totals.sent, totals.received, totals.lost, totals.reordered, totals.foreign,
           (double)(now_ns() - start_ns) / NS_PER_S);
    return 0;
}
