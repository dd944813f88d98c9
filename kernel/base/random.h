/* Random numbers from a state that the caller owns, so that one seed replays everything: splitmix64
 * (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Good for jitter,
 * identifiers and spreading load; never for secrets, those come from random_bytes(). */
#pragma once

#include "kernel/base/types.h"

/* Spreads every bit of the value over all 64. */
static inline uint64_t random_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static inline uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return random_mix(*state);
}

/* 0 to limit - 1; limit is not 0. */
static inline uint32_t random_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)(((random_next(state) >> 32) * limit) >> 32);
}
