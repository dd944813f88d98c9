/* Random numbers from a little entropy: ChaCha20 (RFC 8439) with fast key erasure. Each block of
 * keystream first gives the next key, then what callers get; so what was handed out cannot be
 * found again from the state. Pure. */
#pragma once

#include "kernel/base/types.h"

enum { RANDOM_KEY_BYTES = 32, RANDOM_BLOCK_BYTES = 64 };

struct random_generator {
    uint8_t key[RANDOM_KEY_BYTES];
};

/* Mixes in: what was there stays as hard to guess as it was. */
void random_generator_seed(struct random_generator *generator, const void *entropy, size_t size);
void random_generator_bytes(struct random_generator *generator, void *out, size_t size);

/* The block function itself, RFC 8439, 2.3. */
void random_chacha20_block(const uint8_t key[RANDOM_KEY_BYTES], uint32_t counter,
                           const uint8_t nonce[12], uint8_t out[RANDOM_BLOCK_BYTES]);
