/* Goal: `show memory` tells what rigs compare before and after. Method: the handler with a record
 * of JSON, over a router that has packet pools and nothing else. */
#include <string.h>

#include "kernel/base/packet.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/router.h"
#include "shell/command.h"
#include "shell/record_printer.h"
#include "shell/shell.h"
#include "tests/unit/test.h"

static struct router router;
static char shown[8192];

static const char *show_memory(void)
{
    struct output output;
    EXPECT(output_init(&output) == OK);
    struct sink sink = output_sink(&output);
    struct record *record = record_create(RECORD_FORMAT_JSON, sink);
    struct command_call call = { .router = &router, .record = record };
    EXPECT(show_memory_commands.commands[0].run(&call) == COMMAND_DONE);
    record_finish(record);
    record_destroy(record);
    size_t length = output_waiting(&output);
    EXPECT(length < sizeof(shown));
    memcpy(shown, output.bytes + output.start, length);
    shown[length] = '\0';
    output_destroy(&output);
    return shown;
}

TEST(show_memory_lists_pools_and_tags)
{
    router.core_count = 2;
    router.pools = packet_pools_create(2, 1000);
    EXPECT(router.pools != NULL);
    struct packet_pool_stats stats;
    packet_pool_stats(packet_pool(router.pools, 1), &stats);
    char expected[128];
    text_format(expected, sizeof(expected), "{\"core\":1,\"total\":%llu,\"free\":%llu,",
                (unsigned long long)stats.total, (unsigned long long)stats.total - 1);
    struct packet *packet = packet_alloc(packet_pool(router.pools, 1));
    EXPECT(packet != NULL);
    const char *text = show_memory();
    EXPECT(strstr(text, expected) != NULL);
    EXPECT(strstr(text, "{\"heap\":{\"live\":") != NULL);
    EXPECT(strstr(text, "\"double_frees\":0,\"corruptions\":0") != NULL);
    EXPECT(strstr(text, "{\"tag\":\"packet\",\"live\":") != NULL);
    packet_free(packet_pool(router.pools, 1), packet);
    packet_pools_destroy(router.pools);
}

TEST(show_memory_works_without_a_router)
{
    router = (struct router){ .core_count = 0 };
    EXPECT(strstr(show_memory(), "\"packets\":[]") != NULL);
}
