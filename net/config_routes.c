/* See config_routes.h. Everything is made anew, so what fails has changed nothing; routes of files
 * that stay are copied. */
#include "net/config_routes.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/pause.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/ipv6_addresses.h"
#include "net/rib.h"
#include "net/route_file.h"

enum {
    ROUTES_PER_PAUSE = 128, /* copied, or of statements */
    GATEWAYS_CACHED = 256,  /* paths of a file that are found without a search */
};

/* What is needed while a RIB is made. */
struct maker {
    const struct config_routes_plan *plan;
    struct rib *rib;
    struct route_files *files;
    struct text *problem;
    unsigned since_pause;
};

static void count_route(struct maker *maker)
{
    if (++maker->since_pause % ROUTES_PER_PAUSE == 0)
        pause_take(maker->plan->pause);
}

static enum error add_route(struct maker *maker, const struct prefix *prefix,
                            const struct path *path)
{
    uint16_t number, replaced;
    enum error error = rib_add_path(maker->rib, path, &number);

    count_route(maker);
    return error == OK ? rib_set(maker->rib, prefix, number, &replaced) : error;
}

/* ---- Addresses ----------------------------------------------------------------------------------
 */

static enum error add_local(struct maker *maker, const struct address *address, unsigned length,
                            enum next_hop_kind kind, uint16_t port)
{
    struct prefix prefix = { .address = *address, .length = (uint8_t)length };
    struct path path = { .protocol = PROTOCOL_LOCAL, .kind = (uint8_t)kind, .port = port };

    path.source = kind == NEXT_HOP_BROADCAST ? SOURCE_BROADCAST : SOURCE_OWN_ADDRESS;
    /* Each IPv6 address of ours may be used or not (net/ipv6_addresses.h), so it has its own path.
     */
    if (kind == NEXT_HOP_LOCAL && address->family == FAMILY_IPV6) {
        path.gateway_count = 1;
        path.gateways[0] = *address;
    }
    return add_route(maker, &prefix, &path);
}

/* Special addresses, RFC 1812 4.2.2.11 and 5.3.7, RFC 4291 2.4, as prefixes like all others: so the
 * datapath asks one question only. */
static enum error add_special_routes(struct maker *maker)
{
    static const struct {
        uint8_t family;
        uint8_t length;
        uint8_t kind;
        uint8_t bytes[16];
    } special[] = {
        { FAMILY_IPV4, 8, NEXT_HOP_MARTIAN, { 0 } }, /* "this network" */
        { FAMILY_IPV4, 8, NEXT_HOP_LOOPBACK, { 127 } },
        { FAMILY_IPV4, 4, NEXT_HOP_MULTICAST, { 224 } },
        { FAMILY_IPV4, 4, NEXT_HOP_MARTIAN, { 240 } }, /* reserved */
        { FAMILY_IPV4, 32, NEXT_HOP_LIMITED_BROADCAST, { 255, 255, 255, 255 } },
        { FAMILY_IPV6, 96, NEXT_HOP_MARTIAN, { 0 } }, /* unspecified, IPv4-compatible */
        { FAMILY_IPV6, 128, NEXT_HOP_LOOPBACK, { [15] = 1 } },
        { FAMILY_IPV6, 96, NEXT_HOP_MARTIAN, { [10] = 0xff, [11] = 0xff } }, /* IPv4-mapped */
        { FAMILY_IPV6, 10, NEXT_HOP_LINK_LOCAL, { 0xfe, 0x80 } },
        { FAMILY_IPV6, 8, NEXT_HOP_MULTICAST, { 0xff } },
    };
    enum error error = OK;

    for (unsigned i = 0; i < ARRAY_COUNT(special) && error == OK; i++) {
        struct address address = { .family = special[i].family };
        bool loopback = special[i].kind == NEXT_HOP_LOOPBACK;
        uint16_t port = loopback ? (uint16_t)(maker->plan->port_count - 1) : (uint16_t)PORT_NONE;
        if (address.family != maker->plan->family)
            continue;
        memcpy(address.bytes, special[i].bytes, sizeof(address.bytes));
        error = add_local(maker, &address, special[i].length, (enum next_hop_kind)special[i].kind,
                          port);
    }
    return error;
}

static uint16_t find_port(const struct port *ports, unsigned port_count, const char *name)
{
    for (unsigned i = 0; i < port_count; i++)
        if (strcmp(ports[i].name, name) == 0)
            return (uint16_t)i;
    return PORT_NONE;
}

static enum error add_broadcasts(struct maker *maker, const struct prefix *prefix, uint16_t port)
{
    uint32_t address_be = address_ipv4_be(&prefix->address);
    uint32_t mask_be = ipv4_mask_be(prefix->length);
    const struct address old = address_of_ipv4(address_be & mask_be); /* RFC 1812 4.2.3.1 */
    const struct address all_ones = address_of_ipv4(address_be | ~mask_be);

    enum error error = add_local(maker, &old, 32, NEXT_HOP_BROADCAST, port);
    return error == OK ? add_local(maker, &all_ones, 32, NEXT_HOP_BROADCAST, port) : error;
}

static enum error add_address(struct maker *maker, const struct config_address *address)
{
    const struct prefix *prefix = &address->prefix;
    struct address anycast;
    uint16_t port = find_port(maker->plan->ports, maker->plan->port_count, address->interface);

    if (port == PORT_NONE || prefix->address.family != maker->plan->family)
        return OK;
    struct prefix network = prefix_network(prefix);
    struct path connected = { .protocol = PROTOCOL_CONNECTED,
                              .kind = NEXT_HOP_CONNECTED,
                              .port = port };
    enum error error = add_route(maker, &network, &connected);
    if (error == OK)
        error = add_local(maker, &prefix->address, address_bits(&prefix->address), NEXT_HOP_LOCAL,
                          port);
    if (error == OK && ipv6_subnet_router(prefix, &anycast))
        error = add_local(maker, &anycast, address_bits(&anycast), NEXT_HOP_LOCAL, port);
    /* RFC 3021: a net of two addresses has no broadcast. */
    if (error == OK && prefix->address.family == FAMILY_IPV4 && prefix->length <= 30)
        error = add_broadcasts(maker, prefix, port);
    return error;
}

/* ---- Statements ---------------------------------------------------------------------------------
 */

struct path config_route_path(const struct config_route *route, const struct port *ports,
                              unsigned port_count)
{
    static const uint8_t kinds[] = { [ROUTE_GATEWAY] = NEXT_HOP_GATEWAY,
                                     [ROUTE_BLACKHOLE] = NEXT_HOP_BLACKHOLE,
                                     [ROUTE_REJECT] = NEXT_HOP_REJECT };
    struct path path = { .protocol = PROTOCOL_STATIC,
                         .distance = route->distance,
                         .kind = kinds[route->kind],
                         .port = find_port(ports, port_count, route->interface),
                         .gateway_count = route->gateway_count };

    memcpy(path.gateways, route->gateways, route->gateway_count * sizeof(route->gateways[0]));
    return path;
}

bool is_special_prefix(const struct prefix *prefix)
{
    uint8_t first = prefix->address.bytes[0];

    if (prefix->address.family == FAMILY_IPV6)
        return prefix->length >= 8 && (first == 0xff || address_is_link_local(&prefix->address) ||
                                       !address_is_unicast(&prefix->address));
    return prefix->length > 0 &&
           ((first == 0 && prefix->length >= 8) || first == 127 || first >= 224);
}

static enum error add_statements(struct maker *maker)
{
    const struct config *config = maker->plan->config;
    enum error error = OK;

    for (unsigned i = 0; i < config->address_count && error == OK; i++)
        error = add_address(maker, &config->addresses[i]);
    for (unsigned i = 0; i < config->route_count && error == OK; i++) {
        if (config->routes[i].prefix.address.family != maker->plan->family)
            continue;
        struct path path =
            config_route_path(&config->routes[i], maker->plan->ports, maker->plan->port_count);
        error = add_route(maker, &config->routes[i].prefix, &path);
    }
    return error;
}

/* ---- What stays ---------------------------------------------------------------------------------
 * A file's place is that of its statement, so that what the configuration says decides, not what
 * came first, where two files have the same prefix.
 */

static const char *family_word(const struct maker *maker)
{
    return maker->plan->family == FAMILY_IPV6 ? "ipv6" : "ip";
}

static const char *why_no_gateway(const struct config *config, const struct address *gateway)
{
    if (!address_is_unicast(gateway))
        return "that next hop is no station's address";
    if (address_is_link_local(gateway))
        return "a link-local next hop needs a statement with its interface";
    for (unsigned i = 0; i < config->address_count; i++)
        if (address_equal(&config->addresses[i].prefix.address, gateway))
            return "that next hop is an address of our own";
    return NULL;
}

static unsigned find_file(const struct route_files *files, const char *name)
{
    unsigned at = 0;

    while (at < CONFIG_ROUTE_FILE_MAX && strcmp(files->at[at].name, name) != 0)
        at++;
    return at;
}

/* Copies routes of the old RIB that were learned, or come from a file that stays. */
struct copying {
    struct maker *maker;
    uint16_t *numbers; /* of paths of the old RIB: in the new one; 0: not met yet */
};

/* What has become of the file that a path is from; CONFIG_ROUTE_FILE_MAX: it goes, or is read
 * again, or it never was one. */
static unsigned new_place(const struct maker *maker, const struct path *path)
{
    const struct config_routes_plan *plan = maker->plan;

    if (path->protocol != PROTOCOL_STATIC || path->source == 0)
        return CONFIG_ROUTE_FILE_MAX;
    const char *name = plan->files->at[path->source - 1].name;
    if (plan->read_again && strcmp(plan->read_again, name) == 0)
        return CONFIG_ROUTE_FILE_MAX;
    return find_file(maker->files, name);
}

/* The configuration may have changed since the file was read. */
static enum error check_gateways(const struct maker *maker, const struct path *path,
                                 const char *file)
{
    char text[ADDRESS_TEXT_MAX];

    for (unsigned i = 0; i < path->gateway_count; i++) {
        const char *wrong = why_no_gateway(maker->plan->config, &path->gateways[i]);
        if (!wrong)
            continue;
        text_print(maker->problem, "%s route file %s: next hop %s: %s", family_word(maker), file,
                   address_text(&path->gateways[i], text), wrong);
        return fail(ERROR_BAD_VALUE);
    }
    return OK;
}

/* The path of a file's route, where the file stays; *number 0: it does not. */
static enum error copy_path_of_file(struct maker *maker, struct path path, uint16_t *number)
{
    unsigned place = new_place(maker, &path);

    if (place == CONFIG_ROUTE_FILE_MAX)
        return OK;
    enum error error = check_gateways(maker, &path, maker->files->at[place].name);
    path.source = (uint8_t)(place + 1);
    return error == OK ? rib_add_path(maker->rib, &path, number) : error;
}

static enum error copy_route(void *context, const struct prefix *prefix, uint16_t number)
{
    struct copying *copying = context;
    struct maker *maker = copying->maker;
    uint16_t *copied = &copying->numbers[number], replaced;

    count_route(maker);
    if (*copied == 0) {
        const struct path *path = rib_path(maker->plan->rib, number);
        enum error error = path_is_learned(path) ? rib_add_path(maker->rib, path, copied)
                                                 : copy_path_of_file(maker, *path, copied);
        if (error != OK || *copied == 0)
            return error;
    }
    return rib_set(maker->rib, prefix, *copied, &replaced);
}

static enum error copy_routes(struct maker *maker)
{
    const struct rib *old = maker->plan->rib;
    struct copying copying = { .maker = maker };

    copying.numbers = memory_alloc(rib_path_end(old) * sizeof(*copying.numbers), 0, MEMORY_ROUTE);
    if (!copying.numbers)
        return fail(ERROR_NO_MEMORY);
    enum error error = rib_each(old, copy_route, &copying);
    memory_free(copying.numbers);
    return error;
}

/* The lines of a file on their way into the RIB. */
struct loading {
    struct maker *maker;
    uint8_t source;
    unsigned count;
    /* By their last bits. */
    struct {
        struct address gateway;
        uint16_t path;
    } cache[GATEWAYS_CACHED];
};

static struct path path_of_file(uint8_t source)
{
    return (struct path){ .protocol = PROTOCOL_STATIC,
                          .source = source,
                          .distance = DISTANCE_STATIC,
                          .kind = NEXT_HOP_GATEWAY,
                          .port = PORT_NONE };
}

/* Gateways are looked at once, when they come into the cache. */
static enum error find_gateway_path(struct loading *loading, const struct address *gateway,
                                    uint16_t *number, const char **wrong)
{
    unsigned place = (load_be32(gateway->bytes) ^ load_be32(gateway->bytes + 12)) % GATEWAYS_CACHED;

    *number = loading->cache[place].path;
    if (*number != 0 && address_equal(&loading->cache[place].gateway, gateway))
        return OK;
    *wrong = why_no_gateway(loading->maker->plan->config, gateway);
    if (*wrong)
        return fail(ERROR_BAD_VALUE);
    struct path path = path_of_file(loading->source);
    path.gateway_count = 1;
    path.gateways[0] = *gateway;
    enum error error = rib_add_path(loading->maker->rib, &path, number);
    if (error == OK) {
        loading->cache[place].gateway = *gateway;
        loading->cache[place].path = *number;
    }
    return error;
}

/* A second line for the same prefix adds its gateway, as a second statement does. ERROR_FULL: it
 * has as many as a route may have. */
static enum error join_paths(struct rib *rib, uint16_t first, const struct address *gateway,
                             uint16_t *number)
{
    struct path path = *rib_path(rib, first);
    unsigned at = path.gateway_count;

    for (unsigned i = 0; i < path.gateway_count; i++)
        if (address_equal(&path.gateways[i], gateway)) {
            *number = first;
            return OK;
        }
    if (path.gateway_count == ROUTE_GATEWAY_MAX)
        return fail(ERROR_FULL);
    for (; at > 0 && address_compare(&path.gateways[at - 1], gateway) > 0; at--)
        path.gateways[at] = path.gateways[at - 1];
    path.gateways[at] = *gateway;
    path.gateway_count++;
    return rib_add_path(rib, &path, number);
}

static enum error load_line(void *context, const struct route_line *line, const char **wrong)
{
    struct loading *loading = context;
    struct rib *rib = loading->maker->rib;
    uint16_t number, replaced;

    if (is_special_prefix(&line->prefix)) {
        *wrong = "no routes to special addresses";
        return fail(ERROR_BAD_VALUE);
    }
    enum error error = find_gateway_path(loading, &line->next_hop, &number, wrong);
    if (error == OK)
        error = rib_set(rib, &line->prefix, number, &replaced);
    if (error != OK)
        return error;
    loading->count++;
    if (replaced == 0 || replaced == number)
        return OK;
    error = join_paths(rib, replaced, &line->next_hop, &number);
    return error == OK ? rib_set(rib, &line->prefix, number, &replaced) : error;
}

static enum error load_file(struct maker *maker, unsigned place)
{
    struct route_file *file = &maker->files->at[place];
    struct loading *loading = memory_alloc(sizeof(*loading), 0, MEMORY_ROUTE);
    char why[128];
    struct text text = text_of(why, sizeof(why));

    if (!loading)
        return fail(ERROR_NO_MEMORY);
    loading->maker = maker;
    loading->source = (uint8_t)(place + 1);
    enum error error = route_file_read(file->name, maker->plan->family, load_line, loading,
                                       maker->plan->pause, &text);
    if (error != OK)
        text_print(maker->problem, "%s route file %s: %s", family_word(maker), file->name, why);
    file->route_count = loading->count;
    memory_free(loading);
    return error;
}

/* What stays is copied, all of it in one walk; the other files are read. */
static enum error add_files_and_learned(struct maker *maker)
{
    const struct config_routes_plan *plan = maker->plan;
    const struct config *config = plan->config;
    bool stays[CONFIG_ROUTE_FILE_MAX] = { false };
    unsigned count = 0;

    for (unsigned i = 0; i < config->route_file_count; i++) {
        if (config->route_files[i].family != plan->family)
            continue;
        struct route_file *file = &maker->files->at[count];
        text_format(file->name, sizeof(file->name), "%s", config->route_files[i].name);
        unsigned before =
            plan->files ? find_file(plan->files, file->name) : (unsigned)CONFIG_ROUTE_FILE_MAX;
        stays[count] = before < CONFIG_ROUTE_FILE_MAX &&
                       !(plan->read_again && strcmp(plan->read_again, file->name) == 0);
        if (stays[count])
            file->route_count = plan->files->at[before].route_count;
        count++;
    }
    enum error error = plan->rib ? copy_routes(maker) : OK;
    for (unsigned i = 0; i < count && error == OK; i++)
        if (!stays[i])
            error = load_file(maker, i);
    return error;
}

/* ---- The whole ----------------------------------------------------------------------------------
 */

enum error config_routes_create(const struct config_routes_plan *plan, struct rib **rib,
                                struct route_files *files, struct text *problem)
{
    struct maker maker = { .plan = plan, .files = files, .problem = problem };

    *files = (struct route_files){ .at = { { .route_count = 0 } } };
    maker.rib = rib_create(plan->family);
    if (!maker.rib)
        return fail(ERROR_NO_MEMORY);
    enum error error = add_special_routes(&maker);
    if (error == OK)
        error = add_statements(&maker);
    if (error == OK)
        error = add_files_and_learned(&maker);
    if (error == OK)
        *rib = maker.rib;
    else
        rib_destroy(maker.rib, plan->pause);
    return error;
}
