/* What a long computation on the control core is handed, so that packets get their turn: it calls
 * pause_take() at least every 500 microseconds, between two of its steps. Meanwhile anything may
 * happen that does not belong to the control coroutine. */
#pragma once

#include <stddef.h>

struct pause {
    void (*take)(void *context);
    void *context;
};

/* NULL, or one without a function: nobody waits. */
static inline void pause_take(const struct pause *pause)
{
    if (pause != NULL && pause->take != NULL)
        pause->take(pause->context);
}
