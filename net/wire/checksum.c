/* Eight bytes a step; the carries of 32-bit halves collect in the upper half of the sum, which
 * takes 2^32 steps to overflow. */
#include "net/wire/checksum.h"

uint64_t checksum_add(uint64_t sum, const void *data, size_t length_bytes)
{
    const uint8_t *at = data;
    uint32_t words[2];
    uint16_t word;

    for (; length_bytes >= sizeof(words); length_bytes -= sizeof(words), at += sizeof(words)) {
        memcpy(words, at, sizeof(words));
        sum += (uint64_t)words[0] + words[1];
    }
    for (; length_bytes >= sizeof(word); length_bytes -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        sum += word;
    }
    if (length_bytes == 1) {
        word = 0; /* RFC 1071 1: padded with a zero byte behind it */
        memcpy(&word, at, 1);
        sum += word;
    }
    return sum;
}

uint64_t checksum_add_odd(uint64_t sum, const void *data, size_t length_bytes)
{
    return sum + __builtin_bswap16(checksum_fold(checksum_add(0, data, length_bytes)));
}
