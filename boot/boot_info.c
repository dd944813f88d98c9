/* Loaders' tables to struct boot_info. Pure: bytes in, values out.
 *
 * Both kinds are read into the same three things: texts, modules, and a raw list of memory areas.
 * The raw list may be in any order and overlap itself; settle_memory() makes the list that others
 * rely on. Modules are checked last, since a module must lie in RAM. */
#include "boot/boot_info.h"

#include <string.h>

#include "kernel/base/bytes.h"

/* Multiboot2 Specification 2.0, 3.6. */
enum {
    MULTIBOOT2_HEADER_BYTES = 8,
    MULTIBOOT2_TAG_HEADER_BYTES = 8,
    MULTIBOOT2_TAG_ALIGN = 8,
    MULTIBOOT2_MEMORY_ENTRY_BYTES = 24, /* may grow: the tag says */
};

enum multiboot2_tag {
    TAG_END = 0,
    TAG_COMMAND_LINE = 1,
    TAG_LOADER_NAME = 2,
    TAG_MODULE = 3,
    TAG_BASIC_MEMORY = 4,
    TAG_MEMORY_MAP = 6,
    TAG_FRAMEBUFFER = 8,
    TAG_ACPI_OLD = 14, /* a copy of the RSDP, 20 bytes */
    TAG_ACPI_NEW = 15, /* 36 bytes */
};

enum { FRAMEBUFFER_PALETTE = 0, FRAMEBUFFER_RGB = 1, FRAMEBUFFER_TEXT = 2 };
enum { FRAMEBUFFER_SIDE_MAX = 16384 }; /* pixels; 16K screens do not exist yet */
enum { RSDP_OLD_BYTES = 20 };

/* Xen public/arch-x86/hvm/start_info.h. */
#define PVH_MAGIC 0x336ec578u
enum {
    PVH_START_BYTES = 40,             /* version 0 */
    PVH_START_BYTES_WITH_MEMORY = 56, /* version 1 and later */
    PVH_MODULE_BYTES = 32,
    PVH_MEMORY_ENTRY_BYTES = 24,
};

/* Memory types of both protocols, those of the BIOS call E820. */
enum { E820_RAM = 1, E820_ACPI = 3, E820_NVS = 4, E820_BAD = 5 };

struct raw_memory {
    unsigned count;
    struct boot_memory areas[BOOT_MEMORY_MAX];
};

static void reject(struct boot_info *info)
{
    info->rejected++;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static enum boot_memory_kind memory_kind(uint32_t e820_type)
{
    switch (e820_type) {
    case E820_RAM:
        return BOOT_MEMORY_RAM;
    case E820_ACPI:
        return BOOT_MEMORY_ACPI;
    case E820_NVS:
        return BOOT_MEMORY_ACPI_NVS;
    case E820_BAD:
        return BOOT_MEMORY_BAD;
    default:
        return BOOT_MEMORY_RESERVED;
    }
}

static void add_memory(struct boot_info *info, struct raw_memory *raw, uint64_t base,
                       uint64_t length_bytes, enum boot_memory_kind kind)
{
    if (length_bytes == 0)
        return;
    if (raw->count == BOOT_MEMORY_MAX || length_bytes > UINT64_MAX - base) {
        reject(info);
        return;
    }
    raw->areas[raw->count++] = (struct boot_memory){ base, length_bytes, kind };
}

static uint64_t area_end(const struct boot_memory *area)
{
    return area->base + area->length_bytes;
}

/* Where any area begins or ends, ascending. */
static unsigned sort_bounds(const struct raw_memory *raw, uint64_t bounds[2 * BOOT_MEMORY_MAX])
{
    unsigned count = 0;
    for (unsigned i = 0; i < 2 * raw->count; i++) {
        const struct boot_memory *area = &raw->areas[i / 2];
        uint64_t bound = i % 2 == 0 ? area->base : area_end(area);
        unsigned at = count++;
        for (; at > 0 && bounds[at - 1] > bound; at--)
            bounds[at] = bounds[at - 1];
        bounds[at] = bound;
    }
    return count;
}

/* Appends [base, end), or makes the last area longer where that says the same. */
static void append_memory(struct boot_info *info, uint64_t base, uint64_t end,
                          enum boot_memory_kind kind)
{
    struct boot_memory *last =
        info->memory_count > 0 ? &info->memory[info->memory_count - 1] : NULL;
    if (last && last->kind == kind && area_end(last) == base) {
        last->length_bytes += end - base;
    } else if (info->memory_count == BOOT_MEMORY_MAX) {
        reject(info);
    } else {
        info->memory[info->memory_count++] = (struct boot_memory){ base, end - base, kind };
    }
}

/* Between two neighboring bounds all is of one kind: the last in the order of enum boot_memory_kind
 * of the areas that cover it, so that what anybody calls reserved is never used as RAM. */
static void settle_memory(struct boot_info *info, const struct raw_memory *raw)
{
    uint64_t bounds[2 * BOOT_MEMORY_MAX];
    unsigned bound_count = sort_bounds(raw, bounds);

    for (unsigned i = 0; i + 1 < bound_count; i++) {
        unsigned kinds = 0; /* a bit for each that claims it */
        if (bounds[i] == bounds[i + 1])
            continue;
        for (unsigned j = 0; j < raw->count; j++) {
            const struct boot_memory *area = &raw->areas[j];
            if (area->base <= bounds[i] && bounds[i + 1] <= area_end(area))
                kinds |= 1u << area->kind;
        }
        if (kinds == 0)
            continue;
        if ((kinds & (kinds - 1)) != 0)
            reject(info);
        unsigned strongest = 31 - (unsigned)__builtin_clz(kinds);
        append_memory(info, bounds[i], bounds[i + 1], (enum boot_memory_kind)strongest);
    }
}

static bool is_ram(const struct boot_info *info, uint64_t address, uint64_t size_bytes)
{
    for (unsigned i = 0; i < info->memory_count; i++) {
        const struct boot_memory *area = &info->memory[i];
        if (area->kind != BOOT_MEMORY_RAM || address < area->base || address >= area_end(area))
            continue;
        return size_bytes <= area_end(area) - address;
    }
    return false;
}

/* The last step for both protocols. */
static enum error finish(struct boot_info *info, const struct raw_memory *raw)
{
    settle_memory(info, raw);

    unsigned kept = 0;
    for (unsigned i = 0; i < info->module_count; i++) {
        if (is_ram(info, info->modules[i].address, info->modules[i].size_bytes))
            info->modules[kept++] = info->modules[i];
        else
            reject(info);
    }
    info->module_count = kept;

    for (unsigned i = 0; i < info->memory_count; i++) {
        if (info->memory[i].kind == BOOT_MEMORY_RAM)
            return OK;
    }
    return ERROR_NOT_FOUND;
}

/* ---- Texts and modules ----------------------------------------------------------------------- */

/* Appends a byte of a text that is printed one day; false at its end. */
static bool put_letter(struct boot_info *info, char *out, size_t size, size_t *length, uint8_t byte)
{
    if (byte == 0)
        return false;
    if (*length == size - 1) {
        reject(info);
        return false;
    }
    out[(*length)++] = byte < ' ' || byte > '~' ? '?' : (char)byte;
    return true;
}

static void copy_text(struct boot_info *info, char *out, size_t size, struct reader *reader)
{
    size_t length = 0;
    while (reader_left(reader) > 0 && put_letter(info, out, size, &length, read_u8(reader)))
        continue;
    out[length] = '\0';
}

/* The next word of a command line after *at, or length 0. */
static size_t next_word(const char **at, const char **word)
{
    *word = *at + strspn(*at, " ");
    size_t length = strcspn(*word, " ");
    *at = *word + length;
    return length;
}

/* A name that is too long is none: its beginning could be another module's. */
static void name_module(struct boot_info *info, struct boot_module *module,
                        const char *command_line)
{
    const char *word;
    size_t length = next_word(&command_line, &word);
    size_t start = length;
    while (start > 0 && word[start - 1] != '/')
        start--;
    if (length - start >= sizeof(module->name)) {
        reject(info);
        return;
    }
    memcpy(module->name, word + start, length - start);
}

static void add_module(struct boot_info *info, const struct boot_module *module)
{
    bool wraps = module->size_bytes > UINT64_MAX - module->address;
    if (module->size_bytes == 0 || wraps || info->module_count == BOOT_MODULE_MAX) {
        reject(info);
        return;
    }
    info->modules[info->module_count++] = *module;
}

/* ---- Multiboot2 ------------------------------------------------------------------------------ */

static void read_module(struct boot_info *info, struct reader *tag)
{
    struct boot_module module = { 0 };
    char command_line[BOOT_COMMAND_LINE_MAX];
    uint32_t start = read_le32(tag);
    uint32_t end = read_le32(tag);
    copy_text(info, command_line, sizeof(command_line), tag);
    if (tag->failed || end < start) {
        reject(info);
        return;
    }
    module.address = start;
    module.size_bytes = end - start;
    name_module(info, &module, command_line);
    add_module(info, &module);
}

static void read_memory_map(struct boot_info *info, struct raw_memory *raw, struct reader *tag)
{
    uint32_t entry_bytes = read_le32(tag);
    read_le32(tag); /* version: entries only ever grow at their end */
    if (tag->failed || entry_bytes < MULTIBOOT2_MEMORY_ENTRY_BYTES) {
        reject(info);
        return;
    }
    while (reader_left(tag) >= entry_bytes) {
        struct reader entry = reader_of(reader_take(tag, entry_bytes), entry_bytes);
        uint64_t base = read_le64(&entry);
        uint64_t length_bytes = read_le64(&entry);
        add_memory(info, raw, base, length_bytes, memory_kind(read_le32(&entry)));
    }
    if (reader_left(tag) > 0)
        reject(info);
}

static bool framebuffer_fits(const struct boot_framebuffer *framebuffer)
{
    uint64_t cell_bytes = framebuffer->bits_per_pixel / 8;
    uint64_t size_bytes = (uint64_t)framebuffer->pitch_bytes * framebuffer->height;
    return framebuffer->address != 0 && framebuffer->width > 0 && framebuffer->height > 0 &&
           framebuffer->width <= FRAMEBUFFER_SIDE_MAX &&
           framebuffer->height <= FRAMEBUFFER_SIDE_MAX &&
           framebuffer->pitch_bytes >= framebuffer->width * cell_bytes &&
           size_bytes <= UINT64_MAX - framebuffer->address;
}

/* Each color 8 bits, inside the pixel. */
static bool read_colors(struct boot_framebuffer *framebuffer, struct reader *tag)
{
    uint8_t *shifts[] = { &framebuffer->red_shift, &framebuffer->green_shift,
                          &framebuffer->blue_shift };
    for (unsigned i = 0; i < ARRAY_COUNT(shifts); i++) {
        *shifts[i] = read_u8(tag);
        if (read_u8(tag) != 8 || *shifts[i] + 8 > framebuffer->bits_per_pixel)
            return false;
    }
    return framebuffer->bits_per_pixel == 24 || framebuffer->bits_per_pixel == 32;
}

static void read_framebuffer(struct boot_info *info, struct reader *tag)
{
    struct boot_framebuffer framebuffer = { .present = true };
    framebuffer.address = read_le64(tag);
    framebuffer.pitch_bytes = read_le32(tag);
    framebuffer.width = read_le32(tag);
    framebuffer.height = read_le32(tag);
    framebuffer.bits_per_pixel = read_u8(tag);
    uint8_t kind = read_u8(tag);
    read_le16(tag); /* reserved; GRUB writes 16 bits here, the specification draws 8 */
    framebuffer.text = kind == FRAMEBUFFER_TEXT;

    /* Nothing wrong, and nothing for us. GRUB tells one where it found no screen: 640 pixels wide,
     * of 1 bit each. */
    if (kind == FRAMEBUFFER_PALETTE && !tag->failed)
        return;
    bool known = kind == FRAMEBUFFER_TEXT
                     ? framebuffer.bits_per_pixel == 16
                     : kind == FRAMEBUFFER_RGB && read_colors(&framebuffer, tag);
    if (tag->failed || !known || !framebuffer_fits(&framebuffer)) {
        reject(info);
        return;
    }
    info->framebuffer = framebuffer;
}

static void read_rsdp(struct boot_info *info, struct reader *tag, size_t size_bytes)
{
    const uint8_t *rsdp = reader_take(tag, size_bytes);
    if (!rsdp) {
        reject(info);
        return;
    }
    memset(info->rsdp, 0, sizeof(info->rsdp));
    memcpy(info->rsdp, rsdp, size_bytes);
}

static void read_tag(struct boot_info *info, struct raw_memory *raw, uint32_t type,
                     struct reader *tag)
{
    switch (type) {
    case TAG_COMMAND_LINE:
        copy_text(info, info->command_line, sizeof(info->command_line), tag);
        break;
    case TAG_LOADER_NAME:
        copy_text(info, info->loader, sizeof(info->loader), tag);
        break;
    case TAG_MODULE:
        read_module(info, tag);
        break;
    case TAG_BASIC_MEMORY: /* a loader without a map: what lies from 1 MiB on, in KiB */
        read_le32(tag);
        if (raw->count == 0)
            add_memory(info, raw, 1 << 20, (uint64_t)read_le32(tag) << 10, BOOT_MEMORY_RAM);
        break;
    case TAG_MEMORY_MAP:
        raw->count = 0;
        read_memory_map(info, raw, tag);
        break;
    case TAG_FRAMEBUFFER:
        read_framebuffer(info, tag);
        break;
    case TAG_ACPI_OLD:
        if (info->rsdp[0] == 0)
            read_rsdp(info, tag, RSDP_OLD_BYTES);
        break;
    case TAG_ACPI_NEW:
        read_rsdp(info, tag, sizeof(info->rsdp));
        break;
    default: /* what we do not need */
        break;
    }
}

enum error boot_info_from_multiboot2(struct boot_info *info, const void *data, size_t length_bytes)
{
    struct raw_memory raw = { .count = 0 };
    struct reader reader = reader_of(data, length_bytes);
    uint32_t total_bytes = read_le32(&reader);

    memset(info, 0, sizeof(*info));
    info->protocol = BOOT_MULTIBOOT2;
    if (total_bytes < MULTIBOOT2_HEADER_BYTES || total_bytes > length_bytes)
        return ERROR_MALFORMED;
    reader = reader_of(data, total_bytes);
    read_le64(&reader);

    for (;;) {
        uint32_t type = read_le32(&reader);
        uint32_t size_bytes = read_le32(&reader);
        if (type == TAG_END && !reader.failed)
            break;
        uint32_t body_bytes = size_bytes - MULTIBOOT2_TAG_HEADER_BYTES;
        if (size_bytes < MULTIBOOT2_TAG_HEADER_BYTES || reader_left(&reader) < body_bytes) {
            reject(info); /* from here on nothing is where it should be */
            break;
        }
        struct reader tag = reader_of(reader_take(&reader, body_bytes), body_bytes);
        read_tag(info, &raw, type, &tag);
        size_t padding = -(size_t)body_bytes % MULTIBOOT2_TAG_ALIGN;
        reader_take(&reader, MIN_OF(padding, reader_left(&reader)));
    }
    return finish(info, &raw);
}

/* ---- PVH ------------------------------------------------------------------------------------- */

struct pvh {
    boot_physical *physical;
    void *context;
};

static void pvh_text(struct boot_info *info, const struct pvh *pvh, uint64_t address, char *out,
                     size_t size)
{
    size_t length = 0;
    for (; address != 0; address++) {
        const uint8_t *byte = pvh->physical(address, 1, pvh->context);
        if (!byte) {
            reject(info);
            break;
        }
        if (!put_letter(info, out, size, &length, *byte))
            break;
    }
    out[length] = '\0';
}

/* The table at an address, or an empty one; no more than max entries, a longer one is cut. */
static struct reader pvh_table(struct boot_info *info, const struct pvh *pvh, uint64_t address,
                               uint32_t count, uint32_t max, size_t entry_bytes)
{
    if (count > max) {
        reject(info);
        count = max;
    }
    if (count == 0)
        return reader_of("", 0);
    const void *table = pvh->physical(address, count * entry_bytes, pvh->context);
    if (!table) {
        reject(info);
        return reader_of("", 0);
    }
    return reader_of(table, count * entry_bytes);
}

enum error boot_info_from_pvh(struct boot_info *info, uint64_t start_info_address,
                              boot_physical *physical, void *context)
{
    struct pvh pvh = { physical, context };
    struct raw_memory raw = { .count = 0 };

    memset(info, 0, sizeof(*info));
    info->protocol = BOOT_PVH;
    const void *start = physical(start_info_address, PVH_START_BYTES, context);
    if (!start)
        return ERROR_BAD_VALUE;
    struct reader reader = reader_of(start, PVH_START_BYTES);
    if (read_le32(&reader) != PVH_MAGIC)
        return ERROR_MALFORMED;
    uint32_t version = read_le32(&reader);
    read_le32(&reader); /* flags of Xen */
    uint32_t module_count = read_le32(&reader);
    uint64_t modules_address = read_le64(&reader);
    pvh_text(info, &pvh, read_le64(&reader), info->command_line, sizeof(info->command_line));
    info->rsdp_address = read_le64(&reader);

    /* Version 0 knows no memory map; nobody who loads us speaks it. */
    if (version == 0)
        return ERROR_UNSUPPORTED;
    start = physical(start_info_address, PVH_START_BYTES_WITH_MEMORY, context);
    if (!start)
        return ERROR_BAD_VALUE;
    reader = reader_of(start, PVH_START_BYTES_WITH_MEMORY);
    reader_take(&reader, PVH_START_BYTES);
    uint64_t memory_address = read_le64(&reader);
    uint32_t memory_count = read_le32(&reader);

    struct reader table = pvh_table(info, &pvh, memory_address, memory_count, BOOT_MEMORY_MAX,
                                    PVH_MEMORY_ENTRY_BYTES);
    while (reader_left(&table) > 0) {
        uint64_t base = read_le64(&table);
        uint64_t length_bytes = read_le64(&table);
        add_memory(info, &raw, base, length_bytes, memory_kind(read_le32(&table)));
        read_le32(&table);
    }

    table = pvh_table(info, &pvh, modules_address, module_count, BOOT_MODULE_MAX, PVH_MODULE_BYTES);
    while (reader_left(&table) > 0) {
        struct boot_module module = { 0 };
        char command_line[BOOT_COMMAND_LINE_MAX];
        module.address = read_le64(&table);
        module.size_bytes = read_le64(&table);
        pvh_text(info, &pvh, read_le64(&table), command_line, sizeof(command_line));
        read_le64(&table);
        name_module(info, &module, command_line);
        add_module(info, &module);
    }
    return finish(info, &raw);
}

/* ---- Command line ---------------------------------------------------------------------------- */

/* Is the word `name`, or does it begin with `name=`? Then where its value begins; else NULL. */
static const char *value_of(const char *word, size_t length, const char *name)
{
    size_t name_length = strlen(name);
    if (length < name_length || strncmp(word, name, name_length) != 0)
        return NULL;
    if (length == name_length)
        return word + length;
    return word[name_length] == '=' ? word + name_length + 1 : NULL;
}

bool boot_option(const struct boot_info *info, const char *name, char *out, size_t size)
{
    const char *at = info->command_line;
    const char *word;

    for (size_t length; (length = next_word(&at, &word)) > 0;) {
        const char *value = value_of(word, length, name);
        if (!value)
            continue;
        size_t value_length = MIN_OF((size_t)(word + length - value), size - 1);
        memcpy(out, value, value_length);
        out[value_length] = '\0';
        return true;
    }
    return false;
}

bool boot_option_is(const struct boot_info *info, const char *name, const char *wanted)
{
    const char *at = info->command_line;
    const char *word;

    for (size_t length; (length = next_word(&at, &word)) > 0;) {
        const char *value = value_of(word, length, name);
        size_t value_length = value ? (size_t)(word + length - value) : 0;
        if (value && value_length == strlen(wanted) && strncmp(value, wanted, value_length) == 0)
            return true;
    }
    return false;
}
