/* Packets, their buffers, and the pools the buffers come from.
 *
 *   one buffer, 2 KiB, 2 KiB aligned:
 *   +--------------+-----------------+------------------------------+-----------------+
 *   | struct packet| headroom 128 B  | frame, length_bytes          | unused          |
 *   | 128 B        | (virtio header) | ^ data                       |                 |
 *   +--------------+-----------------+------------------------------+-----------------+
 *
 * A packet has one owner at a time and the verb moves it: receive and alloc give; transmit,
 * deliver, drop and free take; everything else borrows.
 *
 * A frame that does not fit one buffer (a jumbo frame received through merged buffers) is a chain:
 * the first segment holds all headers up to PACKET_ROOM_BYTES, `next_segment` the rest.
 *
 * Each core has a pool: an array of pointers, last in first out. packet_free() on another core
 * collects what it frees for that home and sends it there in batches, as one list hung on the
 * home's `returned` word; nobody ever touches another core's pool. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/counter.h"
#include "kernel/base/types.h"

enum {
    PACKET_BUFFER_BYTES = 2048,
    PACKET_META_BYTES = 128,
    PACKET_HEADROOM_BYTES = 128,
    PACKET_ROOM_BYTES = PACKET_BUFFER_BYTES - PACKET_META_BYTES - PACKET_HEADROOM_BYTES, /* 1792 */
    PACKET_SEGMENT_MAX = 8,               /* buffers of one received frame: 9,216 bytes and some */
    PACKET_CHUNK_BYTES = 2 * 1024 * 1024, /* pools grow by these, at creation only */
};

struct packet {
    /* Whoever owns the packet. */
    uint8_t *data;               /* first byte of this segment */
    uint32_t length_bytes;       /* of this segment */
    uint32_t frame_length_bytes; /* of all segments; in the first one */
    struct packet *next_segment; /* NULL in the last */
    struct packet *next;         /* waiting lists of its owner */

    /* Set when the pool was made, never changed. */
    uint64_t buffer_dma; /* what a device calls the first byte of this struct */
    uint16_t home;       /* index of the pool it belongs to */

    /* What the datapath has found out, in the order of its stages. */
    uint16_t port_out;
    union {
        struct {
            uint16_t port_in;             /* index; PORT_NONE where we made it */
            uint16_t network_offset;      /* of the IP header from data */
            uint16_t header_length_bytes; /* of the IP header with its options; of IPv6 also with
                                           * its extension headers, once it is in our own stack */
            uint8_t network_protocol;     /* enum packet_protocol */
            uint8_t purpose;              /* enum mail_purpose while it is in a mailbox */
        };
        uint64_t nature; /* all of these: alike in most packets of a batch */
    };
    uint16_t network_length_bytes; /* the IP packet's own idea of its length, checked */
    uint16_t mtu_bytes;            /* of the way out */
    union {                        /* the next hop's address, for resolution and redirects */
        uint32_t next_hop_be;      /* of IPv4 */
        uint8_t next_hop[16];      /* of IPv6 */
    };
    uint8_t flags;            /* enum packet_flag */
    uint8_t reason;           /* enum verdict of a packet set aside to be dropped */
    uint8_t error_code;       /* of ICMPv6's parameter problem, and of either's: */
    uint16_t error_offset;    /* the byte of the packet that is at fault */
    uint64_t received_ns;     /* when its step began; set when it goes to another core */
    uint16_t checksum_start;  /* of the transport header, from the frame's first byte; both with */
    uint16_t checksum_offset; /* PACKET_CHECKSUM_WANTED only: of the field from there */
};
_Static_assert(sizeof(struct packet) <= PACKET_META_BYTES, "headroom follows the metadata");

enum packet_protocol { PACKET_OTHER, PACKET_ARP, PACKET_IPV4, PACKET_IPV6 };

enum packet_flag {
    PACKET_LINK_BROADCAST = 1 << 0, /* came to the link's broadcast address */
    PACKET_LINK_MULTICAST = 1 << 1,
    PACKET_LOCAL = 1 << 2,         /* originated here */
    PACKET_CHECKSUM_GOOD = 1 << 3, /* the device vouches for the transport checksum */
    /* To send: the card adds up from checksum_start to the end and puts the result at
     * checksum_offset, where the sum of the pseudo header lies already. Of cards that can. */
    PACKET_CHECKSUM_WANTED = 1 << 4,
    PACKET_DONT_FRAGMENT = 1 << 5, /* ours, IPv6: rather drop it than send it in pieces */
    PACKET_REASSEMBLED = 1 << 6,   /* to us: put together of fragments */
    PACKET_UNDECIDED = 1 << 7,     /* the filter waits for its way out: net/filter.h */
};

/* Packets on their way through the stages, or from and to a driver. */
struct batch {
    unsigned count;
    struct packet *packets[BATCH_MAX];
};

/* Packets that a core has freed for another one and not sent there yet. */
struct packet_outgoing {
    struct packet *first;
    struct packet *last;
    unsigned count;
};

/* How it works is told in packet.c. Nobody else touches the fields. */
struct packet_pool {
    /* Owned by the pool's core. */
    alignas(CACHE_LINE_BYTES) struct packet **top; /* behind the last free packet */
    struct packet **free;                          /* the first; room for `total` */
    /* Counters. */
    uint64_t collected; /* packets that came back from other cores, ever */
    uint64_t failed;
    uint64_t begun; /* packets that have been in the free list, from the first chunk on */
    uint16_t index; /* set when created, like all that follow here */
    uint64_t total;
    struct packet_pools *all;
    void **chunks;
    /* Written by any core that frees packets of ours. */
    alignas(CACHE_LINE_BYTES) _Atomic(struct packet *) returned;
    /* Owned by the pool's core, again. */
    alignas(CACHE_LINE_BYTES) uint64_t freed[CORE_MAX]; /* of others, ever, by home */
    struct packet_outgoing outgoing[CORE_MAX];
};

/* pool_count pools of packet_count packets each (rounded up to whole chunks), or NULL. A pool's
 * index is its core's. */
struct packet_pools;
struct packet_pools *packet_pools_create(unsigned pool_count, unsigned packet_count) MUST_CHECK;
void packet_pools_destroy(struct packet_pools *pools); /* every packet must be back */
struct packet_pool *packet_pool(struct packet_pools *pools, unsigned index);

static inline uint8_t *packet_buffer(struct packet *packet)
{
    return (uint8_t *)packet + PACKET_META_BYTES;
}

static inline uint32_t packet_headroom(struct packet *packet)
{
    return (uint32_t)(packet->data - packet_buffer(packet));
}

static inline uint32_t packet_tailroom(const struct packet *packet)
{
    const uint8_t *buffer_end = (const uint8_t *)packet + PACKET_BUFFER_BYTES;

    return (uint32_t)(buffer_end - (packet->data + packet->length_bytes));
}

/* What follows is the datapath's own and therefore inline; what it leaves to packet.c: */
bool packet_refill(struct packet_pool *local) MUST_CHECK; /* the pool is empty, or will be soon */
void packet_free_slowly(struct packet_pool *local, struct packet *packet);

/* Many at once, for loops that keep the pool's top in a register. In between nobody else may use
 * the pool.
 *
 *   unsigned count = pool_prepare(pool, wanted);
 *   struct packet **top = pool->top;
 *   for (...) packet = pool_pop(&top);         at most `count` times
 *   pool->top = top; */

/* How many there are to pop, at most `wanted`. */
MUST_CHECK static inline unsigned pool_prepare(struct packet_pool *local, unsigned wanted)
{
    size_t count = (size_t)(local->top - local->free);
    if (UNLIKELY(count < wanted) && packet_refill(local))
        count = (size_t)(local->top - local->free);
    return count < wanted ? (unsigned)count : wanted;
}

/* For a device to fill: data is at the end of the headroom, it is one segment, and nothing else is
 * set. */
static inline struct packet *pool_pop(struct packet ***top)
{
    struct packet *packet = *--*top;
    DCHECK(packet->data == NULL && "a packet in the pool was freed by nobody");
    DCHECK(packet->next_segment == NULL);
    packet->data = packet_buffer(packet) + PACKET_HEADROOM_BYTES;
    return packet;
}

/* Gives a packet back that is of this pool and has one segment, or false. */
static inline bool pool_push(const struct packet_pool *local, struct packet ***top,
                             struct packet *packet)
{
    if (UNLIKELY(packet->next_segment != NULL || packet->home != local->index))
        return false;
    DCHECK(packet->data != NULL && "packet freed twice");
    if (DEBUG_CHECKS)
        packet->data = NULL;
    *(*top)++ = packet;
    return true;
}

/* As pool_pop(), or NULL when the pool is empty. */
MUST_CHECK static inline struct packet *packet_take(struct packet_pool *local)
{
    if (UNLIKELY(local->top == local->free) && !packet_refill(local))
        return NULL;
    return pool_pop(&local->top);
}

/* An empty packet, data at the end of the headroom, or NULL when the pool is empty. */
MUST_CHECK static inline struct packet *packet_alloc(struct packet_pool *local)
{
    struct packet *packet = packet_take(local);
    if (UNLIKELY(packet == NULL))
        return NULL;
    packet->length_bytes = 0;
    packet->frame_length_bytes = 0;
    packet->next = NULL;
    packet->port_in = PORT_NONE;
    packet->port_out = PORT_NONE;
    packet->flags = 0;
    return packet;
}

/* Gives the packet and all its segments back. local is the pool of the core that runs this. */
static inline void packet_free(struct packet_pool *local, struct packet *packet)
{
    if (UNLIKELY(packet == NULL) || !pool_push(local, &local->top, packet))
        packet_free_slowly(local, packet);
}

/* Takes home what other cores have sent, and sends what waits for others; called once per step, and
 * by packet_alloc() when the pool is empty. */
void packet_pool_collect(struct packet_pool *local);

struct packet_pool_stats {
    uint64_t total;
    uint64_t free;   /* in the pool, and on the way home; exact while all cores pause */
    uint64_t failed; /* packet_alloc() that answered NULL */
};
void packet_pool_stats(const struct packet_pool *pool, struct packet_pool_stats *stats);

/* Room before data for one more header; NULL when the headroom is used up. */
uint8_t *packet_push(struct packet *packet, uint32_t length_bytes) MUST_CHECK;

/* Takes a header off the front; false where the first segment is shorter. */
bool packet_pull(struct packet *packet, uint32_t length_bytes) MUST_CHECK;

/* Room behind the data of a packet of one segment, or NULL. */
uint8_t *packet_append(struct packet *packet, uint32_t length_bytes) MUST_CHECK;

/* Bytes [offset, offset + length) of the frame, across segments, into out; false where it is
 * shorter. */
bool packet_copy_out(const struct packet *packet, uint32_t offset, void *out,
                     uint32_t length_bytes) MUST_CHECK;

/* Where a device finds `at`, a byte of this segment's buffer. */
static inline uint64_t packet_dma(const struct packet *packet, const void *at)
{
    return packet->buffer_dma + (uint64_t)((const uint8_t *)at - (const uint8_t *)packet);
}
