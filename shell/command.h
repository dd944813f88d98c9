/* Commands: constant tables, from which come parsing, abbreviations, `?`, TAB, `no`, the roles and
 * the command reference. Nothing registers itself at run time; main.c names the tables.
 *
 * A grammar is one line of
 *   word                 a keyword
 *   <name:TYPE>          a value; TYPE as in enum token_type, or a range of numbers: <n:1-255>
 *   <name:TYPE|word>     a value, or the keyword in its place
 *   {a|b ...|c}          exactly one of these
 *   [...]                or not            [...]*   any number of times
 * e.g. "ip route <prefix:PREFIX4|default> gateway <gateway:ADDR4> [distance <distance:1-255>]".
 *
 * One kind of handler serves everything: it writes records and says COMMAND_DONE; or it says
 * COMMAND_AGAIN, keeps its place in cursor or memory, and is called again: at once (a long table
 * whose reader is behind), or from wake_ns on (ping). So no command holds up another console, but
 * for commits and reading of routes: one change at a time, and packets go on meanwhile. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"
#include "shell/record.h"

struct config;
struct router;
struct session;

enum {
    LINE_BYTES_MAX = 1024, /* a longer line is refused whole */
    ARGUMENT_MAX = 64,     /* words of a line */
};

enum role { ROLE_VIEW, ROLE_OPERATOR, ROLE_ADMIN };

const char *role_name(enum role role);

enum token_type {
    TOKEN_WORD,     /* a keyword of the grammar */
    TOKEN_NUMBER,   /* from a range, 0x... as well */
    TOKEN_ADDR4,    /* 192.0.2.1 */
    TOKEN_PREFIX4,  /* 192.0.2.0/24: host bits are an error */
    TOKEN_HOST4,    /* 192.0.2.1/24: an address in its network; ADDRLEN4 in a grammar */
    TOKEN_ADDR6,    /* 2001:db8::1 */
    TOKEN_PREFIX6,  /* 2001:db8::/32 */
    TOKEN_HOST6,    /* 2001:db8::1/64; ADDRLEN6 */
    TOKEN_TIME,     /* 10s 5m 2h 1d, or seconds: `number` is in seconds */
    TOKEN_MAC,      /* 52:54:00:12:34:56 */
    TOKEN_IFNAME,   /* an interface, whether it is there or not */
    TOKEN_NAME,     /* [A-Za-z0-9_.-]+ */
    TOKEN_PORTS,    /* 80, or a range: 1024-65535 */
    TOKEN_FLAGS,    /* of TCP: letters of those that are set, ! and those that are not */
    TOKEN_ENDPOINT, /* an address of either family, with a port or without: [2001:db8::1]:80 */
    TOKEN_STRING,   /* any word, or "in quotes" with \" \\ \n \xHH; STR in a grammar */
    TOKEN_SECRET,   /* a string that is never shown again */
};

#define ENDPOINT_NO_PORT UINT64_MAX

/* A stretch of somebody else's text. */
struct span {
    const char *start;
    uint32_t length;
};

/* One word of a line, understood. */
struct argument {
    enum token_type type;
    struct span name;     /* in the grammar: "gateway"; of a keyword the keyword itself */
    const char *text;     /* canonical: the whole keyword, the string without its quotes */
    unsigned column;      /* where it began, from 0 */
    uint64_t number;      /* NUMBER, TIME; PORTS: the first; FLAGS: those that are set; ENDPOINT:
                           * the port, or ENDPOINT_NO_PORT */
    uint64_t second;      /* PORTS: the last; FLAGS: those that are not */
    struct prefix prefix; /* ADDR (all bits), PREFIX, HOST */
    uint8_t mac[6];       /* MAC */
};

struct command;

/* A line, understood: what parse_line() makes and handlers read. */
struct parsed_line {
    const struct command *command;
    bool negated; /* `no` in front */
    bool whole;   /* false: only the beginning of a statement, as `no` allows */
    unsigned argument_count;
    struct argument arguments[ARGUMENT_MAX];
    char text[LINE_BYTES_MAX * 2]; /* what argument.text points into */
};

/* The value of that name (or the keyword that stands in its place); NULL where the line has none.
 */
const struct argument *line_argument(const struct parsed_line *line, const char *name);
/* The next one of the same name behind `previous`. */
const struct argument *line_argument_next(const struct parsed_line *line, const char *name,
                                          const struct argument *previous);
bool line_has(const struct parsed_line *line, const char *keyword);
/* Of a command about one family, by its keyword: ip or ipv6. */
enum family line_family(const struct parsed_line *line);

/* Why not: a stable word for machines, a sentence for people, and where in the line. */
struct problem {
    char id[32];
    char text[224];
    int column;    /* from 0; -1: the line as a whole */
    unsigned line; /* of a configuration text, from 1; 0: of no text */
};

/* Fills in a problem whose column is that of `argument` (NULL: none). */
void problem_set(struct problem *problem, const char *id, const struct argument *argument,
                 const char *format, ...) PRINTF_LIKE(4, 5);

/* A value that the configuration's own checks refuse is said at its argument; answers the error, OK
 * as well. */
enum error problem_refused(enum error error, const struct argument *argument,
                           struct problem *problem);

enum command_result { COMMAND_DONE, COMMAND_AGAIN, COMMAND_FAILED };

struct command_call {
    struct router *router;   /* NULL in tests that need none */
    struct session *session; /* for shell/session_commands.c */
    const struct parsed_line *line;
    struct record *record;
    uint64_t now_ns;
    bool interrupted;       /* Ctrl-C: end what you do, say what you have */
    struct problem problem; /* set by command_failed() */
    /* The handler's own between calls. */
    uint64_t cursor;
    void *memory;                 /* given back by forget(memory), else by memory_free() */
    void (*forget)(void *memory); /* called also when the session ends in the middle */
    uint64_t wake_ns;             /* COMMAND_AGAIN: not before; 0: as soon as there is room */
};

/* `return command_failed(call, "not-found", argument, "no interface %s", ...);` A handler that
 * fails has written no record yet. */
enum command_result command_failed(struct command_call *call, const char *id,
                                   const struct argument *argument, const char *format, ...)
    PRINTF_LIKE(4, 5);

enum command_kind {
    COMMAND_STATEMENT, /* configuration: apply */
    COMMAND_SHOW,      /* changes nothing: run */
    COMMAND_ACTION,    /* does something: run */
    COMMAND_SESSION,   /* about this console: run */
};

struct command {
    const char *grammar;
    enum command_kind kind;
    enum role role; /* the least that may use it; a statement's is to change it */
    const char *help;
    enum command_result (*run)(struct command_call *call);
    /* Statements: into the configuration; on failure it may be half done and is thrown away. */
    enum error (*apply)(struct config *config, const struct parsed_line *line,
                        struct problem *problem);
    /* A whole `no` statement that is not simply the beginning of lines of the configuration, and
     * each line that such a beginning names; may be NULL. */
    enum error (*remove)(struct config *config, const struct parsed_line *line,
                         struct problem *problem);
    bool only_in_test; /* there only with `test` on the kernel's command line */
};

/* Where canonical lines go. */
struct line_sink {
    bool (*put)(void *context, const char *line); /* false: stop */
    void *context;
};

struct command_table {
    const struct command *commands;
    unsigned count;
    /* Prints all that the statements of this table say, in canonical order; NULL where there are
     * none. */
    bool (*print)(const struct config *config, struct line_sink *sink);
};

/* All commands of a shell. */
struct command_set {
    const struct command_table *const *tables;
    unsigned table_count;
    bool test; /* with the commands that are only there in a test */
    /* Called now and then in the middle of long texts, so that packets are not held up; NULL:
     * nobody waits. */
    void (*breathe)(struct router *router);
    struct router *router;
};
