/* SPDX-License-Identifier: MIT */
/*
 * Owns the address space of all slabs: one reservation, divided into units of 64 KiB, and a
 * descriptor of each unit. Any address is validated by a subtraction and a shift, without reading
 * from it.
 *
 *	arena:        | unit | unit | unit | ...  up to 1 TiB; 64 GiB if the library can be unloaded
 *	descriptors:  |  64  |  64  |  64  | ...  64 bytes each; zero for a unit without a slab
 *
 * Addresses are taken from the start of the arena, one extent for one node at a time. The extent
 * gets that node's policy, and its units go to slabs of that node from then on. Ranges of units are
 * split as needed and never coalesced: only address space can become fragmented, because the memory
 * of a free range is given back to the kernel.
 */
#include "cache/arena.h"

#define ARENA_BYTES_MAX ((size_t)1 << 40)
#define ARENA_BYTES_PLUGIN ((size_t)1 << 36) /* one of possibly many copies of the library */
#define ARENA_BYTES_MIN ((size_t)1 << 26) /* if address space is limited */
#define EXTENT_ORDER 6u
#define EXTENT_BYTES (PERCPU__ARENA_UNIT << EXTENT_ORDER)
#define NR_NODES 64u
_Static_assert(sizeof(struct percpu__slab) << EXTENT_ORDER == 4096,
	       "an extent's descriptors are a page");

struct percpu__arena percpu__arena;

static struct percpu__lock lock = PERCPU__LOCK_INIT(PERCPU__RANK_ARENA);
static size_t taken_bytes; /* from the start of the arena; lock, as all below */
static struct percpu__slab *vacant[NR_NODES + 1][EXTENT_ORDER + 1]; /* by node + 1 and order */

void percpu__arena_lock_for_fork(void)
{
	percpu__lock_for_fork(&lock);
}

void percpu__arena_unlock_after_fork(void)
{
	percpu__unlock_after_fork(&lock);
}

/* The tables of metadata, adjacent in memory, and the bytes of an entry. */
enum { SLABS, FREE_BITS, USED_BITS, FRESH, NR_TABLES };
static const size_t entry_bytes[NR_TABLES] = { sizeof(struct percpu__slab),
					       sizeof(struct percpu__unit_bits),
					       sizeof(struct percpu__unit_bits), sizeof(uint32_t) };

static void *table_of(const struct percpu__arena *arena, unsigned table)
{
	void *const all[NR_TABLES] = { arena->slabs, arena->free_bits, arena->used_bits,
				       arena->fresh };

	return all[table];
}

static bool reserve(struct percpu__arena *arena, size_t bytes)
{
	const size_t units = bytes >> PERCPU__ARENA_UNIT_SHIFT, page = percpu__page_bytes();
	size_t at[NR_TABLES + 1] = { 0 };
	char *base, *beside;

	for (unsigned table = 0; table < NR_TABLES; table++)
		at[table + 1] = at[table] + ((units * entry_bytes[table] + page - 1) & ~(page - 1));
	beside = percpu__reserve(at[NR_TABLES], page, 0);
	base = percpu__reserve(bytes, EXTENT_BYTES, 0);
	if (!base || !beside || percpu__make_readable(beside, at[1]) < 0) {
		if (base)
			percpu__release(base, bytes);
		if (beside)
			percpu__release(beside, at[NR_TABLES]);
		return false;
	}
	*arena = (struct percpu__arena){ (uintptr_t)base,
					 units - 1,
					 (void *)beside,
					 (void *)(beside + at[FREE_BITS]),
					 (void *)(beside + at[USED_BITS]),
					 (void *)(beside + at[FRESH]) };
	return true;
}

bool percpu__arena_init(void)
{
	bool ready;

	percpu__lock(&lock);
	for (size_t bytes = percpu__may_be_unloaded() ? ARENA_BYTES_PLUGIN : ARENA_BYTES_MAX;
	     !percpu__arena.base && bytes >= ARENA_BYTES_MIN; bytes /= 2)
		reserve(&percpu__arena, bytes);
	ready = percpu__arena.base;
	percpu__unlock(&lock);
	return ready;
}

/* Returns: the value of slab->node for a node. */
static uint8_t noted(int node)
{
	return node < 0 || node >= (int)NR_NODES ? 0 : node + 1;
}

static void put_vacant(struct percpu__slab *slab, unsigned order)
{
	struct percpu__slab **list = &vacant[slab->node][order];

	slab->next = *list;
	*list = slab;
}

/* Commits the pages of a table that hold the entries of an extent. Returns: 0 or -errno. */
static int commit_beside(const struct percpu__slab *first, unsigned table)
{
	const size_t page = percpu__page_bytes();
	const uintptr_t start = (uintptr_t)table_of(&percpu__arena, table) +
				percpu__slab_index(first) * entry_bytes[table];
	const uintptr_t end = start + (entry_bytes[table] << EXTENT_ORDER);

	return percpu__commit((void *)(start & ~(page - 1)),
			      ((end + page - 1) & ~(page - 1)) - (start & ~(page - 1)));
}

/*
 * Adds an extent for the node. Context: lock held. Returns: false without address space or memory.
 */
static bool extend(int node)
{
	char *start = (char *)percpu__arena.base + taken_bytes;
	struct percpu__slab *first = percpu__slab_at((uintptr_t)start);

	if (taken_bytes >> PERCPU__ARENA_UNIT_SHIFT > percpu__arena.mask)
		return false;
	for (unsigned table = 0; table < NR_TABLES; table++)
		if (commit_beside(first, table) < 0)
			return false;
	if (percpu__commit(start, EXTENT_BYTES) < 0)
		return false;
	if (!percpu__options(false).huge)
		percpu__advise_huge(start, EXTENT_BYTES, false); /* may fail: no huge pages */
	if (node >= 0)
		percpu__bind(start, EXTENT_BYTES, (unsigned)node); /* may fail: first touch */
	for (size_t unit = 0; unit < (size_t)1 << EXTENT_ORDER; unit++)
		first[unit].node = noted(node);
	put_vacant(first, EXTENT_ORDER);
	taken_bytes += EXTENT_BYTES;
	return true;
}

static struct percpu__slab *take_vacant(unsigned order, int node)
{
	struct percpu__slab **const lists = vacant[noted(node)];
	unsigned from = order;
	struct percpu__slab *slab;

	while (from <= EXTENT_ORDER && !lists[from])
		from++;
	if (from > EXTENT_ORDER)
		return NULL;
	slab = lists[from];
	lists[from] = slab->next;
	while (from-- > order)
		put_vacant(slab + ((size_t)1 << from), from);
	return slab;
}

struct percpu__slab *percpu__arena_take(unsigned order, int node)
{
	struct percpu__slab *slab;

	percpu__lock(&lock);
	slab = take_vacant(order, node);
	if (!slab && extend(node))
		slab = take_vacant(order, node);
	percpu__unlock(&lock);
	return slab;
}

/* ---- trim ---- */

/* Merges two lists that are sorted by descending address. */
static struct percpu__slab *merged(struct percpu__slab *a, struct percpu__slab *b)
{
	struct percpu__slab *all = NULL, **end = &all;

	while (a && b) {
		struct percpu__slab **const higher = a > b ? &a : &b;

		*end = *higher;
		end = &(*end)->next;
		*higher = *end;
	}
	*end = a ? a : b;
	return all;
}

/*
 * Sorts by descending address: a bottom-up merge sort, with at most one list each of 1, 2, 4, ...
 * slabs.
 */
static struct percpu__slab *sorted(struct percpu__slab *slabs)
{
	struct percpu__slab *lists[8 * sizeof(size_t)] = { NULL }, *all = NULL;

	while (slabs) {
		struct percpu__slab *list = slabs;
		unsigned i = 0;

		slabs = slabs->next;
		list->next = NULL;
		for (; lists[i]; lists[i++] = NULL)
			list = merged(lists[i], list);
		lists[i] = list;
	}
	for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		all = merged(lists[i], all);
	return all;
}

/* Makes all addresses of the slab invalid for every cache. */
static void forget(struct percpu__slab *slab)
{
	for (size_t unit = 0; unit < (size_t)1 << slab->order; unit++) {
		__atomic_store_n(&slab[unit].tag, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&slab[unit].magazine, NULL, __ATOMIC_RELAXED);
	}
}

/* Purges slabs sorted by descending address, adjacent ones in one call. */
static void purge(const struct percpu__slab *slabs)
{
	while (slabs) {
		const uintptr_t end = percpu__slab_start(slabs) + percpu__slab_bytes(slabs);
		uintptr_t start = end;

		for (; slabs && percpu__slab_start(slabs) + percpu__slab_bytes(slabs) == start;
		     slabs = slabs->next)
			start = percpu__slab_start(slabs);
		percpu__purge((void *)start, end - start);
	}
}

void percpu__arena_trim(struct percpu__slab *slabs)
{
	if (!slabs)
		return;
	slabs = sorted(slabs);
	for (struct percpu__slab *slab = slabs; slab; slab = slab->next)
		forget(slab);
	purge(slabs);
	percpu__lock(&lock);
	while (slabs) {
		struct percpu__slab *const slab = slabs;

		slabs = slab->next;
		put_vacant(slab, slab->order);
	}
	percpu__unlock(&lock);
}
