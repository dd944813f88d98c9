/* What the network looks like from inside: interfaces, routes, neighbors, counters, cores. The
 * names and shapes of the JSON documents are relied on from outside and never change; more may be
 * added. */
#include <string.h>

#include "kernel/base/counter.h"
#include "kernel/base/log.h"
#include "kernel/base/version.h"
#include "kernel/platform.h"
#include "net/autoconf.h"
#include "net/control.h"
#include "net/forwarding.h"
#include "net/ipv6_addresses.h"
#include "net/neighbor.h"
#include "net/rib.h"
#include "net/router.h"
#include "net/wire/nd.h"
#include "shell/session.h"

enum { BATCH = 32 }; /* rows fetched at a time */

/* ---- show version ---------------------------------------------------------------------------- */

static enum command_result show_version(struct command_call *call)
{
    struct record *record = call->record;
    record_text(record, "name", "tsuji");
    record_text(record, "version", tsuji_version());
    record_text(record, "commit", tsuji_commit());
    record_text(record, "build", tsuji_build());
    record_text(record, "platform", platform_name());
    record_seconds(record, "uptime_s", call->now_ns);
    record_time(record, "time", clock_unix_ns());
    record_time(record, "booted", clock_unix_ns() - (int64_t)clock_ns());
    return COMMAND_DONE;
}

/* ---- show interfaces ---------------------------------------------------------------------------
 */

static const char *up_or_down(bool up)
{
    return up ? "up" : "down";
}

static bool is_loopback(const struct router *router, unsigned port)
{
    return port + 1u == router->port_count;
}

static uint64_t sum_drops(const struct port_counters *counters)
{
    uint64_t sum = 0;
    for (unsigned reason = 0; reason < VERDICT_COUNT; reason++)
        sum += counters->dropped[reason];
    return sum;
}

static void write_addresses(struct record *record, const struct config *config, const char *name)
{
    record_list(record, "addresses");
    for (unsigned i = 0; i < config->address_count; i++) {
        if (strcmp(config->addresses[i].interface, name) == 0)
            record_prefix(record, NULL, &config->addresses[i].prefix);
    }
    record_end(record);
}

static void write_interface(struct command_call *call, unsigned index)
{
    struct record *record = call->record;
    const struct router *router = call->router;
    const struct port *port = &router->ports[index];
    struct port_counters counters;
    struct port_info info;
    router_port_counters(router, index, &counters);
    port_info(router, port, &info);
    record_row(record);
    record_text(record, "name", port->name);
    record_text(record, "driver", info.driver);
    record_mac(record, "mac", port->mac);
    record_text(record, "admin", up_or_down(port->admin_up));
    record_text(record, "link", up_or_down(port->link_up));
    record_u64(record, "mtu", port->mtu_bytes);
    write_addresses(record, router->config, port->name);
    record_u64(record, "queues", info.queue_count);
    record_u64(record, "rx_packets", counters.received);
    record_u64(record, "rx_bytes", counters.received_bytes);
    record_u64(record, "rx_dropped", sum_drops(&counters));
    record_u64(record, "tx_packets", counters.transmitted);
    record_u64(record, "tx_bytes", counters.transmitted_bytes);
    record_u64(record, "tx_dropped", counters.transmit_dropped);
    record_u64(record, "rx_errors", info.rx_errors);
    record_u64(record, "rx_no_buffer", info.rx_no_buffer);
    record_u64(record, "tx_errors", info.tx_errors);
    record_u64(record, "link_changes", port->link_changes);
    record_u64(record, "resets", info.resets);
    record_text(record, "location", info.location);
    record_bool(record, "polled", info.polled);
}

static enum command_result show_interface(struct command_call *call, const struct argument *name)
{
    struct port *port = router_port(call->router, name->text);
    if (!port)
        return command_failed(call, "not-found", name, "there is no interface %s", name->text);
    record_blocks(call->record, "interfaces");
    write_interface(call, port->index);
    record_end(call->record);
    return COMMAND_DONE;
}

static enum command_result show_interfaces(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "name", RECORD_PLAIN },       { "driver", RECORD_DETAIL },
        { "mac", RECORD_DETAIL },       { "admin", RECORD_PLAIN },
        { "link", RECORD_PLAIN },       { "mtu", RECORD_PLAIN },
        { "addresses", RECORD_PLAIN },  { "queues", RECORD_DETAIL },
        { "rx_packets", RECORD_PLAIN }, { "rx_bytes", RECORD_DETAIL },
        { "rx_dropped", RECORD_PLAIN }, { "tx_packets", RECORD_PLAIN },
        { "tx_bytes", RECORD_DETAIL },  { "tx_dropped", RECORD_DETAIL },
        { "rx_errors", RECORD_DETAIL }, { "rx_no_buffer", RECORD_DETAIL },
        { "tx_errors", RECORD_DETAIL }, { "link_changes", RECORD_DETAIL },
        { "resets", RECORD_DETAIL },    { "location", RECORD_DETAIL },
        { "polled", RECORD_DETAIL },
    };
    const struct argument *name = line_argument(call->line, "interface");
    if (name)
        return show_interface(call, name);
    record_table(call->record, "interfaces", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < call->router->port_count; i++) {
        if (!is_loopback(call->router, i))
            write_interface(call, i);
    }
    record_end(call->record);
    return COMMAND_DONE;
}

static enum command_result show_interface_queues(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "interface", RECORD_PLAIN },  { "queue", RECORD_PLAIN },      { "core", RECORD_PLAIN },
        { "rx_packets", RECORD_PLAIN }, { "tx_packets", RECORD_PLAIN }, { "rx_ring", RECORD_PLAIN },
        { "tx_ring", RECORD_PLAIN },
    };
    struct record *record = call->record;
    const struct router *router = call->router;
    record_table(record, "queues", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < router->port_count; i++) {
        struct port_info info;
        port_info(router, &router->ports[i], &info);
        for (unsigned queue = 0; queue < info.queue_count; queue++) {
            const struct port_counters *counters =
                &router->cores[info.queue_cores[queue]]->ports[i];
            record_row(record);
            record_text(record, "interface", router->ports[i].name);
            record_u64(record, "queue", queue);
            record_u64(record, "core", info.queue_cores[queue]);
            record_u64(record, "rx_packets", counter_read(&counters->received));
            record_u64(record, "tx_packets", counter_read(&counters->transmitted));
            record_u64(record, "rx_ring", info.ring_entries_rx);
            record_u64(record, "tx_ring", info.ring_entries_tx);
        }
    }
    record_end(record);
    return COMMAND_DONE;
}

static enum command_result show_interface_books(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "interface", RECORD_PLAIN },  { "received", RECORD_PLAIN },
        { "originated", RECORD_PLAIN }, { "sent", RECORD_PLAIN },
        { "delivered", RECORD_PLAIN },  { "dropped", RECORD_PLAIN },
        { "held", RECORD_PLAIN },       { "balanced", RECORD_PLAIN },
    };
    struct record *record = call->record;
    record_table(record, "books", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < call->router->port_count; i++) {
        struct port_books books;
        router_books(call->router, i, &books);
        record_row(record);
        record_text(record, "interface", call->router->ports[i].name);
        record_u64(record, "received", books.received);
        record_u64(record, "originated", books.originated);
        record_u64(record, "sent", books.sent);
        record_u64(record, "delivered", books.delivered);
        record_u64(record, "dropped", books.dropped);
        record_u64(record, "held", (uint64_t)MAX_OF(books.held, 0));
        record_bool(record, "balanced", books.balanced);
    }
    record_end(record);
    return COMMAND_DONE;
}

/* ---- show arp, show ipv6 -----------------------------------------------------------------------
 */

static enum command_result show_neighbors(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "address", RECORD_PLAIN }, { "mac", RECORD_PLAIN },   { "interface", RECORD_PLAIN },
        { "state", RECORD_PLAIN },   { "age_s", RECORD_PLAIN },
    };
    struct record *record = call->record;
    struct neighbor_info neighbors[BATCH];
    struct address *after = call->memory; /* the last one told */
    if (!after) {
        after = call->memory = memory_alloc(sizeof(*after), 0, MEMORY_SHELL);
        if (!after)
            return command_failed(call, "no-memory", NULL, "out of memory");
        record_table(record, "neighbors", columns, ARRAY_COUNT(columns));
    }
    unsigned count = neighbor_list(call->router->neighbors, line_family(call->line), after,
                                   call->now_ns, neighbors, BATCH);
    for (unsigned i = 0; i < count; i++) {
        const struct neighbor_info *neighbor = &neighbors[i];
        record_row(record);
        record_address(record, "address", &neighbor->address);
        if (neighbor->state == NEIGHBOR_INCOMPLETE)
            record_null(record, "mac");
        else
            record_mac(record, "mac", neighbor->mac);
        record_text(record, "interface", call->router->ports[neighbor->port].name);
        record_text(record, "state", neighbor_state_name(neighbor->state));
        record_seconds(record, "age_s", neighbor->age_ns);
        *after = neighbor->address;
    }
    if (count == BATCH && !call->interrupted)
        return COMMAND_AGAIN;
    record_end(record);
    return COMMAND_DONE;
}

/* Nothing for what has no end. */
static void write_time_left(struct command_call *call, const char *name, uint64_t until_ns)
{
    if (until_ns == AUTOCONF_FOREVER)
        record_null(call->record, name);
    else
        record_seconds(call->record, name, until_ns > call->now_ns ? until_ns - call->now_ns : 0);
}

static void write_ipv6_address(struct command_call *call, const struct ipv6_address *at)
{
    const struct prefix prefix = { .address = at->address, .length = at->length };
    record_row(call->record);
    record_text(call->record, "interface", call->router->ports[at->port].name);
    record_prefix(call->record, "address", &prefix);
    record_text(call->record, "state",
                at->state == IPV6_ADDRESS_VALID && at->deprecated
                    ? "deprecated"
                    : ipv6_address_state_name((enum ipv6_address_state)at->state));
    record_text(call->record, "origin",
                ipv6_address_origin_name((enum ipv6_address_origin)at->origin));
    struct autoconf_lifetimes lifetimes = { 0, 0 };
    bool learned =
        autoconf_address_lifetimes(call->router->autoconf, at->port, &at->address, &lifetimes);
    write_time_left(call, "preferred_s", learned ? lifetimes.preferred_until_ns : AUTOCONF_FOREVER);
    write_time_left(call, "valid_s", learned ? lifetimes.valid_until_ns : AUTOCONF_FOREVER);
}

static const char *preference_name(int preference)
{
    return preference < ND_PREFERENCE_MEDIUM   ? "low"
           : preference > ND_PREFERENCE_MEDIUM ? "high"
                                               : "medium";
}

static void write_routers(struct command_call *call, const struct port *only)
{
    static const struct record_column columns[] = {
        { "interface", RECORD_PLAIN },  { "router", RECORD_PLAIN }, { "preference", RECORD_PLAIN },
        { "lifetime_s", RECORD_PLAIN }, { "in_use", RECORD_PLAIN },
    };
    struct record *record = call->record;
    struct autoconf_router router;
    unsigned cursor = 0;
    record_table(record, "routers", columns, ARRAY_COUNT(columns));
    while (autoconf_next_router(call->router->autoconf, &cursor, &router)) {
        if (only && router.port != only->index)
            continue;
        record_row(record);
        record_text(record, "interface", call->router->ports[router.port].name);
        record_address(record, "router", &router.address);
        record_text(record, "preference", preference_name(router.preference));
        write_time_left(call, "lifetime_s", router.until_ns);
        record_bool(record, "in_use", router.in_use);
    }
    record_end(record);
}

/* A few at once, as the reader may be behind. */
static enum command_result show_ipv6_interfaces(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "interface", RECORD_PLAIN }, { "address", RECORD_PLAIN },     { "state", RECORD_PLAIN },
        { "origin", RECORD_PLAIN },    { "preferred_s", RECORD_PLAIN }, { "valid_s", RECORD_PLAIN },
    };
    const struct ipv6_addresses *addresses = call->router->ipv6_addresses;
    const struct argument *name = line_argument(call->line, "interface");
    const struct port *only = name ? router_port(call->router, name->text) : NULL;
    if (name && !only)
        return command_failed(call, "not-found", name, "there is no interface %s", name->text);
    if (call->cursor == 0)
        record_table(call->record, "addresses", columns, ARRAY_COUNT(columns));
    unsigned count = ipv6_addresses_count(addresses);
    for (unsigned i = 0; i < BATCH && call->cursor < count; i++) {
        const struct ipv6_address *at = ipv6_addresses_at(addresses, (unsigned)call->cursor++);
        if (!only || at->port == only->index)
            write_ipv6_address(call, at);
    }
    if (call->cursor < count && !call->interrupted)
        return COMMAND_AGAIN;
    record_end(call->record);
    write_routers(call, only);
    return COMMAND_DONE;
}

/* ---- show cores, show drops, show memory
 * ----------------------------------------------------------- */

static uint64_t register_accesses_of(const struct router *router, unsigned core)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < router->port_count; i++) {
        struct port_info info;
        port_info(router, &router->ports[i], &info);
        for (unsigned queue = 0; queue < info.queue_count; queue++) {
            if (info.queue_cores[queue] == core)
                sum += info.queue_register_accesses[queue];
        }
    }
    return sum;
}

static const char *core_role(const struct core *core)
{
    if (core->index != CONTROL_CORE)
        return core->polled_count > 0 ? "forwarding" : "spare";
    return core->polled_count > 0 ? "control+forwarding" : "control";
}

/* Thousandths of its life. What it did not book as busy it slept, or sleeps still: asked of the
 * core, a sleep would be known at its end only. */
static uint64_t busy_share(const struct core *core, uint64_t now_ns)
{
    uint64_t total_us = (now_ns - core->router->created_ns) / NS_PER_US;
    uint64_t busy_us = counter_read(&core->stats.busy_ns) / NS_PER_US;
    return total_us ? MIN_OF(busy_us * 1000 / total_us, (uint64_t)1000) : 0;
}

static enum command_result show_cores(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "core", RECORD_PLAIN },
        { "role", RECORD_PLAIN },
        { "packets", RECORD_PLAIN },
        { "busy_percent", RECORD_PLAIN },
        { "cycles_per_packet", RECORD_PLAIN },
        { "batch_mean", RECORD_PLAIN },
        { "longest_slice_us", RECORD_DETAIL },
        { "register_accesses", RECORD_DETAIL },
    };
    struct record *record = call->record;
    record_table(record, "cores", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < call->router->core_count; i++) {
        const struct core *core = call->router->cores[i];
        const struct core_stats *stats = &core->stats;
        uint64_t packets = counter_read(&stats->packets);
        uint64_t batches = counter_read(&stats->batches);
        record_row(record);
        record_u64(record, "core", i);
        record_text(record, "role", core_role(core));
        record_u64(record, "packets", packets);
        record_decimal(record, "busy_percent", busy_share(core, call->now_ns), 1);
        record_u64(record, "cycles_per_packet",
                   packets ? router_cycles(call->router, counter_read(&stats->worked_ns)) / packets
                           : 0);
        record_decimal(record, "batch_mean", batches ? packets * 10 / batches : 0, 1);
        record_u64(record, "longest_slice_us", counter_read(&stats->longest_slice_ns) / NS_PER_US);
        record_u64(record, "register_accesses", register_accesses_of(call->router, i));
    }
    record_end(record);
    return COMMAND_DONE;
}

/* Of packets that came in by one card and left by another. */
static enum command_result show_core_latency(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "core", RECORD_PLAIN },   { "packets", RECORD_PLAIN }, { "p50_ns", RECORD_PLAIN },
        { "p99_ns", RECORD_PLAIN }, { "p999_ns", RECORD_PLAIN },
    };
    struct record *record = call->record;
    record_table(record, "latency", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < call->router->core_count; i++) {
        const struct histogram *latency = &call->router->cores[i]->stats.latency;
        record_row(record);
        record_u64(record, "core", i);
        record_u64(record, "packets", histogram_count(latency));
        record_u64(record, "p50_ns", histogram_quantile(latency, 5000));
        record_u64(record, "p99_ns", histogram_quantile(latency, 9900));
        record_u64(record, "p999_ns", histogram_quantile(latency, 9990));
    }
    record_end(record);
    return COMMAND_DONE;
}

static enum command_result show_drops(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "reason", RECORD_PLAIN },
        { "packets", RECORD_PLAIN },
        { "text", RECORD_PLAIN },
    };
    struct record *record = call->record;
    bool all = line_has(call->line, "all");
    uint64_t packets[VERDICT_COUNT] = { 0 };
    for (unsigned i = 0; i < call->router->port_count; i++) {
        struct port_counters counters;
        router_port_counters(call->router, i, &counters);
        for (unsigned reason = 0; reason < VERDICT_COUNT; reason++)
            packets[reason] += counters.dropped[reason];
    }
    record_table(record, "drops", columns, ARRAY_COUNT(columns));
    for (unsigned reason = TAKEN + 1; reason < VERDICT_COUNT; reason++) {
        if (packets[reason] == 0 && !all)
            continue;
        record_row(record);
        record_text(record, "reason", drop_reasons[reason].id);
        record_u64(record, "packets", packets[reason]);
        record_text(record, "text", drop_reasons[reason].text);
    }
    record_end(record);
    return COMMAND_DONE;
}

/* ---- show log
 * --------------------------------------------------------------------------------------- */

static enum command_result show_log(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "time_s", RECORD_PLAIN },  { "core", RECORD_PLAIN }, { "level", RECORD_PLAIN },
        { "subject", RECORD_PLAIN }, { "text", RECORD_PLAIN },
    };
    struct record *record = call->record;
    uint64_t *seen = call->memory; /* per core */
    if (!seen) {
        seen = call->memory = memory_alloc(CORE_MAX * sizeof(*seen), 0, MEMORY_SHELL);
        if (!seen)
            return command_failed(call, "no-memory", NULL, "out of memory");
        record_table(record, "log", columns, ARRAY_COUNT(columns));
    }
    struct log_entry entry;
    for (unsigned i = 0; i < BATCH; i++) {
        if (call->interrupted || !log_next(call->router, seen, &entry)) {
            record_end(record);
            return COMMAND_DONE;
        }
        record_row(record);
        record_decimal(record, "time_s", entry.time_ns / NS_PER_US, 6);
        record_u64(record, "core", entry.core);
        record_text(record, "level", log_level_name(entry.level));
        record_text(record, "subject", entry.subject);
        record_text(record, "text", entry.text);
    }
    return COMMAND_AGAIN;
}

/* clang-format off */
static const struct command commands[] = {
    { .grammar = "show version", .kind = COMMAND_SHOW, .run = show_version,
      .help = "which Tsuji this is, and since when it runs" },
    { .grammar = "show interfaces [<interface:IFNAME>]", .kind = COMMAND_SHOW, .run = show_interfaces,
      .help = "interfaces, their addresses and counters" },
    { .grammar = "show interfaces queues", .kind = COMMAND_SHOW, .run = show_interface_queues,
      .help = "the queues of each card, and who serves them" },
    { .grammar = "show interfaces books", .kind = COMMAND_SHOW, .run = show_interface_books,
      .help = "where all packets have gone" },
    { .grammar = "show arp", .kind = COMMAND_SHOW, .run = show_neighbors,
      .help = "neighbors and their MAC addresses" },
    { .grammar = "show ipv6 neighbors", .kind = COMMAND_SHOW, .run = show_neighbors,
      .help = "neighbors and their MAC addresses" },
    { .grammar = "show ipv6 interfaces [<interface:IFNAME>]", .kind = COMMAND_SHOW,
      .run = show_ipv6_interfaces, .help = "IPv6 addresses, whether they are in use yet and for how long, and the routers that were learned" },
    { .grammar = "show cores", .kind = COMMAND_SHOW, .run = show_cores,
      .help = "what each core does" },
    { .grammar = "show cores latency", .kind = COMMAND_SHOW, .run = show_core_latency,
      .help = "how long packets stay, from receiving to sending" },
    { .grammar = "show drops [all]", .kind = COMMAND_SHOW, .run = show_drops,
      .help = "packets that were dropped, by reason" },
    { .grammar = "show log", .kind = COMMAND_SHOW, .run = show_log,
      .help = "events, oldest first" },
};
/* clang-format on */

const struct command_table show_net_commands = { .commands = commands,
                                                 .count = ARRAY_COUNT(commands) };
