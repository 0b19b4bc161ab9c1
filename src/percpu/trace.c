/* SPDX-License-Identifier: MIT */
/*
 * Owns the table of allocations for PERCPU_OPTIONS leaks, sanitizers and Valgrind: a hash table in
 * a mapping of its own, keyed by per-CPU pointer. It uses linear probing, is at most half full and
 * doubles when it needs to. Its lock is innermost: no other lock of the library is taken under it.
 */
#include "percpu/trace.h"

static struct percpu__lock lock = PERCPU__LOCK_INIT(PERCPU__RANK_DEBUG);
static struct percpu__traced *table; /* lock */
static size_t capacity, nr_entries;  /* lock */
static uint64_t nr_freed;            /* lock */

void percpu__traces_lock_for_fork(void)
{
	percpu__lock_for_fork(&lock);
}

void percpu__traces_unlock_after_fork(void)
{
	percpu__unlock_after_fork(&lock);
}

/* Returns: where the search for pointer begins. */
static size_t bucket(uintptr_t pointer)
{
	return (pointer >> PERCPU__GRANULE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15) % capacity;
}

/*
 * Returns: the entry of pointer, or the vacant entry where it would go. Context: the lock is held.
 */
static struct percpu__traced *find(uintptr_t pointer)
{
	size_t at = bucket(pointer);

	while (table[at].pointer && table[at].pointer != pointer)
		at = (at + 1) % capacity;
	return &table[at];
}

/* Doubles the table. Returns: false if there is no memory. Context: the lock is held. */
static bool grow(void)
{
	struct percpu__traced *old = table;
	const size_t old_capacity = capacity, doubled = capacity ? 2 * capacity : 1024;
	struct percpu__traced *made = percpu__map(doubled * sizeof(*made));

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

struct percpu__trace *percpu__traces_insert(struct percpu__traced entry)
{
	struct percpu__trace *old = entry.trace; /* lose it rather than fail the allocation */
	struct percpu__traced *place;

	percpu__lock(&lock);
	if (2 * nr_entries < capacity || grow()) {
		place = find(entry.pointer);
		old = place->trace;
		nr_entries += !place->pointer;
		*place = entry;
	}
	percpu__unlock(&lock);
	return old;
}

/*
 * Removes the entry of pointer and reinserts the entries after it, so that no search stops at the
 * gap. Context: the lock is held.
 */
static void erase(uintptr_t pointer)
{
	struct percpu__traced *gap;

	if (!capacity)
		return;
	gap = find(pointer);
	if (!gap->pointer)
		return;
	nr_entries--;
	*gap = (struct percpu__traced){ .pointer = 0 };
	for (size_t at = (gap - table + 1) % capacity; table[at].pointer;
	     at = (at + 1) % capacity) {
		const struct percpu__traced moved = table[at];

		table[at] = (struct percpu__traced){ .pointer = 0 };
		*find(moved.pointer) = moved;
	}
}

struct percpu__trace *percpu__traces_free(uintptr_t pointer, bool keep)
{
	struct percpu__trace *trace = NULL;
	struct percpu__traced *entry;

	percpu__lock(&lock);
	entry = capacity && keep ? find(pointer) : NULL;
	if (entry && entry->pointer) {
		entry->freed_at = ++nr_freed;
		trace = entry->trace;
	} else {
		erase(pointer);
	}
	percpu__unlock(&lock);
	return trace;
}

struct percpu__traced *percpu__traces_take(size_t *nr)
{
	struct percpu__traced *taken;

	percpu__lock(&lock);
	taken = table;
	*nr = capacity;
	table = NULL;
	capacity = nr_entries = 0;
	percpu__unlock(&lock);
	return taken;
}

bool percpu__traces_take_trace(size_t at, struct percpu__trace **trace)
{
	bool is_entry;

	*trace = NULL;
	percpu__lock(&lock);
	is_entry = at < capacity;
	if (is_entry) {
		*trace = table[at].trace;
		table[at].trace = NULL;
	}
	percpu__unlock(&lock);
	return is_entry;
}

const struct percpu__traced *percpu__traces_find_freed(uintptr_t address, uintptr_t *copy)
{
	const struct percpu__traced *last = NULL;

	for (size_t at = 0; at < capacity; at++) {
		const uintptr_t distance = address - table[at].pointer;

		if (!table[at].pointer || distance >> PERCPU_STRIDE_SHIFT > percpu_nr_copies() ||
		    distance < PERCPU_STRIDE || distance % PERCPU_STRIDE >= table[at].bytes)
			continue;
		if (!last || table[at].freed_at > last->freed_at) {
			last = &table[at];
			*copy = (distance >> PERCPU_STRIDE_SHIFT) - 1;
		}
	}
	return last && last->freed_at ? last : NULL;
}
