/* SPDX-License-Identifier: MIT */
/*
 * Owns the cooperation with tools that check every access of a program: AddressSanitizer,
 * LeakSanitizer, ThreadSanitizer and Valgrind. They know the blocks of malloc. The library tells
 * them which of its memory is not allocated, where pointers lie that keep blocks from being leaks,
 * and which objects go from one thread to another. The library itself is built without sanitizers:
 * it finds those of the program through weak references, and most processes have none.
 *
 * AddressSanitizer has no stacks for such memory in its reports. Therefore each allocation has a
 * trace with the stacks of its allocation and its free, which is printed after the report. Valgrind
 * treats copies as blocks of malloc and keeps their stacks itself.
 */
#include <stdio.h>
#include <stdlib.h>

#include "platform/platform.h"

#include <percpu/sanitizers.h>

#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_MALLOCLIKE_BLOCK(start, bytes, around, is_zeroed) ((void)(start))
#define VALGRIND_FREELIKE_BLOCK(start, around) ((void)(start))
#define VALGRIND_MAKE_MEM_DEFINED(start, bytes) ((void)(start))
#endif

#define WEAK __attribute__((weak))

extern void __asan_poison_memory_region(const volatile void *start, size_t bytes) WEAK;
extern void __asan_unpoison_memory_region(const volatile void *start, size_t bytes) WEAK;
extern void __asan_set_error_report_callback(void (*hear)(const char *report)) WEAK;
extern void *__asan_get_report_address(void) WEAK;
extern void __sanitizer_symbolize_pc(void *pc, const char *format, char *text, size_t size) WEAK;
extern void __lsan_register_root_region(const void *start, size_t bytes) WEAK;
extern void __lsan_unregister_root_region(const void *start, size_t bytes) WEAK;
extern int backtrace(void **stack, int size) WEAK; /* glibc's */

extern void __tsan_acquire(void *address) WEAK;
extern void __tsan_release(void *address) WEAK;

/*
 * A library that is built with the sanitizer is for its own tests, which want the
 * paths of other builds.
 */
#define INSTRUMENTED (PERCPU__ASAN || PERCPU__TSAN)

static bool has_asan(void)
{
	return !INSTRUMENTED && __asan_poison_memory_region && __asan_unpoison_memory_region;
}

static bool has_tsan(void)
{
	return !INSTRUMENTED && __tsan_acquire && __tsan_release;
}

/* If every area goes through the pools' locks, ThreadSanitizer sees its previous owner. */
bool percpu__is_sanitized(void)
{
	return has_asan() || has_tsan() || RUNNING_ON_VALGRIND;
}

void percpu__sanitizer_hand_over(void *const *objects, size_t n)
{
	for (size_t i = 0; has_tsan() && i < n; i++)
		if (percpu__is_item((uintptr_t)objects[i])) /* nothing else is known of it yet */
			__tsan_release(objects[i]);
}

void percpu__sanitizer_take_over(void *const *objects, size_t n)
{
	for (size_t i = 0; has_tsan() && i < n; i++)
		__tsan_acquire(objects[i]);
}

#define DEEPEST 24

struct stack {
	int nr;
	void *frames[DEEPEST];
};

/*
 * A per-CPU pointer points to no copy; a held pointer to the copies keeps them from
 * being leaks to Valgrind.
 */
struct percpu__trace {
	struct stack allocated, freed;
	char *copies[];
};

static struct stack stack_here(void)
{
	struct stack stack = { .nr = 0 };

	if (has_asan() && backtrace)
		stack.nr = backtrace(stack.frames, DEEPEST);
	return stack;
}

static char *copy_of(const struct percpu__sanitized *area, unsigned i)
{
	return area->first + i * area->stride;
}

struct percpu__trace *percpu__sanitizer_begin(struct percpu__sanitized area)
{
	struct percpu__trace *trace = NULL;

	if (has_asan() || RUNNING_ON_VALGRIND)
		trace = malloc(sizeof(*trace) + area.nr * sizeof(trace->copies[0]));
	if (trace)
		trace->allocated = stack_here();
	for (unsigned i = 0; i < area.nr; i++) {
		if (has_asan())
			__asan_unpoison_memory_region(copy_of(&area, i), area.bytes);
		VALGRIND_MALLOCLIKE_BLOCK(copy_of(&area, i), area.bytes, 0, true);
		if (trace)
			trace->copies[i] = copy_of(&area, i);
	}
	return trace;
}

void percpu__sanitizer_end(struct percpu__sanitized area, struct percpu__trace *trace)
{
	if (trace)
		trace->freed = stack_here();
	for (unsigned i = 0; i < area.nr; i++) {
		if (has_asan())
			__asan_poison_memory_region(copy_of(&area, i), area.bytes);
		VALGRIND_FREELIKE_BLOCK(copy_of(&area, i), 0);
	}
}

void percpu__sanitizer_forget(struct percpu__trace *trace)
{
	free(trace);
}

void percpu__sanitizer_pause(struct percpu__sanitized area)
{
	for (unsigned i = 0; i < area.nr; i++) {
		if (has_asan())
			__asan_unpoison_memory_region(copy_of(&area, i), area.bytes);
		VALGRIND_MAKE_MEM_DEFINED(copy_of(&area, i), area.bytes);
	}
}

void percpu__hold_pointers(const void *start, size_t bytes, bool on)
{
	void (*const tell)(const void *, size_t) =
		on ? __lsan_register_root_region : __lsan_unregister_root_region;

	if (!tell)
		return;
	if (on)
		percpu__ledger_add(PERCPU__LEDGER_POINTERS, (uintptr_t)start, bytes, 0);
	else
		percpu__ledger_strike(PERCPU__LEDGER_POINTERS, (uintptr_t)start, bytes);
	tell(start, bytes);
}

void percpu__forget_pointers(const void *start, size_t bytes)
{
	if (__lsan_unregister_root_region)
		__lsan_unregister_root_region(start, bytes);
	if (has_asan())
		__asan_unpoison_memory_region(start, bytes);
}

void percpu__kernel_wrote(void *start, size_t bytes)
{
	VALGRIND_MAKE_MEM_DEFINED(start, bytes);
}

/* ---- reports ---- */

static void print_stack(enum percpu__fault heading, const struct stack *stack)
{
	char text[512];

	percpu__warn(NULL, NULL, heading);
	for (int i = 0; i < stack->nr; i++) {
		snprintf(text, sizeof(text), "%p", stack->frames[i]);
		if (__sanitizer_symbolize_pc)
			__sanitizer_symbolize_pc((char *)stack->frames[i] - 1, "in %f %S", text,
						 sizeof(text));
		percpu__warn(NULL, &(struct percpu__subject){ .text = text, .value = { i } },
			     PERCPU__FAULT_FRAME);
	}
}

void percpu__sanitizer_print(const struct percpu__trace *trace)
{
	print_stack(PERCPU__FAULT_FREED_HERE, &trace->freed);
	print_stack(PERCPU__FAULT_ALLOCATED_HERE, &trace->allocated);
}

static void (*tell_of)(uintptr_t address);

static void hear(const char *report)
{
	if (__asan_get_report_address)
		tell_of((uintptr_t)__asan_get_report_address());
}

void percpu__on_report(void (*tell)(uintptr_t address))
{
	tell_of = tell;
	if (__asan_set_error_report_callback)
		__asan_set_error_report_callback(hear);
}

#ifndef PERCPU_SHARED_OBJECT
/* The listener is unloaded with the module. */
__attribute__((destructor)) static void stop_hearing(void)
{
	if (tell_of && percpu__may_be_unloaded() && __asan_set_error_report_callback)
		__asan_set_error_report_callback(NULL);
}
#endif
