/* The rules of one family as the cores use them: an immutable object that a commit makes, and the
 * views lead to (net/forwarding.h). NULL stands for no rule at all.
 *
 *   packets --filter_keys_*()--> keys --filter_decide()--> index of a rule --> action, hits, log
 *
 * A packet is a point: FILTER_WORD_COUNT words of 32 bits. A rule is a box: a range for each of
 * them, and the packet is in it where all its words are in their ranges; but for two things that
 * are no ranges. The TCP flags are compared under a mask, and an end may have to be in a set of
 * prefixes. The first rule in the order of the array whose box a packet is in decides. At the end
 * stand rules that no operator wrote, of number 0: the last contains every packet, so that every
 * packet has a rule.
 *
 *   word                    value                                  of packets without it
 *   SOURCE + 0..3           the address, in host order; IPv4 has   0
 *   DESTINATION + 0..3      it in the first word
 *   PROTOCOL                0 to 255; behind the extension headers
 *   SOURCE_PORT             0 to 65,535, of TCP and UDP            FILTER_ABSENT: others, later
 *   DESTINATION_PORT                                               fragments
 *   TYPE                    0 to 255, of ICMP or ICMPv6            FILTER_ABSENT, likewise
 *   FLAGS                   0 to 255, of TCP                       FILTER_ABSENT, likewise
 *   FRAGMENT                0 whole, 1 the first piece, 2 a later one
 *   PORT_IN                 index of the port                      FILTER_ABSENT: it is ours
 *   PORT_OUT                index of the port                      FILTER_ABSENT: it stays here
 *
 * FILTER_ABSENT is in no range but that of all values, as the ranges of rules end before it.
 *
 * A packet is judged when it arrives, before it is routed: then nobody knows by which port it will
 * leave. So rules match there whatever they say of that port, and where the first to match says
 * something of it (names_out) nothing is decided; the packet is judged anew, by all rules and all
 * it says, when its way out is known: each packet is decided, and counted, once. What we send
 * ourselves is judged there alone, by rules that name that port: the others are about what comes
 * in, and their PORT_IN never is FILTER_ABSENT. */
#pragma once

#include "kernel/base/types.h"
#include "net/config.h"
#include "net/filter_set.h"

struct jit_filter;
struct pause;
struct port;
struct text;

enum { FILTER_ADDRESS_WORDS = 4 };

enum filter_word {
    FILTER_SOURCE = 0,
    FILTER_DESTINATION = FILTER_SOURCE + FILTER_ADDRESS_WORDS,
    FILTER_PROTOCOL = FILTER_DESTINATION + FILTER_ADDRESS_WORDS,
    FILTER_SOURCE_PORT,
    FILTER_DESTINATION_PORT,
    FILTER_TYPE,
    FILTER_FLAGS,
    FILTER_FRAGMENT,
    FILTER_PORT_IN,
    FILTER_PORT_OUT,
    FILTER_WORD_COUNT,
};

#define FILTER_ABSENT UINT32_MAX

enum filter_fragment { FILTER_WHOLE, FILTER_FIRST_PIECE, FILTER_LATER_PIECE };

/* The words of a batch: words[w][i] is word w of packet i. */
struct filter_keys {
    alignas(CACHE_LINE_BYTES) uint32_t words[FILTER_WORD_COUNT][BATCH_MAX];
};

struct filter_range {
    uint32_t first, last; /* both included */
};

/* What became of a rule's packets. Each core writes its own line alone, and anybody may read it;
 * it belongs to the rule, not to the filter, and goes on with it from commit to commit. */
struct filter_hit {
    alignas(CACHE_LINE_BYTES) uint64_t packets; /* counters, all three */
    uint64_t bytes;                             /* of IP packets */
    uint64_t last_ns;                           /* when the last one came; 0: none did */
};

struct filter_hits {
    /* The control core's. */
    unsigned users;                          /* filters that have it; the last one frees it */
    uint64_t cleared_packets, cleared_bytes; /* what `clear counters` has set aside */
    struct filter_hit cores[];
};

/* When it is judged. */
enum filter_moment { FILTER_ARRIVING, FILTER_LEAVING, FILTER_MOMENT_COUNT };

struct filter_rule {
    struct filter_range ranges[FILTER_WORD_COUNT]; /* but of FILTER_FLAGS */
    uint16_t constrained;                          /* bit per word that not every packet fits */
    uint8_t flags_set, flags_clear; /* both 0: not said; else only what has TCP flags fits */
    bool is_shadowed;               /* no packet comes to it (filter_shadow.h) */
    uint16_t number;                /* 0: at the end, by nobody */
    uint16_t shadowed_by;           /* number of the rule that has all its packets; 0: none alone */
    const struct filter_set *source_set, *destination_set; /* NULL: any */
};

/* What becomes of the packets that a rule decides about: all that the cores read of it where it is
 * compiled. */
struct filter_outcome {
    struct filter_hits *hits;
    uint8_t action; /* enum filter_action */
    bool log, names_out;
    bool quiet; /* they pass, and nothing else but counting is to be done */
};

struct filter {
    enum family family;
    unsigned rule_count;
    struct filter_rule *rules;       /* by number; then those that stand at the end */
    struct filter_outcome *outcomes; /* of each; and one more, of packets that nobody judges */
    unsigned set_count;
    struct filter_set *sets;
    struct filter_files files;           /* of which these are made */
    bool names_out;                      /* a rule does: packets are judged when they leave, too */
    uint16_t asked[FILTER_MOMENT_COUNT]; /* bit per word that some rule then asks for */
    uint64_t generation;                 /* the plan's */
    uint64_t bytes;                      /* of memory, hits not counted */
    uint64_t made_ns;                    /* it took so long to make it */
    unsigned core_count;
    uint8_t vectors;                                  /* enum config_vectors, as told */
    struct jit_filter *compiled[FILTER_MOMENT_COUNT]; /* NULL: interpreted */
};

/* For each of `count` packets, at most BATCH_MAX, the index of the rule that decides: the first
 * whose box it is in, PORT_OUT counting only of what is leaving. Of packets behind those anything.
 * Words that are not in `asked` are not read. Any core. */
void filter_decide(const struct filter *filter, enum filter_moment moment,
                   const struct filter_keys *keys, unsigned count, uint32_t rules[BATCH_MAX]);
/* The same by the rules as they stand: what machine code is measured by. */
void filter_interpret(const struct filter *filter, enum filter_moment moment,
                      const struct filter_keys *keys, unsigned count, uint32_t *rules);

/* What a filter is made of. */
struct filter_plan {
    const struct config *config;
    enum family family;
    const struct port *ports; /* by which the rules' names are told; all are there */
    unsigned port_count;
    unsigned core_count;
    const struct filter *old; /* whose hits go on; NULL: there is none */
    bool read_again;          /* files of sets, even if the old one has them */
    uint64_t generation;      /* a number that no filter of the family had before */
    const struct pause *pause;
};

/* Control. *out is NULL where the configuration has nothing to filter. On failure *problem says
 * why. Reads the files of sets that the old one has not. */
enum error filter_create(const struct filter_plan *plan, struct filter **out,
                         struct text *problem) MUST_CHECK;
void filter_destroy(struct filter *filter, const struct pause *pause); /* NULL is allowed */

/* Control, of one that nobody uses yet: makes machine code of its rules, where they are of a kind
 * and number that allow it. ERROR_NO_MEMORY, for code or for making it. */
enum error filter_compile(struct filter *filter, const struct pause *pause) MUST_CHECK;
void filter_clear_compiled(struct filter *filter);

/* Has this processor such vectors? */
bool filter_has_vectors(enum config_vectors vectors);

struct filter_description {
    const char *kind; /* of what decides when a packet arrives: jit.h's shape, or "interpreter" */
    const char *vectors; /* "sse2", "avx2", "avx512"; NULL beside "interpreter" */
    unsigned code_bytes;
    size_t table_bytes;
};
/* NULL is allowed. */
void filter_describe(const struct filter *filter, struct filter_description *description);

/* Makes up so many packets, at most BATCH_MAX, most of them at the edges of rules. */
void filter_draw(const struct filter *filter, enum filter_moment moment, struct filter_keys *keys,
                 unsigned count, uint64_t *random_state);

/* How many of `count` such packets filter_decide() and filter_interpret() judge otherwise. The
 * latter looks at every rule for each. */
unsigned filter_verify(const struct filter *filter, enum filter_moment moment, unsigned count,
                       uint64_t *random_state);

/* Does this configuration filter anything? */
bool filter_is_wanted(const struct config *config, enum family family);

static inline const struct filter_outcome *filter_outcome_of(const struct filter *filter,
                                                             const struct filter_rule *rule)
{
    return &filter->outcomes[rule - filter->rules];
}

/* The hits of a rule, all cores added up, less what was cleared. last_ns stays. */
struct filter_hit filter_hits_of(const struct filter *filter, const struct filter_rule *rule);
void filter_clear_hits(const struct filter *filter); /* control */
