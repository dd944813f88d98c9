/* The bounded reader and writer: every field at every remaining length, and nothing beyond the end.
 */
#include "kernel/base/bytes.h"

#include <stdlib.h>

#include "tests/unit/test.h"

TEST(loads_and_stores_know_their_byte_order)
{
    uint8_t bytes[9] = { 0xff, 1, 2, 3, 4, 5, 6, 7, 8 };
    EXPECT_EQUAL(load_be16(bytes + 1), 0x0102);
    EXPECT_EQUAL(load_be32(bytes + 1), 0x01020304);
    EXPECT_EQUAL(load_be64(bytes + 1), 0x0102030405060708);
    EXPECT_EQUAL(load_le16(bytes + 1), 0x0201);
    EXPECT_EQUAL(load_le32(bytes + 1), 0x04030201);
    EXPECT_EQUAL(load_le64(bytes + 1), 0x0807060504030201);
    store_be16(bytes + 1, 0xa1b2);
    EXPECT(bytes[1] == 0xa1 && bytes[2] == 0xb2);
    store_be32(bytes + 1, 0xa1b2c3d4);
    EXPECT(bytes[1] == 0xa1 && bytes[4] == 0xd4);
    store_le32(bytes + 1, 0xa1b2c3d4);
    EXPECT(bytes[1] == 0xd4 && bytes[4] == 0xa1);
    EXPECT(bytes[0] == 0xff && bytes[5] == 5);
}

static void read_all(struct reader *reader)
{
    read_u8(reader);
    read_be16(reader);
    read_be32(reader);
    read_le16(reader);
    read_le32(reader);
    read_le64(reader);
}

/* Each length in memory of its own, so that a byte too many is an error. */
TEST(reader_never_reads_beyond_its_end)
{
    enum { ALL_BYTES = 1 + 2 + 4 + 2 + 4 + 8 };
    for (size_t length = 0; length <= ALL_BYTES + 1; length++) {
        uint8_t *bytes = malloc(length + (length == 0));
        memset(bytes, 0xee, length);
        struct reader reader = reader_of(bytes, length);
        read_all(&reader);
        EXPECT_EQUAL(reader.failed, length < ALL_BYTES);
        EXPECT_EQUAL(reader_left(&reader), length > ALL_BYTES ? length - ALL_BYTES : 0);
        free(bytes);
    }
}

TEST(reader_that_failed_stays_failed)
{
    uint8_t bytes[3] = { 1, 2, 3 };
    struct reader reader = reader_of(bytes, sizeof(bytes));
    EXPECT_EQUAL(read_be32(&reader), 0);
    EXPECT(reader.failed);
    EXPECT_EQUAL(read_u8(&reader), 0);
    EXPECT(reader.failed);
    reader = reader_of(bytes, sizeof(bytes));
    EXPECT(reader_take(&reader, SIZE_MAX) == NULL);
    EXPECT(reader.failed);
}

TEST(writer_never_writes_beyond_its_end)
{
    enum { ALL_BYTES = 1 + 2 + 4 + 3 };
    for (size_t size = 0; size <= ALL_BYTES + 1; size++) {
        uint8_t *bytes = malloc(size + (size == 0));
        struct writer writer = writer_of(bytes, size);
        write_u8(&writer, 1);
        write_be16(&writer, 0x0203);
        write_be32(&writer, 0x04050607);
        write_bytes(&writer, "\x08\x09\x0a", 3);
        EXPECT_EQUAL(writer.failed, size < ALL_BYTES);
        for (size_t i = 0; !writer.failed && i < ALL_BYTES; i++)
            EXPECT_EQUAL(bytes[i], i + 1);
        free(bytes);
    }
}
