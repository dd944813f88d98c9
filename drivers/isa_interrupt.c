/* Interrupts of serial port and keyboard; see the header. */
#include "drivers/isa_interrupt.h"

#include "kernel/base/log.h"
#include "kernel/platform.h"

enum {
    CONTROL_CORE_INDEX = 0,
    /* An edge may be lost on odd hardware. A busy core looks all the same once in so many steps; an
     * idle one sleeps until its next deadline at most. */
    SKIPPED_MAX = 4096,
};

void isa_interrupt_open(struct isa_interrupt *interrupt, unsigned line, const char *device)
{
    *interrupt = (struct isa_interrupt){ .handle = interrupt_alloc(CONTROL_CORE_INDEX) };
    if (interrupt->handle >= 0 && interrupt_connect_isa(interrupt->handle, line))
        return;
    if (interrupt->handle >= 0)
        interrupt_free(interrupt->handle);
    interrupt->handle = -1;
    log_warning("console", "%s: no interrupt %u, polled", device, line);
}

void isa_interrupt_close(struct isa_interrupt *interrupt)
{
    if (interrupt->handle >= 0)
        interrupt_free(interrupt->handle);
    interrupt->handle = -1;
}

bool isa_interrupt_due(struct isa_interrupt *interrupt)
{
    if (interrupt->handle < 0)
        return true;
    /* The count is taken before the device is read: what comes in between is seen next time. */
    uint64_t count = interrupt_count(interrupt->handle);
    if (count == interrupt->seen && interrupt->skipped++ < SKIPPED_MAX)
        return false;
    interrupt->seen = count;
    interrupt->skipped = 0;
    return true;
}
