/* The seam: all that the router asks of what is under it.
 *
 * There is one implementation of each function per build, chosen by linking: the bare machine
 * (kernel/platform_kernel.c, kernel/x86) and a Linux process (tests/host). The inline ones come
 * from <platform_inline.h>, of which each build has its own in its include path.
 *
 * Who may call what: only the core loop reads clock_ns(); only create and reconfigure functions
 * allocate; protocol code gets the time and its random numbers as arguments. So one seed replays a
 * whole network of routers. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/types.h"

/* ---- Cores ---------------------------------------------------------------------------------- */

struct trace_ring;
struct log_ring;

/* What hangs from the core that runs this code. The bare machine finds it through %gs, a process
 * through a thread-local pointer, which a simulation sets before it steps a core. */
struct cpu {
    unsigned index;
    uint32_t code_seen;       /* of code_generation; this core's own */
    struct trace_ring *trace; /* may be NULL early in the boot: nothing is recorded then */
    struct log_ring *log;     /* may be NULL, likewise */
};

/* From <platform_inline.h>:
 *   struct cpu *core_current(void);
 *   void core_relax(void);          a pause inside a spin loop
 *   void core_progress(void);       once per turn of a core's loop, for the watchdog
 *   void core_serialize(void);      nothing fetched before it is executed after it
 *   uint64_t clock_cycles(void);    TSC; may be shown, never decides anything
 *   mmio_read8/16/32/64(const volatile void *address)
 *   mmio_write8/16/32/64(volatile void *address, value)
 *   port_read8/16/32(uint16_t port), port_write8/16/32(uint16_t port, value)
 *   io_fence(void)                  orders memory before a doorbell (virtio 1.2, 2.7.13) */
#include <platform_inline.h>

/* Cores that are running and may be given work, 1 to CORE_MAX. Core 0 is the one that booted. */
unsigned core_count(void);

/* Lets core `core` (1 to core_count() - 1), parked so far, run entry(arg) for good. */
void core_start(unsigned core, void (*entry)(void *arg), void *arg);

/* Makes core_idle() of that core return soon. From any core, from interrupt handlers too. The
 * sender's stores before it are seen by the woken core. */
void core_wake(unsigned core);

/* Sleeps until core_wake() of this core, an interrupt attached to it, or deadline_ns. Returns at
 * once if one of them came since the previous core_idle() of this core returned: so a core that
 * arms its queues, looks once more and then idles never sleeps over work. */
void core_idle(uint64_t deadline_ns);

/* A second line of execution on the control core, with a stack of its own (256 KiB, guarded). */
struct coroutine;
struct coroutine *coroutine_create(void (*entry)(void *arg), void *arg) MUST_CHECK;
void coroutine_resume(struct coroutine *coroutine); /* runs it until it yields or ends */
void coroutine_yield(struct coroutine *coroutine);  /* only from inside it */
void coroutine_destroy(struct coroutine *coroutine);

/* ---- Time ----------------------------------------------------------------------------------- */

uint64_t clock_ns(void); /* since the kernel's first instruction; never goes back */
int64_t
clock_unix_ns(void); /* UTC since 1970, as the machine's clock said at the boot, plus clock_ns() */

/* ---- Memory, for control work only, never in the datapath ------------------------------------ */

/* Whose memory it is: `show memory` counts by these. Names in kernel/base/memory_tag.c. */
enum memory_tag {
    MEMORY_MISC,
    MEMORY_BOOT,
    MEMORY_STACK,
    MEMORY_PACKET,
    MEMORY_RING, /* descriptor rings and what drivers keep per device */
    MEMORY_DRIVER,
    MEMORY_CORE,
    MEMORY_CONFIG,
    MEMORY_ROUTE, /* the RIB */
    MEMORY_FIB,
    MEMORY_NEIGHBOR,
    MEMORY_FRAGMENT,
    MEMORY_FILTER,
    MEMORY_SOCKET,
    MEMORY_CODE,
    MEMORY_SHELL,
    MEMORY_LOG,
    MEMORY_TEST,
    MEMORY_TAG_COUNT,
};

const char *memory_tag_name(enum memory_tag tag);

/* Zeroed memory, or NULL. align is a power of two; 0 means 16. The place of the call is kept in
 * debug builds, so that leaks, overruns and double frees name it. */
#define memory_alloc(size, align, tag) memory_alloc_at((size), (align), (tag), __FILE__, __LINE__)
#define memory_free(pointer)           memory_free_at((pointer), __FILE__, __LINE__)
void *memory_alloc_at(size_t size, size_t align, enum memory_tag tag, const char *file,
                      int line) MUST_CHECK;
void memory_free_at(void *pointer, const char *file, int line); /* NULL is allowed */

/* The same with anything in it, for much memory that is written before it is read, or cleared in
 * pieces between two pauses. */
#define memory_alloc_uncleared(size, align, tag) \
    memory_alloc_uncleared_at((size), (align), (tag), __FILE__, __LINE__)
void *memory_alloc_uncleared_at(size_t size, size_t align, enum memory_tag tag, const char *file,
                                int line) MUST_CHECK;

/* Zeroed, physically contiguous memory that devices may read and write, or NULL. */
#define dma_alloc(size, align, tag) dma_alloc_at((size), (align), (tag), __FILE__, __LINE__)
#define dma_free(pointer)           dma_free_at((pointer), __FILE__, __LINE__)
void *dma_alloc_at(size_t size, size_t align, enum memory_tag tag, const char *file,
                   int line) MUST_CHECK;

/* Likewise with anything in it. */
#define dma_alloc_uncleared(size, align, tag) \
    dma_alloc_uncleared_at((size), (align), (tag), __FILE__, __LINE__)
void *dma_alloc_uncleared_at(size_t size, size_t align, enum memory_tag tag, const char *file,
                             int line) MUST_CHECK;
void dma_free_at(void *pointer, const char *file, int line); /* NULL is allowed */
uint64_t dma_address(const void *pointer); /* what the device calls a byte of dma_alloc() memory */

/* Figures for `show memory`. */
struct memory_stats {
    uint64_t live;
    uint64_t live_bytes;
    uint64_t peak_bytes;
    uint64_t double_frees;
    uint64_t corruptions;
    uint64_t free_bytes; /* RAM nobody has taken yet; 0 where nobody can tell */
    struct {
        uint64_t live;
        uint64_t live_bytes;
    } tags[MEMORY_TAG_COUNT];
};
void memory_stats(struct memory_stats *stats);

/* ---- Code that is made at run time ----------------------------------------------------------- *
 *
 * For control work on the control core alone. What is written cannot be executed, what can be
 * executed cannot be written, by no address and on no core:
 *
 *   code_alloc()   bytes[] are ordinary memory; entry is where they will run, traps until then
 *   code_seal()    bytes[] go to entry and are no more
 *   code_free()    traps again; whoever may still be running it must have been waited for
 *                  (kernel/base/snapshot.h)
 *
 * A core may have fetched from a place before new code came there (Intel SDM volume 3, 8.1.3). So
 * each calls core_follow_code() once per turn, after it loaded the pointer that may lead to new
 * code and before it follows it. */

enum { CODE_BYTES_MAX = 1 << 20 }; /* of one piece: a quarter million instructions */

struct code {
    uint8_t *bytes;    /* size_bytes of them; NULL once sealed */
    const void *entry; /* at a cache line; within 2 GiB of the program's own functions, where the
                          machine is bare */
    size_t size_bytes;
};

/* Size is 1 to CODE_BYTES_MAX. NULL: no memory, or no room for so much code. */
struct code *code_alloc(size_t size) MUST_CHECK;

/* The code must have been written and not sealed before. After an error it can only be freed. */
enum error code_seal(struct code *code) MUST_CHECK;

void code_free(struct code *code); /* sealed or not; NULL is allowed */

extern _Atomic uint32_t code_generation; /* counts code_seal(); the seam's own */

static inline void core_follow_code(void)
{
    struct cpu *cpu = core_current();
    uint32_t generation = atomic_load_explicit(&code_generation, memory_order_acquire);
    if (UNLIKELY(cpu->code_seen != generation)) {
        cpu->code_seen = generation;
        core_serialize();
    }
}

/* ---- Devices -------------------------------------------------------------------------------- */

/* PCI configuration space; all ones where there is nothing. size is 1, 2 or 4, offset aligned. */
struct pci_address {
    uint16_t segment;
    uint8_t bus;
    uint8_t device;   /* 0 to 31 */
    uint8_t function; /* 0 to 7 */
};
uint32_t pci_config_read(struct pci_address address, unsigned offset, unsigned size);
void pci_config_write(struct pci_address address, unsigned offset, unsigned size, uint32_t value);

/* Maps device registers uncached, or NULL: no memory for it, or RAM is there. Stays mapped for
 * good.
 */
void *mmio_map(uint64_t physical, size_t size) MUST_CHECK;

/* An interrupt does one thing: it wakes a core, and counts. So no driver has code that runs in an
 * interrupt. Handles are small numbers; -1 says that none is left. */
int interrupt_alloc(unsigned core) MUST_CHECK;
void interrupt_free(int interrupt);
uint64_t interrupt_count(int interrupt); /* how often it came */

/* What to write into an MSI capability or an MSI-X table entry to raise it. False where the
 * machine has no message interrupts. */
bool interrupt_message(int interrupt, uint64_t *address, uint32_t *data) MUST_CHECK;

/* Pin interrupts (INTx, ISA). A level-triggered one is masked when it comes and stays so until
 * interrupt_unmask(): call that after the device was made quiet. */
bool interrupt_connect_isa(int interrupt, unsigned irq) MUST_CHECK;

/* Finds out which pin the device really drives, by letting it: tries `line_hint` (the PCI interrupt
 * line register) and the pins that PCI may use, calls raise(device), waits at most 10 ms for one of
 * them, calls quiet(device). False where none came: the caller polls instead and says so. */
bool interrupt_connect_pci_pin(int interrupt, unsigned line_hint, void (*raise)(void *device),
                               void (*quiet)(void *device), void *device) MUST_CHECK;
void interrupt_unmask(int interrupt);

/* ---- Storage --------------------------------------------------------------------------------- */

/* Named files that whoever started the machine hands over: boot modules and QEMU's fw_cfg files
 * `opt/tsuji/NAME` in the bare machine, files of a folder in a process. They are only read, by the
 * control core, and need not be closed. */
enum {
    FILE_NAME_MAX = 46,        /* with the final 0: fw_cfg has room for no more behind opt/tsuji/ */
    FILE_READ_MAX = 32 * 1024, /* bytes that one file_read() gives at most */
};

struct file {
    uint64_t size_bytes;
    /* The implementation's own. */
    const void *bytes; /* where all of it lies; NULL: it is asked for by what follows */
    unsigned item;     /* of fw_cfg */
    char name[FILE_NAME_MAX];
};

/* Letters, digits, `_`, `.` and `-`, fewer than FILE_NAME_MAX of them, no dot in front. */
bool file_name_is_valid(const char *name);

/* ERROR_BAD_VALUE: no valid name. ERROR_NOT_FOUND: nobody handed over such a file. Any other error:
 * there may be one, and it cannot be read. */
enum error file_open(const char *name, struct file *file) MUST_CHECK;

/* Up to size bytes from offset into out, which may be any memory; *read_bytes says how many: 0 at
 * the end only, but often fewer than asked for, since no call takes longer than some 100
 * microseconds. Whoever reads on from where the last read ended reads fastest. */
enum error file_read(const struct file *file, uint64_t offset, void *out, size_t size,
                     size_t *read_bytes) MUST_CHECK;

/* ---- Entropy, last words --------------------------------------------------------------------- */

void random_bytes(void *out, size_t size);

void platform_write(const char *text, size_t length); /* to where a human may see it, at any time */
_Noreturn void platform_panic(const char *file, int line, const char *text);
_Noreturn void platform_exit(int code); /* the command `exit N`: see INTERFACE, isa-debug-exit */
_Noreturn void platform_power_off(void);
_Noreturn void platform_restart(void);

/* "qemu", "vmware", "bare" or "process". */
const char *platform_name(void);
