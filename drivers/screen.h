/* What is behind a screen console: cells of 8 by 16 pixels or VGA text cells. */
#pragma once

#include "drivers/console_devices.h"
#include "drivers/terminal.h"
#include "kernel/base/types.h"

struct screen_surface {
    unsigned columns, rows; /* 0: there is no such screen */
    void (*draw)(const struct screen_surface *surface, unsigned row, unsigned column,
                 struct terminal_cell cell);
    volatile uint8_t *memory;
    /* Pixels only. */
    uint32_t pitch_bytes;
    unsigned pixel_bytes;
    uint32_t colors[16]; /* in the screen's own order of bits */
};

/* The 80 by 25 text screen of a VGA; no columns where the machine has none or it shows pixels. */
struct screen_surface screen_text_surface(void);

/* pixels: pitch_bytes * height bytes. No columns where the setup makes no sense. */
bool screen_framebuffer_valid(const struct screen_setup *setup);
struct screen_surface screen_framebuffer_surface(const struct screen_setup *setup,
                                                 volatile uint8_t *pixels);

/* Draws the cells that differ from what is shown, the cursor as a reversed cell. Pure but for
 * draw(). */
void screen_refresh(const struct screen_surface *surface, const struct terminal *terminal,
                    struct terminal_cell *shown);
