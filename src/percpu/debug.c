/* SPDX-License-Identifier: MIT */
/*
 * Owns PERCPU_OPTIONS check and leaks, and reports allocations to sanitizers and Valgrind. If any
 * of these is on, the area cache is off, so that every allocation and free calls a hook.
 *
 *   check   fills every copy with poison on free; anything else but zero in a copy on reuse is a
 *           write after free
 *   leaks   enters each live allocation with its caller in a table (trace.h) and prints the table
 *           at exit
 *   tools   an entry stays after the free, with its trace, until an area with the same start is
 *           allocated; a report of a tool names the area freed last that contains the address
 */
#include "percpu/percpu.h"
#include "percpu/trace.h"

/* The users of the hooks: two options, and the tools that the program runs under. */
struct asked {
	bool check, leaks, tools;
};

static const struct asked *asked(void)
{
	static struct asked read;
	static bool is_read; /* all writers store the same; the acquire pairs with asked */

	if (percpu__unlikely(!__atomic_load_n(&is_read, __ATOMIC_ACQUIRE))) {
		const struct percpu__options now = percpu__options(false);

		__atomic_store_n(&read.check, now.check, __ATOMIC_RELAXED);
		__atomic_store_n(&read.leaks, now.leaks, __ATOMIC_RELAXED);
		__atomic_store_n(&read.tools, percpu__is_sanitized(), __ATOMIC_RELAXED);
		__atomic_store_n(&is_read, true, __ATOMIC_RELEASE);
	}
	return &read;
}

bool percpu__debug_on(void)
{
	return asked()->check || asked()->leaks || asked()->tools;
}

/* ---- reports ---- */

/*
 * Prints the leaks at exit. Takes the table out of use first: describing a caller takes the
 * loader's lock, and its holders may allocate.
 */
static void print_leaks(void)
{
	size_t nr;
	struct percpu__traced *leaks = percpu__traces_take(&nr);
	char where[256];

	for (size_t at = 0; at < nr; at++) {
		if (!leaks[at].pointer || leaks[at].freed_at)
			continue;
		percpu__describe_code(leaks[at].caller, where, sizeof(where));
		percpu__warn(NULL,
			     &(struct percpu__subject){ .pointer = (void *)leaks[at].pointer,
							.text = where,
							.value = { leaks[at].bytes } },
			     PERCPU__FAULT_LEAK);
	}
	if (leaks)
		percpu__release(leaks, nr * sizeof(*leaks));
}

/* Adds to a tool's report which freed area the address lies in. */
static void print_freed_area(uintptr_t address)
{
	uintptr_t copy = 0;
	const struct percpu__traced *last = percpu__traces_find_freed(address, &copy);

	if (!last || !last->trace)
		return;
	percpu__warn(NULL,
		     &(struct percpu__subject){ .pointer = (void *)address,
						.value = { copy, last->pointer, last->bytes } },
		     PERCPU__FAULT_FREED_ACCESS);
	percpu__sanitizer_print(last->trace);
}

/* Registers both functions once. Context: no lock is held, because libc takes locks for this. */
static void prepare(void)
{
	static bool is_prepared;

	if (__atomic_exchange_n(&is_prepared, true, __ATOMIC_RELAXED))
		return;
	if (asked()->leaks)
		percpu__at_exit(print_leaks);
	if (asked()->tools)
		percpu__on_report(print_freed_area);
}

/* ---- the hooks ---- */

static struct percpu__sanitized watched(struct percpu__area area)
{
	return (struct percpu__sanitized){
		.first = (char *)percpu_ptr(percpu__area_pointer(area), 0),
		.stride = PERCPU_STRIDE,
		.bytes = area.bytes,
		.nr = percpu_nr_copies(),
	};
}

void percpu__debug_allocated(struct percpu__area area, const void *caller)
{
	struct percpu__traced entry = { .pointer = (uintptr_t)percpu__area_pointer(area),
					.caller = caller,
					.bytes = area.bytes };

	if (!asked()->leaks && !asked()->tools)
		return;
	prepare();
	if (asked()->tools)
		entry.trace = percpu__sanitizer_begin(watched(area));
	percpu__sanitizer_forget(percpu__traces_insert(entry));
}

void percpu__debug_freed(struct percpu__area area)
{
	struct percpu__trace *trace = NULL;

	if (asked()->check)
		percpu__copies_poison(area);
	if (asked()->leaks || asked()->tools)
		trace = percpu__traces_free((uintptr_t)percpu__area_pointer(area), asked()->tools);
	if (asked()->tools)
		percpu__sanitizer_end(watched(area), trace);
}

void percpu__debug_reused(struct percpu__area area)
{
	if (asked()->tools)
		percpu__sanitizer_pause(watched(area));
	if (asked()->check)
		percpu__copies_verify(area);
}

void percpu__debug_chunk(const struct percpu__chunk *chunk, bool is_there)
{
	const struct percpu__sanitized units = {
		.first = (char *)percpu__chunk_unit(chunk, 0),
		.stride = PERCPU_STRIDE,
		.bytes = PERCPU_STRIDE,
		.nr = percpu_nr_copies(),
	};

	percpu__hold_pointers(units.first, units.nr * PERCPU_STRIDE, is_there);
	if (!is_there && asked()->tools)
		percpu__sanitizer_pause(units);
}

#ifndef PERCPU_SHARED_OBJECT
/*
 * Frees all traces, which malloc allocated, when this copy of the library is unloaded with its
 * module or at process exit: no report reaches this copy any more.
 */
__attribute__((destructor)) static void forget_traces(void)
{
	struct percpu__trace *trace;

	if (!percpu__may_be_unloaded() || !asked()->tools)
		return;
	for (size_t at = 0; percpu__traces_take_trace(at, &trace); at++)
		percpu__sanitizer_forget(trace);
}
#endif
