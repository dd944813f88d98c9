/* The kinds of links by name. */
#include "tests/host/link.h"

#include <stdio.h>
#include <string.h>

struct link *link_create(const char *kind_and_argument, unsigned queue_count, char *why,
                         size_t why_size)
{
    const char *colon = strchr(kind_and_argument, ':');
    size_t kind_length = colon != NULL ? (size_t)(colon - kind_and_argument) : 0;
    if (kind_length == 3 && memcmp(kind_and_argument, "tap", 3) == 0)
        return tap_link_create(colon + 1, queue_count, why, why_size);
    if (kind_length == 4 && memcmp(kind_and_argument, "unix", 4) == 0)
        return unix_link_create(colon + 1, why, why_size);
    if (kind_length == 4 && memcmp(kind_and_argument, "pcap", 4) == 0)
        return pcap_link_create(colon + 1, why, why_size);
    snprintf(why, why_size, "expected tap:NAME, unix:LOCAL,REMOTE or pcap:IN,OUT");
    return NULL;
}
