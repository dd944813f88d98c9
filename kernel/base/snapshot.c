/* The writer's side of snapshots. The epoch counts retirements. An object retired at epoch E may
 * be freed once every core that is not offline has announced an epoch greater than E: it did so at
 * a moment when it held no pointer, and after the object had become unreachable. */
#include "kernel/base/snapshot.h"

_Static_assert((RETIRED_MAX & (RETIRED_MAX - 1)) == 0, "the list's index is masked");

void snapshot_domain_init(struct snapshot_domain *domain, unsigned core_count)
{
    CHECK(core_count <= CORE_MAX);
    atomic_init(&domain->epoch, 1); /* 0 means offline */
    domain->core_count = core_count;
    for (unsigned core = 0; core < CORE_MAX; core++)
        atomic_init(&domain->cores[core].epoch, 0);
    domain->retired_first = 0;
    domain->retired_count = 0;
}

enum error snapshot_retire(struct snapshot_domain *domain, void *object,
                           void (*destroy)(void *object))
{
    if (domain->retired_count == RETIRED_MAX)
        return fail(ERROR_FULL);

    /* Full order: the caller's store that unlinked the object comes before the new epoch, and our
     * reading of a sleeping core's 0 in snapshot_reclaim() comes after both. A core that wakes up
     * afterwards stores its epoch first and loads pointers next, so it finds the new ones. */
    uint64_t epoch = atomic_fetch_add_explicit(&domain->epoch, 1, memory_order_seq_cst);
    unsigned slot = (domain->retired_first + domain->retired_count) & (RETIRED_MAX - 1);
    domain->retired[slot] =
        (struct retired){ .object = object, .destroy = destroy, .epoch = epoch };
    domain->retired_count++;
    return OK;
}

static uint64_t oldest_epoch(const struct snapshot_domain *domain)
{
    uint64_t oldest = UINT64_MAX;
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned core = 0; core < domain->core_count; core++) {
        uint64_t epoch = atomic_load_explicit(&domain->cores[core].epoch, memory_order_seq_cst);
        if (epoch != 0 && epoch < oldest)
            oldest = epoch;
    }
    return oldest;
}

unsigned snapshot_reclaim(struct snapshot_domain *domain)
{
    if (domain->retired_count == 0)
        return 0;

    /* The list is in the order of epochs. An entry leaves it before it is destroyed, because
     * destroying may retire more; those are too young for this pass. */
    uint64_t oldest = oldest_epoch(domain);
    while (domain->retired_count > 0) {
        struct retired retired = domain->retired[domain->retired_first];
        if (retired.epoch >= oldest)
            break;
        domain->retired_first = (domain->retired_first + 1) & (RETIRED_MAX - 1);
        domain->retired_count--;
        retired.destroy(retired.object);
    }
    return domain->retired_count;
}
