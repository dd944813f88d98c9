/* Standard input and output. They may be shared with other programs, so they stay blocking: reading
 * asks first whether something is there. */
#include "tests/host/process/terminal.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "net/router.h"
#include "tests/host/host.h"

enum { COLUMNS = 80 };

static struct termios before; /* what the terminal was like; read by signal handlers */
static bool is_raw;

static void restore(void)
{
    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

static void restore_and_die(int signal_number)
{
    restore();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static size_t read_keys(void *context, char *out, size_t size)
{
    (void)context;
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    if (poll(&input, 1, 0) <= 0)
        return 0;
    ssize_t length = read(STDIN_FILENO, out, size);
    if (length > 0)
        return (size_t)length;
    host_unwatch(CONTROL_CORE, STDIN_FILENO); /* the end: the router goes on without a console */
    return 0;
}

static size_t write_text(void *context, const char *text, size_t size)
{
    (void)context;
    ssize_t written = write(STDOUT_FILENO, text, size);
    return written > 0 ? (size_t)written : size; /* nobody is there to read it */
}

void terminal_start(struct terminal_io *terminal)
{
    *terminal = (struct terminal_io){
        .read = read_keys,
        .write = write_text,
        .name = "com1",
        .kind = CONSOLE_COM1,
        .columns = COLUMNS,
    };
    signal(SIGPIPE, SIG_IGN);
    host_watch(CONTROL_CORE, STDIN_FILENO);

    struct winsize window;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) {
        terminal->columns = window.ws_col;
        terminal->rows = window.ws_row;
    }
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return;
    struct termios raw = before;
    cfmakeraw(&raw);
    is_raw = tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0;
    atexit(restore);
    signal(SIGTERM, restore_and_die);
    signal(SIGINT, restore_and_die);
    signal(SIGABRT, restore_and_die);
    signal(SIGSEGV, restore_and_die);
}
