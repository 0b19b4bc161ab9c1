/* SPDX-License-Identifier: MIT */
/*
 * Owns PERCPU_OPTIONS check and leaks, and reports allocations to sanitizers and Valgrind. If any
 * of these is on, the area cache is off, so that every allocation and free calls a hook.
 *
 *   check   fills every copy with poison on free; anything else but zero in a copy on reuse is a
 *           write after free
 *   leaks   keeps the caller of each live allocation in a hash table and prints the leaks at exit
 *   tools   a table entry stays after the free, with the trace of the free, until an area with the
 *           same start is allocated; if several entries contain an address, a report names the
 *           one that was freed last
 */
#include <stdio.h>

#include "percpu/percpu.h"

struct entry {
	uintptr_t pointer; /* 0: vacant */
	const void *caller;
	size_t bytes;
	struct percpu__trace *trace;
	uint64_t freed_at; /* number of the free; 0: live */
};

static struct percpu__lock lock = PERCPU__LOCK_INIT(PERCPU__RANK_DEBUG);
static struct entry *table; /* linear probing, at most half full; lock */
static size_t capacity, nr_entries;
static uint64_t nr_freed;

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

void percpu__debug_lock_for_fork(void)
{
	percpu__lock_for_fork(&lock);
}

void percpu__debug_unlock_after_fork(void)
{
	percpu__unlock_after_fork(&lock);
}

/* ---- the table ---- */

/* Returns: where the search for pointer begins. */
static size_t bucket(uintptr_t pointer)
{
	return (pointer >> PERCPU__GRANULE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15) % capacity;
}

/*
 * Returns: the entry of pointer, or the vacant entry where it would go. Context: the lock is held.
 */
static struct entry *find(uintptr_t pointer)
{
	size_t at = bucket(pointer);

	while (table[at].pointer && table[at].pointer != pointer)
		at = (at + 1) % capacity;
	return &table[at];
}

/*
 * Prints the leaks at exit. Takes the table out of use first: describing a caller takes the
 * loader's lock, and its holders may allocate.
 */
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
			     &(struct percpu__subject){ .pointer = (void *)told[at].pointer,
							.text = where,
							.value = { told[at].bytes } },
			     PERCPU__FAULT_LEAK);
	}
	if (told)
		percpu__release(told, nr * sizeof(*told));
}

/*
 * Adds to a tool's report which freed area the address lies in. Does not lock: the thread that
 * reports may hold the lock, and the process may be about to end.
 */
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

/* Registers both functions once. Context: no lock is held, because libc takes locks for this. */
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

/* Doubles the table. Returns: false if there is no memory. Context: the lock is held. */
static bool grow(void)
{
	struct entry *old = table;
	const size_t old_capacity = capacity, doubled = capacity ? 2 * capacity : 1024;
	struct entry *made = percpu__map(doubled * sizeof(*made));

	if (!made)
		return false;
	percpu__hold_pointers(made, doubled * sizeof(*made), true); /* to traces */
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

/*
 * Inserts an entry, replacing that of the same pointer.
 * Returns: a trace that the caller releases: that of the entry replaced, or if there is no memory
 * the new entry's own. Context: the lock is held.
 */
static struct percpu__trace *insert(struct entry entry)
{
	struct percpu__trace *old;
	struct entry *place;

	if (2 * nr_entries >= capacity && !grow())
		return entry.trace; /* lose the trace rather than fail the allocation */
	place = find(entry.pointer);
	old = place->trace;
	nr_entries += !place->pointer;
	*place = entry;
	return old;
}

/*
 * Removes the entry of pointer and reinserts the entries after it, so that no search stops at the
 * gap. Context: the lock is held.
 */
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
	for (size_t at = (gap - table + 1) % capacity; table[at].pointer;
	     at = (at + 1) % capacity) {
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
	struct entry entry = { .pointer = (uintptr_t)percpu__area_pointer(area),
			       .caller = caller,
			       .bytes = area.bytes };
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

/* Marks the entry of pointer as freed if a tool is on; removes it otherwise. Returns: its trace. */
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
