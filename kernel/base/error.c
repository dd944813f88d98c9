/* The names of the errors. */
#include "kernel/base/types.h"

static const struct {
    const char *id;
    const char *text;
} errors[ERROR_COUNT] = {
    [OK] = { "ok", "no error" },
    [ERROR_NO_MEMORY] = { "no-memory", "out of memory" },
    [ERROR_TRUNCATED] = { "truncated", "it ends too early" },
    [ERROR_MALFORMED] = { "malformed", "it contradicts itself" },
    [ERROR_BAD_CHECKSUM] = { "bad-checksum", "the checksum is wrong" },
    [ERROR_NOT_FOUND] = { "not-found", "there is no such thing" },
    [ERROR_EXISTS] = { "exists", "it exists already" },
    [ERROR_FULL] = { "full", "no room is left" },
    [ERROR_BAD_VALUE] = { "bad-value", "the value is not allowed" },
    [ERROR_UNSUPPORTED] = { "unsupported", "it is not supported" },
    [ERROR_TIMEOUT] = { "timeout", "no answer in time" },
    [ERROR_DEVICE] = { "device", "the device does not work" },
    [ERROR_BUSY] = { "busy", "it is in use" },
};

const char *error_id(enum error error)
{
    return (unsigned)error < ERROR_COUNT ? errors[error].id : "unknown";
}

const char *error_text(enum error error)
{
    return (unsigned)error < ERROR_COUNT ? errors[error].text : "unknown error";
}
