/* One function per kind of value. A value that is nearly right gets told what was probably meant.
 */
#include "shell/value.h"

#include <string.h>

enum {
    NAME_BYTES_MAX = 63,
    STRING_BYTES_MAX = 255,
};

static bool number_parse(const char *text, size_t length, uint64_t *value)
{
    if (length < 3 || text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
        return text_to_u64(text, length, UINT64_MAX, value);
    if (length > 2 + 16)
        return false;
    *value = 0;
    for (size_t i = 2; i < length; i++) {
        const char *digits = "0123456789abcdef";
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char *digit = c ? strchr(digits, c) : NULL;
        if (!digit)
            return false;
        *value = *value << 4 | (uint64_t)(digit - digits);
    }
    return true;
}

static bool parse_number(const struct grammar_word *word, const char *text, size_t length,
                         struct argument *argument, struct text *canonical, struct text *why)
{
    if (!number_parse(text, length, &argument->number) || argument->number < word->minimum ||
        argument->number > word->maximum) {
        text_print(why, "must be a number from %llu to %llu", (unsigned long long)word->minimum,
                   (unsigned long long)word->maximum);
        return false;
    }
    text_print(canonical, "%llu", (unsigned long long)argument->number);
    return true;
}

static const struct {
    char letter;
    uint32_t seconds;
} time_units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };

void print_time(struct text *out, uint64_t seconds)
{
    unsigned unit = 0;
    while (time_units[unit].seconds > 1 &&
           (seconds == 0 || seconds % time_units[unit].seconds != 0))
        unit++;
    text_print(out, "%llu%c", (unsigned long long)(seconds / time_units[unit].seconds),
               time_units[unit].letter);
}

static bool parse_time(const char *text, size_t length, struct argument *argument,
                       struct text *canonical, struct text *why)
{
    uint32_t unit = 1;
    size_t digits = length;
    for (unsigned i = 0; i < ARRAY_COUNT(time_units); i++) {
        if (length > 1 && text[length - 1] == time_units[i].letter) {
            unit = time_units[i].seconds;
            digits = length - 1;
        }
    }
    uint64_t count;
    if (!text_to_u64(text, digits, UINT32_MAX / unit, &count)) {
        text_print(why, "must be a time like 10s, 5m, 2h or 1d");
        return false;
    }
    argument->number = count * unit;
    print_time(canonical, argument->number);
    return true;
}

void print_ports(struct text *out, unsigned first, unsigned last)
{
    text_print(out, "%u", first);
    if (last != first)
        text_print(out, "-%u", last);
}

static bool parse_ports(const char *text, size_t length, struct argument *argument,
                        struct text *canonical, struct text *why)
{
    const char *dash = memchr(text, '-', length);
    size_t before = dash ? (size_t)(dash - text) : length;

    if (!text_to_u64(text, before, UINT16_MAX, &argument->number) ||
        (dash && !text_to_u64(dash + 1, length - before - 1, UINT16_MAX, &argument->second))) {
        text_print(why, "must be a port from 0 to 65535, or a range of them like 1024-65535");
        return false;
    }
    if (!dash)
        argument->second = argument->number;
    if (argument->second < argument->number) {
        text_print(why, "the range is the wrong way round, did you mean %llu-%llu",
                   (unsigned long long)argument->second, (unsigned long long)argument->number);
        return false;
    }
    print_ports(canonical, (unsigned)argument->number, (unsigned)argument->second);
    return true;
}

static const char flag_letters[] = "FSRPAUEC"; /* from bit 0: TCP_FIN to TCP_CWR */

static void print_letters(struct text *out, unsigned flags)
{
    for (unsigned i = 0; flag_letters[i]; i++)
        if (flags >> i & 1)
            text_put(out, &flag_letters[i], 1);
}

void print_flags(struct text *out, unsigned set, unsigned clear)
{
    print_letters(out, set);
    if (clear)
        text_print(out, "!");
    print_letters(out, clear);
}

static bool parse_flags(const char *text, size_t length, struct argument *argument,
                        struct text *canonical, struct text *why)
{
    uint64_t *flags = &argument->number;

    argument->number = argument->second = 0;
    for (size_t i = 0; i < length; i++) {
        const char *letter = text[i] ? strchr(flag_letters, text[i]) : NULL;
        if (text[i] == '!' && flags == &argument->number) {
            flags = &argument->second;
            continue;
        }
        if (!letter) {
            text_print(why, "must be letters of %s, and behind a ! those that are not set",
                       flag_letters);
            return false;
        }
        *flags |= 1u << (letter - flag_letters);
    }
    if ((argument->number | argument->second) == 0 || argument->number & argument->second) {
        text_print(why, "a flag is set or not, and one at least is told");
        return false;
    }
    print_flags(canonical, (unsigned)argument->number, (unsigned)argument->second);
    return true;
}

static bool address_parse(const char *text, size_t length, enum family family,
                          struct address *address)
{
    uint32_t address_be;
    uint8_t bytes[16];
    if (family == FAMILY_IPV6) {
        if (!text_to_ipv6(text, length, bytes))
            return false;
        *address = address_of_ipv6(bytes);
        return true;
    }
    if (!text_to_ipv4(text, length, &address_be))
        return false;
    *address = address_of_ipv4(address_be);
    return true;
}

static bool parse_address(const char *text, size_t length, enum family family,
                          struct argument *argument, struct text *canonical)
{
    struct prefix *prefix = &argument->prefix;
    char shown[ADDRESS_TEXT_MAX];
    if (!address_parse(text, length, family, &prefix->address))
        return false;
    prefix->length = (uint8_t)address_bits(&prefix->address);
    text_print(canonical, "%s", address_text(&prefix->address, shown));
    return true;
}

/* ADDR/LEN, a prefix or an address in one; named_default: /0 has a keyword. */
static bool parse_prefix(const char *text, size_t length, enum token_type type, bool named_default,
                         struct argument *argument, struct text *canonical, struct text *why)
{
    const bool host_bits = type == TOKEN_HOST4 || type == TOKEN_HOST6;
    const enum family family =
        type == TOKEN_PREFIX6 || type == TOKEN_HOST6 ? FAMILY_IPV6 : FAMILY_IPV4;
    const char *slash = memchr(text, '/', length);
    size_t before = slash ? (size_t)(slash - text) : length;
    struct address address;
    if (!address_parse(text, before, family, &address)) {
        if (slash)
            text_print(why, "expected %s", token_type_help(type));
        return false;
    }
    uint64_t bits;
    if (!slash) {
        text_print(why, "the length is missing, like %.*s/%d", (int)before, text,
                   family == FAMILY_IPV6 ? 64 : 24);
        return false;
    }
    if (!text_to_u64(slash + 1, length - before - 1, address_bits(&address), &bits)) {
        text_print(why, "the length behind / must be 0 to %u", address_bits(&address));
        return false;
    }
    argument->prefix = (struct prefix){ .address = address, .length = (uint8_t)bits };
    char shown[PREFIX_TEXT_MAX];
    struct prefix network = prefix_network(&argument->prefix);
    if (!host_bits && !prefix_equal(&network, &argument->prefix)) {
        text_print(why, "host bits are set, did you mean %s", prefix_text(&network, shown));
        return false;
    }
    /* The network of everything has one name only, where the grammar knows it. */
    bool everything = bits == 0 && !host_bits && named_default;
    text_print(canonical, "%s", everything ? "default" : prefix_text(&argument->prefix, shown));
    return true;
}

/* 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80. */
static bool parse_endpoint(const char *text, size_t length, struct argument *argument,
                           struct text *canonical, struct text *why)
{
    bool bracketed = length > 0 && text[0] == '[';
    const char *end = memchr(text, bracketed ? ']' : ':', length);
    const char *colon = bracketed && end ? end + 1 : end;
    struct address *address = &argument->prefix.address;
    bool bare_ipv6 = !bracketed && address_parse(text, length, FAMILY_IPV6, address);
    size_t before = end ? (size_t)(end - text) - bracketed : length;

    if (bare_ipv6 || !colon || colon == text + length)
        colon = NULL;
    argument->number = ENDPOINT_NO_PORT;
    if ((bracketed && !end) ||
        (!bare_ipv6 &&
         !address_parse(text + bracketed, before, bracketed ? FAMILY_IPV6 : FAMILY_IPV4, address)))
        return false;
    if (colon && (*colon != ':' || !text_to_u64(colon + 1, length - (size_t)(colon + 1 - text),
                                                UINT16_MAX, &argument->number))) {
        text_print(why, "behind the address stands a port from 0 to 65535, like :80");
        return false;
    }
    char shown[ADDRESS_TEXT_MAX];
    bool brackets = colon && address->family == FAMILY_IPV6;
    argument->prefix.length = (uint8_t)address_bits(address);
    text_print(canonical, brackets ? "[%s]" : "%s", address_text(address, shown));
    if (colon)
        text_print(canonical, ":%llu", (unsigned long long)argument->number);
    return true;
}

static bool parse_mac(const char *text, size_t length, struct argument *argument,
                      struct text *canonical)
{
    if (!text_to_mac(text, length, argument->mac))
        return false;
    text_print(canonical, "%pM", (const void *)argument->mac);
    return true;
}

static bool parse_name(const char *text, size_t length, size_t length_max, struct text *canonical,
                       struct text *why)
{
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '.' || c == '-';
        if (!fine) {
            text_print(why, "a name has letters, digits, _ . and - only");
            return false;
        }
    }
    if (length == 0 || length > length_max) {
        text_print(why, "a name has 1 to %zu characters", length_max);
        return false;
    }
    text_put(canonical, text, length);
    return true;
}

/* The bytes behind a backslash; how many characters of the text they took, 0 where they make no
 * sense. */
static size_t unescape(const char *text, size_t length, char *byte)
{
    uint64_t value;
    if (length >= 1 && (text[0] == '"' || text[0] == '\\')) {
        *byte = text[0];
        return 1;
    }
    if (length >= 1 && text[0] == 'n') {
        *byte = '\n';
        return 1;
    }
    if (length >= 3 && text[0] == 'x') {
        char hex[4] = { '0', 'x', text[1], text[2] };
        if (number_parse(hex, sizeof(hex), &value) && value != 0) {
            *byte = (char)value;
            return 3;
        }
    }
    return 0;
}

static bool parse_string(const char *text, size_t length, bool quoted, struct text *canonical,
                         struct text *why)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++, count++) {
        char byte = text[i];
        if (quoted && byte == '\\') {
            size_t taken = unescape(text + i + 1, length - i - 1, &byte);
            if (taken == 0) {
                text_print(why, "behind \\ may stand \" \\ n or xHH");
                return false;
            }
            i += taken;
        }
        text_put(canonical, &byte, 1);
    }
    if (count > STRING_BYTES_MAX) {
        text_print(why, "a string has at most %d characters", STRING_BYTES_MAX);
        return false;
    }
    return true;
}

bool value_parse(const struct grammar_word *word, const char *text, size_t length, bool quoted,
                 struct argument *argument, struct text *canonical, struct text *why)
{
    argument->type = word->type;
    if (quoted && word->type != TOKEN_STRING && word->type != TOKEN_SECRET)
        return false;
    switch (word->type) {
    case TOKEN_NUMBER:
        return parse_number(word, text, length, argument, canonical, why);
    case TOKEN_TIME:
        return parse_time(text, length, argument, canonical, why);
    case TOKEN_ADDR4:
        return parse_address(text, length, FAMILY_IPV4, argument, canonical);
    case TOKEN_ADDR6:
        return parse_address(text, length, FAMILY_IPV6, argument, canonical);
    case TOKEN_PREFIX4:
    case TOKEN_PREFIX6:
    case TOKEN_HOST4:
    case TOKEN_HOST6:
        return parse_prefix(text, length, word->type, word->keywords.length > 0, argument,
                            canonical, why);
    case TOKEN_MAC:
        return parse_mac(text, length, argument, canonical);
    case TOKEN_IFNAME: /* PORT_NAME_BYTES, with its final 0 */
        return parse_name(text, length, 15, canonical, why);
    case TOKEN_PORTS:
        return parse_ports(text, length, argument, canonical, why);
    case TOKEN_FLAGS:
        return parse_flags(text, length, argument, canonical, why);
    case TOKEN_ENDPOINT:
        return parse_endpoint(text, length, argument, canonical, why);
    case TOKEN_NAME:
        return parse_name(text, length, NAME_BYTES_MAX, canonical, why);
    case TOKEN_STRING:
    case TOKEN_SECRET:
        return parse_string(text, length, quoted, canonical, why);
    case TOKEN_WORD:
        break;
    }
    return false;
}
