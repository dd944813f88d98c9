/* What models remember of a frame that was sent, so that a test can tell whether it is the right
 * one. */
#pragma once

#include "kernel/base/types.h"

enum { FRAME_START_BYTES = 64 };

struct sent_frame {
    uint32_t length_bytes;
    unsigned descriptor_count;
    uint8_t start[FRAME_START_BYTES]; /* the first bytes of it */
    uint32_t sum;                     /* of all bytes */
};

/* Depends on the order of the bytes, and can be taken piece by piece. */
static inline uint32_t frame_sum(uint32_t sum, const uint8_t *bytes, uint32_t length_bytes)
{
    for (uint32_t i = 0; i < length_bytes; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static inline void sent_frame_append(struct sent_frame *frame, const uint8_t *bytes,
                                     uint32_t length_bytes)
{
    for (uint32_t i = 0; i < length_bytes && frame->length_bytes + i < FRAME_START_BYTES; i++)
        frame->start[frame->length_bytes + i] = bytes[i];
    frame->sum = frame_sum(frame->sum, bytes, length_bytes);
    frame->length_bytes += length_bytes;
}
