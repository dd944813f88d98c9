/* What the loader told us, whichever loader it was: filled by boot/boot_info.c from a multiboot2
 * information structure or a PVH hvm_start_info. Every address, size and count in those is checked
 * before it is followed; what does not fit or contradicts itself is left out and counted in
 * `rejected`, so a strange loader costs a feature and not the boot.
 *
 * Sources: Multiboot2 Specification 2.0, section 3.6; Xen public/arch-x86/hvm/start_info.h. */
#pragma once

#include "kernel/base/types.h"

enum {
    BOOT_MEMORY_MAX = 128, /* areas; UEFI firmware with much fragmentation has about 100 */
    BOOT_MODULE_MAX = 16,
    BOOT_COMMAND_LINE_MAX = 1024, /* bytes with the final 0; the rest is cut and said so */
    BOOT_MODULE_NAME_MAX = 64,
};

enum boot_protocol { BOOT_MULTIBOOT2, BOOT_PVH };

enum boot_memory_kind {
    BOOT_MEMORY_RAM, /* ours to use */
    BOOT_MEMORY_RESERVED,
    BOOT_MEMORY_ACPI, /* tables, reclaimable; we leave them alone */
    BOOT_MEMORY_ACPI_NVS,
    BOOT_MEMORY_BAD,
};

struct boot_memory {
    uint64_t base;
    uint64_t length_bytes;
    enum boot_memory_kind kind;
};

struct boot_module {
    uint64_t address; /* physical */
    uint64_t size_bytes;
    char name[BOOT_MODULE_NAME_MAX]; /* the first word of its command line, less folders; may be ""
                                      */
};

struct boot_framebuffer {
    bool present;
    bool text; /* 80x25 VGA text cells, not pixels */
    uint64_t address;
    uint32_t pitch_bytes;
    uint32_t width;                             /* pixels, or columns */
    uint32_t height;                            /* pixels, or rows */
    uint8_t bits_per_pixel;                     /* 24 or 32 */
    uint8_t red_shift, green_shift, blue_shift; /* 8 bits each */
};

struct boot_info {
    enum boot_protocol protocol;
    char loader[32];
    char command_line[BOOT_COMMAND_LINE_MAX];
    unsigned memory_count;
    struct boot_memory memory[BOOT_MEMORY_MAX]; /* sorted by base, not overlapping */
    unsigned module_count;
    struct boot_module modules[BOOT_MODULE_MAX];
    struct boot_framebuffer framebuffer;
    uint64_t rsdp_address; /* physical; 0: look for it where ACPI 6.5, 5.2.5.1 says */
    uint8_t rsdp[36];      /* the copy that multiboot2 hands over; all 0 where there is none */
    unsigned rejected;     /* things the loader said that were not believed */
    uint64_t first_cycles; /* TSC at the kernel's first instruction */
};

/* Reads a structure of length_bytes at `data`; `physical(address, size)` gives readable bytes for a
 * physical range that the structure points to, or NULL where it is not RAM we can see. */
typedef const void *boot_physical(uint64_t address, uint64_t size_bytes, void *context);
enum error boot_info_from_multiboot2(struct boot_info *info, const void *data,
                                     size_t length_bytes) MUST_CHECK;
enum error boot_info_from_pvh(struct boot_info *info, uint64_t start_info_address,
                              boot_physical *physical, void *context) MUST_CHECK;

/* The value of `name=value` in the command line, copied to out (cut at size); false where the word
 * is not there. A bare word `name` gives "". */
bool boot_option(const struct boot_info *info, const char *name, char *out, size_t size);

/* Is the word `name=value` there? For names that may be given several times. */
bool boot_option_is(const struct boot_info *info, const char *name, const char *value);
