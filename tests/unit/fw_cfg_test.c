/* fw_cfg against a model of the device: what is in the directory is found and read from anywhere,
 * by DMA and by port, and a device that lies or says nothing costs nothing but the file. */
#include "drivers/fw_cfg.h"

#include "kernel/base/bytes.h"
#include "tests/host/host.h"
#include "tests/unit/test.h"

enum { MODEL_ITEM = 0x21, MODEL_BYTES = 3 * FW_CFG_TRANSFER_MAX + 1000 };
enum { ENTRY_BYTES = 64, ENTRY_COUNT = 2 };

/* Two files, the second of which is opt/tsuji/routes. */
struct fw_cfg_model {
    /* What it is. */
    bool absent, has_dma;
    uint32_t size_bytes;    /* of the file */
    uint32_t claimed_count; /* entries that the directory claims to have */

    /* Faults. */
    unsigned dma_works_for; /* so many transfers, then each ends with the next: */
    uint32_t dma_answer;    /* bits that are left in the control word; 0: none */

    /* What the driver made of it. */
    uint16_t item;
    uint32_t offset;
    uint64_t dma_address;
    unsigned dma_count, selections, bytes_by_port;
};

static struct fw_cfg device;
static struct fw_cfg_model model;

/* Differs from one piece to the next. */
static uint8_t file_byte(uint32_t offset)
{
    return (uint8_t)(offset + offset / 251);
}

static void make_entry(uint8_t *entry, uint32_t size_bytes, uint16_t item, const char *name)
{
    store_be32(entry, size_bytes);
    store_be16(entry + 4, item);
    memcpy(entry + 8, name, strlen(name) + 1);
}

static uint8_t directory_byte(uint32_t offset)
{
    uint8_t directory[4 + ENTRY_COUNT * ENTRY_BYTES] = { 0 };

    store_be32(directory, model.claimed_count);
    make_entry(directory + 4, 1, 0x20, "etc/acpi/tables");
    make_entry(directory + 4 + ENTRY_BYTES, model.size_bytes, MODEL_ITEM, "opt/tsuji/routes");
    return offset < sizeof(directory) ? directory[offset] : 0xff;
}

static uint8_t next_byte(void)
{
    uint32_t offset = model.offset++;

    switch (model.item) {
    case 0x0000:
        return offset < 4 ? (uint8_t) "QEMU"[offset] : 0;
    case 0x0001:
        return offset == 0 ? (model.has_dma ? 3 : 1) : 0;
    case 0x0019:
        return directory_byte(offset);
    case MODEL_ITEM:
        return offset < model.size_bytes ? file_byte(offset) : 0;
    default:
        return 0;
    }
}

static uint64_t model_read(void *context, uint64_t offset, unsigned size)
{
    (void)context;
    if (model.absent || offset != 1 || size != 1)
        return UINT64_MAX;
    model.bytes_by_port++;
    return next_byte();
}

static void model_select(uint16_t item)
{
    model.item = item;
    model.offset = 0;
    model.selections++;
}

static void model_dma(void)
{
    uint8_t *command = (uint8_t *)(uintptr_t)model.dma_address;
    uint32_t control = load_be32(command);
    uint32_t length = load_be32(command + 4);
    uint8_t *out = (uint8_t *)(uintptr_t)load_be64(command + 8);

    CHECK(model.has_dma);
    if (model.dma_count++ >= model.dma_works_for) {
        store_be32(command, model.dma_answer);
        return;
    }
    if (control & 8)
        model_select((uint16_t)(control >> 16));
    if (control & 2) {
        for (uint32_t i = 0; i < length; i++)
            out[i] = next_byte();
    } else if (control & 4) {
        model.offset += length;
    }
    store_be32(command, 0);
}

static void model_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    (void)context;
    (void)size;
    if (offset == 0) {
        model_select((uint16_t)value);
    } else if (offset == 4) {
        model.dma_address = (uint64_t)__builtin_bswap32((uint32_t)value) << 32;
    } else if (offset == 8) {
        model.dma_address |= __builtin_bswap32((uint32_t)value);
        model_dma();
    }
}

/* As it should be; a test changes what it is about, and opens it. */
static void attach(bool has_dma)
{
    static const struct device_model ports = { .read = model_read, .write = model_write };

    model = (struct fw_cfg_model){
        .has_dma = has_dma,
        .size_bytes = MODEL_BYTES,
        .claimed_count = ENTRY_COUNT,
        .dma_works_for = UINT32_MAX,
    };
    host_attach_ports(0x510, 12, &ports);
}

static struct fw_cfg_file find_file(void)
{
    struct fw_cfg_file file;

    fw_cfg_open(&device);
    EXPECT_EQUAL(fw_cfg_find(&device, "opt/tsuji/routes", &file), OK);
    EXPECT_EQUAL(file.size_bytes, model.size_bytes);
    return file;
}

/* Reads once, into memory of exactly that size, and says how many bytes came, all right. */
static size_t read_once(const struct fw_cfg_file *file, uint32_t offset, size_t size_bytes)
{
    uint8_t *out = memory_alloc(size_bytes, 0, MEMORY_TEST);
    size_t read_bytes = SIZE_MAX;

    EXPECT(out != NULL);
    EXPECT_EQUAL(fw_cfg_read(&device, file, offset, out, size_bytes, &read_bytes), OK);
    EXPECT(read_bytes <= size_bytes);
    for (uint32_t i = 0; i < read_bytes; i++)
        EXPECT_EQUAL(out[i], file_byte(offset + i));
    memory_free(out);
    return read_bytes;
}

static void read_to_the_end(const struct fw_cfg_file *file, size_t size_bytes)
{
    uint32_t offset = 0;
    for (size_t count; (count = read_once(file, offset, size_bytes)) > 0;)
        offset += (uint32_t)count;
    EXPECT_EQUAL(offset, file->size_bytes);
}

TEST(fw_cfg_reads_a_file_in_pieces_by_dma)
{
    attach(true);
    struct fw_cfg_file file = find_file();
    unsigned bytes_by_port = model.bytes_by_port;
    read_to_the_end(&file, MODEL_BYTES);
    read_to_the_end(&file, 12345);
    EXPECT_EQUAL(model.bytes_by_port, bytes_by_port);
}

TEST(fw_cfg_reads_a_file_in_pieces_by_port_where_there_is_no_dma)
{
    attach(false);
    model.size_bytes = 10 * FW_CFG_PORT_MAX + 7;
    struct fw_cfg_file file = find_file();
    unsigned bytes_before = model.bytes_by_port, selections_before = model.selections;
    read_to_the_end(&file, 1000);
    EXPECT_EQUAL(model.dma_count, 0);
    /* It goes on where it was: nothing is read twice. */
    EXPECT_EQUAL(model.bytes_by_port - bytes_before, model.size_bytes);
    EXPECT_EQUAL(model.selections - selections_before, 1);
    read_to_the_end(&file, 1);
}

TEST(fw_cfg_reads_from_anywhere)
{
    static const uint32_t offsets[] = { 0, 5000, 4999, 1, MODEL_BYTES - 7, 70000, 3 };
    for (unsigned has_dma = 0; has_dma < 2; has_dma++) {
        attach(has_dma);
        struct fw_cfg_file file = find_file();
        for (unsigned i = 0; i < ARRAY_COUNT(offsets); i++) {
            EXPECT_EQUAL(read_once(&file, offsets[i], 20), MIN_OF(20u, MODEL_BYTES - offsets[i]));
            find_file(); /* the directory is read in between */
        }
    }
}

TEST(fw_cfg_reads_nothing_behind_the_end)
{
    for (unsigned has_dma = 0; has_dma < 2; has_dma++) {
        attach(has_dma);
        struct fw_cfg_file file = find_file();
        EXPECT_EQUAL(read_once(&file, MODEL_BYTES, 20), 0);
        EXPECT_EQUAL(read_once(&file, MODEL_BYTES + 1, 20), 0);
        EXPECT_EQUAL(read_once(&file, UINT32_MAX, 20), 0);
        EXPECT_EQUAL(read_once(&file, 0, 0), 0);
        model.size_bytes = 0;
        file = find_file();
        EXPECT_EQUAL(read_once(&file, 0, 20), 0);
    }
}

TEST(fw_cfg_finds_nothing_on_a_machine_without_it)
{
    struct fw_cfg_file file;

    attach(true);
    model.absent = true;
    fw_cfg_open(&device);
    EXPECT_EQUAL(fw_cfg_find(&device, "opt/tsuji/routes", &file), ERROR_NOT_FOUND);
}

TEST(fw_cfg_search_ends_in_a_directory_that_claims_no_end)
{
    for (unsigned has_dma = 0; has_dma < 2; has_dma++) {
        struct fw_cfg_file file;
        attach(has_dma);
        model.claimed_count = UINT32_MAX;
        fw_cfg_open(&device);
        EXPECT_EQUAL(fw_cfg_find(&device, "opt/tsuji/other", &file), ERROR_NOT_FOUND);
    }
}

TEST(fw_cfg_reports_failed_transfers_and_goes_on)
{
    for (unsigned works_for = 0; works_for < 2; works_for++) {
        uint8_t out[8];
        size_t read_bytes = 99;
        attach(true);
        struct fw_cfg_file file = find_file();
        model.dma_works_for = model.dma_count + works_for; /* skipping fails, or reading does */
        model.dma_answer = 1;
        EXPECT_EQUAL(fw_cfg_read(&device, &file, 8, out, sizeof(out), &read_bytes), ERROR_DEVICE);
        EXPECT_EQUAL(read_bytes, 0);
        EXPECT_EQUAL(fw_cfg_find(&device, "opt/tsuji/routes", &file), ERROR_DEVICE);
        model.dma_works_for = UINT32_MAX;
        EXPECT_EQUAL(read_once(&file, 8, 8), 8);
    }
}

/* The command is where the driver's memory begins: freed here, where the device is known to be
 * dead. */
TEST(fw_cfg_leaves_a_device_alone_that_does_not_end)
{
    static const uint32_t answers[] = { 2, 0x80000003 };
    for (unsigned i = 0; i < ARRAY_COUNT(answers); i++) {
        uint8_t out[8];
        size_t read_bytes;
        attach(true);
        struct fw_cfg_file file = find_file();
        model.dma_works_for = model.dma_count + 1;
        model.dma_answer = answers[i];
        EXPECT_EQUAL(fw_cfg_read(&device, &file, 8, out, sizeof(out), &read_bytes), ERROR_TIMEOUT);
        unsigned dma_count = model.dma_count;
        EXPECT_EQUAL(fw_cfg_read(&device, &file, 8, out, sizeof(out), &read_bytes), ERROR_DEVICE);
        EXPECT_EQUAL(fw_cfg_find(&device, "opt/tsuji/routes", &file), ERROR_DEVICE);
        EXPECT_EQUAL(model.dma_count, dma_count);
        dma_free((void *)(uintptr_t)model.dma_address);
    }
}

TEST(fw_cfg_says_when_there_is_no_memory)
{
    uint8_t out[8];
    size_t read_bytes;

    attach(true);
    struct fw_cfg_file file = find_file();
    host_fail_allocation(0);
    EXPECT_EQUAL(fw_cfg_read(&device, &file, 0, out, sizeof(out), &read_bytes), ERROR_NO_MEMORY);
    host_fail_allocation(1);
    EXPECT_EQUAL(fw_cfg_find(&device, "opt/tsuji/routes", &file), ERROR_NO_MEMORY);
}
