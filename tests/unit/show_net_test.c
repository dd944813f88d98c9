/* The shows and actions over a real router on software cards: the shapes of their JSON, which rigs
 * rely on. */
#include <string.h>

#include "kernel/base/text.h"
#include "net/filter.h"
#include "net/router.h"
#include "tests/unit/lab6.h"
#include "tests/unit/shell_lab.h"

TEST(show_interfaces_has_its_shape)
{
    start();
    const char *answer = ask("show interfaces | json");
    expect_in(answer, "{\"interfaces\":[{\"name\":\"eth0\",\"driver\":\"");
    expect_in(answer,
              "\"admin\":\"up\",\"link\":\"up\",\"mtu\":1500,\"addresses\":[\"10.0.0.1/24\"],"
              "\"queues\":");
    expect_in(answer, "\"rx_packets\":");
    expect_in(answer, "\"tx_dropped\":");
    EXPECT(strstr(answer, "\"lo\"") == NULL);
    answer = ask("show interfaces eth1 | json");
    expect_in(answer, "{\"interfaces\":[{\"name\":\"eth1\",");
    EXPECT(strstr(answer, "eth0") == NULL);
    expect_in(ask("show interfaces eth7"), "error: there is no interface eth7");
    answer = ask("show interfaces queues | json");
    expect_in(answer,
              "{\"queues\":[{\"interface\":\"eth0\",\"queue\":0,\"core\":0,\"rx_packets\":0,");
    answer = ask("show interfaces books | json");
    expect_in(answer, "{\"interface\":\"lo\",");
    EXPECT(strstr(answer, "\"balanced\":false") == NULL);
    stop();
}

TEST(show_ip_route_has_its_shape)
{
    start();
    ask("ip route 172.16.0.0/12 gateway 10.0.0.2 gateway 10.0.1.2");
    ask("ip route 10.9.0.0/16 reject distance 9");
    expect_in(
        ask("show ip route 10.0.0.0/24 | json"),
        "{\"routes\":[{\"prefix\":\"10.0.0.0/24\",\"next_hop\":null,\"interface\":\"eth0\","
        "\"protocol\":\"connected\",\"distance\":0,\"active\":true,\"kind\":\"connected\"}]}");
    expect_in(ask("show ip route 172.16.0.0/12 | json"),
              "{\"prefix\":\"172.16.0.0/12\",\"next_hop\":\"10.0.1.2\",\"interface\":\"eth1\","
              "\"protocol\":\"static\",\"distance\":1,\"active\":true,\"kind\":\"gateway\"}");
    expect_in(ask("show ip route | json"),
              "{\"prefix\":\"10.9.0.0/16\",\"next_hop\":null,\"interface\":null,"
              "\"protocol\":\"static\",\"distance\":9,\"active\":true,\"kind\":\"reject\"}");
    expect_in(ask("show ip route 172.20.1.1 | json"), "\"prefix\":\"172.16.0.0/12\"");
    EXPECT(strstr(ask("show ip route default"), "10.") == NULL);
    expect_in(ask("show ip route 8.8.8.8"), "error: there is no route to 8.8.8.8");
    expect_in(ask("show ip route summary | json"), "{\"routes\":4,\"fib_bytes\":");
    stop();
}

TEST(show_ipv6_interfaces_has_its_shape_with_what_was_learned)
{
    struct nd_router_advertisement told = {
        .lifetime_s = 1800,
        .preference = ND_PREFERENCE_HIGH,
        .prefix_count = 1,
        .prefixes = { { .prefix = { 0x20, 1, 0xd, 0xb8 },
                        .prefix_bits = 64,
                        .on_link = true,
                        .autonomous = true,
                        .valid_s = 9000,
                        .preferred_s = 60 } },
    };
    const struct lab6_packet packet = { "fe80::9", "ff02::1", .hop_limit = ND_HOP_LIMIT };
    uint8_t message[256];

    start();
    ask("ipv6 eth0 address auto");
    ask_for("ipv6 eth1 address 2001:db8:1::1/64", 1500);
    size_t length = nd_router_advertisement_write(&told, message, sizeof(message));
    struct lab_frame frame = lab6_icmp(0, &packet, message, length);
    lab_put(&lab, 0, &frame);
    lab_wait(&lab, 1500);
    const char *answer = ask("show ipv6 interfaces | json");
    expect_in(answer,
              "{\"interface\":\"eth1\",\"address\":\"2001:db8:1::1/64\",\"state\":\"valid\","
              "\"origin\":\"static\",\"preferred_s\":null,\"valid_s\":null}");
    expect_in(answer,
              "{\"interface\":\"eth0\",\"address\":\"fe80::ff:fe00:0/64\",\"state\":\"valid\","
              "\"origin\":\"link-local\",");
    expect_in(answer,
              "\"address\":\"2001:db8:1::/128\",\"state\":\"valid\",\"origin\":\"anycast\",");
    expect_in(answer,
              "\"state\":\"valid\",\"origin\":\"learned\",\"preferred_s\":58,\"valid_s\":8998}");
    expect_in(answer,
              "\"routers\":[{\"interface\":\"eth0\",\"router\":\"fe80::9\",\"preference\":\"high\","
              "\"lifetime_s\":1798,\"in_use\":true}]}");
    EXPECT(strstr(ask("show ipv6 interfaces eth1 | json"), "fe80::9") == NULL);
    expect_in(
        ask("show ipv6 route default | json"),
        "\"next_hop\":\"fe80::9\",\"interface\":\"eth0\",\"protocol\":\"ra\",\"distance\":249,");
    ask_for("", 60000);
    expect_in(ask("show ipv6 interfaces | json"),
              "\"state\":\"deprecated\",\"origin\":\"learned\",\"preferred_s\":0,");
    expect_in(ask("show configuration"), "ipv6 eth0 address auto");
    ask("no ipv6 eth0 address auto");
    EXPECT(strstr(ask("show configuration"), "auto") == NULL);
    stop();
}

TEST(show_arp_cores_drops_version_and_log_have_their_shapes)
{
    start();
    const char *answer = ask("show arp | json");
    expect_in(answer, "{\"neighbors\":[{\"address\":\"10.0.0.2\",\"mac\":\"");
    expect_in(answer, "\",\"interface\":\"eth0\",\"state\":\"static\",\"age_s\":");
    answer = ask("show cores | json");
    expect_in(answer, "{\"cores\":[{\"core\":0,\"role\":\"");
    expect_in(answer, "\"cycles_per_packet\":");
    expect_in(answer, "\"register_accesses\":");
    expect_in(ask("show cores latency | json"), "{\"latency\":[{\"core\":0,\"packets\":");
    expect_in(ask("show cores latency | json"), "\"p50_ns\":");
    expect_in(ask("show cores latency | json"), "\"p999_ns\":");
    EXPECT_TEXT(ask("show drops | json"), "{\"drops\":[]}");
    expect_in(ask("show drops all | json"), "{\"reason\":\"no-route\",\"packets\":0,");
    answer = ask("show version | json");
    expect_in(answer, "{\"name\":\"tsuji\",\"version\":\"");
    expect_in(answer, "\"platform\":\"process\",\"uptime_s\":");
    expect_in(ask("show log | json"), "{\"log\":[");
    expect_in(ask("write"), "there is no storage yet");
    EXPECT_TEXT(ask("clear counters"), "");
    EXPECT_TEXT(ask("clear arp"), "");
    EXPECT_TEXT(ask("clear arp 10.0.0.2"), "");
    expect_in(ask("exit 3"), "error: ");
    stop();
}

TEST(show_cores_counts_a_sleep_that_has_not_ended)
{
    start();
    uint64_t busy_ns = lab.router->cores[1]->stats.busy_ns; /* so far: this clock does not run on */
    EXPECT(busy_ns > 0);                                    /* while a core sleeps */
    host_clock_virtual(lab.now_ns = lab.router->created_ns + 4 * busy_ns);
    shown_length = 0;
    typed = "show cores | json\r";
    for (unsigned i = 0; i < 50; i++)
        core_step(lab.router->cores[0]);
    const char *row = strstr(shown, "{\"core\":1,");
    EXPECT(row != NULL);
    expect_in(row, "\"busy_percent\":25.0,");
    stop();
}

TEST(show_memory_wakes_those_who_may_have_something_to_free)
{
    start();
    uint64_t before = host_wake_count(1);
    ask("show memory");
    EXPECT_EQUAL(host_wake_count(1), before + 1);
    stop();
}

TEST(show_drops_tells_what_was_dropped)
{
    start();
    struct lab_packet packet = { .source = "10.0.0.2", .destination = "9.9.9.9" };
    struct lab_frame frame = lab_frame(0, &packet);
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 5);
    expect_in(ask("show drops | json"),
              "{\"drops\":[{\"reason\":\"no-route\",\"packets\":1,\"text\":");
    expect_in(ask("show interfaces | match eth0"), "1");
    ask("clear counters");
    EXPECT_TEXT(ask("show drops | json"), "{\"drops\":[]}");
    stop();
}

TEST(ping_tells_timeouts_and_ends_by_itself)
{
    start();
    const char *answer = ask_for("ping 10.0.0.2 count 2 interval 10 | json", 4000);
    expect_in(answer, "{\"replies\":[{\"sequence\":0,\"answer\":\"timeout\",\"from\":null,");
    expect_in(answer, "],\"sent\":2,\"received\":0,\"loss_percent\":100}");
    expect_in(ask_for("ping 9.9.9.9 count 1", 100), "no-route");
    expect_in(ask_for("ping 10.0.0.1 count 1 size 100 df", 100), "reply");
    stop();
}

/* Answers to another's address would never come here; and what does not fit is not cut unasked. */
TEST(ping_refuses_sources_that_are_not_ours_and_sizes_that_do_not_fit)
{
    start();
    EXPECT_TEXT(ask_for("ipv6 eth0 address 2001:db8::1/64", 1500), "");
    expect_in(ask("ping 10.0.0.2 from 10.0.0.2"), "error: 10.0.0.2 is no address of ours");
    expect_in(ask("traceroute 10.0.0.2 from 9.9.9.9"), "error: 9.9.9.9 is no address of ours");
    expect_in(ask("ping 2001:db8::2 from 2001:db8::2"), "error: 2001:db8::2 is no address of ours");
    expect_in(ask("ping 2001:db8::2 from fe80::ff:fe00:0"),
              "error: fe80::ff:fe00:0 is no address of ours on that link");
    expect_in(ask_for("ping fe80::ff:fe00:0 interface eth0 count 1 from fe80::ff:fe00:0", 100),
              "reply");
    expect_in(ask_for("ping 10.0.0.1 count 1 from 10.0.0.1", 100), "reply");
    expect_in(ask_for("ping 127.0.0.1 count 1 from 127.0.0.1", 100), "reply");

    expect_in(ask("ping 2001:db8::1 size 65488"), "error: over IPv6 no more than 65487 bytes fit");
    expect_in(ask_for("ping 2001:db8::1 count 1 size 65487", 100), "reply");
    expect_in(ask_for("ping 10.0.0.1 count 1 size 65507", 100), "reply");
    expect_in(ask("ping 10.0.0.1 size 65508"), "error: ");
    stop();
}

TEST(ping_stops_at_ctrl_c)
{
    start();
    ask_for("ping 10.0.0.2 count 1000 interval 100", 500);
    shown_length = 0;
    typed = "\x03";
    lab_step(&lab, 20);
    expect_in(shown, "^C");
    expect_in(shown, "loss percent");
    expect_in(shown, "tsuji# ");
    stop();
}

TEST(traceroute_tells_each_hop)
{
    start();
    expect_in(ask_for("traceroute 10.0.0.1 | json", 300),
              "{\"hops\":[{\"hop\":1,\"answer\":\"reply\",");
    stop();
}

TEST(ping_and_traceroute_speak_ipv6)
{
    start();
    EXPECT_TEXT(ask_for("ipv6 eth0 address 2001:db8::1/64", 1500), "");
    expect_in(ask_for("ping 2001:DB8::1 count 1 | json", 100),
              "{\"replies\":[{\"sequence\":0,\"answer\":\"reply\",\"from\":\"2001:db8::1\",");
    expect_in(ask_for("ping 2001:db8::1 count 1 from ::1", 100), "reply");
    expect_in(ask_for("traceroute 2001:db8::1 | json", 300),
              "{\"hops\":[{\"hop\":1,\"answer\":\"reply\",\"from\":\"2001:db8::1\",");
    expect_in(ask_for("ping 2001:db9::1 count 1", 100), "no-route");
    expect_in(ask_for("ping 2001:db8::2 count 1", 4000), "timeout");
    expect_in(ask_for("ping fe80::ff:fe00:0 interface eth0 count 1", 100), "reply");
    expect_in(ask_for("traceroute fe80::ff:fe00:0 interface eth0", 300), "reply");
    expect_in(ask("ping fe80::1"), "error: fe80::1 is link-local: say on which link, with "
                                   "interface NAME");
    expect_in(ask("ping fe80::1 interface eth7"), "error: there is no interface eth7");
    expect_in(ask("ping 2001:db8::2 interface eth0"), "error: only a link-local target");
    expect_in(ask("traceroute 10.0.0.2 interface eth0"), "error: only a link-local target");
    expect_in(ask("ping 10.0.0.2 from ::1"),
              "error: ::1 and the target are not of the same family");
    expect_in(ask("ping 10.0.0.300"), "error: expected IPv4 address, like 192.0.2.1, or IPv6 "
                                      "address, like 2001:db8::1");
    stop();
}

TEST(configuration_statements_reach_the_router)
{
    start();
    EXPECT_TEXT(ask("interface eth1 mtu 1400"), "");
    EXPECT_EQUAL(router_port(lab.router, "eth1")->mtu_bytes, 1400);
    expect_in(ask("interface eth9 down"), "error: ");
    EXPECT_TEXT(ask("no interface eth1"), "");
    EXPECT_EQUAL(router_port(lab.router, "eth1")->mtu_bytes, 1500);
    stop();
}

/* ---- Commits, as they are seen from a console --------------------------------------------------
 */

static const char base[] = "ip eth0 address 10.0.0.1/24\r"
                           "ip eth1 address 10.0.1.1/24\rip route default gateway 10.0.0.2\r"
                           "ip route 172.16.0.0/12 gateway 10.0.0.2 gateway 10.0.1.2\r"
                           "arp 10.0.1.2 02:00:00:00:01:02 eth1\rend";

/* All that the shows tell and that time alone does not change. */
static const char *picture(char out[8192])
{
    static const char *const shows[] = {
        "show configuration",    "show interfaces | json",
        "show interfaces books", "show interfaces queues",
        "show ip route",         "show ip route summary",
        "show drops all",        "show arp | match static | count",
    };
    struct text text = text_of(out, 8192);
    for (unsigned i = 0; i < ARRAY_COUNT(shows); i++)
        text_print(&text, "%s:\n%s", shows[i], ask(shows[i]));
    EXPECT(!text.cut);
    return out;
}

/* The n-th allocation fails, for every n until the change gets through. */
static void expect_all_or_nothing(const char *opening, const char *change)
{
    static char before[8192], after[8192];
    unsigned refused = 0;
    for (uint64_t n = 0;; n++) {
        const struct config *running = lab.router->config;
        picture(before);
        if (opening)
            ask(opening);
        host_fail_allocation(n);
        const char *answer = ask(change);
        host_fail_allocation(UINT64_MAX);
        if (lab.router->config != running) {
            EXPECT(refused > 0);
            return;
        }
        expect_in(answer, "error: ");
        refused++;
        EXPECT_TEXT(picture(after), before);
    }
}

TEST(a_commit_without_memory_leaves_all_shows_as_they_were)
{
    start();
    ask("load replace terminal");
    expect_in(ask(base), "commit complete");
    expect_all_or_nothing(NULL, "interface eth1 mtu 1400");
    expect_all_or_nothing(NULL, "ip eth0 address 10.77.0.1/24");
    expect_all_or_nothing(NULL, "no ip route 172.16.0.0/12 gateway 10.0.1.2");
    expect_all_or_nothing("load merge terminal",
                          "ip route 192.0.2.0/24 reject\rno arp 10.0.1.2\rend");
    ask("configure");
    ask("interface eth1 down");
    expect_all_or_nothing(NULL, "commit");
    ask("exit");
    expect_all_or_nothing("load replace terminal", base);
    stop();
}

TEST(a_text_with_a_bad_line_names_it_and_changes_nothing)
{
    static char before[8192], after[8192];
    start();
    ask("load replace terminal");
    ask(base);
    picture(before);
    expect_in(ask("load replace terminal\rsystem name x\rip eth0 adress 10.9.0.1/8\rend"),
              "error: line 2, column 9: unknown word \"adress\", did you mean \"address\"");
    expect_in(ask("load merge terminal\rsystem name x\rinterface eth7 down\rend"),
              "error: interface eth7: there is no such interface"); /* told by the commit */
    EXPECT_TEXT(picture(after), before);
    stop();
}

TEST(what_show_configuration_prints_is_the_same_configuration)
{
    char load[1024], shown_first[1024];
    start();
    ask("load replace terminal");
    ask(base);
    ask("interface eth1 mtu 1400");
    strcpy(shown_first, ask("show configuration"));
    text_format(load, sizeof(load), "load replace terminal\n%s\nend", shown_first);
    expect_in(ask(load), "commit complete: 0 lines changed");
    EXPECT_TEXT(ask("show configuration"), shown_first);
    stop();
}

/* ---- Filters --------------------------------------------------------------------------------- */

static void send_udp(const char *from, const char *to, unsigned count)
{
    struct lab_frame frame = lab_frame(0, &(struct lab_packet){ .source = from,
                                                                .destination = to,
                                                                .payload_bytes = 20,
                                                                .source_port = 5,
                                                                .destination_port = 53 });
    while (count-- > 0)
        lab_put(&lab, 0, &frame);
    lab_step(&lab, 4);
}

TEST(show_ip_filter_has_its_shape)
{
    start();
    expect_in(ask("show ip filter | json"),
              "{\"filters\":[],\"default\":\"pass\",\"default_packets\":0,\"default_bytes\":0,"
              "\"jit\":{\"state\":\"interpreter\",\"code_bytes\":0,\"table_bytes\":0,"
              "\"compile_us\":0,\"generation\":0,\"kind\":\"interpreter\"}}");
    EXPECT_TEXT(ask("ip filter 192.0.2.0/24"), "");
    EXPECT_TEXT(ask("ip filter 7 reject dst 10.0.1.0/24 proto udp dport 53 log comment \"a b\""),
                "");
    EXPECT_TEXT(ask("ip filter 8 pass proto icmp type 8 in eth0"), "");
    send_udp("192.0.2.9", "10.0.0.1", 3);
    send_udp("10.0.0.2", "10.0.1.2", 2);
    send_udp("10.0.0.2", "10.0.0.1", 1);
    const char *answer = ask("show ip filter | json");
    expect_in(answer, "{\"filters\":[{\"number\":7,\"action\":\"reject\",\"source\":\"any\","
                      "\"destination\":\"10.0.1.0/24\",\"match\":\"proto udp dport 53\","
                      "\"packets\":2,\"bytes\":80,\"last_s\":");
    expect_in(answer, "\"log\":true,\"comment\":\"a "
                      "b\",\"shadowed_by\":null},{\"number\":8,\"action\":\"pass\",");
    expect_in(
        answer,
        "\"match\":\"proto icmp type 8 in eth0\",\"packets\":0,\"bytes\":0,"
        "\"last_s\":null,\"log\":false,\"comment\":null,\"shadowed_by\":null},{\"number\":100,");
    expect_in(answer, "\"default\":\"pass\",\"default_packets\":1,\"default_bytes\":40,");
    expect_in(answer, "\"generation\":3,");
    answer = ask("show ip filter sort hits | json");
    EXPECT(strstr(answer, "\"number\":100") < strstr(answer, "\"number\":7"));
    EXPECT(strstr(answer, "\"number\":7") < strstr(answer, "\"number\":8"));
    answer = ask("show ip filter unused | json");
    expect_in(answer, "{\"filters\":[{\"number\":8,");
    EXPECT(strstr(answer, "\"number\":7") == NULL);
    expect_in(ask("show ip filter"), "reject  any");
    EXPECT_TEXT(ask("clear counters filter"), "");
    expect_in(ask("show ip filter unused | json"), "{\"filters\":[{\"number\":7,");
    expect_in(ask("show ipv6 filter | json"), "{\"filters\":[],\"default\":\"pass\",");
    stop();
}

TEST(show_ip_filter_of_many_comes_whole_and_in_order)
{
    start();
    for (unsigned i = 0; i < 100; i++) {
        char line[64];
        text_format(line, sizeof(line), "ip filter %u drop src 192.0.2.%u/32", 1 + i * 7 % 100, i);
        EXPECT_TEXT(ask_for(line, 200), ""); /* compiling has pauses */
    }
    send_udp("192.0.2.30", "10.0.0.1", 2); /* filter 11 */
    const char *at = ask("show ip filter | json");
    for (unsigned i = 1; i <= 100; i++) {
        char part[32];
        text_format(part, sizeof(part), "\"number\":%u,", i);
        at = strstr(at, part);
        EXPECT(at != NULL);
    }
    expect_in(ask("show ip filter sort hits | json"), "{\"filters\":[{\"number\":11,");
    EXPECT(strstr(ask("show ip filter unused | json"), "\"number\":11,") == NULL);
    stop();
}

TEST(flash_makes_filters_anew_and_says_so)
{
    start();
    EXPECT_TEXT(ask("ip filter 192.0.2.0/24"), "");
    send_udp("192.0.2.9", "10.0.0.1", 3);
    expect_in(ask("ip filter jit flash"), "1 filter: ");
    expect_in(ask("ip filter jit flash"), " of tables (intervals ");
    const char *answer = ask("show ip filter | json");
    expect_in(answer, "\"packets\":3,");
    expect_in(answer, "\"jit\":{\"state\":\"on\",\"code_bytes\":");
    expect_in(answer, "\"generation\":3,\"kind\":\"intervals ");
    stop();
}

TEST(filters_are_interpreted_where_told)
{
    start();
    EXPECT_TEXT(ask("ip filter 192.0.2.0/24"), "");
    EXPECT_TEXT(ask("ip filter 7 drop proto tcp flags S!A"), "");
    expect_in(ask("show ip filter | json"), "\"kind\":\"linear ");
    expect_in(ask_for("ip filter jit verify 1000", 5),
              "1000 packets, 0 judged otherwise than by the interpreter");
    EXPECT_TEXT(ask("ip filter jit off"), "");
    expect_in(ask("show configuration"), "ip filter jit off");
    expect_in(ask("show ip filter | json"), "\"jit\":{\"state\":\"off\",\"code_bytes\":0,");
    expect_in(ask("ip filter jit flash"), "2 filters for the interpreter, which is in force, in ");
    expect_in(ask("ip filter jit verify"), "there is no code to verify");
    send_udp("192.0.2.9", "10.0.0.1", 3);
    expect_in(ask("show ip filter | json"), "\"packets\":3,");
    EXPECT_TEXT(ask("ip filter jit on"), "");
    expect_in(ask("show ip filter | json"), "\"jit\":{\"state\":\"on\",");
    EXPECT(strstr(ask("show configuration"), "filter jit") == NULL);
    stop();
}

/* A generation's number never comes again, also where there were no filters in between: who shows
 * one slice by slice knows by it that it is still the same. */
TEST(filter_generations_never_come_again)
{
    start();
    EXPECT_TEXT(ask("ip filter 192.0.2.0/24"), "");
    expect_in(ask("show ip filter | json"), "\"generation\":1,");
    EXPECT_TEXT(ask("no ip filter 100"), "");
    EXPECT_TEXT(ask("ip filter 192.0.2.0/24"), "");
    expect_in(ask("show ip filter | json"), "\"generation\":3,");
    stop();
}

/* What was in force before stays so, and what the configuration says, too. */
TEST(filters_stay_as_they_are_where_code_has_no_room)
{
    static const char refusal[] = "error: out of memory for 2 filters and code";
    start();
    EXPECT_TEXT(ask("ip filter 192.0.2.0/24"), "");
    host_limit_code(100);
    expect_in(ask("ip filter 133.27.0.0/16"), refusal);
    EXPECT(strstr(ask("show configuration"), "133.27") == NULL);
    expect_in(ask("ip filter jit flash"), "error: out of memory for 1 filter and code");
    expect_in(ask("show ip filter | json"), "\"generation\":1,\"kind\":\"intervals ");
    expect_in(ask_for("ip filter jit verify 1000", 5), " 0 judged otherwise");
    send_udp("192.0.2.9", "10.0.0.1", 3);
    send_udp("133.27.0.9", "10.0.0.1", 1);
    const char *answer = ask("show ip filter | json");
    expect_in(answer, "\"packets\":3,");
    expect_in(answer, "\"default_packets\":1,");
    /* What needs no code is not refused; and then all is well again. */
    EXPECT_TEXT(ask("ip filter jit off"), "");
    EXPECT_TEXT(ask("ip filter 133.27.0.0/16"), "");
    expect_in(ask("ip filter jit on"), refusal);
    host_limit_code(SIZE_MAX);
    EXPECT_TEXT(ask("ip filter jit on"), "");
    send_udp("133.27.0.9", "10.0.0.1", 2);
    answer = ask("show ip filter | json");
    expect_in(answer, "\"packets\":3,");
    expect_in(answer, "\"packets\":2,");
    expect_in(answer, "\"generation\":4,\"kind\":\"intervals ");
    stop();
}

/* Where the processor has them; otherwise it is said, and all is as it was. */
TEST(filters_are_compiled_for_the_vectors_that_were_told)
{
    static const char *const names[] = { "sse2", "avx2", "avx512" };

    start();
    EXPECT_TEXT(ask("ip filter 7 drop proto tcp flags S!A"), "");
    EXPECT_TEXT(ask("ip filter 192.0.2.0/24"), "");
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        char line[64], kind[64];
        text_format(line, sizeof(line), "ip filter jit on %s", names[i]);
        text_format(kind, sizeof(kind), "\"kind\":\"linear %s\"}", names[i]);
        if (!filter_has_vectors((enum config_vectors)(VECTORS_SSE2 + i))) {
            EXPECT_TEXT(ask(line), "                 ^\nerror: this processor has no such vectors");
            continue;
        }
        EXPECT_TEXT(ask(line), "");
        expect_in(ask("show ip filter | json"), kind);
        expect_in(ask("show configuration"), line);
        expect_in(ask_for("ip filter jit verify 1000", 5), "1000 packets, 0 judged otherwise");
    }
    EXPECT_TEXT(ask("ip filter jit on sse2"), "");
    EXPECT_TEXT(ask("ip filter jit off"), "");
    EXPECT(strstr(ask("show configuration"), "jit on") == NULL);
    EXPECT_TEXT(ask("ipv6 filter jit on sse2"), "");
    EXPECT_TEXT(ask("no ipv6 filter jit"), "");
    EXPECT(strstr(ask("show configuration"), "jit on") == NULL);
    expect_in(ask("ip filter jit on mmx"), "error: ");
    stop();
}

/* What each stage says, "stage verdict by" line by line. */
static void expect_explained(const char *line, const char *wish)
{
    char stages[1024], question[256];
    struct text out = text_of(stages, sizeof(stages));
    text_format(question, sizeof(question), "%s | json", line);
    const char *at = ask(question);
    while ((at = strstr(at, "{\"stage\":\"")) != NULL) {
        static const char *const marks[] = { "\"stage\":\"", "\"verdict\":\"", "\"by\":\"" };
        for (unsigned i = 0; i < ARRAY_COUNT(marks); i++) {
            at = strstr(at, marks[i]) + strlen(marks[i]);
            text_print(&out, "%.*s%s", (int)(strchr(at, '"') - at), at, i == 2 ? "\n" : " ");
        }
    }
    EXPECT_TEXT(stages, wish);
}

TEST(explain_names_what_decides)
{
    start();
    EXPECT_TEXT(ask("ip route 10.7.0.0/16 gateway 10.0.1.2"), "");
    EXPECT_TEXT(ask("ip route 10.8.0.0/16 blackhole"), "");
    expect_explained("explain in eth0 udp 10.0.0.2:5 10.7.1.1:53",
                     "route pass ip route 10.7.0.0/16, gateway\n"
                     "neighbor known 10.0.1.2 on eth1, 02:00:00:aa:01:02\n");
    EXPECT_TEXT(ask("ip filter 10 reject proto tcp dport 22 flags S!A"), "");
    EXPECT_TEXT(ask("ip filter 20 drop proto udp out eth1"), "");
    EXPECT_TEXT(ask("ip filter 30 pass proto icmp type 8"), "");
    expect_explained("explain in eth0 tcp 10.0.0.2 10.7.1.1:22",
                     "filter-in reject ip filter 10 reject proto tcp dport 22 flags S!A\n");
    expect_explained("explain in eth0 tcp 10.0.0.2 10.7.1.1:22 flags A",
                     "filter-in pass ip filter default pass\n"
                     "route pass ip route 10.7.0.0/16, gateway\n"
                     "neighbor known 10.0.1.2 on eth1, 02:00:00:aa:01:02\n");
    expect_explained("explain in eth0 udp 10.0.0.2 10.7.1.1:53",
                     "filter-in undecided ip filter 20 drop proto udp out eth1\n"
                     "route pass ip route 10.7.0.0/16, gateway\n"
                     "filter-out drop ip filter 20 drop proto udp out eth1\n");
    expect_explained("explain in eth0 udp 10.0.0.2 10.0.0.1:53",
                     "filter-in undecided ip filter 20 drop proto udp out eth1\n"
                     "route to-us ip route 10.0.0.1/32, local\n"
                     "filter-out pass ip filter default pass\n"
                     "local delivered our own stack\n");
    expect_explained("explain in eth0 icmp 10.0.0.2 10.8.1.1",
                     "filter-in pass ip filter 30 pass proto icmp type 8\n"
                     "route blackhole ip route 10.8.0.0/16, blackhole\n");
    expect_explained("explain in eth0 icmp 10.0.0.2 10.0.1.77 type 0",
                     "filter-in pass ip filter default pass\n"
                     "route pass ip route 10.0.1.0/24, connected\n"
                     "neighbor to-be-asked 10.0.1.77 on eth1\n");
    expect_explained("explain in eth0 icmp 10.0.0.1 10.0.1.77",
                     "filter-in pass ip filter 30 pass proto icmp type 8\n"
                     "route martian-source impossible source address\n");
    expect_explained("explain in eth0 icmp 10.0.0.2 172.16.0.1",
                     "filter-in pass ip filter 30 pass proto icmp type 8\n"
                     "route no-route no route\n");
    EXPECT_TEXT(ask("ipv6 filter default drop"), "");
    expect_explained("explain in eth0 udp 2001:db8::2 [2001:db8:1::2]:53",
                     "filter-in drop ipv6 filter default drop\n");
    expect_explained("explain in eth0 icmp 2001:db8::2 2001:db8:1::2 type 135",
                     "filter-in pass ipv6 filter default drop, which spares neighbor discovery\n"
                     "route no-route no route\n");
    /* Nothing was sent, nothing counted. */
    for (unsigned number = 10; number <= 30; number += 10) {
        char part[32];
        text_format(part, sizeof(part), "\"number\":%u,", number);
        expect_in(ask("show ip filter unused | json"), part);
    }
    lab6_expect_silence(&lab);
    stop();
}

TEST(explain_says_what_makes_no_packet)
{
    start();
    expect_in(ask("explain in eth7 icmp 10.0.0.2 10.0.1.2"), "error: there is no interface eth7");
    expect_in(ask("explain in lo icmp 10.0.0.2 10.0.1.2"), "error: there is no interface lo");
    expect_in(ask("explain in eth0 udp 10.0.0.2 10.0.1.2"),
              "error: the port is missing, like 192.0.2.1:80");
    expect_in(ask("explain in eth0 udp 10.0.0.2 [2001:db8::1]:5"), "error: both are of the same");
    expect_in(ask("explain in eth0 icmp 10.0.0.2:5 10.0.1.2"), "error: ICMP has no ports");
    expect_in(ask("explain in eth0 udp 10.0.0.2 10.0.1.2:65536"), "a port from 0 to 65535");
    expect_in(ask("explain in eth0 udp 10.0.0.2 [10.0.1.2]:80"), "error: ");
    expect_in(ask("explain in eth0 udp [2001:db8::1]:1 [2001:db8::2:80"), "error: ");
    expect_in(ask("explain in eth0 udp 2001:db8::1 [2001:db8::2]:80"), "no-route");
    expect_in(ask("explain in eth0 udp [2001:db8::1] [2001:db8::2]x80"), "error: ");
    stop();
}
