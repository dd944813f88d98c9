#include "kernel/random_generator.h"

#include "kernel/base/bytes.h"

/* ---- ChaCha20, RFC 8439 --------------------------------------------------------------------- */

static uint32_t rotate_left(uint32_t value, unsigned bits)
{
    return value << bits | value >> (32 - bits);
}

/* 2.1 */
static void quarter_round(uint32_t state[16], unsigned a, unsigned b, unsigned c, unsigned d)
{
    state[a] += state[b];
    state[d] = rotate_left(state[d] ^ state[a], 16);
    state[c] += state[d];
    state[b] = rotate_left(state[b] ^ state[c], 12);
    state[a] += state[b];
    state[d] = rotate_left(state[d] ^ state[a], 8);
    state[c] += state[d];
    state[b] = rotate_left(state[b] ^ state[c], 7);
}

/* 2.3 */
void random_chacha20_block(const uint8_t key[RANDOM_KEY_BYTES], uint32_t counter,
                           const uint8_t nonce[12], uint8_t out[RANDOM_BLOCK_BYTES])
{
    /* "expand 32-byte k" */
    uint32_t start[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
    for (unsigned i = 0; i < 8; i++)
        start[4 + i] = load_le32(key + 4 * i);
    start[12] = counter;
    for (unsigned i = 0; i < 3; i++)
        start[13 + i] = load_le32(nonce + 4 * i);

    uint32_t state[16];
    memcpy(state, start, sizeof(state));
    for (unsigned i = 0; i < 10; i++) {
        quarter_round(state, 0, 4, 8, 12);
        quarter_round(state, 1, 5, 9, 13);
        quarter_round(state, 2, 6, 10, 14);
        quarter_round(state, 3, 7, 11, 15);
        quarter_round(state, 0, 5, 10, 15);
        quarter_round(state, 1, 6, 11, 12);
        quarter_round(state, 2, 7, 8, 13);
        quarter_round(state, 3, 4, 9, 14);
    }
    for (unsigned i = 0; i < 16; i++)
        store_le32(out + 4 * i, state[i] + start[i]);
}

/* ---- The generator -------------------------------------------------------------------------- */

static const uint8_t no_nonce[12];

/* A nonce that bytes never use, so that seeding and giving out are different functions of the key.
 */
static const uint8_t seed_nonce[12] = { 's', 'e', 'e', 'd' };

/* The entropy goes into the key by XOR and is stirred by a block, a key's length at a time. */
void random_generator_seed(struct random_generator *generator, const void *entropy, size_t size)
{
    const uint8_t *bytes = entropy;
    uint8_t block[RANDOM_BLOCK_BYTES];
    while (size > 0) {
        size_t count = MIN_OF(size, (size_t)RANDOM_KEY_BYTES);
        for (size_t i = 0; i < count; i++)
            generator->key[i] ^= bytes[i];
        random_chacha20_block(generator->key, 0, seed_nonce, block);
        memcpy(generator->key, block, RANDOM_KEY_BYTES);
        bytes += count;
        size -= count;
    }
    memset(block, 0, sizeof(block));
}

void random_generator_bytes(struct random_generator *generator, void *out, size_t size)
{
    uint8_t *bytes = out;
    uint8_t block[RANDOM_BLOCK_BYTES];
    while (size > 0) {
        random_chacha20_block(generator->key, 0, no_nonce, block);
        memcpy(generator->key, block, RANDOM_KEY_BYTES);
        size_t count = MIN_OF(size, (size_t)(RANDOM_BLOCK_BYTES - RANDOM_KEY_BYTES));
        memcpy(bytes, block + RANDOM_KEY_BYTES, count);
        bytes += count;
        size -= count;
    }
    memset(block, 0, sizeof(block));
}
