/* The router as one Linux process: the table of contents of build/host/tsuji, as kernel/main.c is
 * that of the kernel. Each core is a thread. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/base/text.h"
#include "net/control.h"
#include "net/router.h"
#include "shell/shell.h"
#include "tests/host/host.h"
#include "tests/host/link.h"
#include "tests/host/process/terminal.h"

enum { CONFIG_MAX = 64 * 1024 * 1024 }; /* bytes of text */

struct options {
    const char *config_file; /* NULL: the built-in configuration */
    unsigned core_count;
    unsigned port_count;
    const char *ports[PORT_MAX]; /* "tap:NAME" and the like, by the number of the port */
};

static const char usage[] =
    "tsuji [--config FILE] [--files FOLDER] [--cores N] --port eth0=LINK --port eth1=LINK ...\n"
    "  Names of files in statements and commands are those of FOLDER.\n"
    "  LINK is tap:NAME, a tap device, made if it is not there;\n"
    "  unix:LOCAL,REMOTE, two sockets, one datagram for each frame;\n"
    "  or pcap:IN,OUT, capture files, either of which may be missing.\n";

_Noreturn static void refuse(const char *format, ...) PRINTF_LIKE(1, 2);

_Noreturn static void refuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

/* ---- Options ----------------------------------------------------------------------------------
 */

/* "eth0=tap:NAME" */
static void add_port(struct options *options, const char *text)
{
    const char *equals = strchr(text, '=');
    uint64_t number;
    if (equals == NULL || strncmp(text, "eth", 3) != 0 ||
        !text_to_u64(text + 3, (size_t)(equals - text - 3), PORT_MAX - 1, &number))
        refuse("--port %s: expected ethN=LINK\n%s", text, usage);
    if (options->ports[number] != NULL)
        refuse("--port eth%u is there twice", (unsigned)number);
    options->ports[number] = equals + 1;
    options->port_count++;
}

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' }, { "files", required_argument, NULL, 'f' },
        { "cores", required_argument, NULL, 'n' },  { "port", required_argument, NULL, 'p' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    uint64_t number;
    int letter;
    *options = (struct options){ .core_count = 1 };
    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (letter) {
        case 'c':
            options->config_file = optarg;
            break;
        case 'f':
            if (!host_file_folder(optarg))
                refuse("--files %s: it is no folder that can be read", optarg);
            break;
        case 'n':
            if (!text_to_u64(optarg, strlen(optarg), CORE_MAX, &number) || number == 0)
                refuse("--cores %s: expected a number from 1 to %d", optarg, CORE_MAX);
            options->core_count = (unsigned)number;
            break;
        case 'p':
            add_port(options, optarg);
            break;
        case 'h':
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        default:
            refuse("%s", usage);
        }
    }
    if (optind < argc)
        refuse("%s: not understood\n%s", argv[optind], usage);
    for (unsigned i = 0; i < options->port_count; i++) {
        if (options->ports[i] == NULL)
            refuse("--port eth%u is missing: ports are counted from 0 without a gap", i);
    }
}

/* ---- Configuration ----------------------------------------------------------------------------
 */

static void load_config(struct shell *shell, const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(CONFIG_MAX);
    if (file == NULL || text == NULL)
        refuse("%s: it cannot be read", path);
    size_t length = fread(text, 1, CONFIG_MAX, file);
    if (ferror(file) || !feof(file))
        refuse("%s: it cannot be read, or is longer than %d bytes", path, CONFIG_MAX);
    fclose(file);

    struct problem problem;
    if (shell_load(shell, text, length, &problem) != OK)
        refuse("%s:%u:%u: %s", path, problem.line, problem.column, problem.text);
    free(text);
}

/* ---- The router -------------------------------------------------------------------------------
 */

static void run_core(void *core)
{
    core_loop(core);
}

static void create_cards(const struct options *options, struct nic **nics)
{
    for (unsigned i = 0; i < options->port_count; i++) {
        char why[256];
        struct link *link = link_create(options->ports[i], options->core_count, why, sizeof(why));
        nics[i] = link != NULL ? link_nic_create(link) : NULL;
        if (nics[i] == NULL)
            refuse("eth%u: %s", i, link != NULL ? error_text(ERROR_NO_MEMORY) : why);
    }
}

static void say_ready(const struct options *options)
{
    uint64_t tenths_ms = clock_ns() / (NS_PER_MS / 10);
    printf("ready: %u.%u ms, %u cores, %u interfaces\r\n", (unsigned)(tenths_ms / 10),
           (unsigned)(tenths_ms % 10), options->core_count, options->port_count);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct command_table *const tables[] = { &session_commands,  &statement_commands,
                                                          &filter_statements, &show_net_commands,
                                                          &route_commands,    &filter_commands,
                                                          &explain_commands,  &show_memory_commands,
                                                          &action_commands };
    static struct options options;
    static struct nic *nics[PORT_MAX];

    read_options(&options, argc, argv);
    host_cores(options.core_count, HOST_THREADS);
    create_cards(&options, nics);
    struct router *router = router_create(&(struct router_setup){
        .core_count = options.core_count,
        .nics = nics,
        .nic_count = options.port_count,
        .now_ns = clock_ns(),
    });
    if (router == NULL)
        refuse("%s", error_text(ERROR_NO_MEMORY));
    struct shell *shell = shell_create(&(struct shell_setup){
        .router = router,
        .check = control_check,
        .commit = control_commit,
        .commands = { .tables = tables, .table_count = ARRAY_COUNT(tables) },
    });
    if (shell == NULL)
        refuse("%s", error_text(ERROR_NO_MEMORY));
    if (options.config_file != NULL)
        load_config(shell, options.config_file);

    struct terminal_io terminal;
    terminal_start(&terminal);
    say_ready(&options);
    if (shell_open(shell, &terminal) != OK)
        refuse("%s", error_text(ERROR_NO_MEMORY));
    router->control_context = shell;
    router->control_work = shell_work;
    for (unsigned i = 1; i < options.core_count; i++)
        core_start(i, run_core, router->cores[i]);
    core_loop(router->cores[CONTROL_CORE]);
}
