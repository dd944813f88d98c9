/* Filters behind a bar. */
#include "shell/pipe.h"

#include <string.h>

#include "kernel/platform.h"
#include "tests/unit/test.h"

static char passed[8192];
static struct problem problem;

static void put(void *context, const char *bytes, size_t length)
{
    (void)context;
    strncat(passed, bytes, length);
}

static const char lines[] = "eth0 up\n  mtu 1500\n  speed 10\neth1 down\n  mtu 9000\nlo up\n";

/* What of the lines comes through, given in pieces of `piece` bytes; NULL where the pipe is
 * refused. */
static const char *through(const char *bars, size_t piece)
{
    struct pipe *pipe;
    struct sink sink = { .put = put };
    passed[0] = '\0';
    if (pipe_create(bars, strlen(bars), 10, &sink, &pipe, &problem) != OK)
        return NULL;
    struct sink in = pipe_sink(pipe);
    for (size_t at = 0; at < sizeof(lines) - 1; at += piece)
        sink_put(&in, lines + at, MIN_OF(piece, sizeof(lines) - 1 - at));
    pipe_finish(pipe);
    pipe_destroy(pipe);
    return passed;
}

TEST(pipe_filters_lines)
{
    static const struct {
        const char *bars, *out;
    } cases[] = {
        { "| match mtu", "  mtu 1500\n  mtu 9000\n" },
        { "| include \"up|down\"", "eth0 up\neth1 down\nlo up\n" },
        { "| except ^\\s", "eth0 up\neth1 down\nlo up\n" },
        { "| exclude 0", "eth1 down\nlo up\n" },
        { "| begin eth1", "eth1 down\n  mtu 9000\nlo up\n" },
        { "| section eth0", "eth0 up\n  mtu 1500\n  speed 10\n" },
        { "| head 2", "eth0 up\n  mtu 1500\n" },
        { "| last 2", "  mtu 9000\nlo up\n" },
        { "| count", "6\n" },
        { "| match eth | count", "2\n" },
        { "| last 3 | match up", "lo up\n" },
        { "| head 4 | last 1 | no-more", "eth1 down\n" },
        { "|count|count", "1\n" },
        { "| ma eth1", "eth1 down\n" },
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        EXPECT_TEXT(through(cases[i].bars, 1), cases[i].out);
        EXPECT_TEXT(through(cases[i].bars, 7), cases[i].out);
        EXPECT_TEXT(through(cases[i].bars, sizeof(lines)), cases[i].out);
    }
}

TEST(pipe_refuses_with_the_place_in_the_line)
{
    EXPECT(through("| bogus", 1) == NULL);
    EXPECT_EQUAL(problem.column, 12);
    EXPECT(through("| match", 1) == NULL);
    EXPECT_TEXT(problem.id, "incomplete");
    EXPECT(through("| count | match a[", 1) == NULL);
    EXPECT_TEXT(problem.id, "bad-pattern");
    EXPECT_EQUAL(problem.column, 10 + 18);
    EXPECT(through("| head 0", 1) == NULL);
    EXPECT(through("|", 1) == NULL);
    EXPECT(through("|count|count|count|count|count|count|count|count|count", 1) == NULL);
    EXPECT_TEXT(problem.id, "too-long");
}

TEST(pipe_knows_json_and_when_it_has_enough)
{
    struct pipe *pipe;
    struct sink sink = { .put = put };
    EXPECT(pipe_create("| json | no-more", 16, 0, &sink, &pipe, &problem) == OK);
    EXPECT(pipe_wants_json(pipe) && pipe_wants_no_pages(pipe) && !pipe_filters(pipe));
    pipe_destroy(pipe);
    passed[0] = '\0';
    EXPECT(pipe_create("| head 1", 8, 0, &sink, &pipe, &problem) == OK);
    struct sink in = pipe_sink(pipe);
    EXPECT(!pipe_is_satisfied(pipe));
    sink_put(&in, "a\n", 2);
    EXPECT(pipe_is_satisfied(pipe));
    pipe_destroy(pipe);
    EXPECT(pipe_create("", 0, 0, &sink, &pipe, &problem) == OK);
    EXPECT(pipe == NULL && !pipe_wants_json(pipe));
}

TEST(pipe_bounds_lines_and_what_last_holds)
{
    struct pipe *pipe;
    static size_t total;
    struct sink sink = { .put = put };
    passed[0] = '\0';
    total = 0;
    EXPECT(pipe_create("| last 100000 | last 1", 22, 0, &sink, &pipe, &problem) == OK);
    struct sink in = pipe_sink(pipe);
    char piece[1000];
    memset(piece, 'x', sizeof(piece));
    for (unsigned i = 0; i < 200; i++) {
        sink_put(&in, piece, sizeof(piece));
        total += sizeof(piece);
    }
    pipe_finish(pipe); /* one line of 200,000 bytes: pieces of PIPE_LINE_BYTES */
    EXPECT_EQUAL(strlen(passed), total % PIPE_LINE_BYTES + 1);
    pipe_destroy(pipe);
}
