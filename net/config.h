/* What the operator wishes: a passive, comparable value. The shell builds a new one from text; a
 * committed one is never edited. Lists are kept in the order in which they are printed, so equal
 * wishes are equal lists.
 *
 * Adding answers ERROR_FULL at the bound, ERROR_NO_MEMORY, or ERROR_BAD_VALUE where the value
 * itself is wrong; what two statements say together is judged by control_check(). */
#pragma once

#include "kernel/base/types.h"
#include "kernel/platform.h"
#include "net/address.h"

enum {
    NAME_MAX_BYTES = 64,
    PORT_NAME_BYTES = 16,
    CONFIG_LOGIN_MAX = 16,
    CONFIG_ADDRESS_MAX = 1024,
    CONFIG_ROUTE_MAX = 65536,         /* as statements; whole tables come from files */
    CONFIG_ROUTES_PER_PREFIX_MAX = 6, /* at different distances */
    CONFIG_ROUTE_FILE_MAX = 8,        /* of each family */
    CONFIG_ARP_MAX = 4096,
    ADVERTISED_PREFIX_MAX = 8, /* on a port: ND_PREFIXES_MAX, ND_SERVERS_MAX */
    ADVERTISED_SERVER_MAX = 4,
    PROXIED_MAX = 8,       /* on a port */
    ROUTE_GATEWAY_MAX = 8, /* equal-cost gateways of one route */
    MTU_MIN = 576,         /* RFC 1122 3.3.3; with an IPv6 address, IPV6_MINIMUM_MTU */
    MTU_MAX = 9216,
    MTU_DEFAULT = 1500,
    DISTANCE_STATIC = 1,
    CONFIG_FILTER_MAX = 65536, /* of both families; their numbers end at: */
    FILTER_NUMBER_MAX = 65535,
    FILTER_NUMBER_FIRST = 100,     /* of those that are given no number */
    CONFIG_FILTER_SET_MAX = 65536, /* prefixes and files of all sets; long lists come from files */
    FILTER_SET_NAME_BYTES = 32,
    FILTER_COMMENT_BYTES = 64,
};

struct config_login {
    char name[32];
    char secret[160]; /* "$s$...": never the plain text */
    uint8_t role;     /* enum role, shell/command.h */
};

/* Router advertisements: net/ra.h. */
struct config_advertising {
    bool on;
    uint8_t prefix_count, server_count;
    struct prefix prefixes[ADVERTISED_PREFIX_MAX]; /* in ascending order; none: the port's own */
    struct address servers[ADVERTISED_SERVER_MAX]; /* of names, in the order of the statements */
};

struct config_interface {
    char name[PORT_NAME_BYTES];
    bool down;
    uint16_t mtu_bytes; /* 0: not stated */
    bool has_mac;
    uint8_t mac[6];
    bool ipv6_auto; /* learns from other routers: net/autoconf.h */
    uint8_t proxied_count;
    struct prefix proxied[PROXIED_MAX]; /* answered for there, in ascending order: net/nd.h */
    struct config_advertising advertising;
};

struct config_address {
    char interface[PORT_NAME_BYTES];
    struct prefix prefix; /* with host bits */
    bool secondary;
};

enum route_kind { ROUTE_GATEWAY, ROUTE_BLACKHOLE, ROUTE_REJECT };

struct config_route {
    struct prefix prefix;
    char interface[PORT_NAME_BYTES]; /* where link-local gateways are; "": not said */
    enum route_kind kind;
    uint8_t distance;
    uint8_t gateway_count;
    struct address gateways[ROUTE_GATEWAY_MAX]; /* in ascending order */
};

/* A table of routes: net/route_file.h. */
struct config_route_file {
    enum family family;
    char name[FILE_NAME_MAX];
};

struct config_arp {
    uint32_t address_be;
    uint8_t mac[6];
    char interface[PORT_NAME_BYTES];
};

enum filter_action { FILTER_PASS, FILTER_DROP, FILTER_REJECT };

/* Where a packet must come from, or go to. */
struct config_filter_end {
    struct prefix prefix;            /* FAMILY_NONE: not said */
    char set[FILTER_SET_NAME_BYTES]; /* instead of a prefix; "": not said */
    bool has_ports;                  /* of TCP or UDP: */
    uint16_t first_port, last_port;
};

/* From the least to the best; BEST is the best that the processor has. */
enum config_vectors { VECTORS_BEST, VECTORS_SSE2, VECTORS_AVX2, VECTORS_AVX512 };

/* A rule about packets: what it says of one holds for all of it that is said. */
struct config_filter {
    uint8_t family; /* enum family */
    uint8_t action; /* enum filter_action */
    uint16_t number;
    struct config_filter_end source, destination;
    bool has_protocol, has_type, fragment, log;
    uint8_t protocol;
    uint8_t type;                   /* of ICMP */
    uint8_t flags_set, flags_clear; /* of TCP */
    char in[PORT_NAME_BYTES];       /* "": by whatever port */
    char out[PORT_NAME_BYTES];
    char comment[FILTER_COMMENT_BYTES];
};

/* An element of a named set of prefixes: one prefix, or a file with one in each line. */
struct config_filter_set {
    uint8_t family;
    char name[FILTER_SET_NAME_BYTES];
    struct prefix prefix;     /* FAMILY_NONE: a file */
    char file[FILE_NAME_MAX]; /* "": a prefix */
};

struct config {
    char name[NAME_MAX_BYTES]; /* of the system; "tsuji" where not stated */
    bool console_login[2];     /* enum console_kind of shell: com1, vga */
    uint32_t watchdog_s; /* 0: a stalled core halts the machine with its report; else it restarts */

    unsigned login_count;
    struct config_login logins[CONFIG_LOGIN_MAX];
    unsigned interface_count;
    struct config_interface interfaces[PORT_MAX];
    unsigned route_file_count;
    struct config_route_file route_files[2 * CONFIG_ROUTE_FILE_MAX];
    /* Grown as needed. */
    unsigned address_count, address_room;
    struct config_address *addresses;
    unsigned route_count, route_room;
    struct config_route *routes;
    unsigned arp_count, arp_room;
    struct config_arp *arps;
    unsigned filter_count, filter_room;
    struct config_filter *filters; /* by family and number */
    unsigned filter_set_count, filter_set_room;
    struct config_filter_set *filter_sets; /* by family and name */
    bool filter_default_drop[FAMILY_COUNT];
    bool filter_jit_off[FAMILY_COUNT];    /* rules are interpreted */
    uint8_t filter_vectors[FAMILY_COUNT]; /* enum config_vectors: what code of rules may use */
};

struct config *config_create(void) MUST_CHECK; /* the built-in default, or NULL */
struct config *config_copy(const struct config *config) MUST_CHECK;
void config_destroy(struct config *config); /* NULL is allowed */
bool config_equal(const struct config *a, const struct config *b);
/* How many statements differ. */
unsigned config_changes(const struct config *a, const struct config *b);

/* Addresses, routes and files of that family are the same: all of which its routes are made. */
bool config_same_routes(const struct config *a, const struct config *b, enum family family);
/* The first route statement that was taken away (*is NULL), added (*was NULL) or changed. False:
 * all are the same. */
bool config_first_route_change(const struct config *old, const struct config *next,
                               const struct config_route **was, const struct config_route **is);

/* Rules, sets and the default of that family are the same. */
bool config_same_filters(const struct config *a, const struct config *b, enum family family);
const char *filter_action_name(enum filter_action action); /* "drop" */
/* The same packets are treated alike: all but the comment is the same. */
bool config_filter_same(const struct config_filter *a, const struct config_filter *b);

/* Each sets: replaces what has the same key (name; interface and address; prefix, kind and
 * distance; address), or inserts it in order. A second gateway statement for the same prefix and
 * distance adds its gateways. */
enum error config_set_login(struct config *config, const struct config_login *login) MUST_CHECK;
enum error config_set_interface(struct config *config,
                                const struct config_interface *interface) MUST_CHECK;
enum error config_set_address(struct config *config,
                              const struct config_address *address) MUST_CHECK;
enum error config_set_route(struct config *config, const struct config_route *route) MUST_CHECK;
enum error config_set_route_file(struct config *config, enum family family,
                                 const char *name) MUST_CHECK;
enum error config_set_arp(struct config *config, const struct config_arp *arp) MUST_CHECK;
/* By family and number. A rule of number 0 gets the next free one behind all others of its family,
 * unless there is one already that says the same. */
enum error config_set_filter(struct config *config, const struct config_filter *filter) MUST_CHECK;
/* Adds an element to the set of that name. */
enum error config_set_filter_set(struct config *config,
                                 const struct config_filter_set *element) MUST_CHECK;

/* Each removes what has that key; ERROR_NOT_FOUND where there is none. */
enum error config_remove_login(struct config *config, const char *name) MUST_CHECK;
enum error config_remove_interface(struct config *config, const char *name) MUST_CHECK;
enum error config_remove_address(struct config *config, const char *interface,
                                 const struct prefix *prefix) MUST_CHECK;
enum error config_remove_route(struct config *config, const struct config_route *route) MUST_CHECK;
enum error config_remove_arp(struct config *config, uint32_t address_be) MUST_CHECK;
/* The rule that says the same, number (0: whatever), action and all. */
enum error config_remove_filter(struct config *config,
                                const struct config_filter *filter) MUST_CHECK;

bool config_has_route_file(const struct config *config, enum family family, const char *name);
/* With the same key; NULL. */
const struct config_route *config_find_route(const struct config *config,
                                             const struct config_route *key);
const struct config_interface *config_find_interface(const struct config *config, const char *name);
const struct config_filter *config_find_filter(const struct config *config, enum family family,
                                               uint16_t number); /* or NULL */
/* The first element of that set, the others follow; NULL: there is no such set. */
const struct config_filter_set *config_find_filter_set(const struct config *config,
                                                       enum family family, const char *name);
