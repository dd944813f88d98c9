/* show ip filter code [N] [asm|hex|cost]: the machine code that decides about packets, read back by
 * a disassembler from where it runs; what leads to one rule; and what each part costs.
 *
 * What is shown belongs to one filter. A commit that comes between two calls ends the command, as
 * the code that it spoke of is gone. */
#include "shell/filter_code.h"

#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/filter_cost.h"
#include "net/router.h"
#include "shell/code_comments.h"

enum {
    STEPS_PER_CALL = 16, /* instructions, entries; some 50 microseconds */
    COST_TRIES = 64,     /* of each part, a few at a time: what disturbs some disturbs no other */
    TRIES_PER_CALL = 4,
    COST_PACKETS = FILTER_COST_PASSES * BATCH_MAX,
    HEX_BYTES = 2 * 15 + 1,
    COMMENT_BYTES = 256,
};

enum look { LOOK_ASM, LOOK_HEX, LOOK_COST };

/* What is done next. */
enum chapter { MEASURING, HEAD, ENTRIES, PARTS, CODE };

struct code_show {
    enum look look;
    enum chapter chapter;
    struct code_subject subject;
    uint64_t generation;
    enum filter_moment moment;
    bool is_of_rule; /* that one alone: */
    uint32_t answer;
    bool has_table; /* a table of the record is open */
    bool in_front;  /* the subject is the code before that of the rules */
    /* PARTS, CODE: */
    unsigned mark;
    uint32_t at; /* in the mark; its first byte: it was not begun */
    struct comment_state comments;
    /* ENTRIES: */
    struct jit_entry_search search;
    /* MEASURING: */
    unsigned tries;
    struct filter_cost cost;
    uint64_t random_state;
    struct filter_keys keys;
    uint64_t cycles[FILTER_MOMENT_COUNT][JIT_MARK_MAX]; /* the fewest, up to the end of the mark */
    uint64_t front_cycles[FILTER_MOMENT_COUNT];
};

static const struct record_column entry_columns[] = {
    { "looked_up", RECORD_WIDE },
    { "values", RECORD_WIDE },
    { "code", RECORD_PLAIN },
};
static const struct record_column part_columns[] = {
    { "at", RECORD_PLAIN },
    { "bytes", RECORD_PLAIN },
    { "cycles", RECORD_PLAIN },
    { "what", RECORD_PLAIN },
};
static const struct record_column asm_columns[] = {
    { "at", RECORD_PLAIN },
    { "bytes", RECORD_DETAIL },
    { "instruction", RECORD_WIDE },
    { "what", RECORD_PLAIN },
};
static const struct record_column hex_columns[] = {
    { "at", RECORD_PLAIN },
    { "bytes", RECORD_WIDE },
    { "instruction", RECORD_DETAIL },
    { "what", RECORD_PLAIN },
};

static const struct filter *filter_of(const struct command_call *call)
{
    return call->router->filters[line_family(call->line)];
}

static const char *moment_name(enum filter_moment moment)
{
    return moment == FILTER_ARRIVING ? "arriving" : "leaving";
}

/* Where code is: "0x0010-0x0042", the last byte included. */
static void print_place(struct text *out, uint32_t at, uint32_t end)
{
    text_print(out, "0x%04x-0x%04x", at, end - 1);
}

/* ---- Measuring ------------------------------------------------------------------------------- */

/* Nothing of its own to measure: what takes the packets around, and back, is part of every copy. */
static bool has_cost(const struct jit_mark *mark)
{
    return mark->step != JIT_STEP_TURN && mark->step != JIT_STEP_END;
}

/* On to the next moment of which there is code. False: there is none. */
static bool next_moment(struct code_show *show)
{
    const struct filter *filter = show->subject.filter;

    while (++show->moment < FILTER_MOMENT_COUNT) {
        if (filter->compiled[show->moment])
            return true;
    }
    return false;
}

static void enter_moment(struct code_show *show, enum filter_moment moment)
{
    show->moment = moment;
    jit_filter_describe(show->subject.filter->compiled[moment], &show->subject.code);
    filter_draw(show->subject.filter, moment, &show->keys, BATCH_MAX, &show->random_state);
}

static enum filter_moment first_moment(const struct filter *filter)
{
    return filter->compiled[FILTER_ARRIVING] ? FILTER_ARRIVING : FILTER_LEAVING;
}

/* All of the moment is measured. */
static void end_measuring(struct code_show *show)
{
    show->mark = 0;
    if (next_moment(show)) {
        enter_moment(show, show->moment);
        return;
    }
    enter_moment(show, first_moment(show->subject.filter));
    show->chapter = HEAD;
}

/* A few tries with the code up to the end of one mark, the fewest cycles of which count. */
static enum error measure_some(struct code_show *show)
{
    uint64_t *least = &show->cycles[show->moment][show->mark];
    uint64_t *front = &show->front_cycles[show->moment];
    enum error error = OK;

    if (show->tries == 0) {
        *least = *front = UINT64_MAX;
        error = filter_cost_make(&show->cost, show->subject.filter, show->moment, show->mark);
    }
    if (error != OK)
        return error;
    for (unsigned i = 0; i < TRIES_PER_CALL; i++) {
        const uint64_t cycles = filter_cost_measure(&show->cost, &show->keys);
        const uint64_t before = filter_cost_measure_front(&show->cost, &show->keys);
        *least = MIN_OF(*least, cycles);
        *front = MIN_OF(*front, before);
    }
    show->tries += TRIES_PER_CALL;
    if (show->tries < COST_TRIES)
        return OK;
    filter_cost_clear(&show->cost);
    show->tries = 0;
    if (++show->mark == show->subject.code.marks.mark_count)
        end_measuring(show);
    return OK;
}

/* Cycles for each packet, in tenths. */
static uint64_t per_packet(uint64_t cycles)
{
    return (cycles * 10 + COST_PACKETS / 2) / COST_PACKETS;
}

/* What the part of a mark adds to what is before it. What is faster with it than without it, by
 * chance, adds nothing. */
static uint64_t cost_of(const struct code_show *show, unsigned mark)
{
    const uint64_t *cycles = show->cycles[show->moment];

    return per_packet(mark == 0 ? cycles[0]
                                : cycles[mark] - MIN_OF(cycles[mark], cycles[mark - 1]));
}

/* ---- What is told ---------------------------------------------------------------------------- */

static bool belongs(const struct code_show *show, unsigned mark)
{
    const struct jit_mark *it = &show->subject.code.marks.marks[mark];

    if (!show->is_of_rule || it->step == JIT_STEP_RULE)
        return !show->is_of_rule || it->number == show->answer;
    /* What looks at tables is everybody's. */
    return show->look == LOOK_COST && show->subject.code.marks.table_count > 0;
}

static bool any_belongs(const struct code_show *show)
{
    for (unsigned i = 0; i < show->subject.code.marks.mark_count; i++)
        if (belongs(show, i))
            return true;
    return false;
}

/* Only where something will stand in it. */
static void begin_table(struct code_show *show, struct record *record)
{
    show->has_table = true;
    switch (show->look) {
    case LOOK_COST:
        record_table(record, "parts", part_columns, ARRAY_COUNT(part_columns));
        break;
    case LOOK_HEX:
        record_table(record, "code", hex_columns, ARRAY_COUNT(hex_columns));
        break;
    case LOOK_ASM:
        record_table(record, "code", asm_columns, ARRAY_COUNT(asm_columns));
        break;
    }
}

/* The code that runs before that of the rules belongs to none of them. */
static bool begin_front(struct code_show *show, struct record *record)
{
    struct jit_description front;

    if (!show->subject.code.front || show->is_of_rule || show->look == LOOK_COST || show->in_front)
        return false;
    jit_front_describe(&show->subject.code, &front);
    show->subject.code = front;
    show->subject.is_front = show->in_front = true;
    record_object(record, show->moment == FILTER_ARRIVING ? "before_arriving" : "before_leaving");
    record_text(record, "what", "the places of addresses among all that are named, and their sets");
    record_u64(record, "code_bytes", front.code_bytes);
    record_u64(record, "table_bytes", front.table_bytes);
    show->mark = 0;
    show->at = 0;
    show->chapter = CODE;
    begin_table(show, record);
    return true;
}

/* On to the code of the rules. */
static void end_front(struct code_show *show, struct record *record)
{
    record_end(record);
    record_end(record);
    jit_filter_describe(show->subject.filter->compiled[show->moment], &show->subject.code);
    show->subject.is_front = false;
    show->chapter = HEAD;
}

static void tell_head(struct code_show *show, struct record *record)
{
    if (begin_front(show, record))
        return;
    show->in_front = false;

    static const char *const vectors[] = {
        [JIT_SSE2] = "sse2", [JIT_AVX2] = "avx2", [JIT_AVX512] = "avx512"
    };
    const struct jit_description *code = &show->subject.code;

    record_object(record, moment_name(show->moment));
    record_format(record, "kind", "%s %s", code->shape, vectors[code->vectors]);
    record_u64(record, "code_bytes", code->code_bytes);
    record_u64(record, "table_bytes", code->table_bytes);
    if (code->front)
        record_format(record, "before",
                      "%u bytes of code and %zu bytes of tables, that find the places of addresses "
                      "among all that are named, and their sets",
                      code->front_code_bytes, code->front_table_bytes);
    if (show->look == LOOK_COST) {
        const uint64_t before = code->front ? show->front_cycles[show->moment] : 0;
        const uint64_t rules = show->cycles[show->moment][code->marks.mark_count - 1];
        record_decimal(record, "cycles", per_packet(before + rules), 1);
        if (code->front)
            record_decimal(record, "before_cycles", per_packet(before), 1);
        record_format(record, "measured",
                      "here and now, on %u packets that were made up: the fewest TSC cycles of %u "
                      "tries, for each packet",
                      BATCH_MAX, COST_TRIES);
    }
    show->mark = 0;
    show->at = 0;

    show->search = (struct jit_entry_search){ .answer = show->answer };
    show->has_table = false;
    if (show->is_of_rule && code->marks.table_count > 0) {
        show->chapter = ENTRIES;
        return;
    }
    show->chapter = show->look == LOOK_COST ? PARTS : CODE;
    if (any_belongs(show))
        begin_table(show, record);
}

/* That mark is of the same search as the first one: of a longer key it begins with the words. */
static bool is_lookup(const struct jit_description *code, unsigned mark,
                      const struct jit_mark *first)
{
    const struct jit_mark *it = &code->marks.marks[mark];

    return mark < code->marks.mark_count && it->field == first->field &&
           (it->step == first->step ||
            (first->step == JIT_STEP_BEGIN && it->step == JIT_STEP_LEVEL));
}

/* Marks that look at a table follow each other. */
static uint32_t lookup_end(const struct jit_description *code, const struct jit_table *table)
{
    unsigned mark = table->mark;
    const struct jit_mark *first = &code->marks.marks[mark];

    if (table->kind == JIT_TABLE_ROWS) {
        while (mark + 1 < code->marks.mark_count && code->marks.marks[mark].step != JIT_STEP_TURN)
            mark++;
    } else {
        while (is_lookup(code, mark + 1, first))
            mark++;
    }
    return jit_mark_end(code, mark);
}

static void tell_entry(struct code_show *show, const struct jit_entry *entry, struct record *record)
{
    const struct jit_description *code = &show->subject.code;
    char shown[COMMENT_BYTES];
    struct text text = text_of(shown, sizeof(shown));

    record_row(record);
    if (entry->table->kind == JIT_TABLE_ROWS)
        text_print(&text, "row of rules");
    else
        print_field(&text, &show->subject, entry->table->field);
    record_text(record, "looked_up", shown);
    text = text_of(shown, sizeof(shown));
    print_entry(&text, &show->subject, entry);
    record_text(record, "values", shown);
    text = text_of(shown, sizeof(shown));
    print_place(&text, code->marks.marks[entry->table->mark].at, lookup_end(code, entry->table));
    record_text(record, "code", shown);
}

static bool tell_some_entries(struct code_show *show, struct record *record)
{
    struct jit_entry entry;

    for (unsigned i = 0; i < STEPS_PER_CALL && !record_full(record); i++) {
        enum jit_found found = jit_entry_next(&show->subject.code, &show->search, &entry);
        if (found == JIT_NO_MORE)
            return true;
        if (found == JIT_NOT_YET)
            continue;
        if (!show->has_table)
            record_table(record, "entries", entry_columns, ARRAY_COUNT(entry_columns));
        show->has_table = true;
        tell_entry(show, &entry, record);
    }
    return false;
}

static void tell_part(const struct code_show *show, struct record *record)
{
    const struct jit_description *code = &show->subject.code;
    const struct jit_mark *mark = &code->marks.marks[show->mark];
    char shown[COMMENT_BYTES];
    struct text text = text_of(shown, sizeof(shown));

    print_mark(&text, &show->subject, show->mark);
    record_row(record);
    record_format(record, "at", "0x%04x", mark->at);
    record_u64(record, "bytes", jit_mark_end(code, show->mark) - mark->at);
    if (has_cost(mark))
        record_decimal(record, "cycles", cost_of(show, show->mark), 1);
    else
        record_null(record, "cycles");
    record_text(record, "what", shown);
}

static bool tell_some_parts(struct code_show *show, struct record *record)
{
    for (unsigned i = 0; i < STEPS_PER_CALL && !record_full(record); i++) {
        if (show->mark == show->subject.code.marks.mark_count)
            return true;
        if (belongs(show, show->mark))
            tell_part(show, record);
        show->mark++;
    }
    return false;
}

static void tell_line(struct record *record, uint32_t at, const char *bytes,
                      const char *instruction, const char *what)
{
    record_row(record);
    record_format(record, "at", "0x%04x", at);
    record_text(record, "bytes", bytes);
    record_text(record, "instruction", instruction);
    record_text(record, "what", what);
}

/* Answers where the next one is. */
static uint32_t tell_instruction(struct code_show *show, struct record *record)
{
    const struct jit_description *code = &show->subject.code;
    char bytes[HEX_BYTES], what[COMMENT_BYTES];
    struct text hex = text_of(bytes, sizeof(bytes)), comment = text_of(what, sizeof(what));
    struct jit_instruction instruction;

    jit_instruction_at(code, show->at, &instruction);
    /* Of what is not understood, the bytes alone, one by one. */
    const unsigned length = MAX_OF(instruction.disassembled.length, 1u);
    for (unsigned i = 0; i < length; i++)
        text_print(&hex, "%02x", code->code[show->at + i]);
    print_instruction(&comment, &show->subject, show->mark, &instruction, &show->comments);
    tell_line(record, show->at, bytes, instruction.disassembled.text, what);
    return show->at + length;
}

/* A mark is told on a line of its own, before its instructions. */
static void tell_mark(struct code_show *show, struct record *record)
{
    char what[COMMENT_BYTES];
    struct text text = text_of(what, sizeof(what));

    print_mark(&text, &show->subject, show->mark);
    show->at = show->subject.code.marks.marks[show->mark].at;
    show->comments = (struct comment_state){ .field = 0 };
    tell_line(record, show->at, "", "", what);
}

static bool tell_some_code(struct code_show *show, struct record *record)
{
    const struct jit_description *code = &show->subject.code;

    for (unsigned i = 0; i < STEPS_PER_CALL && !record_full(record); i++) {
        if (show->mark == code->marks.mark_count)
            return true;
        if (!belongs(show, show->mark)) {
            show->mark++;
            continue;
        }
        if (show->at <= code->marks.marks[show->mark].at)
            tell_mark(show, record);
        show->at = tell_instruction(show, record);
        if (show->at >= jit_mark_end(code, show->mark))
            show->mark++;
    }
    return false;
}

/* ---- The command ----------------------------------------------------------------------------- */

/* The number of a rule is another thing than its place in the filter. False: it has no such rule.
 */
static bool find_answer(const struct filter *filter, uint64_t number, uint32_t *answer)
{
    for (*answer = 0; *answer < filter->rule_count; ++*answer)
        if (filter->rules[*answer].number == number)
            return true;
    return false;
}

/* It may end amid a measurement. */
static void forget(void *memory)
{
    struct code_show *show = memory;

    filter_cost_clear(&show->cost);
    memory_free(show);
}

static enum command_result begin(struct command_call *call)
{
    const struct argument *number = line_argument(call->line, "number");
    const struct filter *filter = filter_of(call);
    struct code_show *show = memory_alloc(sizeof(*show), 0, MEMORY_SHELL);

    call->memory = show;
    if (!show)
        return command_failed(call, "no-memory", NULL, "out of memory");
    call->forget = forget;
    *show = (struct code_show){
        .look = line_has(call->line, "cost")  ? LOOK_COST
                : line_has(call->line, "hex") ? LOOK_HEX
                                              : LOOK_ASM,
        .subject = { .router = call->router, .filter = filter },
        .generation = filter->generation,
        .is_of_rule = number != NULL,
        .random_state = clock_ns(),
    };
    if (number && !find_answer(filter, number->number, &show->answer))
        return command_failed(call, "not-found", number, "there is no such filter");
    show->chapter = show->look == LOOK_COST ? MEASURING : HEAD;
    enter_moment(show, first_moment(filter));
    return COMMAND_AGAIN;
}

/* When packets are judged without code, and why. */
static void tell_interpreter(struct command_call *call, const struct filter *filter,
                             enum filter_moment moment)
{
    const bool is_off = call->router->config->filter_jit_off[line_family(call->line)];
    struct record *record = call->record;

    record_object(record, moment_name(moment));
    record_text(record, "kind", "interpreter");
    record_text(record, "why",
                !filter  ? "there are no filters"
                : is_off ? "filters are read one by one, as was told: jit off"
                         : "filters are read one by one: they are too many, or too different, for "
                           "the compiler");
    record_end(record);
}

/* After the code of the others. */
static enum command_result tell_interpreted(struct command_call *call, const struct filter *filter)
{
    if (!filter || !filter->compiled[FILTER_ARRIVING])
        tell_interpreter(call, filter, FILTER_ARRIVING);
    if (filter && filter->names_out && !filter->compiled[FILTER_LEAVING])
        tell_interpreter(call, filter, FILTER_LEAVING);
    return COMMAND_DONE;
}

/* Of a rule without code. */
static void tell_why(const struct code_show *show, struct record *record)
{
    const struct filter_rule *rule = &show->subject.filter->rules[show->answer];

    if (rule->shadowed_by != 0)
        record_format(record, "why", "it is never reached: rule %u has all of its packets",
                      rule->shadowed_by);
    else if (show->subject.code.groups > 1)
        record_format(record, "why",
                      "it is one of many that are searched in %u groups: what leads "
                      "to it is not told",
                      show->subject.code.groups);
    else
        record_text(record, "why", "it is never reached: there is no code of it");
}

/* The table that is open, and all of the moment. */
static void end_moment(const struct code_show *show, struct record *record)
{
    if (show->has_table)
        record_end(record);
    else
        tell_why(show, record);
    record_end(record);
}

/* The code has gone while it was shown. */
static enum command_result end_early(struct command_call *call, const struct code_show *show)
{
    if (show->chapter == MEASURING)
        return command_failed(call, "changed", NULL, "the filters have changed meanwhile");
    if (show->chapter != HEAD) {
        if (show->has_table)
            record_end(call->record);
        record_end(call->record);
    }
    record_text(call->record, "changed", "the filters have changed meanwhile; this is not all");
    return COMMAND_DONE;
}

static enum command_result measure(struct command_call *call, struct code_show *show)
{
    if (call->interrupted)
        return command_failed(call, "interrupted", NULL, "not measured to the end");
    enum error error = measure_some(show);
    if (error != OK)
        return command_failed(call, error_id(error), NULL, "%s",
                              error == ERROR_FULL ? "the code has too many parts to be measured"
                                                  : "out of memory");
    return COMMAND_AGAIN;
}

/* True: nothing is left of the chapter. */
static bool go_on(struct code_show *show, struct record *record)
{
    switch (show->chapter) {
    case ENTRIES:
        return tell_some_entries(show, record);
    case PARTS:
        return tell_some_parts(show, record);
    default:
        return tell_some_code(show, record);
    }
}

static bool has_code(const struct filter *filter)
{
    return filter && (filter->compiled[FILTER_ARRIVING] || filter->compiled[FILTER_LEAVING]);
}

enum command_result show_filter_code(struct command_call *call)
{
    const struct filter *filter = filter_of(call);
    struct code_show *show = call->memory;

    if (!show)
        return has_code(filter) ? begin(call) : tell_interpreted(call, filter);
    if (!filter || filter->generation != show->generation)
        return end_early(call, show);
    if (show->chapter == MEASURING)
        return measure(call, show);
    if (show->chapter == HEAD) {
        tell_head(show, call->record);
        return COMMAND_AGAIN;
    }
    if (!go_on(show, call->record) && !call->interrupted)
        return COMMAND_AGAIN;
    if (show->chapter == ENTRIES && show->look == LOOK_COST && show->has_table &&
        !call->interrupted) {
        record_end(call->record);
        begin_table(show, call->record);
        show->chapter = PARTS;
        return COMMAND_AGAIN;
    }
    if (show->in_front && !call->interrupted) {
        end_front(show, call->record);
        return COMMAND_AGAIN;
    }
    end_moment(show, call->record);
    if (call->interrupted)
        return COMMAND_DONE;
    if (!next_moment(show))
        return tell_interpreted(call, filter);
    enter_moment(show, show->moment);
    show->chapter = HEAD;
    return COMMAND_AGAIN;
}
