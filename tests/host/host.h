/* What a test, a simulation or the router as a process may ask of the seam under it, beyond
 * kernel/platform.h.
 *
 * At the start: one core, the real clock, true randomness, no devices. */
#pragma once

#include "kernel/base/types.h"
#include "kernel/platform.h"

/* ---- Memory -----------------------------------------------------------------------------------
 */

/* The next memory_alloc() or dma_alloc() but n fails (0: the very next), once; UINT64_MAX: none
 * does. The count starts anew. */
void host_fail_allocation(uint64_t n);
uint64_t host_allocation_count(void); /* since then */

/* Names every live allocation on stderr; how many there are. A test must end with none. */
uint64_t host_memory_report(void);

/* All code together has room for so many bytes; SIZE_MAX: for any, as at the start. What is there
 * already stays, and counts. */
void host_limit_code(size_t bytes);

/* The end of so many bytes, a multiple of PAGE_BYTES; behind them lies a page that nobody may
 * touch. For code that AddressSanitizer does not watch. For good. */
uint8_t *host_guarded_end(size_t size);

/* ---- Time and chance --------------------------------------------------------------------------
 */

void host_clock_virtual(uint64_t now_ns); /* the clock stands still until told; nobody sleeps */
void host_clock_real(void);
bool host_clock_is_virtual(void);
void host_random_seed(uint64_t seed); /* from here on random_bytes() repeats itself */

/* ---- Cores ------------------------------------------------------------------------------------
 */

enum host_cores {
    HOST_THREADS, /* core_start() makes a thread, core_idle() sleeps */
    HOST_STEPPED, /* core_start() does nothing and core_idle() returns at once: the test steps all
                     cores */
};

void host_cores(unsigned count, enum host_cores how);

/* From here on this thread is that core; NULL: the boot core again. Answers who it was. */
struct cpu *host_core_enter(struct cpu *cpu);

uint64_t host_wake_count(unsigned core); /* core_wake() calls so far */

/* core_idle() of that core returns when the file can be read, too: an interrupt of the process.
 * Called by that core alone, HOST_WATCH_MAX files each. */
enum { HOST_WATCH_MAX = 64 };
void host_watch(unsigned core, int file);
void host_unwatch(unsigned core, int file);

/* ---- Devices ----------------------------------------------------------------------------------
 */

/* A device in C. offset is from the start of the range it was attached to. */
struct device_model {
    void *context;
    uint64_t (*read)(void *context, uint64_t offset, unsigned size);
    void (*write)(void *context, uint64_t offset, unsigned size, uint64_t value);
};

enum { HOST_DEVICE_MAX = 320 }; /* a full PCI bus, and more */

/* The model must stay where it is until host_detach_all(). mmio_map() of an attached range works,
 * of any other answers NULL. Attaching what overlaps hides what was there before. */
void host_attach_mmio(uint64_t physical, uint64_t size, const struct device_model *model);
void host_attach_ports(uint16_t port, unsigned count, const struct device_model *model);
void host_attach_pci(struct pci_address address, const struct device_model *model);
/* mmio_map() of that range gives this memory: frame buffers and the like. */
void host_attach_memory(uint64_t physical, uint64_t size, void *memory);
void host_detach_all(void);

/* What a device does to interrupt. */
void host_interrupt(int interrupt);                 /* by its handle */
bool host_message(uint64_t address, uint32_t data); /* false: nobody has that message */
void host_pin(unsigned irq); /* an ISA line or PCI pin; nothing happens while it is masked */

/* ---- Files ------------------------------------------------------------------------------------
 */

enum { HOST_FILE_MAX = 32 };

/* file_open() finds these bytes, which stay the caller's, by that name; what had it before is
 * forgotten. */
void host_file_add(const char *name, const void *bytes, size_t size);
void host_file_remove_all(void);

/* Other names are files of this folder. False: it is none, and there are no others. */
bool host_file_folder(const char *path) MUST_CHECK;

/* file_read() gives at most so many bytes, 1 to FILE_READ_MAX: lines end anywhere then. */
void host_file_read_max(size_t size);
/* The next file_read() but n fails (0: the very next), once; UINT64_MAX: none does. */
void host_fail_read(uint64_t n);

/* ---- Last words -------------------------------------------------------------------------------
 */

/* Called instead of writing to stderr, or NULL. */
void host_capture_output(void (*capture)(const char *text, size_t length));
