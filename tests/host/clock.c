/* Time and chance: real, or what a test says. */
#include <sys/random.h>
#include <time.h>

#include "kernel/platform.h"
#include "tests/host/host.h"

/* 2026-01-01 00:00:00 UTC: when a virtual clock shows 0. */
static const int64_t VIRTUAL_EPOCH_NS = 1767225600ll * NS_PER_S;

static _Atomic bool is_virtual;
static _Atomic uint64_t virtual_now_ns;
static uint64_t start_ns; /* CLOCK_MONOTONIC when the process began */
static bool is_seeded;
static uint64_t random_state;

static uint64_t read_clock(clockid_t id)
{
    struct timespec time;
    clock_gettime(id, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

__attribute__((constructor)) static void remember_start(void)
{
    start_ns = read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_ns(void)
{
    return is_virtual ? virtual_now_ns : read_clock(CLOCK_MONOTONIC) - start_ns;
}

int64_t clock_unix_ns(void)
{
    return is_virtual ? VIRTUAL_EPOCH_NS + (int64_t)virtual_now_ns
                      : (int64_t)read_clock(CLOCK_REALTIME);
}

void host_clock_virtual(uint64_t now_ns)
{
    CHECK(!is_virtual || now_ns >= virtual_now_ns); /* it never goes back */
    virtual_now_ns = now_ns;
    is_virtual = true;
}

bool host_clock_is_virtual(void)
{
    return is_virtual;
}

void host_clock_real(void)
{
    is_virtual = false;
}

void host_random_seed(uint64_t seed)
{
    random_state = seed;
    is_seeded = true;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(void)
{
    random_state += 0x9e3779b97f4a7c15;
    uint64_t value = random_state;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

void random_bytes(void *out, size_t size)
{
    uint8_t *to = out;
    while (size > 0 && !is_seeded) {
        ssize_t got = getrandom(to, size, 0);
        if (got > 0) {
            to += got;
            size -= (size_t)got;
        }
    }
    for (; size > 0; size--)
        *to++ = (uint8_t)next_random();
}
