/* Whole conversations with a console, byte by byte as a terminal would see them (CR left out). */
#include "tests/unit/shell_fixture.h"

TEST(session_prints_its_prompt_unasked)
{
    struct shell_fixture *fixture = fixture_create();
    EXPECT_TEXT(fixture->shown, "tsuji# ");
    fixture_destroy(fixture);
}

TEST(session_transcript_of_a_first_configuration)
{
    struct shell_fixture *fixture = fixture_create();
    EXPECT_TEXT(fixture_type(fixture, "system name edge\r"), "system name edge\nedge# ");
    EXPECT_TEXT(fixture_type(fixture, "ip eth0 address 192.0.2.1/24\r"),
                "ip eth0 address 192.0.2.1/24\nedge# ");
    EXPECT_TEXT(fixture_type(fixture, "ip route default gateway 192.0.2.254\r"),
                "ip route default gateway 192.0.2.254\nedge# ");
    EXPECT_EQUAL(fixture->commits, 3);
    EXPECT_TEXT(fixture_ask(fixture, "sh conf"), "system name edge\n"
                                                 "ip eth0 address 192.0.2.1/24\n"
                                                 "ip route default gateway 192.0.2.254\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration | match route | count"), "1\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration ip eth0"),
                "ip eth0 address 192.0.2.1/24\n");
    EXPECT_TEXT(fixture_type(fixture, "no system name\r"), "no system name\ntsuji# ");
    EXPECT_TEXT(fixture_ask(fixture, "no system name"), "error: there is no such statement\n");
    fixture_destroy(fixture);
}

TEST(session_transcript_of_a_candidate)
{
    struct shell_fixture *fixture = fixture_create();
    EXPECT_TEXT(fixture_type(fixture, "configure\r"), "configure\ntsuji(config)# ");
    EXPECT_TEXT(fixture_type(fixture, "interface eth1 down\r"),
                "interface eth1 down\ntsuji(config)*# ");
    EXPECT_EQUAL(fixture->commits, 0);
    EXPECT_TEXT(fixture_ask(fixture, "compare"), "+ interface eth1 down\n");
    EXPECT_TEXT(fixture_ask(fixture, "do show candidate"), "interface eth1 down\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration"), "");
    EXPECT_TEXT(fixture_ask(fixture, "exit"),
                "error: the candidate has changes: `commit` or `discard` them first\n");
    EXPECT_TEXT(fixture_ask(fixture, "commit check"), "the candidate is good\n");
    EXPECT_TEXT(
        fixture_type(fixture, "commit\r"),
        "commit\ncommit complete: 1 line changed, 0.0 ms (check 0.0, prepare 0.0, swap 0.0)\n"
        "tsuji(config)# ");
    EXPECT_TEXT(fixture_type(fixture, "\x1a"), "\ntsuji# ");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration"), "interface eth1 down\n");
    EXPECT_TEXT(fixture_ask(fixture, "commit"),
                "error: there is no candidate: `configure` makes one\n");
    fixture_destroy(fixture);
}

TEST(session_discards_a_candidate)
{
    struct shell_fixture *fixture = fixture_create();
    fixture_type(fixture, "configure\rinterface eth1 down\rinterface eth0 mtu 1400\r");
    EXPECT_TEXT(fixture_type(fixture, "discard\r"), "discard\ntsuji(config)# ");
    EXPECT_TEXT(fixture_ask(fixture, "show candidate"), "");
    EXPECT_TEXT(fixture_type(fixture, "exit\r"), "exit\ntsuji# ");
    EXPECT_EQUAL(fixture->commits, 0);
    fixture_destroy(fixture);
}

TEST(session_refuses_a_commit_after_somebody_elses)
{
    struct shell_fixture *fixture = fixture_create();
    fixture_type(fixture, "configure\rinterface eth1 down\r");
    struct problem problem;
    EXPECT(shell_load(fixture->shell, "system name other\n", 18, &problem) == OK);
    EXPECT(strstr(fixture_ask(fixture, "commit"), "error: the configuration has changed") != NULL);
    EXPECT_EQUAL(fixture->commits, 1);
    fixture_destroy(fixture);
}

TEST(session_points_at_what_is_wrong)
{
    struct shell_fixture *fixture = fixture_create();
    EXPECT_TEXT(fixture_ask(fixture, "interfcae eth0 down"),
                "       ^\nerror: unknown command \"interfcae\", did you mean \"interface\"\n");
    EXPECT_TEXT(fixture_ask(fixture, "interface eth0 mtu 99999"),
                "                          ^\nerror: must be a number from 576 to 9216\n");
    EXPECT_TEXT(fixture_ask(fixture, "ip route 10.0.0.1/8 blackhole"),
                "                ^\nerror: host bits are set, did you mean 10.0.0.0/8\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration | match a(b"),
                "                                     ^\nerror: ( without )\n");
    EXPECT_TEXT(fixture_ask(fixture, "ip eth0"),
                "              ^\nerror: incomplete, expected address\n");
    EXPECT_TEXT(fixture_ask(fixture, "ip eth0 address 10.1.0.255/24"),
                "                       ^\nerror: no host has that address: it is the network's, a "
                "broadcast or multicast one\n");
    EXPECT_TEXT(fixture_ask(fixture, "interface eth0 mac 02-00-00-00-00-01"),
                "                          ^\nerror: expected MAC address, like "
                "52:54:00:12:34:56\n");
    EXPECT_TEXT(fixture_ask(fixture, "co"),
                "       ^\nerror: \"co\" may be configure, commit, compare\n");
    fixture_destroy(fixture);
}

TEST(session_answers_in_json_lines)
{
    struct shell_fixture *fixture = fixture_create();
    host_clock_virtual(0);
    fixture_type(fixture, "terminal format json\r");
    EXPECT_TEXT(fixture_ask(fixture, "interface eth0 down"),
                "{\"ok\":true,\"data\":{},\"ms\":0.0}\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration"),
                "{\"ok\":true,\"data\":{\"lines\":[\"interface eth0 down\"]},\"ms\":0.0}\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration | except eth0"),
                "{\"ok\":true,\"data\":{\"lines\":[]},\"ms\":0.0}\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration | count"),
                "{\"ok\":true,\"data\":{\"lines\":[\"1\"]},\"ms\":0.0}\n");
    EXPECT_TEXT(fixture_ask(fixture, "bogus"),
                "{\"ok\":false,\"error\":{\"id\":\"unknown-command\",\"text\":\"unknown command "
                "\\\"bogus\\\"; ? lists all\",\"column\":1}}\n");
    EXPECT_TEXT(
        fixture_ask(fixture, "commit"),
        "{\"ok\":false,\"error\":{\"id\":\"no-candidate\",\"text\":\"there is no candidate: "
        "`configure` makes one\"}}\n");
    EXPECT_TEXT(fixture_ask(fixture, "terminal format text"),
                "{\"ok\":true,\"data\":{},\"ms\":0.0}\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration | json"),
                "{\"lines\":[\"interface eth0 down\"]}\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration | json | match eth"),
                "{\"lines\":[\"interface eth0 down\"]}\n");
    fixture_destroy(fixture);
}

TEST(session_loads_a_text_as_one_commit)
{
    struct shell_fixture *fixture = fixture_create();
    fixture_type(fixture, "interface eth1 down\r");
    EXPECT_TEXT(fixture_type(fixture, "load replace terminal\r# a comment?\rsystem name r1\r"
                                      "ip eth0 address 10.0.0.1/8\rend\r"),
                "load replace terminal\n"
                "a line `end` or Ctrl-D ends the text, Ctrl-C gives up\n# a comment?\nsystem name "
                "r1\nip eth0 address 10.0.0.1/8\n"
                "end\n"
                "commit complete: 1 line changed, 0.0 ms (check 0.0, prepare 0.0, swap 0.0)\nr1# ");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration"),
                "system name r1\nip eth0 address 10.0.0.1/8\n");
    fixture_type(fixture, "load merge terminal\nno system name\ninterface eth0 mtu 1400\n\x04");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration"),
                "interface eth0 mtu 1400\nip eth0 address 10.0.0.1/8\n");
    fixture_destroy(fixture);
}

TEST(session_names_the_bad_line_of_a_text_and_applies_nothing)
{
    struct shell_fixture *fixture = fixture_create();
    EXPECT(strstr(fixture_type(fixture, "load merge terminal\rsystem name r1\r\r"
                                        "ip eth0 address 10.0.0.256/8\r.\r"),
                  "error: line 3, column 17: ") != NULL);
    EXPECT_EQUAL(fixture->commits, 0);
    EXPECT(strstr(fixture_type(fixture, "load merge terminal\rsystem name r1\r\x03"),
                  "error: given up, nothing was loaded\ntsuji# ") != NULL);
    EXPECT_TEXT(fixture_ask(fixture, "show configuration"), "");
    fixture_destroy(fixture);
}

TEST(session_tells_why_a_commit_was_refused)
{
    struct shell_fixture *fixture = fixture_create();
    memcpy(fixture->refuse, "eth9 is not there", 18);
    EXPECT_TEXT(fixture_ask(fixture, "interface eth9 down"), "error: eth9 is not there\n");
    memcpy(fixture->refuse, "arp 10.0.0.1 eth9: no", 22);
    EXPECT_TEXT(fixture_ask(fixture, "arp 10.0.0.1 02:00:00:00:00:01 eth9"),
                "                                      ^\nerror: arp 10.0.0.1 eth9: no\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration"), "");
    fixture_destroy(fixture);
}

TEST(session_tells_what_a_commit_has_noted)
{
    struct shell_fixture *fixture = fixture_create();
    memcpy(fixture->note, "that is \"odd\"", 14);
    EXPECT_TEXT(fixture_ask(fixture, "interface eth0 down"), "note: that is \"odd\"\n");
    fixture_type(fixture, "configure\rinterface eth0 up\r");
    EXPECT(strstr(fixture_type(fixture, "commit\r"), "\nnote                that is \"odd\"\n"));
    fixture_type(fixture, "exit\rterminal format json\r");
    EXPECT(strstr(fixture_ask(fixture, "interface eth0 down"),
                  "{\"ok\":true,\"data\":{\"note\":\"that is \\\"odd\\\"\"},\"ms\":"));
    fixture->note[0] = '\0';
    EXPECT(strstr(fixture_ask(fixture, "interface eth0 up"), "{\"ok\":true,\"data\":{},\"ms\":"));
    fixture_destroy(fixture);
}

TEST(session_pages_on_a_screen_only)
{
    struct shell_fixture *fixture = fixture_create();
    for (unsigned i = 1; i <= 9; i++) {
        char line[] = "arp 10.0.0.1 02:00:00:00:00:01 eth0\r";
        line[11] = (char)('0' + i);
        fixture_type(fixture, line);
    }
    fixture_type(fixture, "terminal length 4\r");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration"),
                "arp 10.0.0.1 02:00:00:00:00:01 eth0\narp 10.0.0.2 02:00:00:00:00:01 eth0\n"
                "arp 10.0.0.3 02:00:00:00:00:01 eth0\n");
    EXPECT_TEXT(fixture_type(fixture, "\r"),
                "\033[Karp 10.0.0.4 02:00:00:00:00:01 eth0\n--More-- ");
    EXPECT(strstr(fixture_type(fixture, " "), "arp 10.0.0.7") != NULL);
    EXPECT_TEXT(fixture_type(fixture, "q"), "\033[Ktsuji# ");
    EXPECT(strstr(fixture_ask(fixture, "show configuration | no-more"), "10.0.0.9") != NULL);
    fixture_destroy(fixture);
}

TEST(session_helps_at_that_point)
{
    struct shell_fixture *fixture = fixture_create();
    EXPECT_TEXT(fixture_type(fixture, "ip eth0 address ?"),
                "ip eth0 address \n"
                "  <address>               IPv4 address in its network, like 192.0.2.1/24\n"
                "tsuji# ip eth0 address ");
    EXPECT_TEXT(fixture_type(fixture, "10.0.0.1/8 ?"),
                "10.0.0.1/8 \n"
                "  secondary               another address of the same network\n"
                "  <enter>                 an address of an interface\n"
                "tsuji# ip eth0 address 10.0.0.1/8 ");
    fixture_type(fixture, "\x15");
    EXPECT_TEXT(fixture_type(fixture, "interface eth0 ?"),
                "interface eth0 \n"
                "  down                    out of service\n"
                "  mac                     an address other than the card's own\n"
                "  mtu                     the longest packet to send\n"
                "  up                      in service\n"
                "tsuji# interface eth0 ");
    fixture_type(fixture, "\x15");
    EXPECT_TEXT(fixture_type(fixture, "show conf | n?"),
                "show conf | n\n"
                "  no-more                 without stopping at each page\n"
                "tsuji# show conf | n");
    fixture_type(fixture, "\x15");
    EXPECT_TEXT(fixture_type(fixture, "show conf | m?"),
                "show conf | m\n"
                "  match                   lines that match a regular expression\n"
                "tsuji# show conf | m");
    fixture_destroy(fixture);
}

TEST(session_completes_words_and_interfaces)
{
    struct shell_fixture *fixture = fixture_create();
    EXPECT_TEXT(fixture_type(fixture, "sh\tcon\t"), "show configuration ");
    EXPECT_TEXT(fixture_type(fixture, "\x03"), "^C\ntsuji# ");
    EXPECT_TEXT(fixture_type(fixture, "interface e\t\t"),
                "interface eth\neth0  eth1\ntsuji# interface eth");
    EXPECT_TEXT(fixture_type(fixture, "1 d\t"), "1 down ");
    fixture_type(fixture, "\x15terminal width 40\r");
    EXPECT(strstr(fixture_type(fixture, "\t"), "commit  compare  configure\ndiscard") != NULL);
    EXPECT_TEXT(fixture_type(fixture, "x\t"), "x\a");
    fixture_destroy(fixture);
}

TEST(session_asks_for_a_login_where_it_must)
{
    struct shell_fixture *fixture = fixture_create();
    EXPECT(strstr(fixture_ask(fixture, "system console com1 login on"), "error: ") != NULL);
    EXPECT_TEXT(fixture_ask(fixture, "system login bob password s3cret"), "");
    EXPECT_TEXT(fixture_ask(fixture, "system login eve password look role view"), "");
    EXPECT_TEXT(fixture_ask(fixture, "system console com1 login on"), "");
    EXPECT(strstr(fixture_ask(fixture, "history"), "s3cret") == NULL);
    EXPECT(strstr(fixture_ask(fixture, "show configuration"), "s3cret") == NULL);
    EXPECT_TEXT(fixture_type(fixture, "exit\r"), "exit\ntsuji login: ");
    EXPECT_TEXT(fixture_type(fixture, "bob\rs3cret\r"), "bob\npassword: \ntsuji# ");
    fixture_type(fixture, "exit\r");
    EXPECT_TEXT(fixture_type(fixture, "eve\rlook\r"), "eve\npassword: \ntsuji> ");
    EXPECT_TEXT(fixture_ask(fixture, "interface eth0 down"), "error: your login may not do that\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration system login"),
                "system login bob password *** role admin\n"
                "system login eve password *** role view\n");
    EXPECT_TEXT(fixture_ask(fixture, "show configuration system login bob password $s$"), "");
    fixture_type(fixture, "exit\r");
    EXPECT_TEXT(fixture_type(fixture, "mallory\rguess\r"),
                "mallory\npassword: \nerror: login incorrect\ntsuji login: ");
    fixture->now_ns += 3ull * NS_PER_S;
    EXPECT_TEXT(fixture_type(fixture, "bob\rs3cret\r"), "bob\npassword: \ntsuji# ");
    fixture_destroy(fixture);
}

TEST(session_leaves_nothing_to_who_logs_in_next)
{
    struct shell_fixture *fixture = fixture_create();
    fixture_type(fixture, "system login bob password pw1\rsystem login eve password pw2 role view\r"
                          "system console com1 login on\rsystem login x pasword mistyped\r"
                          "a secret\x15");
    fixture_type(fixture, "terminal format json\rexit\reve\rpw2\r");
    EXPECT(strstr(fixture_ask(fixture, "history"), "mistyped") == NULL);
    EXPECT_TEXT(fixture_type(fixture, "\x19"), "");
    fixture_destroy(fixture);
}

TEST(session_keeps_a_secret_through_show_and_load)
{
    struct shell_fixture *fixture = fixture_create();
    fixture_type(fixture, "system login bob password \"two words\"\r");
    char first[512], again[512];
    strcpy(first, fixture_ask(fixture, "show configuration"));
    fixture_type(fixture, "load replace terminal\r");
    fixture_type(fixture, first);
    fixture_type(fixture, "end\r");
    strcpy(again, fixture_ask(fixture, "show configuration"));
    EXPECT_TEXT(again, first);
    EXPECT(strstr(first, "system login bob password $s$1000$") == first);
    fixture_destroy(fixture);
}

TEST(session_refuses_a_line_that_is_too_long)
{
    struct shell_fixture *fixture = fixture_create();
    char line[LINE_BYTES_MAX + 100];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 2] = '\r';
    line[sizeof(line) - 1] = '\0';
    EXPECT(strstr(fixture_type(fixture, line), "error: a line has at most 1024 characters") !=
           NULL);
    EXPECT_TEXT(fixture_ask(fixture, "show configuration"), "");
    fixture_destroy(fixture);
}

TEST(session_refuses_a_line_that_lacks_letters)
{
    struct shell_fixture *fixture = fixture_create();
    EXPECT(strstr(fixture_type(fixture, "system name z\xc3\xbcrich\r"), "error: only ASCII") !=
           NULL);
    EXPECT(strstr(fixture_type(fixture, "load merge terminal\r# Z\xc3\xbcrich\rsystem name a\r"
                                        "system name z\xc3\xbcrich\rend\r"),
                  "error: line 3: only ASCII") != NULL);
    EXPECT_EQUAL(fixture->commits, 0);
    fixture_type(fixture, "\xc3\xbcx\x15system name b\r"); /* taken back as a whole */
    EXPECT_EQUAL(fixture->commits, 1);
    fixture_destroy(fixture);
}

TEST(session_survives_control_characters)
{
    struct shell_fixture *fixture = fixture_create();
    char all[512];
    for (unsigned i = 0; i < sizeof(all); i++)
        all[i] = (char)(i * 7);
    fixture_type_bytes(fixture, all, sizeof(all));
    fixture_type(fixture, "\x03\x03");
    EXPECT_TEXT(fixture_ask(fixture, "system name alive"), "");
    fixture_destroy(fixture);
}

TEST(session_works_on_a_terminal_that_takes_a_byte_at_a_time)
{
    struct shell_fixture *fixture = fixture_create();
    fixture->fussy = true;
    EXPECT_TEXT(fixture_type(fixture, "system name slow\rshow configuration\r"),
                "system name slow\nslow# show configuration\nsystem name slow\nslow# ");
    fixture_destroy(fixture);
}

/* With the N-th allocation failing, a command fails clearly or works; the configuration is the old
 * one or the new one. */
static void talk(struct shell_fixture *fixture)
{
    fixture_type(fixture, "system name r1\rconfigure\rinterface eth0 mtu 1400\rcompare\r"
                          "show candidate | last 3\rcommit\rexit\rno interface eth0\r"
                          "load merge terminal\rip route 10.0.0.0/8 blackhole\rend\r"
                          "show configuration | json\rshow commands | count\r\x03");
}

TEST(session_drops_the_rest_of_an_answer_at_ctrl_c)
{
    struct shell_fixture *fixture = fixture_create();
    fixture->fussy = true;
    const char *shown = fixture_type(fixture, "show commands\r\x03");
    EXPECT(strstr(shown, "^C\ntsuji# ") != NULL);
    EXPECT(fixture->shown_length < 500);
    fixture_destroy(fixture);
}

TEST(session_survives_failing_allocations)
{
    bool failed = true;
    for (uint64_t n = 0; failed; n++) {
        host_fail_allocation(n);
        struct shell_fixture *fixture = fixture_try_create(&fixture_commands);
        bool open = fixture && fixture->shell && fixture_open(fixture, CONSOLE_COM1, 0) == OK;
        if (open) {
            fixture_poll(fixture);
            talk(fixture);
            failed = host_allocation_count() > n;
            host_fail_allocation(UINT64_MAX);
            fixture_type(fixture, "discard\rexit\r");
            EXPECT_TEXT(fixture_ask(fixture, "system name alive"), "");
        }
        host_fail_allocation(UINT64_MAX);
        fixture_destroy(fixture);
    }
}
