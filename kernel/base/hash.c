/* SipHash-2-4, in the names of its paper: four words of state, two rounds for each word of the
 * message, four at the end. */
#include "kernel/base/hash.h"

#include <string.h>

enum { MESSAGE_ROUNDS = 2, FINAL_ROUNDS = 4 };

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void run_rounds(struct state *state, unsigned rounds)
{
    uint64_t v0 = state->v0, v1 = state->v1, v2 = state->v2, v3 = state->v3;
    while (rounds-- > 0) {
        v0 += v1;
        v2 += v3;
        v1 = rotate_left(v1, 13) ^ v0;
        v3 = rotate_left(v3, 16) ^ v2;
        v0 = rotate_left(v0, 32);
        v2 += v1;
        v0 += v3;
        v1 = rotate_left(v1, 17) ^ v2;
        v3 = rotate_left(v3, 21) ^ v0;
        v2 = rotate_left(v2, 32);
    }
    *state = (struct state){ v0, v1, v2, v3 };
}

static void take_word(struct state *state, uint64_t word)
{
    state->v3 ^= word;
    run_rounds(state, MESSAGE_ROUNDS);
    state->v0 ^= word;
}

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t length_bytes)
{
    /* "somepseudorandomlygeneratedbytes" */
    struct state state = {
        .v0 = key->words[0] ^ 0x736f6d6570736575,
        .v1 = key->words[1] ^ 0x646f72616e646f6d,
        .v2 = key->words[0] ^ 0x6c7967656e657261,
        .v3 = key->words[1] ^ 0x7465646279746573,
    };
    const uint8_t *at = data;
    uint64_t word;
    size_t left = length_bytes;
    for (; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        take_word(&state, word);
    }
    /* The last word: what is left over, and the length in its highest byte. */
    word = (uint64_t)length_bytes << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)at[i] << (8 * i);
    take_word(&state, word);

    state.v2 ^= 0xff;
    run_rounds(&state, FINAL_ROUNDS);
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}
