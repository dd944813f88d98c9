/* Bytes on the wire: loads and stores of either byte order at any alignment, and a bounded reader
 * and writer.
 *
 * A reader or writer that runs over its end does nothing, answers 0, and stays `failed`; so a
 * parser reads all fields in the RFC's order and asks once, at the end. */
#pragma once

#include <string.h>

#include "kernel/base/types.h"

static inline uint16_t load_be16(const void *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof(value));
    return __builtin_bswap16(value);
}

static inline uint32_t load_be32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return __builtin_bswap32(value);
}

static inline uint64_t load_be64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return __builtin_bswap64(value);
}

static inline uint16_t load_le16(const void *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static inline uint32_t load_le32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static inline uint64_t load_le64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static inline void store_be16(void *to, uint16_t value)
{
    value = __builtin_bswap16(value);
    memcpy(to, &value, sizeof(value));
}

static inline void store_be32(void *to, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(to, &value, sizeof(value));
}

static inline void store_le16(void *to, uint16_t value)
{
    memcpy(to, &value, sizeof(value));
}

static inline void store_le32(void *to, uint32_t value)
{
    memcpy(to, &value, sizeof(value));
}

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct reader reader_of(const void *data, size_t length_bytes)
{
    const uint8_t *at = data;
    return (struct reader){ .at = at, .end = at + length_bytes, .failed = false };
}

static inline size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The next length_bytes, or NULL (and `failed`) where fewer are left. */
static inline const uint8_t *reader_take(struct reader *reader, size_t length_bytes)
{
    if (reader_left(reader) < length_bytes) {
        reader->failed = true;
        reader->at = reader->end;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += length_bytes;
    return bytes;
}

static inline uint8_t read_u8(struct reader *reader)
{
    const uint8_t *bytes = reader_take(reader, 1);
    return bytes ? bytes[0] : 0;
}

static inline uint16_t read_be16(struct reader *reader)
{
    const uint8_t *bytes = reader_take(reader, 2);
    return bytes ? load_be16(bytes) : 0;
}

static inline uint32_t read_be32(struct reader *reader)
{
    const uint8_t *bytes = reader_take(reader, 4);
    return bytes ? load_be32(bytes) : 0;
}

static inline uint16_t read_le16(struct reader *reader)
{
    const uint8_t *bytes = reader_take(reader, 2);
    return bytes ? load_le16(bytes) : 0;
}

static inline uint32_t read_le32(struct reader *reader)
{
    const uint8_t *bytes = reader_take(reader, 4);
    return bytes ? load_le32(bytes) : 0;
}

static inline uint64_t read_le64(struct reader *reader)
{
    const uint8_t *bytes = reader_take(reader, 8);
    return bytes ? load_le64(bytes) : 0;
}

struct writer {
    uint8_t *at;
    uint8_t *end;
    bool failed;
};

static inline struct writer writer_of(void *data, size_t size_bytes)
{
    uint8_t *at = data;
    return (struct writer){ .at = at, .end = at + size_bytes, .failed = false };
}

/* Room for length_bytes, or NULL (and `failed`) where less is left. */
static inline uint8_t *writer_take(struct writer *writer, size_t length_bytes)
{
    if ((size_t)(writer->end - writer->at) < length_bytes) {
        writer->failed = true;
        return NULL;
    }
    uint8_t *bytes = writer->at;
    writer->at += length_bytes;
    return bytes;
}

static inline void write_u8(struct writer *writer, uint8_t value)
{
    uint8_t *bytes = writer_take(writer, 1);
    if (bytes)
        bytes[0] = value;
}

static inline void write_be16(struct writer *writer, uint16_t value)
{
    uint8_t *bytes = writer_take(writer, 2);
    if (bytes)
        store_be16(bytes, value);
}

static inline void write_be32(struct writer *writer, uint32_t value)
{
    uint8_t *bytes = writer_take(writer, 4);
    if (bytes)
        store_be32(bytes, value);
}

static inline void write_bytes(struct writer *writer, const void *from, size_t length_bytes)
{
    uint8_t *bytes = writer_take(writer, length_bytes);
    if (bytes)
        memcpy(bytes, from, length_bytes);
}
