/* See route_file.h. */
#include "net/route_file.h"

#include <string.h>

#include "kernel/base/pause.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"

enum { LINES_PER_PAUSE = 128 }; /* at most a microsecond each, and in QEMU a few */

/* The text in pieces: what is left of a line moves to the front before more is read behind it. */
struct route_reader {
    struct file file;
    const struct pause *pause;
    enum family family;
    bool prefixes_alone;
    uint64_t offset; /* of the file, behind what was read */
    size_t begin, end;
    uint64_t line; /* from 1 */
    char piece[ROUTE_LINE_MAX + FILE_READ_MAX];
};

/* One line, without its end. */
struct words {
    const char *at, *end;
};

/* ---- A line -------------------------------------------------------------------------------------
 */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word, of length 0 at the end of the line. */
static struct words next_word(struct words *line)
{
    while (line->at < line->end && is_blank(*line->at))
        line->at++;
    struct words word = { line->at, line->at };
    while (word.end < line->end && !is_blank(*word.end))
        word.end++;
    line->at = word.end;
    return word;
}

static bool read_address(enum family family, const char *text, size_t length,
                         struct address *address)
{
    uint32_t address_be;

    if (family == FAMILY_IPV6) {
        *address = (struct address){ .family = FAMILY_IPV6 };
        return text_to_ipv6(text, length, address->bytes);
    }
    if (!text_to_ipv4(text, length, &address_be))
        return false;
    *address = address_of_ipv4(address_be);
    return true;
}

static const char *read_prefix(enum family family, struct words word, struct prefix *prefix)
{
    const char *slash = memchr(word.at, '/', (size_t)(word.end - word.at));
    const char *address_end = slash ? slash : word.end;
    uint64_t bits = family == FAMILY_IPV6 ? 128 : 32, length = bits;

    if (!read_address(family, word.at, (size_t)(address_end - word.at), &prefix->address))
        return "that is no address";
    if (slash && !text_to_u64(slash + 1, (size_t)(word.end - slash - 1), bits, &length))
        return family == FAMILY_IPV6 ? "a prefix's length is 0 to 128"
                                     : "a prefix's length is 0 to 32";
    prefix->length = (uint8_t)length;
    struct prefix network = prefix_network(prefix);
    if (!prefix_equal(&network, prefix))
        return "there are bits behind the prefix's length";
    return NULL;
}

static const char *read_next_hop(enum family family, struct words word, struct address *next_hop)
{
    size_t length = (size_t)(word.end - word.at);

    *next_hop = (struct address){ .family = FAMILY_NONE };
    if (length == strlen("none") && memcmp(word.at, "none", length) == 0)
        return NULL;
    if (!read_address(family, word.at, length, next_hop))
        return "that is no address of a next hop";
    return NULL;
}

/* NULL: a line with a route, or (*empty) without one. Else what is wrong, at *where. */
static const char *read_line(const struct route_reader *reader, struct words line,
                             struct route_line *out, bool *empty, const char **where)
{
    enum family family = reader->family;
    struct words word = next_word(&line);

    *empty = word.at == word.end || *word.at == '#';
    if (*empty)
        return NULL;
    *where = word.at;
    const char *wrong = read_prefix(family, word, &out->prefix);
    if (wrong)
        return wrong;
    out->next_hop = (struct address){ .family = FAMILY_NONE };
    word = next_word(&line);
    *where = word.at;
    if (!reader->prefixes_alone) {
        if (word.at == word.end)
            return "the next hop is missing";
        wrong = read_next_hop(family, word, &out->next_hop);
        if (wrong)
            return wrong;
        word = next_word(&line);
    }
    *where = word.at;
    return word.at != word.end ? "that is one word too many" : NULL;
}

/* ---- The file -----------------------------------------------------------------------------------
 */

/* More of the file behind what is left; *ended: there is no more. */
static enum error read_more(struct route_reader *reader, bool *ended)
{
    size_t left = reader->end - reader->begin, count;

    memmove(reader->piece, reader->piece + reader->begin, left);
    reader->begin = 0;
    reader->end = left;
    enum error error =
        file_read(&reader->file, reader->offset, reader->piece + left, FILE_READ_MAX, &count);
    if (error != OK)
        return error;
    reader->offset += count;
    reader->end += count;
    *ended = count == 0;
    return OK;
}

static enum error blame_line(const struct route_reader *reader, const char *wrong,
                             const char *start, const char *where, struct text *problem)
{
    text_print(problem, "line %llu", (unsigned long long)reader->line);
    if (where)
        text_print(problem, ", column %u", (unsigned)(where - start) + 1);
    text_print(problem, ": %s", wrong);
    return fail(ERROR_BAD_VALUE);
}

static enum error visit_line(struct route_reader *reader, struct words line,
                             route_line_visit *visit, void *context, struct text *problem)
{
    struct route_line route;
    const char *where = NULL, *wrong;
    bool empty;

    if (++reader->line % LINES_PER_PAUSE == 0)
        pause_take(reader->pause);
    if (line.end - line.at > ROUTE_LINE_MAX)
        return blame_line(reader, "that line is too long", line.at, NULL, problem);
    wrong = read_line(reader, line, &route, &empty, &where);
    if (wrong)
        return blame_line(reader, wrong, line.at, where, problem);
    if (empty)
        return OK;
    enum error error = visit(context, &route, &wrong);
    if (error == ERROR_BAD_VALUE && wrong)
        return blame_line(reader, wrong, line.at, NULL, problem);
    if (error != OK)
        text_print(problem, "line %llu: %s", (unsigned long long)reader->line, error_text(error));
    return error;
}

/* All lines that are whole, or at the end of the file also the last. */
static enum error visit_lines(struct route_reader *reader, bool ended, route_line_visit *visit,
                              void *context, struct text *problem)
{
    enum error error = OK;

    while (error == OK && reader->begin < reader->end) {
        const char *start = reader->piece + reader->begin;
        size_t left = reader->end - reader->begin;
        const char *end = memchr(start, '\n', left);
        if (!end && !ended && left <= ROUTE_LINE_MAX)
            break;
        struct words line = { start, end ? end : start + left };
        error = visit_line(reader, line, visit, context, problem);
        reader->begin += MIN_OF((size_t)(line.end - start) + 1, left);
    }
    return error;
}

static enum error read_file(const char *name, enum family family, bool prefixes_alone,
                            route_line_visit *visit, void *context, const struct pause *pause,
                            struct text *problem)
{
    struct route_reader *reader = memory_alloc(sizeof(*reader), 0, MEMORY_ROUTE);
    bool ended = false;

    if (!reader) {
        text_print(problem, "%s", error_text(ERROR_NO_MEMORY));
        return fail(ERROR_NO_MEMORY);
    }
    reader->pause = pause;
    reader->family = family;
    reader->prefixes_alone = prefixes_alone;
    enum error error = file_open(name, &reader->file);
    if (error != OK)
        text_print(problem, "%s",
                   error == ERROR_NOT_FOUND ? "there is no such file" : error_text(error));
    while (error == OK && !ended) {
        error = read_more(reader, &ended);
        if (error != OK)
            text_print(problem, "cannot be read: %s", error_text(error));
        else
            error = visit_lines(reader, ended, visit, context, problem);
    }
    memory_free(reader);
    return error;
}

enum error route_file_read(const char *name, enum family family, route_line_visit *visit,
                           void *context, const struct pause *pause, struct text *problem)
{
    return read_file(name, family, false, visit, context, pause, problem);
}

enum error prefix_file_read(const char *name, enum family family, route_line_visit *visit,
                            void *context, const struct pause *pause, struct text *problem)
{
    return read_file(name, family, true, visit, context, pause, problem);
}
