/* See filter_log.h. */
#include "net/filter_log.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"
#include "kernel/base/text.h"
#include "net/router.h"

void filter_log_init(struct filter_log *log, uint64_t now_ns)
{
    *log = (struct filter_log){ .rate = rate_of(FILTER_LOG_PER_SECOND, FILTER_LOG_BURST, now_ns) };
}

void filter_log_note(struct filter_log *log, const struct filter *filter, unsigned rule,
                     const struct filter_keys *keys, unsigned i, uint64_t now_ns)
{
    if (log->count == FILTER_NOTE_MAX || !rate_take(&log->rate, now_ns)) {
        log->untold++;
        return;
    }
    struct filter_note *note = &log->notes[log->count++];
    *note = (struct filter_note){ .number = filter->rules[rule].number,
                                  .family = (uint8_t)filter->family,
                                  .action = filter->outcomes[rule].action };
    for (unsigned word = 0; word < FILTER_WORD_COUNT; word++)
        note->words[word] = keys->words[word][i];
}

static void print_end(struct text *text, const struct filter_note *note, enum filter_word address,
                      enum filter_word port)
{
    struct address shown = { .family = note->family };
    char out[ADDRESS_TEXT_MAX];

    for (unsigned i = 0; i < address_bits(&shown) / 32; i++)
        store_be32(shown.bytes + i * 4, note->words[address + i]);
    text_print(text, "%s", address_text(&shown, out));
    if (note->words[port] != FILTER_ABSENT)
        text_print(text, " port %u", note->words[port]);
}

static void print_interface(struct text *text, const struct router *router, const char *word,
                            uint32_t port)
{
    if (port < router->port_count)
        text_print(text, ", %s %s", word, router->ports[port].name);
}

static void write_note(const struct core *core, const struct filter_note *note)
{
    char line[LOG_TEXT_MAX];
    struct text text = text_of(line, sizeof(line));

    text_print(&text, "%s filter %u %s: ", note->family == FAMILY_IPV6 ? "ipv6" : "ip",
               note->number, filter_action_name((enum filter_action)note->action));
    print_end(&text, note, FILTER_SOURCE, FILTER_SOURCE_PORT);
    text_print(&text, " to ");
    print_end(&text, note, FILTER_DESTINATION, FILTER_DESTINATION_PORT);
    text_print(&text, ", protocol %u", note->words[FILTER_PROTOCOL]);
    print_interface(&text, core->router, "in", note->words[FILTER_PORT_IN]);
    print_interface(&text, core->router, "out", note->words[FILTER_PORT_OUT]);
    log_info("filter", "%s", line);
}

void filter_log_write(struct core *core)
{
    struct filter_log *log = &core->filter_log;

    for (unsigned i = 0; i < log->count; i++)
        write_note(core, &log->notes[i]);
    log->count = 0;
    if (log->untold > 0)
        log_info("filter", "%llu more packets were not told of", (unsigned long long)log->untold);
    log->untold = 0;
}
