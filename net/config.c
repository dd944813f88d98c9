/* The operator's wish as sorted lists. All lists share one way of finding, inserting and removing:
 * a `struct list` describes one of them for the time of a call. */
#include "net/config.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/platform.h"

enum { LIST_ROOM_FIRST = 16 };

/* ---- Sorted lists -----------------------------------------------------------------------------
 */

struct list {
    const void *start; /* the pointer to the first one; it moves when the list grows */
    unsigned *count;   /* in use */
    unsigned *room;    /* allocated; NULL: an array of `maximum` */
    unsigned maximum;
    size_t size;                                  /* of one */
    int (*compare)(const void *a, const void *b); /* by their keys */
    bool (*equal)(const void *a, const void *b);
};

/* Through memcpy, as that pointer may be to any type. */
static uint8_t *list_at(const struct list *list, unsigned index)
{
    uint8_t *items;

    memcpy(&items, list->start, sizeof(items));
    return items != NULL ? items + index * list->size : NULL; /* an empty list has no items yet */
}

/* Where the item with that key is, or would be. */
static unsigned list_find(const struct list *list, const void *key, bool *found)
{
    unsigned low = 0, high = *list->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (list->compare(list_at(list, middle), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < *list->count && list->compare(list_at(list, low), key) == 0;
    return low;
}

static enum error list_grow(const struct list *list)
{
    unsigned room = MIN_OF(list->maximum, MAX_OF(LIST_ROOM_FIRST, *list->room * 2));
    void *items = memory_alloc(room * list->size, 0, MEMORY_CONFIG);

    if (!items)
        return fail(ERROR_NO_MEMORY);
    void *old = list_at(list, 0);
    if (*list->count > 0)
        memcpy(items, old, *list->count * list->size);
    memory_free(old);
    memcpy((void *)list->start, &items, sizeof(items));
    *list->room = room;
    return OK;
}

/* Replaces what has the same key, or inserts in order. */
static enum error list_set(const struct list *list, const void *item)
{
    bool found;
    unsigned index = list_find(list, item, &found);

    if (!found) {
        if (*list->count == list->maximum)
            return fail(ERROR_FULL);
        if (list->room && *list->count == *list->room) {
            enum error error = list_grow(list);
            if (error != OK)
                return error;
        }
        memmove(list_at(list, index + 1), list_at(list, index),
                (*list->count - index) * list->size);
        ++*list->count;
    }
    memcpy(list_at(list, index), item, list->size);
    return OK;
}

static void list_remove_at(const struct list *list, unsigned index)
{
    --*list->count;
    memmove(list_at(list, index), list_at(list, index + 1), (*list->count - index) * list->size);
    /* Nothing of it stays behind: equal wishes are equal bytes. */
    memset(list_at(list, *list->count), 0, list->size);
}

static enum error list_remove(const struct list *list, const void *key)
{
    bool found;
    unsigned index = list_find(list, key, &found);

    if (!found)
        return fail(ERROR_NOT_FOUND);
    list_remove_at(list, index);
    return OK;
}

/* ---- The lists of a configuration --------------------------------------------------------------
 */

/* "eth2" comes before "eth10": numbers at the end compare as numbers. */
static int compare_names(const char *a, const char *b)
{
    size_t same = 0;

    while (a[same] != '\0' && a[same] == b[same])
        same++;
    size_t a_length = strlen(a), b_length = strlen(b);
    bool digits = true;
    for (size_t i = same; i < a_length; i++)
        digits = digits && a[i] >= '0' && a[i] <= '9';
    for (size_t i = same; i < b_length; i++)
        digits = digits && b[i] >= '0' && b[i] <= '9';
    if (digits && a_length != b_length)
        return a_length < b_length ? -1 : 1;
    return strcmp(a, b);
}

static int compare_logins(const void *a, const void *b)
{
    return strcmp(((const struct config_login *)a)->name, ((const struct config_login *)b)->name);
}

static int compare_interfaces(const void *a, const void *b)
{
    return compare_names(((const struct config_interface *)a)->name,
                         ((const struct config_interface *)b)->name);
}

static int compare_addresses(const void *a, const void *b)
{
    const struct config_address *first = a, *second = b;
    int order = compare_names(first->interface, second->interface);

    return order != 0 ? order : prefix_compare(&first->prefix, &second->prefix);
}

static int compare_routes(const void *a, const void *b)
{
    const struct config_route *first = a, *second = b;
    int order = prefix_compare(&first->prefix, &second->prefix);

    if (order != 0)
        return order;
    if (first->distance != second->distance)
        return (int)first->distance - (int)second->distance;
    return (int)first->kind - (int)second->kind;
}

static int compare_arps(const void *a, const void *b)
{
    uint32_t first = load_be32(&((const struct config_arp *)a)->address_be);
    uint32_t second = load_be32(&((const struct config_arp *)b)->address_be);

    return first < second ? -1 : first > second;
}

static bool login_equal(const void *a, const void *b)
{
    const struct config_login *first = a, *second = b;

    return strcmp(first->name, second->name) == 0 && strcmp(first->secret, second->secret) == 0 &&
           first->role == second->role;
}

static bool interface_equal(const void *a, const void *b)
{
    const struct config_interface *first = a, *second = b;

    return strcmp(first->name, second->name) == 0 && first->down == second->down &&
           first->mtu_bytes == second->mtu_bytes && first->has_mac == second->has_mac &&
           memcmp(first->mac, second->mac, sizeof(first->mac)) == 0 &&
           first->ipv6_auto == second->ipv6_auto && first->proxied_count == second->proxied_count &&
           memcmp(first->proxied, second->proxied, sizeof(first->proxied)) == 0 &&
           memcmp(&first->advertising, &second->advertising, sizeof(first->advertising)) == 0;
}

static bool interface_address_equal(const void *a, const void *b)
{
    return compare_addresses(a, b) == 0 && ((const struct config_address *)a)->secondary ==
                                               ((const struct config_address *)b)->secondary;
}

static bool route_equal(const void *a, const void *b)
{
    const struct config_route *first = a, *second = b;

    if (compare_routes(a, b) != 0 || first->gateway_count != second->gateway_count ||
        strcmp(first->interface, second->interface) != 0)
        return false;
    for (unsigned i = 0; i < first->gateway_count; i++)
        if (!address_equal(&first->gateways[i], &second->gateways[i]))
            return false;
    return true;
}

static bool arp_equal(const void *a, const void *b)
{
    const struct config_arp *first = a, *second = b;

    return first->address_be == second->address_be &&
           memcmp(first->mac, second->mac, sizeof(first->mac)) == 0 &&
           strcmp(first->interface, second->interface) == 0;
}

static int compare_route_files(const void *a, const void *b)
{
    const struct config_route_file *first = a, *second = b;

    if (first->family != second->family)
        return (int)first->family - (int)second->family;
    return compare_names(first->name, second->name);
}

static bool route_file_equal(const void *a, const void *b)
{
    return compare_route_files(a, b) == 0;
}

static int compare_filters(const void *a, const void *b)
{
    const struct config_filter *first = a, *second = b;

    if (first->family != second->family)
        return (int)first->family - (int)second->family;
    return (int)first->number - (int)second->number;
}

static bool filter_end_equal(const struct config_filter_end *a, const struct config_filter_end *b)
{
    return prefix_equal(&a->prefix, &b->prefix) && strcmp(a->set, b->set) == 0 &&
           a->has_ports == b->has_ports && a->first_port == b->first_port &&
           a->last_port == b->last_port;
}

/* Whatever their numbers. */
static bool filters_say_the_same(const struct config_filter *a, const struct config_filter *b)
{
    return a->family == b->family && a->action == b->action &&
           filter_end_equal(&a->source, &b->source) &&
           filter_end_equal(&a->destination, &b->destination) &&
           a->has_protocol == b->has_protocol && a->protocol == b->protocol &&
           a->has_type == b->has_type && a->type == b->type && a->flags_set == b->flags_set &&
           a->flags_clear == b->flags_clear && a->fragment == b->fragment && a->log == b->log &&
           strcmp(a->in, b->in) == 0 && strcmp(a->out, b->out) == 0;
}

const char *filter_action_name(enum filter_action action)
{
    static const char *const names[] = { "pass", "drop", "reject" };

    return names[action];
}

bool config_filter_same(const struct config_filter *a, const struct config_filter *b)
{
    return a->number == b->number && filters_say_the_same(a, b);
}

static bool filter_equal(const void *a, const void *b)
{
    const struct config_filter *first = a, *second = b;

    return config_filter_same(first, second) && strcmp(first->comment, second->comment) == 0;
}

/* Prefixes come before files. */
static int compare_filter_sets(const void *a, const void *b)
{
    const struct config_filter_set *first = a, *second = b;

    if (first->family != second->family)
        return (int)first->family - (int)second->family;
    int order = compare_names(first->name, second->name);
    if (order == 0)
        order = strcmp(first->file, second->file);
    return order != 0 ? order : prefix_compare(&first->prefix, &second->prefix);
}

static bool filter_set_equal(const void *a, const void *b)
{
    return compare_filter_sets(a, b) == 0;
}

/* Those that are arrays need somewhere a pointer to themselves: *start. */
static struct list logins_of(const struct config *config, const void **start)
{
    *start = config->logins;
    return (struct list){ .start = start,
                          .count = (unsigned *)&config->login_count,
                          .maximum = CONFIG_LOGIN_MAX,
                          .size = sizeof(config->logins[0]),
                          .compare = compare_logins,
                          .equal = login_equal };
}

static struct list interfaces_of(const struct config *config, const void **start)
{
    *start = config->interfaces;
    return (struct list){ .start = start,
                          .count = (unsigned *)&config->interface_count,
                          .maximum = PORT_MAX,
                          .size = sizeof(config->interfaces[0]),
                          .compare = compare_interfaces,
                          .equal = interface_equal };
}

static struct list route_files_of(const struct config *config, const void **start)
{
    *start = config->route_files;
    return (struct list){ .start = start,
                          .count = (unsigned *)&config->route_file_count,
                          .maximum = 2 * CONFIG_ROUTE_FILE_MAX,
                          .size = sizeof(config->route_files[0]),
                          .compare = compare_route_files,
                          .equal = route_file_equal };
}

static struct list addresses_of(const struct config *config)
{
    return (struct list){ .start = (void *)&config->addresses,
                          .count = (unsigned *)&config->address_count,
                          .room = (unsigned *)&config->address_room,
                          .maximum = CONFIG_ADDRESS_MAX,
                          .size = sizeof(config->addresses[0]),
                          .compare = compare_addresses,
                          .equal = interface_address_equal };
}

static struct list routes_of(const struct config *config)
{
    return (struct list){ .start = (void *)&config->routes,
                          .count = (unsigned *)&config->route_count,
                          .room = (unsigned *)&config->route_room,
                          .maximum = CONFIG_ROUTE_MAX,
                          .size = sizeof(config->routes[0]),
                          .compare = compare_routes,
                          .equal = route_equal };
}

static struct list arps_of(const struct config *config)
{
    return (struct list){ .start = (void *)&config->arps,
                          .count = (unsigned *)&config->arp_count,
                          .room = (unsigned *)&config->arp_room,
                          .maximum = CONFIG_ARP_MAX,
                          .size = sizeof(config->arps[0]),
                          .compare = compare_arps,
                          .equal = arp_equal };
}

static struct list filters_of(const struct config *config)
{
    return (struct list){ .start = (void *)&config->filters,
                          .count = (unsigned *)&config->filter_count,
                          .room = (unsigned *)&config->filter_room,
                          .maximum = CONFIG_FILTER_MAX,
                          .size = sizeof(config->filters[0]),
                          .compare = compare_filters,
                          .equal = filter_equal };
}

static struct list filter_sets_of(const struct config *config)
{
    return (struct list){ .start = (void *)&config->filter_sets,
                          .count = (unsigned *)&config->filter_set_count,
                          .room = (unsigned *)&config->filter_set_room,
                          .maximum = CONFIG_FILTER_SET_MAX,
                          .size = sizeof(config->filter_sets[0]),
                          .compare = compare_filter_sets,
                          .equal = filter_set_equal };
}

/* ---- Whole configurations -----------------------------------------------------------------------
 */

struct config *config_create(void)
{
    struct config *config = memory_alloc(sizeof(*config), 0, MEMORY_CONFIG);

    if (config)
        memcpy(config->name, "tsuji", sizeof("tsuji"));
    return config;
}

/* A copy of `count` items, or NULL; an empty list needs none and is no failure. */
static bool copy_items(void *items_out, unsigned *room_out, const void *items, unsigned count,
                       size_t size)
{
    void *copy = NULL;

    if (count > 0) {
        copy = memory_alloc(count * size, 0, MEMORY_CONFIG);
        if (copy)
            memcpy(copy, items, count * size);
    }
    memcpy(items_out, &copy, sizeof(copy));
    *room_out = copy ? count : 0;
    return copy || count == 0;
}

struct config *config_copy(const struct config *config)
{
    struct config *copy = memory_alloc(sizeof(*copy), 0, MEMORY_CONFIG);

    if (!copy)
        return NULL;
    *copy = *config;
    bool addresses = copy_items(&copy->addresses, &copy->address_room, config->addresses,
                                config->address_count, sizeof(config->addresses[0]));
    bool routes = copy_items(&copy->routes, &copy->route_room, config->routes, config->route_count,
                             sizeof(config->routes[0]));
    bool arps = copy_items(&copy->arps, &copy->arp_room, config->arps, config->arp_count,
                           sizeof(config->arps[0]));
    bool filters = copy_items(&copy->filters, &copy->filter_room, config->filters,
                              config->filter_count, sizeof(config->filters[0]));
    bool filter_sets = copy_items(&copy->filter_sets, &copy->filter_set_room, config->filter_sets,
                                  config->filter_set_count, sizeof(config->filter_sets[0]));
    if (addresses && routes && arps && filters && filter_sets)
        return copy;
    config_destroy(copy);
    return NULL;
}

void config_destroy(struct config *config)
{
    if (!config)
        return;
    memory_free(config->addresses);
    memory_free(config->routes);
    memory_free(config->arps);
    memory_free(config->filters);
    memory_free(config->filter_sets);
    memory_free(config);
}

/* How many items are in one only, or differ. Both lists are in order. */
static unsigned list_changes(const struct list *a, const struct list *b)
{
    unsigned at_a = 0, at_b = 0, changes = 0;

    while (at_a < *a->count || at_b < *b->count) {
        int order = at_a == *a->count   ? 1
                    : at_b == *b->count ? -1
                                        : a->compare(list_at(a, at_a), list_at(b, at_b));
        if (order != 0 || !a->equal(list_at(a, at_a), list_at(b, at_b)))
            changes++;
        at_a += order <= 0;
        at_b += order >= 0;
    }
    return changes;
}

unsigned config_changes(const struct config *a, const struct config *b)
{
    const void *start_a, *start_b;
    struct list logins_a = logins_of(a, &start_a), logins_b = logins_of(b, &start_b);
    unsigned changes = list_changes(&logins_a, &logins_b);
    struct list interfaces_a = interfaces_of(a, &start_a),
                interfaces_b = interfaces_of(b, &start_b);
    changes += list_changes(&interfaces_a, &interfaces_b);
    struct list files_a = route_files_of(a, &start_a), files_b = route_files_of(b, &start_b);
    changes += list_changes(&files_a, &files_b);
    struct list addresses_a = addresses_of(a), addresses_b = addresses_of(b);
    changes += list_changes(&addresses_a, &addresses_b);
    struct list routes_a = routes_of(a), routes_b = routes_of(b);
    changes += list_changes(&routes_a, &routes_b);
    struct list arps_a = arps_of(a), arps_b = arps_of(b);
    changes += list_changes(&arps_a, &arps_b);
    struct list filters_a = filters_of(a), filters_b = filters_of(b);
    changes += list_changes(&filters_a, &filters_b);
    struct list sets_a = filter_sets_of(a), sets_b = filter_sets_of(b);
    changes += list_changes(&sets_a, &sets_b);
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++)
        changes += (a->filter_default_drop[family] != b->filter_default_drop[family]) +
                   (a->filter_jit_off[family] != b->filter_jit_off[family] ||
                    a->filter_vectors[family] != b->filter_vectors[family]);
    changes += strcmp(a->name, b->name) != 0;
    changes += a->console_login[0] != b->console_login[0];
    changes += a->console_login[1] != b->console_login[1];
    changes += a->watchdog_s != b->watchdog_s;
    return changes;
}

static enum family family_of_address(const void *address)
{
    return ((const struct config_address *)address)->prefix.address.family;
}

static enum family family_of_route(const void *route)
{
    return ((const struct config_route *)route)->prefix.address.family;
}

static enum family family_of_route_file(const void *file)
{
    return ((const struct config_route_file *)file)->family;
}

static enum family family_of_filter(const void *filter)
{
    return (enum family)((const struct config_filter *)filter)->family;
}

static enum family family_of_filter_set(const void *element)
{
    return (enum family)((const struct config_filter_set *)element)->family;
}

/* The items of that family are the same in both. */
static bool same_of_family(const struct list *a, const struct list *b, enum family family,
                           enum family (*family_of)(const void *item))
{
    unsigned at_a = 0, at_b = 0;

    for (;;) {
        while (at_a < *a->count && family_of(list_at(a, at_a)) != family)
            at_a++;
        while (at_b < *b->count && family_of(list_at(b, at_b)) != family)
            at_b++;
        if (at_a == *a->count || at_b == *b->count)
            return at_a == *a->count && at_b == *b->count;
        if (!a->equal(list_at(a, at_a++), list_at(b, at_b++)))
            return false;
    }
}

bool config_same_routes(const struct config *a, const struct config *b, enum family family)
{
    const void *start_a, *start_b;
    struct list addresses_a = addresses_of(a), addresses_b = addresses_of(b);
    struct list routes_a = routes_of(a), routes_b = routes_of(b);
    struct list files_a = route_files_of(a, &start_a), files_b = route_files_of(b, &start_b);

    return same_of_family(&addresses_a, &addresses_b, family, family_of_address) &&
           same_of_family(&routes_a, &routes_b, family, family_of_route) &&
           same_of_family(&files_a, &files_b, family, family_of_route_file);
}

bool config_same_filters(const struct config *a, const struct config *b, enum family family)
{
    struct list filters_a = filters_of(a), filters_b = filters_of(b);
    struct list sets_a = filter_sets_of(a), sets_b = filter_sets_of(b);

    return a->filter_default_drop[family] == b->filter_default_drop[family] &&
           a->filter_jit_off[family] == b->filter_jit_off[family] &&
           a->filter_vectors[family] == b->filter_vectors[family] &&
           same_of_family(&filters_a, &filters_b, family, family_of_filter) &&
           same_of_family(&sets_a, &sets_b, family, family_of_filter_set);
}

bool config_first_route_change(const struct config *old, const struct config *next,
                               const struct config_route **was, const struct config_route **is)
{
    unsigned at = 0;

    while (at < old->route_count && at < next->route_count &&
           route_equal(&old->routes[at], &next->routes[at]))
        at++;
    *was = at < old->route_count ? &old->routes[at] : NULL;
    *is = at < next->route_count ? &next->routes[at] : NULL;
    if (*was && *is) {
        int order = compare_routes(*was, *is);
        if (order < 0)
            *is = NULL;
        if (order > 0)
            *was = NULL;
    }
    return *was || *is;
}

bool config_equal(const struct config *a, const struct config *b)
{
    return config_changes(a, b) == 0;
}

/* ---- Is a value sound in itself? ----------------------------------------------------------------
 */

static bool name_is_good(const char *name, size_t size)
{
    return name[0] != '\0' && memchr(name, '\0', size) != NULL;
}

static bool mac_is_unicast(const uint8_t mac[6])
{
    static const uint8_t none[6];

    return (mac[0] & 1) == 0 && memcmp(mac, none, sizeof(none)) != 0;
}

/* In nets with room for them, the first and last address are no host's (RFC 3021: not in /31). */
static bool ipv4_interface_address_is_good(const struct prefix *prefix)
{
    if (prefix->length >= 31)
        return true;
    uint32_t host_bits_be = address_ipv4_be(&prefix->address) & ~ipv4_mask_be(prefix->length);
    return host_bits_be != 0 && host_bits_be != ~ipv4_mask_be(prefix->length);
}

/* RFC 4291 2.6.1: the prefix itself is any router's. Link-local addresses come by themselves. */
static bool ipv6_interface_address_is_good(const struct prefix *prefix)
{
    struct prefix network = prefix_network(prefix);

    return !address_is_link_local(&prefix->address) &&
           (prefix->length >= 127 || !address_equal(&network.address, &prefix->address));
}

static bool interface_address_is_good(const struct prefix *prefix)
{
    if (!address_is_unicast(&prefix->address) || prefix->length == 0 ||
        prefix->length > address_bits(&prefix->address))
        return false;
    return prefix->address.family == FAMILY_IPV4 ? ipv4_interface_address_is_good(prefix)
                                                 : ipv6_interface_address_is_good(prefix);
}

static bool route_is_good(const struct config_route *route)
{
    const struct prefix *prefix = &route->prefix;

    if (prefix->address.family == FAMILY_NONE || prefix->length > address_bits(&prefix->address) ||
        route->distance == 0)
        return false;
    struct prefix network = prefix_network(prefix);
    if (!prefix_equal(&network, prefix) || route->gateway_count > ROUTE_GATEWAY_MAX)
        return false;
    if ((route->kind == ROUTE_GATEWAY) != (route->gateway_count > 0))
        return false;
    for (unsigned i = 0; i < route->gateway_count; i++) {
        const struct address *gateway = &route->gateways[i];
        if (gateway->family != prefix->address.family || !address_is_unicast(gateway))
            return false;
        if (address_is_link_local(gateway) && route->interface[0] == '\0')
            return false;
    }
    return true;
}

static bool network_is_good(const struct prefix *prefix, uint8_t family)
{
    struct prefix network = prefix_network(prefix);

    return prefix->address.family == family && prefix->length <= address_bits(&prefix->address) &&
           prefix_equal(&network, prefix);
}

static bool filter_end_is_good(const struct config_filter_end *end, uint8_t family)
{
    bool has_prefix = end->prefix.address.family != FAMILY_NONE;

    if (memchr(end->set, '\0', sizeof(end->set)) == NULL || (has_prefix && end->set[0] != '\0'))
        return false;
    return (!has_prefix || network_is_good(&end->prefix, family)) &&
           end->first_port <= end->last_port;
}

/* What a rule asks for is in packets of the protocol that it names; of any, where it names none. */
static bool filter_is_good(const struct config_filter *filter)
{
    if (filter->family != FAMILY_IPV4 && filter->family != FAMILY_IPV6)
        return false;
    return filter->action <= FILTER_REJECT && filter_end_is_good(&filter->source, filter->family) &&
           filter_end_is_good(&filter->destination, filter->family) &&
           (filter->flags_set & filter->flags_clear) == 0 &&
           memchr(filter->in, '\0', sizeof(filter->in)) != NULL &&
           memchr(filter->out, '\0', sizeof(filter->out)) != NULL &&
           memchr(filter->comment, '\0', sizeof(filter->comment)) != NULL;
}

/* ---- Setting
 * -------------------------------------------------------------------------------------- */

enum error config_set_login(struct config *config, const struct config_login *login)
{
    if (!name_is_good(login->name, sizeof(login->name)) ||
        !name_is_good(login->secret, sizeof(login->secret)))
        return fail(ERROR_BAD_VALUE);
    const void *start;
    struct list list = logins_of(config, &start);
    return list_set(&list, login);
}

/* Networks of stations that may be on any link. */
static bool networks_are_good(const struct prefix *prefixes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct prefix network = prefix_network(&prefixes[i]);
        if (!prefix_equal(&network, &prefixes[i]) || !address_is_unicast(&network.address) ||
            address_is_link_local(&network.address))
            return false;
    }
    return true;
}

static bool advertising_is_good(const struct config_advertising *advertising)
{
    if (advertising->prefix_count > ADVERTISED_PREFIX_MAX ||
        advertising->server_count > ADVERTISED_SERVER_MAX ||
        !networks_are_good(advertising->prefixes, advertising->prefix_count))
        return false;
    for (unsigned i = 0; i < advertising->server_count; i++)
        if (!address_is_unicast(&advertising->servers[i]))
            return false;
    return true;
}

enum error config_set_interface(struct config *config, const struct config_interface *interface)
{
    bool mtu_is_good = interface->mtu_bytes == 0 ||
                       (interface->mtu_bytes >= MTU_MIN && interface->mtu_bytes <= MTU_MAX);

    if (!name_is_good(interface->name, sizeof(interface->name)) || !mtu_is_good ||
        (interface->has_mac && !mac_is_unicast(interface->mac)) ||
        !advertising_is_good(&interface->advertising) || interface->proxied_count > PROXIED_MAX ||
        !networks_are_good(interface->proxied, interface->proxied_count))
        return fail(ERROR_BAD_VALUE);
    const void *start;
    struct list list = interfaces_of(config, &start);
    return list_set(&list, interface);
}

enum error config_set_address(struct config *config, const struct config_address *address)
{
    if (!name_is_good(address->interface, sizeof(address->interface)) ||
        !interface_address_is_good(&address->prefix))
        return fail(ERROR_BAD_VALUE);
    struct list list = addresses_of(config);
    return list_set(&list, address);
}

/* Adds the address to the ascending list, once. */
static enum error add_gateway(struct config_route *route, const struct address *gateway)
{
    unsigned at = 0;

    while (at < route->gateway_count && address_compare(&route->gateways[at], gateway) < 0)
        at++;
    if (at < route->gateway_count && address_equal(&route->gateways[at], gateway))
        return OK;
    if (route->gateway_count == ROUTE_GATEWAY_MAX)
        return fail(ERROR_FULL);
    memmove(&route->gateways[at + 1], &route->gateways[at],
            (route->gateway_count - at) * sizeof(route->gateways[0]));
    route->gateways[at] = *gateway;
    route->gateway_count++;
    return OK;
}

enum error config_set_route(struct config *config, const struct config_route *route)
{
    if (!route_is_good(route))
        return fail(ERROR_BAD_VALUE);
    struct list list = routes_of(config);
    bool found;
    unsigned index = list_find(&list, route, &found);
    struct config_route merged = { .prefix = route->prefix,
                                   .kind = route->kind,
                                   .distance = route->distance };
    if (found)
        merged = config->routes[index];
    if (route->interface[0] != '\0' || !found)
        memcpy(merged.interface, route->interface, sizeof(merged.interface));
    for (unsigned i = 0; i < route->gateway_count; i++) {
        enum error error = add_gateway(&merged, &route->gateways[i]);
        if (error != OK)
            return error;
    }
    return list_set(&list, &merged);
}

enum error config_set_arp(struct config *config, const struct config_arp *arp)
{
    const struct address address = address_of_ipv4(arp->address_be);

    if (!address_is_unicast(&address) || !mac_is_unicast(arp->mac) ||
        !name_is_good(arp->interface, sizeof(arp->interface)))
        return fail(ERROR_BAD_VALUE);
    struct list list = arps_of(config);
    return list_set(&list, arp);
}

/* Behind the last one; FILTER_NUMBER_MAX + 1: there is no room. */
static unsigned next_filter_number(const struct config *config, uint8_t family)
{
    unsigned number = FILTER_NUMBER_FIRST;

    for (unsigned i = 0; i < config->filter_count; i++)
        if (config->filters[i].family == family)
            number = MAX_OF(number, config->filters[i].number + 1u);
    return number;
}

static const struct config_filter *find_same_filter(const struct config *config,
                                                    const struct config_filter *filter)
{
    for (unsigned i = 0; i < config->filter_count; i++) {
        const struct config_filter *known = &config->filters[i];
        if ((filter->number == 0 || known->number == filter->number) &&
            filters_say_the_same(known, filter))
            return known;
    }
    return NULL;
}

enum error config_set_filter(struct config *config, const struct config_filter *filter)
{
    struct config_filter numbered = *filter;

    if (!filter_is_good(filter))
        return fail(ERROR_BAD_VALUE);
    if (filter->number == 0) {
        if (find_same_filter(config, filter))
            return OK;
        unsigned number = next_filter_number(config, filter->family);
        if (number > FILTER_NUMBER_MAX)
            return fail(ERROR_FULL);
        numbered.number = (uint16_t)number;
    }
    struct list list = filters_of(config);
    return list_set(&list, &numbered);
}

enum error config_set_filter_set(struct config *config, const struct config_filter_set *element)
{
    bool is_file = element->prefix.address.family == FAMILY_NONE;

    if (!name_is_good(element->name, sizeof(element->name)))
        return fail(ERROR_BAD_VALUE);
    if (is_file ? !file_name_is_valid(element->file)
                : element->file[0] != '\0' || !network_is_good(&element->prefix, element->family))
        return fail(ERROR_BAD_VALUE);
    struct list list = filter_sets_of(config);
    return list_set(&list, element);
}

/* ---- Removing
 * ------------------------------------------------------------------------------------- */

enum error config_remove_login(struct config *config, const char *name)
{
    struct config_login key = { 0 };

    if (!name_is_good(name, sizeof(key.name)))
        return fail(ERROR_NOT_FOUND);
    memcpy(key.name, name, strlen(name));
    const void *start;
    struct list list = logins_of(config, &start);
    return list_remove(&list, &key);
}

enum error config_remove_interface(struct config *config, const char *name)
{
    struct config_interface key = { 0 };

    if (!name_is_good(name, sizeof(key.name)))
        return fail(ERROR_NOT_FOUND);
    memcpy(key.name, name, strlen(name));
    const void *start;
    struct list list = interfaces_of(config, &start);
    return list_remove(&list, &key);
}

enum error config_remove_address(struct config *config, const char *interface,
                                 const struct prefix *prefix)
{
    struct config_address key = { .prefix = *prefix };

    if (!name_is_good(interface, sizeof(key.interface)))
        return fail(ERROR_NOT_FOUND);
    memcpy(key.interface, interface, strlen(interface));
    struct list list = addresses_of(config);
    return list_remove(&list, &key);
}

/* With gateways: only those go, and the route with the last of them. */
enum error config_remove_route(struct config *config, const struct config_route *route)
{
    struct list list = routes_of(config);
    bool found;
    unsigned index = list_find(&list, route, &found);

    if (!found || route->gateway_count > ROUTE_GATEWAY_MAX)
        return fail(ERROR_NOT_FOUND);
    struct config_route left = config->routes[index];
    for (unsigned i = 0; i < route->gateway_count; i++) {
        unsigned at = 0;
        while (at < left.gateway_count && !address_equal(&left.gateways[at], &route->gateways[i]))
            at++;
        if (at == left.gateway_count)
            return fail(ERROR_NOT_FOUND);
        left.gateway_count--;
        memmove(&left.gateways[at], &left.gateways[at + 1],
                (left.gateway_count - at) * sizeof(left.gateways[0]));
        memset(&left.gateways[left.gateway_count], 0, sizeof(left.gateways[0]));
    }
    if (route->gateway_count == 0 || left.gateway_count == 0)
        list_remove_at(&list, index);
    else
        config->routes[index] = left;
    return OK;
}

enum error config_set_route_file(struct config *config, enum family family, const char *name)
{
    struct config_route_file file = { .family = family };
    const void *start;
    unsigned of_family = 0;

    if (!file_name_is_valid(name))
        return fail(ERROR_BAD_VALUE);
    for (unsigned i = 0; i < config->route_file_count; i++)
        of_family += config->route_files[i].family == family;
    if (of_family == CONFIG_ROUTE_FILE_MAX && !config_has_route_file(config, family, name))
        return fail(ERROR_FULL);
    memcpy(file.name, name, strlen(name));
    struct list list = route_files_of(config, &start);
    return list_set(&list, &file);
}

bool config_has_route_file(const struct config *config, enum family family, const char *name)
{
    for (unsigned i = 0; i < config->route_file_count; i++)
        if (config->route_files[i].family == family &&
            strcmp(config->route_files[i].name, name) == 0)
            return true;
    return false;
}

enum error config_remove_arp(struct config *config, uint32_t address_be)
{
    struct config_arp key = { .address_be = address_be };
    struct list list = arps_of(config);

    return list_remove(&list, &key);
}

enum error config_remove_filter(struct config *config, const struct config_filter *filter)
{
    const struct config_filter *known = find_same_filter(config, filter);
    struct list list = filters_of(config);

    if (!known)
        return fail(ERROR_NOT_FOUND);
    list_remove_at(&list, (unsigned)(known - config->filters));
    return OK;
}

const struct config_filter *config_find_filter(const struct config *config, enum family family,
                                               uint16_t number)
{
    struct config_filter key = { .family = (uint8_t)family, .number = number };
    struct list list = filters_of(config);
    bool found;
    unsigned index = list_find(&list, &key, &found);

    return found ? &config->filters[index] : NULL;
}

const struct config_filter_set *config_find_filter_set(const struct config *config,
                                                       enum family family, const char *name)
{
    struct config_filter_set key = { .family = (uint8_t)family };
    struct list list = filter_sets_of(config);
    bool found;

    if (!name_is_good(name, sizeof(key.name)))
        return NULL;
    memcpy(key.name, name, strlen(name));
    /* Nothing of that name comes before: neither a file nor a family. */
    unsigned index = list_find(&list, &key, &found);
    if (index == config->filter_set_count)
        return NULL;
    const struct config_filter_set *first = &config->filter_sets[index];
    return first->family == family && strcmp(first->name, name) == 0 ? first : NULL;
}

const struct config_route *config_find_route(const struct config *config,
                                             const struct config_route *key)
{
    struct list list = routes_of(config);
    bool found;
    unsigned index = list_find(&list, key, &found);

    return found ? &config->routes[index] : NULL;
}

const struct config_interface *config_find_interface(const struct config *config, const char *name)
{
    for (unsigned i = 0; i < config->interface_count; i++)
        if (strcmp(config->interfaces[i].name, name) == 0)
            return &config->interfaces[i];
    return NULL;
}
