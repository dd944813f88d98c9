/* Commands that do something and are no configuration: clear, ping, traceroute, halt and so on. */
#include "kernel/platform.h"
#include "net/control.h"
#include "net/forwarding.h"
#include "net/probe.h"
#include "net/router.h"
#include "net/wire/icmp4.h"
#include "net/wire/icmp6.h"
#include "shell/command.h"
#include "shell/shell.h"

static enum command_result run_clear_counters(struct command_call *call)
{
    if (line_has(call->line, "filter"))
        router_clear_filter_hits(call->router);
    else
        router_clear_counters(call->router, call->now_ns);
    return COMMAND_DONE;
}

static enum command_result run_clear_neighbors(struct command_call *call)
{
    const struct argument *address = line_argument(call->line, "address");
    control_clear_neighbors(call->router, line_family(call->line),
                            address ? &address->prefix.address : NULL);
    return COMMAND_DONE;
}

static enum command_result run_write(struct command_call *call)
{
    record_message(call->record, "there is no storage yet: the configuration lasts until the next "
                                 "start; keep the text of `show configuration`");
    return COMMAND_DONE;
}

/* ---- Ending
 * -------------------------------------------------------------------------------------- */

enum { LAST_WORDS_NS = 50 * NS_PER_MS }; /* for the answer to reach the terminal */

/* Says so, and does it on the second call. */
static enum command_result run_ending(struct command_call *call, const char *words,
                                      void (*end)(void))
{
    if (call->interrupted)
        return COMMAND_DONE;
    if (call->cursor++ > 0)
        end();
    record_message(call->record, "%s", words);
    call->wake_ns = call->now_ns + LAST_WORDS_NS;
    return COMMAND_AGAIN;
}

static void power_off(void)
{
    platform_power_off();
}

static void restart(void)
{
    platform_restart();
}

static enum command_result run_halt(struct command_call *call)
{
    return run_ending(call, "halting", power_off);
}

static enum command_result run_reboot(struct command_call *call)
{
    return run_ending(call, "restarting", restart);
}

static enum command_result run_exit_code(struct command_call *call)
{
    platform_exit((int)line_argument(call->line, "code")->number);
}

/* ---- ping
 * ------------------------------------------------------------------------------------------ */

enum {
    PROBE_POLL_NS = 2 * NS_PER_MS,
    PING_COUNT = 5,
    PING_INTERVAL_MS = 1000,
    PROBE_TIMEOUT_MS = 2000,
    PING_PAYLOAD_BYTES = 56,
    PING_TTL = 64,
    TRACE_COUNT = 3, /* probes per hop */
    TRACE_HOP_MAX = 30,
    TRACE_INTERVAL_MS = 10,
};

struct probing {
    struct probe *probe;
    uint64_t sent, received;
    uint64_t minimum_ns, maximum_ns, sum_ns;
};

static void forget_probing(void *memory)
{
    struct probing *probing = memory;
    if (probing->probe)
        probe_stop(probing->probe);
    memory_free(probing);
}

static const char *unreachable_name(const struct probe_event *event)
{
    /* RFC 792, RFC 1812 5.2.7.1: codes of destination unreachable. */
    static const char *const names[] = {
        [0] = "net-unreachable",  [1] = "host-unreachable", [2] = "protocol-unreachable",
        [3] = "port-unreachable", [4] = "too-big",          [5] = "source-route-failed",
        [6] = "net-unknown",      [7] = "host-unknown",     [9] = "net-prohibited",
        [10] = "host-prohibited", [13] = "filtered",
    };
    /* RFC 4443 3.1; what means the same has the same word. */
    static const char *const names6[] = {
        [0] = "net-unreachable",  [1] = "filtered",         [2] = "beyond-scope",
        [3] = "host-unreachable", [4] = "port-unreachable", [5] = "source-filtered",
        [6] = "rejected",
    };
    bool ipv6 = event->from.family == FAMILY_IPV6;
    const char *const *list = ipv6 ? names6 : names;
    unsigned count = ipv6 ? ARRAY_COUNT(names6) : ARRAY_COUNT(names);
    if (event->icmp_type == (ipv6 ? ICMP6_PARAMETER_PROBLEM : ICMP4_PARAMETER_PROBLEM))
        return "parameter-problem";
    if (event->icmp_type != (ipv6 ? ICMP6_UNREACHABLE : ICMP4_UNREACHABLE))
        return "unreachable";
    return event->icmp_code < count && list[event->icmp_code] ? list[event->icmp_code]
                                                              : "unreachable";
}

static const char *answer_name(const struct probe_event *event)
{
    static const char *const names[] = {
        [PROBE_REPLY] = "reply",     [PROBE_TTL_EXPIRED] = "ttl-expired",
        [PROBE_UNREACHABLE] = NULL,  [PROBE_TOO_BIG] = "too-big",
        [PROBE_TIMEOUT] = "timeout", [PROBE_NO_ROUTE] = "no-route",
    };
    return event->answer == PROBE_UNREACHABLE ? unreachable_name(event) : names[event->answer];
}

static uint64_t number_or(const struct command_call *call, const char *name, uint64_t otherwise)
{
    const struct argument *argument = line_argument(call->line, name);
    return argument ? argument->number : otherwise;
}

/* A link-local target is a neighbor on one of our links, and only the operator knows on which. */
static bool read_link(struct command_call *call, struct probe_setup *setup)
{
    const struct argument *target = line_argument(call->line, "target");
    const struct argument *interface = line_argument(call->line, "interface");
    bool wanted = address_is_link_local(&setup->target);
    setup->port = PORT_NONE;
    if (!interface && !wanted)
        return true;
    const struct port *port = interface ? router_port(call->router, interface->text) : NULL;
    enum command_result failed = COMMAND_DONE;
    if (!interface)
        failed = command_failed(call, "no-interface", target,
                                "%s is link-local: say on which link, with interface NAME",
                                target->text);
    else if (!wanted)
        failed = command_failed(call, "bad-value", interface,
                                "only a link-local target needs an interface");
    else if (!port)
        failed = command_failed(call, "not-found", interface, "there is no interface %s",
                                interface->text);
    else
        setup->port = port->index;
    return failed == COMMAND_DONE;
}

/* One of ours, or answers would never come here. */
static bool read_source(struct command_call *call, struct probe_setup *setup)
{
    const struct argument *source = line_argument(call->line, "source");
    const struct forwarding *view =
        atomic_load_explicit(&call->router->forwarding, memory_order_acquire);
    enum command_result failed = COMMAND_DONE;
    if (!source)
        return true;
    setup->source = source->prefix.address;
    if (setup->source.family != setup->target.family)
        failed = command_failed(call, "bad-value", source,
                                "%s and the target are not of the same family", source->text);
    else if (!forwarding_is_own(view, setup->port, &setup->source))
        failed =
            command_failed(call, "not-found", source, "%s is no address of ours%s", source->text,
                           address_is_link_local(&setup->source) ? " on that link" : "");
    return failed == COMMAND_DONE;
}

static bool read_size(struct command_call *call, struct probe_setup *setup)
{
    const struct argument *bytes = line_argument(call->line, "bytes");
    uint64_t size = bytes ? bytes->number : PING_PAYLOAD_BYTES;
    setup->payload_bytes = (uint16_t)size;
    return setup->target.family != FAMILY_IPV6 || size <= PROBE6_PAYLOAD_MAX_BYTES ||
           command_failed(call, "bad-value", bytes, "over IPv6 no more than %d bytes fit",
                          PROBE6_PAYLOAD_MAX_BYTES) == COMMAND_DONE;
}

/* What both commands say; false: it makes no sense. */
static bool read_setup(struct command_call *call, struct probe_setup *setup)
{
    *setup = (struct probe_setup){
        .target = line_argument(call->line, "target")->prefix.address,
        .count = (uint32_t)number_or(call, "count", PING_COUNT),
        .interval_ms = (uint32_t)number_or(call, "milliseconds", PING_INTERVAL_MS),
        .timeout_ms = PROBE_TIMEOUT_MS,
        .dont_fragment = line_has(call->line, "df"),
        .ttl_max = PING_TTL,
    };
    return read_size(call, setup) && read_link(call, setup) && read_source(call, setup);
}

/* On the first call, before any record. */
static enum command_result probing_start(struct command_call *call, const struct probe_setup *setup)
{
    struct probing *probing = memory_alloc(sizeof(*probing), 0, MEMORY_SHELL);
    if (probing) {
        probing->probe = probe_start(call->router, setup, call->now_ns);
        call->memory = probing;
        call->forget = forget_probing;
    }
    if (probing && probing->probe)
        return COMMAND_DONE;
    return command_failed(call, "full", NULL, "no more than %d probes at once, or out of memory",
                          PROBE_MAX);
}

static void count_event(struct probing *probing, const struct probe_event *event)
{
    probing->sent++;
    if (event->answer != PROBE_REPLY)
        return;
    bool first = probing->received++ == 0;
    uint64_t time_ns = event->round_trip_ns;
    probing->minimum_ns = first ? time_ns : MIN_OF(probing->minimum_ns, time_ns);
    probing->maximum_ns = MAX_OF(probing->maximum_ns, time_ns);
    probing->sum_ns += time_ns;
}

static void write_event(struct record *record, const struct probe_event *event)
{
    bool timed = event->answer != PROBE_TIMEOUT && event->answer != PROBE_NO_ROUTE;
    record_text(record, "answer", answer_name(event));
    if (timed)
        record_address(record, "from", &event->from);
    else
        record_null(record, "from");
    if (timed)
        record_decimal(record, "time_ms", event->round_trip_ns / NS_PER_US, 3);
    else
        record_null(record, "time_ms");
}

static void write_ping_summary(struct record *record, const struct probing *probing)
{
    uint64_t lost = probing->sent - probing->received;
    record_u64(record, "sent", probing->sent);
    record_u64(record, "received", probing->received);
    record_u64(record, "loss_percent", probing->sent ? lost * 100 / probing->sent : 0);
    if (probing->received == 0)
        return;
    record_decimal(record, "minimum_ms", probing->minimum_ns / NS_PER_US, 3);
    record_decimal(record, "mean_ms", probing->sum_ns / probing->received / NS_PER_US, 3);
    record_decimal(record, "maximum_ms", probing->maximum_ns / NS_PER_US, 3);
}

static enum command_result run_ping(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "sequence", RECORD_PLAIN }, { "answer", RECORD_WIDE }, { "from", RECORD_WIDE },
        { "time_ms", RECORD_PLAIN },  { "ttl", RECORD_PLAIN },   { "mtu", RECORD_DETAIL },
    };
    struct record *record = call->record;
    struct probe_event event;
    if (!call->memory) {
        struct probe_setup setup;
        if (!read_setup(call, &setup) || probing_start(call, &setup) != COMMAND_DONE)
            return COMMAND_FAILED;
        record_table(record, "replies", columns, ARRAY_COUNT(columns));
    }
    struct probing *probing = call->memory;
    while (probe_poll(probing->probe, call->now_ns, &event)) {
        count_event(probing, &event);
        record_row(record);
        record_u64(record, "sequence", event.sequence);
        write_event(record, &event);
        if (event.answer == PROBE_REPLY)
            record_u64(record, "ttl", event.ttl);
        else
            record_null(record, "ttl");
        if (event.answer == PROBE_TOO_BIG)
            record_u64(record, "mtu", event.mtu);
        else
            record_null(record, "mtu");
    }
    if (!probe_done(probing->probe) && !call->interrupted) {
        call->wake_ns = call->now_ns + PROBE_POLL_NS;
        return COMMAND_AGAIN;
    }
    record_end(record);
    write_ping_summary(record, probing);
    return COMMAND_DONE;
}

static enum command_result run_traceroute(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "hop", RECORD_PLAIN },
        { "answer", RECORD_WIDE },
        { "from", RECORD_WIDE },
        { "time_ms", RECORD_PLAIN },
    };
    struct record *record = call->record;
    struct probe_event event;
    if (!call->memory) {
        struct probe_setup setup;
        if (!read_setup(call, &setup))
            return COMMAND_FAILED;
        setup.trace = true;
        setup.ttl_max = TRACE_HOP_MAX;
        setup.count = TRACE_COUNT;
        setup.interval_ms = TRACE_INTERVAL_MS;
        if (probing_start(call, &setup) != COMMAND_DONE)
            return COMMAND_FAILED;
        record_table(record, "hops", columns, ARRAY_COUNT(columns));
    }
    struct probing *probing = call->memory;
    while (probe_poll(probing->probe, call->now_ns, &event)) {
        record_row(record);
        record_u64(record, "hop", event.ttl);
        write_event(record, &event);
    }
    if (!probe_done(probing->probe) && !call->interrupted) {
        call->wake_ns = call->now_ns + PROBE_POLL_NS;
        return COMMAND_AGAIN;
    }
    record_end(record);
    return COMMAND_DONE;
}

/* clang-format off */
static const struct command commands[] = {
    { .grammar = "ping {<target:ADDR4>|<target:ADDR6>} [{count <count:1-1000000>|"
                 "size <bytes:0-65507>|df|from {<source:ADDR4>|<source:ADDR6>}|"
                 "interval <milliseconds:10-60000>|interface <interface:IFNAME>}]*",
      .kind = COMMAND_ACTION, .run = run_ping, .help = "ask a host whether it is there" },
    { .grammar = "traceroute {<target:ADDR4>|<target:ADDR6>} "
                 "[{from {<source:ADDR4>|<source:ADDR6>}|interface <interface:IFNAME>}]*",
      .kind = COMMAND_ACTION, .run = run_traceroute,
      .help = "find the routers on the way to a host" },
    { .grammar = "clear counters [filter]", .kind = COMMAND_ACTION, .role = ROLE_OPERATOR,
      .run = run_clear_counters, .help = "count from zero: everything, or filters alone" },
    { .grammar = "clear arp [<address:ADDR4>]", .kind = COMMAND_ACTION, .role = ROLE_OPERATOR,
      .run = run_clear_neighbors, .help = "forget learned neighbors" },
    { .grammar = "clear ipv6 neighbors [<address:ADDR6>]", .kind = COMMAND_ACTION, .role = ROLE_OPERATOR,
      .run = run_clear_neighbors, .help = "forget learned neighbors" },
    { .grammar = "write", .kind = COMMAND_ACTION, .role = ROLE_ADMIN, .run = run_write,
      .help = "store the configuration" },
    { .grammar = "halt", .kind = COMMAND_ACTION, .role = ROLE_ADMIN, .run = run_halt,
      .help = "power off" },
    { .grammar = "reboot", .kind = COMMAND_ACTION, .role = ROLE_ADMIN, .run = run_reboot,
      .help = "start again" },
    { .grammar = "reload", .kind = COMMAND_ACTION, .role = ROLE_ADMIN, .run = run_reboot,
      .help = "the same as reboot" },
    { .grammar = "restart", .kind = COMMAND_ACTION, .role = ROLE_ADMIN, .run = run_reboot,
      .help = "the same as reboot" },
    { .grammar = "exit <code:0-127>", .kind = COMMAND_ACTION, .role = ROLE_ADMIN,
      .run = run_exit_code, .only_in_test = true, .help = "end the machine with a status" },
};
/* clang-format on */

const struct command_table action_commands = { .commands = commands,
                                               .count = ARRAY_COUNT(commands) };
