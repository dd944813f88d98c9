/* From a packet to the words by which it is judged (filter.h). */
#pragma once

#include "kernel/base/types.h"
#include "net/filter.h"

struct batch;
struct packet;

/* Fills in entry `i` of an IP packet whose header was checked and lies at network_offset, but for
 * the ports. False: what it carries cannot be judged, as its beginning is cut to hide that: of IPv4
 * a piece of TCP or UDP without the fields that rules ask for, or one that would write over them
 * when the packet is put together (RFC 1858, RFC 3128); of IPv6 headers that do not lie in the
 * first piece, or are too many (RFC 7112). */
bool filter_keys_of(const struct packet *packet, struct filter_keys *keys, unsigned i) MUST_CHECK;

/* The same of a batch of one family, entry i of packet i; of the words in `asked`, which are words
 * that the family has, and others with anything. Of packets whose bits are set in `unusual` nothing
 * is known, the others are plain (classify.c). A bit for each packet that cannot be judged; its
 * entry holds anything. */
uint64_t filter_keys_of_batch(const struct batch *batch, uint64_t unusual, unsigned asked,
                              struct filter_keys *keys);
