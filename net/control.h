/* Changing the router: a commit is checked, prepared, applied as a whole, or not at all. */
#pragma once

#include "kernel/base/types.h"
#include "net/config.h"

struct router;
struct address;
struct route;

struct commit_report {
    char problem[192]; /* why not, in words, with the statement: "" when it went well */
    char note[192];    /* what is odd about what has been done, in words; "": nothing */
    unsigned changes;  /* statements that differ */
    uint64_t check_ns, prepare_ns, swap_ns;
};

/* What is wrong with the whole, without effect: ERROR_BAD_VALUE and report->problem. */
enum error control_check(struct router *router, const struct config *next,
                         struct commit_report *report) MUST_CHECK;

/* Takes `next` when it answers OK; on failure nothing has changed and `next` stays the caller's. */
enum error control_commit(struct router *router, struct config *next,
                          struct commit_report *report) MUST_CHECK;

/* Reads a file of routes again that the configuration names; on failure the old ones stay. */
enum error control_read_routes(struct router *router, enum family family, const char *name,
                               struct commit_report *report) MUST_CHECK;

/* Makes all filters anew, and swaps them in: files of sets are read again. On failure the old ones
 * stay. */
enum error control_renew_filters(struct router *router, struct commit_report *report) MUST_CHECK;

/* The control core's: creates the state that commits change, with the built-in configuration, and
 * the coroutine; and undoes that. */
struct core;
enum error control_create(struct router *router) MUST_CHECK;
/* No core steps any more: what control has begun it ends. Whoever set control_work is still there.
 */
void control_finish(struct router *router);
void control_destroy(struct router *router);
/* Frees routes and filters that were replaced and that no core uses any more. */
void control_free_old_tables(struct router *router);
/* Once per step: lets the coroutine run until it yields, and frees retired views. */
void control_resume(struct core *core);

/* Inside control work: lets the datapath of this core go on where 500 us may have passed. */
void control_yield(struct router *router);

/* The route that decides for an address, as the cores' own table answers. False where there is
 * none. */
bool control_route_for(struct router *router, const struct address *address,
                       struct route *out) MUST_CHECK;

/* Forgets all learned neighbors of a family, or one. */
void control_clear_neighbors(struct router *router, enum family family, const struct address *only);
