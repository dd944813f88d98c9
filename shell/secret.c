/* SHA-256 as FIPS 180-4 describes it, section by section, and the stored form of secrets. */
#include "shell/secret.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/text.h"

enum { BLOCK_BYTES = 64, LENGTH_OFFSET = 56 };

/* 4.2.2: fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t value, unsigned bits)
{
    return value >> bits | value << (32 - bits);
}

/* 6.2.2: one block into the hash value. */
static void sha256_block(uint32_t hash[8], const uint8_t *block)
{
    uint32_t w[64];
    for (unsigned t = 0; t < 16; t++)
        w[t] = load_be32(block + 4 * t);
    for (unsigned t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3];
    uint32_t e = hash[4], f = hash[5], g = hash[6], h = hash[7];
    for (unsigned t = 0; t < 64; t++) {
        uint32_t sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + round_constants[t] + w[t];
        uint32_t sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    uint32_t sums[8] = { a, b, c, d, e, f, g, h };
    for (unsigned i = 0; i < 8; i++)
        hash[i] += sums[i];
}

void sha256(const void *data, size_t length, uint8_t out[SECRET_HASH_BYTES])
{
    /* 5.3.3: fractional parts of the square roots of the first 8 primes. */
    uint32_t hash[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    const uint8_t *bytes = data;
    size_t left = length;
    for (; left >= BLOCK_BYTES; left -= BLOCK_BYTES, bytes += BLOCK_BYTES)
        sha256_block(hash, bytes);
    /* 5.1.1: a one bit, zeros, the length in bits. */
    uint8_t block[BLOCK_BYTES] = { 0 };
    memcpy(block, bytes, left);
    block[left] = 0x80;
    if (left >= LENGTH_OFFSET) {
        sha256_block(hash, block);
        memset(block, 0, sizeof(block));
    }
    store_be32(block + LENGTH_OFFSET, (uint32_t)((uint64_t)length >> 29));
    store_be32(block + LENGTH_OFFSET + 4, (uint32_t)((uint64_t)length << 3));
    sha256_block(hash, block);
    for (unsigned i = 0; i < 8; i++)
        store_be32(out + 4 * i, hash[i]);
}

enum { SECRET_BYTES_MAX = 255 };

static void stretch(const char *secret, const uint8_t salt[SECRET_SALT_BYTES], uint64_t rounds,
                    uint8_t hash[SECRET_HASH_BYTES])
{
    uint8_t input[SECRET_SALT_BYTES + SECRET_HASH_BYTES + SECRET_BYTES_MAX];
    size_t length = strnlen(secret, SECRET_BYTES_MAX);
    memcpy(input, salt, SECRET_SALT_BYTES);
    memset(input + SECRET_SALT_BYTES, 0, SECRET_HASH_BYTES);
    memcpy(input + SECRET_SALT_BYTES + SECRET_HASH_BYTES, secret, length);
    for (uint64_t i = 0; i < rounds; i++) {
        sha256(input, SECRET_SALT_BYTES + SECRET_HASH_BYTES + length, hash);
        memcpy(input + SECRET_SALT_BYTES, hash, SECRET_HASH_BYTES);
    }
}

static void print_hex(struct text *text, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        text_print(text, "%02x", bytes[i]);
}

void secret_store(const char *secret, const uint8_t salt[SECRET_SALT_BYTES],
                  char out[SECRET_STORED_MAX])
{
    uint8_t hash[SECRET_HASH_BYTES];
    stretch(secret, salt, SECRET_ROUNDS, hash);
    struct text text = text_of(out, SECRET_STORED_MAX);
    text_print(&text, "$s$%u$", (unsigned)SECRET_ROUNDS);
    print_hex(&text, salt, SECRET_SALT_BYTES);
    text_put(&text, "$", 1);
    print_hex(&text, hash, SECRET_HASH_BYTES);
}

static bool read_hex(const char *text, uint8_t *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 2 * length; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit)
            return false;
        bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | (digit - digits));
    }
    return true;
}

static bool read_stored(const char *text, uint64_t *rounds, uint8_t salt[SECRET_SALT_BYTES],
                        uint8_t hash[SECRET_HASH_BYTES])
{
    if (strncmp(text, "$s$", 3) != 0)
        return false;
    const char *number = text + 3, *dollar = strchr(number, '$');
    if (!dollar || !text_to_u64(number, (size_t)(dollar - number), SECRET_ROUNDS_MAX, rounds) ||
        *rounds == 0)
        return false;
    const char *salt_text = dollar + 1, *hash_text = salt_text + 2 * SECRET_SALT_BYTES + 1;
    return strlen(salt_text) == 2 * SECRET_SALT_BYTES + 1 + 2 * SECRET_HASH_BYTES &&
           hash_text[-1] == '$' && read_hex(salt_text, salt, SECRET_SALT_BYTES) &&
           read_hex(hash_text, hash, SECRET_HASH_BYTES);
}

void secret_hide(const char *line, struct text *out)
{
    const char *secret;
    while ((secret = strstr(line, " $s$")) != NULL) {
        text_put(out, line, (size_t)(secret - line));
        text_print(out, " ***");
        line = secret + 1;
        line += strcspn(line, " ");
    }
    text_print(out, "%s", line);
}

bool secret_is_stored(const char *text)
{
    uint64_t rounds;
    uint8_t salt[SECRET_SALT_BYTES], hash[SECRET_HASH_BYTES];
    return read_stored(text, &rounds, salt, hash);
}

bool secret_matches(const char *stored, const char *secret)
{
    uint64_t rounds;
    uint8_t salt[SECRET_SALT_BYTES], wanted[SECRET_HASH_BYTES], hash[SECRET_HASH_BYTES];
    if (!read_stored(stored, &rounds, salt, wanted))
        return false;
    stretch(secret, salt, rounds, hash);
    uint8_t difference = 0;
    for (unsigned i = 0; i < SECRET_HASH_BYTES; i++)
        difference |= hash[i] ^ wanted[i];
    return difference == 0;
}
