/* Where the frames of a process's network card come from and go to: a tap device, a datagram
 * socket, a capture file. link_nic.c makes a drivers/nic.h card of it. */
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include "kernel/base/types.h"

struct link;

enum {
    LINK_QUEUE_MAX = 64,
    LINK_PARTS_MAX = 8,    /* of one frame: PACKET_SEGMENT_MAX */
    LINK_FRAME_MAX = 9018, /* bytes: a jumbo frame's 9,000 and its Ethernet header, VLAN included */
};

/* Each queue is used by one thread at a time, different queues by different ones. No call waits. */
struct link_ops {
    /* One frame into the parts; its length, 0 where none is there, -1 where one was lost. */
    ssize_t (*receive)(struct link *link, unsigned queue, const struct iovec *parts, int count);
    /* 1: sent, 0: no room now, -1: lost. */
    int (*send)(struct link *link, unsigned queue, const struct iovec *parts, int count);
    /* A file that can be read when a frame is there; -1 where there is none. */
    int (*file)(struct link *link, unsigned queue);
    bool (*up)(struct link *link);
    /* Gives up all queues but the first ones, so that no frame goes where nobody looks for it. NULL
     * where there is but one. */
    void (*keep_queues)(struct link *link, unsigned queue_count);
    void (*destroy)(struct link *link);
};

struct link {
    const struct link_ops *ops;
    const char *kind; /* "tap": the driver's name */
    unsigned queue_count;
};

/* NULL and the reason in `why` where that cannot be had. The argument is what stands behind the
 * colon. */
struct link *tap_link_create(const char *name, unsigned queue_count, char *why, size_t why_size);
struct link *unix_link_create(const char *local_and_remote, char *why, size_t why_size);
struct link *pcap_link_create(const char *in_and_out, char *why, size_t why_size);

/* "tap:NAME", "unix:LOCAL,REMOTE" or "pcap:IN,OUT". */
struct link *link_create(const char *kind_and_argument, unsigned queue_count, char *why,
                         size_t why_size);

struct nic;
struct nic *link_nic_create(struct link *link) MUST_CHECK; /* takes the link; NULL: no memory */
void link_nic_destroy(struct nic *nic);                    /* closed before */
