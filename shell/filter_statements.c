/* The statements about filters, of both families: grammar, what each does to a struct config, and
 * how they are printed. Whether interfaces and sets are there is judged at the commit. */
#include <string.h>

#include "kernel/platform.h"
#include "net/config.h"
#include "net/filter.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "shell/command.h"
#include "shell/filter_text.h"
#include "shell/shell.h"

static enum error bad_value(struct problem *problem, const struct argument *argument,
                            const char *text)
{
    problem_set(problem, "bad-value", argument, "%s", text);
    return fail(ERROR_BAD_VALUE);
}

/* ---- A rule ---------------------------------------------------------------------------------- */

/* Its parts come in any order, but once. A set may be told for both ends. */
static enum error check_said_once(const struct parsed_line *line, struct problem *problem)
{
    for (unsigned i = 0; i < line->argument_count; i++) {
        const struct argument *argument = &line->arguments[i];
        if (argument->type != TOKEN_WORD || strcmp(argument->text, "set") == 0)
            continue;
        for (unsigned k = 0; k < i; k++)
            if (line->arguments[k].type == TOKEN_WORD &&
                strcmp(line->arguments[k].text, argument->text) == 0)
                return bad_value(problem, argument, "that was said already");
    }
    return OK;
}

static enum error copy_word(char *to, size_t size, const struct argument *argument,
                            const char *what, struct problem *problem)
{
    if (!argument)
        return OK;
    if (strlen(argument->text) >= size) {
        problem_set(problem, "bad-value", argument, "%s has at most %zu characters", what,
                    size - 1);
        return fail(ERROR_BAD_VALUE);
    }
    text_format(to, size, "%s", argument->text);
    return OK;
}

/* The names of an end's values. */
struct end_names {
    const char *prefix, *set, *ports;
};

static enum error end_of(const struct parsed_line *line, const struct end_names *names,
                         struct config_filter_end *end, struct problem *problem)
{
    const struct argument *prefix = line_argument(line, names->prefix);
    const struct argument *ports = line_argument(line, names->ports);

    if (prefix)
        end->prefix = prefix->prefix;
    if (ports) {
        end->has_ports = true;
        end->first_port = (uint16_t)ports->number;
        end->last_port = (uint16_t)ports->second;
    }
    return copy_word(end->set, sizeof(end->set), line_argument(line, names->set),
                     "the name of a set", problem);
}

static uint8_t icmp_of(enum family family)
{
    return family == FAMILY_IPV6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP;
}

static void protocol_of(const struct parsed_line *line, struct config_filter *filter)
{
    const struct argument *protocol = line_argument(line, "protocol");

    if (!protocol)
        return;
    filter->has_protocol = true;
    if (protocol->type == TOKEN_NUMBER)
        filter->protocol = (uint8_t)protocol->number;
    else if (strcmp(protocol->text, "icmp") == 0)
        filter->protocol = icmp_of((enum family)filter->family);
    else
        filter->protocol = strcmp(protocol->text, "tcp") == 0 ? PROTOCOL_TCP : PROTOCOL_UDP;
}

/* A rule that asks for what the packets of its protocol do not have would match nothing. */
static enum error check_protocol(const struct parsed_line *line, const struct config_filter *filter,
                                 struct problem *problem)
{
    const struct argument *source_ports = line_argument(line, "source_ports");
    const struct argument *ports =
        source_ports ? source_ports : line_argument(line, "destination_ports");
    const struct argument *type = line_argument(line, "icmp_type");
    const struct argument *flags = line_argument(line, "letters");
    uint8_t protocol = filter->protocol;

    if (flags && ((filter->has_protocol && protocol != PROTOCOL_TCP) || type))
        return bad_value(problem, flags, "only TCP has flags: proto tcp");
    if (type &&
        ((filter->has_protocol && protocol != icmp_of((enum family)filter->family)) || ports))
        return bad_value(problem, type, "only ICMP has types: proto icmp");
    if (ports && filter->has_protocol && protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP)
        return bad_value(problem, ports, "only TCP and UDP have ports: proto tcp, or proto udp");
    return OK;
}

static enum filter_action action_of(const struct parsed_line *line)
{
    if (line_has(line, "pass"))
        return FILTER_PASS;
    return line_has(line, "drop") ? FILTER_DROP : FILTER_REJECT;
}

static enum error texts_of(const struct parsed_line *line, struct config_filter *filter,
                           struct problem *problem)
{
    enum error error = copy_word(filter->in, sizeof(filter->in), line_argument(line, "arrival"),
                                 "an interface's name", problem);
    if (!error)
        error = copy_word(filter->out, sizeof(filter->out), line_argument(line, "departure"),
                          "an interface's name", problem);
    if (!error)
        error = copy_word(filter->comment, sizeof(filter->comment), line_argument(line, "text"),
                          "a comment", problem);
    return error;
}

static enum error filter_of(const struct parsed_line *line, struct config_filter *filter,
                            struct problem *problem)
{
    static const struct end_names source = { "source", "source_set", "source_ports" };
    static const struct end_names destination = { "destination", "destination_set",
                                                  "destination_ports" };
    const struct argument *type = line_argument(line, "icmp_type");
    const struct argument *flags = line_argument(line, "letters");

    *filter = (struct config_filter){
        .family = (uint8_t)line_family(line),
        .number = (uint16_t)line_argument(line, "number")->number,
        .action = (uint8_t)action_of(line),
        .fragment = line_has(line, "fragment"),
        .log = line_has(line, "log"),
    };
    protocol_of(line, filter);
    if (type) {
        filter->has_type = true;
        filter->type = (uint8_t)type->number;
    }
    if (flags) {
        filter->flags_set = (uint8_t)flags->number;
        filter->flags_clear = (uint8_t)flags->second;
    }
    enum error error = check_said_once(line, problem);
    if (!error)
        error = end_of(line, &source, &filter->source, problem);
    if (!error)
        error = end_of(line, &destination, &filter->destination, problem);
    if (!error)
        error = texts_of(line, filter, problem);
    return error ? error : check_protocol(line, filter, problem);
}

static enum error apply_filter(struct config *config, const struct parsed_line *line,
                               struct problem *problem)
{
    struct config_filter filter;
    enum error error = filter_of(line, &filter, problem);
    if (error)
        return error;
    return problem_refused(config_set_filter(config, &filter), line_argument(line, "number"),
                           problem);
}

static enum error remove_same(struct config *config, const struct config_filter *filter,
                              const struct argument *argument, struct problem *problem)
{
    enum error error = config_remove_filter(config, filter);
    if (error)
        problem_set(problem, "not-found", argument, "there is no such filter");
    return error;
}

static enum error remove_filter(struct config *config, const struct parsed_line *line,
                                struct problem *problem)
{
    struct config_filter filter;
    enum error error = filter_of(line, &filter, problem);
    if (error)
        return error;
    return remove_same(config, &filter, line_argument(line, "number"), problem);
}

/* The short form: drop what comes from there. */
static struct config_filter short_filter_of(const struct parsed_line *line)
{
    return (struct config_filter){
        .family = (uint8_t)line_family(line),
        .action = FILTER_DROP,
        .source.prefix = line_argument(line, "prefix")->prefix,
    };
}

static enum error apply_short_filter(struct config *config, const struct parsed_line *line,
                                     struct problem *problem)
{
    const struct config_filter filter = short_filter_of(line);
    const struct argument *prefix = line_argument(line, "prefix");
    enum error error = config_set_filter(config, &filter);
    if (error == ERROR_FULL)
        problem_set(problem, "full", prefix,
                    "there is no free number behind the last filter; say one");
    return error == ERROR_FULL ? error : problem_refused(error, prefix, problem);
}

static enum error remove_short_filter(struct config *config, const struct parsed_line *line,
                                      struct problem *problem)
{
    const struct config_filter filter = short_filter_of(line);
    return remove_same(config, &filter, line_argument(line, "prefix"), problem);
}

/* ---- The others ------------------------------------------------------------------------------ */

static enum error apply_filter_default(struct config *config, const struct parsed_line *line,
                                       struct problem *problem)
{
    (void)problem;
    config->filter_default_drop[line_family(line)] = line_has(line, "drop");
    return OK;
}

static const char *const vector_names[] = {
    [VECTORS_SSE2] = "sse2", [VECTORS_AVX2] = "avx2", [VECTORS_AVX512] = "avx512"
};

/* Refused where it is said: a router that has been told so must not do otherwise. */
static enum error apply_filter_jit(struct config *config, const struct parsed_line *line,
                                   struct problem *problem)
{
    const enum family family = line_family(line);
    enum config_vectors vectors = VECTORS_BEST;

    for (unsigned i = VECTORS_SSE2; i < ARRAY_COUNT(vector_names); i++)
        if (line_has(line, vector_names[i]))
            vectors = (enum config_vectors)i;
    if (!filter_has_vectors(vectors))
        return bad_value(problem, line_argument(line, vector_names[vectors]),
                         "this processor has no such vectors");
    config->filter_jit_off[family] = line_has(line, "off");
    config->filter_vectors[family] = (uint8_t)vectors;
    return OK;
}

static enum error apply_filter_set(struct config *config, const struct parsed_line *line,
                                   struct problem *problem)
{
    const struct argument *name = line_argument(line, "name");
    const struct argument *prefix = line_argument(line, "prefix");
    const struct argument *file = line_argument(line, "file_name");
    struct config_filter_set element = { .family = (uint8_t)line_family(line) };
    enum error error =
        copy_word(element.name, sizeof(element.name), name, "the name of a set", problem);
    if (!error)
        error = copy_word(element.file, sizeof(element.file), file, "a file's name", problem);
    if (error)
        return error;
    if (prefix)
        element.prefix = prefix->prefix;
    return problem_refused(config_set_filter_set(config, &element), file ? file : prefix, problem);
}

/* ---- Printing -------------------------------------------------------------------------------- */

static bool print_sets(const struct config *config, struct line_sink *sink)
{
    for (unsigned i = 0; i < config->filter_set_count; i++) {
        const struct config_filter_set *element = &config->filter_sets[i];
        char line[LINE_BYTES_MAX], shown[PREFIX_TEXT_MAX];
        struct text text = text_of(line, sizeof(line));
        text_print(&text, "%s filter set %s ", filter_keyword((enum family)element->family),
                   element->name);
        if (element->file[0] != '\0')
            text_print(&text, "file %s", element->file);
        else
            text_print(&text, "%s", prefix_text(&element->prefix, shown));
        if (!sink->put(sink->context, line))
            return false;
    }
    return true;
}

static bool print_rules(const struct config *config, struct line_sink *sink)
{
    for (unsigned i = 0; i < config->filter_count; i++) {
        char line[LINE_BYTES_MAX];
        struct text text = text_of(line, sizeof(line));
        print_filter(&text, &config->filters[i]);
        if (!sink->put(sink->context, line))
            return false;
    }
    return true;
}

static bool print_statements(const struct config *config, struct line_sink *sink)
{
    if (!print_sets(config, sink) || !print_rules(config, sink))
        return false;
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++) {
        char line[32];
        text_format(line, sizeof(line), "%s filter default drop",
                    filter_keyword((enum family)family));
        if (config->filter_default_drop[family] && !sink->put(sink->context, line))
            return false;
        text_format(line, sizeof(line), "%s filter jit off", filter_keyword((enum family)family));
        if (config->filter_jit_off[family] && !sink->put(sink->context, line))
            return false;
        if (config->filter_vectors[family] == VECTORS_BEST)
            continue;
        text_format(line, sizeof(line), "%s filter jit on %s", filter_keyword((enum family)family),
                    vector_names[config->filter_vectors[family]]);
        if (!sink->put(sink->context, line))
            return false;
    }
    return true;
}

/* clang-format off */
/* STATEMENT: what all have in common. */
#define STATEMENT .kind = COMMAND_STATEMENT, .role = ROLE_ADMIN
#define RULE(prefix) \
    " filter <number:1-65535> {pass|drop|reject} " \
    "[{src {<source:" prefix ">|set <source_set:NAME>}|dst {<destination:" prefix ">|set <destination_set:NAME>}|" \
    "proto <protocol:0-255|tcp|udp|icmp>|sport <source_ports:PORTS>|dport <destination_ports:PORTS>|" \
    "type <icmp_type:0-255>|flags <letters:FLAGS>|fragment|in <arrival:IFNAME>|out <departure:IFNAME>|" \
    "log|comment <text:STR>}]*"

static const struct command statements[] = {
    { STATEMENT, .grammar = "ip filter <prefix:PREFIX4>", .apply = apply_short_filter,
      .remove = remove_short_filter, .help = "drop what comes from there; the filter gets the next free number" },
    { STATEMENT, .grammar = "ip" RULE("PREFIX4"), .apply = apply_filter, .remove = remove_filter,
      .help = "a filter; of those that a packet matches the one with the lowest number decides" },
    { STATEMENT, .grammar = "ip filter default {pass|drop}", .apply = apply_filter_default,
      .help = "what becomes of arriving packets that no filter matches" },
    { STATEMENT, .grammar = "ip filter jit {on [{sse2|avx2|avx512}]|off}", .apply = apply_filter_jit,
      .help = "whether filters are compiled to machine code, and for which instructions (without a word: the best that the "
              "processor has), or interpreted" },
    { STATEMENT, .grammar = "ip filter set <name:NAME> {<prefix:PREFIX4>|file <file_name:NAME>}",
      .apply = apply_filter_set, .help = "one more prefix of a set that filters may name, or a file with one in each line" },
    { STATEMENT, .grammar = "ipv6 filter <prefix:PREFIX6>", .apply = apply_short_filter,
      .remove = remove_short_filter, .help = "drop what comes from there; the filter gets the next free number" },
    { STATEMENT, .grammar = "ipv6" RULE("PREFIX6"), .apply = apply_filter, .remove = remove_filter,
      .help = "a filter; of those that a packet matches the one with the lowest number decides" },
    { STATEMENT, .grammar = "ipv6 filter default {pass|drop}", .apply = apply_filter_default,
      .help = "what becomes of arriving packets that no filter matches, neighbor discovery excepted" },
    { STATEMENT, .grammar = "ipv6 filter jit {on [{sse2|avx2|avx512}]|off}", .apply = apply_filter_jit,
      .help = "whether filters are compiled to machine code, and for which instructions (without a word: the best that the "
              "processor has), or interpreted" },
    { STATEMENT, .grammar = "ipv6 filter set <name:NAME> {<prefix:PREFIX6>|file <file_name:NAME>}",
      .apply = apply_filter_set, .help = "one more prefix of a set that filters may name, or a file with one in each line" },
};
/* clang-format on */

const struct command_table filter_statements = {
    .commands = statements,
    .count = ARRAY_COUNT(statements),
    .print = print_statements,
};
