/* fw_cfg against a model of the device: what is in the directory is found and read, by DMA and by
 * port, and a device that lies costs nothing but the file. */
#include "drivers/fw_cfg.h"

#include "kernel/base/bytes.h"
#include "tests/host/host.h"
#include "tests/unit/test.h"

enum { MODEL_SELECTOR = 0x20 };

static const char contents[] = "ip eth0 address 192.0.2.1/24\n";

/* One file, "opt/tsuji/config". */
struct fw_cfg_model {
    bool absent, has_dma, dma_fails;
    uint32_t claimed_count; /* entries that the directory claims to have */
    uint16_t item;
    uint32_t offset;
    uint64_t dma_address;
    unsigned dma_count;
};

static uint8_t item_byte(const struct fw_cfg_model *model)
{
    uint8_t directory[4 + 64] = { 0 };

    switch (model->item) {
    case 0x0000:
        return model->offset < 4 ? (uint8_t) "QEMU"[model->offset] : 0;
    case 0x0001:
        return model->offset == 0 ? (model->has_dma ? 3 : 1) : 0;
    case 0x0019:
        store_be32(directory, model->claimed_count);
        store_be32(directory + 4, sizeof(contents) - 1);
        store_be16(directory + 8, MODEL_SELECTOR);
        memcpy(directory + 12, "opt/tsuji/config", 17);
        return model->offset < sizeof(directory) ? directory[model->offset] : 0xff;
    case MODEL_SELECTOR:
        return model->offset < sizeof(contents) - 1 ? (uint8_t)contents[model->offset] : 0;
    default:
        return 0;
    }
}

static uint64_t model_read(void *context, uint64_t offset, unsigned size)
{
    struct fw_cfg_model *model = context;

    if (model->absent || offset != 1 || size != 1)
        return UINT64_MAX;
    uint8_t byte = item_byte(model);
    model->offset++;
    return byte;
}

static void model_dma(struct fw_cfg_model *model)
{
    uint8_t *command = (uint8_t *)(uintptr_t)model->dma_address;
    uint32_t control = load_be32(command);
    uint32_t length = load_be32(command + 4);
    uint8_t *out = (uint8_t *)(uintptr_t)load_be64(command + 8);

    model->dma_count++;
    if (model->dma_fails) {
        store_be32(command, 1);
        return;
    }
    model->item = (uint16_t)(control >> 16);
    for (model->offset = 0; model->offset < length; model->offset++)
        out[model->offset] = item_byte(model);
    store_be32(command, 0);
}

static void model_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct fw_cfg_model *model = context;

    (void)size;
    if (offset == 0) {
        model->item = (uint16_t)value;
        model->offset = 0;
    } else if (offset == 4) {
        model->dma_address = (uint64_t)__builtin_bswap32((uint32_t)value) << 32;
    } else if (offset == 8) {
        model->dma_address |= __builtin_bswap32((uint32_t)value);
        model_dma(model);
    }
}

static void attach(struct fw_cfg_model *model)
{
    static struct device_model device;
    device = (struct device_model){ .context = model, .read = model_read, .write = model_write };
    host_attach_ports(0x510, 12, &device);
}

static void expect_contents(void)
{
    struct fw_cfg_file file;
    char *out = dma_alloc(sizeof(contents), 0, MEMORY_TEST);

    EXPECT(out != NULL);
    EXPECT(fw_cfg_find("opt/tsuji/config", &file));
    EXPECT_EQUAL(file.size_bytes, sizeof(contents) - 1);
    EXPECT_EQUAL(fw_cfg_read(&file, out, file.size_bytes), OK);
    EXPECT_TEXT(out, contents);
    dma_free(out);
}

TEST(fw_cfg_reads_a_file_by_dma)
{
    struct fw_cfg_model model = { .has_dma = true, .claimed_count = 1 };

    attach(&model);
    expect_contents();
    EXPECT_EQUAL(model.dma_count, 1);
}

TEST(fw_cfg_reads_a_file_by_port_where_there_is_no_dma)
{
    struct fw_cfg_model model = { .claimed_count = 1 };

    attach(&model);
    expect_contents();
    EXPECT_EQUAL(model.dma_count, 0);
}

TEST(fw_cfg_finds_nothing_on_a_machine_without_it)
{
    struct fw_cfg_model model = { .absent = true, .claimed_count = 1 };
    struct fw_cfg_file file;

    attach(&model);
    EXPECT(!fw_cfg_find("opt/tsuji/config", &file));
}

TEST(fw_cfg_search_ends_in_a_directory_that_claims_no_end)
{
    struct fw_cfg_model model = { .claimed_count = UINT32_MAX };
    struct fw_cfg_file file;

    attach(&model);
    EXPECT(!fw_cfg_find("opt/tsuji/other", &file));
}

TEST(fw_cfg_reports_a_failed_transfer_and_a_read_past_the_end)
{
    struct fw_cfg_model model = { .has_dma = true, .dma_fails = true, .claimed_count = 1 };
    struct fw_cfg_file file;
    char *out = dma_alloc(sizeof(contents), 0, MEMORY_TEST);

    EXPECT(out != NULL);
    attach(&model);
    EXPECT(fw_cfg_find("opt/tsuji/config", &file));
    EXPECT_EQUAL(fw_cfg_read(&file, out, file.size_bytes), ERROR_DEVICE);
    EXPECT_EQUAL(fw_cfg_read(&file, out, file.size_bytes + 1), ERROR_TRUNCATED);
    dma_free(out);
}
