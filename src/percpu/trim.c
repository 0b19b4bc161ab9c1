/* SPDX-License-Identifier: MIT */
/*
 * Owns the policy of giving memory back, all of it in percpu__trim_after_free and enough_idle_pages:
 *
 *   - a chunk without a live area is unmapped, unless it is the pool's only such chunk: that one is
 *     kept, so that a program that goes to and fro across a chunk's edge does not map and unmap;
 *   - idle pages are purged, all at once, when there are enough of them; so what is held in vain stays
 *     within that, and the cost of a purge is shared by the frees that led to it. Those that the last
 *     purge could not give back (locked memory, parts of larger pages) do not count again.
 *
 * percpu_trim does the same without thresholds, and gives back what CPUs keep ready. Chunks of huge
 * pages are given back whole: purging one page would split the huge one. Published pools are, too: the kernel takes no page out of a sealed file.
 */
#include <errno.h>

#include "percpu/front.h"
#include "percpu/percpu.h"

#define KEPT_IDLE_PAGES PERCPU__UNIT_PAGES
#define KEPT_IDLE_SHARE_OF_LIVE 16
#define KEPT_IDLE_SHARE_OF_FREE 16
#define CHUNKS_PER_IDLE_PAGE 8

/* Free pages that make up whole pages of this machine, which may be larger than 4 KiB. */
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

/* Purges [start, end) where it lies in the pages of its unit; adds the bytes to *given_back. */
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
 * Purges those pages in every copy, where the kernel can tell in those alone that were touched.
 * Returns: bytes given back; *done: nothing was refused (locked memory is).
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

static size_t purge_chunk(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	const uint64_t pages = purgeable(chunk);
	size_t given_back;
	bool done;

	if (!pages)
		return 0;
	percpu__present_forget(chunk, pages);
	percpu__chunk_purge_words(chunk, percpu__space_is_empty(&chunk->space) ? chunk->free_pages : pages);
	given_back = purge_pages(chunk, pages, &done);
	if (done) {
		pool->idle_pages -= __builtin_popcountll(pages & chunk->dirty_pages);
		chunk->dirty_pages &= ~pages;
	}
	return given_back;
}

static size_t purge_pool(struct percpu_pool *pool)
{
	size_t given_back = 0;

	percpu__shelf_for_each(&pool->shelf, slot) {
		struct percpu__chunk *chunk = (struct percpu__chunk *)percpu__shelf_space(&pool->shelf, slot);

		if (!chunk->huge || percpu__space_is_empty(&chunk->space))
			given_back += purge_chunk(pool, chunk);
	}
	pool->stuck_pages = pool->idle_pages;
	pool->missed_pages = pool->retaken_pages;
	pool->retaken_pages = 0;
	pool->purged_bytes += given_back;
	return given_back;
}

/* Unmaps an empty chunk. Returns: resident bytes that went with it. */
static size_t unmap_chunk(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	const size_t given_back = percpu__resident_bytes((void *)percpu__chunk_unit(chunk, 0),
							 percpu_abi.nr_copies * PERCPU_STRIDE);

	percpu__pool_drop(pool, chunk);
	pool->purged_bytes += given_back;
	return given_back;
}

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t max(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* [doc:policy] */
/*
 * Idle pages that are worth a purge: a share of all free pages, so that what frees alone give back is most of
 * what there is to give; and twice what was given back too soon the last time, so that a program whose pages
 * go to and fro is left alone. No more than a share of the live ones, but always a chunk's worth, and
 * enough to pay for the walk over all chunks.
 */
static size_t enough_idle_pages(const struct percpu_pool *pool)
{
	const size_t nr_chunks = pool->shelf.nr_spaces;
	const size_t free_pages = nr_chunks * PERCPU__UNIT_PAGES - pool->live_pages;
	const size_t wanted = free_pages / KEPT_IDLE_SHARE_OF_FREE + 2 * pool->missed_pages;

	return max(min(wanted, pool->live_pages / KEPT_IDLE_SHARE_OF_LIVE),
		   max(KEPT_IDLE_PAGES, nr_chunks / CHUNKS_PER_IDLE_PAGE));
}

void percpu__trim_after_free(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	if (pool->shared)
		return;
	if (percpu__space_is_empty(&chunk->space) && pool->nr_empty > 1)
		unmap_chunk(pool, chunk);
	if (percpu__unlikely(pool->idle_pages > KEPT_IDLE_PAGES + pool->stuck_pages) &&
	    pool->idle_pages > enough_idle_pages(pool) + pool->stuck_pages)
		purge_pool(pool);
}
/* [doc:end] */

static size_t trim(struct percpu_pool *pool)
{
	size_t given_back = 0;

	if (pool->shared)
		return 0;
	percpu__lock(&pool->lock);
	percpu_assert(percpu__pool_is_valid(pool));
	if (pool->fronted)
		percpu__front_drain(pool);
	percpu__shelf_for_each(&pool->shelf, slot) {
		struct percpu__chunk *chunk = (struct percpu__chunk *)percpu__shelf_space(&pool->shelf, slot);

		if (percpu__space_is_empty(&chunk->space) && pool->nr_empty > 1)
			given_back += unmap_chunk(pool, chunk);
	}
	given_back += purge_pool(pool);
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
