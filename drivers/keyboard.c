/* The i8042 keyboard controller: IBM PS/2 Hardware Interface Technical Reference (1990), "Keyboard
 * and Auxiliary Device Controller". The controller translates the keyboard's own scan code set 2
 * into set 1, as firmware has it; a mouse is switched off, so that its bytes do not come between.
 *
 * All waits are counted in port reads, about a microsecond each on real hardware: no clock is
 * needed. */
#include "drivers/keyboard.h"

#include "kernel/platform.h"

enum { DATA_PORT = 0x60, STATUS_PORT = 0x64, COMMAND_PORT = 0x64, KEYBOARD_LINE = 1 };

enum { /* status */
       OUTPUT_FULL = 1 << 0,
       INPUT_FULL = 1 << 1,
       FROM_AUXILIARY = 1 << 5,
       ABSENT = 0xff,
};

enum { /* controller commands */
       READ_CONFIGURATION = 0x20,
       WRITE_CONFIGURATION = 0x60,
       DISABLE_AUXILIARY = 0xa7,
       DISABLE_KEYBOARD = 0xad,
       ENABLE_KEYBOARD = 0xae,
};

enum { /* configuration byte */
       KEYBOARD_INTERRUPT = 1 << 0,
       AUXILIARY_INTERRUPT = 1 << 1,
       KEYBOARD_CLOCK_OFF = 1 << 4,
       AUXILIARY_CLOCK_OFF = 1 << 5,
       TRANSLATE = 1 << 6,
};

enum { KEYBOARD_ENABLE_SCANNING = 0xf4, KEYBOARD_ACKNOWLEDGE = 0xfa };

enum {
    WAIT_READS = 20000,   /* about 20 ms; a keyboard must answer in 20 ms */
    FLUSH_BYTES_MAX = 64, /* more than any controller's buffer */
    READ_BYTES_MAX = 64,  /* scan codes handled in one call */
};

static bool controller_wait(uint8_t mask, uint8_t wanted)
{
    for (unsigned i = 0; i < WAIT_READS; i++)
        if ((port_read8(STATUS_PORT) & mask) == wanted)
            return true;
    return false;
}

static bool controller_command(uint8_t command)
{
    if (!controller_wait(INPUT_FULL, 0))
        return false;
    port_write8(COMMAND_PORT, command);
    return true;
}

static bool controller_send(uint8_t byte)
{
    if (!controller_wait(INPUT_FULL, 0))
        return false;
    port_write8(DATA_PORT, byte);
    return true;
}

static bool controller_receive(uint8_t *byte)
{
    if (!controller_wait(OUTPUT_FULL, OUTPUT_FULL))
        return false;
    *byte = port_read8(DATA_PORT);
    return true;
}

static bool controller_flush(void)
{
    for (unsigned i = 0; i < FLUSH_BYTES_MAX; i++) {
        if (!(port_read8(STATUS_PORT) & OUTPUT_FULL))
            return true;
        (void)port_read8(DATA_PORT);
    }
    return false;
}

static bool controller_start(void)
{
    uint8_t configuration;

    if (port_read8(STATUS_PORT) == ABSENT)
        return false;
    if (!controller_command(DISABLE_KEYBOARD) || !controller_command(DISABLE_AUXILIARY))
        return false;
    if (!controller_flush())
        return false;
    if (!controller_command(READ_CONFIGURATION) || !controller_receive(&configuration))
        return false;
    configuration &= (uint8_t) ~(AUXILIARY_INTERRUPT | KEYBOARD_CLOCK_OFF);
    configuration |= KEYBOARD_INTERRUPT | AUXILIARY_CLOCK_OFF | TRANSLATE;
    if (!controller_command(WRITE_CONFIGURATION) || !controller_send(configuration))
        return false;
    return controller_command(ENABLE_KEYBOARD);
}

/* Keys typed during the boot may come before the answer. */
static bool keyboard_start(void)
{
    if (!controller_send(KEYBOARD_ENABLE_SCANNING))
        return false;
    for (unsigned i = 0; i < FLUSH_BYTES_MAX; i++) {
        uint8_t byte;
        if (!controller_receive(&byte))
            return false;
        if (byte == KEYBOARD_ACKNOWLEDGE)
            return true;
    }
    return false;
}

void keyboard_open(struct keyboard *keyboard)
{
    *keyboard = (struct keyboard){ .present = false };
    if (!controller_start() || !keyboard_start())
        return;
    keyboard->present = true;
    isa_interrupt_open(&keyboard->interrupt, KEYBOARD_LINE, "keyboard");
}

void keyboard_close(struct keyboard *keyboard)
{
    if (!keyboard->present)
        return;
    (void)controller_command(DISABLE_KEYBOARD);
    isa_interrupt_close(&keyboard->interrupt);
    keyboard->present = false;
}

static size_t keyboard_take_pending(struct keyboard *keyboard, char *out, size_t size)
{
    size_t taken = 0;
    while (taken < size && keyboard->pending_at < keyboard->pending_count)
        out[taken++] = keyboard->pending[keyboard->pending_at++];
    return taken;
}

size_t keyboard_read(struct keyboard *keyboard, char *out, size_t size)
{
    if (!keyboard->present)
        return 0;
    size_t taken = keyboard_take_pending(keyboard, out, size);
    if (taken == size || !isa_interrupt_due(&keyboard->interrupt))
        return taken;
    for (unsigned i = 0; i < READ_BYTES_MAX && taken < size; i++) {
        uint8_t status = port_read8(STATUS_PORT);
        if (!(status & OUTPUT_FULL))
            break;
        uint8_t code = port_read8(DATA_PORT);
        if (status & FROM_AUXILIARY)
            continue;
        keyboard->pending_at = 0;
        keyboard->pending_count =
            (unsigned)keyboard_decode(&keyboard->decoder, code, keyboard->pending);
        taken += keyboard_take_pending(keyboard, out + taken, size - taken);
    }
    return taken;
}
