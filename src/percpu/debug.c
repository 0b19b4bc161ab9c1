/* SPDX-License-Identifier: MIT */
/*
 * Owns PERCPU_OPTIONS check and leaks. With either on, the front is off, so that every allocation and
 * free passes here.
 *
 *   check   poison in every copy on free; on reuse a copy that holds anything else was written after
 *           the free
 *   leaks   who allocated what lives, in a hash table of its own mapping, told once, at exit
 */
#include <stdio.h>

#include "percpu/percpu.h"

struct entry {
	uintptr_t pointer; /* 0: vacant */
	const void *caller;
	size_t bytes;
};

static struct percpu__lock lock = PERCPU__LOCK_INIT(PERCPU__RANK_DEBUG);
static struct entry *table; /* linear probing, at most half full; lock */
static size_t capacity, nr_entries;
static bool has_exit_handler;

static const struct percpu__options *options(void)
{
	static struct percpu__options read;
	static bool is_read; /* every writer writes the same; the acquire pairs with options below */

	if (percpu__unlikely(!__atomic_load_n(&is_read, __ATOMIC_ACQUIRE))) {
		const struct percpu__options now = percpu__options(false);

		__atomic_store_n(&read.check, now.check, __ATOMIC_RELAXED);
		__atomic_store_n(&read.leaks, now.leaks, __ATOMIC_RELAXED);
		__atomic_store_n(&is_read, true, __ATOMIC_RELEASE);
	}
	return &read;
}

bool percpu__debug_on(void)
{
	return options()->check || options()->leaks;
}

void percpu__debug_lock(void)
{
	percpu__lock(&lock);
}

void percpu__debug_unlock(void)
{
	percpu__unlock(&lock);
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
	char where[256], line[320];
	struct entry *told;
	size_t nr;

	percpu__debug_lock();
	told = table;
	nr = capacity;
	table = NULL;
	capacity = nr_entries = 0;
	percpu__debug_unlock();
	for (size_t at = 0; at < nr; at++) {
		if (!told[at].pointer)
			continue;
		percpu__describe_code(told[at].caller, where, sizeof(where));
		snprintf(line, sizeof(line), "%zu bytes at %p, allocated by %s", told[at].bytes,
			 (void *)told[at].pointer, where);
		percpu__warn("leak: ", line);
	}
	percpu__release(told, nr * sizeof(*told));
}

static bool grow(void)
{
	struct entry *old = table;
	const size_t old_capacity = capacity, doubled = capacity ? 2 * capacity : 1024;
	struct entry *made = percpu__map(doubled * sizeof(*made));

	if (!made)
		return false;
	if (!has_exit_handler)
		percpu__at_exit(tell_leaks);
	has_exit_handler = true;
	table = made;
	capacity = doubled;
	for (size_t at = 0; at < old_capacity; at++)
		if (old[at].pointer)
			*find(old[at].pointer) = old[at];
	if (old)
		percpu__release(old, old_capacity * sizeof(*old));
	return true;
}

static void insert(struct entry entry)
{
	if (2 * nr_entries >= capacity && !grow())
		return; /* untold rather than refused */
	*find(entry.pointer) = entry;
	nr_entries++;
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
	gap->pointer = 0;
	for (size_t at = (gap - table + 1) % capacity; table[at].pointer; at = (at + 1) % capacity) {
		const struct entry moved = table[at];

		table[at].pointer = 0;
		*find(moved.pointer) = moved;
	}
}

/* ---- the hooks ---- */

void percpu__debug_allocated(struct percpu__area area, const void *caller)
{
	if (!options()->leaks)
		return;
	percpu__debug_lock();
	insert((struct entry){ (uintptr_t)percpu__area_pointer(area), caller, area.bytes });
	percpu__debug_unlock();
}

void percpu__debug_freed(struct percpu__area area)
{
	if (options()->check)
		percpu__copies_poison(area);
	if (!options()->leaks)
		return;
	percpu__debug_lock();
	erase((uintptr_t)percpu__area_pointer(area));
	percpu__debug_unlock();
}

void percpu__debug_reused(struct percpu__area area)
{
	if (options()->check)
		percpu__copies_verify(area);
}
