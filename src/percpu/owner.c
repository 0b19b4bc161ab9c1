/* SPDX-License-Identifier: MIT */
/*
 * Owns which of the processes that share a published pool changes it: allocates, frees and publishes. At first it is
 * the one that made the pool. What it knows of the pool lies in its private memory, of which a child has a copy,
 * as it was at the fork. So that a child can go on when the owner is gone (daemon(3) ends the process that made the pool), the
 * file says who the owner is, and which areas live (struct percpu__wire_map).
 *
 *	claim	the owner's word in the file is exchanged for one's own, by compare-and-swap: of several processes one
 *		succeeds. That the owner is gone must be true of the one in the file, which may be a later one than
 *		that of one's fork, and of that, too: children can write the file.
 *	learn	chunks that were made since the fork are made here as well, and areas that live by the file live. An area
 *		that lives by one's own account, where the file has another, was freed by the owner; where the file has none, it
 *		is kept: it may be in use here.
 *
 * The file is not trusted further than that: whatever it says, nothing is touched but the units. It can make areas
 * look taken, or free, that are not; so from then on a free of what does not live proves nothing, and is ignored. One
 * who dies within this leaves the place to the next.
 */
#include <errno.h>

#include "percpu/percpu.h"

#define DISOWNED UINT64_MAX /* no process has that word */

_Static_assert(PERCPU__WIRE_MAP_WORDS * 64 == PERCPU__UNIT_GRANULES, "a bit a granule");

/* ---- maps ---- */

static struct percpu__wire_map *map_of(const struct percpu__shared *shared, uintptr_t address)
{
	return &shared->maps[(address - (uintptr_t)shared->slots) / shared->slot_bytes];
}

static bool test(const uint64_t *word, uint32_t granule)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED) >> granule % 64 & 1;
}

static void set(uint64_t *word, uint32_t granule, bool on)
{
	const uint64_t bit = UINT64_C(1) << granule % 64, old = __atomic_load_n(word, __ATOMIC_RELAXED);

	__atomic_store_n(word, on ? old | bit : old & ~bit, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* in this order for whoever survives us, even in the middle */
}

void percpu__shared_note(struct percpu__shared *shared, const struct percpu__chunk *chunk, uint32_t offset,
			 uint32_t granules, bool lives)
{
	struct percpu__wire_map *map = map_of(shared, (uintptr_t)chunk->base);
	const uint32_t end = offset + granules - 1;

	if (lives) {
		if (__atomic_load_n(&map->fresh, __ATOMIC_RELAXED) != chunk->fresh)
			__atomic_store_n(&map->fresh, chunk->fresh, __ATOMIC_RELAXED);
		set(&map->live[end / 64].last, end, true);
		set(&map->live[offset / 64].first, offset, true);
	} else {
		set(&map->live[offset / 64].first, offset, false);
		set(&map->live[end / 64].last, end, false);
	}
}

enum which { FIRST, LAST };

/* The first granule at or after `at` whose bit is set; PERCPU__UNIT_GRANULES: none. */
static uint32_t next(const struct percpu__wire_map *map, enum which which, uint32_t at)
{
	while (at < PERCPU__UNIT_GRANULES) {
		const uint64_t *word = which == FIRST ? &map->live[at / 64].first : &map->live[at / 64].last;
		const uint64_t bits = __atomic_load_n(word, __ATOMIC_RELAXED) >> at % 64;

		if (bits)
			return at + (uint32_t)__builtin_ctzll(bits);
		at = (at | 63) + 1;
	}
	return PERCPU__UNIT_GRANULES;
}

/* Where the area that begins at `first` ends; where the map contradicts itself, later rather than sooner. */
static uint32_t end_of(const struct percpu__wire_map *map, uint32_t first)
{
	const uint32_t last = next(map, LAST, first), other = next(map, FIRST, first + 1);

	return last < other ? last + 1 : other;
}

uint32_t percpu__shared_size(const struct percpu__shared *shared, uintptr_t address)
{
	const struct percpu__wire_map *map = map_of(shared, address);
	const uint32_t granule = address % PERCPU_STRIDE / PERCPU__GRANULE;

	if (address % PERCPU__GRANULE || !test(&map->live[granule / 64].first, granule))
		return 0;
	return end_of(map, granule) - granule;
}

/* ---- learn; pool lock ---- */

/* Bits of ends without a beginning, which a predecessor left in the middle of a change, would cut later areas short. */
static void clear_stray_ends(struct percpu__wire_map *map)
{
	uint32_t end = 0;

	for (uint32_t last = next(map, LAST, 0); last < PERCPU__UNIT_GRANULES; last = next(map, LAST, last + 1)) {
		const uint32_t first = next(map, FIRST, end);

		if (first > last)
			set(&map->live[last / 64].last, last, false);
		else
			end = last + 1;
	}
}

/* To the next owner, what this process keeps lives, too. */
static void note_own(struct percpu__shared *shared, const struct percpu__chunk *chunk)
{
	for (uint32_t at = 0; at < PERCPU__UNIT_GRANULES; at = bit_next_relaxed(chunk->area_map.bitmaps->head, at + 1)) {
		const uint32_t granules = percpu__area_map_size(&chunk->area_map, at);

		if (granules)
			percpu__shared_note(shared, chunk, at, granules, true);
	}
}

static void learn_chunk(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	struct percpu__wire_map *map = map_of(pool->shared, (uintptr_t)chunk->base);
	const uint64_t fresh = __atomic_load_n(&map->fresh, __ATOMIC_RELAXED);

	clear_stray_ends(map);
	for (uint32_t first = next(map, FIRST, 0); first < PERCPU__UNIT_GRANULES; first = next(map, FIRST, first + 1)) {
		const uint32_t end = end_of(map, first);

		if (percpu__area_map_size(&chunk->area_map, first) != end - first)
			percpu__pool_claim(pool, chunk, first, end);
	}
	percpu__pool_claimed(pool, chunk, fresh < PERCPU__UNIT_GRANULES ? (uint32_t)fresh : PERCPU__UNIT_GRANULES);
	note_own(pool->shared, chunk);
}

static int learn(struct percpu_pool *pool)
{
	const uint64_t nr_taken = __atomic_load_n(&pool->shared->header->nr_taken, __ATOMIC_RELAXED);

	while (pool->shared->nr_taken < nr_taken && pool->shared->nr_taken < pool->shared->nr_slots)
		if (!percpu__pool_grow(pool))
			return -ENOMEM;
	percpu__chunk_index_for_each(&pool->chunk_index, slot)
		learn_chunk(pool, (struct percpu__chunk *)percpu__chunk_index_at(&pool->chunk_index, slot));
	percpu_assert(percpu__pool_is_valid(pool));
	return 0;
}

/* ---- claim; pool lock ---- */

/* [doc:claim] */
static int claim(struct percpu__shared *shared)
{
	const uint64_t mine = percpu__process_word();
	uint64_t now = __atomic_load_n(&shared->header->owner, __ATOMIC_ACQUIRE); /* pairs with claim */

	if (!mine || !shared->space || percpu__process_space() != shared->space)
		return -EPERM;
	if (shared->owner != mine && !percpu__process_is_gone(shared->owner))
		return -EPERM;
	while (now != mine) {
		if (!percpu__process_is_gone(now))
			return -EPERM;
		if (__atomic_compare_exchange_n(&shared->header->owner, &now, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			now = mine;
	}
	shared->owner = mine;
	__atomic_store_n(&shared->header->pid, (int64_t)percpu__own_pid(), __ATOMIC_RELAXED);
	return 0;
}
/* [doc:end] */

int percpu__pool_take_over(struct percpu_pool *pool)
{
	struct percpu__shared *shared = pool->shared;
	int error = 0;

	percpu__lock(&pool->lock);
	if (!percpu__shared_is_own(shared)) { /* another thread was first */
		error = claim(shared);
		if (!error) {
			__atomic_store_n(&shared->is_second_hand, true, __ATOMIC_RELAXED);
			error = learn(pool);
		}
		if (!error)
			__atomic_store_n(&shared->generation, percpu__generation(), __ATOMIC_RELEASE); /* pairs with percpu__shared_is_own */
	}
	percpu__unlock(&pool->lock);
	return error;
}

void percpu__shared_disown(struct percpu__shared *shared)
{
	__atomic_store_n(&shared->header->owner, DISOWNED, __ATOMIC_RELEASE); /* pairs with claim */
}
