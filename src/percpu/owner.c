/* SPDX-License-Identifier: MIT */
/*
 * Owns which of the processes that share a published pool changes it: allocates, frees and publishes. At first it is
 * the one that made the pool. What it knows of the pool lies in its private memory, of which a child has a copy,
 * as it was at the fork. So that a child can go on when the owner is gone (daemon(3) ends the process that made the pool), the
 * file says who the owner is, and which areas live (struct percpu__live_map).
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

/* ---- learn; pool lock ---- */

/* To the next owner, what this process keeps lives, too. */
static void note_own(struct percpu_pool *pool, const struct percpu__chunk *chunk)
{
	for (uint32_t at = 0; at < PERCPU__UNIT_GRANULES; at = bit_next_relaxed(chunk->area_map.bitmaps->head, at + 1)) {
		const uint32_t granules = percpu__area_map_size(&chunk->area_map, at);

		if (granules)
			percpu__shared_note(pool, chunk, at, granules, true);
	}
}

static void learn_chunk(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	struct percpu__live_map *map = percpu__live_map_of(pool->shared, (uintptr_t)chunk->base);
	const uint64_t fresh = __atomic_load_n(&map->fresh, __ATOMIC_RELAXED);

	percpu__live_map_repair(map);
	for (uint32_t end, first = percpu__live_map_next(map, 0, &end); first < PERCPU__UNIT_GRANULES;
	     first = percpu__live_map_next(map, first + 1, &end)) {
		if (percpu__area_map_size(&chunk->area_map, first) != end - first)
			percpu__pool_claim(pool, chunk, first, end);
	}
	percpu__pool_claimed(pool, chunk, fresh < PERCPU__UNIT_GRANULES ? (uint32_t)fresh : PERCPU__UNIT_GRANULES);
	note_own(pool, chunk);
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
