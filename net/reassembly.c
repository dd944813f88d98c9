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
#include "net/wire/ipv6.h"

struct reassembly_key {
    struct address source, destination;
    uint32_t identification;
    uint16_t link;    /* of addresses that are of one link only, else PORT_NONE */
    uint8_t protocol; /* of IPv4; in IPv6 that of the first fragment counts, whatever others say */
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

/* ---- What a fragment says of itself, in either family ---------------------------------------- */

static bool is_ipv6(const struct packet *packet)
{
    return packet->network_protocol == PACKET_IPV6;
}

static const void *header_of(const struct packet *packet)
{
    return packet->data + packet->network_offset;
}

/* RFC 8200 4.5: the last header before the data. */
static struct ipv6_fragment ipv6_fragment_of(const struct packet *packet)
{
    const uint8_t *data = (const uint8_t *)header_of(packet) + packet->header_length_bytes;
    struct ipv6_fragment fragment;

    ipv6_fragment_read(data - IPV6_FRAGMENT_HEADER_BYTES, &fragment);
    return fragment;
}

static struct span span_of(const struct packet *packet)
{
    uint32_t length = (uint32_t)packet->network_length_bytes - packet->header_length_bytes;

    if (is_ipv6(packet)) {
        const struct ipv6_fragment fragment = ipv6_fragment_of(packet);
        uint32_t start = fragment.offset_bytes;
        return (struct span){ .start = start, .end = start + length, .is_last = !fragment.more };
    }
    const struct ipv4_header *header = header_of(packet);
    uint32_t start = ipv4_fragment_offset_bytes(header);
    bool more = ipv4_fragment(header) & IPV4_MORE_FRAGMENTS;
    return (struct span){ .start = start, .end = start + length, .is_last = !more };
}

/* Of the headers before the data once the datagram is whole. */
static uint32_t whole_header_bytes(const struct packet *packet)
{
    return packet->header_length_bytes -
           (is_ipv6(packet) ? (uint32_t)IPV6_FRAGMENT_HEADER_BYTES : 0);
}

/* The same link-local address may be on every link. */
static uint16_t link_of(const struct packet *packet, const struct ipv6_header *header)
{
    bool is_of_link = ipv6_is_link_local(header->source) || ipv6_is_link_local(header->destination);

    return is_of_link ? packet->port_in : (uint16_t)PORT_NONE;
}

static struct reassembly_key key_of(const struct packet *packet)
{
    if (is_ipv6(packet)) { /* RFC 8200 4.5 */
        const struct ipv6_header *header = header_of(packet);
        return (struct reassembly_key){
            .source = address_of_ipv6(header->source),
            .destination = address_of_ipv6(header->destination),
            .identification = ipv6_fragment_of(packet).identification,
            .link = link_of(packet, header),
        };
    }
    const struct ipv4_header *header = header_of(packet); /* RFC 791 3.2 */
    return (struct reassembly_key){
        .source = address_of_ipv4(header->source_be),
        .destination = address_of_ipv4(header->destination_be),
        .identification = header->identification_be,
        .link = PORT_NONE,
        .protocol = header->protocol,
    };
}

static uint64_t timeout_of(const struct packet *packet)
{
    return (is_ipv6(packet) ? (uint64_t)REASSEMBLY6_TIMEOUT_MS : REASSEMBLY_TIMEOUT_MS) * NS_PER_MS;
}

/* Two of the same span. */
static bool data_is_equal(const struct packet *a, const struct packet *b)
{
    uint32_t a_at = (uint32_t)a->network_offset + a->header_length_bytes;
    uint32_t b_at = (uint32_t)b->network_offset + b->header_length_bytes;
    uint32_t left = (uint32_t)a->network_length_bytes - a->header_length_bytes, here;
    uint8_t a_bytes[256], b_bytes[256];

    for (; left > 0; left -= here, a_at += here, b_at += here) {
        here = MIN_OF(left, (uint32_t)sizeof(a_bytes));
        bool copied =
            packet_copy_out(a, a_at, a_bytes, here) && packet_copy_out(b, b_at, b_bytes, here);
        CHECK(copied);
        if (memcmp(a_bytes, b_bytes, here) != 0)
            return false;
    }
    return true;
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
    /* Of these drops, the one of the first fragment owes its sender a message: RFC 792, RFC 8200
     * 4.5, time exceeded code 1. icmp.c and icmp6.c send none about the others. */
    drop_fragments(CONTAINER_OF(timer, struct partial, timer), DROP_REASSEMBLY_TIMEOUT);
}

static bool key_equal(const struct reassembly_key *a, const struct reassembly_key *b)
{
    return a->identification == b->identification && a->protocol == b->protocol &&
           a->link == b->link && address_equal(&a->source, &b->source) &&
           address_equal(&a->destination, &b->destination);
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

/* The one with this fragment's key; else a new one, for which the oldest may have to go. */
static struct partial *partial_for(struct reassembly *reassembly, const struct packet *packet,
                                   uint64_t now_ns)
{
    const struct reassembly_key key = key_of(packet);
    struct partial *unused = NULL;

    for (unsigned i = 0; i < REASSEMBLY_MAX; i++) {
        struct partial *partial = &reassembly->partials[i];
        if (!timer_is_set(&partial->timer))
            unused = partial;
        else if (key_equal(&partial->key, &key))
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
        .key = key,
        .started_ns = now_ns,
        .refused = PASS,
    };
    timer_set(&reassembly->core->timers, &unused->timer, now_ns + timeout_of(packet));
    return unused;
}

/* ---- Fragments ------------------------------------------------------------------------------ */

/* Can it be part of any datagram? RFC 791 3.2; the end beyond 65,535 is the "ping of death". Of
 * IPv6, what RFC 8200 4.5 has an error for has been refused with the header; but there the headers
 * do not count, and here no packet is longer than 65,535 with them. */
static bool span_is_possible(const struct packet *packet, const struct span *span)
{
    if (span->end == span->start)
        return false;
    if (!span->is_last && span->end % IPV4_FRAGMENT_UNIT != 0)
        return false;
    return span->end <= UINT16_MAX - whole_header_bytes(packet);
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
        *is_duplicate = span.start == other.start && span.end == other.end &&
                        span.is_last == other.is_last && data_is_equal(packet, **place);
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

/* The first fragment's headers, at data, become those of the datagram. */
static void make_whole_ipv4(struct packet *whole)
{
    struct ipv4_header *header = (void *)whole->data;

    header->total_length_be = __builtin_bswap16(whole->network_length_bytes);
    header->fragment_be = 0;
    ipv4_seal(header);
}

/* RFC 8200 4.5: the fragment header goes, and who named it names what it has named. */
static void make_whole_ipv6(struct packet *whole)
{
    const struct ipv6_fragment fragment = ipv6_fragment_of(whole);
    uint32_t before_bytes = whole_header_bytes(whole);
    struct ipv6_headers headers;
    enum ipv6_chain chain =
        ipv6_headers_walk(whole->data, whole->length_bytes, IPV6_TO_QUOTE, &headers);

    CHECK(chain == IPV6_CHAIN_GOOD); /* as it was before others were added to it */
    whole->data[headers.fragment_named_offset] = fragment.next_header;
    memmove(whole->data + IPV6_FRAGMENT_HEADER_BYTES, whole->data, before_bytes);
    bool pulled = packet_pull(whole, IPV6_FRAGMENT_HEADER_BYTES);
    CHECK(pulled);
    whole->header_length_bytes = (uint16_t)before_bytes;
    whole->network_length_bytes = (uint16_t)whole->frame_length_bytes;
    struct ipv6_header *header = (void *)whole->data;
    header->payload_length_be =
        __builtin_bswap16((uint16_t)(whole->network_length_bytes - IPV6_HEADER_BYTES));
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
    whole->flags |= PACKET_REASSEMBLED;
    whole->network_length_bytes = (uint16_t)whole->frame_length_bytes;
    if (is_ipv6(whole))
        make_whole_ipv6(whole);
    else
        make_whole_ipv4(whole);
    forget(partial);
    return whole;
}

struct packet *reassembly_input(struct reassembly *reassembly, struct packet *packet,
                                uint64_t now_ns)
{
    struct core *core = reassembly->core;
    struct span span = span_of(packet);
    unsigned buffers = buffers_of(packet);
    struct packet **place;
    bool is_duplicate;

    if (!span_is_possible(packet, &span)) {
        reassembly->uses.drop(core, packet, DROP_REASSEMBLY_BAD);
        return NULL;
    }
    struct partial *partial = partial_for(reassembly, packet, now_ns);
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
    if (whole_header_bytes(partial->fragments) + partial->total_bytes > UINT16_MAX) {
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
