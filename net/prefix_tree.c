/* See prefix_tree.h. A node is there while it has a value or a child. */
#include "net/prefix_tree.h"

#include <string.h>

#include "kernel/base/pause.h"
#include "kernel/platform.h"

enum {
    BITS = 8,                             /* that a node divides */
    POSITIONS = 2 << BITS,                /* 2 to 511 are used */
    LEAVES = 1 << BITS,                   /* positions 256 to 511: where children hang */
    DEPTH_MAX = PREFIX_LENGTH_MAX / BITS, /* nodes on the way to the longest prefix */
    ADDRESS_BYTES = PREFIX_LENGTH_MAX / 8,
    WORD_BITS = 64,
    ROOM_FIRST = 4,
    NODES_PER_PAUSE = 256, /* freed in less than 500 us */
};

/* Which of `size` positions are taken, and how many are in the words before each. */
struct value_bits {
    uint64_t words[POSITIONS / WORD_BITS];
    uint16_t before[POSITIONS / WORD_BITS];
};

struct child_bits {
    uint64_t words[LEAVES / WORD_BITS];
    uint16_t before[LEAVES / WORD_BITS];
};

struct prefix_node {
    struct value_bits has_value; /* by position */
    struct child_bits has_child; /* by byte */
    uint16_t value_count, value_room;
    uint16_t child_count, child_room;
    uint32_t *values;
    struct prefix_node **children;
};

/* ---- Bits and ranks -----------------------------------------------------------------------------
 */

/* The baseline of x86-64 has no instruction for it. */
static unsigned count_bits(uint64_t word)
{
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (unsigned)(word * 0x0101010101010101 >> 56);
}

static bool has_bit(const uint64_t *words, unsigned at)
{
    return words[at / WORD_BITS] >> at % WORD_BITS & 1;
}

/* How many are taken before that one. */
static unsigned rank_of(const uint64_t *words, const uint16_t *before, unsigned at)
{
    uint64_t lower = words[at / WORD_BITS] & ((UINT64_C(1) << at % WORD_BITS) - 1);

    return before[at / WORD_BITS] + count_bits(lower);
}

static void flip_bit(uint64_t *words, uint16_t *before, unsigned word_count, unsigned at)
{
    uint64_t bit = UINT64_C(1) << at % WORD_BITS;
    int change = words[at / WORD_BITS] & bit ? -1 : 1;

    words[at / WORD_BITS] ^= bit;
    for (unsigned i = at / WORD_BITS + 1; i < word_count; i++)
        before[i] = (uint16_t)(before[i] + change);
}

static unsigned value_rank(const struct prefix_node *node, unsigned position)
{
    return rank_of(node->has_value.words, node->has_value.before, position);
}

static unsigned child_rank(const struct prefix_node *node, unsigned byte)
{
    return rank_of(node->has_child.words, node->has_child.before, byte);
}

static uint32_t value_at(const struct prefix_node *node, unsigned position)
{
    return has_bit(node->has_value.words, position) ? node->values[value_rank(node, position)] : 0;
}

static struct prefix_node *child_at(const struct prefix_node *node, unsigned byte)
{
    return has_bit(node->has_child.words, byte) ? node->children[child_rank(node, byte)] : NULL;
}

/* Which node on the way has prefixes of that length, and how many of their bits it divides. */
static unsigned depth_of(unsigned length)
{
    return (length - 1) / BITS;
}

static unsigned position_of(const uint8_t *address, unsigned length)
{
    unsigned bits = length - depth_of(length) * BITS;

    return 1u << bits | address[depth_of(length)] >> (BITS - bits);
}

/* ---- Nodes --------------------------------------------------------------------------------------
 */

/* Room for one more of `size` bytes in a packed array. */
static bool make_room(void **items, unsigned count, uint16_t *room, size_t size)
{
    if (count < *room)
        return true;
    unsigned more = *room > 0 ? *room * 2u : ROOM_FIRST;
    void *grown = memory_alloc(more * size, 0, MEMORY_ROUTE);
    if (!grown)
        return false;
    if (count > 0)
        memcpy(grown, *items, count * size);
    memory_free(*items);
    *items = grown;
    *room = (uint16_t)more;
    return true;
}

/* A value of 0. */
static bool add_value(struct prefix_node *node, unsigned position, unsigned rank)
{
    if (!make_room((void **)&node->values, node->value_count, &node->value_room,
                   sizeof(*node->values)))
        return false;
    uint32_t *at = &node->values[rank];
    memmove(at + 1, at, (node->value_count++ - rank) * sizeof(*at));
    *at = 0;
    flip_bit(node->has_value.words, node->has_value.before, POSITIONS / WORD_BITS, position);
    return true;
}

static void remove_value(struct prefix_node *node, unsigned position)
{
    uint32_t *at = &node->values[value_rank(node, position)];
    uint32_t *end = &node->values[node->value_count--];

    memmove(at, at + 1, (size_t)(end - at - 1) * sizeof(*at));
    flip_bit(node->has_value.words, node->has_value.before, POSITIONS / WORD_BITS, position);
}

/* A new child, or NULL. */
static struct prefix_node *add_child(struct prefix_node *node, unsigned byte)
{
    if (!make_room((void **)&node->children, node->child_count, &node->child_room,
                   sizeof(struct prefix_node *)))
        return NULL;
    struct prefix_node *child = memory_alloc(sizeof(*child), CACHE_LINE_BYTES, MEMORY_ROUTE);
    if (!child)
        return NULL;
    struct prefix_node **at = &node->children[child_rank(node, byte)];
    struct prefix_node **end = &node->children[node->child_count++];
    memmove(at + 1, at, (size_t)(end - at) * sizeof(*at));
    *at = child;
    flip_bit(node->has_child.words, node->has_child.before, LEAVES / WORD_BITS, byte);
    return child;
}

static void free_node(struct prefix_node *node)
{
    memory_free(node->values);
    memory_free(node->children);
    memory_free(node);
}

static void remove_child(struct prefix_node *node, unsigned byte)
{
    struct prefix_node **at = &node->children[child_rank(node, byte)];
    struct prefix_node **end = &node->children[node->child_count--];

    free_node(*at);
    memmove(at, at + 1, (size_t)(end - at - 1) * sizeof(struct prefix_node *));
    flip_bit(node->has_child.words, node->has_child.before, LEAVES / WORD_BITS, byte);
}

/* ---- Ways through the tree ----------------------------------------------------------------------
 */

/* The nodes from the root towards a prefix, as far as they are there. */
struct way {
    unsigned count;
    struct prefix_node *nodes[DEPTH_MAX];
};

static void find_way(const struct prefix_tree *tree, const uint8_t *address, unsigned length,
                     struct way *way)
{
    struct prefix_node *node = tree->root;

    way->count = 0;
    while (node) {
        way->nodes[way->count] = node;
        node = way->count < depth_of(length) ? child_at(node, address[way->count]) : NULL;
        way->count++;
    }
}

/* The node that has prefixes of that length, or NULL. */
static struct prefix_node *find_node(const struct prefix_tree *tree, const uint8_t *address,
                                     unsigned length)
{
    struct prefix_node *node = tree->root;

    for (unsigned depth = 0; node && depth < depth_of(length); depth++)
        node = child_at(node, address[depth]);
    return node;
}

/* Nodes at the end of the way that hold nothing go. */
static void prune(struct prefix_tree *tree, const uint8_t *address, struct way *way)
{
    while (way->count > 0) {
        struct prefix_node *last = way->nodes[--way->count];
        if (last->value_count > 0 || last->child_count > 0)
            return;
        if (way->count > 0) {
            remove_child(way->nodes[way->count - 1], address[way->count - 1]);
        } else {
            free_node(last);
            tree->root = NULL;
        }
    }
}

static bool extend_way(struct prefix_tree *tree, const uint8_t *address, unsigned length,
                       struct way *way)
{
    while (way->count <= depth_of(length)) {
        struct prefix_node *node;
        if (way->count > 0)
            node = add_child(way->nodes[way->count - 1], address[way->count - 1]);
        else
            node = tree->root = memory_alloc(sizeof(*node), CACHE_LINE_BYTES, MEMORY_ROUTE);
        if (!node)
            return false;
        way->nodes[way->count++] = node;
    }
    return true;
}

/* ---- One prefix ---------------------------------------------------------------------------------
 */

uint32_t prefix_tree_get(const struct prefix_tree *tree, const uint8_t *address, unsigned length)
{
    CHECK(length <= PREFIX_LENGTH_MAX);
    if (length == 0)
        return tree->root_value;
    const struct prefix_node *node = find_node(tree, address, length);
    return node ? value_at(node, position_of(address, length)) : 0;
}

enum error prefix_tree_place(struct prefix_tree *tree, const uint8_t *address, unsigned length,
                             uint32_t **value)
{
    struct way way;

    CHECK(length <= PREFIX_LENGTH_MAX);
    if (length == 0) {
        *value = &tree->root_value;
        return OK;
    }
    find_way(tree, address, length, &way);
    if (extend_way(tree, address, length, &way)) {
        struct prefix_node *node = way.nodes[way.count - 1];
        unsigned position = position_of(address, length);
        unsigned rank = value_rank(node, position);
        if (has_bit(node->has_value.words, position) || add_value(node, position, rank)) {
            *value = &node->values[rank];
            return OK;
        }
    }
    prune(tree, address, &way);
    return fail(ERROR_NO_MEMORY);
}

enum error prefix_tree_set(struct prefix_tree *tree, const uint8_t *address, unsigned length,
                           uint32_t value)
{
    uint32_t *place;
    enum error error = prefix_tree_place(tree, address, length, &place);

    CHECK(value != 0);
    if (error == OK)
        *place = value;
    return error;
}

void prefix_tree_remove(struct prefix_tree *tree, const uint8_t *address, unsigned length)
{
    struct way way;

    CHECK(length <= PREFIX_LENGTH_MAX);
    if (length == 0) {
        tree->root_value = 0;
        return;
    }
    find_way(tree, address, length, &way);
    if (way.count <= depth_of(length))
        return;
    struct prefix_node *node = way.nodes[way.count - 1];
    unsigned position = position_of(address, length);
    if (!has_bit(node->has_value.words, position))
        return;
    remove_value(node, position);
    prune(tree, address, &way);
}

uint32_t prefix_tree_cover(const struct prefix_tree *tree, const uint8_t *address, unsigned *length)
{
    struct way way;

    CHECK(*length <= PREFIX_LENGTH_MAX);
    if (*length > 0) {
        find_way(tree, address, *length, &way);
        for (unsigned i = way.count; i-- > 0;) {
            const struct prefix_node *node = way.nodes[i];
            unsigned bits = MIN_OF(*length - i * BITS, (unsigned)BITS);
            unsigned position = 1u << bits | address[i] >> (BITS - bits);
            for (; bits > 0; bits--, position >>= 1) {
                if (!has_bit(node->has_value.words, position))
                    continue;
                *length = i * BITS + bits;
                return node->values[value_rank(node, position)];
            }
        }
    }
    *length = 0;
    return tree->root_value;
}

/* ---- In order -----------------------------------------------------------------------------------
 * A binary tree in pre-order: a prefix, those in its lower half, those in its upper half.
 */

/* Behind all that is below that position; 0: there is nothing more in the node. */
static unsigned position_behind(unsigned position)
{
    while (position & 1)
        position >>= 1;
    return position > 1 ? position | 1 : 0;
}

static unsigned position_next(unsigned position)
{
    return position < LEAVES ? position << 1 : position_behind(position);
}

/* The address up to the node and that position of it; what is behind becomes 0. */
static void write_position(uint8_t *address, unsigned depth, unsigned position, unsigned *length)
{
    unsigned bits = 0;

    while (position >> (bits + 1) != 0)
        bits++;
    address[depth] = (uint8_t)((position ^ 1u << bits) << (BITS - bits));
    memset(address + depth + 1, 0, ADDRESS_BYTES - depth - 1);
    *length = depth * BITS + bits;
}

/* The first at `position` of the node or behind, in it and its children. */
static uint32_t first_from(const struct prefix_node *node, unsigned depth, unsigned position,
                           uint8_t *address, unsigned *length)
{
    for (; position != 0; position = position_next(position)) {
        if (has_bit(node->has_value.words, position)) {
            write_position(address, depth, position, length);
            return node->values[value_rank(node, position)];
        }
        const struct prefix_node *child =
            position >= LEAVES ? child_at(node, position - LEAVES) : NULL;
        if (child) {
            write_position(address, depth, position, length);
            return first_from(child, depth + 1, 2, address, length);
        }
    }
    return 0;
}

uint32_t prefix_tree_next(const struct prefix_tree *tree, uint8_t *address, unsigned *length)
{
    struct way way;

    if (*length == PREFIX_BEFORE_FIRST) {
        memset(address, 0, ADDRESS_BYTES);
        *length = 0;
        if (tree->root_value != 0)
            return tree->root_value;
    }
    if (*length == 0)
        return tree->root ? first_from(tree->root, 0, 2, address, length) : 0;
    find_way(tree, address, MIN_OF(*length + 1, (unsigned)PREFIX_LENGTH_MAX), &way);
    for (unsigned i = way.count; i-- > 0;) {
        unsigned position = 2; /* a child, of which nothing was told yet */
        if (i < depth_of(*length))
            position = position_behind(LEAVES | address[i]);
        else if (i == depth_of(*length))
            position = position_next(position_of(address, *length));
        uint32_t value = first_from(way.nodes[i], i, position, address, length);
        if (value != 0)
            return value;
    }
    return 0;
}

/* ---- All ----------------------------------------------------------------------------------------
 */

static enum error each_below(const struct prefix_node *node, unsigned depth, uint8_t *address,
                             prefix_visit *visit, void *context)
{
    const uint32_t *value = node->values;
    struct prefix_node *const *child = node->children;
    unsigned length;

    for (unsigned word = 0; word < POSITIONS / WORD_BITS; word++) {
        for (uint64_t bits = node->has_value.words[word]; bits != 0; bits &= bits - 1) {
            write_position(address, depth, word * WORD_BITS + (unsigned)__builtin_ctzll(bits),
                           &length);
            enum error error = visit(context, address, length, *value++);
            if (error != OK)
                return error;
        }
    }
    for (unsigned word = 0; word < LEAVES / WORD_BITS; word++) {
        for (uint64_t bits = node->has_child.words[word]; bits != 0; bits &= bits - 1) {
            address[depth] = (uint8_t)(word * WORD_BITS + (unsigned)__builtin_ctzll(bits));
            enum error error = each_below(*child++, depth + 1, address, visit, context);
            if (error != OK)
                return error;
        }
    }
    return OK;
}

enum error prefix_tree_each(const struct prefix_tree *tree, prefix_visit *visit, void *context)
{
    uint8_t address[ADDRESS_BYTES] = { 0 };

    if (tree->root_value != 0) {
        enum error error = visit(context, address, 0, tree->root_value);
        if (error != OK)
            return error;
    }
    return tree->root ? each_below(tree->root, 0, address, visit, context) : OK;
}

static void free_below(struct prefix_node *node, unsigned *freed, const struct pause *pause)
{
    for (unsigned i = 0; i < node->child_count; i++)
        free_below(node->children[i], freed, pause);
    free_node(node);
    if (++*freed % NODES_PER_PAUSE == 0)
        pause_take(pause);
}

void prefix_tree_clear(struct prefix_tree *tree, const struct pause *pause)
{
    struct prefix_node *root = tree->root;
    unsigned freed = 0;

    *tree = (struct prefix_tree){ .root = NULL };
    if (root)
        free_below(root, &freed, pause);
}
