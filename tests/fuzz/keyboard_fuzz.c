/* covers: drivers/keyboard_decoder.c */
/* Any scan codes give at most KEYBOARD_SEQUENCE_MAX bytes each, all of them ASCII. */
#include "drivers/keyboard_decoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keyboard_decoder decoder = { .left_shift = false };
    for (size_t i = 0; i < size; i++) {
        char out[KEYBOARD_SEQUENCE_MAX];
        size_t length = keyboard_decode(&decoder, data[i], out);
        CHECK(length <= sizeof(out));
        for (size_t at = 0; at < length; at++)
            CHECK((uint8_t)out[at] < 128);
    }
    return 0;
}
