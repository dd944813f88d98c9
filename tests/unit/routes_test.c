/* RIB and FIB together: after any series of changes, route by route or commit by commit, the cores'
 * table answers what a list of routes says that is searched from end to end. And what fails has
 * changed nothing. */
#include "net/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/base/pause.h"
#include "kernel/base/random.h"
#include "kernel/platform.h"
#include "net/config_routes.h"
#include "net/fib4.h"
#include "net/forwarding.h"
#include "net/rib.h"
#include "tests/unit/lab6.h"

enum { LIST_MAX = 3000 };

/* The naive twin: static routes with one gateway each. */
struct entry {
    struct prefix prefix;
    struct path path;
};

struct list {
    unsigned count;
    struct entry entries[LIST_MAX];
};

static struct path path_by(const char *gateway, unsigned distance)
{
    struct path path = { .protocol = PROTOCOL_STATIC,
                         .distance = (uint8_t)distance,
                         .kind = NEXT_HOP_GATEWAY,
                         .port = PORT_NONE,
                         .gateway_count = 1 };

    path.gateways[0] = address_of(gateway);
    return path;
}

static struct entry *list_find(struct list *list, const struct prefix *prefix, unsigned distance)
{
    for (unsigned i = 0; i < list->count; i++)
        if (prefix_equal(&list->entries[i].prefix, prefix) &&
            list->entries[i].path.distance == distance)
            return &list->entries[i];
    return NULL;
}

/* Port 3 of the lab is down, so what leads there counts for nothing. */
static bool is_usable(const struct path *path)
{
    return path->gateways[0].bytes[path->gateways[0].family == FAMILY_IPV6 ? 5 : 2] != 3;
}

static const struct entry *list_lookup(const struct list *list, const struct address *address)
{
    const struct entry *best = NULL;

    for (unsigned i = 0; i < list->count; i++) {
        const struct entry *entry = &list->entries[i];
        if (!is_usable(&entry->path) || !prefix_contains(&entry->prefix, address))
            continue;
        if (!best || entry->prefix.length > best->prefix.length ||
            (entry->prefix.length == best->prefix.length &&
             entry->path.distance < best->path.distance))
            best = entry;
    }
    return best;
}

/* Somewhere in 20/8, or 2400::/8: few bits differ, so that prefixes lie in each other. */
static struct prefix random_ipv4_prefix(uint64_t *state)
{
    uint32_t address =
        20u << 24 | ((uint32_t)random_next(state) & (uint32_t)random_next(state) & 0x00c3c3c3);
    static const uint8_t lengths[] = { 8, 9, 12, 15, 16, 17, 20, 23, 24, 24, 24, 25, 28, 31, 32 };
    unsigned length = lengths[random_below(state, ARRAY_COUNT(lengths))];

    return prefix_of_ipv4(__builtin_bswap32(address), length);
}

static struct prefix random_ipv6_prefix(uint64_t *state)
{
    static const uint8_t lengths[] = { 8,  13, 16, 17, 24, 29, 32, 32,  33,
                                       40, 47, 48, 48, 49, 56, 64, 127, 128 };
    struct prefix prefix = { .address.family = FAMILY_IPV6,
                             .length = lengths[random_below(state, ARRAY_COUNT(lengths))] };
    uint64_t bits = random_next(state) & random_next(state) & 0x0101818181c18100;
    uint8_t *bytes = prefix.address.bytes;

    memcpy(bytes, &bits, sizeof(bits));
    bytes[0] = 0x24;
    bytes[15] = random_next(state) & 1;
    return prefix;
}

static struct prefix random_prefix(uint64_t *state, enum family family)
{
    struct prefix prefix =
        family == FAMILY_IPV6 ? random_ipv6_prefix(state) : random_ipv4_prefix(state);

    return prefix_network(&prefix);
}

/* A neighbor on that port. */
static struct path random_path(uint64_t *state, enum family family)
{
    char gateway[32];

    snprintf(gateway, sizeof(gateway), family == FAMILY_IPV6 ? "2001:db8:%u::2" : "10.0.%u.2",
             (unsigned)random_below(state, 4));
    return path_by(gateway, 1 + (unsigned)random_below(state, 2));
}

static void expect_same_answer(struct lab *lab, const struct list *list, const struct address *to)
{
    const struct entry *wanted = list_lookup(list, to);
    const struct next_hop *next_hop = forwarding_lookup(atomic_load(&lab->router->forwarding), to);
    struct route route;

    EXPECT_EQUAL(control_route_for(lab->router, to, &route), wanted != NULL);
    if (!wanted) {
        EXPECT_EQUAL(next_hop->kind, NEXT_HOP_NONE);
        return;
    }
    EXPECT_EQUAL(next_hop->kind, NEXT_HOP_GATEWAY);
    EXPECT(address_equal(&next_hop->gateways[0], &wanted->path.gateways[0]));
    EXPECT(prefix_equal(&route.prefix, &wanted->prefix));
    EXPECT_EQUAL(route.path.distance, wanted->path.distance);
}

static void change_one(struct lab *lab, struct list *list, uint64_t *state, enum family family)
{
    struct prefix prefix = random_prefix(state, family);
    struct path path = random_path(state, family);
    bool take = list->count > 0 && random_below(state, 5) < 2;

    if (take && random_below(state, 3) > 0) {
        const struct entry *entry = &list->entries[random_below(state, list->count)];
        prefix = entry->prefix;
        path = entry->path;
    }
    struct entry *entry = list_find(list, &prefix, path.distance);
    if (take) {
        EXPECT_EQUAL(routes_remove(lab->router, &prefix, &path), entry ? OK : ERROR_NOT_FOUND);
        if (entry)
            *entry = list->entries[--list->count];
        return;
    }
    enum error error = routes_set(lab->router, &prefix, &path);
    while (error == ERROR_BUSY) { /* until the last view has gone */
        lab_step(lab, 2);
        error = routes_set(lab->router, &prefix, &path);
    }
    EXPECT_EQUAL(error, OK);
    if (!entry) {
        EXPECT(list->count < LIST_MAX);
        entry = &list->entries[list->count++];
    }
    *entry = (struct entry){ prefix, path };
}

static void expect_as_a_list(enum family family)
{
    static struct list list;
    struct lab lab = lab6_create(2, 4);
    uint64_t state = 7;

    wire_nic_set_link(lab.cards[3], false);
    lab_wait(&lab, 200);
    list.count = 0;
    unsigned connected = rib_count(lab.router->ribs[family]);
    for (unsigned round = 0; round < 6000; round++) {
        change_one(&lab, &list, &state, family);
        struct prefix near = random_prefix(&state, family);
        expect_same_answer(&lab, &list, &near.address);
        if (list.count > 0) { /* and right where something is */
            const struct entry *entry = &list.entries[random_below(&state, list.count)];
            expect_same_answer(&lab, &list, &entry->prefix.address);
        }
        if (round % 64 == 0)
            lab_step(&lab, 2);
    }
    EXPECT_EQUAL(connected, 4);
    EXPECT_EQUAL(rib_count(lab.router->ribs[family]), list.count + connected);
    lab_destroy(&lab);
}

TEST(routes_that_come_and_go_leave_the_fib_as_a_list_says)
{
    expect_as_a_list(FAMILY_IPV4);
}

TEST(routes_of_ipv6_that_come_and_go_leave_the_fib_as_a_list_says)
{
    expect_as_a_list(FAMILY_IPV6);
}

/* By whom the cores send there; of no family: by nobody. */
static struct address gateway_to(struct lab *lab, const struct address *address)
{
    const struct next_hop *next_hop =
        forwarding_lookup(atomic_load(&lab->router->forwarding), address);

    return next_hop->kind == NEXT_HOP_GATEWAY ? next_hop->gateways[0] : (struct address){ 0 };
}

/* routes_set() or routes_remove(). */
typedef enum error route_change(struct router *router, const struct prefix *prefix,
                                const struct path *path);

static void expect_change_or_nothing(struct lab *lab, route_change *change,
                                     const struct prefix *prefix, const struct path *path)
{
    const struct rib *rib = lab->router->ribs[prefix->address.family];
    const struct address before = gateway_to(lab, &prefix->address);
    unsigned count = rib_count(rib);
    enum error error = ERROR_NO_MEMORY;

    for (uint64_t n = 0; error != OK; n++) {
        EXPECT(n < 50);
        EXPECT_EQUAL(error, ERROR_NO_MEMORY);
        EXPECT_EQUAL(rib_count(rib), count);
        const struct address now = gateway_to(lab, &prefix->address);
        EXPECT(address_equal(&now, &before));
        host_fail_allocation(n);
        error = change(lab->router, prefix, path);
        host_fail_allocation(UINT64_MAX);
    }
}

TEST(a_route_change_without_memory_changes_nothing)
{
    struct lab lab = lab_create(1, 2);
    struct prefix prefix = prefix_of_ipv4(ipv4_of("20.1.2.128"), 25);
    struct path path = path_by("10.0.1.2", 1), other = path_by("10.0.0.2", 1);

    lab_step(&lab, 3);
    expect_change_or_nothing(&lab, routes_set, &prefix, &path);
    /* Another path for it, and without it: needs no memory but for the path. */
    EXPECT_EQUAL(routes_set(lab.router, &prefix, &other), OK);
    EXPECT_EQUAL(rib_count(lab.router->ribs[FAMILY_IPV4]), 3);
    host_fail_allocation(0);
    EXPECT_EQUAL(routes_set(lab.router, &prefix, &path), OK);
    EXPECT_EQUAL(routes_remove(lab.router, &prefix, &path), OK);
    host_fail_allocation(UINT64_MAX);
    EXPECT_EQUAL(fib4_lookup(lab.router->fib4, address_ipv4_be(&prefix.address)), FIB4_NO_ROUTE);
    EXPECT_EQUAL(routes_remove(lab.router, &prefix, &path), ERROR_NOT_FOUND);
    lab_step(&lab, 3);
    lab_destroy(&lab);
}

/* The FIB of IPv6 may want memory for each change (net/fib6.h), also where others are near. */
TEST(a_change_of_an_ipv6_route_without_memory_changes_nothing)
{
    struct lab lab = lab6_create(1, 2);
    struct prefix near = { address_of("2400:1:2:4000::"), 50 };
    struct prefix prefix = { address_of("2400:1:2:3:8000::"), 65 };
    struct path path = path_by("2001:db8:1::2", 1), other = path_by("2001:db8:0::2", 1);

    lab_step(&lab, 3);
    for (unsigned i = 0; i < 2; i++) {
        expect_change_or_nothing(&lab, routes_set, &prefix, &path);
        expect_change_or_nothing(&lab, routes_set, &prefix, &other);
        expect_change_or_nothing(&lab, routes_remove, &prefix, &other);
        EXPECT_EQUAL(gateway_to(&lab, &prefix.address).family, FAMILY_NONE);
        EXPECT_EQUAL(routes_remove(lab.router, &prefix, &other), ERROR_NOT_FOUND);
        expect_change_or_nothing(&lab, routes_set, &near, &path); /* the second time it is there */
    }
    lab_step(&lab, 3);
    lab_destroy(&lab);
}

TEST(more_paths_than_a_view_has_room_for_make_all_anew)
{
    struct lab lab = lab_create(1, 2);
    const struct fib4 *fib4 = lab.router->fib4;
    char prefix[32], gateway[32];

    for (unsigned i = 0; i < 300; i++) { /* more than entries of one byte can tell apart, too */
        snprintf(prefix, sizeof(prefix), "20.%u.%u.0/24", i / 250, i % 250);
        snprintf(gateway, sizeof(gateway), "10.0.%u.%u", i % 2, 3 + i / 2);
        lab_route(&lab, prefix, gateway);
        lab_commit(&lab);
        lab_step(&lab, 3);
    }
    EXPECT(lab.router->fib4 != fib4);
    for (unsigned i = 0; i < 300; i++) {
        const struct next_hop *next_hop = forwarding_lookup_ipv4(
            atomic_load(&lab.router->forwarding),
            __builtin_bswap32(20u << 24 | (i / 250) << 16 | (i % 250) << 8 | 1));
        EXPECT_EQUAL(next_hop->kind, NEXT_HOP_GATEWAY);
        EXPECT_EQUAL(__builtin_bswap32(address_ipv4_be(&next_hop->gateways[0])),
                     10u << 24 | (i % 2) << 8 | (3 + i / 2));
    }
    lab_destroy(&lab);
}

/* ---- Of protocols -------------------------------------------------------------------------------
 */

static struct path learned_by(const char *gateway)
{
    struct path path = path_by(gateway, 250);

    path.protocol = PROTOCOL_RA;
    return path;
}

static uint32_t gateway_for(struct lab *lab, const char *address)
{
    const struct next_hop *next_hop =
        forwarding_lookup_ipv4(atomic_load(&lab->router->forwarding), ipv4_of(address));

    return next_hop->kind == NEXT_HOP_GATEWAY ? address_ipv4_be(&next_hop->gateways[0]) : 0;
}

TEST(routes_of_protocols_stay_whatever_is_committed)
{
    struct lab lab = lab_create(1, 2);
    const struct prefix prefix = prefix_of_ipv4(ipv4_of("20.1.0.0"), 16);
    const struct path path = learned_by("10.0.1.2");
    const struct config_route floating = { .prefix = prefix,
                                           .distance = 251,
                                           .kind = ROUTE_REJECT };

    lab_step(&lab, 3);
    EXPECT(routes_announce(lab.router, &prefix, &path));
    EXPECT_EQUAL(gateway_for(&lab, "20.1.2.3"), ipv4_of("10.0.1.2"));
    lab_address(&lab, "eth0", "10.7.0.1/24"); /* makes all routes anew */
    EXPECT_EQUAL(config_set_route(lab.config, &floating), OK);
    lab_commit(&lab);
    EXPECT_EQUAL(gateway_for(&lab, "20.1.2.3"), ipv4_of("10.0.1.2"));
    lab_route(&lab, "20.1.0.0/16", "10.0.0.2"); /* is stronger */
    lab_commit(&lab);
    EXPECT_EQUAL(gateway_for(&lab, "20.1.2.3"), ipv4_of("10.0.0.2"));
    lab_step(&lab, 3);
    EXPECT_EQUAL(
        config_remove_route(lab.config, &(struct config_route){ .prefix = prefix, .distance = 1 }),
        OK);
    lab_commit(&lab);
    EXPECT_EQUAL(gateway_for(&lab, "20.1.2.3"), ipv4_of("10.0.1.2"));
    EXPECT(routes_withdraw(lab.router, &prefix, &path));
    EXPECT_EQUAL(gateway_for(&lab, "20.1.2.3"), 0);
    EXPECT(routes_withdraw(lab.router, &prefix, &path)); /* it is gone already */
    lab_step(&lab, 3);
    lab_destroy(&lab);
}

/* A protocol that has ever other paths: what is used no longer goes when there is no room left. */
/* It would be the same, so nothing is made anew for that. */
TEST(one_route_of_a_protocol_too_many_for_a_prefix_is_refused_and_that_is_all)
{
    const struct prefix prefix = { address_of("2001:db8:7::"), 64 };
    struct lab lab = lab6_create(1, 2);
    struct path path = { .protocol = PROTOCOL_RA, .distance = 250, .kind = NEXT_HOP_CONNECTED };

    lab_wait(&lab, 200);
    for (; path.source < ROUTES_PER_PREFIX_MAX; path.source++)
        while (!routes_announce(lab.router, &prefix, &path))
            lab_wait(&lab, 200); /* for the room that is made for its path */
    EXPECT(!routes_announce(lab.router, &prefix, &path));
    EXPECT(!lab.router->routes_anew);
    lab_destroy(&lab);
}

TEST(routes_of_protocols_may_have_any_number_of_paths_one_after_the_other)
{
    struct lab lab = lab_create(1, 2);
    const struct prefix prefix = prefix_of_ipv4(ipv4_of("20.1.0.0"), 16);
    struct path path = learned_by("10.0.1.2");
    unsigned refused = 0;

    for (unsigned i = 0; i < 1000; i++) {
        path.gateways[0] = address_of_ipv4(ipv4_of("10.0.1.0") | (i % 250 + 2) << 24);
        path.distance = (uint8_t)(200 + i / 250);
        while (!routes_announce(lab.router, &prefix, &path)) {
            EXPECT(++refused < 100);
            lab_wait(&lab, 120);
        }
        EXPECT(gateway_for(&lab, "20.1.2.3") == address_ipv4_be(&path.gateways[0]));
        EXPECT(routes_withdraw(lab.router, &prefix, &path));
    }
    EXPECT(refused > 0);
    EXPECT(rib_path_end(lab.router->ribs[FAMILY_IPV4]) < 200);
    lab_step(&lab, 3);
    lab_destroy(&lab);
}

/* ---- Files --------------------------------------------------------------------------------------
 */

static enum error read_file_of(struct lab *lab, enum family family, struct commit_report *report,
                               const char *text)
{
    host_file_add("table", text, strlen(text));
    if (!config_has_route_file(lab->router->config, family, "table")) {
        EXPECT_EQUAL(config_set_route_file(lab->config, family, "table"), OK);
        return lab_try_commit(lab, report);
    }
    return control_read_routes(lab->router, family, "table", report);
}

static enum error read_file(struct lab *lab, struct commit_report *report, const char *text)
{
    return read_file_of(lab, FAMILY_IPV4, report, text);
}

TEST(a_file_of_routes_is_read_once_and_again_when_told)
{
    struct lab lab = lab_create(1, 2);
    struct commit_report report;

    EXPECT_EQUAL(read_file(&lab, &report, "20.0.0.0/8 10.0.1.2\n20.1.0.0/16 10.0.0.2\n"), OK);
    EXPECT_EQUAL(lab.router->route_files[FAMILY_IPV4]->at[0].route_count, 2);
    EXPECT_EQUAL(gateway_for(&lab, "20.2.0.1"), ipv4_of("10.0.1.2"));
    EXPECT_EQUAL(gateway_for(&lab, "20.1.0.1"), ipv4_of("10.0.0.2"));
    /* Other commits keep what was read. */
    host_file_add("table", "nonsense", 8);
    lab_route(&lab, "21.0.0.0/8", "10.0.1.2");
    lab_address(&lab, "eth1", "10.9.0.1/24");
    lab_commit(&lab);
    EXPECT_EQUAL(gateway_for(&lab, "20.1.0.1"), ipv4_of("10.0.0.2"));
    /* A statement is stronger than a file, and gives way to it when it goes. */
    lab_route(&lab, "20.1.0.0/16", "10.0.1.2");
    lab_commit(&lab);
    EXPECT_EQUAL(gateway_for(&lab, "20.1.0.1"), ipv4_of("10.0.1.2"));
    EXPECT_EQUAL(rib_count(lab.router->ribs[FAMILY_IPV4]), 3 + 2 + 2);
    /* A bad file changes nothing. */
    EXPECT_EQUAL(read_file(&lab, &report, "20.0.0.0/8 10.0.1.2\n20.3.0.0/8 10.0.1.2\n"),
                 ERROR_BAD_VALUE);
    EXPECT_TEXT(report.problem, "ip route file table: line 2, column 1: there are bits behind the "
                                "prefix's length");
    EXPECT_EQUAL(gateway_for(&lab, "20.2.0.1"), ipv4_of("10.0.1.2"));
    EXPECT_EQUAL(read_file(&lab, &report, "20.3.0.0/16 10.0.1.2\n"), OK);
    EXPECT_EQUAL(gateway_for(&lab, "20.2.0.1"), 0);
    EXPECT_EQUAL(gateway_for(&lab, "20.3.0.1"), ipv4_of("10.0.1.2"));
    /* Without the statement its routes go. */
    lab.config->route_file_count = 0;
    memset(lab.config->route_files, 0, sizeof(lab.config->route_files));
    lab_commit(&lab);
    EXPECT_EQUAL(gateway_for(&lab, "20.3.0.1"), 0);
    EXPECT_EQUAL(rib_count(lab.router->ribs[FAMILY_IPV4]), 3 + 2);
    lab_step(&lab, 5);
    lab_destroy(&lab);
}

/* A prefix each, in no order, with a few next hops. */
static char *many_lines(unsigned count)
{
    char *text = malloc(count * 40);
    size_t length = 0;

    EXPECT(text);
    for (unsigned i = 0; i < count; i++) {
        uint32_t net = i * 2654435761u >> 10 & 0x3fffff; /* of /24s */
        length += (size_t)sprintf(text + length, "%u.%u.%u.0/24 10.0.%u.%u\n", 20 + (net >> 16),
                                  net >> 8 & 0xff, net & 0xff, i % 2, 2 + i % 3);
    }
    return text;
}

static char *many_ipv6_lines(unsigned count)
{
    char *text = malloc(count * 64);
    size_t length = 0;

    EXPECT(text);
    for (unsigned i = 0; i < count; i++) {
        uint32_t net = i * 2654435761u >> 10 & 0x3fffff; /* of /48s, of which 64 share a /42 */
        length += (size_t)sprintf(text + length, "24%02x:%x:%x::/48 2001:db8:%u::%u\n", net >> 16,
                                  net >> 6 & 0x3ff, net & 0x3f, i % 2, 2 + i % 3);
    }
    return text;
}

TEST(of_two_files_the_configuration_tells_which_is_stronger)
{
    static const char a[] = "20.0.0.0/8 10.0.0.2\n", b[] = "20.0.0.0/8 10.0.1.2\n";

    for (unsigned order = 0; order < 3; order++) { /* b first, a first, both at once */
        struct lab lab = lab_create(1, 2);
        host_file_add("a", a, strlen(a));
        host_file_add("b", b, strlen(b));
        EXPECT_EQUAL(config_set_route_file(lab.config, FAMILY_IPV4, order == 1 ? "a" : "b"), OK);
        if (order < 2)
            lab_commit(&lab);
        EXPECT_EQUAL(config_set_route_file(lab.config, FAMILY_IPV4, "a"), OK);
        EXPECT_EQUAL(config_set_route_file(lab.config, FAMILY_IPV4, "b"), OK);
        lab_commit(&lab);
        EXPECT_EQUAL(gateway_for(&lab, "20.1.1.1"), ipv4_of("10.0.0.2"));
        lab_destroy(&lab);
    }
}

TEST(a_file_that_comes_to_others_is_read)
{
    static const char a[] = "20.0.0.0/8 10.0.0.2\n", c[] = "21.0.0.0/8 10.0.1.2\n";
    struct lab lab = lab_create(1, 2);
    struct commit_report report;

    host_file_add("a", a, strlen(a));
    EXPECT_EQUAL(config_set_route_file(lab.config, FAMILY_IPV4, "a"), OK);
    lab_commit(&lab);
    EXPECT_EQUAL(config_set_route_file(lab.config, FAMILY_IPV4, "c"), OK);
    EXPECT_EQUAL(lab_try_commit(&lab, &report), ERROR_NOT_FOUND);
    EXPECT_TEXT(report.problem, "ip route file c: there is no such file");
    host_file_add("c", c, strlen(c));
    EXPECT_EQUAL(lab_try_commit(&lab, &report), OK);
    EXPECT_EQUAL(gateway_for(&lab, "20.1.1.1"), ipv4_of("10.0.0.2"));
    EXPECT_EQUAL(gateway_for(&lab, "21.1.1.1"), ipv4_of("10.0.1.2"));
    EXPECT_EQUAL(lab.router->route_files[FAMILY_IPV4]->at[0].route_count, 1);
    EXPECT_EQUAL(lab.router->route_files[FAMILY_IPV4]->at[1].route_count, 1);
    lab_destroy(&lab);
}

TEST(an_address_that_a_file_has_as_a_gateway_is_refused)
{
    struct lab lab = lab_create(1, 2);
    struct commit_report report;

    EXPECT_EQUAL(read_file(&lab, &report, "20.0.0.0/8 10.9.0.1\n"), OK);
    lab_address(&lab, "eth1", "10.9.0.1/24");
    EXPECT_EQUAL(lab_try_commit(&lab, &report), ERROR_BAD_VALUE);
    EXPECT_TEXT(report.problem, "ip route file table: next hop 10.9.0.1: that next hop is an "
                                "address of our own");
    lab_destroy(&lab);
}

TEST(more_routes_for_a_prefix_than_there_is_room_for_are_refused)
{
    struct lab lab = lab_create(1, 2);
    struct commit_report report;

    for (unsigned i = 1; i <= CONFIG_ROUTES_PER_PREFIX_MAX + 1; i++) {
        struct config_route route = { .prefix = prefix_of_ipv4(ipv4_of("20.0.0.0"), 8),
                                      .distance = (uint8_t)i,
                                      .gateway_count = 1,
                                      .gateways = { address_of_ipv4(ipv4_of("10.0.1.2")) } };
        EXPECT_EQUAL(config_set_route(lab.config, &route), OK);
        enum error error = lab_try_commit(&lab, &report);
        EXPECT_EQUAL(error, i <= CONFIG_ROUTES_PER_PREFIX_MAX ? OK : ERROR_BAD_VALUE);
    }
    EXPECT_TEXT(report.problem, "ip route 20.0.0.0/8: at most 6 routes for one prefix");
    lab_destroy(&lab);
}

/* A table behind one link, which fails: no slice of control may be as long as the table. */
static unsigned pauses;

static void count_pause(void *context)
{
    (void)context;
    pauses++;
}

TEST(a_walk_over_routes_that_cannot_be_used_takes_pauses)
{
    enum { COUNT = 20000 };
    const struct pause pause = { .take = count_pause };
    struct lab lab = lab_create(1, 2);
    struct commit_report report;
    char *text = many_lines(COUNT);

    EXPECT_EQUAL(read_file(&lab, &report, text), OK);
    for (unsigned up = 0; up < 2; up++) {
        for (unsigned i = 0; i < 2; i++)
            lab.router->ports[i].link_up = up;
        struct forwarding *view = forwarding_create(&(struct forwarding_plan){
            .config = lab.router->config,
            .ribs = (const struct rib *const *)lab.router->ribs,
            .ports = lab.router->ports,
            .port_count = lab.router->port_count,
        });
        EXPECT(view);
        pauses = 0;
        struct fib4 *fib4 = routes_create_fib4(lab.router->ribs[FAMILY_IPV4], view, &pause);
        EXPECT(fib4);
        EXPECT(pauses > COUNT / 512);
        fib4_destroy(fib4, NULL);
        forwarding_destroy(view);
    }
    free(text);
    lab_destroy(&lab);
}

TEST(two_lines_for_one_prefix_share_its_load)
{
    struct lab lab = lab_create(1, 2);
    struct commit_report report;

    EXPECT_EQUAL(
        read_file(&lab, &report, "20.0.0.0/8 10.0.1.2\n20.0.0.0/8 10.0.0.2\n20.0.0.0/8 10.0.1.2\n"),
        OK);
    const struct next_hop *next_hop =
        forwarding_lookup_ipv4(atomic_load(&lab.router->forwarding), ipv4_of("20.1.1.1"));
    EXPECT_EQUAL(next_hop->gateway_count, 2);
    EXPECT_EQUAL(address_ipv4_be(&next_hop->gateways[0]), ipv4_of("10.0.0.2"));
    EXPECT_EQUAL(address_ipv4_be(&next_hop->gateways[1]), ipv4_of("10.0.1.2"));
    lab_destroy(&lab);
}

static void expect_refused_file(const char *text, const char *why)
{
    struct lab lab = lab_create(1, 2);
    struct commit_report report;

    EXPECT_EQUAL(read_file(&lab, &report, text), ERROR_BAD_VALUE);
    EXPECT_TEXT(report.problem, why);
    EXPECT_EQUAL(rib_count(lab.router->ribs[FAMILY_IPV4]), 2);
    EXPECT(!config_has_route_file(lab.router->config, FAMILY_IPV4, "table"));
    lab_destroy(&lab);
}

TEST(a_file_with_routes_that_make_no_sense_is_refused)
{
    expect_refused_file("20.0.0.0/8 10.0.1.1\n",
                        "ip route file table: line 1: that next hop is an address of our own");
    expect_refused_file("20.0.0.0/8 10.0.1.2\n20.0.0.0/8 224.0.0.1\n",
                        "ip route file table: line 2: that next hop is no station's address");
    expect_refused_file("20.0.0.0/8 none\n",
                        "ip route file table: line 1: that next hop is no station's address");
    expect_refused_file("127.0.0.0/9 10.0.1.2\n",
                        "ip route file table: line 1: no routes to special addresses");
}

/* First a file with one route, to `address` by `gateway`; then that of 5,000. */
static void expect_file_or_nothing(enum family family, const char *one_line, const char *many,
                                   const char *address, const char *gateway)
{
    struct lab lab = lab6_create(1, 2);
    struct router *router = lab.router;
    const struct address to = address_of(address), by = address_of(gateway);
    unsigned connected = rib_count(router->ribs[family]), refused = 0;
    struct commit_report report;
    enum error error = ERROR_NO_MEMORY;

    EXPECT_EQUAL(read_file_of(&lab, family, &report, one_line), OK);
    for (uint64_t n = 0; error != OK; n = n * 5 / 4 + 1) {
        const struct fib4 *fib4 = router->fib4;
        const struct fib6 *fib6 = router->fib6;
        host_fail_allocation(n);
        error = read_file_of(&lab, family, &report, many);
        host_fail_allocation(UINT64_MAX);
        if (error == OK)
            break;
        refused++;
        EXPECT_EQUAL(error, ERROR_NO_MEMORY);
        EXPECT(report.problem[0] != '\0');
        EXPECT(router->fib4 == fib4);
        EXPECT(router->fib6 == fib6);
        EXPECT_EQUAL(rib_count(router->ribs[family]), connected + 1);
        const struct address now = gateway_to(&lab, &to);
        EXPECT(address_equal(&now, &by));
    }
    EXPECT(refused > 10);
    EXPECT_EQUAL(rib_count(router->ribs[family]), connected + 5000);
    lab_step(&lab, 3);
    lab_destroy(&lab);
}

TEST(a_file_without_memory_changes_nothing)
{
    char *many = many_lines(5000);

    expect_file_or_nothing(FAMILY_IPV4, "20.0.0.0/8 10.0.1.2\n", many, "20.9.9.9", "10.0.1.2");
    free(many);
}

TEST(a_file_of_ipv6_without_memory_changes_nothing)
{
    char *many = many_ipv6_lines(5000);

    expect_file_or_nothing(FAMILY_IPV6, "2400::/8 2001:db8:1::2\n", many, "2499:9::9",
                           "2001:db8:1::2");
    free(many);
}
