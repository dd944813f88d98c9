/* Goal: show ip filter code tells what runs, in words that fit the rules. Method: a shell over a
 * router with filters of each shape; small ones to the letter, for vectors that every processor
 * has. */
#include "jit/jit.h"
#include "kernel/base/text.h"
#include "net/control.h"
#include "tests/unit/lab.h"
#include "tests/unit/shell_lab.h"

static void say(const char *line)
{
    EXPECT_TEXT(ask_in(line, 500, 200), ""); /* compiling has pauses */
}

/* It is told, and measured before, in slices. */
static const char *code(const char *words)
{
    char line[128];

    text_format(line, sizeof(line), "show ip filter code%s", words);
    return ask_in(line, 5000, 0);
}

TEST(filter_code_of_a_few_rules_is_told_to_the_letter)
{
    start();
    say("terminal length 0");
    say("ip filter jit on sse2");
    say("ip filter 10 drop src 192.0.2.0/24 proto tcp dport 22 flags S!A");
    say("ip filter 20 pass src 198.51.100.7/32");
    EXPECT_TEXT(
        code(""),
        "arriving:\n"
        "  kind              linear sse2\n"
        "  code bytes        189\n"
        "  table bytes       240\n"
        "\n"
        "code:\n"
        "at      instruction                    what\n"
        "0x0000  -                              from the first packet on\n"
        "0x0000  xor r9d, r9d                   -\n"
        "0x0003  pcmpeqd xmm3, xmm3             -\n"
        "0x0007  movdqu xmm0, [rcx+0x40]        then no rule\n"
        "0x000c  -                              the default: pass\n"
        "0x000c  movdqu xmm0, [rcx+0x50]        then the default\n"
        "0x0011  -                              rule 20: pass src 198.51.100.7/32\n"
        "0x0011  movdqu xmm2, [rdi+r9*4]        source address\n"
        "0x0017  pcmpeqd xmm2, [rcx+0x60]       is 198.51.100.7\n"
        "0x001c  pand xmm2, xmm3                and all before\n"
        "0x0020  movdqu xmm1, [rcx+0x70]        then rule 20\n"
        "0x0025  pand xmm1, xmm2                where all of it is so\n"
        "0x0029  pandn xmm2, xmm0               elsewhere what was before\n"
        "0x002d  por xmm2, xmm1                 together\n"
        "0x0031  -                              rule 10: drop src 192.0.2.0/24 proto tcp dport 22 "
        "flags S!A\n"
        "0x0031  movdqu xmm1, [rdi+r9*4]        source address\n"
        "0x0037  psubd xmm1, [rcx+0x80]         from 192.0.2.0 on\n"
        "0x003f  pcmpgtd xmm1, [rcx+0x90]       up to 192.0.2.255\n"
        "0x0047  pandn xmm1, xmm3               and all before\n"
        "0x004b  movdqu xmm0, [rdi+r9*4+0x800]  protocol\n"
        "0x0055  pcmpeqd xmm0, [rcx+0xa0]       is tcp\n"
        "0x005d  pand xmm0, xmm1                and all before\n"
        "0x0061  movdqu xmm1, [rdi+r9*4+0xa00]  destination port\n"
        "0x006b  pcmpeqd xmm1, [rcx+0xb0]       is 22\n"
        "0x0073  pand xmm1, xmm0                and all before\n"
        "0x0077  movdqu xmm0, [rdi+r9*4+0xc00]  TCP flags\n"
        "0x0081  pand xmm0, [rcx+0xc0]          of SA\n"
        "0x0089  pcmpeqd xmm0, [rcx+0xd0]       are S!A\n"
        "0x0091  pand xmm0, xmm1                and all before\n"
        "0x0095  movdqu xmm1, [rcx+0xe0]        then rule 10\n"
        "0x009d  pand xmm1, xmm0                where all of it is so\n"
        "0x00a1  pandn xmm0, xmm2               elsewhere what was before\n"
        "0x00a5  por xmm0, xmm1                 together\n"
        "0x00a9  -                              the rules that decide, of all these packets\n"
        "0x00a9  movdqu [rdx+r9*4], xmm0        which rule decides\n"
        "0x00af  -                              on to the next packets\n"
        "0x00af  add r9d, 0x4                   -\n"
        "0x00b3  cmp r9d, esi                   -\n"
        "0x00b6  jb 0x3                         -\n"
        "0x00bc  -                              back to the receive path\n"
        "0x00bc  ret                            -");
    EXPECT_TEXT(code(" 20 hex"), "arriving:\n"
                                 "  kind              linear sse2\n"
                                 "  code bytes        189\n"
                                 "  table bytes       240\n"
                                 "\n"
                                 "code:\n"
                                 "at      bytes             what\n"
                                 "0x0011  -                 rule 20: pass src 198.51.100.7/32\n"
                                 "0x0011  f3420f6f148f      source address\n"
                                 "0x0017  660f765160        is 198.51.100.7\n"
                                 "0x001c  660fdbd3          and all before\n"
                                 "0x0020  f30f6f4970        then rule 20\n"
                                 "0x0025  660fdbca          where all of it is so\n"
                                 "0x0029  660fdfd0          elsewhere what was before\n"
                                 "0x002d  660febd1          together");
    EXPECT_TEXT(code(" 20 | json | match nothing"), "");
    expect_in(code(" 20 | json"),
              "{\"arriving\":{\"kind\":\"linear sse2\",\"code_bytes\":189,\"table_bytes\":240,"
              "\"code\":[{\"at\":\"0x0011\",\"bytes\":\"\",\"instruction\":\"\","
              "\"what\":\"rule 20: pass src 198.51.100.7/32\"},{\"at\":\"0x0011\","
              "\"bytes\":\"f3420f6f148f\",\"instruction\":\"movdqu xmm2, [rdi+r9*4]\","
              "\"what\":\"source address\"},");
    EXPECT_TEXT(code(" 30"), "                           ^\nerror: there is no such filter");
    stop();
}

/* Of rules in groups it is not, and that is no reason to call them unreachable. */
TEST(filter_code_of_groups_tells_why_nothing_leads_to_a_rule)
{
    start();
    say("ip filter jit on sse2");
    for (unsigned i = 1; i <= 520; i++) {
        char line[96];
        text_format(line, sizeof(line), "ip filter %u drop src 10.%u.%u.0/24 proto tcp dport %u", i,
                    i / 256, i % 256, 1 + i % 3);
        say(line);
    }
    expect_in(code(" 7"), "it is one of many that are searched in 3 groups");
    /* All of it, to the end and no further. */
    const char *answer = code("");
    expect_in(answer, "back to the receive path\n");
    EXPECT(strstr(answer, "  ret ") != NULL && strstr(answer, "(bad)") == NULL);
    stop();
}

/* Where tables decide, what leads to a rule is told, and which code looks there. */
TEST(filter_code_of_intervals_tells_those_of_a_rule)
{
    start();
    say("ip filter jit on sse2");
    say("ip filter 10 drop src 192.0.2.64/26");
    expect_in(ask_in("ip filter 20 drop src 192.0.2.80/32", 500, 200), "note: rule 20 is never");
    say("ip filter 30 pass src 192.0.2.0/24");
    expect_in(code(" 30"), "\n  kind              intervals sse2\n");
    expect_in(code(" 30"), "entries:\n"
                           "looked up         values                     code\n"
                           "source address    192.0.2.0 - 192.0.2.63     0x0000-0x0");
    expect_in(code(" 30"), "\nsource address    192.0.2.128 - 192.0.2.255  0x0000-0x0");
    expect_in(code(" 10 | json"), "\"entries\":[{\"looked_up\":\"source address\",\"values\":"
                                  "\"192.0.2.64 - 192.0.2.127\",\"code\":\"0x0000-0x0");
    expect_in(code(" 20"), "it is never reached: rule 10 has all of its packets");
    expect_in(code(""), "0x0000  -                                    source address: which "
                        "interval, step 1 of 1\n");
    expect_in(code(""), "bounds of intervals\n");
    expect_in(code(""), "what the interval leads to\n");
    stop();
}

TEST(filter_code_of_rows_tells_the_bit_of_a_rule)
{
    start();
    say("ip filter jit on sse2");
    for (unsigned i = 0; i < 20; i++) {
        char line[80];
        text_format(line, sizeof(line), "ip filter %u drop src 10.0.%u.0/24 dport %u-%u", i + 1, i,
                    i * 10, i * 10 + 5);
        say(line);
    }
    say("ip filter 30 drop proto tcp flags S!A in eth0");
    const char *answer = code(" 5 | json");
    expect_in(answer, "\"kind\":\"rows sse2\"");
    expect_in(answer, "\"source address\",\"values\":\"10.0.4.0 - 10.0.4.255\"");
    expect_in(answer, "\"destination port\",\"values\":\"40 - 45\"");
    expect_in(answer, "\"TCP flags\",\"values\":\"any\"");
    expect_in(answer, "\"row of rules\",\"values\":\"bit 4\"");
    answer = code(" 30 | json");
    expect_in(answer, "\"source address\",\"values\":\"any\"");
    expect_in(answer, "\"protocol\",\"values\":\"tcp\"");
    expect_in(answer, "\"TCP flags\",\"values\":\"S!A\"");
    expect_in(answer, "\"way in\",\"values\":\"eth0\"");
    answer = code("");
    expect_in(answer, "packet 3: the rules that all its fields leave\n");
    expect_in(answer, "packet 3: the first of these rules\n");
    expect_in(answer, "the rule of that bit\n");
    stop();
}

/* How fast a machine is, is no test; that all is measured and told is one. */
TEST(filter_code_is_measured_part_by_part)
{
    start();
    say("ip filter jit on sse2");
    say("ip filter 10 drop proto udp src 192.0.2.0/24");
    say("ip filter 20 drop proto tcp out eth1");
    const char *answer = code(" cost | json");
    expect_in(answer, "{\"arriving\":{\"kind\":\"linear sse2\",");
    expect_in(answer, "\"cycles\":");
    expect_in(answer, "\"measured\":\"here and now, on 64 packets that were made up: ");
    expect_in(answer, "\"parts\":[{\"at\":\"0x0000\",\"bytes\":");
    expect_in(answer, "\"cycles\":null,\"what\":\"back to the receive path\"}]},\"leaving\":{");
    expect_in(answer, "\"what\":\"our own packets: pass\"}");
    answer = code(" 20 cost | json");
    expect_in(answer, ",\"what\":\"rule 20: drop proto tcp out eth1\"}]},\"leaving\":{");
    EXPECT(strstr(answer, "rule 10") == NULL);
    /* Of tables, all that looks at them. */
    say("no ip filter 20");
    say("ip filter 10 drop src 192.0.2.0/24");
    answer = code(" 10 cost | json");
    expect_in(answer, "\"entries\":[{\"looked_up\":\"source address\",");
    expect_in(answer, "\"what\":\"source address: which interval, step 1 of 1\"}");
    stop();
}

TEST(filter_code_says_where_the_interpreter_decides)
{
    start();
    expect_in(code(" | json"),
              "{\"arriving\":{\"kind\":\"interpreter\",\"why\":\"there are no filters\"}}");
    say("ip filter 10 drop src 192.0.2.0/24");
    say("ip filter jit off");
    expect_in(code(" cost | json"), "{\"arriving\":{\"kind\":\"interpreter\",\"why\":\"filters are "
                                    "read one by one, as was told: jit off\"}}");
    /* Of one moment alone: there were too many for the compiler, say. */
    say("ip filter jit on");
    say("ip filter 20 drop out eth1");
    struct filter *filter = (struct filter *)lab.router->filters[FAMILY_IPV4];
    jit_filter_destroy(filter->compiled[FILTER_LEAVING]);
    filter->compiled[FILTER_LEAVING] = NULL;
    expect_in(code(" | json"),
              "}]},\"leaving\":{\"kind\":\"interpreter\",\"why\":\"filters are read "
              "one by one: they are too many, or too different, for the compiler\"}}");
    stop();
}

TEST(filter6_code_speaks_of_its_addresses_in_words)
{
    start();
    say("ipv6 filter jit on sse2");
    say("ipv6 filter 10 reject dst 2001:db8:7::/48 proto udp");
    say("ipv6 filter default drop");
    const char *answer = ask_in("show ipv6 filter code", 5000, 0);
    expect_in(answer, "rule 10: reject dst 2001:db8:7::/48 proto udp\n");
    expect_in(answer, "destination address, bits 0-31\n");
    expect_in(answer, "is 2001:db8\n");
    expect_in(answer, "from 7:0 on\n");
    expect_in(answer, "up to 7:ffff\n");
    expect_in(answer, "neighbor discovery: pass\n");
    stop();
}

/* Where addresses are looked up beforehand, what the code compares are places among all addresses
 * that are named, and bits: they are told as addresses and sets. */
TEST(filter6_code_tells_ranks_as_addresses_and_members_as_sets)
{
    start();
    say("ipv6 filter jit on sse2");
    say("ipv6 filter set bad 2001:db8:bad::/48");
    say("ipv6 filter set bad 2001:db8:bad:1::/64");
    say("ipv6 filter set good 2001:db8:600d::/48");
    say("ipv6 filter 10 drop src set bad proto udp");
    say("ipv6 filter 20 pass src 2001:db8:7::/48 dst set good");
    say("ipv6 filter 30 drop src 2001:db8:7::/49 dport 1-99");
    say("ipv6 filter 40 drop src 2001:db8::/32 dport 22");
    const char *answer = ask_in("show ipv6 filter code", 5000, 0);
    expect_in(answer, "\n  kind              linear sse2\n");
    expect_in(answer,
              " bytes of tables, that find the places of addresses among all that are named");
    expect_in(answer, "source address, in sets\n");
    expect_in(answer, "of those sets\n");
    expect_in(answer, "are bad\n");
    expect_in(answer, "destination address, in sets\n");
    expect_in(answer, "are good\n");
    expect_in(answer, "is 2001:db8:7:: - 2001:db8:7:7fff:ffff:ffff:ffff:ffff\n");
    expect_in(answer, "from 2001:db8:7:: on\n");
    expect_in(answer, "up to 2001:db8:7:ffff:ffff:ffff:ffff:ffff\n");
    for (unsigned i = 50; i < 70; i++) {
        char line[80];
        text_format(line, sizeof(line), "ipv6 filter %u drop src 2001:db8:%x::/48 dport %u", i, i,
                    i);
        say(line);
    }
    answer = ask_in("show ipv6 filter code 50 | json", 5000, 0);
    expect_in(answer, "{\"looked_up\":\"source address\",\"values\":\"2001:db8:32:: - "
                      "2001:db8:32:ffff:ffff:ffff:ffff:ffff\"");
    answer = ask_in("show ipv6 filter code 10 | json", 5000, 0);
    expect_in(answer, "{\"looked_up\":\"source address, in sets\",\"values\":\"bad\"");
    answer = ask_in("show ipv6 filter code 10 cost | json", 5000, 0);
    expect_in(answer, "\"cycles\":");
    stop();
}

TEST(filter6_code_of_addresses_tells_the_intervals_of_a_rule)
{
    start();
    ask_in("ipv6 filter 10 drop src 2001:db8:1:2::/64", 500, 200);
    ask_in("ipv6 filter 20 pass src 2001:db8::/32", 500, 200);
    ask_in("ipv6 filter 30 drop src 2001:db9::1/128", 500, 200);
    const char *answer = ask_in("show ipv6 filter code 20 | json", 5000, 0);
    expect_in(answer, "{\"looked_up\":\"source address\",\"values\":\"2001:db8:: - "
                      "2001:db8:1:1:ffff:ffff:ffff:ffff\",\"code\":\"0x0000-0x");
    expect_in(answer, "{\"looked_up\":\"source address\",\"values\":\"2001:db8:1:3:: - "
                      "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff\",");
    answer = ask_in("show ipv6 filter code 30 | json", 5000, 0);
    expect_in(answer, "\"values\":\"2001:db9::1 - 2001:db9::1\"");
    expect_in(ask_in("show ipv6 filter code", 5000, 0),
              "words 3 and 4 of the address, as one number\n");
    stop();
}

/* Sets are found before the rules are looked at, by code of its own. */
TEST(filter_code_before_that_of_the_rules_is_shown_and_measured)
{
    start();
    say("ip filter jit on sse2");
    say("ip filter set a 192.0.2.0/24");
    say("ip filter 10 drop src set a proto tcp");
    const char *answer = code("");
    EXPECT(strncmp(answer, "before_arriving:\n", 17) == 0);
    expect_in(answer, "what needs no search\n");
    expect_in(answer, "source address: which interval, step 1 of 1\n");
    expect_in(answer, "that is done\n");
    expect_in(answer, "\narriving:\n");
    expect_in(answer, "are a\n");
    expect_in(answer, "back to the receive path");
    answer = code(" 10 cost | json");
    expect_in(answer, "{\"arriving\":{\"kind\":\"linear sse2\",");
    expect_in(answer, "\"before_cycles\":");
    expect_in(answer, "\"parts\":[{\"at\":");
    stop();
}

/* A commit by somebody else comes between two slices. */
static void change_filters(void)
{
    struct commit_report report;

    EXPECT_EQUAL(control_renew_filters(lab.router, &report), OK);
    lab_step(&lab, 50);
}

TEST(filter_code_ends_when_the_filter_that_it_tells_of_goes)
{
    start();
    say("ip filter jit on sse2");
    say("ip filter 10 drop src 192.0.2.0/24");
    type("show ip filter code cost", 20);
    EXPECT(strstr(shown, "parts") == NULL);
    change_filters();
    expect_in(shown, "error: the filters have changed meanwhile");
    type("show ip filter code", 4);
    change_filters();
    expect_in(shown, "the filters have changed meanwhile; this is not all");
    EXPECT(strstr(shown, "back to the receive path") == NULL);
    stop();
}

TEST(filter_code_ends_at_ctrl_c)
{
    start();
    say("ip filter 10 drop src 192.0.2.0/24");
    type("show ip filter code cost", 20);
    typed = "\x03";
    lab_step(&lab, 20);
    expect_in(shown, "error: not measured to the end");
    expect_in(code(""), "back to the receive path");
    stop();
}
