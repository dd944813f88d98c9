/* The statements of the configuration: grammar, what each does to a struct config, and how a
 * configuration is printed as statements again. Interfaces need not exist: that is judged at the
 * commit. */
#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/config.h"
#include "shell/config_text.h"
#include "shell/secret.h"
#include "shell/shell.h"
#include "shell/value.h"

const char *role_name(enum role role)
{
    static const char *const names[] = { "view", "operator", "admin" };
    return names[role];
}

static const char *const console_names[CONSOLE_KIND_COUNT] = { "com1", "vga" };

/* ---- system ---------------------------------------------------------------------------------- */

static enum error apply_name(struct config *config, const struct parsed_line *line,
                             struct problem *problem)
{
    (void)problem;
    text_format(config->name, sizeof(config->name), "%s", line_argument(line, "name")->text);
    return OK;
}

static enum error apply_login(struct config *config, const struct parsed_line *line,
                              struct problem *problem)
{
    const struct argument *name = line_argument(line, "name");
    const struct argument *secret = line_argument(line, "secret");
    struct config_login login = { .role = ROLE_ADMIN };
    if (strlen(name->text) >= sizeof(login.name)) {
        problem_set(problem, "bad-value", name, "a login's name has at most %zu characters",
                    sizeof(login.name) - 1);
        return fail(ERROR_BAD_VALUE);
    }
    text_format(login.name, sizeof(login.name), "%s", name->text);
    if (line_has(line, "view"))
        login.role = ROLE_VIEW;
    if (line_has(line, "operator"))
        login.role = ROLE_OPERATOR;
    if (secret_is_stored(secret->text)) {
        text_format(login.secret, sizeof(login.secret), "%s", secret->text);
    } else if (strncmp(secret->text, "$s$", 3) == 0) {
        problem_set(problem, "bad-value", secret, "this stored secret is damaged");
        return fail(ERROR_BAD_VALUE);
    } else {
        uint8_t salt[SECRET_SALT_BYTES];
        random_bytes(salt, sizeof(salt));
        secret_store(secret->text, salt, login.secret);
    }
    return problem_refused(config_set_login(config, &login), name, problem);
}

static enum error apply_console(struct config *config, const struct parsed_line *line,
                                struct problem *problem)
{
    (void)problem;
    enum console_kind kind = line_has(line, "vga") ? CONSOLE_VGA : CONSOLE_COM1;
    config->console_login[kind] = line_has(line, "on");
    return OK;
}

static enum error apply_watchdog(struct config *config, const struct parsed_line *line,
                                 struct problem *problem)
{
    const struct argument *time = line_argument(line, "time");
    uint64_t seconds = time ? time->number : 0;
    if (time && (seconds == 0 || seconds > 86400)) {
        problem_set(problem, "bad-value", time, "must be 1s to 1d, or off");
        return fail(ERROR_BAD_VALUE);
    }
    config->watchdog_s = (uint32_t)seconds;
    return OK;
}

/* ---- interface ------------------------------------------------------------------------------- */

static struct config_interface interface_of(const struct config *config,
                                            const struct argument *name)
{
    const struct config_interface *known = config_find_interface(config, name->text);
    struct config_interface interface = { 0 };
    if (known)
        return *known;
    text_format(interface.name, sizeof(interface.name), "%s", name->text);
    return interface;
}

/* One of which nothing special is wished is not in the configuration at all. */
static enum error set_interface(struct config *config, const struct config_interface *interface,
                                const struct argument *name, struct problem *problem)
{
    static const struct config_advertising nothing;
    if (interface->down || interface->mtu_bytes != 0 || interface->has_mac ||
        interface->ipv6_auto || interface->proxied_count > 0 ||
        memcmp(&interface->advertising, &nothing, sizeof(nothing)) != 0)
        return problem_refused(config_set_interface(config, interface), name, problem);
    enum error error = config_remove_interface(config, interface->name);
    return error == ERROR_NOT_FOUND ? OK : error;
}

static enum error apply_interface_state(struct config *config, const struct parsed_line *line,
                                        struct problem *problem)
{
    const struct argument *name = line_argument(line, "interface");
    struct config_interface interface = interface_of(config, name);
    interface.down = line_has(line, "down");
    return set_interface(config, &interface, name, problem);
}

static enum error apply_interface_mtu(struct config *config, const struct parsed_line *line,
                                      struct problem *problem)
{
    const struct argument *name = line_argument(line, "interface");
    struct config_interface interface = interface_of(config, name);
    interface.mtu_bytes = (uint16_t)line_argument(line, "bytes")->number;
    return set_interface(config, &interface, name, problem);
}

static enum error apply_interface_mac(struct config *config, const struct parsed_line *line,
                                      struct problem *problem)
{
    static const uint8_t zero[6];
    const struct argument *name = line_argument(line, "interface");
    const struct argument *mac = line_argument(line, "address");
    struct config_interface interface = interface_of(config, name);
    if ((mac->mac[0] & 1) != 0 || memcmp(mac->mac, zero, sizeof(zero)) == 0) {
        problem_set(problem, "bad-value", mac, "an interface's own address is a unicast one");
        return fail(ERROR_BAD_VALUE);
    }
    memcpy(interface.mac, mac->mac, sizeof(interface.mac));
    interface.has_mac = true;
    return set_interface(config, &interface, name, problem);
}

/* ---- ip, ipv6, arp ------------------------------------------------------------------------------
 */

static enum error apply_address(struct config *config, const struct parsed_line *line,
                                struct problem *problem)
{
    const struct argument *name = line_argument(line, "interface");
    const struct argument *address = line_argument(line, "address");
    struct config_address entry = { .prefix = address->prefix,
                                    .secondary = line_has(line, "secondary") };
    text_format(entry.interface, sizeof(entry.interface), "%s", name->text);
    enum error error = config_set_address(config, &entry);
    if (error == ERROR_BAD_VALUE) {
        problem_set(problem, "bad-value", address,
                    "no host has that address: it is the network's, a %s multicast one",
                    line_family(line) == FAMILY_IPV6 ? "special or" : "broadcast or");
        return error;
    }
    return problem_refused(error, address, problem);
}

/* ADDR/LEN, or `auto`. */
static enum error apply_ipv6_address(struct config *config, const struct parsed_line *line,
                                     struct problem *problem)
{
    const struct argument *name = line_argument(line, "interface");
    struct config_interface interface = interface_of(config, name);
    if (line_argument(line, "address")->type != TOKEN_WORD)
        return apply_address(config, line, problem);
    interface.ipv6_auto = true;
    return set_interface(config, &interface, name, problem);
}

static enum error apply_advertising(struct config *config, const struct parsed_line *line,
                                    struct problem *problem)
{
    const struct argument *name = line_argument(line, "interface");
    struct config_interface interface = interface_of(config, name);
    interface.advertising.on = line_has(line, "on");
    return set_interface(config, &interface, name, problem);
}

/* Once, into an ascending list. False: it is full. */
static bool add_prefix(struct prefix *prefixes, uint8_t *count, unsigned maximum,
                       const struct prefix *prefix)
{
    unsigned at = 0;
    while (at < *count && prefix_compare(&prefixes[at], prefix) < 0)
        at++;
    if (at < *count && prefix_equal(&prefixes[at], prefix))
        return true;
    if (*count == maximum)
        return false;
    memmove(&prefixes[at + 1], &prefixes[at], (*count - at) * sizeof(prefixes[0]));
    prefixes[at] = *prefix;
    ++*count;
    return true;
}

static enum error apply_advertised_prefix(struct config *config, const struct parsed_line *line,
                                          struct problem *problem)
{
    const struct argument *prefix = line_argument(line, "prefix");
    const struct argument *name = line_argument(line, "interface");
    struct config_interface interface = interface_of(config, name);
    struct config_advertising *advertising = &interface.advertising;
    if (!add_prefix(advertising->prefixes, &advertising->prefix_count, ADVERTISED_PREFIX_MAX,
                    &prefix->prefix))
        return problem_refused(ERROR_FULL, prefix, problem);
    return set_interface(config, &interface, prefix, problem);
}

static enum error apply_proxy(struct config *config, const struct parsed_line *line,
                              struct problem *problem)
{
    const struct argument *prefix = line_argument(line, "prefix");
    const struct argument *name = line_argument(line, "interface");
    struct config_interface interface = interface_of(config, name);
    if (!add_prefix(interface.proxied, &interface.proxied_count, PROXIED_MAX, &prefix->prefix))
        return problem_refused(ERROR_FULL, prefix, problem);
    return set_interface(config, &interface, prefix, problem);
}

static enum error apply_advertised_server(struct config *config, const struct parsed_line *line,
                                          struct problem *problem)
{
    const struct argument *server = line_argument(line, "server");
    const struct argument *name = line_argument(line, "interface");
    struct config_interface interface = interface_of(config, name);
    struct config_advertising *advertising = &interface.advertising;
    for (unsigned i = 0; i < advertising->server_count; i++)
        if (address_equal(&advertising->servers[i], &server->prefix.address))
            return OK;
    if (advertising->server_count == ADVERTISED_SERVER_MAX)
        return problem_refused(ERROR_FULL, server, problem);
    advertising->servers[advertising->server_count++] = server->prefix.address;
    return set_interface(config, &interface, server, problem);
}

static uint8_t distance_of(const struct parsed_line *line)
{
    const struct argument *distance = line_argument(line, "distance");
    return distance ? (uint8_t)distance->number : DISTANCE_STATIC;
}

/* What a line says of a route; ROUTE_GATEWAY_MAX bounds its gateways. */
static enum error route_of(const struct parsed_line *line, struct config_route *route,
                           struct problem *problem)
{
    const struct argument *prefix = line_argument(line, "prefix");
    *route = (struct config_route){ .prefix = prefix->prefix, .distance = distance_of(line) };
    if (prefix->type == TOKEN_WORD)
        route->prefix = (struct prefix){ .address.family = (uint8_t)line_family(line) };
    if (line_has(line, "blackhole"))
        route->kind = ROUTE_BLACKHOLE;
    if (line_has(line, "reject"))
        route->kind = ROUTE_REJECT;
    const struct argument *interface = line_argument(line, "interface");
    if (interface)
        text_format(route->interface, sizeof(route->interface), "%s", interface->text);
    const struct argument *gateway = NULL;
    while ((gateway = line_argument_next(line, "gateway", gateway)) != NULL) {
        if (route->gateway_count == ROUTE_GATEWAY_MAX) {
            problem_set(problem, "full", gateway, "a route has at most %d gateways",
                        ROUTE_GATEWAY_MAX);
            return fail(ERROR_FULL);
        }
        route->gateways[route->gateway_count++] = gateway->prefix.address;
    }
    return OK;
}

/* All link-local gateways of a route are behind one interface, which has to be told. */
static enum error check_gateway_interface(const struct config *config,
                                          const struct parsed_line *line,
                                          const struct config_route *route, struct problem *problem)
{
    const struct argument *gateway = NULL;
    while (route->interface[0] == '\0' &&
           (gateway = line_argument_next(line, "gateway", gateway)) != NULL) {
        if (address_is_link_local(&gateway->prefix.address)) {
            problem_set(problem, "bad-value", gateway, "a link-local gateway needs its interface");
            return fail(ERROR_BAD_VALUE);
        }
    }
    const struct config_route *known = config_find_route(config, route);
    if (known && route->interface[0] != '\0' && strcmp(known->interface, route->interface) != 0) {
        problem_set(problem, "bad-value", line_argument(line, "interface"),
                    "the other gateways of that route are not behind that interface");
        return fail(ERROR_BAD_VALUE);
    }
    return OK;
}

static enum error apply_route(struct config *config, const struct parsed_line *line,
                              struct problem *problem)
{
    struct config_route route;
    enum error error = route_of(line, &route, problem);
    if (error)
        return error;
    error = check_gateway_interface(config, line, &route, problem);
    if (error)
        return error;
    return problem_refused(config_set_route(config, &route), line_argument(line, "prefix"),
                           problem);
}

static bool has_gateway(const struct config_route *route, const struct address *gateway)
{
    for (unsigned i = 0; i < route->gateway_count; i++) {
        if (address_equal(&route->gateways[i], gateway))
            return true;
    }
    return false;
}

/* Takes the named gateways out of a route: what is left of it stays. */
static enum error take_gateways(struct config *config, struct config_route route,
                                const struct config_route *named)
{
    struct config_route rest = route;
    rest.gateway_count = 0;
    memset(rest.gateways, 0, sizeof(rest.gateways));
    for (unsigned i = 0; i < route.gateway_count; i++) {
        if (!has_gateway(named, &route.gateways[i]))
            rest.gateways[rest.gateway_count++] = route.gateways[i];
    }
    if (route.gateway_count > 0 && rest.gateway_count == route.gateway_count)
        return ERROR_NOT_FOUND;
    enum error error = config_remove_route(config, &route);
    if (!error && rest.gateway_count > 0)
        error = config_set_route(config, &rest);
    return error;
}

/* `no ip route P gateway G` takes one gateway of several; without a distance, at whatever distance.
 */
static enum error remove_route(struct config *config, const struct parsed_line *line,
                               struct problem *problem)
{
    struct config_route named;
    enum error error = route_of(line, &named, problem);
    if (error)
        return error;
    bool any_distance = !line_has(line, "distance");
    bool removed = false;
    for (unsigned i = config->route_count; i-- > 0;) {
        const struct config_route *route = &config->routes[i];
        bool same = prefix_equal(&route->prefix, &named.prefix) && route->kind == named.kind &&
                    (any_distance || route->distance == named.distance);
        if (!same)
            continue;
        error = take_gateways(config, *route, &named);
        if (error && error != ERROR_NOT_FOUND)
            return problem_refused(error, line_argument(line, "prefix"), problem);
        removed = removed || !error;
    }
    if (removed)
        return OK;
    problem_set(problem, "not-found", line_argument(line, "prefix"), "there is no such route");
    return fail(ERROR_NOT_FOUND);
}

static enum error apply_route_file(struct config *config, const struct parsed_line *line,
                                   struct problem *problem)
{
    const struct argument *name = line_argument(line, "name");
    return problem_refused(config_set_route_file(config, line_family(line), name->text), name,
                           problem);
}

static enum error apply_arp(struct config *config, const struct parsed_line *line,
                            struct problem *problem)
{
    const struct argument *address = line_argument(line, "address");
    const struct argument *name = line_argument(line, "interface");
    struct config_arp entry = { .address_be = address_ipv4_be(&address->prefix.address) };
    memcpy(entry.mac, line_argument(line, "mac")->mac, sizeof(entry.mac));
    text_format(entry.interface, sizeof(entry.interface), "%s", name->text);
    return problem_refused(config_set_arp(config, &entry), address, problem);
}

/* ---- Printing ---------------------------------------------------------------------------------
 */

static bool put_line(struct line_sink *sink, const char *format, ...) PRINTF_LIKE(2, 3);
static bool put_line(struct line_sink *sink, const char *format, ...)
{
    char line[LINE_BYTES_MAX];
    struct text text = text_of(line, sizeof(line));
    va_list args;
    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);
    return sink->put(sink->context, line);
}

static bool print_system(const struct config *config, struct line_sink *sink)
{
    static const char default_name[] = "tsuji";
    if (strcmp(config->name, default_name) != 0 && !put_line(sink, "system name %s", config->name))
        return false;
    for (unsigned i = 0; i < config->login_count; i++) {
        const struct config_login *login = &config->logins[i];
        if (!put_line(sink, "system login %s password %s role %s", login->name, login->secret,
                      role_name((enum role)login->role)))
            return false;
    }
    for (unsigned i = 0; i < CONSOLE_KIND_COUNT; i++) {
        if (config->console_login[i] &&
            !put_line(sink, "system console %s login on", console_names[i]))
            return false;
    }
    if (config->watchdog_s == 0)
        return true;
    char time[24];
    struct text text = text_of(time, sizeof(time));
    print_time(&text, config->watchdog_s);
    return put_line(sink, "system watchdog %s", time);
}

static const char *family_keyword(unsigned family)
{
    return family == FAMILY_IPV6 ? "ipv6" : "ip";
}

static bool print_interfaces(const struct config *config, struct line_sink *sink)
{
    for (unsigned i = 0; i < config->interface_count; i++) {
        const struct config_interface *interface = &config->interfaces[i];
        if (interface->down && !put_line(sink, "interface %s down", interface->name))
            return false;
        if (interface->mtu_bytes != 0 &&
            !put_line(sink, "interface %s mtu %u", interface->name, interface->mtu_bytes))
            return false;
        if (interface->has_mac &&
            !put_line(sink, "interface %s mac %pM", interface->name, (const void *)interface->mac))
            return false;
    }
    for (unsigned i = 0; i < config->address_count; i++) {
        const struct config_address *address = &config->addresses[i];
        char text[PREFIX_TEXT_MAX];
        if (!put_line(sink, "%s %s address %s%s", family_keyword(address->prefix.address.family),
                      address->interface, prefix_text(&address->prefix, text),
                      address->secondary ? " secondary" : ""))
            return false;
    }
    return true;
}

/* What an interface has to do with the others on its link. */
static bool print_neighbors(const struct config_interface *interface, struct line_sink *sink)
{
    char text[PREFIX_TEXT_MAX];
    if (interface->ipv6_auto && !put_line(sink, "ipv6 %s address auto", interface->name))
        return false;
    for (unsigned i = 0; i < interface->proxied_count; i++) {
        if (!put_line(sink, "ipv6 %s proxy %s", interface->name,
                      prefix_text(&interface->proxied[i], text)))
            return false;
    }
    return true;
}

static bool print_advertising(const struct config_interface *interface, struct line_sink *sink)
{
    const struct config_advertising *advertising = &interface->advertising;
    char text[PREFIX_TEXT_MAX];
    if (advertising->on && !put_line(sink, "ipv6 %s ra on", interface->name))
        return false;
    for (unsigned i = 0; i < advertising->prefix_count; i++) {
        if (!put_line(sink, "ipv6 %s ra prefix %s", interface->name,
                      prefix_text(&advertising->prefixes[i], text)))
            return false;
    }
    for (unsigned i = 0; i < advertising->server_count; i++) {
        if (!put_line(sink, "ipv6 %s ra dns %s", interface->name,
                      address_text(&advertising->servers[i], text)))
            return false;
    }
    return true;
}

static bool print_route(const struct config_route *route, struct line_sink *sink)
{
    char line[LINE_BYTES_MAX], shown[PREFIX_TEXT_MAX];
    struct text text = text_of(line, sizeof(line));
    const char *prefix = route->prefix.length == 0 ? "default" : prefix_text(&route->prefix, shown);
    text_print(&text, "%s route %s", family_keyword(route->prefix.address.family), prefix);
    if (route->kind != ROUTE_GATEWAY)
        text_print(&text, " %s", route->kind == ROUTE_REJECT ? "reject" : "blackhole");
    for (unsigned i = 0; i < route->gateway_count; i++)
        text_print(&text, " gateway %s", address_text(&route->gateways[i], shown));
    if (route->interface[0] != '\0')
        text_print(&text, " interface %s", route->interface);
    if (route->distance != DISTANCE_STATIC)
        text_print(&text, " distance %u", route->distance);
    return sink->put(sink->context, line);
}

static bool print_statements(const struct config *config, struct line_sink *sink)
{
    if (!print_system(config, sink) || !print_interfaces(config, sink))
        return false;
    for (unsigned i = 0; i < config->interface_count; i++) {
        if (!print_neighbors(&config->interfaces[i], sink) ||
            !print_advertising(&config->interfaces[i], sink))
            return false;
    }
    for (unsigned i = 0; i < config->route_count; i++) {
        if (!print_route(&config->routes[i], sink))
            return false;
    }
    for (unsigned i = 0; i < config->route_file_count; i++) {
        if (!put_line(sink, "%s route file %s", family_keyword(config->route_files[i].family),
                      config->route_files[i].name))
            return false;
    }
    for (unsigned i = 0; i < config->arp_count; i++) {
        const struct config_arp *arp = &config->arps[i];
        if (!put_line(sink, "arp %pI4 %pM %s", (const void *)&arp->address_be,
                      (const void *)arp->mac, arp->interface))
            return false;
    }
    return true;
}

/* clang-format off */
/* STATEMENT: what all have in common. */
#define STATEMENT .kind = COMMAND_STATEMENT, .role = ROLE_ADMIN
static const struct command statements[] = {
    { STATEMENT, .grammar = "system name <name:NAME>", .apply = apply_name,
      .help = "the host name, which is the prompt" },
    { STATEMENT, .grammar = "system login <name:NAME> password <secret:SECRET> [role {view|operator|admin}]",
      .apply = apply_login, .help = "who may log in" },
    { STATEMENT, .grammar = "system console {com1|vga} login {on|off}", .apply = apply_console,
      .help = "whether a local console asks for a login" },
    { STATEMENT, .grammar = "system watchdog {off|<time:TIME>}", .apply = apply_watchdog,
      .help = "restart when a core stands still" },
    { STATEMENT, .grammar = "interface <interface:IFNAME> {up|down}", .apply = apply_interface_state,
      .help = "take an interface into service, or out of it" },
    { STATEMENT, .grammar = "interface <interface:IFNAME> mtu <bytes:576-9216>", .apply = apply_interface_mtu,
      .help = "the longest packet to send" },
    { STATEMENT, .grammar = "interface <interface:IFNAME> mac <address:MAC>", .apply = apply_interface_mac,
      .help = "an address other than the card's own" },
    { STATEMENT, .grammar = "ip <interface:IFNAME> address <address:ADDRLEN4> [secondary]",
      .apply = apply_address, .help = "an address of an interface" },
    { STATEMENT, .grammar = "ip route <prefix:PREFIX4|default> {gateway <gateway:ADDR4> "
                 "[gateway <gateway:ADDR4>]*|blackhole|reject} [distance <distance:1-255>]",
      .apply = apply_route, .remove = remove_route,
      .help = "a static route; several gateways share the load" },
    { STATEMENT, .grammar = "ip route file <name:NAME>", .apply = apply_route_file,
      .help = "a table of routes, as lines PREFIX NEXT-HOP" },
    { STATEMENT, .grammar = "ipv6 <interface:IFNAME> address <address:ADDRLEN6|auto>", .apply = apply_ipv6_address,
      .help = "an address of an interface, which then has a link-local one too; auto: learned from other routers" },
    { STATEMENT, .grammar = "ipv6 <interface:IFNAME> proxy <prefix:PREFIX6>", .apply = apply_proxy,
      .help = "answer there for addresses to which a route leads by another interface" },
    { STATEMENT, .grammar = "ipv6 <interface:IFNAME> ra {on|off}", .apply = apply_advertising,
      .help = "tell hosts that this is their router, and their prefixes" },
    { STATEMENT, .grammar = "ipv6 <interface:IFNAME> ra prefix <prefix:PREFIX6>", .apply = apply_advertised_prefix,
      .help = "a prefix to tell, instead of those of the addresses" },
    { STATEMENT, .grammar = "ipv6 <interface:IFNAME> ra dns <server:ADDR6>", .apply = apply_advertised_server,
      .help = "a server of names to tell" },
    { STATEMENT, .grammar = "ipv6 route <prefix:PREFIX6|default> {gateway <gateway:ADDR6> "
                 "[gateway <gateway:ADDR6>]* [interface <interface:IFNAME>]|blackhole|reject} [distance <distance:1-255>]",
      .apply = apply_route, .remove = remove_route,
      .help = "a static route; link-local gateways need their interface" },
    { STATEMENT, .grammar = "ipv6 route file <name:NAME>", .apply = apply_route_file,
      .help = "a table of routes, as lines PREFIX NEXT-HOP" },
    { STATEMENT, .grammar = "arp <address:ADDR4> <mac:MAC> <interface:IFNAME>", .apply = apply_arp,
      .help = "a neighbor that is never asked for its MAC address" },
};
/* clang-format on */

const struct command_table statement_commands = {
    .commands = statements,
    .count = ARRAY_COUNT(statements),
    .print = print_statements,
};
