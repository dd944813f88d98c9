/* Multicast listener discovery (RFC 3810), a listener's part: tells on each port which groups we
 * listen to, so that bridges that snoop (RFC 4541) let through what neighbor discovery sends to us.
 * The groups follow from our addresses there: the solicited-node group of each, and all routers.
 * Belongs to the control core. */
#pragma once

#include "kernel/base/types.h"
#include "net/verdict.h"

struct address;
struct core;
struct ipv6_addresses;
struct ipv6_headers;
struct packet;

enum {
    MLD_REPORTS = 2,               /* RFC 3810 9.1, Robustness Variable: of each change */
    MLD_REPORT_INTERVAL_MS = 1000, /* RFC 3810 9.11, at most between them */
    MLD_LEAVING_MAX = 64,          /* groups left on a port that are still to be told; of more the
                                    * routers there find out by asking: RFC 3810 7.6.3 */
    MLD_SPACING_MS = 100,          /* between reports on a port, whatever is asked */
    MLD_OLD_QUERIER_MS =
        260000, /* RFC 3810 9.12: after a query of version 1 its reports are sent */
};

/* datapath_originate_frame(), which takes the packet. */
struct mld_uses {
    void (*originate_frame)(struct core *core, uint16_t port, struct packet *packet);
};

struct mld;

/* core: the control core. NULL: no memory. */
struct mld *mld_create(struct core *core, const struct ipv6_addresses *addresses,
                       const struct mld_uses *uses) MUST_CHECK;
void mld_destroy(struct mld *mld); /* NULL is allowed */

/* We listen to more groups on that port, or its link is new: says so soon. */
void mld_listen(struct mld *mld, uint16_t port);

/* That address is ours no longer: leaves its groups there, but for those that others need. */
void mld_leave(struct mld *mld, uint16_t port, const struct address *address);
/* The port is about to be taken out of service, or to lose its last address: leaves all groups,
 * said once, as there is no later, or no address then that routers would listen to. */
void mld_leave_all(struct mld *mld, uint16_t port);

/* Borrows a query, whole and in one segment, its checksum good, and the headers in front of it.
 * PASS: it will be answered, if we listen to what it asks for. */
enum verdict mld_input(struct mld *mld, const struct packet *packet,
                       const struct ipv6_headers *headers, uint64_t now_ns);
