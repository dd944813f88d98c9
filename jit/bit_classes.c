/* All values are one class at first; each rule splits those of which it matches a part. */
#include "jit/bit_classes.h"

#include <string.h>

#include "kernel/platform.h"

bool bit_classes_fit(const struct rule_list *list, unsigned field)
{
    const uint32_t mask = list->masks[field];

    return mask == 0 || (__builtin_popcount(mask) <= BIT_CLASSES_BITS_MAX &&
                         mask >> __builtin_ctz(mask) < 1u << BIT_CLASSES_SPAN_MAX);
}

/* All values under the mask, from 0 up: the next one carries over the holes; 0 after the last. */
static uint32_t next_value(uint32_t value, uint32_t mask)
{
    return (value - mask) & mask;
}

/* The class of what matches, or of what does not, of each old class: its number + 1, or 0. */
struct halves {
    uint32_t of[2][1 << BIT_CLASSES_BITS_MAX];
};

static void split(struct bit_classes *classes, const struct jit_range *range, struct halves *halves)
{
    const unsigned old_count = classes->count;
    uint32_t value = 0;

    memset(halves->of[0], 0, old_count * sizeof(halves->of[0][0]));
    memset(halves->of[1], 0, old_count * sizeof(halves->of[1][0]));
    classes->count = 0;
    do {
        uint32_t *of = &classes->class_of[value >> classes->shift];
        uint32_t *half = &halves->of[(value & range->last) == range->first][*of];
        if (*half == 0) {
            classes->value_of[classes->count] = value;
            *half = ++classes->count;
        }
        *of = *half - 1;
        value = next_value(value, classes->mask);
    } while (value != 0);
}

static void split_all(struct bit_classes *classes, const struct rule_list *list,
                      struct halves *halves, struct pace *pace)
{
    const unsigned value_count = 1u << __builtin_popcount(classes->mask);
    struct jit_range seen[64] = { { 0, 0 } }; /* the last one that fell there; others come again */

    for (unsigned i = 0; i < list->count && classes->count < value_count; i++) {
        const struct jit_range *range = &list->rules[i].fields[classes->field];
        struct jit_range *place = &seen[(range->first * 31 + range->last * 7) % ARRAY_COUNT(seen)];
        if (range->last == 0 || (range->first == place->first && range->last == place->last))
            continue;
        *place = *range;
        split(classes, range, halves);
        pace_steps(pace, value_count / 8);
    }
}

enum error bit_classes_make(const struct rule_list *list, unsigned field, struct pace *pace,
                            struct bit_classes *classes)
{
    const uint32_t mask = list->masks[field];
    struct bit_classes made = { .field = field, .mask = mask, .count = 1 };
    struct halves *halves = memory_alloc_uncleared(sizeof(*halves), 0, MEMORY_CODE);

    CHECK(mask != 0);
    made.shift = (unsigned)__builtin_ctz(mask);
    made.index_count = (mask >> made.shift) + 1;
    made.class_of = memory_alloc(made.index_count * sizeof(uint32_t), 0, MEMORY_CODE);
    made.value_of = memory_alloc(sizeof(uint32_t) << __builtin_popcount(mask), 0, MEMORY_CODE);
    if (halves == NULL || made.class_of == NULL || made.value_of == NULL) {
        memory_free(halves);
        bit_classes_free(&made);
        return fail(ERROR_NO_MEMORY);
    }
    split_all(&made, list, halves, pace);
    memory_free(halves);
    *classes = made;
    return OK;
}

void bit_classes_free(struct bit_classes *classes)
{
    memory_free(classes->class_of);
    memory_free(classes->value_of);
}
