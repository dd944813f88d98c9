/* A console: bytes in, bytes out, never waiting. A screen with a keyboard looks like a VT100
 * terminal: keys arrive as the bytes and escape sequences such a terminal sends, and output may use
 * BS CR LF BEL, CSI A B C D H J K m, and UTF-8 is not expected. */
#pragma once

#include "kernel/base/types.h"

struct console;

struct console_ops {
    size_t (*read)(struct console *console, char *out, size_t size);         /* what is there */
    size_t (*write)(struct console *console, const char *text, size_t size); /* what it took */
};

struct console {
    const struct console_ops *ops;
    const char *name;       /* "com1", "vga" */
    uint16_t columns, rows; /* 80, 25 or what the screen has; 80, 24 where nobody knows */
    bool screen;            /* a person in front, so paging makes sense */
};
