/* The two printers of a record: the same calls, as text and as JSON. */
#include <stdio.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/platform.h"
#include "shell/record_printer.h"
#include "tests/unit/test.h"

static char printed[1 << 16];
static size_t printed_length;

static void put(void *context, const char *bytes, size_t length)
{
    (void)context;
    EXPECT(length < sizeof(printed) - printed_length);
    memcpy(printed + printed_length, bytes, length);
    printed_length += length;
    printed[printed_length] = '\0';
}

static const struct sink sink = { .put = put };

static const char *print(enum record_format format, void (*fill)(struct record *record))
{
    printed_length = 0;
    printed[0] = '\0';
    struct record *record = record_create(format, sink);
    EXPECT(record != NULL);
    fill(record);
    record_finish(record);
    record_destroy(record);
    return printed;
}

static void every_value(struct record *record)
{
    static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 0xab };
    struct address address = address_of_ipv4(__builtin_bswap32(0xc0000201));
    struct prefix prefix = prefix_of_ipv4(__builtin_bswap32(0x0a000000), 8);
    record_text(record, "word", "a \"b\"\\\n\x7f");
    record_u64(record, "number", 18446744073709551615u);
    record_decimal(record, "part", 12345, 3);
    record_decimal(record, "small_part", 5, 9);
    record_hex(record, "bits", 0x1f);
    record_bool(record, "yes_no", true);
    record_null(record, "nothing");
    record_address(record, "address", &address);
    record_prefix(record, "prefix", &prefix);
    record_mac(record, "mac", mac);
    record_seconds(record, "age_s", 75ull * NS_PER_S);
}

static int64_t unix_s;

static void the_time(struct record *record)
{
    record_time(record, "time", unix_s * (int64_t)NS_PER_S);
}

/* Around leap days, of which 2100 has none, and the last that fits. */
TEST(record_prints_utc)
{
    static const struct {
        int64_t unix_s;
        const char *text;
    } times[] = {
        { -5, "1970-01-01T00:00:00Z" },         { 0, "1970-01-01T00:00:00Z" },
        { 951782399, "2000-02-28T23:59:59Z" },  { 951782400, "2000-02-29T00:00:00Z" },
        { 1709251199, "2024-02-29T23:59:59Z" }, { 1709251200, "2024-03-01T00:00:00Z" },
        { 1735689599, "2024-12-31T23:59:59Z" }, { 1735689600, "2025-01-01T00:00:00Z" },
        { 4107542399, "2100-02-28T23:59:59Z" }, { 4107542400, "2100-03-01T00:00:00Z" },
        { 9223372035, "2262-04-11T23:47:15Z" },
    };
    char expected[64];
    for (unsigned i = 0; i < ARRAY_COUNT(times); i++) {
        unix_s = times[i].unix_s;
        snprintf(expected, sizeof(expected), "{\"time\":\"%s\"}", times[i].text);
        EXPECT_TEXT(print(RECORD_FORMAT_JSON, the_time), expected);
    }
}

TEST(record_prints_every_value)
{
    EXPECT_TEXT(print(RECORD_FORMAT_JSON, every_value),
                "{\"word\":\"a \\\"b\\\"\\\\\\n\\u007f\",\"number\":18446744073709551615,"
                "\"part\":12.345,\"small_part\":0.000000005,\"bits\":\"0x1f\",\"yes_no\":true,"
                "\"nothing\":null,\"address\":\"192.0.2.1\",\"prefix\":\"10.0.0.0/8\","
                "\"mac\":\"02:00:00:00:00:ab\",\"age_s\":75}");
    EXPECT_TEXT(print(RECORD_FORMAT_TEXT, every_value), "word                a \"b\"\\..\n"
                                                        "number              18446744073709551615\n"
                                                        "part                12.345\n"
                                                        "small part          0.000000005\n"
                                                        "bits                0x1f\n"
                                                        "yes no              yes\n"
                                                        "nothing             -\n"
                                                        "address             192.0.2.1\n"
                                                        "prefix              10.0.0.0/8\n"
                                                        "mac                 02:00:00:00:00:ab\n"
                                                        "age                 1m15s\n");
}

static void one_table(struct record *record)
{
    static const struct record_column columns[] = { { "name", RECORD_PLAIN },
                                                    { "hidden", RECORD_DETAIL },
                                                    { "addresses", RECORD_PLAIN },
                                                    { "rx_packets", RECORD_PLAIN } };
    record_table(record, "rows", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < 3; i++) {
        record_row(record);
        record_format(record, "name", "eth%u", i * 50);
        record_text(record, "hidden", "secret");
        record_list(record, "addresses");
        for (unsigned k = 0; k < i; k++)
            record_format(record, NULL, "a%u", k);
        record_end(record);
        if (i > 0)
            record_u64(record, "rx_packets", i * 1000);
    }
    record_end(record);
    record_u64(record, "total", 3);
}

TEST(record_aligns_a_table)
{
    EXPECT_TEXT(print(RECORD_FORMAT_TEXT, one_table), "name    addresses  rx packets\n"
                                                      "eth0    -                   -\n"
                                                      "eth50   a0               1000\n"
                                                      "eth100  a0 a1            2000\n"
                                                      "total               3\n");
    EXPECT_TEXT(print(RECORD_FORMAT_JSON, one_table),
                "{\"rows\":[{\"name\":\"eth0\",\"hidden\":\"secret\",\"addresses\":[]},"
                "{\"name\":\"eth50\",\"hidden\":\"secret\",\"addresses\":[\"a0\"],"
                "\"rx_packets\":1000},"
                "{\"name\":\"eth100\",\"hidden\":\"secret\",\"addresses\":[\"a0\",\"a1\"],"
                "\"rx_packets\":2000}],\"total\":3}");
}

static void nested(struct record *record)
{
    record_object(record, "heap");
    record_u64(record, "live", 1);
    record_object(record, "deeper");
    record_u64(record, "value", 2);
    record_end(record);
    record_end(record);
    record_list(record, "cores");
    record_u64(record, NULL, 0);
    record_u64(record, NULL, 1);
    record_end(record);
    record_lines(record, "lines");
    record_text(record, NULL, "ip eth0 address");
    record_text(record, NULL, "second line");
    record_end(record);
    record_blocks(record, "blocks");
    for (unsigned i = 0; i < 2; i++) {
        record_row(record);
        record_u64(record, "number", i);
    }
    record_end(record);
}

TEST(record_nests_objects_lists_lines_and_blocks)
{
    EXPECT_TEXT(print(RECORD_FORMAT_JSON, nested),
                "{\"heap\":{\"live\":1,\"deeper\":{\"value\":2}},\"cores\":[0,1],"
                "\"lines\":[\"ip eth0 address\",\"second line\"],"
                "\"blocks\":[{\"number\":0},{\"number\":1}]}");
    EXPECT_TEXT(print(RECORD_FORMAT_TEXT, nested), "heap:\n"
                                                   "  live              1\n"
                                                   "  deeper:\n"
                                                   "    value           2\n"
                                                   "cores               0 1\n"
                                                   "ip eth0 address\n"
                                                   "second line\n"
                                                   "\n"
                                                   "blocks:\n"
                                                   "number              0\n"
                                                   "\n"
                                                   "number              1\n");
}

static void nothing(struct record *record)
{
    (void)record;
}

static void message(struct record *record)
{
    record_message(record, "%u things", 3);
}

TEST(record_may_be_empty_or_one_sentence)
{
    EXPECT_TEXT(print(RECORD_FORMAT_JSON, nothing), "{}");
    EXPECT_TEXT(print(RECORD_FORMAT_TEXT, nothing), "");
    EXPECT_TEXT(print(RECORD_FORMAT_JSON, message), "{\"message\":\"3 things\"}");
    EXPECT_TEXT(print(RECORD_FORMAT_TEXT, message), "3 things\n");
}

static void cut_short(struct record *record)
{
    static const struct record_column columns[] = { { "a", RECORD_PLAIN } };
    record_table(record, "rows", columns, 1);
    record_row(record);
    record_u64(record, "a", 1);
}

TEST(record_is_closed_where_the_handler_stopped)
{
    EXPECT_TEXT(print(RECORD_FORMAT_JSON, cut_short), "{\"rows\":[{\"a\":1}]}");
    EXPECT_TEXT(print(RECORD_FORMAT_TEXT, cut_short), "a\n1\n");
}

/* More rows than are held back, and cells longer than any column: nothing is lost. */
static void long_table(struct record *record)
{
    static const struct record_column columns[] = { { "number", RECORD_PLAIN },
                                                    { "text", RECORD_PLAIN } };
    char long_text[1000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    record_table(record, "rows", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < 200; i++) {
        record_row(record);
        record_u64(record, "number", i);
        record_text(record, "text", i % 50 == 49 ? long_text : "short");
    }
    record_end(record);
}

TEST(record_streams_a_long_table)
{
    print(RECORD_FORMAT_TEXT, long_table);
    unsigned lines = 0;
    for (size_t i = 0; i < printed_length; i++)
        lines += printed[i] == '\n';
    EXPECT_EQUAL(lines, 201);
    EXPECT(strstr(printed, "\n     0  short\n") != NULL);
    EXPECT(strstr(printed, "\n   199  xxx") != NULL);
    print(RECORD_FORMAT_JSON, long_table);
    EXPECT(strstr(printed, "{\"number\":198,\"text\":\"short\"},{\"number\":199,") != NULL);
}
