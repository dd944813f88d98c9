/* Events for operators, one line each: `log_info("arp", "%pI4: ...", ...)`. Never in the datapath.
 * Each core writes a ring of its own; `show log` merges them by time. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/text.h"
#include "kernel/base/types.h"

enum { LOG_ENTRY_MAX = 256, LOG_TEXT_MAX = 160 };

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct log_entry {
    uint64_t time_ns;
    uint64_t sequence; /* 1, 2, ... per ring; 0 while it is written */
    enum log_level level;
    unsigned core;
    char subject[16];
    char text[LOG_TEXT_MAX];
};

struct log_ring {
    _Atomic uint64_t written; /* entries so far; the newest LOG_ENTRY_MAX are there */
    void (*echo)(const struct log_entry *entry); /* `terminal monitor`, early boot; may be NULL */
    struct log_entry entries[LOG_ENTRY_MAX];
};

void log_write(enum log_level level, const char *subject, const char *format, ...)
    PRINTF_LIKE(3, 4);

#define log_error(subject, ...)   log_write(LOG_ERROR, subject, __VA_ARGS__)
#define log_warning(subject, ...) log_write(LOG_WARNING, subject, __VA_ARGS__)
#define log_info(subject, ...)    log_write(LOG_INFO, subject, __VA_ARGS__)
#define log_debug(subject, ...)   log_write(LOG_DEBUG, subject, __VA_ARGS__)

/* Copies the entry with that sequence; false where it is gone, also while it was being copied: its
 * core may be writing over it. */
bool log_read(const struct log_ring *ring, uint64_t sequence, struct log_entry *out) MUST_CHECK;

const char *log_level_name(enum log_level level);
