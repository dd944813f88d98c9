/* Packets for a guest with two cards, in closed loop, for forward_bench.sh: what goes in by the
 * first card is counted when it comes out of the second one.
 *
 *   destinations -> a -> QEMU's first card | guest | QEMU's second card -> b -> count
 *
 * It takes the arguments and commands of the packet rig's generator that qemu-forward.sh uses, so
 * that it can stand in for that one, and a file of destinations, one address a line, which says
 * also whether the packets are IPv4 or IPv6 and how many flows there are.
 *
 *   packet_generator -d DESTINATIONS -a stream:PATH -b stream:PATH [-I COUNTS] [-q ANYTHING]
 *
 * A port is a socket that QEMU's `-netdev stream` connects to: 4 bytes of length, then a frame.
 * Whoever asks for a neighbor, by ARP or neighbor discovery, gets the port's MAC. COUNTS is the
 * file of the plugin that counts guest instructions: 512 words, of which the sum is meant.
 *
 * On standard input, a line each:
 *   wait SECONDS        until a packet came through; an error if none did
 *   run size=BYTES win=PACKETS warm=SECONDS secs=SECONDS tag=NAME
 *                       at most `win` packets on their way; prints a line that begins with the tag
 *   quit */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "kernel/base/bytes.h"
#include "kernel/base/types.h"
#include "net/wire/arp.h"
#include "net/wire/checksum.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "net/wire/nd.h"
#include "net/wire/udp.h"

enum {
    PORTS = 2,
    FLOW_MAX = 65536,
    WINDOW_MAX = 1024,
    BURST_MAX = 32,
    BURST_MIN = 8, /* less room than that is waited for */
    FRAME_MIN = 60,
    FRAME_MAX = 1514,
    LENGTH_BYTES = 4, /* of a frame, before it */
    HEADERS_MAX = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + UDP_HEADER_BYTES,
    BUFFER_BYTES = 1 << 18,
    COUNT_WORDS = 512,
    PATIENCE_MS = 100, /* what is on its way for longer, with nothing else coming, is lost */
    SOURCE_PORT = 1024,
    TARGET_PORT = 5000,
    HOPS = 64,
};
_Static_assert((BURST_MAX + 1) * (LENGTH_BYTES + FRAME_MAX) <= BUFFER_BYTES, "a burst fits");

/* Sum of its words is the same for each number, so that a flow's checksum is, too. */
struct payload {
    uint32_t number;
    uint32_t complement;
} __attribute__((packed));

struct port {
    int listener;
    int connection; /* -1: nobody yet */
    uint8_t mac[MAC_BYTES];
    uint8_t guest_mac[MAC_BYTES];
    size_t in_bytes, out_bytes, out_sent;
    uint8_t in[BUFFER_BYTES];
    uint8_t out[BUFFER_BYTES];
};

struct generator {
    /* Set when it begins. */
    struct port ports[PORTS];
    bool ipv6;
    size_t headers_bytes;
    unsigned flow_count;
    uint8_t (*destinations)[IPV6_ADDRESS_BYTES];
    const volatile uint64_t *counts; /* NULL: nobody counts */
    /* Of a run. */
    uint8_t (*headers)[HEADERS_MAX];
    uint16_t frame_bytes;
    uint32_t first_number; /* what has a lower one belongs to an earlier run */
    uint32_t next_number;
    uint32_t awaited; /* all before came or are lost */
    uint64_t received;
};

/* Who sends: the host 2 of the first card's net. */
static const uint8_t source_ipv4[4] = { 10, 0, 0, 2 };
static const uint8_t source_ipv6[IPV6_ADDRESS_BYTES] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0xa, [15] = 2 };

static void die(const char *what)
{
    fprintf(stderr, "packet_generator: %s (%s)\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- Frames -----------------------------------------------------------------------------------
 */

static void write_ethernet(const struct port *port, const uint8_t *target, uint16_t ethertype,
                           uint8_t *frame)
{
    struct ethernet_header header = { .ethertype = ethertype };

    memcpy(header.target, target, MAC_BYTES);
    memcpy(header.source, port->mac, MAC_BYTES);
    ethernet_write(&header, frame);
}

static void write_ipv6(const uint8_t *source, const uint8_t *destination, uint8_t protocol,
                       uint8_t hop_limit, size_t payload_bytes, uint8_t *out)
{
    struct ipv6_header header = { .version_class_flow_be = ipv6_version_word_be(0, 0),
                                  .payload_length_be = htons((uint16_t)payload_bytes),
                                  .next_header = protocol,
                                  .hop_limit = hop_limit };

    memcpy(header.source, source, IPV6_ADDRESS_BYTES);
    memcpy(header.destination, destination, IPV6_ADDRESS_BYTES);
    memcpy(out, &header, sizeof(header));
}

static void write_ipv4(const uint8_t *destination, size_t payload_bytes, uint8_t *out)
{
    struct ipv4_header header = { .version_and_length = 0x45,
                                  .total_length_be =
                                      htons((uint16_t)(IPV4_HEADER_BYTES + payload_bytes)),
                                  .fragment_be = htons(IPV4_DONT_FRAGMENT),
                                  .ttl = HOPS,
                                  .protocol = PROTOCOL_UDP };

    memcpy(&header.source_be, source_ipv4, sizeof(source_ipv4));
    memcpy(&header.destination_be, destination, sizeof(header.destination_be));
    ipv4_seal(&header);
    memcpy(out, &header, sizeof(header));
}

/* Of a flow, for the run's size of frames. */
static void write_headers(const struct generator *generator, unsigned flow)
{
    const struct port *port = &generator->ports[0];
    const uint8_t *destination = generator->destinations[flow];
    const struct payload payload = { 0, ~0u };
    uint8_t *frame = generator->headers[flow], *network = frame + ETHERNET_HEADER_BYTES;
    uint8_t *transport = frame + generator->headers_bytes - UDP_HEADER_BYTES;
    size_t udp_bytes =
        generator->frame_bytes - (generator->headers_bytes - (size_t)UDP_HEADER_BYTES);
    struct udp_header udp = { .source_port_be = htons((uint16_t)(SOURCE_PORT + flow % 32768)),
                              .destination_port_be = htons(TARGET_PORT),
                              .length_be = htons((uint16_t)udp_bytes) };
    uint64_t sum;

    if (generator->ipv6) {
        write_ethernet(port, port->guest_mac, ETHERTYPE_IPV6, frame);
        write_ipv6(source_ipv6, destination, PROTOCOL_UDP, HOPS, udp_bytes, network);
        sum = ipv6_pseudo_sum(source_ipv6, destination, (uint32_t)udp_bytes, PROTOCOL_UDP);
    } else {
        write_ethernet(port, port->guest_mac, ETHERTYPE_IPV4, frame);
        write_ipv4(destination, udp_bytes, network);
        sum = ipv4_pseudo_sum(load_le32(source_ipv4), load_le32(destination), PROTOCOL_UDP,
                              (uint16_t)udp_bytes);
    }
    sum = checksum_add(sum, &udp, sizeof(udp));
    udp.checksum_be = checksum_finish(checksum_add(sum, &payload, sizeof(payload)));
    memcpy(transport, &udp, sizeof(udp));
}

/* Where the next frame's bytes go; what was not written before is 0. */
static uint8_t *put_frame(struct port *port, size_t frame_bytes)
{
    uint8_t *at = port->out + port->out_bytes;

    store_be32(at, (uint32_t)frame_bytes);
    port->out_bytes += LENGTH_BYTES + frame_bytes;
    return memset(at + LENGTH_BYTES, 0, frame_bytes);
}

static void put_packet(struct generator *generator)
{
    uint8_t *frame = put_frame(&generator->ports[0], generator->frame_bytes);
    uint32_t number = generator->next_number++;
    const struct payload payload = { number, ~number };

    memcpy(frame, generator->headers[number % generator->flow_count], generator->headers_bytes);
    memcpy(frame + generator->headers_bytes, &payload, sizeof(payload));
}

/* ---- What comes -------------------------------------------------------------------------------
 */

static bool has_room(const struct port *port)
{
    return port->out_bytes + LENGTH_BYTES + FRAME_MAX <= sizeof(port->out);
}

static void answer_arp(struct port *port, const uint8_t *frame, size_t frame_bytes)
{
    struct arp_message arp;

    if (arp_read(frame + ETHERNET_HEADER_BYTES, frame_bytes - ETHERNET_HEADER_BYTES, &arp) != OK ||
        arp.operation != ARP_REQUEST || arp.sender_be == arp.target_be || arp.sender_be == 0)
        return; /* he claims an address, or asks whether it is free */
    struct arp_message reply = { .operation = ARP_REPLY,
                                 .sender_be = arp.target_be,
                                 .target_be = arp.sender_be };
    memcpy(reply.sender_mac, port->mac, MAC_BYTES);
    memcpy(reply.target_mac, arp.sender_mac, MAC_BYTES);
    uint8_t *out = put_frame(port, FRAME_MIN);
    write_ethernet(port, arp.sender_mac, ETHERTYPE_ARP, out);
    arp_write(&reply, out + ETHERNET_HEADER_BYTES);
}

static void answer_solicitation(struct port *port, const uint8_t *frame, size_t frame_bytes)
{
    const struct ipv6_header *header = (const void *)(frame + ETHERNET_HEADER_BYTES);
    const uint8_t *message = frame + ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES;
    size_t length_bytes = frame_bytes - ETHERNET_HEADER_BYTES - IPV6_HEADER_BYTES;
    struct nd_neighbor_solicitation asked;

    if (header->next_header != PROTOCOL_ICMP6 || ipv6_is_unspecified(header->source) ||
        nd_neighbor_solicitation_read(
            header, message, MIN_OF(length_bytes, ipv6_payload_bytes(header)), &asked) != OK)
        return; /* from :: he asks whether the address is free */
    struct nd_neighbor_advertisement answer = { .solicited = true,
                                                .override = true,
                                                .has_target_mac = true };
    memcpy(answer.target, asked.target, IPV6_ADDRESS_BYTES);
    memcpy(answer.target_mac, port->mac, MAC_BYTES);
    uint8_t *out = put_frame(port, HEADERS_MAX - UDP_HEADER_BYTES + ND_NEIGHBOR_BYTES);
    uint8_t *advertisement = out + ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES;
    write_ethernet(port, frame + MAC_BYTES, ETHERTYPE_IPV6, out);
    write_ipv6(asked.target, header->source, PROTOCOL_ICMP6, ND_HOP_LIMIT, ND_NEIGHBOR_BYTES,
               out + ETHERNET_HEADER_BYTES);
    if (nd_neighbor_advertisement_write(&answer, advertisement, ND_NEIGHBOR_BYTES) == 0)
        die("no room for an advertisement");
    icmp6_seal(advertisement, ND_NEIGHBOR_BYTES, asked.target, header->source);
}

static bool is_of_this_run(const struct generator *generator, const uint8_t *frame,
                           size_t frame_bytes, uint32_t *number)
{
    struct payload payload;

    if (frame_bytes != generator->frame_bytes)
        return false;
    memcpy(&payload, frame + generator->headers_bytes, sizeof(payload));
    *number = payload.number;
    return payload.complement == ~payload.number &&
           payload.number - generator->first_number <
               generator->next_number - generator->first_number;
}

static void take_frame(struct generator *generator, struct port *port, const uint8_t *frame,
                       size_t frame_bytes)
{
    uint32_t number;

    if (frame_bytes < ETHERNET_HEADER_BYTES)
        return;
    if (port == &generator->ports[1] && is_of_this_run(generator, frame, frame_bytes, &number)) {
        generator->received++;
        if ((int32_t)(number + 1 - generator->awaited) > 0)
            generator->awaited = number + 1;
    } else if (has_room(port) && load_be16(frame + ETHERNET_TYPE_OFFSET) == ETHERTYPE_ARP) {
        answer_arp(port, frame, frame_bytes);
    } else if (has_room(port) && load_be16(frame + ETHERNET_TYPE_OFFSET) == ETHERTYPE_IPV6 &&
               frame_bytes >= ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES) {
        answer_solicitation(port, frame, frame_bytes);
    }
}

static void take_input(struct generator *generator, struct port *port)
{
    ssize_t came = recv(port->connection, port->in + port->in_bytes,
                        sizeof(port->in) - port->in_bytes, MSG_DONTWAIT);
    size_t at = 0;

    if (came == 0 || (came < 0 && errno != EAGAIN))
        die("QEMU has closed a port");
    if (came < 0)
        return;
    port->in_bytes += (size_t)came;
    while (port->in_bytes - at >= LENGTH_BYTES) {
        size_t frame_bytes = load_be32(port->in + at);
        if (frame_bytes > sizeof(port->in) - LENGTH_BYTES)
            die("a frame without end");
        if (port->in_bytes - at - LENGTH_BYTES < frame_bytes)
            break;
        take_frame(generator, port, port->in + at + LENGTH_BYTES, frame_bytes);
        at += LENGTH_BYTES + frame_bytes;
    }
    memmove(port->in, port->in + at, port->in_bytes - at);
    port->in_bytes -= at;
}

/* ---- Ports ------------------------------------------------------------------------------------
 */

static void send_output(struct port *port)
{
    ssize_t sent = send(port->connection, port->out + port->out_sent,
                        port->out_bytes - port->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN)
        die("QEMU takes nothing any more");
    if (sent > 0)
        port->out_sent += (size_t)sent;
    if (port->out_sent == port->out_bytes)
        port->out_sent = port->out_bytes = 0;
}

/* Waits for a millisecond at most, and does what can be done. */
static void serve(struct generator *generator)
{
    struct pollfd polled[PORTS];

    for (unsigned i = 0; i < PORTS; i++) {
        struct port *port = &generator->ports[i];
        bool is_up = port->connection >= 0;
        polled[i] = (struct pollfd){ .fd = is_up ? port->connection : port->listener,
                                     .events = POLLIN | (port->out_bytes > 0 ? POLLOUT : 0) };
    }
    if (poll(polled, PORTS, 1) <= 0)
        return;
    for (unsigned i = 0; i < PORTS; i++) {
        struct port *port = &generator->ports[i];
        if (polled[i].revents != 0 && port->connection < 0)
            port->connection = accept(port->listener, NULL, NULL);
        else if (polled[i].revents & (POLLIN | POLLHUP | POLLERR))
            take_input(generator, port);
        if (port->connection >= 0 && port->out_bytes > 0)
            send_output(port);
    }
}

static void open_port(struct port *port, const char *text)
{
    static const char kind[] = "stream:";
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (!text || strncmp(text, kind, strlen(kind)) != 0 ||
        strlen(text + strlen(kind)) >= sizeof(address.sun_path))
        die("a port is stream:PATH");
    strcpy(address.sun_path, text + strlen(kind));
    unlink(address.sun_path);
    port->connection = -1;
    port->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (port->listener < 0 ||
        bind(port->listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(port->listener, 1) != 0)
        die(address.sun_path);
}

/* ---- Runs -------------------------------------------------------------------------------------
 */

static uint64_t instructions(const struct generator *generator)
{
    uint64_t sum = 0;

    for (unsigned i = 0; generator->counts && i < COUNT_WORDS; i++)
        sum += generator->counts[i];
    return sum;
}

static void begin_run(struct generator *generator, unsigned frame_bytes)
{
    unsigned least = (unsigned)(generator->headers_bytes + sizeof(struct payload));

    frame_bytes = MIN_OF(MAX_OF(frame_bytes, least), (unsigned)FRAME_MAX);
    generator->frame_bytes = (uint16_t)MAX_OF(frame_bytes, (unsigned)FRAME_MIN);
    generator->first_number = generator->awaited = generator->next_number;
    generator->received = 0;
    for (unsigned flow = 0; flow < generator->flow_count; flow++)
        write_headers(generator, flow);
}

static bool is_up(const struct generator *generator)
{
    return generator->ports[0].connection >= 0 && generator->ports[1].connection >= 0;
}

static void fill_window(struct generator *generator, unsigned window)
{
    struct port *port = &generator->ports[0];
    unsigned on_the_way = generator->next_number - generator->awaited;
    unsigned room = on_the_way < window ? MIN_OF(window - on_the_way, (unsigned)BURST_MAX) : 0;

    if (port->out_bytes > 0 || (room < BURST_MIN && on_the_way > 0))
        return;
    for (unsigned i = 0; i < room; i++)
        put_packet(generator);
    if (room > 0)
        send_output(port);
}

/* Keeps the window filled until then. What is lost makes room again. */
static void keep_filled(struct generator *generator, unsigned window, uint64_t until_ms)
{
    uint64_t received = generator->received, since_ms = now_ms();

    for (uint64_t now = since_ms; now < until_ms; now = now_ms()) {
        fill_window(generator, window);
        serve(generator);
        if (received != generator->received) {
            received = generator->received;
            since_ms = now;
        } else if (now - since_ms > PATIENCE_MS) {
            generator->awaited = generator->next_number;
            since_ms = now;
        }
    }
}

static unsigned option(const char *line, const char *name, unsigned otherwise)
{
    const char *at = strstr(line, name);

    return at ? (unsigned)strtoul(at + strlen(name), NULL, 10) : otherwise;
}

static void run(struct generator *generator, const char *line)
{
    unsigned window = MIN_OF(option(line, " win=", 128), (unsigned)WINDOW_MAX);
    unsigned warm_ms = option(line, " warm=", 1) * 1000, ms = option(line, " secs=", 1) * 1000;
    const char *tag = strstr(line, " tag=");

    begin_run(generator, option(line, " size=", FRAME_MIN));
    keep_filled(generator, window, now_ms() + warm_ms);
    uint64_t received = generator->received, executed = instructions(generator);
    uint64_t began_ms = now_ms();
    keep_filled(generator, window, began_ms + ms);
    received = generator->received - received;
    executed = instructions(generator) - executed;
    double seconds = (double)(now_ms() - began_ms) / 1000;
    keep_filled(generator, 0, now_ms() + 2 * PATIENCE_MS); /* the last ones come home */

    uint32_t sent = generator->next_number - generator->first_number;
    printf("%.*s size=%u win=%u flows=%u pps=%.0f lost=%u", tag ? (int)strcspn(tag + 5, " ") : 1,
           tag ? tag + 5 : "-", generator->frame_bytes, window, generator->flow_count,
           (double)received / seconds, sent - (uint32_t)generator->received);
    if (generator->counts && received > 0)
        printf(" insn/pkt=%.1f", (double)executed / (double)received);
    printf("\n");
}

/* Slowly, so that nothing fills up while the guest starts. */
static bool wait_for_guest(struct generator *generator, unsigned seconds)
{
    uint64_t began_ms = now_ms();

    begin_run(generator, FRAME_MIN);
    for (uint64_t next_ms = 0; now_ms() < began_ms + seconds * 1000; serve(generator)) {
        if (generator->received > 0) {
            printf("ready after %.1f s\n", (double)(now_ms() - began_ms) / 1000);
            return true;
        }
        if (is_up(generator) && now_ms() >= next_ms && has_room(&generator->ports[0])) {
            put_packet(generator);
            next_ms = now_ms() + PATIENCE_MS;
        }
    }
    printf("not ready: no packet came through\n");
    return false;
}

static void read_destinations(struct generator *generator, const char *path)
{
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[INET6_ADDRSTRLEN + 2];

    if (!file)
        die("destinations");
    while (generator->flow_count < FLOW_MAX && fgets(line, sizeof(line), file)) {
        uint8_t *destination = generator->destinations[generator->flow_count++];
        line[strcspn(line, "\n")] = '\0';
        generator->ipv6 = strchr(line, ':') != NULL;
        if (inet_pton(generator->ipv6 ? AF_INET6 : AF_INET, line, destination) != 1)
            die(line);
    }
    fclose(file);
    if (generator->flow_count == 0)
        die("no destinations");
    generator->headers_bytes = (size_t)ETHERNET_HEADER_BYTES + UDP_HEADER_BYTES +
                               (generator->ipv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES);
}

static const volatile uint64_t *map_counts(const char *path)
{
    const size_t bytes = COUNT_WORDS * sizeof(uint64_t);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *counts = MAP_FAILED;

    if (file >= 0 && ftruncate(file, (off_t)bytes) == 0)
        counts = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file, 0);
    if (counts == MAP_FAILED)
        die(path);
    close(file);
    return counts;
}

static void *need(void *memory)
{
    if (!memory)
        die("memory");
    return memory;
}

int main(int argc, char **argv)
{
    struct generator *generator = need(calloc(1, sizeof(*generator)));
    const char *paths[PORTS] = { NULL }, *destinations = NULL, *counts = NULL;
    char line[256];

    for (int letter; (letter = getopt(argc, argv, "a:b:d:I:q:")) != -1;) {
        if (letter == 'a' || letter == 'b')
            paths[letter - 'a'] = optarg;
        else if (letter == 'd')
            destinations = optarg;
        else if (letter == 'I')
            counts = optarg;
        else if (letter != 'q')
            return EXIT_FAILURE;
    }
    generator->destinations = need(calloc(FLOW_MAX, sizeof(*generator->destinations)));
    generator->headers = need(calloc(FLOW_MAX, sizeof(*generator->headers)));
    read_destinations(generator, destinations);
    if (counts)
        generator->counts = map_counts(counts);
    for (unsigned i = 0; i < PORTS; i++) {
        struct port *port = &generator->ports[i];
        memcpy(port->guest_mac, (uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)(0xa + i) }, MAC_BYTES);
        memcpy(port->mac, (uint8_t[]){ 2, 0, 0, 0, 0, (uint8_t)(0xa + i) }, MAC_BYTES);
        open_port(port, paths[i]);
    }
    while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4) != 0) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "run ", 4) == 0)
            run(generator, line);
        else if (strncmp(line, "wait ", 5) != 0)
            die(line);
        else if (!wait_for_guest(generator, (unsigned)atoi(line + 5)))
            return 3;
        fflush(stdout);
    }
    return EXIT_SUCCESS;
}
