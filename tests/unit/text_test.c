/* Formatting against the C library's snprintf, over all combinations of flags, widths, precisions
 * and sizes, into buffers of all lengths. Address formats and readers by cases. */
#include "kernel/base/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "kernel/base/random.h"
#include "tests/unit/test.h"

/* The formats below are built at run time. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
/* And some contradict themselves on purpose: "%+ -05d". */
#pragma GCC diagnostic ignored "-Wformat"

static const char *const flag_sets[] = { "",   "-",  "+",  " ",  "#",  "0",
                                         "-0", "+0", " 0", "#0", "+-", "#-0+ " };
static const char *const widths[] = { "", "1", "5", "12", "30" };
static const char *const precisions[] = { "", ".", ".0", ".1", ".7", ".25" };

static void expect_same(const char *format, const char *ours, size_t our_length, const char *theirs,
                        int their_length)
{
    if (our_length != (size_t)their_length || strcmp(ours, theirs) != 0)
        test_fail(__FILE__, __LINE__, "\"%s\" gives \"%s\" (%zu), expected \"%s\" (%d)", format,
                  ours, our_length, theirs, their_length);
}

#define COMPARE(format, value) \
    do { \
        char ours[64], theirs[64]; \
        size_t our_length = text_format(ours, sizeof(ours), (format), (value)); \
        int their_length = snprintf(theirs, sizeof(theirs), (format), (value)); \
        expect_same((format), ours, our_length, theirs, their_length); \
    } while (0)

static void compare_values(const char *format, const char *size, char letter)
{
    static const long long values[] = { 0,         1,         -1,        9,        10,     127,
                                        128,       255,       256,       999,      -32768, 65535,
                                        INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN };
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        if (letter == 's')
            COMPARE(format, "a word");
        else if (letter == 'c')
            COMPARE(format, 'x');
        else if (letter == 'p')
            COMPARE(format, (void *)(uintptr_t)values[i]);
        else if (size[0] == 'l' || size[0] == 'z')
            COMPARE(format, values[i]);
        else
            COMPARE(format, (int)values[i]);
    }
}

static void compare_sizes(const char *flags, const char *width, const char *precision)
{
    static const char *const sizes[] = { "", "hh", "h", "l", "ll", "z" };
    char format[48];
    for (const char *letter = "diuxXo"; *letter != '\0'; letter++) {
        for (unsigned s = 0; s < ARRAY_COUNT(sizes); s++) {
            snprintf(format, sizeof(format), "<%%%s%s%s%s%c>", flags, width, precision, sizes[s],
                     *letter);
            compare_values(format, sizes[s], *letter);
        }
    }
    for (const char *letter = "sc"; *letter != '\0'; letter++) {
        snprintf(format, sizeof(format), "<%%%s%s%s%c>", strchr(flags, '-') ? "-" : "", width,
                 *letter == 's' ? precision : "", *letter);
        compare_values(format, "", *letter);
    }
}

TEST(text_formats_as_the_c_library_does)
{
    for (unsigned f = 0; f < ARRAY_COUNT(flag_sets); f++) {
        for (unsigned w = 0; w < ARRAY_COUNT(widths); w++) {
            for (unsigned p = 0; p < ARRAY_COUNT(precisions); p++)
                compare_sizes(flag_sets[f], widths[w], precisions[p]);
        }
    }
}

TEST(text_formats_pointers_as_the_c_library_does)
{
    static const char *const formats[] = { "%p", "<%20p>", "<%-20p>", "%p, plain" };
    for (unsigned i = 0; i < ARRAY_COUNT(formats); i++)
        compare_values(formats[i], "", 'p');
}

TEST(text_takes_width_and_precision_from_arguments)
{
    char ours[64], theirs[64];
    for (int width = -12; width <= 12; width++) {
        for (int precision = -3; precision <= 12; precision++) {
            size_t length = text_format(ours, sizeof(ours), "<%*.*d|%.*s>", width, precision, -345,
                                        precision, "some words");
            int expected = snprintf(theirs, sizeof(theirs), "<%*.*d|%.*s>", width, precision, -345,
                                    precision, "some words");
            expect_same("*", ours, length, theirs, expected);
        }
    }
}

TEST(text_cuts_what_does_not_fit)
{
    char ours[40], theirs[40];
    for (size_t size = 0; size < sizeof(ours); size++) {
        memset(ours, '#', sizeof(ours));
        memset(theirs, '#', sizeof(theirs));
        size_t length = text_format(ours, size, "%s: %5u packets, %08x", "eth0", 42u, 0xbeefu);
        int expected = snprintf(theirs, size, "%s: %5u packets, %08x", "eth0", 42u, 0xbeefu);
        EXPECT_EQUAL(length, expected);
        EXPECT(memcmp(ours, theirs, sizeof(ours)) == 0); /* not a byte behind it was touched */
    }
}

TEST(text_grows_and_says_when_it_was_cut)
{
    char buffer[8];
    struct text text = text_of(buffer, sizeof(buffer));
    text_print(&text, "%s", "abc");
    text_put(&text, "de", 2);
    EXPECT_TEXT(buffer, "abcde");
    EXPECT(!text.cut);
    text_print(&text, "%d", 12);
    EXPECT(!text.cut);
    text_print(&text, "%5d", 3);
    EXPECT_TEXT(buffer, "abcde12");
    EXPECT(text.cut);
    EXPECT_EQUAL(text.length, 7);
    EXPECT_EQUAL(text.wanted, 12);
}

TEST(text_survives_huge_widths)
{
    char buffer[16];
    EXPECT_EQUAL(text_format(buffer, sizeof(buffer), "%2000000000d", 1), 2000000000);
    EXPECT_TEXT(buffer, "               ");
    EXPECT_EQUAL(text_format(buffer, sizeof(buffer), "%.2000000000d", 1), 2000000000);
    EXPECT_TEXT(buffer, "000000000000000");
}

static void expect_format(const char *format, const void *bytes, const char *expected)
{
    char buffer[64];
    size_t length = text_format(buffer, sizeof(buffer), format, bytes);
    EXPECT_TEXT(buffer, expected);
    EXPECT_EQUAL(length, strlen(expected));
}

TEST(text_prints_addresses)
{
    expect_format("%pI4", (uint8_t[]){ 192, 0, 2, 1 }, "192.0.2.1");
    expect_format("%pI4", (uint8_t[]){ 0, 0, 0, 0 }, "0.0.0.0");
    expect_format("%pI4/24", (uint8_t[]){ 255, 255, 255, 255 }, "255.255.255.255/24");
    expect_format("<%12pI4>", (uint8_t[]){ 10, 0, 0, 1 }, "<    10.0.0.1>");
    expect_format("<%-12pI4>", (uint8_t[]){ 10, 0, 0, 1 }, "<10.0.0.1    >");
    expect_format("%pM", (uint8_t[]){ 2, 0, 0xab, 0xcd, 0xef, 9 }, "02:00:ab:cd:ef:09");
    expect_format("%pMs", (uint8_t[]){ 2, 0, 0xab, 0xcd, 0xef, 9 }, "02:00:ab:cd:ef:09s");
}

/* Fields of 16 bits, as numbers. */
static void expect_ipv6(const uint16_t fields[8], const char *expected)
{
    uint8_t bytes[16];
    for (unsigned i = 0; i < 8; i++) {
        bytes[2 * i] = (uint8_t)(fields[i] >> 8);
        bytes[2 * i + 1] = (uint8_t)fields[i];
    }
    expect_format("%pI6", bytes, expected);
}

TEST(text_prints_ipv6_as_rfc_5952_says)
{
    expect_ipv6((uint16_t[]){ 0, 0, 0, 0, 0, 0, 0, 0 }, "::");
    expect_ipv6((uint16_t[]){ 0, 0, 0, 0, 0, 0, 0, 1 }, "::1");
    expect_ipv6((uint16_t[]){ 1, 0, 0, 0, 0, 0, 0, 0 }, "1::");
    expect_ipv6((uint16_t[]){ 0x2001, 0xdb8, 0, 0, 0, 0, 2, 1 }, "2001:db8::2:1");
    /* 4.2.2: one zero field is not shortened. */
    expect_ipv6((uint16_t[]){ 0x2001, 0xdb8, 0, 1, 1, 1, 1, 1 }, "2001:db8:0:1:1:1:1:1");
    /* 4.2.3: the longest run, and of two the first. */
    expect_ipv6((uint16_t[]){ 0x2001, 0, 0, 1, 0, 0, 0, 1 }, "2001:0:0:1::1");
    expect_ipv6((uint16_t[]){ 0x2001, 0xdb8, 0, 0, 1, 0, 0, 1 }, "2001:db8::1:0:0:1");
    expect_ipv6((uint16_t[]){ 0, 0, 1, 2, 3, 4, 0, 0 }, "::1:2:3:4:0:0");
    expect_ipv6((uint16_t[]){ 1, 2, 3, 4, 5, 6, 0, 0 }, "1:2:3:4:5:6::");
    expect_ipv6((uint16_t[]){ 0xffff, 0xfff, 0xff, 0xf, 1, 2, 3, 4 }, "ffff:fff:ff:f:1:2:3:4");
    expect_ipv6((uint16_t[]){ 0, 0, 0, 0, 0, 0xffff, 0xc000, 0x201 }, "::ffff:192.0.2.1");
}

TEST(text_prints_missing_strings_and_unknown_letters)
{
    char buffer[32];
    const char *volatile missing = NULL;
    text_format(buffer, sizeof(buffer), "%s", missing);
    EXPECT_TEXT(buffer, "(null)");
    text_format(buffer, sizeof(buffer), "100%%");
    EXPECT_TEXT(buffer, "100%");
    const char *unknown = "a%kb", *alone = "50%";
    text_format(buffer, sizeof(buffer), unknown);
    EXPECT_TEXT(buffer, "a%kb");
    text_format(buffer, sizeof(buffer), alone);
    EXPECT_TEXT(buffer, "50");
}

static void expect_number(const char *text, uint64_t maximum, bool good, uint64_t expected)
{
    uint64_t value = 7777;
    EXPECT_EQUAL(text_to_u64(text, strlen(text), maximum, &value), good);
    EXPECT_EQUAL(value, good ? expected : 7777);
}

TEST(text_reads_numbers)
{
    expect_number("0", UINT64_MAX, true, 0);
    expect_number("007", UINT64_MAX, true, 7);
    expect_number("18446744073709551615", UINT64_MAX, true, UINT64_MAX);
    expect_number("18446744073709551616", UINT64_MAX, false, 0);
    expect_number("18446744073709551620", UINT64_MAX, false, 0);
    expect_number("99999999999999999999999", UINT64_MAX, false, 0);
    expect_number("255", 255, true, 255);
    expect_number("256", 255, false, 0);
    expect_number("", 255, false, 0);
    expect_number("-1", UINT64_MAX, false, 0);
    expect_number("+1", UINT64_MAX, false, 0);
    expect_number(" 1", UINT64_MAX, false, 0);
    expect_number("1 ", UINT64_MAX, false, 0);
    expect_number("0x10", UINT64_MAX, false, 0);
}

static void expect_ipv4(const char *text, bool good)
{
    uint32_t address_be = 0;
    char printed[16];
    EXPECT_EQUAL(text_to_ipv4(text, strlen(text), &address_be), good);
    if (good) {
        text_format(printed, sizeof(printed), "%pI4", (const void *)&address_be);
        EXPECT_TEXT(printed, text);
    }
}

TEST(text_reads_ipv4_addresses)
{
    static const char *const good[] = { "0.0.0.0", "255.255.255.255", "10.0.200.1", "1.2.3.4" };
    static const char *const bad[] = { "",           ".",          "1.2.3",     "1.2.3.",
                                       "1.2.3.4.",   "1.2.3.4.5",  "256.1.1.1", "1.2.3.256",
                                       "01.2.3.4",   "1.2.3.00",   "1..3.4",    "1.2.3.4/24",
                                       " 1.2.3.4",   "1.2.3.4 ",   "1.2.3.a",   "-1.2.3.4",
                                       "1.2.3.0004", "1111.2.3.4", "1.2.3.4\n", "1,2,3,4" };
    for (unsigned i = 0; i < ARRAY_COUNT(good); i++)
        expect_ipv4(good[i], true);
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        expect_ipv4(bad[i], false);
    uint32_t address_be;
    EXPECT(text_to_ipv4("1.2.3.45", 7, &address_be)); /* only as far as it was told */
    EXPECT(memcmp(&address_be, (uint8_t[]){ 1, 2, 3, 4 }, 4) == 0);
}

static bool expect_ipv6_as_the_c_library(const char *text)
{
    uint8_t address[16], expected[16];
    bool good = inet_pton(AF_INET6, text, expected) == 1;
    memset(address, 0xa5, sizeof(address));
    if (text_to_ipv6(text, strlen(text), address) != good)
        test_fail(__FILE__, __LINE__, "\"%s\" is %s", text, good ? "good" : "bad");
    if (good)
        EXPECT(memcmp(address, expected, sizeof(address)) == 0);
    else
        EXPECT_EQUAL(address[0], 0xa5); /* untouched */
    return good;
}

TEST(text_reads_ipv6_addresses)
{
    static const char *const good[] = { "::",
                                        "::1",
                                        "1::",
                                        "2001:DB8::a:0:1",
                                        "1:2:3:4:5:6:7:8",
                                        "1:2:3:4:5:6:7::",
                                        "::2:3:4:5:6:7:8",
                                        "1:2:3::5:6:7:8",
                                        "::ffff:192.0.2.1",
                                        "1:2:3:4:5:6:1.2.3.4",
                                        "1:2:3:4:5::1.2.3.4",
                                        "::1.2.3.4",
                                        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255" };
    static const char *const bad[] = { "",
                                       ":",
                                       ":::",
                                       "1",
                                       "1:",
                                       ":1",
                                       "1::2::3",
                                       "1:::2",
                                       "1:2:3:4:5:6:7",
                                       "1:2:3:4:5:6:7:8:9",
                                       "1:2:3:4:5:6:7:8::",
                                       "::1:2:3:4:5:6:7:8",
                                       "1:2:3:4:5:6:7:8:",
                                       "1:2:3:4::5:6:7:8",
                                       "12345::",
                                       "00001::",
                                       "g::",
                                       "::%eth0",
                                       "::1/128",
                                       " ::",
                                       ":: ",
                                       "1.2.3.4",
                                       "1.2.3.4::",
                                       "::1.2.3",
                                       "::1.2.3.4.5",
                                       "::1.2.3.256",
                                       "::01.2.3.4",
                                       "::1.2.3.4:5",
                                       "1:2:3:4:5:6:7:1.2.3.4",
                                       "1:2:3:4:5:6::1.2.3.4",
                                       "1:2:3:4:5:1.2.3.4" };
    uint8_t address[16];
    for (unsigned i = 0; i < ARRAY_COUNT(good); i++) {
        EXPECT(text_to_ipv6(good[i], strlen(good[i]), address));
        expect_ipv6_as_the_c_library(good[i]);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        EXPECT(!text_to_ipv6(bad[i], strlen(bad[i]), address));
        expect_ipv6_as_the_c_library(bad[i]);
    }
    EXPECT(text_to_ipv6("::12", 3, address)); /* only as far as it was told */
    EXPECT_EQUAL(address[15], 1);
}

/* Pieces in any order: most are bad, and some of each kind good. */
TEST(text_reads_ipv6_addresses_as_the_c_library_does)
{
    static const char *const pieces[] = { ":", ":", ":", ":", "::", "0", "a1", "FfFf", "1.2.3.4" };
    uint64_t random_state = 6;
    unsigned good_count = 0;
    for (unsigned round = 0; round < 200000; round++) {
        char text[128] = "";
        unsigned count = (unsigned)random_below(&random_state, 17);
        for (unsigned i = 0; i < count; i++)
            strcat(text, i % 2 ? ":" : pieces[random_below(&random_state, ARRAY_COUNT(pieces))]);
        if (round % 2 && count > 0)
            text[random_below(&random_state, strlen(text))] = ':';
        good_count += expect_ipv6_as_the_c_library(text);
    }
    EXPECT(good_count > 10000);
}

TEST(text_reads_mac_addresses)
{
    uint8_t mac[6];
    static const uint8_t expected[6] = { 0x02, 0xab, 0xCD, 0xef, 0x01, 0x99 };
    EXPECT(text_to_mac("02:ab:CD:ef:01:99", 17, mac));
    EXPECT(memcmp(mac, expected, sizeof(mac)) == 0);
    static const char *const bad[] = { "",
                                       "02:ab:CD:ef:01:9",
                                       "02:ab:CD:ef:01:999",
                                       "02:ab:CD:ef:01-99",
                                       "02:ab:CD:ef:0g:99",
                                       "g2:ab:CD:ef:00:99",
                                       "2:ab:CD:ef:001:99" };
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        EXPECT(!text_to_mac(bad[i], strlen(bad[i]), mac));
}
