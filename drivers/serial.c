/* Serial ports of the 16550 kind (PC16550D datasheet, National Semiconductor, 1995; section numbers
 * are its).
 *
 * write() copies into a ring and never waits; the ring drains into the transmit FIFO, 16 bytes
 * whenever that is empty, from write() itself and from read(), which the control core calls in
 * every step and which the port's interrupt wakes it for.
 *
 *      write() -> [ ring, 16 KiB ] -> FIFO, 16 -> line -> FIFO, 16 -> read()
 *
 * The interrupt line is an edge: it rises again only after everything that asked for it was
 * served. So service() goes on until the identification register says that nothing is pending. */
#include <string.h>

#include "drivers/console_devices.h"
#include "drivers/isa_interrupt.h"
#include "kernel/platform.h"

enum {           /* 8.0, table II: registers, as offsets from the base port */
       DATA = 0, /* receive buffer, transmit holding */
       INTERRUPT_ENABLE = 1,
       INTERRUPT_ID = 2, /* read */
       FIFO_CONTROL = 2, /* write */
       LINE_CONTROL = 3,
       MODEM_CONTROL = 4,
       LINE_STATUS = 5,
       MODEM_STATUS = 6,
       SCRATCH = 7,
       DIVISOR_LOW = 0, /* while DIVISOR_ACCESS */
       DIVISOR_HIGH = 1,
};

enum {
    ENABLE_RECEIVED = 1 << 0, /* 8.6 */
    ENABLE_TRANSMIT_EMPTY = 1 << 1,
    NOTHING_PENDING = 1 << 0, /* 8.5 */
    FIFO_ENABLE = 1 << 0,     /* 8.4 */
    FIFO_TRIGGER_8 = 2 << 6,
    EIGHT_BITS = 3 << 0, /* 8.1 */
    DIVISOR_ACCESS = 1 << 7,
    TERMINAL_READY = 1 << 0, /* 8.7 */
    REQUEST_TO_SEND = 1 << 1,
    INTERRUPT_GATE = 1 << 3, /* OUT2: on a PC it lets the interrupt through */
    DATA_READY = 1 << 0,     /* 8.3 */
    TRANSMIT_EMPTY = 1 << 5,
};

enum {
    DIVISOR_115200 = 1, /* 8.2: 1.8432 MHz / 16 / 115200 */
    FIFO_BYTES = 16,
    OUTPUT_BYTES = 16 * 1024, /* more is refused, and the writer comes again; a power of two */
    INPUT_BYTES = 256,        /* more stays in the FIFO, where a virtual machine's line waits */
    SERVICE_ROUNDS_MAX = 64,  /* a port that never gets quiet may not hold the core */
    FILL_ROUNDS_MAX = 64, /* 1 KiB a call where the FIFO empties at once, as in virtual machines */
};

struct serial {
    struct console console;
    /* Set when created. */
    uint16_t port;
    char name[8];
    /* Owned by the control core. */
    struct isa_interrupt interrupt;
    uint8_t enabled;    /* what INTERRUPT_ENABLE was set to */
    bool input_waiting; /* in the FIFO, for room in the ring: no interrupt will tell of it again */
    uint32_t output_head, output_tail;
    uint32_t input_head, input_tail;
    char output[OUTPUT_BYTES];
    char input[INPUT_BYTES];
};

static const struct {
    uint16_t port;
    uint8_t line;
} places[SERIAL_PORT_COUNT] = { { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 } };

static uint8_t serial_get(const struct serial *serial, unsigned reg)
{
    return port_read8((uint16_t)(serial->port + reg));
}

static void serial_set(const struct serial *serial, unsigned reg, unsigned value)
{
    port_write8((uint16_t)(serial->port + reg), (uint8_t)value);
}

static bool serial_present(const struct serial *serial)
{
    /* 8.9: the scratch register keeps what is written; an empty bus answers all ones. */
    serial_set(serial, SCRATCH, 0x5a);
    if (serial_get(serial, SCRATCH) != 0x5a)
        return false;
    serial_set(serial, SCRATCH, 0xa5);
    return serial_get(serial, SCRATCH) == 0xa5;
}

static void serial_start(struct serial *serial)
{
    serial_set(serial, INTERRUPT_ENABLE, 0);
    serial_set(serial, LINE_CONTROL, DIVISOR_ACCESS);
    serial_set(serial, DIVISOR_LOW, DIVISOR_115200);
    serial_set(serial, DIVISOR_HIGH, 0);
    serial_set(serial, LINE_CONTROL, EIGHT_BITS);
    /* What somebody has typed ahead stays in the receive FIFO. */
    serial_set(serial, FIFO_CONTROL, FIFO_ENABLE | FIFO_TRIGGER_8);
    serial_set(serial, MODEM_CONTROL, TERMINAL_READY | REQUEST_TO_SEND | INTERRUPT_GATE);
    serial->enabled = ENABLE_RECEIVED;
    serial_set(serial, INTERRUPT_ENABLE, serial->enabled);
}

static void serial_drain_input(struct serial *serial)
{
    serial->input_waiting = false;
    while (serial_get(serial, LINE_STATUS) & DATA_READY) {
        if (serial->input_tail - serial->input_head == INPUT_BYTES) {
            serial->input_waiting = true;
            return;
        }
        serial->input[serial->input_tail++ % INPUT_BYTES] = (char)serial_get(serial, DATA);
    }
}

static void serial_fill_output(struct serial *serial)
{
    for (unsigned round = 0; round < FILL_ROUNDS_MAX; round++) {
        if (serial->output_head == serial->output_tail)
            break;
        if (!(serial_get(serial, LINE_STATUS) & TRANSMIT_EMPTY))
            break;
        for (unsigned i = 0; i < FIFO_BYTES && serial->output_head != serial->output_tail; i++)
            serial_set(serial, DATA, (uint8_t)serial->output[serial->output_head++ % OUTPUT_BYTES]);
    }
    /* Be told when the FIFO is empty, as long as there is more. */
    uint8_t wanted = ENABLE_RECEIVED;
    if (serial->output_head != serial->output_tail)
        wanted |= ENABLE_TRANSMIT_EMPTY;
    if (wanted == serial->enabled)
        return;
    serial->enabled = wanted;
    serial_set(serial, INTERRUPT_ENABLE, wanted);
}

static void serial_service(struct serial *serial)
{
    for (unsigned round = 0; round < SERVICE_ROUNDS_MAX; round++) {
        bool pending = !(serial_get(serial, INTERRUPT_ID) & NOTHING_PENDING);
        serial_drain_input(serial);
        serial_fill_output(serial);
        if (!pending || serial->input_waiting)
            return;
        (void)serial_get(serial, MODEM_STATUS); /* reading it quiets a cause we never enabled */
    }
}

static size_t serial_read(struct console *console, char *out, size_t size)
{
    struct serial *serial = CONTAINER_OF(console, struct serial, console);

    if (isa_interrupt_due(&serial->interrupt) || serial->input_waiting)
        serial_service(serial);

    size_t taken = 0;
    while (taken < size && serial->input_head != serial->input_tail)
        out[taken++] = serial->input[serial->input_head++ % INPUT_BYTES];
    return taken;
}

static size_t serial_write(struct console *console, const char *text, size_t size)
{
    struct serial *serial = CONTAINER_OF(console, struct serial, console);
    size_t taken = 0;

    while (taken < size && serial->output_tail - serial->output_head < OUTPUT_BYTES)
        serial->output[serial->output_tail++ % OUTPUT_BYTES] = text[taken++];
    serial_fill_output(serial);
    return taken;
}

static const struct console_ops serial_ops = { .read = serial_read, .write = serial_write };

struct console *serial_console_create(unsigned index)
{
    if (index >= SERIAL_PORT_COUNT)
        return NULL;
    struct serial *serial = memory_alloc(sizeof(*serial), 0, MEMORY_DRIVER);
    if (!serial)
        return NULL;
    serial->port = places[index].port;
    if (!serial_present(serial)) {
        memory_free(serial);
        return NULL;
    }
    memcpy(serial->name, "com1", sizeof("com1"));
    serial->name[3] = (char)('1' + index);
    serial->console = (struct console){
        .ops = &serial_ops, .name = serial->name, .columns = 80, .rows = 24, .screen = false
    };
    isa_interrupt_open(&serial->interrupt, places[index].line, serial->name);
    serial_start(serial);
    return &serial->console;
}

void serial_console_destroy(struct console *console)
{
    if (!console)
        return;
    struct serial *serial = CONTAINER_OF(console, struct serial, console);
    serial_set(serial, INTERRUPT_ENABLE, 0);
    isa_interrupt_close(&serial->interrupt);
    memory_free(serial);
}
