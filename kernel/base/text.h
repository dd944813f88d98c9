/* Text into a bounded buffer. Formats are printf's own d i u x X o c s p % with flags, width,
 * precision and h hh l ll z; and after p:
 *   %pI4  IPv4 address (4 bytes in wire order)     %pI6  IPv6 address, RFC 5952
 *   %pM   MAC address
 * What does not fit is cut; `cut` tells. The text always ends in 0. */
#pragma once

#include <stdarg.h>

#include "kernel/base/types.h"

struct text {
    char *start;
    size_t length; /* without the final 0 */
    size_t size;
    size_t wanted; /* the length that it would have had */
    bool cut;
};

static inline struct text text_of(char *buffer, size_t size)
{
    if (size > 0)
        buffer[0] = '\0';
    return (struct text){ .start = buffer, .length = 0, .size = size, .cut = false };
}

/* GCC knows %p but not what we put behind it: -Wformat is content, the letters are literal to it.
 */
void text_print(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);
void text_print_args(struct text *text, const char *format, va_list args);
void text_put(struct text *text, const char *bytes, size_t length);

/* Like snprintf: the length it would have had. */
size_t text_format(char *out, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);

/* Whole-string conversions; false on anything but what they name, overflow included. */
bool text_to_u64(const char *text, size_t length, uint64_t maximum, uint64_t *value) MUST_CHECK;
bool text_to_ipv4(const char *text, size_t length, uint32_t *address_be) MUST_CHECK;
/* Without a zone. */
bool text_to_ipv6(const char *text, size_t length, uint8_t address[16]) MUST_CHECK;
bool text_to_mac(const char *text, size_t length, uint8_t mac[6]) MUST_CHECK;
