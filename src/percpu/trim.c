/* SPDX-License-Identifier: MIT */
/*
 * Owns the policy of giving idle memory back to the kernel: when, and how much at a time.
 *
 * A page that was given back costs a fault in every copy when it is used again. So idle memory,
 * pages and chunks without a live area, stays until it is shown not to be needed. An epoch is half
 * the pool's decay. The fewest idle pages and chunks at any moment of an epoch were not needed in
 * it; that many are due when it ends. Swings of demand that are shorter than an epoch keep their
 * memory; idle memory goes back within two epochs. The work is done by operations that take the
 * pool's lock; each gives back a few pages of one chunk, or one chunk.
 *
 * A free serves its own pool, if that has idle memory. From time to time an alloc or a free visits
 * all pools, to find those that have become quiet. One chunk without a live area stays mapped
 * for the next allocation.
 *
 * percpu_trim gives back all idle memory at once, and the areas of the area cache. A chunk of huge
 * pages is given back only as a whole, because purging a part would split a huge page. Published
 * pools give nothing back, because the kernel frees no page of a sealed file.
 */
#include "percpu/percpu.h"

#define GIVE_PAGES 256u /* pages of all copies per operation, but at least one of each copy */
#define MAX_VISITS 64u  /* chunks that one operation visits to find them */
#define WORTH_PAGES PERCPU__UNIT_PAGES /* a pool in use gives back no fewer idle pages */

/*
 * Returns: idle pages that make up whole pages of this machine, which may be larger than 4 KiB; a
 * machine page is free in all parts and dirty in one at least.
 */
static uint64_t purgeable(const struct percpu__chunk *chunk)
{
	const unsigned nr = percpu__page_bytes() / (PERCPU__PAGE_GRANULES * PERCPU__GRANULE);
	const uint64_t one = nr >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << nr) - 1;
	uint64_t pages = 0;

	if (!(chunk->free_pages & chunk->dirty_pages))
		return 0;
	for (unsigned at = 0; at < PERCPU__UNIT_PAGES; at += nr) {
		const uint64_t page = one << at;

		if ((chunk->free_pages & page) == page && (chunk->dirty_pages & page))
			pages |= page;
	}
	return pages;
}

/*
 * Purges those parts of the extent that lie in the given pages of a unit; adds their bytes to
 * *given_back. Returns: true if the kernel refused nothing.
 */
static bool purge_extent(struct percpu__extent extent, uint64_t pages, size_t *given_back)
{
	const uintptr_t page_bytes = PERCPU__PAGE_GRANULES * PERCPU__GRANULE;
	bool done = true;

	while (extent.start < extent.end) {
		uintptr_t run = extent.start;

		while (run < extent.end && pages >> (run & (PERCPU_STRIDE - 1)) / page_bytes & 1)
			run += page_bytes;
		if (run == extent.start) {
			extent.start += page_bytes;
			continue;
		}
		if (percpu__purge((void *)extent.start, run - extent.start) < 0)
			done = false;
		else
			*given_back += run - extent.start;
		extent.start = run;
	}
	return done;
}

/*
 * Purges the pages in every copy; skips copies without pages if the kernel tells which these are.
 * *done is set to true if the kernel refused nothing (it refuses locked memory).
 * Returns: bytes given back.
 */
static size_t purge_pages(const struct percpu__chunk *chunk, uint64_t pages, bool *done)
{
	const uintptr_t end = percpu__chunk_unit(chunk, percpu_abi.nr_copies);
	uintptr_t start = percpu__chunk_unit(chunk, 0);
	struct percpu__extent extents[64];
	size_t given_back = 0;

	*done = true;
	while (start < end) {
		int nr = percpu__find_pages(PERCPU__PAGES_OWN, &start, end, extents, 64);

		if (nr < 0) {
			extents[0] = (struct percpu__extent){ start, end };
			start = end;
			nr = 1;
		}
		for (int i = 0; i < nr; i++)
			*done &= purge_extent(extents[i], pages, &given_back);
	}
	return given_back;
}

/* As purge_pages, for idle pages; updates the chunk and the pool. */
static size_t purge_chunk(struct percpu_pool *pool, struct percpu__chunk *chunk, uint64_t pages,
			  bool *done)
{
	size_t given_back;

	percpu__present_forget(chunk, pages);
	percpu__chunk_purge_tags(
		chunk, percpu__area_map_is_empty(&chunk->area_map) ? chunk->free_pages : pages);
	given_back = purge_pages(chunk, pages, done);
	if (*done) {
		pool->idle_pages -= __builtin_popcountll(pages & chunk->dirty_pages);
		chunk->dirty_pages &= ~pages;
	}
	pool->purged_bytes += given_back;
	return given_back;
}

/* Returns: pages of the chunk that can be purged now. */
static uint64_t purgeable_now(const struct percpu__chunk *chunk)
{
	return chunk->huge && !percpu__area_map_is_empty(&chunk->area_map) ? 0 : purgeable(chunk);
}

/* Purges all idle pages of a pool. Returns: bytes given back. */
static size_t purge_pool(struct percpu_pool *pool)
{
	size_t given_back = 0;

	percpu__chunk_index_for_each(&pool->chunk_index, slot) {
		const uint64_t pages = purgeable_now(percpu__pool_chunk(pool, slot));
		bool done;

		if (pages)
			given_back +=
				purge_chunk(pool, percpu__pool_chunk(pool, slot), pages, &done);
	}
	return given_back;
}

/* Destroys an empty chunk. Returns: bytes of its copies that were resident. */
static size_t unmap_chunk(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	const size_t given_back = percpu__resident_bytes((void *)percpu__chunk_unit(chunk, 0),
							 percpu_abi.nr_copies * PERCPU_STRIDE);

	percpu__pool_drop(pool, chunk);
	pool->purged_bytes += given_back;
	return given_back;
}

/* ---- by age ---- */

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Returns: a - b, but not less than 0. */
static size_t less(size_t a, size_t b)
{
	return a > b ? a - b : 0;
}

static bool is_any_due(const struct percpu_pool *pool)
{
	return pool->age.due_pages || pool->age.due_chunks;
}

/*
 * The policy: at the end of an epoch, the fewest idle pages and chunks at any moment of it become
 * due, less those that the pool keeps and those that could not go back the last time (locked
 * memory, parts of larger pages). Fewer than worth_pages pages are not due. If no free left idle
 * memory for an epoch, all idle memory counts as not needed.
 */
static void update_age(struct percpu_pool *pool, uint64_t now_ms, size_t worth_pages)
{
	struct percpu__pool_age *const age = &pool->age;

	if (percpu__ms_between(age->put_ms, now_ms) >= pool->epoch_ms) {
		age->least_pages = pool->idle_pages;
		age->least_empty = pool->nr_empty;
		age->due_pages = age->due_chunks = 0;
		age->epoch_ms = age->put_ms;
	}
	if (percpu__ms_between(age->epoch_ms, now_ms) < pool->epoch_ms)
		return;
	age->due_pages += age->least_pages; /* which excludes those that were due before */
	age->due_pages = less(min(age->due_pages, less(pool->idle_pages, pool->kept_pages)),
			      age->stuck_pages);
	if (age->due_pages < worth_pages)
		age->due_pages = 0;
	age->due_chunks += age->least_empty;
	age->due_chunks = less(min(age->due_chunks, pool->nr_empty),
			       1 + pool->kept_pages / PERCPU__UNIT_PAGES);
	age->epoch_ms = now_ms;
	age->least_pages = pool->idle_pages - age->due_pages;
	age->least_empty = pool->nr_empty - age->due_chunks;
	age->nr_unseen = pool->chunk_index.nr_chunks;
}

/* Returns: the lowest nr of the pages. */
static uint64_t lowest_of(uint64_t pages, unsigned nr)
{
	uint64_t rest = pages;

	while (nr-- && rest)
		rest &= rest - 1;
	return pages & ~rest;
}

/* Gives back a chunk that is due. */
static void give_back_chunk(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	struct percpu__pool_age *const age = &pool->age;
	const size_t least_pages = age->least_pages, idle_pages = pool->idle_pages;

	unmap_chunk(pool, chunk);
	age->due_chunks--;
	age->due_pages = less(age->due_pages, idle_pages - pool->idle_pages);
	age->least_pages = min(least_pages, pool->idle_pages); /* nobody needed its pages */
}

/* Purges some of the pages. Returns: true if the chunk has none left that can be purged. */
static bool give_back_pages(struct percpu_pool *pool, struct percpu__chunk *chunk, uint64_t pages)
{
	const unsigned nr =
		percpu_abi.nr_copies < GIVE_PAGES ? GIVE_PAGES / percpu_abi.nr_copies : 1;
	const unsigned of_page = percpu__page_bytes() / (PERCPU__PAGE_GRANULES * PERCPU__GRANULE);
	const uint64_t some = lowest_of(pages, nr < of_page ? of_page : nr & ~(of_page - 1));
	bool done;

	purge_chunk(pool, chunk, some, &done);
	if (done)
		pool->age.due_pages = less(pool->age.due_pages, __builtin_popcountll(some));
	return !done || some == pages;
}

/* Gives back one chunk that is due, or some pages of one chunk. */
static void give_back_some(struct percpu_pool *pool)
{
	struct percpu__pool_age *const age = &pool->age;

	for (unsigned visits = MAX_VISITS; visits && is_any_due(pool); visits--) {
		const uint32_t slot = percpu__chunk_index_next(&pool->chunk_index, age->slot);
		struct percpu__chunk *chunk;
		uint64_t pages;

		if (slot == PERCPU__NO_SLOT && age->slot) {
			age->slot = 0;
			continue;
		}
		if (slot == PERCPU__NO_SLOT || !age->nr_unseen) {
			age->stuck_pages = min(age->due_pages, pool->idle_pages);
			age->due_pages = age->due_chunks = 0;
			return;
		}
		chunk = percpu__pool_chunk(pool, slot);
		pages = purgeable_now(chunk);
		age->slot = slot;
		if (age->due_chunks && pool->nr_empty > 1 &&
		    percpu__area_map_is_empty(&chunk->area_map)) {
			give_back_chunk(pool, chunk);
			return;
		}
		if (age->due_pages && pages && !give_back_pages(pool, chunk, pages))
			return;
		age->slot = slot + 1;
		age->nr_unseen--;
		if (age->due_pages && pages)
			return;
	}
}

void percpu__trim_after_free(struct percpu_pool *pool)
{
	uint64_t now_ms;

	if (!pool->backing->can_purge)
		return;
	now_ms = percpu__now_ms();
	update_age(pool, now_ms, WORTH_PAGES);
	pool->age.put_ms = now_ms;
	if (percpu__unlikely(is_any_due(pool)))
		give_back_some(pool);
}

void percpu__pool_return(void __percpu *p)
{
	const struct percpu__area area = percpu__area_of(p);
	struct percpu_pool *pool = area.chunk->pool;

	if (percpu__unlikely(percpu__debug_on()))
		percpu__debug_freed(area);
	percpu__lock(&pool->lock);
	if (percpu__pool_put(pool, p))
		percpu__trim_after_free(pool);
	percpu__unlock(&pool->lock);
}

/* ---- all pools ---- */

static uint64_t aged_ms;                  /* the last look at all pools; relaxed atomic */
static uint64_t shortest_ms = UINT64_MAX; /* shortest epoch of all pools; relaxed atomic */

void percpu__pool_age_init(struct percpu_pool *pool, const struct percpu_pool_attr *attr)
{
	const struct percpu__options options = percpu__options(false);
	const uint64_t given_ms = attr->decay_ms ? attr->decay_ms : options.decay_ms;
	const uint64_t decay_ms = attr->decay_ms == PERCPU_POOL_DECAY_NEVER ? UINT64_MAX : given_ms;
	const size_t keep_bytes = attr->keep_bytes ? attr->keep_bytes : options.keep_bytes;

	pool->epoch_ms = decay_ms == UINT64_MAX ? decay_ms : decay_ms / 2;
	pool->kept_pages = keep_bytes / (PERCPU__PAGE_GRANULES * PERCPU__GRANULE);
	if (pool->epoch_ms < __atomic_load_n(&shortest_ms, __ATOMIC_RELAXED))
		__atomic_store_n(&shortest_ms, pool->epoch_ms, __ATOMIC_RELAXED);
}

struct round {
	uint64_t now_ms;
	bool gave_back, more;
};

/* Gives back some memory of the first pool that has any due; the other pools wait their turn. */
static void age_one(struct percpu_pool *pool, void *arg)
{
	struct round *round = arg;

	if (!pool->backing->can_purge)
		return;
	percpu__lock(&pool->lock);
	update_age(pool, round->now_ms, 1);
	if (is_any_due(pool) && !round->gave_back) {
		give_back_some(pool);
		round->gave_back = true;
	}
	round->more |= is_any_due(pool);
	percpu__unlock(&pool->lock);
}

void percpu__pools_age(uint64_t now_ms)
{
	const uint64_t epoch_ms = __atomic_load_n(&shortest_ms, __ATOMIC_RELAXED);
	uint64_t last_ms = __atomic_load_n(&aged_ms, __ATOMIC_RELAXED);
	struct round round = { .now_ms = now_ms };

	if (percpu__likely(epoch_ms == UINT64_MAX || percpu__ms_between(last_ms, now_ms) <
							     (epoch_ms > 2 ? epoch_ms / 2 : 1)) ||
	    !__atomic_compare_exchange_n(&aged_ms, &last_ms, now_ms, false, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		return;
	percpu__pools_lock();
	percpu__pools_visit(age_one, &round);
	percpu__pools_unlock();
	if (round.more)
		__atomic_store_n(&aged_ms, last_ms, __ATOMIC_RELAXED);
}

/* ---- all at once ---- */

size_t percpu__pool_trim(struct percpu_pool *pool)
{
	size_t given_back = 0;

	percpu__chunk_index_for_each(&pool->chunk_index, slot) {
		struct percpu__chunk *chunk = percpu__pool_chunk(pool, slot);

		if (percpu__area_map_is_empty(&chunk->area_map) && pool->nr_empty > 1)
			given_back += unmap_chunk(pool, chunk);
	}
	given_back += purge_pool(pool);
	pool->age.stuck_pages = pool->idle_pages;
	pool->age.due_pages = pool->age.due_chunks = 0;
	return given_back;
}
