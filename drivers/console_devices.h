/* The consoles of this machine: serial ports, and a screen with a keyboard. Where the hardware is
 * absent or mute, a create function gives NULL after at most some tens of milliseconds.
 *
 * All functions of these consoles are called by the control core alone. */
#pragma once

#include "drivers/console.h"
#include "kernel/base/types.h"

enum { SERIAL_PORT_COUNT = 4 };

/* com1 is index 0. 115200 bit/s, 8 data bits, no parity, one stop bit. */
struct console *serial_console_create(unsigned index) MUST_CHECK;
void serial_console_destroy(struct console *console); /* NULL is allowed */

/* The screen as the loader left it. Not present: the VGA text screen is looked for. */
struct screen_setup {
    bool present;
    bool text;              /* VGA text cells, not pixels */
    uint64_t address;       /* physical */
    uint32_t pitch_bytes;   /* from one line of pixels to the next */
    uint32_t width, height; /* pixels */
    uint8_t bits_per_pixel; /* 24 or 32 */
    uint8_t red_shift, green_shift, blue_shift;
};

/* The one screen, and the keyboard where there is one. */
struct console *screen_console_create(const struct screen_setup *setup) MUST_CHECK;
void screen_console_destroy(struct console *console); /* NULL is allowed */
