/* `show memory`: the heap by owner and the packet pools. What only the bare machine knows (pages,
 * stacks, who forgot to free) is in kernel/show_machine.c. */
#include "kernel/base/packet.h"
#include "kernel/platform.h"
#include "net/router.h"
#include "shell/command.h"
#include "shell/shell.h"

static void write_heap(struct record *record, const struct memory_stats *stats)
{
    record_object(record, "heap");
    record_u64(record, "live", stats->live);
    record_u64(record, "live_bytes", stats->live_bytes);
    record_u64(record, "peak_bytes", stats->peak_bytes);
    record_u64(record, "free_bytes", stats->free_bytes);
    record_u64(record, "double_frees", stats->double_frees);
    record_u64(record, "corruptions", stats->corruptions);
    record_end(record);
}

/* A core that went to sleep before its cards had sent the last frames frees them when it wakes. So
 * it is woken: who asks twice sees all that is free. */
static void write_packets(struct record *record, const struct router *router)
{
    static const struct record_column columns[] = {
        { "core", RECORD_PLAIN },
        { "total", RECORD_PLAIN },
        { "free", RECORD_PLAIN },
        { "failed", RECORD_PLAIN },
    };
    record_table(record, "packets", columns, ARRAY_COUNT(columns));
    for (unsigned core = 0; router && router->pools && core < router->core_count; core++) {
        struct packet_pool_stats pool;
        packet_pool_stats(packet_pool(router->pools, core), &pool);
        if (router->cores[core])
            core_wake(core);
        record_row(record);
        record_u64(record, "core", core);
        record_u64(record, "total", pool.total);
        record_u64(record, "free", pool.free);
        record_u64(record, "failed", pool.failed);
    }
    record_end(record);
}

static void write_tags(struct record *record, const struct memory_stats *stats)
{
    static const struct record_column columns[] = {
        { "tag", RECORD_PLAIN },
        { "live", RECORD_PLAIN },
        { "live_bytes", RECORD_PLAIN },
    };
    record_table(record, "tags", columns, ARRAY_COUNT(columns));
    for (unsigned tag = 0; tag < MEMORY_TAG_COUNT; tag++) {
        record_row(record);
        record_text(record, "tag", memory_tag_name((enum memory_tag)tag));
        record_u64(record, "live", stats->tags[tag].live);
        record_u64(record, "live_bytes", stats->tags[tag].live_bytes);
    }
    record_end(record);
}

static enum command_result show_memory(struct command_call *call)
{
    struct memory_stats stats;
    memory_stats(&stats);
    write_heap(call->record, &stats);
    write_packets(call->record, call->router);
    write_tags(call->record, &stats);
    return COMMAND_DONE;
}

static const struct command commands[] = {
    { .grammar = "show memory",
      .kind = COMMAND_SHOW,
      .role = ROLE_VIEW,
      .help = "memory by owner, and the packet pools",
      .run = show_memory },
};

const struct command_table show_memory_commands = { commands, ARRAY_COUNT(commands), NULL };
