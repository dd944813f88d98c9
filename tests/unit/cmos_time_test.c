#include "kernel/cmos_time.h"

#include "tests/unit/test.h"

enum { HOURS_24 = 2, BINARY = 4 };

static int64_t unix_of(struct cmos_registers registers)
{
    int64_t unix_s = 0;
    return cmos_time_to_unix(&registers, &unix_s) ? unix_s : -1;
}

TEST(cmos_time_reads_bcd_and_binary_alike)
{
    /* 2026-11-22 11:14:09 UTC */
    EXPECT_EQUAL(
        unix_of((struct cmos_registers){ 0x09, 0x14, 0x11, 0x22, 0x11, 0x26, 0x20, HOURS_24 }),
        1795346049);
    EXPECT_EQUAL(unix_of((struct cmos_registers){ 9, 14, 11, 22, 11, 26, 20, HOURS_24 | BINARY }),
                 1795346049);
}

TEST(cmos_time_knows_noon_and_midnight_of_12_hours)
{
    struct cmos_registers registers = { 0, 0, 0x12, 0x01, 0x01, 0x00, 0x20, 0 };
    int64_t midnight = 946684800; /* 2000-01-01 */
    EXPECT_EQUAL(unix_of(registers), midnight);
    registers.hour = 0x92;
    EXPECT_EQUAL(unix_of(registers), midnight + 12 * 3600);
    registers.hour = 0x91;
    EXPECT_EQUAL(unix_of(registers), midnight + 23 * 3600);
    registers.hour = 0x01;
    EXPECT_EQUAL(unix_of(registers), midnight + 3600);
    registers.hour = 0x13;
    EXPECT_EQUAL(unix_of(registers), -1);
    registers.hour = 0x00;
    EXPECT_EQUAL(unix_of(registers), -1);
}

TEST(cmos_time_knows_leap_years_and_centuries)
{
    EXPECT_EQUAL(unix_of((struct cmos_registers){ 0, 0, 0, 29, 2, 24, 20, HOURS_24 | BINARY }),
                 1709164800);
    EXPECT_EQUAL(unix_of((struct cmos_registers){ 0, 0, 0, 29, 2, 23, 20, HOURS_24 | BINARY }), -1);
    EXPECT_EQUAL(unix_of((struct cmos_registers){ 0, 0, 0, 29, 2, 0, 21, HOURS_24 | BINARY }), -1);
    EXPECT_EQUAL(unix_of((struct cmos_registers){ 0, 0, 0, 1, 3, 0, 21, HOURS_24 | BINARY }),
                 4107542400);
    EXPECT_EQUAL(unix_of((struct cmos_registers){ 0, 0, 0, 1, 1, 70, 19, HOURS_24 | BINARY }), 0);
    /* no century register, or something else in it */
    EXPECT_EQUAL(unix_of((struct cmos_registers){ 0, 0, 0, 29, 2, 24, 0, HOURS_24 | BINARY }),
                 1709164800);
    EXPECT_EQUAL(unix_of((struct cmos_registers){ 0, 0, 0, 29, 2, 24, 99, HOURS_24 | BINARY }),
                 1709164800);
    EXPECT_EQUAL(unix_of((struct cmos_registers){ 0, 0, 0, 1, 1, 69, 19, HOURS_24 | BINARY }), -1);
}

TEST(cmos_time_refuses_what_no_clock_shows)
{
    const struct cmos_registers good = { 0x59, 0x59, 0x23, 0x31, 0x12, 0x99, 0x20, HOURS_24 };
    EXPECT(unix_of(good) > 0);
    for (unsigned field = 0; field < 6; field++) {
        static const uint8_t bad[] = { 0x60, 0x60, 0x24, 0x32, 0x13, 0x9a };
        struct cmos_registers registers = good;
        ((uint8_t *)&registers)[field] = bad[field];
        EXPECT_EQUAL(unix_of(registers), -1);
        ((uint8_t *)&registers)[field] = 0xff; /* nobody there */
        EXPECT_EQUAL(unix_of(registers), -1);
    }
}
