#include "kernel/symbols.h"

#include "boot/entry.h"

extern const uint32_t symbol_count;
extern const uint32_t symbol_addresses[]; /* from image_start, ascending */
extern const uint32_t symbol_names[];     /* offsets in symbol_text */
extern const char symbol_text[];

const char *symbol_find(uint64_t address, uint64_t *offset)
{
    uint64_t start = (uint64_t)image_start;
    if (address < start || address >= (uint64_t)text_end || symbol_count == 0)
        return NULL;

    uint64_t wanted = address - start;
    unsigned low = 0, high = symbol_count; /* the last one not above `wanted` is in [low, high) */
    if (wanted < symbol_addresses[0])
        return NULL;
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;
        if (symbol_addresses[middle] <= wanted)
            low = middle;
        else
            high = middle;
    }
    *offset = wanted - symbol_addresses[low];
    return symbol_text + symbol_names[low];
}
