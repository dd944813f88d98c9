#include "kernel/random_generator.h"

#include <string.h>

#include "tests/unit/test.h"

/* RFC 8439, 2.3.2 */
TEST(random_chacha20_block_is_that_of_the_rfc)
{
    uint8_t key[32], out[64];
    for (unsigned i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    static const uint8_t nonce[12] = { 0, 0, 0, 9, 0, 0, 0, 0x4a };
    static const uint8_t expected[64] = {
        0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3,
        0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22,
        0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
        0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
        0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e,
    };
    random_chacha20_block(key, 1, nonce, out);
    EXPECT(memcmp(out, expected, sizeof(expected)) == 0);
}

TEST(random_bytes_differ_and_follow_from_the_seed)
{
    struct random_generator one = { { 0 } }, other = { { 0 } };
    uint8_t first[100], second[100], again[100];
    random_generator_seed(&one, "what a boot is like, at more length than a key", 46);
    random_generator_seed(&other, "what a boot is like, at more length than a key", 46);
    random_generator_bytes(&one, first, sizeof(first));
    random_generator_bytes(&one, second, sizeof(second));
    random_generator_bytes(&other, again, sizeof(again));
    EXPECT(memcmp(first, second, sizeof(first)) != 0);
    EXPECT(memcmp(first, again, sizeof(first)) == 0);
    random_generator_seed(&other, "x", 1);
    random_generator_bytes(&other, again, sizeof(again));
    EXPECT(memcmp(second, again, sizeof(second)) != 0);
}

TEST(random_key_is_erased_with_every_answer)
{
    struct random_generator generator = { { 1 } };
    struct random_generator before = generator;
    uint8_t byte;
    random_generator_bytes(&generator, &byte, 1);
    EXPECT(memcmp(&generator, &before, sizeof(before)) != 0);
    uint8_t none;
    before = generator;
    random_generator_bytes(&generator, &none, 0);
    EXPECT(memcmp(&generator, &before, sizeof(before)) == 0);
}
