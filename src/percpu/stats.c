/* SPDX-License-Identifier: MIT */
/*
 * Owns the public functions that act on whole pools: statistics, misplaced memory, trim. Statistics
 * and trim first free the static variables of unloaded modules.
 */
#include <errno.h>
#include <string.h>

#include "percpu/area_cache.h"
#include "percpu/percpu.h"
#include "topology/topology.h"

/* Fills in all but the size. Context: the pool's lock is held. */
static void collect_stats(const struct percpu_pool *pool, struct percpu_pool_stats *stats)
{
	struct percpu__area_cache_stats kept =
		pool->has_area_cache ? percpu__area_cache_stats()
				     : (struct percpu__area_cache_stats){ .nr = 0 };

	/* The stacks are read one after the other, so an area that moves may count twice. */
	if (kept.nr > pool->chunk_index.nr_live)
		kept.nr = pool->chunk_index.nr_live;
	if (kept.bytes > pool->chunk_index.live_granules * PERCPU__GRANULE)
		kept.bytes = pool->chunk_index.live_granules * PERCPU__GRANULE;

	stats->nr_chunks = pool->chunk_index.nr_chunks;
	stats->nr_live = pool->chunk_index.nr_live - kept.nr;
	stats->cached_bytes = kept.bytes;
	stats->live_bytes = pool->chunk_index.live_granules * PERCPU__GRANULE - kept.bytes;
	stats->used_page_bytes = pool->live_pages * PERCPU__PAGE_GRANULES * PERCPU__GRANULE;
	stats->held_page_bytes =
		stats->used_page_bytes + pool->idle_pages * PERCPU__PAGE_GRANULES * PERCPU__GRANULE;
	stats->bookkeeping_bytes = kept.bookkeeping_bytes + percpu__pool_bookkeeping_bytes(pool);
	percpu__chunk_index_for_each(&pool->chunk_index, slot)
		stats->reserved_bytes += percpu__pool_chunk(pool, slot)->reserved_bytes;

	stats->purged_bytes = pool->purged_bytes;
	stats->nr_chunks_unplaced = percpu__has_nodes() ? pool->nr_unplaced : 0;
	stats->nr_chunks_huge = pool->nr_huge;
	stats->limit_bytes =
		pool->limit_granules == SIZE_MAX ? 0 : pool->limit_granules * PERCPU__GRANULE;
}

int percpu_pool_stats(struct percpu_pool *pool, struct percpu_pool_stats *out)
{
	struct percpu_pool_stats stats = { .size = 0 };
	size_t size = out ? out->size : 0;

	if (size < sizeof(stats.size) + sizeof(stats.nr_chunks))
		return -EINVAL;
	pool = percpu__pool_or_default(pool);
	if (!pool)
		return -ENOMEM;
	percpu__static_collect();
	percpu__lock(&pool->lock);
	percpu_assert(percpu__pool_is_valid(pool));
	collect_stats(pool, &stats);
	percpu__unlock(&pool->lock);
	if (size > sizeof(stats))
		size = sizeof(stats);
	stats.size = size;
	memcpy(out, &stats, size);
	return 0;
}

ssize_t percpu_pool_misplaced(struct percpu_pool *pool)
{
	ssize_t bytes = 0;
	uint32_t slot = 0;

	pool = percpu__pool_or_default(pool);
	if (!pool)
		return -ENOMEM;
	if (!percpu__has_nodes())
		return 0;
	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	percpu__find_new_cpus(PERCPU__SYSFS, percpu_abi.nr_copies - 1);
	/* Unlocks after each chunk, so that other threads need not wait for all of them. */
	do {
		ssize_t of_chunk = 0;

		percpu__lock(&pool->lock);
		slot = percpu__chunk_index_next(&pool->chunk_index, slot);
		if (slot != PERCPU__NO_SLOT)
			of_chunk = percpu__chunk_misplaced_bytes(percpu__pool_chunk(pool, slot++));
		percpu__unlock(&pool->lock);
		if (of_chunk < 0)
			return of_chunk;
		bytes += of_chunk;
	} while (slot != PERCPU__NO_SLOT);
	return bytes;
}

static size_t trim(struct percpu_pool *pool)
{
	size_t given_back;

	if (!pool->backing->can_purge)
		return 0;
	percpu__lock(&pool->lock);
	percpu_assert(percpu__pool_is_valid(pool));
	if (pool->has_area_cache)
		percpu__area_cache_drain(pool);
	given_back = percpu__pool_trim(pool);
	percpu__unlock(&pool->lock);
	return given_back;
}

static void trim_one(struct percpu_pool *pool, void *arg)
{
	*(size_t *)arg += trim(pool);
}

ssize_t percpu_trim(struct percpu_pool *pool)
{
	size_t given_back = 0;

	percpu__static_collect();
	if (pool)
		return trim(pool);
	percpu__pools_lock();
	percpu__pools_visit(trim_one, &given_back);
	percpu__pools_unlock();
	return given_back;
}
