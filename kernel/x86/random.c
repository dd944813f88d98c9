/* See random.h. One generator for all cores behind a lock; what the processor offers and what the
 * boot happened to be like go into its key. The processor's numbers are mixed in, never handed out
 * as they are, so a bad source costs nothing while another one is good. */
#include "kernel/x86/random.h"

#include "kernel/base/log.h"
#include "kernel/platform.h"
#include "kernel/random_generator.h"
#include "kernel/spinlock.h"
#include "kernel/x86/cpuid.h"

enum {
    HARDWARE_WORDS = 8,    /* 64 bits each, per seeding */
    HARDWARE_RETRIES = 32, /* Intel's guide: RDSEED may be empty for a while */
    JITTER_SAMPLES = 256,
    RESEED_BYTES = 64 * 1024, /* handed out between two looks at the hardware */
};

static struct spinlock lock; /* guards all below */
static struct random_generator generator;
static bool has_rdseed, has_rdrand;
static size_t since_seed_bytes;

/* ---- Sources -------------------------------------------------------------------------------- */

static bool rdseed(uint64_t *value)
{
    bool good;
    __asm__ volatile("rdseed %0" : "=r"(*value), "=@ccc"(good));
    return good;
}

static bool rdrand(uint64_t *value)
{
    bool good;
    __asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(good));
    return good;
}

/* How many words came. A source stuck at one value counts as none. */
static unsigned hardware_words(bool (*source)(uint64_t *value), uint64_t words[HARDWARE_WORDS])
{
    unsigned count = 0, different = 0;
    for (unsigned i = 0; i < HARDWARE_WORDS; i++) {
        unsigned tries = 0;
        while (!source(&words[i]) && ++tries < HARDWARE_RETRIES)
            core_relax();
        if (tries == HARDWARE_RETRIES)
            break;
        different += i > 0 && words[i] != words[i - 1];
        count++;
    }
    return different > 0 ? count : 0;
}

/* Mixes in what the source gives now; false where that is nothing. */
static bool seed_from(bool (*source)(uint64_t *value))
{
    uint64_t words[HARDWARE_WORDS];
    unsigned count = hardware_words(source, words);
    random_generator_seed(&generator, words, count * sizeof(words[0]));
    return count > 0;
}

/* How long a short way through slow instructions takes, again and again: caches, other threads and
 * the host make its low bits vary. */
static void seed_from_jitter(void)
{
    uint64_t samples[JITTER_SAMPLES];
    volatile uint8_t walk[4096];
    for (unsigned i = 0; i < sizeof(walk); i++)
        walk[i] = (uint8_t)i;
    for (unsigned i = 0; i < JITTER_SAMPLES; i++) {
        uint64_t before = clock_cycles();
        walk[(before * 61) % sizeof(walk)]++;
        cpuid_raw(CPUID_FEATURES, 0);
        samples[i] = clock_cycles() - before + (before << 32);
    }
    random_generator_seed(&generator, samples, sizeof(samples));
}

/* ---- The seam ------------------------------------------------------------------------------- */

void random_init(const struct boot_info *info)
{
    enum { ECX_RDRAND = 1 << 30, LEAF_EXTENDED_FEATURES = 7, EBX_RDSEED = 1 << 18 };
    has_rdrand = cpuid(CPUID_FEATURES, 0).ecx & ECX_RDRAND;
    has_rdseed = cpuid(LEAF_EXTENDED_FEATURES, 0).ebx & EBX_RDSEED;

    int64_t now = clock_unix_ns();
    random_generator_seed(&generator, info, sizeof(*info));
    random_generator_seed(&generator, &now, sizeof(now));
    seed_from_jitter();
    has_rdseed = has_rdseed && seed_from(rdseed);
    has_rdrand = has_rdrand && seed_from(rdrand);
    if (has_rdseed || has_rdrand)
        log_info("random", "ChaCha20 seeded from%s%s time stamps and the clock",
                 has_rdseed ? " RDSEED," : "", has_rdrand ? " RDRAND," : "");
    else
        log_warning("random", "no RDSEED, no RDRAND: ChaCha20 seeded from time stamps alone");
}

void random_bytes(void *out, size_t size)
{
    spinlock_take(&lock);
    since_seed_bytes += size;
    if (since_seed_bytes >= RESEED_BYTES) {
        since_seed_bytes = 0;
        uint64_t cycles = clock_cycles();
        random_generator_seed(&generator, &cycles, sizeof(cycles));
        if (has_rdseed || has_rdrand)
            seed_from(has_rdseed ? rdseed : rdrand);
    }
    random_generator_bytes(&generator, out, size);
    spinlock_release(&lock);
}
