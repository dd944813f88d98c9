/* Goal: what loaders say is read right, and what contradicts itself is left out and counted.
 * Method: multiboot2 structures and PVH memory laid down field by field. */
#include "boot/boot_info.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "tests/unit/test.h"

enum { MIB = 1 << 20, AREA_BYTES = 8192 };

static struct boot_info info;

/* ---- Multiboot2 ---------------------------------------------------------------------------------
 */

static uint8_t area[AREA_BYTES];
static size_t used;

static void put32(uint32_t value)
{
    store_le32(area + used, value);
    used += 4;
}

static void put64(uint64_t value)
{
    put32((uint32_t)value);
    put32((uint32_t)(value >> 32));
}

static void begin(void)
{
    memset(area, 0, sizeof(area));
    used = 8;
}

static size_t tag_begin(uint32_t type)
{
    size_t start = used;
    put32(type);
    put32(0);
    return start;
}

static void tag_end(size_t start)
{
    store_le32(area + start + 4, (uint32_t)(used - start));
    used = (used + 7) / 8 * 8;
}

static void put_text_tag(uint32_t type, const char *text)
{
    size_t start = tag_begin(type);
    memcpy(area + used, text, strlen(text) + 1);
    used += strlen(text) + 1;
    tag_end(start);
}

static void put_module(uint32_t from, uint32_t to, const char *name)
{
    size_t start = tag_begin(3);
    put32(from);
    put32(to);
    memcpy(area + used, name, strlen(name) + 1);
    used += strlen(name) + 1;
    tag_end(start);
}

struct entry {
    uint64_t base, length;
    uint32_t type;
};

static void put_map(const struct entry *entries, unsigned count)
{
    size_t start = tag_begin(6);
    put32(24);
    put32(0);
    for (unsigned i = 0; i < count; i++) {
        put64(entries[i].base);
        put64(entries[i].length);
        put32(entries[i].type);
        put32(0);
    }
    tag_end(start);
}

static void put_ram(void)
{
    put_map((struct entry[]){ { MIB, 63 * MIB, 1 } }, 1);
}

static enum error finish(void)
{
    tag_end(tag_begin(0));
    store_le32(area, (uint32_t)used);
    return boot_info_from_multiboot2(&info, area, used);
}

static void expect_memory(unsigned i, uint64_t base, uint64_t end, enum boot_memory_kind kind)
{
    EXPECT(i < info.memory_count);
    EXPECT_EQUAL(info.memory[i].base, base);
    EXPECT_EQUAL(info.memory[i].base + info.memory[i].length_bytes, end);
    EXPECT_EQUAL(info.memory[i].kind, kind);
}

TEST(boot_multiboot2_gives_texts_modules_memory_and_rsdp)
{
    begin();
    put_text_tag(1, "console=com1 test");
    put_text_tag(2, "GRUB 2.06");
    put_module(2 * MIB, 2 * MIB + 100, "config");
    put_ram();
    size_t start = tag_begin(14);
    memcpy(area + used, "RSD PTR old.........", 20);
    used += 20;
    tag_end(start);
    start = tag_begin(15);
    memcpy(area + used, "RSD PTR new.........................", 36);
    used += 36;
    tag_end(start);
    EXPECT_EQUAL(finish(), OK);

    EXPECT_EQUAL(info.protocol, BOOT_MULTIBOOT2);
    EXPECT_TEXT(info.command_line, "console=com1 test");
    EXPECT_TEXT(info.loader, "GRUB 2.06");
    EXPECT_EQUAL(info.module_count, 1);
    EXPECT_EQUAL(info.modules[0].address, 2 * MIB);
    EXPECT_EQUAL(info.modules[0].size_bytes, 100);
    EXPECT_TEXT(info.modules[0].name, "config");
    EXPECT_EQUAL(info.memory_count, 1);
    expect_memory(0, MIB, 64 * MIB, BOOT_MEMORY_RAM);
    EXPECT(memcmp(info.rsdp, "RSD PTR new.", 12) == 0);
    EXPECT_EQUAL(info.rejected, 0);
}

TEST(boot_memory_is_sorted_and_reserved_beats_ram)
{
    const struct entry entries[] = {
        { 8 * MIB, 8 * MIB, 1 }, { 0, 10 * MIB, 1 },   { 4 * MIB, MIB, 2 },
        { 9 * MIB, 2 * MIB, 3 }, { 20 * MIB, MIB, 4 }, { 21 * MIB, MIB, 5 },
        { 22 * MIB, MIB, 77 },   { 30 * MIB, 0, 1 },   { UINT64_MAX - 5, 7, 1 },
    };
    begin();
    put_map(entries, ARRAY_COUNT(entries));
    EXPECT_EQUAL(finish(), OK);
    EXPECT_EQUAL(info.memory_count, 8);
    expect_memory(0, 0, 4 * MIB, BOOT_MEMORY_RAM);
    expect_memory(1, 4 * MIB, 5 * MIB, BOOT_MEMORY_RESERVED);
    expect_memory(2, 5 * MIB, 9 * MIB, BOOT_MEMORY_RAM);
    expect_memory(3, 9 * MIB, 11 * MIB, BOOT_MEMORY_ACPI);
    expect_memory(4, 11 * MIB, 16 * MIB, BOOT_MEMORY_RAM);
    expect_memory(5, 20 * MIB, 21 * MIB, BOOT_MEMORY_ACPI_NVS);
    expect_memory(6, 21 * MIB, 22 * MIB, BOOT_MEMORY_BAD);
    expect_memory(7, 22 * MIB, 23 * MIB, BOOT_MEMORY_RESERVED);
    EXPECT(info.rejected >= 3); /* the wrap, and two contradictions */
}

TEST(boot_memory_beyond_the_table_is_counted)
{
    static struct entry entries[BOOT_MEMORY_MAX + 3];
    for (unsigned i = 0; i < ARRAY_COUNT(entries); i++)
        entries[i] = (struct entry){ i * 2ull * MIB, MIB, 1 };
    begin();
    put_map(entries, ARRAY_COUNT(entries));
    EXPECT_EQUAL(finish(), OK);
    EXPECT_EQUAL(info.memory_count, BOOT_MEMORY_MAX);
    EXPECT_EQUAL(info.rejected, 3);
}

/* Each of 128 areas cut in two by one large reserved area with holes would need more than the table
 * has. */
TEST(boot_memory_that_falls_into_too_many_parts_is_cut)
{
    static struct entry entries[BOOT_MEMORY_MAX];
    entries[0] = (struct entry){ 0, 1024ull * MIB, 1 };
    for (unsigned i = 1; i < ARRAY_COUNT(entries); i++)
        entries[i] = (struct entry){ i * 4ull * MIB, MIB, 2 };
    begin();
    put_map(entries, ARRAY_COUNT(entries));
    EXPECT_EQUAL(finish(), OK);
    EXPECT_EQUAL(info.memory_count, BOOT_MEMORY_MAX);
    EXPECT_EQUAL(info.rejected, 127 + 255 - BOOT_MEMORY_MAX);
}

TEST(boot_without_a_memory_map_uses_the_basic_figure)
{
    begin();
    size_t start = tag_begin(4);
    put32(640);
    put32(31 * 1024);
    tag_end(start);
    EXPECT_EQUAL(finish(), OK);
    expect_memory(0, MIB, 32 * MIB, BOOT_MEMORY_RAM);

    put_ram();
    begin();
    put_text_tag(1, "nothing else");
    EXPECT_EQUAL(finish(), ERROR_NOT_FOUND);
}

TEST(boot_modules_must_lie_in_ram)
{
    begin();
    put_ram();
    put_module(63 * MIB, 65 * MIB, "over-the-end");
    put_module(65 * MIB, 66 * MIB, "behind");
    put_module(3 * MIB, 2 * MIB, "backwards");
    put_module(3 * MIB, 3 * MIB, "empty");
    put_module(63 * MIB, 64 * MIB, "good");
    size_t start = tag_begin(3);
    put32(1);
    tag_end(start);
    EXPECT_EQUAL(finish(), OK);
    EXPECT_EQUAL(info.module_count, 1);
    EXPECT_TEXT(info.modules[0].name, "good");
    EXPECT_EQUAL(info.rejected, 5);
}

TEST(boot_modules_are_named_by_the_first_word_of_their_command_line)
{
    static const struct {
        const char *command_line, *name;
    } cases[] = {
        { "routes.txt", "routes.txt" },
        { "/boot/routes.txt more words /x", "routes.txt" },
        { "  (hd0,gpt1)/a//b/routes  ", "routes" },
        { "routes/ other", "" },
        { "/", "" },
        { "   ", "" },
        { "", "" },
        { "a\tb\xff c", "a?b?" },
        { "../..", ".." },
    };
    begin();
    put_ram();
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        put_module(2 * MIB, 3 * MIB, cases[i].command_line);
    EXPECT_EQUAL(finish(), OK);
    EXPECT_EQUAL(info.module_count, ARRAY_COUNT(cases));
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        EXPECT_TEXT(info.modules[i].name, cases[i].name);
    EXPECT_EQUAL(info.rejected, 0);
}

TEST(boot_modules_may_lie_in_deep_folders_but_have_no_half_name)
{
    char command_line[300];
    memset(command_line, 'a', sizeof(command_line));
    command_line[sizeof(command_line) - 1] = '\0';
    command_line[200] = '/';
    command_line[201 + BOOT_MODULE_NAME_MAX - 1] = '\0';
    begin();
    put_ram();
    put_module(2 * MIB, 3 * MIB, command_line);
    command_line[201 + BOOT_MODULE_NAME_MAX - 1] = 'a';
    put_module(3 * MIB, 4 * MIB, command_line);
    EXPECT_EQUAL(finish(), OK);
    EXPECT_EQUAL(info.module_count, 2);
    EXPECT_EQUAL(strlen(info.modules[0].name), BOOT_MODULE_NAME_MAX - 1);
    EXPECT_TEXT(info.modules[1].name, "");
    EXPECT_EQUAL(info.rejected, 1);
}

TEST(boot_modules_beyond_the_table_are_counted)
{
    begin();
    put_ram();
    for (unsigned i = 0; i < BOOT_MODULE_MAX + 2; i++)
        put_module(2 * MIB, 3 * MIB, "m");
    EXPECT_EQUAL(finish(), OK);
    EXPECT_EQUAL(info.module_count, BOOT_MODULE_MAX);
    EXPECT_EQUAL(info.rejected, 2);
}

TEST(boot_texts_are_cut_and_cleaned)
{
    char longest[BOOT_COMMAND_LINE_MAX + 10];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    longest[1] = '\033';
    begin();
    put_ram();
    put_text_tag(1, longest);
    EXPECT_EQUAL(finish(), OK);
    EXPECT_EQUAL(strlen(info.command_line), BOOT_COMMAND_LINE_MAX - 1);
    EXPECT(info.command_line[1] == '?');
    EXPECT_EQUAL(info.rejected, 1);

    /* A text without its final 0 ends with its tag. */
    begin();
    put_ram();
    size_t start = tag_begin(1);
    memcpy(area + used, "abc", 3);
    used += 3;
    tag_end(start);
    EXPECT_EQUAL(finish(), OK);
    EXPECT_TEXT(info.command_line, "abc");
}

TEST(boot_bad_tags_end_the_reading_but_keep_what_came_before)
{
    static const uint32_t sizes[] = { 0, 7, 0x10000, UINT32_MAX };
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        begin();
        put_ram();
        put32(1);
        put32(sizes[i]);
        put64(0);
        EXPECT_EQUAL(finish(), OK);
        EXPECT_EQUAL(info.memory_count, 1);
        EXPECT_EQUAL(info.rejected, 1);
    }
    /* No end tag at all. */
    begin();
    put_ram();
    store_le32(area, (uint32_t)used);
    EXPECT_EQUAL(boot_info_from_multiboot2(&info, area, used), OK);
    EXPECT_EQUAL(info.rejected, 1);
}

TEST(boot_total_size_is_checked)
{
    begin();
    put_ram();
    EXPECT_EQUAL(finish(), OK);
    EXPECT_EQUAL(boot_info_from_multiboot2(&info, area, used - 1), ERROR_MALFORMED);
    EXPECT_EQUAL(boot_info_from_multiboot2(&info, area, 3), ERROR_MALFORMED);
    store_le32(area, 7);
    EXPECT_EQUAL(boot_info_from_multiboot2(&info, area, used), ERROR_MALFORMED);
}

TEST(boot_memory_map_entries_may_grow_and_must_not_shrink)
{
    begin();
    size_t start = tag_begin(6);
    put32(32);
    put32(0);
    put64(MIB);
    put64(MIB);
    put64(1);
    put64(0x5555); /* a later version's */
    put32(0);      /* half an entry */
    tag_end(start);
    EXPECT_EQUAL(finish(), OK);
    expect_memory(0, MIB, 2 * MIB, BOOT_MEMORY_RAM);
    EXPECT_EQUAL(info.rejected, 1);

    begin();
    put_ram();
    start = tag_begin(6);
    put32(20);
    put32(0);
    tag_end(start);
    EXPECT_EQUAL(finish(), ERROR_NOT_FOUND); /* the last map counts */
    EXPECT_EQUAL(info.rejected, 1);
}

struct screen {
    uint64_t address;
    uint32_t pitch, width, height;
    uint8_t bits, kind;
    uint8_t colors[6]; /* position and size of red, green, blue */
};

static void put_screen(const struct screen *screen)
{
    size_t start = tag_begin(8);
    put64(screen->address);
    put32(screen->pitch);
    put32(screen->width);
    put32(screen->height);
    area[used++] = screen->bits;
    area[used++] = screen->kind;
    used += 2;
    memcpy(area + used, screen->colors, 6);
    used += 6;
    tag_end(start);
}

TEST(boot_screens_are_taken_when_they_fit)
{
    const struct screen good = { 0x80000000, 4096, 1024, 768, 32, 1, { 16, 8, 8, 8, 0, 8 } };
    const struct screen text = { 0xb8000, 160, 80, 25, 16, 2, { 0 } };

    begin();
    put_ram();
    put_screen(&good);
    EXPECT_EQUAL(finish(), OK);
    EXPECT(info.framebuffer.present && !info.framebuffer.text);
    EXPECT_EQUAL(info.framebuffer.width, 1024);
    EXPECT_EQUAL(info.framebuffer.red_shift, 16);
    EXPECT_EQUAL(info.framebuffer.blue_shift, 0);

    begin();
    put_ram();
    put_screen(&text);
    EXPECT_EQUAL(finish(), OK);
    EXPECT(info.framebuffer.present && info.framebuffer.text);
}

TEST(boot_screen_with_a_palette_is_none)
{
    const struct screen palette = { 0xa0000, 80, 640, 480, 1, 0, { 0 } };

    begin();
    put_ram();
    put_screen(&palette);
    EXPECT_EQUAL(finish(), OK);
    EXPECT(!info.framebuffer.present);
    EXPECT_EQUAL(info.rejected, 0);
}

TEST(boot_screens_that_do_not_fit_are_refused)
{
    const struct screen bad[] = {
        { 0, 4096, 1024, 768, 32, 1, { 16, 8, 8, 8, 0, 8 } },              /* nowhere */
        { 1 << 30, 4095, 1024, 768, 32, 1, { 16, 8, 8, 8, 0, 8 } },        /* rows overlap */
        { 1 << 30, 4096, 0, 768, 32, 1, { 16, 8, 8, 8, 0, 8 } },           /* no width */
        { 1 << 30, 4096, 1024, 0, 32, 1, { 16, 8, 8, 8, 0, 8 } },          /* no height */
        { 1 << 30, UINT32_MAX, 16385, 768, 32, 1, { 16, 8, 8, 8, 0, 8 } }, /* too wide */
        { UINT64_MAX - 9, 4096, 1024, 768, 32, 1, { 16, 8, 8, 8, 0, 8 } }, /* wraps */
        { 1 << 30, 4096, 1024, 768, 32, 1, { 25, 8, 8, 8, 0, 8 } },        /* color outside */
        { 1 << 30, 4096, 1024, 768, 32, 1, { 16, 5, 8, 8, 0, 8 } },        /* 5 bits of red */
        { 1 << 30, 4096, 1024, 768, 16, 1, { 0, 8, 8, 8, 0, 8 } },         /* 16 bits */
        { 0xb8000, 160, 80, 25, 8, 2, { 0 } },                             /* odd text */
    };
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        begin();
        put_ram();
        put_screen(&bad[i]);
        EXPECT_EQUAL(finish(), OK);
        EXPECT(!info.framebuffer.present);
        EXPECT_EQUAL(info.rejected, 1);
    }
}

TEST(boot_short_tags_are_refused)
{
    static const uint32_t types[] = { 8, 14, 15 };
    for (unsigned i = 0; i < ARRAY_COUNT(types); i++) {
        begin();
        put_ram();
        size_t start = tag_begin(types[i]);
        put32(1);
        tag_end(start);
        EXPECT_EQUAL(finish(), OK);
        EXPECT_EQUAL(info.rejected, 1);
    }
}

/* ---- PVH ----------------------------------------------------------------------------------------
 */

enum { START = 0x1000, MAP = 0x1100, MODULES = 0x1800, LINE = 0x2000, VISIBLE_END = 0x3000 };

static const void *visible(uint64_t address, uint64_t size_bytes, void *context)
{
    (void)context;
    if (address < START || address > VISIBLE_END || size_bytes > VISIBLE_END - address)
        return NULL;
    return area + (address - START);
}

static void pvh_at(uint64_t address)
{
    used = address - START;
}

static void pvh_start(uint32_t version, uint32_t modules, uint64_t modules_at, uint64_t line_at,
                      uint64_t map_at, uint32_t map_count)
{
    memset(area, 0, sizeof(area));
    pvh_at(START);
    put32(0x336ec578);
    put32(version);
    put32(0);
    put32(modules);
    put64(modules_at);
    put64(line_at);
    put64(0xf5a90);
    put64(map_at);
    put32(map_count);
    pvh_at(MAP);
    put64(MIB);
    put64(63 * MIB);
    put64(1);
    pvh_at(LINE);
    memcpy(area + used, "test cores=2", 13);
}

static void pvh_module(uint64_t address, uint64_t size_bytes, uint64_t name)
{
    put64(address);
    put64(size_bytes);
    put64(name);
    put64(0);
}

static enum error pvh_finish(void)
{
    return boot_info_from_pvh(&info, START, visible, NULL);
}

TEST(boot_pvh_gives_text_modules_memory_and_rsdp)
{
    pvh_start(1, 1, MODULES, LINE, MAP, 1);
    pvh_at(MODULES);
    pvh_module(32 * MIB, 77, LINE);
    EXPECT_EQUAL(pvh_finish(), OK);
    EXPECT_EQUAL(info.protocol, BOOT_PVH);
    EXPECT_TEXT(info.command_line, "test cores=2");
    EXPECT_EQUAL(info.rsdp_address, 0xf5a90);
    expect_memory(0, MIB, 64 * MIB, BOOT_MEMORY_RAM);
    EXPECT_EQUAL(info.module_count, 1);
    EXPECT_EQUAL(info.modules[0].size_bytes, 77);
    EXPECT_TEXT(info.modules[0].name, "test");
    EXPECT_EQUAL(info.rejected, 0);
}

TEST(boot_pvh_addresses_are_checked_before_they_are_followed)
{
    pvh_start(1, 1, VISIBLE_END - 16, LINE, MAP, 1);
    EXPECT_EQUAL(pvh_finish(), OK);
    EXPECT_EQUAL(info.module_count, 0);
    EXPECT_EQUAL(info.rejected, 1);

    pvh_start(1, 0, 0, 0xfffffffffffffff0, MAP, 1);
    EXPECT_EQUAL(pvh_finish(), OK);
    EXPECT_TEXT(info.command_line, "");
    EXPECT_EQUAL(info.rejected, 1);

    pvh_start(1, 0, 0, LINE, UINT64_MAX - 8, 1);
    EXPECT_EQUAL(pvh_finish(), ERROR_NOT_FOUND);

    /* A module whose end wraps round, and a text that runs to the end of what can be seen. */
    pvh_start(1, 1, MODULES, VISIBLE_END - 4, MAP, 1);
    memset(area + (VISIBLE_END - START - 4), 'a', 4);
    pvh_at(MODULES);
    pvh_module(UINT64_MAX - 5, 77, 0);
    EXPECT_EQUAL(pvh_finish(), OK);
    EXPECT_TEXT(info.command_line, "aaaa");
    EXPECT_EQUAL(info.module_count, 0);
    EXPECT_EQUAL(info.rejected, 2);
}

TEST(boot_pvh_counts_are_bounded)
{
    pvh_start(1, UINT32_MAX, MODULES, 0, MAP, 1);
    EXPECT_EQUAL(pvh_finish(), OK);
    EXPECT_EQUAL(info.module_count, 0); /* all empty */
    EXPECT_EQUAL(info.rejected, 1 + BOOT_MODULE_MAX);

    pvh_start(1, 0, 0, 0, MAP, UINT32_MAX);
    EXPECT_EQUAL(pvh_finish(), OK);
    EXPECT_EQUAL(info.rejected, 1);
}

TEST(boot_pvh_needs_magic_version_and_whole_structure)
{
    EXPECT_EQUAL(boot_info_from_pvh(&info, 8, visible, NULL), ERROR_BAD_VALUE);
    pvh_start(0, 0, 0, 0, MAP, 1);
    EXPECT_EQUAL(pvh_finish(), ERROR_UNSUPPORTED);
    pvh_start(1, 0, 0, 0, MAP, 1);
    area[0] ^= 1;
    EXPECT_EQUAL(pvh_finish(), ERROR_MALFORMED);

    pvh_start(1, 0, 0, 0, MAP, 1);
    memcpy(area + (VISIBLE_END - START - 40), area, 40);
    EXPECT_EQUAL(boot_info_from_pvh(&info, VISIBLE_END - 40, visible, NULL), ERROR_BAD_VALUE);
}

/* ---- Command line -------------------------------------------------------------------------------
 */

TEST(boot_options_are_whole_words)
{
    char value[8];
    strcpy(info.command_line, "  test cores=12 coresx=1 consoleless=a name=abcdefghij empty=");
    EXPECT(boot_option(&info, "test", value, sizeof(value)));
    EXPECT_TEXT(value, "");
    EXPECT(boot_option(&info, "cores", value, sizeof(value)));
    EXPECT_TEXT(value, "12");
    EXPECT(boot_option(&info, "name", value, sizeof(value)));
    EXPECT_TEXT(value, "abcdefg");
    EXPECT(boot_option(&info, "empty", value, sizeof(value)));
    EXPECT_TEXT(value, "");
    EXPECT(!boot_option(&info, "console", value, sizeof(value)));
    EXPECT(!boot_option(&info, "tes", value, sizeof(value)));
}

TEST(boot_options_may_be_given_several_times)
{
    strcpy(info.command_line, "console=com1 console=vga test");
    EXPECT(boot_option_is(&info, "console", "com1"));
    EXPECT(boot_option_is(&info, "console", "vga"));
    EXPECT(boot_option_is(&info, "test", ""));
    EXPECT(!boot_option_is(&info, "console", "com"));
    EXPECT(!boot_option_is(&info, "console", "vga1"));
    EXPECT(!boot_option_is(&info, "consol", "e=vga"));
}
