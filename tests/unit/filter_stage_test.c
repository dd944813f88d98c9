/* Filters as hosts see them: statements and frames into a router on software cards; what comes out,
 * what is answered, and what was counted. */
#include <stdio.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"
#include "net/filter.h"
#include "net/filter_log.h"
#include "net/icmp.h"
#include "net/wire/checksum.h"
#include "net/wire/icmp4.h"
#include "net/wire/tcp.h"
#include "shell/config_text.h"
#include "shell/shell.h"
#include "tests/unit/lab6.h"

#define HOST_0 "10.0.0.2"
#define HOST_1 "10.0.1.2"
#define US_0   "10.0.0.1"
#define SIX_0  "2001:db8:0::2"
#define SIX_1  "2001:db8:1::2"
#define US6_0  "2001:db8:0::1"

static const struct command_table *const tables[] = { &session_commands, &statement_commands,
                                                      &filter_statements };
static const struct command_set commands = { .tables = tables, .table_count = ARRAY_COUNT(tables) };

/* Statements, in force. */
static void say(struct lab *lab, const char *text)
{
    struct problem problem;
    struct config *next;

    if (config_merge_text(&commands, lab->config, text, strlen(text), &next, &problem) != OK)
        test_fail(__FILE__, __LINE__, "line %u: %s", problem.line, problem.text);
    config_destroy(lab->config);
    lab->config = next;
    lab_commit(lab);
    lab_step(lab, 2);
}

static struct lab start(void)
{
    return lab_create(1, 2);
}

static struct lab start6(void)
{
    struct lab lab = lab6_create(1, 2);

    lab6_meet(&lab, 0, SIX_0, 2);
    lab6_meet(&lab, 1, SIX_1, 2);
    return lab;
}

static void finish(struct lab *lab)
{
    lab6_expect_silence(lab);
    lab_expect_books(lab);
    lab_destroy(lab);
}

static void send(struct lab *lab, unsigned port, const struct lab_frame *frame)
{
    lab_put(lab, port, frame);
    lab_step(lab, 4);
}

static struct filter_hit hits(const struct lab *lab, enum family family, unsigned number)
{
    const struct filter *filter = lab->router->filters[family];

    for (unsigned i = 0; filter && i < filter->rule_count; i++)
        if (filter->rules[i].number == number)
            return filter_hits_of(filter, &filter->rules[i]);
    return (struct filter_hit){ .packets = UINT64_MAX };
}

static struct lab_frame udp(const char *from, const char *to, uint16_t port)
{
    return lab_frame(0, &(struct lab_packet){ .source = from,
                                              .destination = to,
                                              .payload_bytes = 20,
                                              .source_port = 4000,
                                              .destination_port = port });
}

static void expect_passed(struct lab *lab, unsigned port)
{
    struct lab_frame out;

    EXPECT(lab_take(lab, port, &out));
    lab6_expect_silence(lab);
}

/* ---- Drop ------------------------------------------------------------------------------------ */

TEST(filter_drops_a_source_and_counts_it)
{
    struct lab lab = start();
    struct lab_frame bad = udp("192.0.2.9", HOST_1, 53), good = udp(HOST_0, HOST_1, 53);

    say(&lab, "ip filter 192.0.2.0/24\nip filter 133.27.0.0/16\n");
    for (unsigned i = 0; i < 5; i++)
        lab_put(&lab, 0, &bad);
    send(&lab, 0, &good);
    expect_passed(&lab, 1);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_FILTER), 5);
    struct filter_hit hit = hits(&lab, FAMILY_IPV4, 100);
    EXPECT_EQUAL(hit.packets, 5);
    EXPECT_EQUAL(hit.bytes, 5 * 40);
    EXPECT(hit.last_ns > 0 && hit.last_ns <= lab.now_ns);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 101).packets, 0);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 101).last_ns, 0);
    /* To us as well. */
    bad = udp("133.27.4.5", US_0, 53);
    send(&lab, 0, &bad);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 101).packets, 1);
    finish(&lab);
}

TEST(filter_first_number_decides)
{
    struct lab lab = start();
    struct lab_frame frame = udp(HOST_0, HOST_1, 53);

    say(&lab, "ip filter 20 drop proto udp\nip filter 10 pass dport 53\n");
    send(&lab, 0, &frame);
    expect_passed(&lab, 1);
    frame = udp(HOST_0, HOST_1, 54);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 10).packets, 1);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 20).packets, 1);
    finish(&lab);
}

TEST(filter_default_drop_takes_what_arrives_and_not_what_we_send)
{
    struct lab lab = start();
    struct lab_frame out, frame = udp(HOST_0, HOST_1, 53);
    const struct icmp4_header echo = { .type = ICMP4_ECHO_REQUEST, .checksum_be = 0xfff7 };

    say(&lab, "ip filter default drop\nip filter 10 pass proto icmp in eth0\n");
    send(&lab, 0, &frame);
    lab6_expect_silence(&lab);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_FILTER), 1);
    frame = lab_frame(0, &(struct lab_packet){ .source = HOST_0,
                                               .destination = US_0,
                                               .protocol = PROTOCOL_ICMP,
                                               .payload_bytes = sizeof(echo) });
    memcpy(frame.bytes + 34, &echo, sizeof(echo));
    send(&lab, 0, &frame);
    EXPECT(lab_take(&lab, 0, &out)); /* the answer */
    EXPECT_EQUAL(out.bytes[34], ICMP4_ECHO_REPLY);
    finish(&lab);
}

TEST(filter6_default_drop_spares_neighbor_discovery)
{
    struct lab lab = start6();
    struct lab_frame out;
    struct lab_frame packet =
        lab6_frame(0, &(struct lab6_packet){ SIX_0, SIX_1, .payload_bytes = 20 });
    struct lab_frame question = lab6_solicitation(0, SIX_0, US6_0, US6_0, lab_host_mac(0, 2));

    say(&lab, "ipv6 filter default drop\n");
    send(&lab, 0, &packet);
    lab6_expect_silence(&lab);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_FILTER), 1);
    send(&lab, 0, &question);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_NEIGHBOR_ADVERTISEMENT);
    say(&lab, "ipv6 filter 1 drop proto icmp type 135\n"); /* unless a rule says so */
    send(&lab, 0, &question);
    lab6_expect_silence(&lab);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV6, 1).packets, 1);
    finish(&lab);
}

/* ---- The way out ----------------------------------------------------------------------------- */

TEST(filter_waits_for_the_way_out_where_a_rule_names_it)
{
    struct lab lab = start();
    struct lab_frame frame = udp(HOST_0, HOST_1, 53);

    say(&lab, "ip filter 10 drop proto udp out eth1\nip filter 20 drop proto udp dport 53\n"
              "ip filter 30 drop proto udp out eth0\n");
    send(&lab, 0, &frame);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 10).packets, 1);
    /* To ourselves it does not leave: the next rule decides, once. */
    frame = udp(HOST_0, US_0, 53);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 20).packets, 1);
    /* Of what would pass no rule at its end says anything. */
    frame = udp(HOST_0, US_0, 54);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_UDP_PORT_UNREACHABLE), 1);
    EXPECT(lab_take(&lab, 0, &frame)); /* the error about it, by eth0, is ICMP */
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 30).packets, 0);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_FILTER), 2);
    finish(&lab);
}

TEST(filter_of_the_way_out_is_about_our_packets_too)
{
    struct lab lab = start();
    struct lab_frame frame = udp(HOST_0, "10.9.9.9", 53); /* no route: an error is owed */

    say(&lab, "ip filter 10 drop src " US_0 "/32\n"); /* of what arrives */
    send(&lab, 0, &frame);
    EXPECT(lab_take(&lab, 0, &frame));
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 10).packets, 0);
    say(&lab, "ip filter 20 drop src " US_0 "/32 proto icmp out eth0\n");
    frame = udp(HOST_0, "10.9.9.9", 53);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 20).packets, 1);
    EXPECT_EQUAL(lab_dropped(&lab, 2, DROP_FILTER), 1); /* of the loopback: it is ours */
    finish(&lab);
}

TEST(filter6_waits_for_the_way_out_and_judges_what_is_ours)
{
    struct lab lab = start6();
    struct lab_frame to_us =
        lab6_frame(0, &(struct lab6_packet){ SIX_0, US6_0, .protocol = 200, .payload_bytes = 20 });
    struct lab_frame on = lab6_frame(0, &(struct lab6_packet){ SIX_0, SIX_1, .payload_bytes = 20 });

    say(&lab, "ipv6 filter 10 drop out eth1\nipv6 filter 20 drop proto icmp out eth0\n");
    send(&lab, 0, &on);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV6, 10).packets, 1);
    send(&lab, 0, &to_us); /* an error is owed, and dropped on its way out */
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV6, 20).packets, 1);
    finish(&lab);
}

/* ---- Reject ---------------------------------------------------------------------------------- */

/* A segment with payload, its checksum good. */
static struct lab_frame tcp(const char *from, const char *to, uint8_t flags)
{
    const struct tcp_header header = { .source_port_be = __builtin_bswap16(4000),
                                       .destination_port_be = __builtin_bswap16(22),
                                       .sequence_be = __builtin_bswap32(1000),
                                       .acknowledgment_be = __builtin_bswap32(2000),
                                       .data_offset = 5 << 4,
                                       .flags = flags };
    struct lab_frame frame = lab_frame(
        0, &(struct lab_packet){
               .source = from, .destination = to, .protocol = PROTOCOL_TCP, .payload_bytes = 27 });
    uint8_t *segment = frame.bytes + 34;

    memcpy(segment, &header, sizeof(header));
    uint16_t checksum = checksum_finish(
        checksum_add(ipv4_pseudo_sum(ipv4_of(from), ipv4_of(to), PROTOCOL_TCP, 27), segment, 27));
    memcpy(segment + 16, &checksum, sizeof(checksum));
    return frame;
}

/* The next frame by port 0 is a reset from there to there, its checksums good. */
static struct tcp_header expect_reset(struct lab *lab, const char *from, const char *to)
{
    struct lab_frame out;
    struct tcp_header reset;

    EXPECT(lab_take(lab, 0, &out));
    const struct ipv4_header *header = (const void *)(out.bytes + 14);
    EXPECT_EQUAL(ipv4_check(header, out.length_bytes - 14, out.length_bytes - 14), IPV4_GOOD);
    EXPECT_EQUAL(ipv4_total_bytes(header), 40);
    EXPECT_EQUAL(header->protocol, PROTOCOL_TCP);
    EXPECT_EQUAL(header->source_be, ipv4_of(from));
    EXPECT_EQUAL(header->destination_be, ipv4_of(to));
    uint64_t sum = ipv4_pseudo_sum(header->source_be, header->destination_be, PROTOCOL_TCP, 20);
    EXPECT_EQUAL(checksum_finish(checksum_add(sum, header + 1, 20)), 0);
    memcpy(&reset, header + 1, sizeof(reset));
    return reset;
}

TEST(filter_reject_resets_tcp)
{
    struct lab lab = start();
    struct lab_frame frame = tcp(HOST_0, HOST_1, TCP_SYN);

    say(&lab, "ip filter 10 reject proto tcp dport 22\n");
    send(&lab, 0, &frame);
    struct tcp_header reset = expect_reset(&lab, HOST_1, HOST_0);
    EXPECT_EQUAL(reset.flags, TCP_RST | TCP_ACK);
    EXPECT_EQUAL(__builtin_bswap32(reset.acknowledgment_be), 1000 + 7 + 1);
    frame = tcp(HOST_0, HOST_1, TCP_ACK);
    send(&lab, 0, &frame);
    reset = expect_reset(&lab, HOST_1, HOST_0);
    EXPECT_EQUAL(reset.flags, TCP_RST);
    EXPECT_EQUAL(__builtin_bswap32(reset.sequence_be), 2000);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_FILTER_REJECT), 2);
    /* Not a reset, nothing with a wrong checksum, nothing to many. */
    frame = tcp(HOST_0, HOST_1, TCP_RST);
    send(&lab, 0, &frame);
    frame = tcp(HOST_0, HOST_1, TCP_SYN);
    frame.bytes[60] ^= 1;
    send(&lab, 0, &frame);
    frame = tcp(HOST_0, "10.0.0.255", TCP_SYN);
    send(&lab, 0, &frame);
    frame = tcp("10.0.0.1", HOST_1, TCP_SYN); /* in our name */
    send(&lab, 0, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_FILTER_REJECT), 6);
    finish(&lab);
}

TEST(filter_reject_that_reaches_nobody_is_told_to_nobody)
{
    struct lab lab = start();
    struct lab_frame out, frame = tcp("10.0.0.77", HOST_1, TCP_SYN);

    say(&lab, "ip filter 10 reject proto tcp\n");
    send(&lab, 0, &frame);
    lab_wait(&lab, 4000); /* 10.0.0.77 is asked for, and does not answer */
    while (lab_take(&lab, 0, &out))
        EXPECT_EQUAL(load_be16(out.bytes + 12), ETHERTYPE_ARP);
    EXPECT_EQUAL(lab_dropped(&lab, 2, DROP_NEIGHBOR_FAILED), 1);
    finish(&lab); /* above all no error to the one in whose name it was */
}

TEST(filter_reject_tells_of_others_that_they_are_prohibited)
{
    struct lab lab = start();
    struct lab_frame out, frame = udp(HOST_0, HOST_1, 22);

    say(&lab, "ip filter 10 reject dst 10.0.1.0/24\n");
    send(&lab, 0, &frame);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT_EQUAL(load_be32(out.bytes + 26), 0x0a000001);
    EXPECT_EQUAL(out.bytes[34], ICMP4_UNREACHABLE);
    EXPECT_EQUAL(out.bytes[35], ICMP4_PROHIBITED);
    EXPECT_EQUAL(out.length_bytes, 14 + 20 + 8 + 40); /* the whole packet is quoted */
    EXPECT(memcmp(out.bytes + 42, frame.bytes + 14, 40) == 0);
    /* A piece of TCP, too; but nothing about errors. */
    frame = tcp(HOST_0, HOST_1, TCP_SYN);
    store_be16(frame.bytes + 14 + 6, IPV4_MORE_FRAGMENTS);
    lab_frame_seal(&frame);
    send(&lab, 0, &frame);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT_EQUAL(out.bytes[34], ICMP4_UNREACHABLE);
    frame = lab_frame(0, &(struct lab_packet){ .source = HOST_0,
                                               .destination = HOST_1,
                                               .protocol = PROTOCOL_ICMP,
                                               .payload_bytes = 36 });
    frame.bytes[34] = ICMP4_TIME_EXCEEDED;
    send(&lab, 0, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_FILTER_REJECT), 3);
    finish(&lab);
}

TEST(filter6_reject_resets_tcp_and_prohibits_others)
{
    struct lab lab = start6();
    struct lab6_packet packet = { SIX_0, SIX_1, .protocol = PROTOCOL_TCP, .payload_bytes = 20 };
    struct lab_frame out, frame = lab6_frame(0, &packet);
    struct ipv6_header *header = lab6_header(&frame);
    const struct tcp_header syn = { .destination_port_be = __builtin_bswap16(22),
                                    .sequence_be = __builtin_bswap32(7),
                                    .data_offset = 5 << 4,
                                    .flags = TCP_SYN };

    say(&lab, "ipv6 filter 10 reject dst 2001:db8:1::/64\n");
    memcpy(header + 1, &syn, sizeof(syn));
    uint64_t sum = ipv6_pseudo_sum(header->source, header->destination, 20, PROTOCOL_TCP);
    uint16_t checksum = checksum_finish(checksum_add(sum, header + 1, 20));
    memcpy((uint8_t *)(header + 1) + 16, &checksum, sizeof(checksum));
    send(&lab, 0, &frame);
    EXPECT(lab_take(&lab, 0, &out));
    header = lab6_header(&out);
    EXPECT_EQUAL(header->next_header, PROTOCOL_TCP);
    lab6_expect_address(header->source, "2001:db8:1::2");
    lab6_expect_address(header->destination, "2001:db8::2");
    EXPECT_EQUAL(lab6_payload_bytes(&out), 20);
    sum = ipv6_pseudo_sum(header->source, header->destination, 20, PROTOCOL_TCP);
    EXPECT_EQUAL(checksum_finish(checksum_add(sum, header + 1, 20)), 0);
    EXPECT_EQUAL(lab6_payload(&out)[13], TCP_RST | TCP_ACK);
    EXPECT_EQUAL(load_be32(lab6_payload(&out) + 8), 8);

    packet.protocol = 0;
    frame = lab6_frame(0, &packet);
    send(&lab, 0, &frame);
    lab6_expect_error(&lab, 0, &frame, US6_0, ICMP6_UNREACHABLE, ICMP6_PROHIBITED);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV6, 10).packets, 2);
    finish(&lab);
}

TEST(filter_reject_answers_no_more_than_the_allowance)
{
    struct lab lab = start();
    struct lab_frame out, frame = tcp(HOST_0, HOST_1, TCP_SYN);
    unsigned answers = 0, packets = 3 * ICMP_ERROR_BURST;

    say(&lab, "ip filter 10 reject proto tcp\n");
    for (unsigned i = 0; i < packets; i++) {
        lab_put(&lab, 0, &frame);
        if (i % 32 == 31)
            lab_step(&lab, 1);
    }
    lab_step(&lab, 3);
    while (lab_take(&lab, 0, &out))
        answers++;
    EXPECT_EQUAL(answers, ICMP_ERROR_BURST);
    EXPECT_EQUAL(lab_dropped(&lab, 2, DROP_ICMP_RATE_LIMIT), packets - ICMP_ERROR_BURST);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 10).packets, packets);
    finish(&lab);
}

/* ---- What hides ------------------------------------------------------------------------------ */

TEST(filter_drops_pieces_that_hide_from_it)
{
    struct lab lab = start();
    static const struct {
        uint8_t protocol;
        uint16_t fragment, payload_bytes;
        bool hides;
    } cases[] = {
        { PROTOCOL_TCP, IPV4_MORE_FRAGMENTS, 16, true }, /* RFC 1858 3 */
        { PROTOCOL_TCP, IPV4_MORE_FRAGMENTS, 24, false },
        { PROTOCOL_TCP, 1, 24, true }, /* RFC 3128 */
        { PROTOCOL_TCP, 2, 24, true },
        { PROTOCOL_TCP, 3, 24, false },
        { PROTOCOL_UDP, IPV4_MORE_FRAGMENTS, 8, false },
        { PROTOCOL_UDP, 1 | IPV4_MORE_FRAGMENTS, 8, false },
        { PROTOCOL_ICMP, 1, 8, false },
        { PROTOCOL_TCP, 0, 10, false }, /* whole: nobody takes it for more */
    };
    unsigned hidden = 0;

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
            struct lab_frame frame =
                lab_frame(0, &(struct lab_packet){ .source = HOST_0,
                                                   .destination = HOST_1,
                                                   .protocol = cases[i].protocol,
                                                   .fragment = cases[i].fragment,
                                                   .payload_bytes = cases[i].payload_bytes });
            send(&lab, 0, &frame);
            if (round == 1 && cases[i].hides)
                hidden++;
            else
                expect_passed(&lab, 1);
            EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_FILTER_OPAQUE), hidden);
        }
        say(&lab, "ip filter 10 drop proto tcp dport 22 flags S\n");
    }
    finish(&lab);
}

TEST(filter_of_fragments_and_of_ports_that_later_ones_do_not_have)
{
    struct lab lab = start();
    struct lab_packet packet = { .source = HOST_0,
                                 .destination = HOST_1,
                                 .payload_bytes = 24,
                                 .source_port = 5,
                                 .destination_port = 53,
                                 .fragment = IPV4_MORE_FRAGMENTS };

    say(&lab, "ip filter 10 drop dport 53\nip filter 20 drop fragment\n");
    struct lab_frame frame = lab_frame(0, &packet);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 10).packets, 1);
    packet.fragment = 3;
    frame = lab_frame(0, &packet);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 20).packets, 1);
    packet.fragment = IPV4_DONT_FRAGMENT;
    packet.destination_port = 54;
    frame = lab_frame(0, &packet);
    send(&lab, 0, &frame);
    expect_passed(&lab, 1);
    finish(&lab);
}

TEST(filter6_looks_behind_extension_headers)
{
    struct lab lab = start6();
    /* Destination options, 8 bytes of them; then UDP. */
    static const uint8_t options[8] = { PROTOCOL_UDP, 0, 1, 4 };
    /* A first piece that ends before the header of TCP does. */
    static const uint8_t piece[8] = { PROTOCOL_TCP, 0, 0, 1, 0, 0, 0, 9 };
    struct lab6_packet packet = { SIX_0,
                                  SIX_1,
                                  .protocol = PROTOCOL_DESTINATION_OPTIONS,
                                  .extensions = options,
                                  .extension_bytes = sizeof(options),
                                  .payload_bytes = 16 };

    say(&lab, "ipv6 filter 10 drop proto udp dport 3600\n");
    struct lab_frame frame = lab6_frame(0, &packet);
    store_be16(lab6_payload(&frame) + 8 + 2, 3600);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV6, 10).packets, 1);
    packet.protocol = PROTOCOL_FRAGMENT;
    packet.extensions = piece;
    frame = lab6_frame(0, &packet);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_FILTER_OPAQUE), 1);
    finish(&lab);
}

/* ---- Commits, cores, the log ----------------------------------------------------------------- */

TEST(filter_hits_survive_commits_and_links)
{
    struct lab lab = start();
    struct lab_frame frame = udp("192.0.2.9", HOST_1, 53);

    say(&lab, "ip filter 192.0.2.0/24\n");
    send(&lab, 0, &frame);
    const struct filter *filter = lab.router->filters[FAMILY_IPV4];
    say(&lab, "ip route 10.7.0.0/16 gateway 10.0.1.2\ninterface eth1 mtu 1400\n");
    EXPECT(lab.router->filters[FAMILY_IPV4] == filter); /* nothing of it has changed */
    send(&lab, 0, &frame);
    say(&lab, "ip filter 198.51.100.0/24\nip filter 50 pass proto icmp\n");
    EXPECT(lab.router->filters[FAMILY_IPV4] != filter);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 100).packets, 3);
    say(&lab, "no ip filter 192.0.2.0/24\n");
    send(&lab, 0, &frame);
    expect_passed(&lab, 1);
    say(&lab, "no ip filter 101\nno ip filter 50\n");
    EXPECT(lab.router->filters[FAMILY_IPV4] == NULL);
    finish(&lab);
}

TEST(filter_hits_of_several_cores_are_exact)
{
    struct lab lab = lab_create(3, 2);
    struct lab_frame frame = udp("192.0.2.9", HOST_1, 53);

    say(&lab, "ip filter 192.0.2.0/24\n");
    for (unsigned i = 0; i < 300; i++) {
        EXPECT(wire_nic_put(lab.cards[0], i % 3, frame.bytes, frame.length_bytes));
        if (i % 50 == 49)
            lab_step(&lab, 2);
    }
    lab_step(&lab, 4);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 100).packets, 300);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 100).bytes, 300 * 40);
    for (unsigned core = 0; core < 3; core++)
        EXPECT_EQUAL(lab.router->filters[FAMILY_IPV4]->outcomes[0].hits->cores[core].packets, 100);
    finish(&lab);
}

TEST(filter_commit_without_memory_changes_nothing)
{
    struct lab lab = start();
    struct lab_frame frame = udp("192.0.2.9", HOST_1, 53);
    struct commit_report report;
    struct config_filter filter = { .family = FAMILY_IPV4, .action = FILTER_DROP };
    enum error error = ERROR_NO_MEMORY;

    say(&lab, "ip filter 192.0.2.0/24\n");
    filter.source.prefix = prefix_of_ipv4(ipv4_of("10.0.0.0"), 8);
    EXPECT_EQUAL(config_set_filter(lab.config, &filter), OK);
    for (unsigned n = 0; error != OK; n++) {
        struct config *next = config_copy(lab.config);
        EXPECT(n < 200);
        host_fail_allocation(n);
        error = control_commit(lab.router, next, &report);
        host_fail_allocation(UINT64_MAX);
        if (error == OK)
            break;
        EXPECT_EQUAL(error, ERROR_NO_MEMORY);
        EXPECT(report.problem[0] != '\0');
        config_destroy(next);
        EXPECT_EQUAL(lab.router->config->filter_count, 1);
        EXPECT_EQUAL(lab.router->filters[FAMILY_IPV4]->rule_count, 3);
        send(&lab, 0, &frame);
        EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 100).packets, n + 1);
    }
    EXPECT_EQUAL(lab.router->filters[FAMILY_IPV4]->rule_count, 4);
    finish(&lab);
}

TEST(filter_commit_refuses_interfaces_and_sets_that_are_not_there)
{
    struct lab lab = start();
    static const struct {
        const char *in, *out, *source_set, *problem;
    } cases[] = {
        { "eth7", "", "", "ip filter 10 in eth7: there is no such interface" },
        { "eth0", "eth8", "", "ip filter 10 out eth8: there is no such interface" },
        { "", "", "bad", "ip filter 10 src set bad: there is no such set" },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct config_filter filter = { .family = FAMILY_IPV4, .number = 10 };
        struct commit_report report;
        snprintf(filter.in, sizeof(filter.in), "%s", cases[i].in);
        snprintf(filter.out, sizeof(filter.out), "%s", cases[i].out);
        snprintf(filter.source.set, sizeof(filter.source.set), "%s", cases[i].source_set);
        EXPECT_EQUAL(config_set_filter(lab.config, &filter), OK);
        EXPECT_EQUAL(lab_try_commit(&lab, &report), ERROR_BAD_VALUE);
        EXPECT_TEXT(report.problem, cases[i].problem);
        EXPECT(lab.router->filters[FAMILY_IPV4] == NULL);
    }
    finish(&lab);
}

TEST(filter_set_file_that_is_bad_fails_the_commit)
{
    struct lab lab = start();
    struct commit_report report;
    struct config_filter filter = { .family = FAMILY_IPV4, .number = 10, .action = FILTER_DROP };
    struct config_filter_set element = { .family = FAMILY_IPV4, .name = "bad", .file = "list" };
    static const char good[] = "192.0.2.0/24\n198.51.100.7\n", bad[] = "192.0.2.0/24\nnonsense\n";
    struct lab_frame frame = udp("198.51.100.7", HOST_1, 53);

    snprintf(filter.source.set, sizeof(filter.source.set), "bad");
    EXPECT_EQUAL(config_set_filter(lab.config, &filter), OK);
    EXPECT_EQUAL(config_set_filter_set(lab.config, &element), OK);
    host_file_add("list", bad, strlen(bad));
    EXPECT_EQUAL(lab_try_commit(&lab, &report), ERROR_BAD_VALUE);
    EXPECT_TEXT(report.problem,
                "ip filter set bad file list: line 2, column 1: that is no address");
    host_file_add("list", good, strlen(good));
    lab_commit(&lab);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 10).packets, 1);
    host_file_remove_all();
    finish(&lab);
}

/* Lines about filters in the log of this core that have the words. */
static unsigned count_lines(const char *words)
{
    const struct log_ring *ring = core_current()->log;
    struct log_entry entry;
    unsigned count = 0;

    for (uint64_t i = 1; i <= atomic_load(&ring->written); i++)
        if (log_read(ring, i, &entry) && strcmp(entry.subject, "filter") == 0)
            count += strstr(entry.text, words) != NULL;
    return count;
}

TEST(filter_log_tells_the_rule_and_not_of_every_packet)
{
    struct lab lab = start();
    struct lab_frame frame = udp("192.0.2.9", HOST_1, 53);

    say(&lab, "ip filter 77 drop src 192.0.2.0/24 log\n");
    send(&lab, 0, &frame);
    EXPECT_EQUAL(count_lines("ip filter 77 drop: 192.0.2.9 port 4000 to 10.0.1.2 port 53, "
                             "protocol 17, in eth0"),
                 1);
    for (unsigned i = 0; i < 40; i++)
        lab_put(&lab, 0, &frame);
    lab_step(&lab, 4);
    EXPECT_EQUAL(count_lines("ip filter 77 drop"), FILTER_LOG_BURST);
    EXPECT_EQUAL(count_lines("33 more packets were not told of"), 1);
    lab_wait(&lab, 1000);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(count_lines("ip filter 77 drop"), FILTER_LOG_BURST + 1);
    EXPECT_EQUAL(hits(&lab, FAMILY_IPV4, 77).packets, 42);
    finish(&lab);
}
