#include "kernel/cmos_time.h"

enum {
    STATUS_B_24_HOURS = 1 << 1, /* MC146818A datasheet, register B */
    STATUS_B_BINARY = 1 << 2,
    HOUR_PM = 1 << 7,
    SECONDS_PER_DAY = 24 * 60 * 60,
};

/* The register's value as a number, or -1 where it is neither. */
static int value_of(uint8_t raw, bool binary)
{
    if (binary)
        return raw;
    if ((raw & 0xf) > 9 || raw >> 4 > 9)
        return -1;
    return (raw >> 4) * 10 + (raw & 0xf);
}

/* 12 hours: 12 AM is 0, 12 PM is 12. */
static int hour_of(uint8_t raw, bool binary, bool full_day)
{
    if (full_day)
        return value_of(raw, binary);
    int hour = value_of(raw & ~HOUR_PM, binary);
    if (hour < 1 || hour > 12)
        return -1;
    return hour % 12 + (raw & HOUR_PM ? 12 : 0);
}

static bool leap_year(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int month_days(int year, int month)
{
    static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[month - 1] + (month == 2 && leap_year(year));
}

/* Days since 1970-01-01. */
static int64_t day_number(int year, int month, int day)
{
    int64_t before = year - 1; /* whole years */
    int64_t days = before * 365 + before / 4 - before / 100 + before / 400 - 719162;
    for (int i = 1; i < month; i++)
        days += month_days(year, i);
    return days + day - 1;
}

bool cmos_time_to_unix(const struct cmos_registers *registers, int64_t *unix_s)
{
    bool binary = registers->status_b & STATUS_B_BINARY;
    int second = value_of(registers->second, binary);
    int minute = value_of(registers->minute, binary);
    int hour = hour_of(registers->hour, binary, registers->status_b & STATUS_B_24_HOURS);
    int day = value_of(registers->day, binary);
    int month = value_of(registers->month, binary);
    int year = value_of(registers->year, binary);
    int century = value_of(registers->century, binary);
    if (century < 19 || century > 22)
        century = 20; /* no such register, or something else lives there */

    if (second < 0 || second > 59 || minute < 0 || minute > 59 || hour < 0 || hour > 23)
        return false;
    if (year < 0 || year > 99 || month < 1 || month > 12)
        return false;
    year += century * 100;
    if (year < 1970 || day < 1 || day > month_days(year, month))
        return false;
    *unix_s = day_number(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    return true;
}
