/* Formatting and reading text. A conversion is read into a struct conversion, its argument is made
 * into digits or bytes in a small buffer, and put_padded() brings both together. */
#include "kernel/base/text.h"

#include <string.h>

#include "kernel/base/bytes.h"

enum {
    DIGITS_MAX = 22, /* of 64 bits in octal */
    IPV6_TEXT_MAX = 40,
    IPV4_DIGITS_MAX = 3,
    IPV6_DIGITS_MAX = 4, /* of a group */
};

void text_put(struct text *text, const char *bytes, size_t length)
{
    text->wanted += length;
    /* One byte stays for the final 0. */
    size_t room = text->size > 0 ? text->size - 1 - text->length : 0;
    if (length > room) {
        text->cut = true;
        length = room;
    }
    if (length == 0)
        return;
    memcpy(text->start + text->length, bytes, length);
    text->length += length;
    text->start[text->length] = '\0';
}

static void put_repeated(struct text *text, char byte, size_t count)
{
    char run[16];
    memset(run, byte, sizeof(run));
    while (count > 0) {
        size_t part = MIN_OF(count, sizeof(run));
        text_put(text, run, part);
        count -= part;
        if (text->cut) { /* only the count matters from here on */
            text->wanted += count;
            return;
        }
    }
}

/* ---- What stands between % and the letter ---------------------------------------------------- */

struct conversion {
    bool left, plus, space, alternate, zeros;
    size_t width;
    bool has_precision;
    size_t precision;
    enum { SIZE_INT, SIZE_CHAR, SIZE_SHORT, SIZE_LONG } size;
};

static const char *read_flags(const char *at, struct conversion *conversion)
{
    for (;; at++) {
        switch (*at) {
        case '-':
            conversion->left = true;
            break;
        case '+':
            conversion->plus = true;
            break;
        case ' ':
            conversion->space = true;
            break;
        case '#':
            conversion->alternate = true;
            break;
        case '0':
            conversion->zeros = true;
            break;
        default:
            return at;
        }
    }
}

static const char *read_decimal(const char *at, size_t *value)
{
    *value = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        *value = *value * 10 + (size_t)(*at - '0');
    return at;
}

static const char *read_size(const char *at, struct conversion *conversion)
{
    if (*at == 'h') {
        bool twice = at[1] == 'h';
        conversion->size = twice ? SIZE_CHAR : SIZE_SHORT;
        return at + (twice ? 2 : 1);
    }
    if (*at == 'z' || *at == 'l') { /* all of them have 64 bits */
        conversion->size = SIZE_LONG;
        return at + (at[0] == 'l' && at[1] == 'l' ? 2 : 1);
    }
    return at;
}

/* ---- Putting --------------------------------------------------------------------------------- */

/* `prefix` is a sign or 0x; zeros come between it and the body. */
static void put_padded(struct text *text, const struct conversion *conversion, const char *prefix,
                       size_t zero_count, const char *body, size_t body_length)
{
    size_t prefix_length = strlen(prefix);
    size_t length = prefix_length + zero_count + body_length;
    size_t padding = conversion->width > length ? conversion->width - length : 0;

    if (!conversion->left)
        put_repeated(text, ' ', padding);
    text_put(text, prefix, prefix_length);
    put_repeated(text, '0', zero_count);
    text_put(text, body, body_length);
    if (conversion->left)
        put_repeated(text, ' ', padding);
}

/* Digits of value, most significant first, without leading zeros: 0 has none. */
static size_t digits_of(uint64_t value, unsigned base, bool upper, char out[DIGITS_MAX])
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char reversed[DIGITS_MAX];
    size_t count = 0;
    for (; value > 0; value /= base)
        reversed[count++] = digits[value % base];
    for (size_t i = 0; i < count; i++)
        out[i] = reversed[count - 1 - i];
    return count;
}

static void put_number(struct text *text, const struct conversion *conversion, uint64_t value,
                       unsigned base, bool upper, const char *prefix)
{
    char digits[DIGITS_MAX];
    size_t count = digits_of(value, base, upper, digits);
    size_t minimum = conversion->has_precision ? conversion->precision : 1;

    if (base == 8 && conversion->alternate)
        minimum = MAX_OF(minimum, count + 1);
    if (conversion->zeros && !conversion->left && !conversion->has_precision) {
        size_t prefix_length = strlen(prefix);
        if (conversion->width > prefix_length)
            minimum = MAX_OF(minimum, conversion->width - prefix_length);
    }
    put_padded(text, conversion, prefix, minimum > count ? minimum - count : 0, digits, count);
}

static void put_signed(struct text *text, const struct conversion *conversion, int64_t value)
{
    const char *sign = conversion->plus ? "+" : conversion->space ? " " : "";
    uint64_t magnitude = (uint64_t)value;
    if (value < 0) {
        sign = "-";
        magnitude = 0 - magnitude;
    }
    put_number(text, conversion, magnitude, 10, false, sign);
}

static void put_unsigned(struct text *text, const struct conversion *conversion, char letter,
                         uint64_t value)
{
    bool marked = conversion->alternate && value != 0;
    switch (letter) {
    case 'o':
        put_number(text, conversion, value, 8, false, "");
        break;
    case 'x':
        put_number(text, conversion, value, 16, false, marked ? "0x" : "");
        break;
    case 'X':
        put_number(text, conversion, value, 16, true, marked ? "0X" : "");
        break;
    default:
        put_number(text, conversion, value, 10, false, "");
        break;
    }
}

static void put_string(struct text *text, const struct conversion *conversion, const char *string)
{
    if (string == NULL)
        string = "(null)";
    size_t length = 0;
    size_t most = conversion->has_precision ? conversion->precision : SIZE_MAX;
    while (length < most && string[length] != '\0')
        length++;
    put_padded(text, conversion, "", 0, string, length);
}

/* ---- Addresses ------------------------------------------------------------------------------- */

static void print_ipv4(struct text *text, const uint8_t address[4])
{
    text_print(text, "%u.%u.%u.%u", address[0], address[1], address[2], address[3]);
}

/* RFC 5952 4.2: the first longest run of two or more zero fields becomes "::". */
static void find_zero_run(const uint8_t address[16], unsigned *run_start, unsigned *run_length)
{
    *run_start = 8;
    *run_length = 1;
    for (unsigned start = 0; start < 8; start++) {
        unsigned end = start;
        while (end < 8 && load_be16(address + 2 * end) == 0)
            end++;
        if (end - start > *run_length) {
            *run_start = start;
            *run_length = end - start;
        }
    }
}

static void print_ipv6(struct text *text, const uint8_t address[16])
{
    static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };
    if (memcmp(address, mapped_prefix, sizeof(mapped_prefix)) == 0) { /* RFC 5952 5 */
        text_print(text, "::ffff:");
        print_ipv4(text, address + sizeof(mapped_prefix));
        return;
    }

    unsigned run_start, run_length;
    find_zero_run(address, &run_start, &run_length);
    for (unsigned field = 0; field < 8;) {
        if (field == run_start) {
            text_print(text, "::");
            field += run_length;
            continue;
        }
        bool follows_run = field == run_start + run_length && run_start < 8;
        if (field > 0 && !follows_run)
            text_print(text, ":");
        text_print(text, "%x", load_be16(address + 2 * field));
        field++;
    }
}

/* %p and what it means with letters behind it. Returns where the format goes on. */
static const char *put_pointer(struct text *text, const struct conversion *conversion,
                               const char *after, const void *pointer)
{
    char buffer[IPV6_TEXT_MAX];
    struct text address = text_of(buffer, sizeof(buffer));

    if (after[0] == 'I' && after[1] == '4') {
        print_ipv4(&address, pointer);
        after += 2;
    } else if (after[0] == 'I' && after[1] == '6') {
        print_ipv6(&address, pointer);
        after += 2;
    } else if (after[0] == 'M') {
        const uint8_t *mac = pointer;
        text_print(&address, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                   mac[4], mac[5]);
        after += 1;
    } else if (pointer == NULL) {
        text_print(&address, "(nil)");
    } else {
        put_number(text, conversion, (uintptr_t)pointer, 16, false, "0x");
        return after;
    }
    put_padded(text, conversion, "", 0, buffer, address.length);
    return after;
}

/* ---- The format ------------------------------------------------------------------------------ */

static int64_t narrow_signed(const struct conversion *conversion, int value)
{
    switch (conversion->size) {
    case SIZE_CHAR:
        return (signed char)value;
    case SIZE_SHORT:
        return (short)value;
    default:
        return value;
    }
}

static uint64_t narrow_unsigned(const struct conversion *conversion, unsigned value)
{
    switch (conversion->size) {
    case SIZE_CHAR:
        return (unsigned char)value;
    case SIZE_SHORT:
        return (unsigned short)value;
    default:
        return value;
    }
}

void text_print_args(struct text *text, const char *format, va_list args)
{
    while (*format != '\0') {
        size_t literal = 0;
        while (format[literal] != '\0' && format[literal] != '%')
            literal++;
        text_put(text, format, literal);
        format += literal;
        if (*format == '\0')
            return;

        struct conversion conversion = { .size = SIZE_INT };
        format = read_flags(format + 1, &conversion);
        if (*format == '*') {
            int width = va_arg(args, int);
            conversion.left |= width < 0;
            conversion.width = width < 0 ? 0 - (size_t)width : (size_t)width;
            format++;
        } else {
            format = read_decimal(format, &conversion.width);
        }
        if (*format == '.') {
            conversion.has_precision = true;
            if (format[1] == '*') {
                int precision = va_arg(args, int);
                conversion.has_precision =
                    precision >= 0; /* C11 7.21.6.1: as if it were not there */
                conversion.precision = precision >= 0 ? (size_t)precision : 0;
                format += 2;
            } else {
                format = read_decimal(format + 1, &conversion.precision);
            }
        }
        format = read_size(format, &conversion);

        char letter = *format;
        if (letter == '\0') /* a lone % at the end: nothing to print */
            return;
        format++;
        bool is_long = conversion.size == SIZE_LONG;
        switch (letter) {
        case 'd':
        case 'i':
            put_signed(text, &conversion,
                       is_long ? va_arg(args, long)
                               : narrow_signed(&conversion, va_arg(args, int)));
            break;
        case 'u':
        case 'x':
        case 'X':
        case 'o':
            put_unsigned(text, &conversion, letter,
                         is_long ? va_arg(args, unsigned long)
                                 : narrow_unsigned(&conversion, va_arg(args, unsigned)));
            break;
        case 'c': {
            char byte = (char)va_arg(args, int);
            put_padded(text, &conversion, "", 0, &byte, 1);
            break;
        }
        case 's':
            put_string(text, &conversion, va_arg(args, const char *));
            break;
        case 'p':
            format = put_pointer(text, &conversion, format, va_arg(args, const void *));
            break;
        case '%':
            text_put(text, "%", 1);
            break;
        default: /* our own mistake: shown as it stands, its argument unknown */
            text_put(text, "%", 1);
            text_put(text, &letter, 1);
            break;
        }
    }
}

void text_print(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    text_print_args(text, format, args);
    va_end(args);
}

size_t text_format(char *out, size_t size, const char *format, ...)
{
    struct text text = text_of(out, size);
    va_list args;
    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);
    return text.wanted;
}

/* ---- Reading --------------------------------------------------------------------------------- */

bool text_to_u64(const char *text, size_t length, uint64_t maximum, uint64_t *value)
{
    if (length == 0)
        return false;
    uint64_t result = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        unsigned digit = (unsigned)(text[i] - '0');
        if (result > (UINT64_MAX - digit) / 10)
            return false;
        result = result * 10 + digit;
    }
    if (result > maximum)
        return false;
    *value = result;
    return true;
}

/* Four decimal numbers without leading zeros, which some would read as octal. */
bool text_to_ipv4(const char *text, size_t length, uint32_t *address_be)
{
    uint8_t bytes[4];
    size_t at = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0) {
            if (at == length || text[at] != '.')
                return false;
            at++;
        }
        size_t end = at;
        while (end < length && end - at < IPV4_DIGITS_MAX && text[end] != '.')
            end++;
        uint64_t number;
        if (!text_to_u64(text + at, end - at, UINT8_MAX, &number))
            return false;
        if (text[at] == '0' && end - at > 1)
            return false;
        bytes[i] = (uint8_t)number;
        at = end;
    }
    if (at != length)
        return false;
    memcpy(address_be, bytes, sizeof(bytes));
    return true;
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* Six pairs of hexadecimal digits with colons between them. */
bool text_to_mac(const char *text, size_t length, uint8_t mac[6])
{
    uint8_t bytes[6];
    if (length != 3 * sizeof(bytes) - 1)
        return false;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        int high = hex_digit(text[3 * i]);
        int low = hex_digit(text[3 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        if (i + 1 < sizeof(bytes) && text[3 * i + 2] != ':')
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(mac, bytes, sizeof(bytes));
    return true;
}

/* Up to four hexadecimal digits; how many there were, 0 for anything else. */
static size_t read_ipv6_group(const char *text, size_t length, uint8_t group[2])
{
    unsigned value = 0;
    size_t count = 0;
    while (count < length && hex_digit(text[count]) >= 0) {
        if (count == IPV6_DIGITS_MAX)
            return 0;
        value = value << 4 | (unsigned)hex_digit(text[count]);
        count++;
    }
    store_be16(group, (uint16_t)value);
    return count;
}

/* RFC 4291 2.2: eight groups, of which a run of one or more, if all zero, may be left out once; and
 * the last two may be written as an IPv4 address. */
bool text_to_ipv6(const char *text, size_t length, uint8_t address[16])
{
    enum { SIZE = 16, GROUP = 2, TAIL = 4, NO_GAP = SIZE + 1 };
    uint8_t bytes[SIZE] = { 0 };
    size_t used = 0, gap = NO_GAP;

    for (size_t at = 0; at < length;) {
        uint32_t tail_be;
        if (length - at >= 2 && text[at] == ':' && text[at + 1] == ':') {
            if (gap != NO_GAP)
                return false;
            gap = used;
            at += 2;
            if (at == length)
                break;
        } else if (used > 0 && text[at++] != ':') {
            return false;
        }
        if (used <= SIZE - TAIL && text_to_ipv4(text + at, length - at, &tail_be)) {
            memcpy(bytes + used, &tail_be, TAIL);
            used += TAIL;
            break;
        }
        if (used == SIZE)
            return false;
        size_t digits = read_ipv6_group(text + at, length - at, bytes + used);
        if (digits == 0)
            return false;
        used += GROUP;
        at += digits;
    }
    if ((gap == NO_GAP) != (used == SIZE))
        return false;
    memset(address, 0, SIZE);
    memcpy(address, bytes, MIN_OF(gap, used));
    if (gap < used)
        memcpy(address + SIZE - (used - gap), bytes + gap, used - gap);
    return true;
}
