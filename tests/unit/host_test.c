/* The seam as a process keeps the promises of kernel/platform.h: what the other tests stand on. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

/* ---- Memory -----------------------------------------------------------------------------------
 */

TEST(memory_is_zeroed_aligned_and_in_the_books)
{
    static const size_t aligns[] = { 0, 1, 16, 64, 4096, 2 * 1024 * 1024 };
    struct memory_stats stats;
    for (unsigned i = 0; i < ARRAY_COUNT(aligns); i++) {
        uint8_t *memory = memory_alloc(1000 + i, aligns[i], MEMORY_FIB);
        EXPECT(memory != NULL);
        EXPECT_EQUAL((uintptr_t)memory % MAX_OF(aligns[i], 16u), 0);
        for (unsigned k = 0; k < 1000 + i; k++)
            EXPECT_EQUAL(memory[k], 0);
        memset(memory, 0xff, 1000 + i);
        memory_stats(&stats);
        EXPECT_EQUAL(stats.live, 1);
        EXPECT_EQUAL(stats.live_bytes, 1000 + i);
        EXPECT_EQUAL(stats.tags[MEMORY_FIB].live_bytes, 1000 + i);
        memory_free(memory);
    }
    memory_stats(&stats);
    EXPECT_EQUAL(stats.live, 0);
    EXPECT_EQUAL(stats.peak_bytes, 1000 + ARRAY_COUNT(aligns) - 1);
    EXPECT_EQUAL(stats.tags[MEMORY_FIB].live, 0);
    memory_free(NULL);
    EXPECT(memory_alloc(SIZE_MAX - 100, 0, MEMORY_TEST) == NULL);
}

TEST(the_chosen_allocation_fails_and_no_other)
{
    host_fail_allocation(1);
    void *first = memory_alloc(1, 0, MEMORY_TEST);
    void *second = dma_alloc(1, 0, MEMORY_TEST);
    void *third = memory_alloc(1, 0, MEMORY_TEST);
    EXPECT(first != NULL && second == NULL && third != NULL);
    EXPECT_EQUAL(host_allocation_count(), 3);
    memory_free(first);
    memory_free(third);
}

/* Code that answers 42. */
static struct code *make_code(void)
{
    static const uint8_t bytes[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* mov $42, %eax; ret */
    struct code *code = code_alloc(sizeof(bytes));
    EXPECT(code != NULL);
    EXPECT_EQUAL((uintptr_t)code->entry % CACHE_LINE_BYTES, 0);
    memcpy(code->bytes, bytes, sizeof(bytes));
    return code;
}

static int call(const void *entry)
{
    return ((int (*)(void))(uintptr_t)entry)();
}

TEST(code_runs_once_sealed_and_each_core_hears_of_it)
{
    struct code *code = make_code();
    uint32_t generation = code_generation;
    EXPECT_EQUAL(code_seal(code), OK);
    EXPECT(code->bytes == NULL);
    EXPECT_EQUAL(call(code->entry), 42);
    EXPECT_EQUAL(code_generation, generation + 1);
    core_follow_code();
    EXPECT_EQUAL(core_current()->code_seen, generation + 1);
    code_free(code);
    code_free(NULL);
    EXPECT(code_alloc(CODE_BYTES_MAX + 1) == NULL);
    code = code_alloc(CODE_BYTES_MAX);
    EXPECT(code != NULL);
    memset(code->bytes, 0, code->size_bytes);
    code_free(code);
}

TEST(code_that_cannot_be_allocated_is_refused)
{
    host_fail_allocation(0);
    EXPECT(code_alloc(1) == NULL);
}

TEST(code_is_never_writable_and_executable)
{
    struct code *code = make_code();
    EXPECT_PANIC(call(code->entry), "SEGV");
    EXPECT_EQUAL(code_seal(code), OK);
    EXPECT_PANIC(*(volatile uint8_t *)(uintptr_t)code->entry = 0, "SEGV");
    code_free(code);
}

TEST(memory_mistakes_are_caught)
{
    EXPECT_PANIC(
        {
            void *memory = memory_alloc(8, 0, MEMORY_TEST);
            memory_free(memory);
            memory_free(memory);
        },
        "AddressSanitizer: heap-use-after-free");
    EXPECT_PANIC(
        {
            char *memory = memory_alloc(8, 0, MEMORY_TEST);
            volatile int index = 8;
            memory[index] = 1;
        },
        "AddressSanitizer: heap-buffer-overflow");
    EXPECT_PANIC(
        {
            char *memory = memory_alloc(8, 0, MEMORY_TEST);
            volatile int index = -1;
            memory[index] = 1;
            memory_free(memory);
        },
        "written in front of it");
}

/* ---- Time and chance --------------------------------------------------------------------------
 */

TEST(a_virtual_clock_moves_when_told)
{
    host_clock_virtual(5);
    EXPECT_EQUAL(clock_ns(), 5);
    int64_t unix_ns = clock_unix_ns();
    host_clock_virtual(1005);
    EXPECT_EQUAL(clock_ns(), 1005);
    EXPECT_EQUAL(clock_unix_ns() - unix_ns, 1000);
    EXPECT_PANIC(host_clock_virtual(1), "now_ns >=");
}

TEST(the_real_clock_moves_forward)
{
    uint64_t before_ns = clock_ns();
    usleep(2000);
    EXPECT(clock_ns() >= before_ns + 2 * NS_PER_MS);
    EXPECT(clock_unix_ns() > 1700000000ll * NS_PER_S);
    EXPECT(clock_cycles() != 0);
}

TEST(seeded_chance_repeats_itself)
{
    uint8_t first[33], second[33];
    host_random_seed(9);
    random_bytes(first, sizeof(first));
    host_random_seed(9);
    random_bytes(second, sizeof(second));
    EXPECT(memcmp(first, second, sizeof(first)) == 0);
    host_random_seed(10);
    random_bytes(second, sizeof(second));
    EXPECT(memcmp(first, second, sizeof(first)) != 0);
}

TEST(unseeded_chance_does_not_repeat_itself)
{
    uint8_t first[16], second[16];
    random_bytes(first, sizeof(first));
    random_bytes(second, sizeof(second));
    EXPECT(memcmp(first, second, sizeof(first)) != 0);
}

/* ---- Cores ------------------------------------------------------------------------------------
 */

static _Atomic unsigned turns;

static void play(void *arg)
{
    EXPECT(arg == &turns);
    EXPECT_EQUAL(core_current()->index, 1);
    for (unsigned i = 0; i < 1000; i++) {
        while (turns % 2 == 0)
            core_idle(UINT64_MAX);
        turns++;
        core_wake(0);
    }
}

TEST(cores_wake_each_other_and_miss_nothing)
{
    host_cores(2, HOST_THREADS);
    EXPECT_EQUAL(core_count(), 2);
    core_start(1, play, (void *)&turns);
    for (unsigned i = 0; i < 1000; i++) {
        while (turns % 2 == 1)
            core_idle(UINT64_MAX);
        turns++;
        core_wake(1);
    }
    while (turns < 2000)
        core_idle(UINT64_MAX);
}

TEST(a_core_sleeps_until_its_deadline)
{
    uint64_t start_ns = clock_ns();
    core_idle(start_ns + 3 * NS_PER_MS);
    EXPECT(clock_ns() >= start_ns + 3 * NS_PER_MS);
    core_idle(0); /* in the past */
    core_wake(0);
    core_idle(UINT64_MAX); /* what came before counts */
}

TEST(a_child_process_is_not_woken_for_its_parent)
{
    core_wake(0);
    EXPECT_PANIC(
        {
            uint64_t start_ns = clock_ns();
            core_idle(start_ns + NS_PER_MS);
            CHECK(clock_ns() < start_ns + NS_PER_MS && "it slept");
        },
        "it slept");
}

TEST(a_file_wakes_a_core_while_it_is_watched)
{
    int pipe_files[2];
    EXPECT_EQUAL(pipe(pipe_files), 0);
    host_watch(0, pipe_files[0]);
    EXPECT_EQUAL(write(pipe_files[1], "x", 1), 1);
    core_idle(UINT64_MAX);
    host_unwatch(0, pipe_files[0]);
    uint64_t start_ns = clock_ns();
    core_idle(start_ns + NS_PER_MS);
    EXPECT(clock_ns() >= start_ns + NS_PER_MS);
}

TEST(stepped_cores_are_whoever_the_test_says)
{
    struct cpu cpu = { .index = 5 };
    host_cores(8, HOST_STEPPED);
    struct cpu *boot = host_core_enter(&cpu);
    EXPECT_EQUAL(boot->index, 0);
    EXPECT_EQUAL(core_current()->index, 5);
    core_idle(UINT64_MAX); /* returns */
    core_wake(7);
    EXPECT_EQUAL(host_wake_count(7), 1);
    EXPECT(host_core_enter(NULL) == &cpu);
    EXPECT(core_current() == boot);
}

/* ---- Coroutines -------------------------------------------------------------------------------
 */

struct counter {
    struct coroutine *coroutine;
    unsigned count;
};

static void count_to_three(void *arg)
{
    struct counter *counter = arg;
    volatile char large[64 * 1024]; /* there is a stack to work on */
    for (unsigned i = 0; i < 3; i++) {
        large[sizeof(large) / 3 * i] = 1;
        counter->count++;
        coroutine_yield(counter->coroutine);
    }
    counter->count = 100;
}

TEST(coroutine_runs_from_yield_to_yield)
{
    struct counter counters[2] = { { .count = 0 }, { .count = 0 } };
    for (unsigned i = 0; i < 2; i++) {
        counters[i].coroutine = coroutine_create(count_to_three, &counters[i]);
        EXPECT(counters[i].coroutine != NULL);
    }
    for (unsigned step = 1; step <= 3; step++) {
        coroutine_resume(counters[0].coroutine);
        coroutine_resume(counters[1].coroutine);
        EXPECT_EQUAL(counters[0].count, step);
        EXPECT_EQUAL(counters[1].count, step);
    }
    coroutine_resume(counters[0].coroutine);
    EXPECT_EQUAL(counters[0].count, 100);
    coroutine_resume(counters[0].coroutine); /* it has ended: nothing happens */
    coroutine_destroy(counters[0].coroutine);
    coroutine_destroy(counters[1].coroutine); /* in the middle of its work */
}

static void dig(volatile unsigned *depth)
{
    volatile char frame[4096];
    frame[0] = 1;
    if (--*depth > 0 && frame[0] == 1)
        dig(depth);
    frame[1] = 2;
}

static void run_away(void *unused)
{
    volatile unsigned depth = 1000000;
    (void)unused;
    dig(&depth);
}

TEST(coroutine_that_runs_off_its_stack_crashes)
{
    struct coroutine *coroutine = coroutine_create(run_away, NULL);
    EXPECT_PANIC(coroutine_resume(coroutine), "stack-overflow");
    coroutine_destroy(coroutine);
}

TEST(coroutine_says_when_there_is_no_memory)
{
    host_fail_allocation(0);
    EXPECT(coroutine_create(count_to_three, NULL) == NULL);
}

/* ---- Devices ----------------------------------------------------------------------------------
 */

struct scratch {
    uint64_t offset, value;
    unsigned size, reads, writes;
};

static uint64_t scratch_read(void *context, uint64_t offset, unsigned size)
{
    struct scratch *scratch = context;
    scratch->offset = offset;
    scratch->size = size;
    scratch->reads++;
    return 0x8877665544332211;
}

static void scratch_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct scratch *scratch = context;
    scratch->offset = offset;
    scratch->size = size;
    scratch->value = value;
    scratch->writes++;
}

static struct scratch scratch;
static const struct device_model model = { &scratch, scratch_read, scratch_write };

TEST(registers_reach_their_model)
{
    host_attach_mmio(0xfe000000, 0x1000, &model);
    EXPECT(mmio_map(0xfe000000, 0x1001) == NULL);
    EXPECT(mmio_map(0xfd000000, 4) == NULL);
    uint8_t *registers = mmio_map(0xfe000000, 0x1000);
    EXPECT(registers != NULL);
    EXPECT_EQUAL(mmio_read8(registers + 7), 0x11);
    EXPECT_EQUAL(scratch.offset, 7);
    EXPECT_EQUAL(mmio_read16(registers + 8), 0x2211);
    EXPECT_EQUAL(mmio_read32(registers + 12), 0x44332211);
    EXPECT_EQUAL(scratch.size, 4);
    EXPECT_EQUAL(mmio_read64(registers + 16), (int64_t)0x8877665544332211);
    mmio_write16(registers + 0xffe, 0x1234);
    EXPECT_EQUAL(scratch.offset, 0xffe);
    EXPECT_EQUAL(scratch.value, 0x1234);
    mmio_write8(registers, 1);
    mmio_write32(registers, 1);
    mmio_write64(registers, UINT64_MAX);
    EXPECT(scratch.value == UINT64_MAX);
    EXPECT_EQUAL(scratch.reads, 4);
    EXPECT_EQUAL(scratch.writes, 4);
    io_fence();
}

TEST(attached_memory_is_plain_memory)
{
    uint32_t cells[4] = { 0 };
    host_attach_memory(0xb8000, sizeof(cells), cells);
    uint32_t *mapped = mmio_map(0xb8004, 8);
    EXPECT(mapped == &cells[1]);
    mmio_write32(mapped, 7);
    mmio_write8(&cells[2], 1);
    mmio_write16(&cells[3], 2);
    EXPECT_EQUAL(cells[1], 7);
    EXPECT_EQUAL(mmio_read32(mapped), 7);
    EXPECT_EQUAL(mmio_read8(&cells[2]), 1);
    EXPECT_EQUAL(mmio_read16(&cells[3]), 2);
    EXPECT_EQUAL(mmio_read64(&cells[2]), 0x200000001);
    mmio_write64(&cells[2], 3);
    EXPECT_EQUAL(cells[3], 0);
}

TEST(ports_and_configuration_space_reach_their_models)
{
    struct pci_address here = { .bus = 1, .device = 2, .function = 3 };
    struct pci_address there = { .bus = 1, .device = 2, .function = 4 };
    EXPECT_EQUAL(port_read8(0x3f8), 0xff);
    EXPECT_EQUAL(port_read32(0xcf8), 0xffffffff);
    port_write8(0x3f8, 1);
    host_attach_ports(0x3f8, 8, &model);
    EXPECT_EQUAL(port_read8(0x3ff), 0x11);
    EXPECT_EQUAL(port_read16(0x3fe), 0x2211);
    EXPECT_EQUAL(port_read8(0x400), 0xff);
    port_write8(0x3f9, 0x42);
    port_write16(0x3fa, 0x42);
    port_write32(0x3fc, 0x42);
    EXPECT_EQUAL(scratch.writes, 3);

    host_attach_pci(here, &model);
    EXPECT_EQUAL(pci_config_read(here, 0x10, 4), 0x44332211);
    EXPECT_EQUAL(scratch.offset, 0x10);
    EXPECT_EQUAL(pci_config_read(there, 0x10, 2), 0xffff);
    pci_config_write(here, 0xffc, 4, 5);
    EXPECT_EQUAL(scratch.offset, 0xffc);
    pci_config_write(there, 0, 4, 6);
    EXPECT_EQUAL(scratch.value, 5);
    host_detach_all();
    EXPECT_EQUAL(pci_config_read(here, 0, 4), 0xffffffff);
}

TEST(interrupts_count_and_wake)
{
    uint64_t address;
    uint32_t data;
    host_cores(2, HOST_STEPPED);
    int interrupt = interrupt_alloc(1);
    EXPECT(interrupt_message(interrupt, &address, &data));
    EXPECT(host_message(address, data));
    EXPECT(!host_message(address + 4, data));
    EXPECT(!host_message(address, data + 1));
    EXPECT_EQUAL(interrupt_count(interrupt), 1);
    EXPECT_EQUAL(host_wake_count(1), 1);
    interrupt_free(interrupt);
    EXPECT(!host_message(address, data));
    EXPECT_PANIC((void)interrupt_count(interrupt), "used");
}

TEST(interrupts_run_out)
{
    int interrupt = 0;
    unsigned count = 0;
    while ((interrupt = interrupt_alloc(0)) >= 0)
        count++;
    EXPECT(count >= 64);
}

static void raise_pin(void *pin)
{
    host_pin(*(unsigned *)pin);
}

static void do_nothing(void *unused)
{
    (void)unused;
}

TEST(pins_are_found_masked_and_unmasked)
{
    unsigned pin = 11;
    int level = interrupt_alloc(0), edge = interrupt_alloc(0), mute = interrupt_alloc(0);
    EXPECT(interrupt_connect_pci_pin(level, 10, raise_pin, do_nothing, &pin));
    EXPECT(!interrupt_connect_pci_pin(mute, 10, do_nothing, do_nothing, NULL));
    uint64_t before = interrupt_count(level);
    host_pin(11);
    host_pin(11);
    EXPECT_EQUAL(interrupt_count(level) - before, 1);
    interrupt_unmask(level);
    host_pin(11);
    host_pin(10);
    EXPECT_EQUAL(interrupt_count(level) - before, 2);

    EXPECT(interrupt_connect_isa(edge, 4));
    host_pin(4);
    host_pin(4);
    EXPECT_EQUAL(interrupt_count(edge), 2);
    EXPECT_EQUAL(interrupt_count(mute), 0);
}

/* ---- Files ------------------------------------------------------------------------------------
 */

static void expect_read(const struct file *file, uint64_t offset, size_t size, const char *expected)
{
    char out[64];
    size_t read_bytes = SIZE_MAX;

    memset(out, 'x', sizeof(out));
    EXPECT(size < sizeof(out));
    EXPECT_EQUAL(file_read(file, offset, out, size, &read_bytes), OK);
    EXPECT_EQUAL(read_bytes, strlen(expected));
    EXPECT(memcmp(out, expected, read_bytes) == 0);
    EXPECT(out[read_bytes] == 'x');
}

static void expect_routes(void)
{
    struct file file;

    EXPECT_EQUAL(file_open("routes", &file), OK);
    EXPECT_EQUAL(file.size_bytes, 6);
    expect_read(&file, 0, 60, "routes");
    expect_read(&file, 2, 3, "ute");
    expect_read(&file, 5, 9, "s");
    expect_read(&file, 6, 9, "");
    expect_read(&file, UINT64_MAX, 9, "");
    expect_read(&file, 0, 0, "");
    host_file_read_max(2);
    expect_read(&file, 1, 60, "ou");
    host_file_read_max(FILE_READ_MAX);
}

TEST(file_names_are_plain)
{
    static const char *const good[] = {
        "a", "routes.txt", "A-b_c.9", "-", "a..", "123456789012345678901234567890123456789012345"
    };
    static const char *const bad[] = {
        "",      ".",   "..",      ".hidden",
        "a/b",   "/a",  "a b",     "a\n",
        "a\x80", "a,b", "caf\xe9", "a\\b",
        "a:b",   "*",   "~",       "1234567890123456789012345678901234567890123456"
    };
    struct file file;

    for (unsigned i = 0; i < ARRAY_COUNT(good); i++)
        EXPECT_EQUAL(file_open(good[i], &file), ERROR_NOT_FOUND);
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        EXPECT_EQUAL(file_open(bad[i], &file), ERROR_BAD_VALUE);
}

TEST(files_come_from_memory)
{
    struct file file;

    host_file_add("routes", "something else", 14);
    host_file_add("empty", "", 0);
    host_file_add("routes", "routes", 6);
    expect_routes();
    EXPECT_EQUAL(file_open("empty", &file), OK);
    EXPECT_EQUAL(file.size_bytes, 0);
    expect_read(&file, 0, 60, "");
    EXPECT_EQUAL(file_open("other", &file), ERROR_NOT_FOUND);
    host_file_remove_all();
    EXPECT_EQUAL(file_open("routes", &file), ERROR_NOT_FOUND);
}

static void write_file(int folder, const char *name, const char *text)
{
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT_EQUAL(write(file, text, strlen(text)), strlen(text));
    close(file);
}

TEST(files_come_from_a_folder_and_may_vanish)
{
    char path[] = "/tmp/tsuji-host-test-XXXXXX", out[8];
    size_t read_bytes;
    struct file file;

    EXPECT(!host_file_folder("/nonexistent/folder"));
    EXPECT(mkdtemp(path) != NULL);
    int folder = open(path, O_RDONLY | O_DIRECTORY);
    EXPECT(host_file_folder(path));
    write_file(folder, "routes", "routes");
    EXPECT_EQUAL(mkdirat(folder, "inner", 0700), 0);
    EXPECT_EQUAL(mkfifoat(folder, "pipe", 0600), 0);
    expect_routes();
    EXPECT_EQUAL(file_open("inner", &file), ERROR_NOT_FOUND);
    EXPECT_EQUAL(file_open("pipe", &file), ERROR_NOT_FOUND);

    EXPECT_EQUAL(file_open("routes", &file), OK);
    write_file(folder, "routes", "rou");
    EXPECT_EQUAL(file_read(&file, 3, out, sizeof(out), &read_bytes), ERROR_TRUNCATED);
    unlinkat(folder, "routes", 0);
    EXPECT_EQUAL(file_read(&file, 0, out, sizeof(out), &read_bytes), ERROR_DEVICE);
    EXPECT_EQUAL(read_bytes, 0);

    unlinkat(folder, "pipe", 0);
    unlinkat(folder, "inner", AT_REMOVEDIR);
    close(folder);
    EXPECT_EQUAL(rmdir(path), 0);
}

TEST(the_chosen_read_fails_and_no_other)
{
    char out[8];
    size_t read_bytes;
    struct file file;

    host_file_add("routes", "routes", 6);
    EXPECT_EQUAL(file_open("routes", &file), OK);
    host_fail_read(1);
    EXPECT_EQUAL(file_read(&file, 0, out, sizeof(out), &read_bytes), OK);
    EXPECT_EQUAL(file_read(&file, 0, out, sizeof(out), &read_bytes), ERROR_DEVICE);
    EXPECT_EQUAL(read_bytes, 0);
    expect_routes();
}

/* ---- Last words -------------------------------------------------------------------------------
 */

static char captured[16];

static void capture(const char *text, size_t length)
{
    memcpy(captured, text, MIN_OF(length, sizeof(captured) - 1));
}

TEST(output_can_be_captured)
{
    host_capture_output(capture);
    platform_write("words", 5);
    EXPECT_TEXT(captured, "words");
    EXPECT_TEXT(platform_name(), "process");
}

TEST(a_panic_says_where_and_why)
{
    EXPECT_PANIC(platform_panic("some/file.c", 77, "no more words"),
                 "panic: no more words (some/file.c:77, core 0)");
}
