/* See reassembly.h. The fragments of a datagram form a list in the order of their offsets; RFC
 * 815's holes are what lies between neighbors of the list. As nothing in it overlaps, the datagram
 * is whole when the lengths add up to the end that the last fragment has told. */
#include "net/reassembly.h"

#include <string.h>

#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/address.h"
#include "net/datagram.h"
#include "net/router.h"
#include "net/stage.h"
#include "net/wire/ipv4.h"

struct reassembly_key {
    struct address source, destination;
    uint32_t identification;
    uint8_t protocol;
};

struct partial {
    struct timer timer; /* set: in use */
    struct reassembly *reassembly;
    struct reassembly_key key;
    uint64_t started_ns;
    struct packet *fragments; /* by offset, linked by `next` */
    unsigned fragment_count;
    unsigned buffer_count;
    uint32_t received_bytes;
    uint32_t total_bytes; /* of the payload; 0 until the last fragment has come */
    enum verdict refused; /* not PASS: given up for that reason, and so is what still comes */
};

struct reassembly {
    struct core *core;
    struct reassembly_uses uses;
    unsigned buffer_count;
    struct partial partials[REASSEMBLY_MAX];
};

/* Where a fragment's payload lies in the datagram. */
struct span {
    uint32_t start, end;
    bool is_last;
};

static const struct ipv4_header *header_of(const struct packet *packet)
{
    return (const void *)(packet->data + packet->network_offset);
}

static struct span span_of(const struct packet *packet)
{
    const struct ipv4_header *header = header_of(packet);
    uint32_t start = ipv4_fragment_offset_bytes(header);

    return (struct span){
        .start = start,
        .end = start + packet->network_length_bytes - packet->header_length_bytes,
        .is_last = !(ipv4_fragment(header) & IPV4_MORE_FRAGMENTS),
    };
}

/* RFC 791 3.2. */
static struct reassembly_key key_of(const struct packet *packet)
{
    const struct ipv4_header *header = header_of(packet);

    return (struct reassembly_key){
        .source = address_of_ipv4(header->source_be),
        .destination = address_of_ipv4(header->destination_be),
        .identification = header->identification_be,
        .protocol = header->protocol,
    };
}

static unsigned buffers_of(const struct packet *packet)
{
    unsigned count = 0;

    for (; packet; packet = packet->next_segment)
        count++;
    return count;
}

/* ---- Partial datagrams ---------------------------------------------------------------------- */

static void count_buffers(struct partial *partial, int change)
{
    partial->buffer_count += (unsigned)change;
    partial->reassembly->buffer_count += (unsigned)change;
}

static struct packet *take_first(struct partial *partial)
{
    struct packet *packet = partial->fragments;

    partial->fragments = packet->next;
    partial->fragment_count--;
    packet->next = NULL;
    books_unhold(partial->reassembly->core, packet);
    return packet;
}

static void drop_fragments(struct partial *partial, enum verdict why)
{
    struct reassembly *reassembly = partial->reassembly;

    count_buffers(partial, -(int)partial->buffer_count);
    while (partial->fragments)
        reassembly->uses.drop(reassembly->core, take_first(partial), why);
}

static void forget(struct partial *partial)
{
    timer_cancel(&partial->reassembly->core->timers, &partial->timer);
}

/* Refuses what has come and what will come of it until its time is over. */
static void refuse(struct partial *partial, enum verdict why)
{
    drop_fragments(partial, why);
    partial->refused = why;
}

static void partial_expired(struct timer *timer, uint64_t now_ns)
{
    (void)now_ns;
    /* Of these drops, the one of the first fragment owes its sender a message: RFC 792, time
     * exceeded code 1. icmp_send_error() sends none about the others. */
    drop_fragments(CONTAINER_OF(timer, struct partial, timer), DROP_REASSEMBLY_TIMEOUT);
}

static bool key_equal(const struct reassembly_key *a, const struct reassembly_key *b)
{
    return a->identification == b->identification && a->protocol == b->protocol &&
           address_equal(&a->source, &b->source) && address_equal(&a->destination, &b->destination);
}

static struct partial *oldest_but(struct reassembly *reassembly, const struct partial *but)
{
    struct partial *oldest = NULL;

    for (unsigned i = 0; i < REASSEMBLY_MAX; i++) {
        struct partial *partial = &reassembly->partials[i];
        if (partial != but && timer_is_set(&partial->timer) &&
            (!oldest || partial->started_ns < oldest->started_ns))
            oldest = partial;
    }
    return oldest;
}

/* The one with that key; else a new one, for which the oldest may have to go. */
static struct partial *partial_for(struct reassembly *reassembly, const struct reassembly_key *key,
                                   uint64_t now_ns)
{
    struct partial *unused = NULL;

    for (unsigned i = 0; i < REASSEMBLY_MAX; i++) {
        struct partial *partial = &reassembly->partials[i];
        if (!timer_is_set(&partial->timer))
            unused = partial;
        else if (key_equal(&partial->key, key))
            return partial;
    }
    if (!unused) {
        unused = oldest_but(reassembly, NULL);
        drop_fragments(unused, DROP_REASSEMBLY_FULL);
        forget(unused);
    }
    *unused = (struct partial){
        .timer.expired = partial_expired,
        .reassembly = reassembly,
        .key = *key,
        .started_ns = now_ns,
        .refused = PASS,
    };
    timer_set(&reassembly->core->timers, &unused->timer,
              now_ns + (uint64_t)REASSEMBLY_TIMEOUT_MS * NS_PER_MS);
    return unused;
}

/* ---- Fragments ------------------------------------------------------------------------------ */

/* Can it be part of any datagram? RFC 791 3.2; the end beyond 65,535 is the "ping of death". */
static bool span_is_possible(const struct packet *packet, const struct span *span)
{
    if (span->end == span->start)
        return false;
    if (!span->is_last && span->end % IPV4_FRAGMENT_UNIT != 0)
        return false;
    return span->end <= (uint32_t)IPV4_PACKET_MAX_BYTES - packet->header_length_bytes;
}

/* Do the ends agree: one last fragment, and nothing behind it? */
static bool ends_agree(const struct partial *partial, const struct span *span)
{
    if (partial->total_bytes != 0 && span->end > partial->total_bytes)
        return false;
    if (!span->is_last)
        return partial->total_bytes == 0 || span->end < partial->total_bytes;
    if (partial->total_bytes != 0)
        return span->end == partial->total_bytes;
    for (const struct packet *other = partial->fragments; other; other = other->next)
        if (span_of(other).end > span->end)
            return false;
    return true;
}

/* What to do with a fragment: PASS, and *place is where it belongs in the list. */
static enum verdict judge(struct partial *partial, const struct packet *packet,
                          struct packet ***place, bool *is_duplicate)
{
    struct span span = span_of(packet);

    *is_duplicate = false;
    for (*place = &partial->fragments; **place; *place = &(**place)->next) {
        struct span other = span_of(**place);
        if (span.end <= other.start)
            break;
        if (span.start >= other.end)
            continue;
        *is_duplicate =
            span.start == other.start && span.end == other.end && span.is_last == other.is_last;
        return DROP_REASSEMBLY_OVERLAP;
    }
    if (!ends_agree(partial, &span))
        return DROP_REASSEMBLY_BAD;
    return partial->fragment_count < REASSEMBLY_FRAGMENT_MAX ? PASS : DROP_REASSEMBLY_FULL;
}

static bool make_room(struct reassembly *reassembly, const struct partial *partial,
                      unsigned buffers)
{
    while (reassembly->buffer_count + buffers > REASSEMBLY_BUFFER_MAX) {
        struct partial *oldest = oldest_but(reassembly, partial);
        if (!oldest)
            return false;
        drop_fragments(oldest, DROP_REASSEMBLY_FULL);
        forget(oldest);
    }
    return true;
}

/* Adds a fragment's payload to the chain that ends in `end`: fills what room there is before it
 * hangs on more buffers. So however small the fragments are, the chain is about as short as that of
 * a received packet, and a card can send it. The chain's new end. */
static struct packet *append(struct core *core, struct packet *end, struct packet *piece)
{
    while (piece) {
        struct packet *next = piece->next_segment;
        uint32_t fits = MIN_OF(piece->length_bytes, packet_tailroom(end));

        memcpy(end->data + end->length_bytes, piece->data, fits);
        end->length_bytes += fits;
        piece->data += fits;
        piece->length_bytes -= fits;
        piece->next_segment = NULL;
        if (piece->length_bytes == 0) {
            packet_free(core->pool, piece);
        } else {
            end->next_segment = piece;
            end = piece;
        }
        piece = next;
    }
    return end;
}

/* The first fragment's header becomes that of the datagram. */
static void make_whole(struct packet *whole)
{
    struct ipv4_header *header = (void *)whole->data;

    header->total_length_be = __builtin_bswap16(whole->network_length_bytes);
    header->fragment_be = 0;
    ipv4_seal(header);
}

/* All fragments in one chain of segments behind the first one's header. */
static struct packet *assemble(struct partial *partial)
{
    struct core *core = partial->reassembly->core;

    count_buffers(partial, -(int)partial->buffer_count);
    struct packet *whole = take_first(partial);
    datagram_trim(core, whole);
    struct packet *end = whole;

    while (end->next_segment)
        end = end->next_segment;
    while (partial->fragments) {
        struct packet *fragment = take_first(partial);
        counter_add(&core->ports[fragment->port_in].delivered, 1);
        datagram_trim(core, fragment);
        bool pulled = packet_pull(fragment, fragment->header_length_bytes);
        CHECK(pulled);
        whole->frame_length_bytes += fragment->frame_length_bytes;
        whole->flags |= fragment->flags & (PACKET_LINK_BROADCAST | PACKET_LINK_MULTICAST);
        end = append(core, end, fragment);
    }
    whole->flags &= (uint8_t)~PACKET_CHECKSUM_GOOD; /* the card has seen pieces only */
    whole->network_length_bytes = (uint16_t)whole->frame_length_bytes;
    make_whole(whole);
    forget(partial);
    return whole;
}

struct packet *reassembly_input(struct reassembly *reassembly, struct packet *packet,
                                uint64_t now_ns)
{
    struct core *core = reassembly->core;
    struct span span = span_of(packet);
    unsigned buffers = buffers_of(packet);
    const struct reassembly_key key = key_of(packet);
    struct packet **place;
    bool is_duplicate;

    if (!span_is_possible(packet, &span)) {
        reassembly->uses.drop(core, packet, DROP_REASSEMBLY_BAD);
        return NULL;
    }
    struct partial *partial = partial_for(reassembly, &key, now_ns);
    if (partial->refused != PASS) {
        reassembly->uses.drop(core, packet, partial->refused);
        return NULL;
    }
    enum verdict verdict = judge(partial, packet, &place, &is_duplicate);
    if (verdict == PASS && !make_room(reassembly, partial, buffers))
        verdict = DROP_REASSEMBLY_FULL;
    if (verdict != PASS) {
        if (!is_duplicate)
            refuse(partial, verdict);
        reassembly->uses.drop(core, packet, verdict);
        return NULL;
    }

    packet->next = *place;
    *place = packet;
    partial->fragment_count++;
    count_buffers(partial, (int)buffers);
    books_hold(core, packet);
    partial->received_bytes += span.end - span.start;
    if (span.is_last)
        partial->total_bytes = span.end;
    if (partial->received_bytes != partial->total_bytes)
        return NULL;
    /* Only now is the first fragment's header known, which may be longer than the others'. */
    if (partial->fragments->header_length_bytes + partial->total_bytes > IPV4_PACKET_MAX_BYTES) {
        refuse(partial, DROP_REASSEMBLY_BAD);
        return NULL;
    }
    return assemble(partial);
}

unsigned reassembly_held(const struct reassembly *reassembly)
{
    return reassembly->buffer_count;
}

/* ---- Create, destroy ------------------------------------------------------------------------ */

struct reassembly *reassembly_create(struct core *core, const struct reassembly_uses *uses)
{
    struct reassembly *reassembly = memory_alloc(sizeof(*reassembly), 0, MEMORY_FRAGMENT);

    if (!reassembly)
        return NULL;
    reassembly->core = core;
    reassembly->uses = *uses;
    return reassembly;
}

void reassembly_destroy(struct reassembly *reassembly)
{
    if (!reassembly)
        return;
    for (unsigned i = 0; i < REASSEMBLY_MAX; i++) {
        struct partial *partial = &reassembly->partials[i];
        while (partial->fragments)
            packet_free(reassembly->core->pool, take_first(partial));
        timer_cancel(&reassembly->core->timers, &partial->timer);
    }
    memory_free(reassembly);
}
