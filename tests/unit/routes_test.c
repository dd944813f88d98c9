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
#include "tests/unit/lab.h"

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

    path.gateways[0] = address_of_ipv4(ipv4_of(gateway));
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
    return path->gateways[0].bytes[2] != 3;
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

/* Somewhere in 20/8: few bits differ, so that prefixes lie in each other. */
static struct prefix random_prefix(uint64_t *state)
{
    uint32_t address =
        20u << 24 | ((uint32_t)random_next(state) & (uint32_t)random_next(state) & 0x00c3c3c3);
    static const uint8_t lengths[] = { 8, 9, 12, 15, 16, 17, 20, 23, 24, 24, 24, 25, 28, 31, 32 };
    unsigned length = lengths[random_below(state, ARRAY_COUNT(lengths))];
    struct prefix prefix = prefix_of_ipv4(__builtin_bswap32(address), length);

    return prefix_network(&prefix);
}

static void expect_same_answer(struct lab *lab, const struct list *list, const struct address *to)
{
    const struct entry *wanted = list_lookup(list, to);
    const struct next_hop *next_hop =
        forwarding_lookup_ipv4(atomic_load(&lab->router->forwarding), address_ipv4_be(to));
    struct route route;

    EXPECT_EQUAL(control_route_for(lab->router, to, &route), wanted != NULL);
    if (!wanted) {
        EXPECT_EQUAL(next_hop->kind, NEXT_HOP_NONE);
        return;
    }
    EXPECT_EQUAL(next_hop->kind, NEXT_HOP_GATEWAY);
    EXPECT_EQUAL(address_ipv4_be(&next_hop->gateways[0]),
                 address_ipv4_be(&wanted->path.gateways[0]));
    EXPECT(prefix_equal(&route.prefix, &wanted->prefix));
    EXPECT_EQUAL(route.path.distance, wanted->path.distance);
}

static void change_one(struct lab *lab, struct list *list, uint64_t *state)
{
    static const char *const gateways[] = { "10.0.0.2", "10.0.1.2", "10.0.2.2", "10.0.3.2" };
    struct prefix prefix = random_prefix(state);
    unsigned distance = 1 + (unsigned)random_below(state, 2);
    struct path path = path_by(gateways[random_below(state, ARRAY_COUNT(gateways))], distance);
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

TEST(routes_that_come_and_go_leave_the_fib_as_a_list_says)
{
    static struct list list;
    struct lab lab = lab_create(2, 4);
    uint64_t state = 7;

    wire_nic_set_link(lab.cards[3], false);
    lab_wait(&lab, 200);
    list.count = 0;
    for (unsigned round = 0; round < 6000; round++) {
        change_one(&lab, &list, &state);
        struct prefix near = random_prefix(&state);
        expect_same_answer(&lab, &list, &near.address);
        if (list.count > 0) { /* and right where something is */
            const struct entry *entry = &list.entries[random_below(&state, list.count)];
            expect_same_answer(&lab, &list, &entry->prefix.address);
        }
        if (round % 64 == 0)
            lab_step(&lab, 2);
    }
    EXPECT_EQUAL(rib_count(lab.router->ribs[FAMILY_IPV4]),
                 list.count + 4); /* four connected nets */
    lab_destroy(&lab);
}

TEST(a_route_change_without_memory_changes_nothing)
{
    struct lab lab = lab_create(1, 2);
    struct prefix prefix = prefix_of_ipv4(ipv4_of("20.1.2.128"), 25);
    struct path path = path_by("10.0.1.2", 1), other = path_by("10.0.0.2", 1);
    bool changed = false;

    lab_step(&lab, 3);
    for (uint64_t n = 0; !changed; n++) {
        EXPECT(n < 50);
        host_fail_allocation(n);
        enum error error = routes_set(lab.router, &prefix, &path);
        changed = error == OK;
        host_fail_allocation(UINT64_MAX);
        if (changed)
            break;
        EXPECT_EQUAL(error, ERROR_NO_MEMORY);
        EXPECT_EQUAL(rib_count(lab.router->ribs[FAMILY_IPV4]), 2);
        EXPECT_EQUAL(fib4_lookup(lab.router->fib4, address_ipv4_be(&prefix.address)),
                     FIB4_NO_ROUTE);
    }
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

/* ---- Files --------------------------------------------------------------------------------------
 */

static enum error read_file(struct lab *lab, struct commit_report *report, const char *text)
{
    host_file_add("table", text, strlen(text));
    if (!config_has_route_file(lab->router->config, FAMILY_IPV4, "table")) {
        EXPECT_EQUAL(config_set_route_file(lab->config, FAMILY_IPV4, "table"), OK);
        return lab_try_commit(lab, report);
    }
    return control_read_routes(lab->router, FAMILY_IPV4, "table", report);
}

static uint32_t gateway_for(struct lab *lab, const char *address)
{
    const struct next_hop *next_hop =
        forwarding_lookup_ipv4(atomic_load(&lab->router->forwarding), ipv4_of(address));

    return next_hop->kind == NEXT_HOP_GATEWAY ? address_ipv4_be(&next_hop->gateways[0]) : 0;
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

TEST(a_file_without_memory_changes_nothing)
{
    struct lab lab = lab_create(1, 2);
    struct commit_report report;
    char *text = many_lines(5000);
    enum error error = ERROR_NO_MEMORY;
    unsigned refused = 0;

    EXPECT_EQUAL(read_file(&lab, &report, "20.0.0.0/8 10.0.1.2\n"), OK);
    for (uint64_t n = 0; error != OK; n = n * 5 / 4 + 1) {
        const struct fib4 *fib4 = lab.router->fib4;
        host_fail_allocation(n);
        error = read_file(&lab, &report, text);
        host_fail_allocation(UINT64_MAX);
        if (error == OK)
            break;
        refused++;
        EXPECT_EQUAL(error, ERROR_NO_MEMORY);
        EXPECT(report.problem[0] != '\0');
        EXPECT(lab.router->fib4 == fib4);
        EXPECT_EQUAL(rib_count(lab.router->ribs[FAMILY_IPV4]), 3);
        EXPECT_EQUAL(gateway_for(&lab, "20.9.9.9"), ipv4_of("10.0.1.2"));
    }
    EXPECT(refused > 10);
    EXPECT_EQUAL(rib_count(lab.router->ribs[FAMILY_IPV4]), 5000 + 2);
    lab_step(&lab, 3);
    free(text);
    lab_destroy(&lab);
}
