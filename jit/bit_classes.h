/* Values of a field of bits that no rule tells apart are one class; so a group of rules needs no
 * more than a row for each class, and one table for all groups leads from values to classes. */
#pragma once

#include "jit/pace.h"
#include "jit/rule_list.h"

enum {
    /* A bit of the field is one of the number that chooses the class: so many between the lowest
     * and the highest that any rule looks at, and so many of these it may look at. */
    BIT_CLASSES_SPAN_MAX = 16,
    BIT_CLASSES_BITS_MAX = 10,
};

struct bit_classes {
    unsigned field;
    uint32_t mask; /* the bits that any rule looks at */
    unsigned shift;
    unsigned index_count; /* the number of x is (x & mask) >> shift, below this */
    unsigned count;
    uint32_t *class_of; /* of each number; of those that no value has: 0 */
    uint32_t *value_of; /* one that is in the class */
};

/* The bits that any rule looks at are few enough, and near enough to each other. */
bool bit_classes_fit(const struct rule_list *list, unsigned field);

/* Of a field that fits and of which some rule asks something. ERROR_NO_MEMORY. */
enum error bit_classes_make(const struct rule_list *list, unsigned field, struct pace *pace,
                            struct bit_classes *classes) MUST_CHECK;
void bit_classes_free(struct bit_classes *classes); /* one of zeros is allowed */
