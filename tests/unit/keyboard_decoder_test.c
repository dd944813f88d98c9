/* Goal: keys become the bytes of a terminal with a US keyboard. Method: scan codes in, bytes
 * compared. */
#include "drivers/keyboard_decoder.h"

#include <string.h>

#include "tests/unit/test.h"

static void expect_typed(const char *codes, size_t count, const char *expected)
{
    struct keyboard_decoder decoder = { .left_shift = false };
    char typed[128];
    size_t length = 0;

    for (size_t i = 0; i < count; i++) {
        char out[KEYBOARD_SEQUENCE_MAX];
        size_t sent = keyboard_decode(&decoder, (uint8_t)codes[i], out);
        EXPECT(sent <= sizeof(out));
        EXPECT(length + sent < sizeof(typed));
        memcpy(typed + length, out, sent);
        length += sent;
    }
    typed[length] = '\0';
    EXPECT_TEXT(typed, expected);
}

#define EXPECT_TYPED(codes, expected) expect_typed((codes), sizeof(codes) - 1, (expected))

TEST(keyboard_types_letters_on_press_only)
{
    EXPECT_TYPED("\x1f\x9f\x23\xa3\x18\x98\x11\x91\x39\xb9\x1c\x9c", "show \r");
    EXPECT_TYPED("\x02\x0b\x0c\x0d\x0e\x0f\x01", "10-=\177\t\033");
    EXPECT_TYPED("\x2b\x35\x33\x34\x27\x28\x29", "\\/,.;'`");
}

TEST(keyboard_shift_and_caps_lock_make_capitals)
{
    EXPECT_TYPED("\x2a\x1e\x02\xaa\x1e", "A!a");
    EXPECT_TYPED("\x36\x2b\x35\x0c\xb6\x0c", "|?_-");
    EXPECT_TYPED("\x3a\xba\x1e\x02\x2a\x1e\xaa\x3a\xba\x1e", "A1aa");
}

TEST(keyboard_control_and_alt)
{
    EXPECT_TYPED("\x1d\x1e\x2e\x9d\x1e", "\001\003a");
    EXPECT_TYPED("\xe0\x1d\x2c\xe0\x9d", "\032");
    EXPECT_TYPED("\x1d\x1a\x0e\x02", "\033\177"
                                     "1");
    EXPECT_TYPED("\x38\x30\xb8\x30", "\033bb");
}

TEST(keyboard_cursor_keys_send_sequences)
{
    EXPECT_TYPED("\xe0\x48\xe0\xc8\xe0\x50\xe0\x4d\xe0\x4b", "\033[A\033[B\033[C\033[D");
    EXPECT_TYPED("\xe0\x47\xe0\x4f\xe0\x53\xe0\x49\xe0\x51\xe0\x52",
                 "\033[H\033[F\033[3~\033[5~\033[6~\033[2~");
    EXPECT_TYPED("\xe0\x35\xe0\x1c\x48", "/\r8");
}

TEST(keyboard_made_up_shifts_change_nothing)
{
    EXPECT_TYPED("\xe0\x2a\xe0\x48\xe0\xc8\xe0\xaa\x1e", "\033[Aa");
    EXPECT_TYPED("\x2a\xe0\xaa\xe0\x4b\xe0\x2a\x1e", "\033[DA");
}

TEST(keyboard_ignores_pause_and_unknown_keys)
{
    EXPECT_TYPED("\xe1\x1d\x45\xe1\x9d\xc5\x1e", "a");
    EXPECT_TYPED("\x3b\x57\x58\x7f\xff\xfa\xe0\x5b\xe0\xff\x1e", "a");
}
