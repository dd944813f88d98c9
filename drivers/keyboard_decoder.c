/* Scan code set 1, US layout: see the header. Cursor keys send what xterm and the VT220 do. The
 * keypad sends its digits always; there is no num lock, and no lamp is lit. */
#include "drivers/keyboard_decoder.h"

#include <string.h>

enum {
    RELEASED = 0x80, /* bit in a code: the key went up */
    CODE_EXTENDED = 0xe0,
    CODE_PAUSE = 0xe1,
    PAUSE_BYTES_LEFT = 2, /* each of its two halves: e1 1d 45, e1 9d c5 */
    CODE_CONTROL = 0x1d,
    CODE_LEFT_SHIFT = 0x2a,
    CODE_RIGHT_SHIFT = 0x36,
    CODE_ALT = 0x38,
    CODE_CAPS_LOCK = 0x3a,
};

/* Index: the scan code; 0: a key that sends nothing. */
static const char plain_keys[] =
    "\0\0331234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./"
    "\0*\0 \0\0\0\0\0\0\0\0\0\0\0\0\000789-456+1230.";
static const char shifted_keys[] =
    "\0\033!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?"
    "\0*\0 \0\0\0\0\0\0\0\0\0\0\0\0\000789-456+1230.";
_Static_assert(sizeof(plain_keys) == 0x54 + 1, "the keypad's dot is code 0x53");
_Static_assert(sizeof(plain_keys) == sizeof(shifted_keys), "one key, two characters");

struct extended_key {
    uint8_t code;
    char sequence[KEYBOARD_SEQUENCE_MAX];
};

static const struct extended_key extended_keys[] = {
    { 0x1c, "\r" },      { 0x35, "/" },       { 0x47, "\033[H" },  { 0x48, "\033[A" },
    { 0x49, "\033[5~" }, { 0x4b, "\033[D" },  { 0x4d, "\033[C" },  { 0x4f, "\033[F" },
    { 0x50, "\033[B" },  { 0x51, "\033[6~" }, { 0x52, "\033[2~" }, { 0x53, "\033[3~" },
};

/* True when the key was one that is held together with others. */
static bool keyboard_modifier(struct keyboard_decoder *decoder, uint8_t key, bool pressed,
                              bool extended)
{
    switch (key) {
    case CODE_LEFT_SHIFT:
        /* After 0xe0 it is a shift that the keyboard makes up around its grey keys. */
        if (!extended)
            decoder->left_shift = pressed;
        return true;
    case CODE_RIGHT_SHIFT:
        if (!extended)
            decoder->right_shift = pressed;
        return true;
    case CODE_CONTROL:
        if (extended)
            decoder->right_control = pressed;
        else
            decoder->left_control = pressed;
        return true;
    case CODE_ALT:
        decoder->alt = pressed;
        return true;
    case CODE_CAPS_LOCK:
        if (pressed)
            decoder->caps_lock = !decoder->caps_lock;
        return true;
    default:
        return false;
    }
}

static size_t keyboard_extended(uint8_t key, char out[KEYBOARD_SEQUENCE_MAX])
{
    for (unsigned i = 0; i < ARRAY_COUNT(extended_keys); i++) {
        if (extended_keys[i].code != key)
            continue;
        size_t length = strlen(extended_keys[i].sequence);
        memcpy(out, extended_keys[i].sequence, length);
        return length;
    }
    return 0;
}

static size_t keyboard_character(const struct keyboard_decoder *decoder, uint8_t key,
                                 char out[KEYBOARD_SEQUENCE_MAX])
{
    if (key >= sizeof(plain_keys) - 1 || plain_keys[key] == '\0')
        return 0;

    bool letter = plain_keys[key] >= 'a' && plain_keys[key] <= 'z';
    bool shifted = decoder->left_shift || decoder->right_shift;
    if (letter && decoder->caps_lock)
        shifted = !shifted;
    char character = shifted ? shifted_keys[key] : plain_keys[key];

    if (decoder->left_control || decoder->right_control) {
        /* ASCII: the control characters are the columns '@' to '_' and '`' to '~', 5 bits of them.
         */
        if (character == ' ' || (character >= '@' && character < '\177'))
            character &= 0x1f;
    }
    size_t length = 0;
    if (decoder->alt)
        out[length++] = '\033';
    out[length++] = character;
    return length;
}

size_t keyboard_decode(struct keyboard_decoder *decoder, uint8_t code,
                       char out[KEYBOARD_SEQUENCE_MAX])
{
    if (decoder->ignored_left > 0) {
        decoder->ignored_left--;
        return 0;
    }
    if (code == CODE_PAUSE) {
        decoder->ignored_left = PAUSE_BYTES_LEFT;
        return 0;
    }
    if (code == CODE_EXTENDED) {
        decoder->extended = true;
        return 0;
    }
    bool extended = decoder->extended;
    bool pressed = !(code & RELEASED);
    uint8_t key = code & (RELEASED - 1);

    decoder->extended = false;
    if (keyboard_modifier(decoder, key, pressed, extended) || !pressed)
        return 0;
    return extended ? keyboard_extended(key, out) : keyboard_character(decoder, key, out);
}
