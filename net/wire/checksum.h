/* The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit
 * words. The sum is the same in either byte order, so words are added as they lie in memory and
 * the result is stored as it is: all values here are in wire order. */
#pragma once

#include <string.h>

#include "kernel/base/types.h"

/* Adds bytes to a running sum that began as 0. All pieces but the last have an even length. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t length_bytes);

/* A piece that begins at an odd place has its bytes the other way round. */
uint64_t checksum_add_odd(uint64_t sum, const void *data, size_t length_bytes);

static inline uint16_t checksum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* What goes into the header. Over bytes that hold their own checksum it is 0 if they are good. */
static inline uint16_t checksum_finish(uint64_t sum)
{
    return (uint16_t)~checksum_fold(sum);
}

static inline uint16_t checksum_of(const void *data, size_t length_bytes)
{
    return checksum_finish(checksum_add(0, data, length_bytes));
}

/* The checksum after one word has changed, by difference: RFC 1624 equation 3. */
static inline uint16_t checksum_replace(uint16_t checksum_be, uint16_t old_be, uint16_t new_be)
{
    return checksum_finish((uint64_t)(uint16_t)~checksum_be + (uint16_t)~old_be + new_be);
}
