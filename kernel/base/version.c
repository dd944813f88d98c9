/* The only object that knows the commit, so that a new one recompiles one file. */
#include "kernel/base/version.h"

const char *tsuji_version(void)
{
    return TSUJI_VERSION;
}

const char *tsuji_commit(void)
{
    return TSUJI_COMMIT;
}

const char *tsuji_build(void)
{
    return TSUJI_BUILD;
}
