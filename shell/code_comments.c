/* Marks say what code is for (jit/marks.h), the places of its operands what it looks at
 * (jit/show.h); here they become words. */
#include "shell/code_comments.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "net/filter_set.h"
#include "net/router.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "shell/filter_text.h"
#include "shell/value.h"

static const uint32_t mask_of_flags = 0xff;

/* ---- Rules, fields and values ---------------------------------------------------------------- */

void print_answer(struct text *out, const struct code_subject *subject, uint32_t answer)
{
    const struct filter *filter = subject->filter;

    if (answer >= filter->rule_count)
        text_print(out, "no rule");
    else if (filter->rules[answer].number != 0)
        text_print(out, "rule %u", filter->rules[answer].number);
    else if (answer == filter->rule_count - 1) /* see add_endings() of net/filter.c */
        text_print(out, "our own packets");
    else if (answer == filter->rule_count - 2)
        text_print(out, "the default");
    else
        text_print(out, "neighbor discovery");
}

static bool is_address(unsigned field)
{
    return field < FILTER_PROTOCOL;
}

/* The field begins a key, all words of which are looked up together. */
static bool is_searched_whole(const struct code_subject *subject, unsigned field)
{
    const struct jit_marks *marks = &subject->code.marks;

    for (unsigned i = 0; i < marks->table_count; i++)
        if (marks->tables[i].kind == JIT_TABLE_PAIRS && marks->tables[i].field == field)
            return true;
    return false;
}

void print_field(struct text *out, const struct code_subject *subject, unsigned field)
{
    static const char *const names[] = {
        [FILTER_PROTOCOL] = "protocol",
        [FILTER_SOURCE_PORT] = "source port",
        [FILTER_DESTINATION_PORT] = "destination port",
        [FILTER_TYPE] = "ICMP type",
        [FILTER_FLAGS] = "TCP flags",
        [FILTER_FRAGMENT] = "fragment",
        [FILTER_PORT_IN] = "way in",
        [FILTER_PORT_OUT] = "way out",
    };
    const struct jit_field it = jit_field_of(&subject->code, field);
    const unsigned word = it.field % FILTER_ADDRESS_WORDS;

    if (!is_address(it.field)) {
        text_print(out, "%s", it.field < ARRAY_COUNT(names) ? names[it.field] : "key");
        return;
    }
    text_print(out, "%s address", it.field < FILTER_DESTINATION ? "source" : "destination");
    if (it.kind == JIT_FIELD_MEMBERS)
        text_print(out, ", in sets");
    else if (it.kind == JIT_FIELD_ITSELF && subject->filter->family == FAMILY_IPV6 &&
             !is_searched_whole(subject, field))
        text_print(out, ", bits %u-%u", word * 32, word * 32 + 31);
}

static void print_address_word(struct text *out, const struct code_subject *subject, uint32_t value)
{
    uint8_t bytes[4];

    store_be32(bytes, value);
    if (subject->filter->family == FAMILY_IPV6)
        text_print(out, "%x:%x", value >> 16, value & 0xffff);
    else
        text_print(out, "%pI4", bytes);
}

static void print_protocol_value(struct text *out, uint32_t value)
{
    if (value == PROTOCOL_TCP)
        text_print(out, "tcp");
    else if (value == PROTOCOL_UDP)
        text_print(out, "udp");
    else if (value == PROTOCOL_ICMP || value == PROTOCOL_ICMP6)
        text_print(out, "icmp");
    else
        text_print(out, "%u", value);
}

static void print_words(struct text *out, const uint32_t words[FILTER_ADDRESS_WORDS])
{
    uint8_t bytes[16];

    for (unsigned i = 0; i < FILTER_ADDRESS_WORDS; i++)
        store_be32(bytes + i * 4, words[i]);
    text_print(out, "%pI6", bytes);
}

/* Of ranks, which only IPv6 addresses have: the first address of one, or the last. */
static void print_rank(struct text *out, const struct code_subject *subject, unsigned field,
                       uint32_t rank, bool is_last)
{
    uint32_t first[JIT_KEY_WORDS_MAX] = { 0 }, last[JIT_KEY_WORDS_MAX] = { 0 };

    jit_rank_values(&subject->code, field, rank, rank, first, last);
    print_words(out, is_last ? last : first);
}

static void print_value(struct text *out, const struct code_subject *subject, unsigned field,
                        uint32_t value)
{
    field = jit_field_of(&subject->code, field).field;
    if (is_address(field))
        print_address_word(out, subject, value);
    else if (field == FILTER_PROTOCOL)
        print_protocol_value(out, value);
    else if ((field == FILTER_PORT_IN || field == FILTER_PORT_OUT) &&
             value < subject->router->port_count)
        text_print(out, "%s", subject->router->ports[value].name);
    else
        text_print(out, "%u", value);
}

/* Bits beside those of the flags tell what has none. */
static void print_flag_values(struct text *out, uint32_t value, uint32_t mask)
{
    if ((value & ~mask_of_flags) != 0)
        text_print(out, "no TCP");
    else
        print_flags(out, value, mask & ~value & mask_of_flags);
}

static bool is_rank(const struct code_subject *subject, unsigned field)
{
    return jit_field_of(&subject->code, field).kind == JIT_FIELD_RANK;
}

/* "192.0.2.0 - 192.0.2.255" */
static void print_range(struct text *out, const struct code_subject *subject, unsigned field,
                        uint32_t first, uint32_t last)
{
    if (is_rank(subject, field)) {
        print_rank(out, subject, field, first, false);
        text_print(out, " - ");
        print_rank(out, subject, field, last, true);
        return;
    }
    print_value(out, subject, field, first);
    if (first == last)
        return;
    text_print(out, " - ");
    print_value(out, subject, field, last);
}

static bool are_members(const struct code_subject *subject, unsigned field)
{
    return jit_field_of(&subject->code, field).kind == JIT_FIELD_MEMBERS;
}

/* Names of all sets that the bits stand for. */
static void print_sets(struct text *out, const struct code_subject *subject, unsigned field,
                       uint32_t value, uint32_t mask)
{
    const char *between = "";

    for (unsigned set = 0; set < subject->filter->set_count; set++) {
        if (!jit_bits_name_set(&subject->code, field, set, value, mask))
            continue;
        text_print(out, "%s%s", between, subject->filter->sets[set].name);
        between = ", ";
    }
    if (between[0] == '\0')
        text_print(out, "no set");
}

static void print_bits(struct text *out, const struct code_subject *subject, unsigned field,
                       uint32_t value, uint32_t mask)
{
    if (are_members(subject, field))
        print_sets(out, subject, field, value, mask);
    else
        print_flag_values(out, value, mask);
}

static bool is_any(const struct jit_entry *entry)
{
    return entry->first == 0 &&
           entry->last ==
               (entry->table->kind == JIT_TABLE_VALUES ? entry->table->mask : UINT32_MAX);
}

void print_entry(struct text *out, const struct code_subject *subject,
                 const struct jit_entry *entry)
{
    const struct jit_table *table = entry->table;

    if (table->kind == JIT_TABLE_PAIRS) {
        print_words(out, entry->first_words);
        text_print(out, " - ");
        print_words(out, entry->last_words);
    } else if (table->kind == JIT_TABLE_ROWS) {
        text_print(out, "bit %u", entry->first);
    } else if (is_any(entry)) {
        text_print(out, "any");
    } else if (table->kind == JIT_TABLE_VALUES) {
        print_bits(out, subject, table->field, entry->first, table->mask);
    } else {
        print_range(out, subject, table->field, entry->first, entry->last);
    }
}

/* ---- Marks ----------------------------------------------------------------------------------- */

static void print_rule_mark(struct text *out, const struct code_subject *subject, uint32_t answer)
{
    const struct filter *filter = subject->filter;
    const struct config_filter *statement = NULL;

    print_answer(out, subject, answer);
    if (answer < filter->rule_count && filter->rules[answer].number != 0)
        statement = config_find_filter(subject->router->config, filter->family,
                                       filter->rules[answer].number);
    text_print(out, ": ");
    if (statement)
        print_filter_rule(out, statement);
    else if (answer < filter->rule_count)
        text_print(out, "%s",
                   filter_action_name((enum filter_action)filter->outcomes[answer].action));
}

/* How many levels the tree has that a mark is a level of. */
static unsigned level_count(const struct code_subject *subject, unsigned mark)
{
    const struct jit_marks *marks = &subject->code.marks;
    const struct jit_mark *level = &marks->marks[mark];
    unsigned count = level->number + 1;

    for (mark++; mark < marks->mark_count && marks->marks[mark].step == JIT_STEP_LEVEL &&
                 marks->marks[mark].field == level->field;
         mark++)
        count++;
    return count;
}

void print_mark(struct text *out, const struct code_subject *subject, unsigned mark)
{
    const struct jit_mark *it = &subject->code.marks.marks[mark];

    switch ((enum jit_step)it->step) {
    case JIT_STEP_BEGIN:
        if (is_searched_whole(subject, it->field))
            text_print(out, "words %u and %u of the address, as one number", it->number * 2 + 1,
                       it->number * 2 + 2);
        else
            text_print(out, "from the first packet on");
        break;
    case JIT_STEP_FIELDS:
        text_print(out, "what the packets are");
        break;
    case JIT_STEP_RULE:
        print_rule_mark(out, subject, it->number);
        break;
    case JIT_STEP_LEVEL:
        print_field(out, subject, it->field);
        text_print(out, ": which interval, step %u of %u", it->number + 1,
                   level_count(subject, mark));
        break;
    case JIT_STEP_VALUES:
        print_field(out, subject, it->field);
        text_print(out, ": which row of rules");
        break;
    case JIT_STEP_COPIES:
        text_print(out, "what needs no search");
        break;
    case JIT_STEP_COMMON:
        text_print(out, "packet %u: the rules that all its fields leave", it->number);
        break;
    case JIT_STEP_FIRST:
        text_print(out, "packet %u: the first of these rules", it->number);
        break;
    case JIT_STEP_STORE:
        text_print(out, "the rules that decide, of all these packets");
        break;
    case JIT_STEP_TURN:
        text_print(out, "on to the next packets");
        break;
    case JIT_STEP_END:
        text_print(out, subject->is_front ? "that is done" : "back to the receive path");
        break;
    case JIT_STEP_COUNT:
        break;
    }
}

/* ---- Instructions ---------------------------------------------------------------------------- */

/* The operation is that one: with a v before it or not, and whatever letters behind it. */
static bool is_operation(const struct jit_instruction *instruction, const char *operation)
{
    const char *text = instruction->disassembled.text;

    return strncmp(text + (text[0] == 'v'), operation, strlen(operation)) == 0;
}

/* An end of a range. */
static void print_end(struct text *out, const struct code_subject *subject, unsigned field,
                      uint32_t value, bool is_last)
{
    if (is_rank(subject, field))
        print_rank(out, subject, field, value, is_last);
    else
        print_value(out, subject, field, value);
}

static void print_comparison(struct text *out, const struct code_subject *subject, uint32_t value,
                             const struct comment_state *state)
{
    if (state->is_bits) {
        text_print(out, "are ");
        print_bits(out, subject, state->field, value, state->mask);
    } else if (state->is_range) {
        text_print(out, "up to ");
        print_end(out, subject, state->field, state->first + value, true);
    } else {
        text_print(out, "is ");
        print_range(out, subject, state->field, value, value);
    }
}

/* A constant of a rule: an end of a range, a value, bits; or whose answer it is. */
static void print_rule_value(struct text *out, const struct code_subject *subject,
                             const struct jit_instruction *instruction, struct comment_state *state)
{
    const uint32_t value = instruction->value;

    if (is_operation(instruction, "psubd")) {
        state->is_range = true;
        state->first = value;
        text_print(out, "from ");
        print_end(out, subject, state->field, value, false);
        text_print(out, " on");
    } else if (is_operation(instruction, "pcmp")) {
        print_comparison(out, subject, value, state);
        state->is_range = state->is_bits = false;
    } else if (is_operation(instruction, "pand")) {
        state->is_bits = true;
        state->mask = value;
        text_print(out, "of ");
        if (are_members(subject, state->field))
            text_print(out, "those sets");
        else
            print_flag_values(out, value & mask_of_flags, value);
    } else {
        state->is_matched = true;
        text_print(out, "then ");
        print_answer(out, subject, value);
    }
}

/* What a rule's code makes of what it has in registers. */
static void print_rule_logic(struct text *out, const struct jit_instruction *instruction,
                             const struct comment_state *state)
{
    if (is_operation(instruction, "por"))
        text_print(out, "together");
    else if (is_operation(instruction, "pandn"))
        text_print(out, state->is_matched ? "elsewhere what was before" : "and all before");
    else if (is_operation(instruction, "pand"))
        text_print(out, state->is_matched ? "where all of it is so" : "and all before");
}

static void print_table_operand(struct text *out, enum jit_step step,
                                const struct jit_instruction *instruction)
{
    const bool is_load = is_operation(instruction, "mov ");

    if (step == JIT_STEP_LEVEL)
        text_print(out, is_load ? "what the interval leads to" : "bounds of intervals");
    else if (step == JIT_STEP_VALUES)
        text_print(out, "where the row is");
    else if (step == JIT_STEP_COMMON)
        text_print(out, "a part of the row");
    else if (step == JIT_STEP_FIRST)
        text_print(out, "the rule of that bit");
}

void print_instruction(struct text *out, const struct code_subject *subject, unsigned mark,
                       const struct jit_instruction *instruction, struct comment_state *state)
{
    const enum jit_step step = (enum jit_step)subject->code.marks.marks[mark].step;

    if (instruction->has_field)
        state->field = instruction->field;
    switch (instruction->operand) {
    case JIT_OPERAND_FIELD:
        print_field(out, subject, instruction->field);
        break;
    case JIT_OPERAND_VALUE:
        if (step == JIT_STEP_LEVEL)
            text_print(out, instruction->index == 0 ? "the highest bit, which is no sign"
                                                    : "bounds of intervals");
        else
            print_rule_value(out, subject, instruction, state);
        break;
    case JIT_OPERAND_TABLE:
        print_table_operand(out, step, instruction);
        break;
    case JIT_OPERAND_ANSWER:
        if (step == JIT_STEP_LEVEL)
            text_print(out, "how far the packet has come");
        else
            text_print(out, "which rule decides");
        break;
    case JIT_OPERAND_STACK:
        if (step == JIT_STEP_COMMON && is_operation(instruction, "mov "))
            text_print(out, "where the packet's row is");
        break;
    case JIT_OPERAND_NONE:
        if (step == JIT_STEP_RULE)
            print_rule_logic(out, instruction, state);
        break;
    }
}
