/* Cores are threads, or one thread that a test moves from core to core. A sleeping core waits for a
 * file that core_wake() writes, and for the files of its ports. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "kernel/base/log.h"
#include "kernel/base/trace.h"
#include "kernel/platform.h"
#include "tests/host/host.h"

struct host_core {
    struct cpu cpu;
    struct trace_ring trace;
    struct log_ring log;
    void (*entry)(void *arg);
    void *arg;
    int wake_file; /* 0: not yet opened */
    _Atomic uint64_t wakes;
    /* Owned by the core itself. */
    struct pollfd watched[1 + HOST_WATCH_MAX]; /* the first is wake_file */
    unsigned watched_count;
};

static struct host_core cores[CORE_MAX];
static unsigned count = 1;
static enum host_cores mode = HOST_THREADS;

_Thread_local struct cpu *host_cpu = &cores[0].cpu;

static void open_wake_file(struct host_core *core)
{
    core->wake_file = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(core->wake_file > 0);
    core->watched[0] = (struct pollfd){ .fd = core->wake_file, .events = POLLIN };
    core->watched_count = 1;
}

static void prepare(unsigned index)
{
    struct host_core *core = &cores[index];
    core->cpu = (struct cpu){ .index = index, .trace = &core->trace, .log = &core->log };
    if (core->wake_file == 0)
        open_wake_file(core);
}

/* A child process shares its parent's files: without this it would be woken for the parent. */
static void open_files_anew(void)
{
    for (unsigned i = 0; i < CORE_MAX; i++) {
        if (cores[i].wake_file == 0)
            continue;
        close(cores[i].wake_file);
        open_wake_file(&cores[i]);
    }
}

__attribute__((constructor)) static void prepare_boot_core(void)
{
    prepare(0);
    pthread_atfork(NULL, NULL, open_files_anew);
}

void host_cores(unsigned new_count, enum host_cores how)
{
    CHECK(new_count > 0 && new_count <= CORE_MAX);
    for (unsigned i = 0; i < new_count; i++)
        prepare(i);
    count = new_count;
    mode = how;
}

struct cpu *host_core_enter(struct cpu *cpu)
{
    struct cpu *before = host_cpu;
    host_cpu = cpu != NULL ? cpu : &cores[0].cpu;
    return before;
}

unsigned core_count(void)
{
    return count;
}

static void *run(void *arg)
{
    struct host_core *core = arg;
    host_cpu = &core->cpu;
    core->entry(core->arg);
    return NULL;
}

void core_start(unsigned index, void (*entry)(void *arg), void *arg)
{
    CHECK(index > 0 && index < count);
    struct host_core *core = &cores[index];
    core->entry = entry;
    core->arg = arg;
    if (mode == HOST_STEPPED)
        return;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, core) == 0);
    pthread_detach(thread);
}

void core_wake(unsigned index)
{
    CHECK(index < count);
    struct host_core *core = &cores[index];
    core->wakes++;
    if (mode == HOST_STEPPED)
        return;
    uint64_t one = 1;
    while (write(core->wake_file, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

uint64_t host_wake_count(unsigned index)
{
    CHECK(index < CORE_MAX);
    return cores[index].wakes;
}

void core_idle(uint64_t deadline_ns)
{
    if (mode == HOST_STEPPED || host_clock_is_virtual())
        return;
    struct host_core *core = &cores[core_current()->index];
    struct timespec patience;
    struct timespec *timeout = NULL;
    if (deadline_ns != UINT64_MAX) {
        uint64_t now_ns = clock_ns();
        uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        patience = (struct timespec){ .tv_sec = (time_t)(left_ns / NS_PER_S),
                                      .tv_nsec = (long)(left_ns % NS_PER_S) };
        timeout = &patience;
    }
    ppoll(core->watched, core->watched_count, timeout, NULL);

    /* The counter keeps what came before we slept, so nothing is slept over. */
    uint64_t wakes;
    while (read(core->wake_file, &wakes, sizeof(wakes)) < 0 && errno == EINTR)
        continue;
}

void host_watch(unsigned index, int file)
{
    struct host_core *core = &cores[index];
    CHECK(core->watched_count < ARRAY_COUNT(core->watched));
    core->watched[core->watched_count++] = (struct pollfd){ .fd = file, .events = POLLIN };
}

void host_unwatch(unsigned index, int file)
{
    struct host_core *core = &cores[index];
    for (unsigned i = 1; i < core->watched_count; i++) {
        if (core->watched[i].fd == file) {
            core->watched[i] = core->watched[--core->watched_count];
            return;
        }
    }
}
