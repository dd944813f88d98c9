/* Commands about filters of either family: show ip filter, ip filter jit flash. */
#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/control.h"
#include "net/filter.h"
#include "net/router.h"
#include "shell/command.h"
#include "shell/filter_code.h"
#include "shell/filter_text.h"
#include "shell/shell.h"

enum { FILTERS_PER_CALL = 32, RULES_PER_CALL = 50000, VERIFY_PACKETS = 1000000 };

static const struct record_column filter_columns[] = {
    { "number", RECORD_PLAIN },      { "action", RECORD_PLAIN },      { "source", RECORD_PLAIN },
    { "destination", RECORD_PLAIN }, { "match", RECORD_PLAIN },       { "packets", RECORD_PLAIN },
    { "bytes", RECORD_PLAIN },       { "last_s", RECORD_PLAIN },      { "log", RECORD_DETAIL },
    { "comment", RECORD_DETAIL },    { "shadowed_by", RECORD_PLAIN },
};

/* ---- show ip filter --------------------------------------------------------------------------
 */

/* In which order rules are told: as they stand, or those with the most packets first. */
struct filter_order {
    unsigned count, next;
    struct {
        uint16_t number;
        uint64_t packets;
    } rules[];
};

/* The rules of a configuration stand in the same order as those of the filter that was made of
 * them. NULL: one with that number is not there any more. */
static const struct filter_rule *find_rule(const struct filter *filter, uint16_t number)
{
    unsigned low = 0, high = filter ? filter->rule_count : 0;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        uint16_t here = filter->rules[middle].number; /* 0: at the end */
        if (here == number)
            return &filter->rules[middle];
        if (here != 0 && here < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Does rule a come before rule b? */
static bool comes_before(const struct filter_order *order, unsigned a, unsigned b)
{
    if (order->rules[a].packets != order->rules[b].packets)
        return order->rules[a].packets > order->rules[b].packets;
    return order->rules[a].number < order->rules[b].number;
}

static void swap(struct filter_order *order, unsigned a, unsigned b)
{
    __typeof__(order->rules[0]) rule = order->rules[a];

    order->rules[a] = order->rules[b];
    order->rules[b] = rule;
}

/* Lets the rule at the top of a heap, whose greatest is what comes last, sink to its place. */
static void sift_down(struct filter_order *order, unsigned top, unsigned count)
{
    for (unsigned child; (child = 2 * top + 1) < count; top = child) {
        if (child + 1 < count && comes_before(order, child, child + 1))
            child++;
        if (!comes_before(order, top, child))
            return;
        swap(order, top, child);
    }
}

static void sort_by_hits(struct filter_order *order)
{
    for (unsigned i = order->count / 2; i-- > 0;)
        sift_down(order, i, order->count);
    for (unsigned left = order->count; left > 1; left--) {
        swap(order, 0, left - 1);
        sift_down(order, 0, left - 1);
    }
}

/* All that have hit nothing, or all. */
static struct filter_order *order_of(const struct command_call *call, const struct filter *filter)
{
    bool unused = line_has(call->line, "unused");
    unsigned rule_count = filter ? filter->rule_count : 0;
    struct filter_order *order =
        memory_alloc(sizeof(*order) + rule_count * sizeof(order->rules[0]), 0, MEMORY_SHELL);

    if (!order)
        return NULL;
    for (unsigned i = 0; i < rule_count && filter->rules[i].number != 0; i++) {
        uint64_t packets = filter_hits_of(filter, &filter->rules[i]).packets;
        if (unused && packets > 0)
            continue;
        order->rules[order->count].number = filter->rules[i].number;
        order->rules[order->count++].packets = packets;
    }
    if (line_has(call->line, "hits"))
        sort_by_hits(order);
    return order;
}

static void write_end(struct record *record, const char *name, const struct config_filter_end *end)
{
    char shown[PREFIX_TEXT_MAX + FILTER_SET_NAME_BYTES];
    struct text text = text_of(shown, sizeof(shown));

    print_filter_end(&text, end);
    record_text(record, name, shown);
}

/* The number of the rule that has all of its packets, where it is one. */
static void write_shadow(struct record *record, const struct filter_rule *rule)
{
    if (!rule->is_shadowed)
        record_null(record, "shadowed_by");
    else if (rule->shadowed_by != 0)
        record_u64(record, "shadowed_by", rule->shadowed_by);
    else
        record_text(record, "shadowed_by", "several");
}

static void write_filter(struct command_call *call, const struct config_filter *filter,
                         const struct filter_rule *rule, const struct filter_hit *hit)
{
    struct record *record = call->record;
    char match[LINE_BYTES_MAX];
    struct text text = text_of(match, sizeof(match));

    print_filter_match(&text, filter);
    record_row(record);
    record_u64(record, "number", filter->number);
    record_text(record, "action", filter_action_name((enum filter_action)filter->action));
    write_end(record, "source", &filter->source);
    write_end(record, "destination", &filter->destination);
    if (text.length == 0)
        record_null(record, "match");
    else
        record_text(record, "match", match + 1); /* without the first space */
    record_u64(record, "packets", hit->packets);
    record_u64(record, "bytes", hit->bytes);
    if (hit->last_ns == 0)
        record_null(record, "last_s");
    else
        record_seconds(record, "last_s", call->now_ns - MIN_OF(hit->last_ns, call->now_ns));
    record_bool(record, "log", filter->log);
    if (filter->comment[0] == '\0')
        record_null(record, "comment");
    else
        record_text(record, "comment", filter->comment);
    write_shadow(record, rule);
}

/* What the rules at the end have counted, by what they do; but for what we send. */
static struct filter_hit default_hits(const struct filter *filter)
{
    struct filter_hit sum = { .packets = 0 };

    for (unsigned i = 0; filter && i + 1 < filter->rule_count; i++) {
        if (filter->rules[i].number != 0)
            continue;
        struct filter_hit hit = filter_hits_of(filter, &filter->rules[i]);
        sum.packets += hit.packets;
        sum.bytes += hit.bytes;
    }
    return sum;
}

/* "off" by a statement; "interpreter" where there is nothing to compile, or too much. */
static void write_engine(struct record *record, const struct filter *filter, bool is_off)
{
    struct filter_description description;

    filter_describe(filter, &description);
    record_object(record, "jit");
    record_text(record, "state",
                is_off                       ? "off"
                : description.code_bytes > 0 ? "on"
                                             : "interpreter");
    record_u64(record, "code_bytes", description.code_bytes);
    record_u64(record, "table_bytes", description.table_bytes);
    record_u64(record, "compile_us", filter ? filter->made_ns / NS_PER_US : 0);
    record_u64(record, "generation", filter ? filter->generation : 0);
    record_format(record, "kind", "%s%s%s", description.kind, description.vectors ? " " : "",
                  description.vectors ? description.vectors : "");
    record_end(record);
}

static void write_rest(struct command_call *call, const struct filter *filter, enum family family)
{
    bool drops = call->router->config->filter_default_drop[family];
    struct filter_hit hit = default_hits(filter);

    record_text(call->record, "default", drops ? "drop" : "pass");
    record_u64(call->record, "default_packets", hit.packets);
    record_u64(call->record, "default_bytes", hit.bytes);
    write_engine(call->record, filter, call->router->config->filter_jit_off[family]);
}

/* A few at once, as the reader may be behind. A commit may come between: what it has taken away is
 * left out. */
static enum command_result show_filters(struct command_call *call)
{
    enum family family = line_family(call->line);
    const struct filter *filter = call->router->filters[family];
    struct filter_order *order = call->memory;

    if (!order) {
        order = call->memory = order_of(call, filter);
        if (!order)
            return command_failed(call, "no-memory", NULL, "out of memory");
        record_table(call->record, "filters", filter_columns, ARRAY_COUNT(filter_columns));
    }
    for (unsigned i = 0; i < FILTERS_PER_CALL && order->next < order->count; i++) {
        uint16_t number = order->rules[order->next++].number;
        const struct filter_rule *rule = find_rule(filter, number);
        const struct config_filter *statement =
            config_find_filter(call->router->config, family, number);
        if (!rule || !statement)
            continue;
        struct filter_hit hit = filter_hits_of(filter, rule);
        write_filter(call, statement, rule, &hit);
    }
    if (order->next < order->count && !call->interrupted)
        return COMMAND_AGAIN;
    record_end(call->record);
    write_rest(call, filter, family);
    return COMMAND_DONE;
}

/* ---- ip filter jit --------------------------------------------------------------------- */

static unsigned rule_count_of(const struct config *config, enum family family)
{
    unsigned count = 0;

    for (unsigned i = 0; i < config->filter_count; i++)
        count += config->filters[i].family == family;
    return count;
}

static enum command_result run_flash(struct command_call *call)
{
    enum family family = line_family(call->line);
    struct commit_report report;
    enum error error = control_renew_filters(call->router, &report);
    if (error)
        return command_failed(call, error == ERROR_BAD_VALUE ? "refused" : error_id(error), NULL,
                              "%s", report.problem);
    const struct filter *filter = call->router->filters[family];
    unsigned count = rule_count_of(call->router->config, family);
    unsigned long long us = filter ? filter->made_ns / NS_PER_US : 0;
    const char *filters = count == 1 ? "filter" : "filters";
    struct filter_description description;
    filter_describe(filter, &description);
    if (description.code_bytes == 0)
        record_message(call->record, "%u %s for the interpreter, which is in force, in %llu us",
                       count, filters, us);
    else
        record_message(call->record, "%u %s: %u bytes of code and %zu of tables (%s %s) in %llu us",
                       count, filters, description.code_bytes, description.table_bytes,
                       description.kind, description.vectors, us);
    if (report.note[0] != '\0')
        record_text(call->record, "note", report.note);
    return COMMAND_DONE;
}

struct verification {
    uint64_t packets_left, packets, differences;
    uint64_t random_state;
};

/* Some packets at each moment of which there is code: few where there are many rules to be read. */
static void verify_some(const struct filter *filter, struct verification *state)
{
    uint64_t count = MIN_OF(state->packets_left, (uint64_t)BATCH_MAX);

    count = MIN_OF(count, 1u + RULES_PER_CALL / filter->rule_count);
    for (unsigned moment = FILTER_ARRIVING; moment < FILTER_MOMENT_COUNT; moment++)
        if (filter->compiled[moment])
            state->differences += filter_verify(filter, (enum filter_moment)moment, (unsigned)count,
                                                &state->random_state);
    state->packets += count;
    state->packets_left -= count;
}

/* A commit that comes between only changes what is looked at. */
static enum command_result run_verify(struct command_call *call)
{
    const struct filter *filter = call->router->filters[line_family(call->line)];
    const struct argument *wanted = line_argument(call->line, "packets");
    struct verification *state = call->memory;
    struct filter_description description;

    filter_describe(filter, &description);
    if (description.code_bytes == 0)
        return command_failed(call, "not-found", NULL,
                              "the interpreter is in force: there is no code to verify");
    if (!state) {
        state = call->memory = memory_alloc(sizeof(*state), 0, MEMORY_SHELL);
        if (!state)
            return command_failed(call, "no-memory", NULL, "out of memory");
        state->packets_left = wanted ? wanted->number : VERIFY_PACKETS;
        state->random_state = clock_ns();
    }
    verify_some(filter, state);
    if (state->packets_left > 0 && !call->interrupted)
        return COMMAND_AGAIN;
    record_message(call->record, "%llu packets, %llu judged otherwise than by the interpreter",
                   (unsigned long long)state->packets, (unsigned long long)state->differences);
    return COMMAND_DONE;
}

/* clang-format off */
static const struct command commands[] = {
    { .grammar = "show ip filter [{unused|sort hits}]", .kind = COMMAND_SHOW, .run = show_filters,
      .help = "filters, how often each has decided, and which one before it has all of its packets; all, those that never decided, or by their hits" },
    { .grammar = "show ipv6 filter [{unused|sort hits}]", .kind = COMMAND_SHOW, .run = show_filters,
      .help = "filters, how often each has decided, and which one before it has all of its packets; all, those that never decided, or by their hits" },
    { .grammar = "show ip filter code [<number:1-65535>] [{asm|hex|cost}]", .kind = COMMAND_SHOW, .run = show_filter_code,
      .help = "the machine code that decides, read back from where it runs; what leads to one filter; what each part costs" },
    { .grammar = "show ipv6 filter code [<number:1-65535>] [{asm|hex|cost}]", .kind = COMMAND_SHOW, .run = show_filter_code,
      .help = "the machine code that decides, read back from where it runs; what leads to one filter; what each part costs" },
    { .grammar = "ip filter jit flash", .kind = COMMAND_ACTION, .role = ROLE_ADMIN, .run = run_flash,
      .help = "compile all filters anew and put them into the receive path" },
    { .grammar = "ipv6 filter jit flash", .kind = COMMAND_ACTION, .role = ROLE_ADMIN, .run = run_flash,
      .help = "compile all filters anew and put them into the receive path" },
    { .grammar = "ip filter jit verify [<packets:1-1000000000>]", .kind = COMMAND_ACTION, .role = ROLE_ADMIN,
      .run = run_verify, .help = "compare what the code decides of made-up packets with the interpreter" },
    { .grammar = "ipv6 filter jit verify [<packets:1-1000000000>]", .kind = COMMAND_ACTION, .role = ROLE_ADMIN,
      .run = run_verify, .help = "compare what the code decides of made-up packets with the interpreter" },
};
/* clang-format on */

const struct command_table filter_commands = { .commands = commands,
                                               .count = ARRAY_COUNT(commands) };
