/* The PC's calendar clock (MC146818): registers to Unix time. Pure; kernel/x86/cmos.c reads them.
 */
#pragma once

#include "kernel/base/types.h"

/* Raw registers. Status B says whether they are BCD (bit 2 clear) and of 12 hours (bit 1 clear). */
struct cmos_registers {
    uint8_t second, minute, hour, day, month, year;
    uint8_t century; /* 0 where the machine has no such register: 2000 to 2099 then */
    uint8_t status_b;
};

/* Seconds since 1970 UTC (the clock is taken to run in UTC). False for values that no date has. */
bool cmos_time_to_unix(const struct cmos_registers *registers, int64_t *unix_s) MUST_CHECK;

/* kernel/x86/cmos.c: reads the clock. century_index: register number from the FADT, or 0. False
 * where it is absent or never settles. */
bool cmos_time_read(uint8_t century_index, int64_t *unix_s) MUST_CHECK;
