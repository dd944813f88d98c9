/* From scan codes (set 1, as a PC's keyboard controller translates them) to the bytes that a
 * terminal with a US keyboard sends. Pure. */
#pragma once

#include "kernel/base/types.h"

enum { KEYBOARD_SEQUENCE_MAX = 8 }; /* bytes one key may send */

struct keyboard_decoder {
    bool left_shift, right_shift, left_control, right_control, alt, caps_lock;
    bool extended;         /* after 0xe0 */
    unsigned ignored_left; /* bytes of a pause key still to come */
};

/* All zero is a good start. Answers how many bytes went into out. */
size_t keyboard_decode(struct keyboard_decoder *decoder, uint8_t code,
                       char out[KEYBOARD_SEQUENCE_MAX]);
