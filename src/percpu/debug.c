/* SPDX-License-Identifier: MIT */
/*
 * Owns PERCPU_OPTIONS check and leaks. With either on, the area cache is off, so that every allocation and
 * free passes here.
 *
 *   check   poison in every copy on free; on reuse a copy that holds anything else was written after
 *           the free
 *   leaks   who allocated what lives, in a hash table of its own mapping, told once, at exit
 *
 * And what sanitizers and Valgrind hear of allocations, where the program runs under them. For them an
 * entry of the table stays after the free, until there is another allocation with the same start; of several
 * that an address lies in, a report is about the one freed last.
 */
#include <stdio.h>

#include "percpu/percpu.h"

struct entry {
	uintptr_t pointer; /* 0: vacant */
	const void *caller;
	size_t bytes;
	struct percpu__trace *trace;
	uint64_t freed_at; /* by the count of frees; 0: it lives */
};

static struct percpu__lock lock = PERCPU__LOCK_INIT(PERCPU__RANK_DEBUG);
static struct entry *table; /* linear probing, at most half full; lock */
static size_t capacity, nr_entries;
static uint64_t nr_freed;

/* Who wants to know: the options, and the tools that the program runs under. */
struct asked {
	bool check, leaks, tools;
};

static const struct asked *asked(void)
{
	static struct asked read;
	static bool is_read; /* every writer writes the same; the acquire pairs with asked below */

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

void percpu__debug_lock_for_fork(void)
{
	percpu__lock_for_fork(&lock);
}

void percpu__debug_unlock_after_fork(void)
{
	percpu__unlock_after_fork(&lock);
}

/* ---- the table ---- */

/* Where pointer's search begins. */
static size_t bucket(uintptr_t pointer)
{
	return (pointer >> PERCPU__GRANULE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15) % capacity;
}

/* The entry of pointer, or the vacant one that would be its. */
static struct entry *find(uintptr_t pointer)
{
	size_t at = bucket(pointer);

	while (table[at].pointer && table[at].pointer != pointer)
		at = (at + 1) % capacity;
	return &table[at];
}

/* The table is taken out first: naming a caller takes the loader's lock, and its holders may allocate. */
static void tell_leaks(void)
{
	char where[256];
	struct entry *told;
	size_t nr;

	percpu__lock(&lock);
	told = table;
	nr = capacity;
	table = NULL;
	capacity = nr_entries = 0;
	percpu__unlock(&lock);
	for (size_t at = 0; at < nr; at++) {
		if (!told[at].pointer || told[at].freed_at)
			continue;
		percpu__describe_code(told[at].caller, where, sizeof(where));
		percpu__warn(NULL,
			     &(struct percpu__subject){ .pointer = (void *)told[at].pointer, .text = where,
							.value = { told[at].bytes } },
			     PERCPU__FAULT_LEAK);
	}
	if (told)
		percpu__release(told, nr * sizeof(*told));
}

/* Behind a report: the process may be about to end, and whoever holds the lock may be who reports. */
static void tell_of_freed(uintptr_t address)
{
	const struct entry *last = NULL;
	uintptr_t copy = 0;

	for (size_t at = 0; at < capacity; at++) {
		const uintptr_t distance = address - table[at].pointer;

		if (!table[at].pointer || distance >> PERCPU_STRIDE_SHIFT > percpu_nr_copies() ||
		    distance < PERCPU_STRIDE || distance % PERCPU_STRIDE >= table[at].bytes)
			continue;
		if (!last || table[at].freed_at > last->freed_at) {
			last = &table[at];
			copy = (distance >> PERCPU_STRIDE_SHIFT) - 1;
		}
	}
	if (!last || !last->freed_at || !last->trace)
		return;
	percpu__warn(NULL,
		     &(struct percpu__subject){ .pointer = (void *)address,
						.value = { copy, last->pointer, last->bytes } },
		     PERCPU__FAULT_FREED_ACCESS);
	percpu__sanitizer_print(last->trace);
}

/* Both take locks of libc's, so that it is done once, without ours. */
static void prepare(void)
{
	static bool is_prepared;

	if (__atomic_exchange_n(&is_prepared, true, __ATOMIC_RELAXED))
		return;
	if (asked()->leaks)
		percpu__at_exit(tell_leaks);
	if (asked()->tools)
		percpu__on_report(tell_of_freed);
}

static bool grow(void)
{
	struct entry *old = table;
	const size_t old_capacity = capacity, doubled = capacity ? 2 * capacity : 1024;
	struct entry *made = percpu__map(doubled * sizeof(*made));

	if (!made)
		return false;
	percpu__hold_pointers(made, doubled * sizeof(*made), true); /* traces */
	table = made;
	capacity = doubled;
	for (size_t at = 0; at < old_capacity; at++)
		if (old[at].pointer)
			*find(old[at].pointer) = old[at];
	if (old) {
		percpu__hold_pointers(old, old_capacity * sizeof(*old), false);
		percpu__release(old, old_capacity * sizeof(*old));
	}
	return true;
}

/* Returns: the trace that nobody needs any more, of whoever had the place, or, when there is no room, the entry's own. */
static struct percpu__trace *insert(struct entry entry)
{
	struct percpu__trace *old;
	struct entry *place;

	if (2 * nr_entries >= capacity && !grow())
		return entry.trace; /* untold rather than refused */
	place = find(entry.pointer);
	old = place->trace;
	nr_entries += !place->pointer;
	*place = entry;
	return old;
}

/* Empties a slot and moves those behind it up, so that no search breaks off at the gap. */
static void erase(uintptr_t pointer)
{
	struct entry *gap;

	if (!capacity)
		return;
	gap = find(pointer);
	if (!gap->pointer)
		return;
	nr_entries--;
	*gap = (struct entry){ .pointer = 0 };
	for (size_t at = (gap - table + 1) % capacity; table[at].pointer; at = (at + 1) % capacity) {
		const struct entry moved = table[at];

		table[at] = (struct entry){ .pointer = 0 };
		*find(moved.pointer) = moved;
	}
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
	struct entry entry = { .pointer = (uintptr_t)percpu__area_pointer(area), .caller = caller, .bytes = area.bytes };
	struct percpu__trace *old;

	if (!asked()->leaks && !asked()->tools)
		return;
	prepare();
	if (asked()->tools)
		entry.trace = percpu__sanitizer_begin(watched(area));
	percpu__lock(&lock);
	old = insert(entry);
	percpu__unlock(&lock);
	percpu__sanitizer_forget(old);
}

/* Marks the entry as freed, where its trace is of use, or does without it. Returns: the trace. */
static struct percpu__trace *retire(uintptr_t pointer)
{
	struct percpu__trace *trace = NULL;
	struct entry *entry;

	percpu__lock(&lock);
	entry = capacity && asked()->tools ? find(pointer) : NULL;
	if (entry && entry->pointer) {
		entry->freed_at = ++nr_freed;
		trace = entry->trace;
	} else {
		erase(pointer);
	}
	percpu__unlock(&lock);
	return trace;
}

void percpu__debug_freed(struct percpu__area area)
{
	struct percpu__trace *trace = NULL;

	if (asked()->check)
		percpu__copies_poison(area);
	if (asked()->leaks || asked()->tools)
		trace = retire((uintptr_t)percpu__area_pointer(area));
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
		.first = (char *)percpu__chunk_unit(chunk, 0), .stride = PERCPU_STRIDE, .bytes = PERCPU_STRIDE,
		.nr = percpu_nr_copies(),
	};

	percpu__hold_pointers(units.first, units.nr * PERCPU_STRIDE, is_there);
	if (!is_there && asked()->tools)
		percpu__sanitizer_pause(units);
}

#ifndef PERCPU_SHARED_OBJECT
/*
 * Traces are malloc's, and nobody hears of reports any more when a copy of the library goes, be it with its module or
 * with the process.
 */
__attribute__((destructor)) static void forget_traces(void)
{
	if (!percpu__may_be_unloaded() || !asked()->tools)
		return;
	for (size_t at = 0;; at++) {
		struct percpu__trace *trace = NULL;
		bool is_end;

		percpu__lock(&lock);
		is_end = at >= capacity;
		if (!is_end) {
			trace = table[at].trace;
			table[at].trace = NULL;
		}
		percpu__unlock(&lock);
		if (is_end)
			return;
		percpu__sanitizer_forget(trace);
	}
}
#endif
