/* SPDX-License-Identifier: MIT */
/*
 * What the sanitizers of a program are told, for none of them can see into a section. In other
 * builds it is nothing at all.
 *
 *   address   what an operation is about to touch
 *   thread    the items that go from one thread to another through the critical sections of a CPU. These
 *             order the items: one begins where another has ended, and the kernel orders a thread's move
 *             between CPUs. A thread hands an item over before it puts it there, and takes it over after it
 *             took it. A pointer in a word is an item, too.
 *             Everything else is handed on by locks and atomics, which the sanitizer sees.
 */
#ifndef PERCPU_SANITIZERS_H
#define PERCPU_SANITIZERS_H

#include <stdbool.h>
#include <stdint.h>

#ifndef __has_feature
#define PERCPU__HAS_FEATURE(feature) 0
#else
#define PERCPU__HAS_FEATURE(feature) __has_feature(feature)
#endif
#if defined(__SANITIZE_ADDRESS__) || PERCPU__HAS_FEATURE(address_sanitizer)
#define PERCPU__ASAN 1
#else
#define PERCPU__ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || PERCPU__HAS_FEATURE(thread_sanitizer)
#define PERCPU__TSAN 1
#else
#define PERCPU__TSAN 0
#endif
#undef PERCPU__HAS_FEATURE

#ifdef __cplusplus
extern "C" {
#endif

#if PERCPU__ASAN
void __asan_loadN(void *address, long size);
void __asan_storeN(void *address, long size);
#define percpu__will_load(p, size) __asan_loadN((void *)percpu__copy_at((uintptr_t)(p), percpu_this_cpu()), (long)(size))
#define percpu__will_store(p, size) __asan_storeN((void *)percpu__copy_at((uintptr_t)(p), percpu_this_cpu()), (long)(size))
#else
#define percpu__will_load(p, size) ((void)0)
#define percpu__will_store(p, size) ((void)0)
#endif

/*
 * As far as one can tell: NULL is no item, nor is all that a word of pointer type may hold, or a
 * free may be given.
 */
#define percpu__is_item(value) ((uint64_t)(value) >= 4096 && (uint64_t)(value) >> 47 == 0)
#if PERCPU__TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define percpu__hand_over(item) (percpu__is_item((uintptr_t)(item)) ? __tsan_release(item) : (void)0)
#define percpu__take_over(item) (percpu__is_item((uintptr_t)(item)) ? __tsan_acquire(item) : (void)0)

static inline __attribute__((__unused__)) uint64_t percpu__hand_over_value(uint64_t value,
									   bool is_pointer)
{
	if (is_pointer)
		percpu__hand_over((void *)(uintptr_t)value);
	return value;
}

static inline __attribute__((__unused__)) uint64_t percpu__take_over_value(uint64_t value,
									   bool is_pointer)
{
	if (is_pointer)
		percpu__take_over((void *)(uintptr_t)value);
	return value;
}
#else
#define percpu__hand_over(item) ((void)0)
#define percpu__take_over(item) ((void)0)
#define percpu__hand_over_value(value, is_pointer) (value)
#define percpu__take_over_value(value, is_pointer) (value)
#endif

#ifdef __cplusplus
}
#endif
#endif
