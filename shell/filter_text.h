/* Rules as text: what statements print and shows tell. */
#pragma once

#include "kernel/base/text.h"
#include "net/config.h"

/* "192.0.2.0/24", "set NAME" or "any". */
void print_filter_end(struct text *out, const struct config_filter_end *end);
/* What is said of a packet besides its ends, as in the statement, each word behind a space:
 * " proto tcp dport 22 in eth0". */
void print_filter_match(struct text *out, const struct config_filter *filter);
/* What becomes of which packets: "drop src 192.0.2.0/24 proto tcp". */
void print_filter_rule(struct text *out, const struct config_filter *filter);
/* The whole statement. */
void print_filter(struct text *out, const struct config_filter *filter);

const char *filter_keyword(enum family family); /* "ip", "ipv6" */
