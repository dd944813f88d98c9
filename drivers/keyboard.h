/* The PS/2 keyboard behind the i8042 controller. */
#pragma once

#include "drivers/isa_interrupt.h"
#include "drivers/keyboard_decoder.h"

struct keyboard {
    bool present;
    struct isa_interrupt interrupt;
    struct keyboard_decoder decoder;
    /* What one key sent and nobody has read yet. */
    unsigned pending_at, pending_count;
    char pending[KEYBOARD_SEQUENCE_MAX];
};

/* Sets `present`. Where controller or keyboard are absent or mute, comes back in bounded time. */
void keyboard_open(struct keyboard *keyboard);
void keyboard_close(struct keyboard *keyboard);

/* Bytes as a terminal would send them; what is there, never waits. */
size_t keyboard_read(struct keyboard *keyboard, char *out, size_t size);
