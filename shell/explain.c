/* explain: walks a made-up packet through the stages of the datapath, in their order, and names
 * what decides in each: a filter, a route, a neighbor. It asks what the cores ask, the FIB and the
 * filters in force, and sends nothing, counts nothing. */
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/text.h"
#include "net/control.h"
#include "net/filter.h"
#include "net/filter_set.h"
#include "net/forwarding.h"
#include "net/neighbor.h"
#include "net/rib.h"
#include "net/router.h"
#include "net/wire/icmp4.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "net/wire/tcp.h"
#include "shell/command.h"
#include "shell/filter_text.h"
#include "shell/shell.h"

enum { SOURCE_PORT = 40000 }; /* where none is told */

static const struct record_column columns[] = {
    { "stage", RECORD_PLAIN },
    { "verdict", RECORD_PLAIN },
    { "by", RECORD_WIDE },
};

/* The packet, and how far it has come. */
struct walk {
    struct command_call *call;
    const struct forwarding *view;
    enum family family;
    struct address source, destination;
    bool undecided;    /* the filter waits for the way out */
    uint16_t port_out; /* PORT_NONE: it stays here */
    struct address next_hop;
    struct filter_keys keys; /* of packet 0 */
};

static void write_stage(const struct walk *walk, const char *stage, const char *verdict,
                        const char *by)
{
    struct record *record = walk->call->record;

    record_row(record);
    record_text(record, "stage", stage);
    record_text(record, "verdict", verdict);
    record_text(record, "by", by);
}

/* False, so that it can be returned: nothing follows. */
static bool write_drop(const struct walk *walk, const char *stage, enum verdict why)
{
    write_stage(walk, stage, drop_reasons[why].id, drop_reasons[why].text);
    return false;
}

/* ---- The packet ------------------------------------------------------------------------------ */

static void set_address(struct walk *walk, enum filter_word first_word,
                        const struct address *address)
{
    uint32_t words[FILTER_ADDRESS_WORDS];

    filter_address_words(address, words);
    for (unsigned i = 0; i < FILTER_ADDRESS_WORDS; i++)
        walk->keys.words[first_word + i][0] = words[i];
}

/* What the line does not say is what an opening packet has: SYN, an echo request. */
static void set_upper(struct walk *walk, const struct parsed_line *line)
{
    uint32_t(*words)[BATCH_MAX] = walk->keys.words;
    const struct argument *source = line_argument(line, "source");
    const struct argument *destination = line_argument(line, "destination");
    const struct argument *letters = line_argument(line, "letters");
    const struct argument *type = line_argument(line, "icmp_type");
    bool ipv6 = walk->family == FAMILY_IPV6;

    words[FILTER_SOURCE_PORT][0] = words[FILTER_DESTINATION_PORT][0] = FILTER_ABSENT;
    words[FILTER_TYPE][0] = words[FILTER_FLAGS][0] = FILTER_ABSENT;
    words[FILTER_FRAGMENT][0] = FILTER_WHOLE;
    if (line_has(line, "icmp")) {
        words[FILTER_PROTOCOL][0] = ipv6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP;
        words[FILTER_TYPE][0] = type   ? (uint32_t)type->number
                                : ipv6 ? (uint32_t)ICMP6_ECHO_REQUEST
                                       : (uint32_t)ICMP4_ECHO_REQUEST;
        return;
    }
    words[FILTER_PROTOCOL][0] = line_has(line, "tcp") ? PROTOCOL_TCP : PROTOCOL_UDP;
    words[FILTER_SOURCE_PORT][0] =
        source->number == ENDPOINT_NO_PORT ? (uint32_t)SOURCE_PORT : (uint32_t)source->number;
    words[FILTER_DESTINATION_PORT][0] = (uint32_t)destination->number;
    if (line_has(line, "tcp"))
        words[FILTER_FLAGS][0] = letters ? (uint32_t)letters->number : (uint32_t)TCP_SYN;
}

/* What makes no packet is said at its argument. */
static enum command_result read_packet(struct walk *walk)
{
    struct command_call *call = walk->call;
    const struct argument *interface = line_argument(call->line, "arrival");
    const struct argument *source = line_argument(call->line, "source");
    const struct argument *destination = line_argument(call->line, "destination");
    const struct port *port = router_port(call->router, interface->text);
    bool icmp = line_has(call->line, "icmp");

    if (!port || !port->nic)
        return command_failed(call, "not-found", interface, "there is no interface %s",
                              interface->text);
    if (source->prefix.address.family != destination->prefix.address.family)
        return command_failed(call, "bad-value", destination, "both are of the same family");
    if (icmp && (source->number != ENDPOINT_NO_PORT || destination->number != ENDPOINT_NO_PORT))
        return command_failed(call, "bad-value",
                              source->number != ENDPOINT_NO_PORT ? source : destination,
                              "ICMP has no ports");
    if (!icmp && destination->number == ENDPOINT_NO_PORT)
        return command_failed(call, "bad-value", destination, "the port is missing, like %s",
                              destination->prefix.address.family == FAMILY_IPV6 ? "[2001:db8::1]:80"
                                                                                : "192.0.2.1:80");
    walk->source = source->prefix.address;
    walk->destination = destination->prefix.address;
    walk->family = (enum family)walk->source.family;
    set_address(walk, FILTER_SOURCE, &walk->source);
    set_address(walk, FILTER_DESTINATION, &walk->destination);
    set_upper(walk, call->line);
    walk->keys.words[FILTER_PORT_IN][0] = port->index;
    return COMMAND_DONE;
}

/* ---- Its way ----------------------------------------------------------------------------------
 */

static void print_rule(const struct walk *walk, const struct filter_rule *rule,
                       const struct filter_outcome *outcome, struct text *out)
{
    const struct config *config = walk->call->router->config;
    const struct config_filter *statement = config_find_filter(config, walk->family, rule->number);

    if (rule->number != 0 && statement) {
        print_filter(out, statement);
        return;
    }
    bool drops = config->filter_default_drop[walk->family];
    text_print(out, "%s filter default %s%s", filter_keyword(walk->family), drops ? "drop" : "pass",
               drops && outcome->action == FILTER_PASS ? ", which spares neighbor discovery" : "");
}

/* False: it goes no further. */
static bool walk_filter(struct walk *walk, const char *stage, enum filter_moment moment)
{
    const struct filter *filter = walk->view->filters[walk->family];
    char by[LINE_BYTES_MAX];
    struct text text = text_of(by, sizeof(by));
    uint32_t rules[BATCH_MAX];

    if (!filter || (moment == FILTER_LEAVING && !walk->undecided))
        return true;
    filter_decide(filter, moment, &walk->keys, 1, rules);
    const struct filter_rule *rule = &filter->rules[rules[0]];
    const struct filter_outcome *outcome = filter_outcome_of(filter, rule);
    print_rule(walk, rule, outcome, &text);
    walk->undecided = moment == FILTER_ARRIVING && outcome->names_out;
    if (walk->undecided) {
        write_stage(walk, stage, "undecided", by);
        return true;
    }
    write_stage(walk, stage, filter_action_name((enum filter_action)outcome->action), by);
    return outcome->action == FILTER_PASS;
}

static bool source_is_impossible(const struct walk *walk)
{
    enum next_hop_kind kind = forwarding_kind(walk->view, &walk->source);

    return !address_is_unicast(&walk->source) || kind == NEXT_HOP_LOCAL ||
           kind == NEXT_HOP_LOOPBACK || kind == NEXT_HOP_BROADCAST;
}

static void print_route(const struct walk *walk, struct text *out)
{
    char shown[PREFIX_TEXT_MAX];
    struct route route;

    if (!control_route_for(walk->call->router, &walk->destination, &route)) {
        text_print(out, "no route");
        return;
    }
    text_print(out, "%s route %s, %s", filter_keyword(walk->family),
               prefix_text(&route.prefix, shown),
               next_hop_kind_name((enum next_hop_kind)route.path.kind));
}

static enum verdict verdict_of_kind(enum next_hop_kind kind)
{
    switch (kind) {
    case NEXT_HOP_BLACKHOLE:
        return DROP_BLACKHOLE;
    case NEXT_HOP_REJECT:
        return DROP_REJECT;
    case NEXT_HOP_MULTICAST:
        return DROP_MULTICAST;
    case NEXT_HOP_LINK_LOCAL:
        return DROP_BEYOND_SCOPE;
    case NEXT_HOP_MARTIAN:
    case NEXT_HOP_LOOPBACK:
        return DROP_MARTIAN_DESTINATION;
    default:
        return DROP_NO_ROUTE;
    }
}

/* To our own stack: an address of ours, a broadcast of the net from which it came. */
static bool is_for_us(const struct walk *walk, const struct next_hop *next_hop)
{
    uint16_t port_in = (uint16_t)walk->keys.words[FILTER_PORT_IN][0];

    if (next_hop->kind == NEXT_HOP_LINK_LOCAL)
        return forwarding_is_own_on(walk->view, port_in, &walk->destination);
    if (next_hop->kind == NEXT_HOP_MULTICAST)
        return walk->family == FAMILY_IPV6 &&
               forwarding_is_own_group(walk->view, port_in, walk->destination.bytes);
    return next_hop->kind == NEXT_HOP_LOCAL || next_hop->kind == NEXT_HOP_LIMITED_BROADCAST ||
           (next_hop->kind == NEXT_HOP_BROADCAST && next_hop->port == port_in);
}

static bool walk_route(struct walk *walk)
{
    const struct next_hop *next_hop = forwarding_lookup(walk->view, &walk->destination);
    enum next_hop_kind kind = (enum next_hop_kind)next_hop->kind;
    char by[160];
    struct text text = text_of(by, sizeof(by));

    walk->port_out = PORT_NONE;
    walk->keys.words[FILTER_PORT_OUT][0] = FILTER_ABSENT;
    if (source_is_impossible(walk))
        return write_drop(walk, "route", DROP_MARTIAN_SOURCE);
    print_route(walk, &text);
    if (is_for_us(walk, next_hop)) {
        write_stage(walk, "route", "to-us", by);
        return true;
    }
    if (kind == NEXT_HOP_BROADCAST)
        return write_drop(walk, "route", DROP_DIRECTED_BROADCAST);
    if (kind < NEXT_HOP_CONNECTED) {
        write_stage(walk, "route", drop_reasons[verdict_of_kind(kind)].id, by);
        return false;
    }
    walk->port_out = next_hop->port;
    walk->next_hop = kind == NEXT_HOP_GATEWAY ? next_hop->gateways[0] : walk->destination;
    walk->keys.words[FILTER_PORT_OUT][0] = walk->port_out;
    if (next_hop->gateway_count > 1)
        text_print(&text, ", the first of %u gateways", next_hop->gateway_count);
    write_stage(walk, "route", "pass", by);
    return true;
}

static void walk_neighbor(const struct walk *walk)
{
    const struct router *router = walk->call->router;
    const struct adjacency *adjacency =
        neighbor_lookup(router->neighbors, walk->port_out, &walk->next_hop);
    char by[128], shown[ADDRESS_TEXT_MAX];
    struct text text = text_of(by, sizeof(by));

    text_print(&text, "%s on %s", address_text(&walk->next_hop, shown),
               router->ports[walk->port_out].name);
    if (adjacency)
        text_print(&text, ", %pM", (const void *)adjacency->header);
    write_stage(walk, "neighbor", adjacency ? "known" : "to-be-asked", by);
}

static void walk_on(struct walk *walk)
{
    if (!walk_filter(walk, "filter-in", FILTER_ARRIVING) || !walk_route(walk))
        return;
    if (!walk_filter(walk, "filter-out", FILTER_LEAVING))
        return;
    if (walk->port_out == PORT_NONE)
        write_stage(walk, "local", "delivered", "our own stack");
    else
        walk_neighbor(walk);
}

static enum command_result run_explain(struct command_call *call)
{
    struct walk walk = {
        .call = call,
        .view = atomic_load_explicit(&call->router->forwarding, memory_order_acquire),
    };
    enum command_result result = read_packet(&walk);

    if (result != COMMAND_DONE)
        return result;
    record_table(call->record, "stages", columns, ARRAY_COUNT(columns));
    walk_on(&walk);
    record_end(call->record);
    return COMMAND_DONE;
}

/* clang-format off */
static const struct command commands[] = {
    { .grammar = "explain in <arrival:IFNAME> {tcp <source:ENDPOINT> <destination:ENDPOINT> [flags <letters:FLAGS>]|"
                 "udp <source:ENDPOINT> <destination:ENDPOINT>|"
                 "icmp <source:ENDPOINT> <destination:ENDPOINT> [type <icmp_type:0-255>]}",
      .kind = COMMAND_SHOW, .run = run_explain,
      .help = "what would become of a packet, and what decides; nothing is sent" },
};
/* clang-format on */

const struct command_table explain_commands = { .commands = commands,
                                                .count = ARRAY_COUNT(commands) };
