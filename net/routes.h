/* The FIB that follows the RIB: made as a whole beside the old one, or changed route by route while
 * the cores look up. */
#pragma once

#include "kernel/base/types.h"

struct fib4;
struct fib6;
struct forwarding;
struct path;
struct pause;
struct prefix;
struct rib;
struct router;

/* The best routes of the RIB with what the view says can be used, as a FIB that nobody reads yet.
 * NULL: no memory. */
struct fib4 *routes_create_fib4(const struct rib *rib, const struct forwarding *view,
                                const struct pause *pause) MUST_CHECK;
struct fib6 *routes_create_fib6(const struct rib *rib, const struct forwarding *view,
                                const struct pause *pause) MUST_CHECK;

/* A route of a protocol, or of a statement: set (replacing that source's route for the prefix at
 * that distance) or taken away. Each packet sees the table with it or without. Most take
 * less than a microsecond, so a few hundred may follow each other between two yields; short ones
 * span more of the FIB (net/fib4.h, net/fib6.h), which yields itself where that takes long.
 *
 * Any error has changed nothing. ERROR_FULL: neither view nor FIB has room for one more next hop;
 * ERROR_BUSY: a core may still use the view before this one. Then all is made anew
 * (control_commit()), or it is tried again later. ERROR_NO_MEMORY also where the RIB has no room
 * for one more route of that prefix, against which that would not help. ERROR_NOT_FOUND: there is
 * no such route. */
enum error routes_set(struct router *router, const struct prefix *prefix,
                      const struct path *path) MUST_CHECK;
enum error routes_remove(struct router *router, const struct prefix *prefix,
                         const struct path *path) MUST_CHECK;

/* The same for a protocol, whose path is one that path_is_learned(), and who has no other way to
 * change routes than these two: in the control coroutine, as a commit that yields must find the RIB
 * as it left it. False: not now; it asks again at the control core's next pass, where all will have
 * been made anew if there was no room. */
bool routes_announce(struct router *router, const struct prefix *prefix,
                     const struct path *path) MUST_CHECK;
bool routes_withdraw(struct router *router, const struct prefix *prefix,
                     const struct path *path) MUST_CHECK;
