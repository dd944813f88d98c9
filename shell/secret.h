/* Secrets of logins, as they are stored: "$s$ROUNDS$SALT$HASH", where HASH is SHA-256 (FIPS 180-4)
 * over salt and secret, applied ROUNDS times. That keeps a configuration that is shown or copied
 * from giving the secret away; it is weaker against somebody with the text and a graphics card than
 * a memory-hard function would be, and makes room for one when the cryptographic library is there.
 */
#pragma once

#include "kernel/base/text.h"
#include "kernel/base/types.h"

enum {
    SECRET_ROUNDS =
        1000, /* under half a millisecond, which is what the control core may spend at once */
    SECRET_ROUNDS_MAX = 100000,
    SECRET_SALT_BYTES = 16,
    SECRET_HASH_BYTES = 32,
    SECRET_STORED_MAX = 160,
};

void sha256(const void *data, size_t length, uint8_t out[SECRET_HASH_BYTES]);

/* The stored form, with that salt. */
void secret_store(const char *secret, const uint8_t salt[SECRET_SALT_BYTES],
                  char out[SECRET_STORED_MAX]);
/* The line with *** in the place of every stored secret. */
void secret_hide(const char *line, struct text *out);
bool secret_is_stored(const char *text); /* it has the stored form */
/* In a time that does not depend on where they differ. */
bool secret_matches(const char *stored, const char *secret) MUST_CHECK;
