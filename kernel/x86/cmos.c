/* Reads the calendar clock: MC146818A through ports 0x70 and 0x71. */
#include <string.h>

#include "kernel/cmos_time.h"
#include "kernel/platform.h"

enum {
    CMOS_INDEX = 0x70,
    CMOS_DATA = 0x71,
    CMOS_SECOND = 0,
    CMOS_MINUTE = 2,
    CMOS_HOUR = 4,
    CMOS_DAY = 7,
    CMOS_MONTH = 8,
    CMOS_YEAR = 9,
    CMOS_STATUS_A = 10,
    CMOS_STATUS_B = 11,
    STATUS_A_UPDATING = 1 << 7, /* for 2 ms of each second at most */
    CMOS_INDEX_MAX = 127,
    UPDATE_POLLS_MAX = 20000,
    READS_MAX = 10,
};

static uint8_t cmos_read(uint8_t index)
{
    port_write8(CMOS_INDEX, index);
    return port_read8(CMOS_DATA);
}

static bool update_over(void)
{
    for (unsigned i = 0; i < UPDATE_POLLS_MAX; i++)
        if (!(cmos_read(CMOS_STATUS_A) & STATUS_A_UPDATING))
            return true;
    return false;
}

static struct cmos_registers read_all(uint8_t century_index)
{
    return (struct cmos_registers){
        .second = cmos_read(CMOS_SECOND),
        .minute = cmos_read(CMOS_MINUTE),
        .hour = cmos_read(CMOS_HOUR),
        .day = cmos_read(CMOS_DAY),
        .month = cmos_read(CMOS_MONTH),
        .year = cmos_read(CMOS_YEAR),
        .century = century_index != 0 ? cmos_read(century_index) : 0,
        .status_b = cmos_read(CMOS_STATUS_B),
    };
}

/* Twice the same is taken for consistent: an update may begin between the look at status A and the
 * reads. */
bool cmos_time_read(uint8_t century_index, int64_t *unix_s)
{
    if (century_index > CMOS_INDEX_MAX)
        century_index = 0;
    struct cmos_registers before = { .second = 0xff };
    for (unsigned i = 0; i < READS_MAX; i++) {
        if (!update_over())
            return false;
        struct cmos_registers now = read_all(century_index);
        if (memcmp(&before, &now, sizeof(now)) == 0)
            return cmos_time_to_unix(&now, unix_s);
        before = now;
    }
    return false;
}
