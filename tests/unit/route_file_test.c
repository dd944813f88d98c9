/* Tables of routes as text: every way in which a line can be wrong is named with line and column,
 * and how a file comes in pieces makes no difference. */
#include "net/route_file.h"

#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "tests/host/host.h"
#include "tests/unit/test.h"

static char problem[160];
static char lines[1024]; /* what was visited, as text again */

static enum error note_line(void *context, const struct route_line *line, const char **wrong)
{
    struct text *text = context;
    char prefix[PREFIX_TEXT_MAX], next_hop[ADDRESS_TEXT_MAX];

    text_print(text, "%s>%s ", prefix_text(&line->prefix, prefix),
               address_text(&line->next_hop, next_hop));
    if (line->prefix.address.bytes[0] == 99)
        *wrong = "not that one";
    return line->prefix.address.bytes[0] == 99 ? ERROR_BAD_VALUE : OK;
}

static enum error read_text(const char *bytes, size_t size)
{
    struct text text = text_of(lines, sizeof(lines));
    struct text why = text_of(problem, sizeof(problem));

    host_file_remove_all();
    host_file_add("table", bytes, size);
    return route_file_read("table", FAMILY_IPV4, note_line, &text, NULL, &why);
}

static void expect_lines(const char *text, const char *wanted)
{
    EXPECT_EQUAL(read_text(text, strlen(text)), OK);
    EXPECT_TEXT(lines, wanted);
    EXPECT_TEXT(problem, "");
}

static void expect_wrong(const char *text, const char *why)
{
    EXPECT_EQUAL(read_text(text, strlen(text)), ERROR_BAD_VALUE);
    EXPECT_TEXT(problem, why);
}

TEST(route_file_takes_lines_of_prefix_and_next_hop)
{
    expect_lines("", "");
    expect_lines("\n\r\n  \t\n# a comment\n   # one more\n", "");
    expect_lines("10.0.0.0/8 192.0.2.1\n", "10.0.0.0/8>192.0.2.1 ");
    expect_lines("10.0.0.0/8 192.0.2.1", "10.0.0.0/8>192.0.2.1 ");
    expect_lines("  0.0.0.0/0\t 192.0.2.1 \r\n10.1.2.3 none\r\n",
                 "0.0.0.0/0>192.0.2.1 10.1.2.3/32>none ");
}

TEST(route_file_names_what_is_wrong_and_where)
{
    expect_wrong("10.0.0.0/8 192.0.2.1\nnonsense 1.2.3.4\n",
                 "line 2, column 1: that is no address");
    expect_wrong("\n\n10.0.0.0/33 1.2.3.4\n", "line 3, column 1: a prefix's length is 0 to 32");
    expect_wrong("10.0.0.0/ 1.2.3.4\n", "line 1, column 1: a prefix's length is 0 to 32");
    expect_wrong("10.0.0.1/24 1.2.3.4\n",
                 "line 1, column 1: there are bits behind the prefix's length");
    expect_wrong("10.0.0.0/24\n", "line 1, column 12: the next hop is missing");
    expect_wrong("10.0.0.0/24 10.0.0.256\n", "line 1, column 13: that is no address of a next hop");
    expect_wrong("10.0.0.0/24 1.2.3.4 distance 7", "line 1, column 21: that is one word too many");
    expect_wrong("99.0.0.0/8 1.2.3.4\n", "line 1: not that one");
}

TEST(route_file_refuses_lines_without_end)
{
    char text[ROUTE_LINE_MAX + 64];

    memset(text, ' ', sizeof(text));
    EXPECT_EQUAL(read_text(text, ROUTE_LINE_MAX), OK);
    EXPECT_EQUAL(read_text(text, ROUTE_LINE_MAX + 1), ERROR_BAD_VALUE);
    EXPECT_TEXT(problem, "line 1: that line is too long");
    host_file_read_max(7);
    EXPECT_EQUAL(read_text(text, sizeof(text)), ERROR_BAD_VALUE);
    text[ROUTE_LINE_MAX] = '\n';
    EXPECT_EQUAL(read_text(text, sizeof(text)), OK);
}

TEST(route_file_reads_the_same_in_pieces_of_any_size)
{
    const char text[] = "10.0.0.0/8 192.0.2.1\n\n# x\n10.1.0.0/16 192.0.2.2\r\n10.2.0.0/16 none";

    for (size_t piece = 1; piece < sizeof(text); piece++) {
        host_file_read_max(piece);
        expect_lines(text, "10.0.0.0/8>192.0.2.1 10.1.0.0/16>192.0.2.2 10.2.0.0/16>none ");
    }
}

TEST(route_file_tells_of_files_that_cannot_be_had)
{
    struct text text = text_of(lines, sizeof(lines)), why = text_of(problem, sizeof(problem));

    EXPECT_EQUAL(route_file_read("none", FAMILY_IPV4, note_line, &text, NULL, &why),
                 ERROR_NOT_FOUND);
    EXPECT_TEXT(problem, "there is no such file");
    host_fail_read(0);
    EXPECT_EQUAL(read_text("10.0.0.0/8 1.2.3.4\n", 19), ERROR_DEVICE);
    EXPECT(strstr(problem, "cannot be read: ") == problem);
    host_fail_read(UINT64_MAX);
    host_fail_allocation(0);
    why = text_of(problem, sizeof(problem));
    EXPECT_EQUAL(route_file_read("table", FAMILY_IPV4, note_line, &text, NULL, &why),
                 ERROR_NO_MEMORY);
    host_fail_allocation(UINT64_MAX);
}
