/* SPDX-License-Identifier: MIT */
/*
 * Owns the policy of giving memory back, all of it in percpu__trim_after_free:
 *
 *   - a chunk without a live area is unmapped, unless it is the pool's only such chunk: that one is
 *     kept, so that a program that goes to and fro across a chunk's edge does not map and unmap;
 *   - idle pages are purged, all at once, when they are more than one chunk's worth and more than a
 *     sixteenth of the live ones; so what is held in vain stays within that, and the cost of a purge
 *     is shared by the frees that led to it. Those that the last purge could not give back (locked
 *     memory, parts of larger pages) do not count again.
 *
 * percpu_trim does the same without thresholds, and gives back what CPUs keep ready. Pools of huge
 * pages are given back in whole chunks alone: purging one page would split the huge one.
 */
#include <errno.h>

#include "percpu/front.h"
#include "percpu/percpu.h"

#define KEPT_IDLE_PAGES PERCPU__UNIT_PAGES
#define KEPT_IDLE_SHARE 16

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

		if (!pool->huge || percpu__space_is_empty(&chunk->space))
			given_back += purge_chunk(pool, chunk);
	}
	pool->stuck_pages = pool->idle_pages;
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

void percpu__trim_after_free(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	if (percpu__space_is_empty(&chunk->space) && pool->nr_empty > 1)
		unmap_chunk(pool, chunk);
	if (pool->idle_pages > KEPT_IDLE_PAGES + pool->stuck_pages &&
	    pool->idle_pages > pool->live_pages / KEPT_IDLE_SHARE + pool->stuck_pages)
		purge_pool(pool);
}

static size_t trim(struct percpu_pool *pool)
{
	size_t given_back = 0;

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

	if (pool)
		return trim(pool);
	percpu__pools_lock();
	percpu__pools_visit(trim_one, &given_back);
	percpu__pools_unlock();
	return given_back;
}
