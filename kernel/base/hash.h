/* A hash that nobody can predict who does not know the key: SipHash-2-4 (Aumasson and Bernstein,
 * 2012). For tables whose keys strangers choose. */
#pragma once

#include "kernel/base/types.h"

struct hash_key {
    uint64_t words[2]; /* random_bytes(), once */
};

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t length_bytes);
