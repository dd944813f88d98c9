/* National Semiconductor PC16550D datasheet, section 8. */
#include "kernel/x86/com1.h"

#include "kernel/platform.h"

enum com1_register {
    COM1 = 0x3f8,
    COM1_DATA = COM1,
    COM1_DIVISOR_LOW = COM1, /* while LINE_CONTROL_DIVISOR is set */
    COM1_INTERRUPT_ENABLE = COM1 + 1,
    COM1_DIVISOR_HIGH = COM1 + 1,
    COM1_FIFO_CONTROL = COM1 + 2,
    COM1_LINE_CONTROL = COM1 + 3,
    COM1_MODEM_CONTROL = COM1 + 4,
    COM1_LINE_STATUS = COM1 + 5,
};

enum {
    LINE_CONTROL_8N1 = 0x03,
    LINE_CONTROL_DIVISOR = 0x80,
    FIFO_ENABLE_AND_CLEAR = 0x07,
    MODEM_DTR_RTS = 0x03,
    LINE_STATUS_CAN_SEND = 0x20,
    LINE_STATUS_ABSENT = 0xff,
    DIVISOR_115200 = 1,
    /* Reads of the status in a row, each about a microsecond on real hardware and a quarter of that
     * in QEMU, whose other end may be busy for a while. */
    PATIENCE = 4 * 1000 * 1000,
};

static unsigned patience_left = PATIENCE; /* a port that has used it up is not waited for again */

void com1_init(void)
{
    port_write8(COM1_INTERRUPT_ENABLE, 0);
    port_write8(COM1_LINE_CONTROL, LINE_CONTROL_DIVISOR);
    port_write8(COM1_DIVISOR_LOW, DIVISOR_115200);
    port_write8(COM1_DIVISOR_HIGH, 0);
    port_write8(COM1_LINE_CONTROL, LINE_CONTROL_8N1);
    port_write8(COM1_FIFO_CONTROL, FIFO_ENABLE_AND_CLEAR);
    port_write8(COM1_MODEM_CONTROL, MODEM_DTR_RTS);
}

static bool send(char byte)
{
    for (;;) {
        uint8_t status = port_read8(COM1_LINE_STATUS);
        if (status == LINE_STATUS_ABSENT)
            return false;
        if (status & LINE_STATUS_CAN_SEND)
            break;
        if (patience_left == 0)
            return false;
        patience_left--;
    }
    patience_left = PATIENCE;
    port_write8(COM1_DATA, (uint8_t)byte);
    return true;
}

void com1_write(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n' && !send('\r'))
            return;
        if (!send(text[i]))
            return;
    }
}
