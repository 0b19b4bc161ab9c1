/* SPDX-License-Identifier: MIT */
/*
 * Owns the ownership of a published pool. Of the processes that share the pool, only its owner
 * allocates, frees and publishes. The first owner is the process that created the pool. The pool's
 * metadata is private memory; a child has a copy of it, as of the fork. A child can take the pool
 * over when the owner is gone (daemon(3) ends the process that created the pool), because the file
 * records the owner's identity and the live areas (struct percpu__live_map).
 *
 *	claim	replace the owner's identity in the file by compare-and-swap, so that one of several
 *		processes succeeds. Two processes must be gone: the owner that the file names, which
 *		may have taken over since the fork, and the owner known at the fork, because
 *		children can write the file.
 *	learn	make the chunks that were made since the fork, and allocate the areas that are live
 *		in the file. An own live area that overlaps one of those was freed by the owner, and
 *		is freed. Any other own live area is kept, because this process may use it.
 *
 * The file is trusted no further: its contents never cause an access outside the units. They can
 * make areas seem live or free that are not, so after a take-over an invalid free proves no error
 * and is ignored. If a process dies during a take-over, the next process can take the pool over.
 */
#include <errno.h>

#include "percpu/percpu.h"

#define DISOWNED UINT64_MAX /* the identity of no process */

/* ---- learn; pool lock ---- */

/* Notes in the file all areas that are live here, for the next owner. */
static void note_own(struct percpu_pool *pool, const struct percpu__chunk *chunk)
{
	for (uint32_t at = 0; at < PERCPU__UNIT_GRANULES;
	     at = bit_next_relaxed(chunk->area_map.bitmaps->head, at + 1)) {
		const uint32_t granules = percpu__area_map_size(&chunk->area_map, at);

		if (granules)
			percpu__shared_note(pool, chunk, at, granules, true);
	}
}

/* Makes the chunk's live areas those of the file and those of this process that do not overlap. */
static void learn_chunk(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	struct percpu__live_map *map = percpu__live_map_of(pool->shared, (uintptr_t)chunk->base);
	const uint64_t fresh = __atomic_load_n(&map->fresh, __ATOMIC_RELAXED);

	percpu__live_map_repair(map);
	for (uint32_t end, first = percpu__live_map_next(map, 0, &end);
	     first < PERCPU__UNIT_GRANULES; first = percpu__live_map_next(map, first + 1, &end)) {
		if (percpu__area_map_size(&chunk->area_map, first) != end - first)
			percpu__pool_claim(pool, chunk, first, end);
	}
	percpu__pool_claimed(pool, chunk,
			     fresh < PERCPU__UNIT_GRANULES ? (uint32_t)fresh
							   : PERCPU__UNIT_GRANULES);
	note_own(pool, chunk);
}

/* Returns: 0 or -ENOMEM. */
static int learn(struct percpu_pool *pool)
{
	const uint64_t nr_taken =
		__atomic_load_n(&pool->shared->header->nr_taken, __ATOMIC_RELAXED);

	while (pool->shared->nr_taken < nr_taken && pool->shared->nr_taken < pool->shared->nr_slots)
		if (!percpu__pool_grow(pool))
			return -ENOMEM;
	percpu__chunk_index_for_each(&pool->chunk_index, slot)
		learn_chunk(pool, (struct percpu__chunk *)percpu__chunk_index_at(&pool->chunk_index,
										 slot));
	percpu_assert(percpu__pool_is_valid(pool));
	return 0;
}

/* ---- claim; pool lock ---- */

/* Returns: 0; -EPERM if an owner lives, or if this cannot be determined. */
static int claim(struct percpu__shared *shared)
{
	const uint64_t mine = percpu__process_word();
	/* pairs with claim */
	uint64_t now = __atomic_load_n(&shared->header->owner, __ATOMIC_ACQUIRE);

	if (!mine || !shared->space || percpu__process_space() != shared->space)
		return -EPERM;
	if (shared->owner != mine && !percpu__process_is_gone(shared->owner))
		return -EPERM;
	while (now != mine) {
		if (!percpu__process_is_gone(now))
			return -EPERM;
		if (__atomic_compare_exchange_n(&shared->header->owner, &now, mine, false,
						__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
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
			/* pairs with percpu__shared_is_own */
			__atomic_store_n(&shared->generation, percpu__generation(),
					 __ATOMIC_RELEASE);
	}
	percpu__unlock(&pool->lock);
	return error;
}

void percpu__shared_disown(struct percpu__shared *shared)
{
	__atomic_store_n(&shared->header->owner, DISOWNED, __ATOMIC_RELEASE); /* pairs with claim */
}
