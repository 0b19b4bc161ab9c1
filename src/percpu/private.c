/* SPDX-License-Identifier: MIT */
/* Owns the backing by private memory: each chunk is a reservation of its own and can be purged. */
#include "percpu/percpu.h"

static size_t units_bytes(void)
{
	return (size_t)percpu_abi.nr_copies * PERCPU_STRIDE;
}

static char *map(struct percpu_pool *pool)
{
	const size_t bytes = percpu__chunk_reservation_bytes();
	char *base;

	/* The unit of CPU 0, behind the guard unit, is aligned to a huge page. */
	base = pool->huge ? percpu__reserve(bytes, PERCPU__HUGE_BYTES, PERCPU_STRIDE)
			  : percpu__reserve(bytes, PERCPU_STRIDE, 0);
	if (base && percpu__commit(base + PERCPU_STRIDE, units_bytes()) < 0) {
		percpu__release(base, bytes);
		return NULL;
	}
	return base;
}

static void unmap(struct percpu_pool *pool, char *base)
{
	percpu__release(base, percpu__chunk_reservation_bytes());
}

/* Unmaps the units at once; a lookup may still read the metadata. */
static void unmap_chunk(struct percpu__chunk *chunk)
{
	const size_t of_units = (char *)chunk - chunk->base;

	percpu__release(chunk->base, of_units);
	percpu__gone_put(chunk, percpu__chunk_reservation_bytes() - of_units, &chunk->gone, true);
}

static int find_pages(const struct percpu__chunk *chunk, uintptr_t *start, uintptr_t end,
		      struct percpu__extent *extents, unsigned capacity)
{
	return percpu__find_pages(PERCPU__PAGES_MAPPED, start, end, extents, capacity);
}

const struct percpu__backing percpu__backing_private = {
	.can_purge = true,
	.map = map,
	.unmap = unmap,
	.unmap_chunk = unmap_chunk,
	.find_pages = find_pages,
};
