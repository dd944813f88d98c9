/* All routes that are known, from all who know some, with the ones that win marked active. Belongs
 * to the control core; the cores look up the FIB that is built from the active ones. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"
#include "net/config.h"
#include "net/port.h"

enum route_protocol { PROTOCOL_CONNECTED, PROTOCOL_STATIC };

const char *route_protocol_name(enum route_protocol protocol); /* "connected" */

struct route {
    struct prefix prefix;
    enum route_protocol protocol;
    enum route_kind kind;
    uint8_t distance; /* connected 0 */
    bool active;
    uint16_t port; /* connected: its port; gateway: where the first gateway is; else PORT_NONE */
    uint8_t gateway_count;
    struct address gateways[ROUTE_GATEWAY_MAX];
};

struct pause;
struct rib;
/* Routes in the order of prefix, then distance, starting at index `from`; how many were written. */
unsigned rib_list(const struct rib *rib, unsigned from, struct route *out, unsigned max);
unsigned rib_count(const struct rib *rib);

/* The routes of that configuration, those that win marked active with the ports as they are now;
 * NULL: no memory. Immutable: a new configuration or a changed link makes a new one. */
struct rib *rib_create(const struct config *config, const struct port *ports, unsigned port_count,
                       const struct pause *pause) MUST_CHECK;
void rib_destroy(struct rib *rib); /* NULL is allowed */

const struct route *rib_at(const struct rib *rib, unsigned index);
/* The port that is up and in whose net the address lies; PORT_NONE. */
uint16_t rib_connected_port(const struct rib *rib, const struct address *address);
