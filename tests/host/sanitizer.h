/* AddressSanitizer has to be told about stacks that change and what only they point to, and
 * ThreadSanitizer who runs on this thread. Without them these do nothing. */
#pragma once

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define HOST_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define HOST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOST_ASAN 1
#elif __has_feature(thread_sanitizer)
#define HOST_TSAN 1
#endif
#endif

#ifdef HOST_ASAN

#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>

#define sanitizer_leave_stack(save, bottom, size) __sanitizer_start_switch_fiber(save, bottom, size)
#define sanitizer_enter_stack(saved, bottom, size) \
    __sanitizer_finish_switch_fiber(saved, bottom, size)
#define sanitizer_add_roots(start, size)    __lsan_register_root_region(start, size)
#define sanitizer_remove_roots(start, size) __lsan_unregister_root_region(start, size)

#else

static inline void sanitizer_leave_stack(void **save, const void *bottom, size_t size)
{
    (void)save, (void)bottom, (void)size;
}

static inline void sanitizer_enter_stack(void *saved, const void **bottom, size_t *size)
{
    (void)saved, (void)bottom, (void)size;
}

static inline void sanitizer_add_roots(void *start, size_t size)
{
    (void)start, (void)size;
}

static inline void sanitizer_remove_roots(void *start, size_t size)
{
    (void)start, (void)size;
}

#endif

/* A fiber is ThreadSanitizer's name for a stack of its own with a line of execution. */
#ifdef HOST_TSAN

#include <sanitizer/tsan_interface.h>

#define sanitizer_create_fiber()       __tsan_create_fiber(0)
#define sanitizer_destroy_fiber(fiber) __tsan_destroy_fiber(fiber)
#define sanitizer_current_fiber()      __tsan_get_current_fiber()
#define sanitizer_enter_fiber(fiber)   __tsan_switch_to_fiber(fiber, 0)

#else

static inline void *sanitizer_create_fiber(void)
{
    return NULL;
}

static inline void *sanitizer_current_fiber(void)
{
    return NULL;
}

static inline void sanitizer_enter_fiber(void *fiber)
{
    (void)fiber;
}

static inline void sanitizer_destroy_fiber(void *fiber)
{
    (void)fiber;
}

#endif
