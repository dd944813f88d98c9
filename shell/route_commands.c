/* Commands about routes of either family: show ip route, show ipv6 route, load routes. */
#include <string.h>

#include "kernel/base/pause.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/config_routes.h"
#include "net/control.h"
#include "net/fib4.h"
#include "net/fib6.h"
#include "net/forwarding.h"
#include "net/rib.h"
#include "net/route_file.h"
#include "net/router.h"
#include "shell/command.h"
#include "shell/session.h"
#include "shell/shell.h"

enum { ROUTES_PER_CALL = 32 }; /* and for each of them a few rows */

static const struct forwarding *view_of(const struct router *router)
{
    return atomic_load_explicit(&router->forwarding, memory_order_acquire);
}

/* ---- show ip route ------------------------------------------------------------------------------
 */

static const struct record_column route_columns[] = {
    { "prefix", RECORD_PLAIN },   { "next_hop", RECORD_PLAIN }, { "interface", RECORD_PLAIN },
    { "protocol", RECORD_PLAIN }, { "distance", RECORD_PLAIN }, { "active", RECORD_PLAIN },
    { "kind", RECORD_PLAIN },
};

/* A row per gateway, of which one that is on no connected net that is up has no interface. */
static void write_route_way(struct command_call *call, const struct route *route,
                            const struct address *gateway)
{
    const struct router *router = call->router;
    struct record *record = call->record;
    uint16_t port = route->port;
    if (gateway)
        port = forwarding_gateway_port(view_of(router), router->ribs[gateway->family], &route->path,
                                       gateway);
    record_row(record);
    record_prefix(record, "prefix", &route->prefix);
    if (gateway)
        record_address(record, "next_hop", gateway);
    else
        record_null(record, "next_hop");
    if (port < router->port_count)
        record_text(record, "interface", router->ports[port].name);
    else
        record_null(record, "interface");
    record_text(record, "protocol", route_protocol_name((enum route_protocol)route->path.protocol));
    record_u64(record, "distance", route->path.distance);
    record_bool(record, "active", route->active);
    record_text(record, "kind", next_hop_kind_name((enum next_hop_kind)route->path.kind));
}

static void write_route(struct command_call *call, const struct route *route)
{
    for (unsigned i = 0; i < route->path.gateway_count; i++)
        write_route_way(call, route, &route->path.gateways[i]);
    if (route->path.gateway_count == 0)
        write_route_way(call, route, NULL);
}

static enum command_result show_route_for(struct command_call *call, const struct argument *target)
{
    struct route route;
    if (!control_route_for(call->router, &target->prefix.address, &route))
        return command_failed(call, "no-route", target, "there is no route to %s", target->text);
    record_table(call->record, "routes", route_columns, ARRAY_COUNT(route_columns));
    write_route(call, &route);
    record_end(call->record);
    return COMMAND_DONE;
}

/* `default` is one route, not all that it contains. */
static bool is_asked_for(const struct argument *within, const struct prefix *prefix)
{
    if (!within)
        return true;
    if (within->type == TOKEN_WORD)
        return prefix->length == 0;
    return prefix->length >= within->prefix.length &&
           prefix_contains(&within->prefix, &prefix->address);
}

/* All routes, or those within a prefix; a few at once, as the reader may be behind. */
static enum command_result show_routes(struct command_call *call)
{
    const struct argument *address = line_argument(call->line, "address");
    const struct argument *within = line_argument(call->line, "prefix");
    if (address)
        return show_route_for(call, address);
    enum family family = line_family(call->line);
    struct rib_cursor *cursor = call->memory;
    if (!cursor) {
        cursor = call->memory = memory_alloc(sizeof(*cursor), 0, MEMORY_SHELL);
        if (!cursor)
            return command_failed(call, "no-memory", NULL, "out of memory");
        record_table(call->record, "routes", route_columns, ARRAY_COUNT(route_columns));
    }
    struct route routes[ROUTES_PER_CALL];
    unsigned count = 0;
    if (!call->interrupted)
        count = rib_list(call->router->ribs[family],
                         forwarding_table_of(view_of(call->router), family)->next_hops, cursor,
                         routes, ROUTES_PER_CALL);
    for (unsigned i = 0; i < count; i++)
        if (is_asked_for(within, &routes[i].prefix))
            write_route(call, &routes[i]);
    if (count > 0)
        return COMMAND_AGAIN;
    record_end(call->record);
    return COMMAND_DONE;
}

static enum command_result show_route_summary(struct command_call *call)
{
    const struct router *router = call->router;
    enum family family = line_family(call->line);
    record_u64(call->record, "routes", rib_count(router->ribs[family]));
    record_u64(call->record, "fib_bytes",
               family == FAMILY_IPV6 ? fib6_bytes(router->fib6) : fib4_bytes(router->fib4));
    return COMMAND_DONE;
}

/* ---- load routes --------------------------------------------------------------------------------
 */

static void breathe(void *router)
{
    control_yield(router);
}

static unsigned route_count_of(const struct router *router, enum family family, const char *name)
{
    const struct route_files *files = router->route_files[family];
    for (unsigned i = 0; i < CONFIG_ROUTE_FILE_MAX; i++)
        if (strcmp(files->at[i].name, name) == 0)
            return files->at[i].route_count;
    return 0;
}

/* Commits the statement `ip route file NAME`, or `ipv6 ...`; where it is in force already, reads
 * the file again. */
static enum error load_routes(struct shell *shell, enum family family, const char *name,
                              struct problem *problem)
{
    const struct config *running = shell->router->config;
    struct commit_report report;
    if (config_has_route_file(running, family, name)) {
        enum error error = control_read_routes(shell->router, family, name, &report);
        if (error)
            problem_set(problem, error == ERROR_BAD_VALUE ? "refused" : error_id(error), NULL, "%s",
                        report.problem);
        return error;
    }
    struct config *next = config_copy(running);
    enum error error = next ? config_set_route_file(next, family, name) : ERROR_NO_MEMORY;
    if (error) {
        problem_set(problem, error_id(error), NULL, "%s", error_text(error));
        config_destroy(next);
        return error;
    }
    return shell_commit(shell, next, &report, problem);
}

static enum command_result run_load_routes(struct command_call *call)
{
    const struct argument *name = line_argument(call->line, "name");
    struct problem problem;
    uint64_t start_ns = clock_ns();
    if (!file_name_is_valid(name->text))
        return command_failed(call, "bad-value", name, "no file can have that name");
    if (load_routes(call->session->shell, line_family(call->line), name->text, &problem) != OK)
        return command_failed(call, problem.id, name, "%s", problem.text);
    unsigned count = route_count_of(call->router, line_family(call->line), name->text);
    uint64_t us = (clock_ns() - start_ns) / NS_PER_US;
    record_message(call->record, "%u %s in %llu.%llu ms", count, count == 1 ? "route" : "routes",
                   (unsigned long long)(us / 1000), (unsigned long long)(us / 100 % 10));
    return COMMAND_DONE;
}

/* What a file says, beside what the cores' own table answers. */
struct comparison {
    const struct router *router;
    uint64_t looked_up, differ;
};

static bool leads_to(const struct next_hop *next_hop, const struct address *gateway)
{
    if (gateway->family == FAMILY_NONE)
        return next_hop->kind != NEXT_HOP_GATEWAY;
    for (unsigned i = 0; i < next_hop->gateway_count; i++)
        if (address_equal(&next_hop->gateways[i], gateway))
            return true;
    return false;
}

static enum error compare_line(void *context, const struct route_line *line, const char **wrong)
{
    struct comparison *comparison = context;
    if (line->prefix.length != address_bits(&line->prefix.address)) {
        *wrong = "an address is looked up, not a prefix";
        return fail(ERROR_BAD_VALUE);
    }
    const struct forwarding *view = view_of(comparison->router);
    const struct address *address = &line->prefix.address;
    enum family family = (enum family)address->family;
    uint32_t address_be = address_ipv4_be(address);
    uint16_t number;
    if (family == FAMILY_IPV6) /* both as the cores do */
        fib6_lookup_batch(view->fib6, &address->bytes, &number, 1);
    else
        fib4_lookup_batch(view->fib4, &address_be, &number, 1);
    comparison->looked_up++;
    comparison->differ +=
        !leads_to(&forwarding_table_of(view, family)->next_hops[number], &line->next_hop);
    return OK;
}

static enum command_result run_check_routes(struct command_call *call)
{
    const struct argument *name = line_argument(call->line, "name");
    const struct argument *answers = line_argument(call->line, "file");
    const struct pause pause = { .take = breathe, .context = call->router };
    struct comparison comparison = { .router = call->router };
    char why[128];
    struct text text = text_of(why, sizeof(why));
    enum family family = line_family(call->line);
    if (!config_has_route_file(call->router->config, family, name->text))
        return command_failed(call, "not-found", name,
                              "those routes are not loaded: `load %sroutes %s` does it",
                              family == FAMILY_IPV6 ? "ipv6 " : "", name->text);
    enum error error =
        route_file_read(answers->text, family, compare_line, &comparison, &pause, &text);
    if (error)
        return command_failed(call, error_id(error), answers, "%s: %s", answers->text, why);
    record_message(call->record, "%llu looked up, %llu differ",
                   (unsigned long long)comparison.looked_up, (unsigned long long)comparison.differ);
    return COMMAND_DONE;
}

/* clang-format off */
static const struct command commands[] = {
    { .grammar = "show ip route [{<address:ADDR4>|<prefix:PREFIX4|default>}]", .kind = COMMAND_SHOW,
      .run = show_routes, .help = "all routes, those in a prefix, or the one for an address" },
    { .grammar = "show ip route summary", .kind = COMMAND_SHOW, .run = show_route_summary,
      .help = "how many routes there are" },
    { .grammar = "show ipv6 route [{<address:ADDR6>|<prefix:PREFIX6|default>}]", .kind = COMMAND_SHOW,
      .run = show_routes, .help = "all routes, those in a prefix, or the one for an address" },
    { .grammar = "show ipv6 route summary", .kind = COMMAND_SHOW, .run = show_route_summary,
      .help = "how many routes there are" },
    { .grammar = "load routes <name:NAME>", .kind = COMMAND_SESSION, .role = ROLE_ADMIN,
      .run = run_load_routes, .help = "read a file of routes, anew if it is in force" },
    { .grammar = "load routes <name:NAME> check <file:NAME>", .kind = COMMAND_SESSION,
      .role = ROLE_ADMIN, .run = run_check_routes,
      .help = "look up addresses whose next hops a file tells" },
    { .grammar = "load ipv6 routes <name:NAME>", .kind = COMMAND_SESSION, .role = ROLE_ADMIN,
      .run = run_load_routes, .help = "read a file of routes, anew if it is in force" },
    { .grammar = "load ipv6 routes <name:NAME> check <file:NAME>", .kind = COMMAND_SESSION,
      .role = ROLE_ADMIN, .run = run_check_routes,
      .help = "look up addresses whose next hops a file tells" },
};
/* clang-format on */

const struct command_table route_commands = { .commands = commands,
                                              .count = ARRAY_COUNT(commands) };
