/* SPDX-License-Identifier: MIT */
/*
 * Owns the allocation of areas in the chunks of a pool, under the pool's lock.
 *
 * An area comes from the chunk that fits it best; a new chunk is made only if none fits. A number
 * and two page masks in each chunk tell which areas need zeroing and which pages may be purged:
 *
 *	fresh    no copy was ever written from this granule on: no zeroing
 *	dirty    pages handed out since they were fresh or purged: zeroing on reuse
 *	free     pages without a live area; a page that is free and dirty is idle, and may be purged
 */
#include <errno.h>
#include <string.h>

#include "percpu/percpu.h"
#include "topology/topology.h"

_Static_assert(offsetof(struct percpu__chunk, area_map) == 0,
	       "a pointer to an area map in the chunk index is one to its chunk");

static size_t chunk_index_bytes(void)
{
	return percpu__chunk_index_bytes(PERCPU__CHUNK_INDEX_SLOTS);
}

int percpu__pool_init(struct percpu_pool *pool, const char *name,
		      const struct percpu_pool_attr *attr, enum percpu__rank rank)
{
	const struct percpu__options options = percpu__options(false);
	void *memory = percpu__map(chunk_index_bytes());

	if (!memory)
		return -ENOMEM;
	percpu__start();
	percpu__chunk_index_init(&pool->chunk_index, PERCPU__CHUNK_INDEX_SLOTS, memory);
	percpu__lock_init(&pool->lock, rank);
	pool->name = name;
	pool->backing = &percpu__backing_private;
	pool->huge = attr->huge_pages == PERCPU_ON ||
		     (attr->huge_pages == PERCPU_DEFAULT && options.huge);
	pool->populate = attr->populate == PERCPU_ON;
	pool->node_policy = attr->node_policy != PERCPU_OFF;
	pool->limit_granules = attr->limit_bytes ? attr->limit_bytes / PERCPU__GRANULE +
							   (attr->limit_bytes % PERCPU__GRANULE > 0)
						 : SIZE_MAX;
	return 0;
}

void percpu__pool_fini(struct percpu_pool *pool)
{
	percpu__release(pool->chunk_index.tree, chunk_index_bytes());
}

size_t percpu__pool_bookkeeping_bytes(const struct percpu_pool *pool)
{
	size_t bytes = percpu__resident_bytes(pool->chunk_index.tree, chunk_index_bytes());

	percpu__chunk_index_for_each(&pool->chunk_index, slot)
		bytes += percpu__chunk_bookkeeping_bytes(percpu__pool_chunk(pool, slot));
	return bytes;
}

/* ---- areas ---- */

/* Returns: the 4 KiB pages of a unit that contain any part of the area. */
static uint64_t pages_of(uint32_t offset, uint32_t granules)
{
	const uint32_t first = offset / PERCPU__PAGE_GRANULES;
	const uint32_t last = (offset + granules - 1) / PERCPU__PAGE_GRANULES;

	return (~UINT64_C(0) << first) & (~UINT64_C(0) >> (PERCPU__UNIT_PAGES - 1 - last));
}

/* Sets the page masks of a chunk and updates the pool's counts. */
static void set_pages(struct percpu_pool *pool, struct percpu__chunk *chunk, uint64_t free_pages,
		      uint64_t dirty_pages)
{
	if (percpu__likely(chunk->free_pages == free_pages && chunk->dirty_pages == dirty_pages))
		return;
	pool->idle_pages -= __builtin_popcountll(chunk->free_pages & chunk->dirty_pages);
	pool->live_pages -= __builtin_popcountll(~chunk->free_pages);
	chunk->free_pages = free_pages;
	chunk->dirty_pages = dirty_pages;
	pool->idle_pages += __builtin_popcountll(free_pages & dirty_pages);
	if (pool->idle_pages < pool->age.least_pages)
		pool->age.least_pages = pool->idle_pages;
	pool->live_pages += __builtin_popcountll(~free_pages);
}

bool percpu__pool_grow(struct percpu_pool *pool)
{
	struct percpu__chunk *chunk = percpu__chunk_create(pool);

	if (!chunk)
		return false;
	if (percpu__pagemap_insert(chunk) < 0)
		goto destroy;
	chunk->slot = percpu__chunk_index_add(&pool->chunk_index, &chunk->area_map);
	if (chunk->slot == PERCPU__NO_SLOT)
		goto remove;
	pool->nr_empty++;
	pool->nr_unplaced += !chunk->placed;
	pool->nr_huge += chunk->huge;
	return true;
remove:
	percpu__pagemap_remove(chunk);
destroy:
	percpu__chunk_destroy(chunk);
	return false;
}

void percpu__pool_drop(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	percpu_assert(percpu__area_map_is_empty(&chunk->area_map));
	pool->nr_empty--;
	pool->nr_unplaced -= !chunk->placed;
	pool->nr_huge -= chunk->huge;
	set_pages(pool, chunk, ~UINT64_C(0), 0);
	percpu__chunk_index_remove(&pool->chunk_index, chunk->slot);
	percpu__pagemap_remove(chunk);
	percpu__chunk_destroy(chunk);
}

bool percpu__pool_take(struct percpu_pool *pool, uint32_t granules, uint32_t align_granules,
		       struct percpu__area *area, bool *dirty)
{
	struct percpu__chunk *chunk;
	uint32_t slot, offset, old_end;
	uint64_t pages, old_pages = 0;

	if (granules > pool->limit_granules ||
	    pool->chunk_index.live_granules > pool->limit_granules - granules)
		return false;
	while (!percpu__chunk_index_alloc(&pool->chunk_index, granules, align_granules, &slot,
					  &offset))
		if (!percpu__pool_grow(pool))
			return false;
	chunk = percpu__pool_chunk(pool, slot);
	pool->nr_empty -= chunk->area_map.nr_live == 1;
	if (pool->nr_empty < pool->age.least_empty)
		pool->age.least_empty = pool->nr_empty;

	/* Only granules that were handed out and not purged since may need zeroing. */
	old_end = offset + granules < chunk->fresh ? offset + granules : chunk->fresh;
	if (offset < old_end)
		old_pages = pages_of(offset, old_end - offset);
	*dirty = old_pages & chunk->dirty_pages;
	if (chunk->fresh < offset + granules)
		chunk->fresh = offset + granules;
	pages = pages_of(offset, granules);
	set_pages(pool, chunk, chunk->free_pages & ~pages, chunk->dirty_pages | pages);
	if (percpu__unlikely(pool->backing->note))
		pool->backing->note(pool, chunk, offset, granules, true);
	*area = (struct percpu__area){ chunk, offset * PERCPU__GRANULE,
				       granules * PERCPU__GRANULE };
	return true;
}

bool percpu__pool_put(struct percpu_pool *pool, void __percpu *p)
{
	struct percpu__chunk *chunk = percpu__pagemap_find((uintptr_t)p);
	const uint32_t offset = ((uintptr_t)p & (PERCPU_STRIDE - 1)) / PERCPU__GRANULE;
	struct percpu__range merged;
	uint32_t granules;

	/* Two threads that free one area at the same time may both have passed validation. */
	granules =
		chunk ? percpu__chunk_index_free(&pool->chunk_index, chunk->slot, offset, &merged)
		      : 0;
	if (!granules)
		percpu__fatal("percpu_free",
			      &(struct percpu__subject){ .pointer = (const void *)(uintptr_t)p,
							 .pool = pool->name },
			      PERCPU__FAULT_CONCURRENT_FREE);
	if (percpu__unlikely(pool->backing->note))
		pool->backing->note(pool, chunk, offset, granules, false);
	pool->nr_empty += percpu__area_map_is_empty(&chunk->area_map);
	set_pages(pool, chunk, chunk->free_pages | percpu__range_pages(merged), chunk->dirty_pages);
	return pool->idle_pages || pool->nr_empty > 1;
}

void percpu__pool_claim(struct percpu_pool *pool, struct percpu__chunk *chunk, uint32_t at,
			uint32_t end)
{
	const bool was_empty = percpu__area_map_is_empty(&chunk->area_map);
	struct percpu__range merged;

	for (uint32_t i = at; i < end; i = bit_next_relaxed(chunk->area_map.bitmaps->head, i + 1)) {
		const uint64_t *heads = chunk->area_map.bitmaps->head;
		const uint32_t head = bit_test_relaxed(heads, i) ? i : bit_before_relaxed(heads, i);

		percpu__chunk_index_free(&pool->chunk_index, chunk->slot, head, &merged);
	}
	percpu__chunk_index_claim(&pool->chunk_index, chunk->slot, at, end);
	pool->nr_empty -= was_empty;
}

void percpu__pool_claimed(struct percpu_pool *pool, struct percpu__chunk *chunk, uint32_t fresh)
{
	if (fresh < chunk->area_map.fresh)
		fresh = chunk->area_map.fresh;
	if (chunk->fresh < fresh)
		chunk->fresh = fresh;
	set_pages(pool, chunk, ~percpu__area_map_live_pages(&chunk->area_map),
		  chunk->fresh ? chunk->dirty_pages | pages_of(0, chunk->fresh) : 0);
}

void percpu__pool_prepare(struct percpu__area *areas, unsigned nr)
{
	for (unsigned i = 0; percpu__unlikely(percpu__debug_on()) && i < nr; i++)
		percpu__debug_reused(areas[i]);
	percpu__copies_zero(areas, nr);
}

void __percpu *percpu__pool_take_zeroed(struct percpu_pool *pool, uint32_t granules,
					uint32_t align_granules)
{
	struct percpu__area area;
	bool taken, dirty;

	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	percpu__lock(&pool->lock);
	taken = percpu__pool_take(pool, granules, align_granules, &area, &dirty);
	percpu__unlock(&pool->lock);
	if (!taken)
		return NULL;
	if (dirty)
		percpu__pool_prepare(&area, 1);
	return percpu__area_pointer(area);
}

bool percpu__pool_is_valid(const struct percpu_pool *pool)
{
	size_t idle_pages = 0, live_pages = 0, nr_empty = 0;

	percpu__chunk_index_for_each(&pool->chunk_index, slot) {
		const struct percpu__chunk *chunk = percpu__pool_chunk(pool, slot);

		if (chunk->pool != pool || chunk->slot != slot ||
		    percpu__pagemap_find((uintptr_t)chunk->base) != chunk ||
		    percpu__area_map_live_pages(&chunk->area_map) != ~chunk->free_pages)
			return false;
		idle_pages += __builtin_popcountll(chunk->free_pages & chunk->dirty_pages);
		live_pages += __builtin_popcountll(~chunk->free_pages);
		nr_empty += percpu__area_map_is_empty(&chunk->area_map);
	}
	return idle_pages == pool->idle_pages && live_pages == pool->live_pages &&
	       nr_empty == pool->nr_empty && percpu__chunk_index_is_valid(&pool->chunk_index);
}
