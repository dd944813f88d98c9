/* The routes that a configuration means: those that its addresses and the architecture of addresses
 * make necessary, its statements, and the tables in files that it names. To them come those that
 * protocols have learned, which stay as they are. */
#pragma once

#include "kernel/base/types.h"
#include "net/config.h"
#include "net/port.h"

struct pause;
struct path;
struct rib;
struct text;

/* A file whose routes are in the RIB, with its place + 1 as their source: the place is that of its
 * statement in the configuration. */
struct route_file {
    char name[FILE_NAME_MAX]; /* "": the place is free */
    unsigned route_count;     /* lines with a route */
};

struct route_files {
    struct route_file at[CONFIG_ROUTE_FILE_MAX];
};

struct config_routes_plan {
    enum family family;
    const struct config *config;
    const struct port *ports; /* the loopback is the last */
    unsigned port_count;
    /* What is in force: what was learned, and routes of files that the configuration names still,
     * are taken from there; files are not read again, but for read_again. NULL: nothing. */
    const struct rib *rib;
    const struct route_files *files;
    const char *read_again; /* or NULL */
    const struct pause *pause;
};

/* A new RIB and what files are in it. On failure nothing is left and *problem says why, if it can
 * be said better than the error does. */
enum error config_routes_create(const struct config_routes_plan *plan, struct rib **rib,
                                struct route_files *files, struct text *problem) MUST_CHECK;

/* What a statement means. */
struct path config_route_path(const struct config_route *route, const struct port *ports,
                              unsigned port_count);

/* 0/8 but for the default route, 127/8, 224/3: RFC 1812 4.2.2.11; link-local and multicast ones of
 * IPv6, and ::/96: RFC 4291 2.4. */
bool is_special_prefix(const struct prefix *prefix);
