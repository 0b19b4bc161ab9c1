/* SPDX-License-Identifier: MIT */
/*
 * Owns the operations on the same bytes of every copy: zero, poison, verify. The aim is to visit
 * few copies. A copy that was never touched has no page and reads as zero; reading it would
 * allocate a page table, or even a page (present.c). So with many copies the kernel is asked once,
 * for several areas together, which parts of the chunk have pages, and only these are visited. With
 * few copies, or where sums have already allocated the page tables, reading every copy is cheaper.
 */
#include <string.h>

#include "percpu/percpu.h"

#define SMALL_BYTES 512u
#define PAGE_BYTES ((uintptr_t)PERCPU__PAGE_GRANULES * PERCPU__GRANULE)
#define MOST_SHARE 8u /* see chunk->is_mapped: one extent for this many copies */
#define POISON UINT64_C(0x6b6b6b6b6b6b6b6b)

/* Acts on bytes at `at`, a part of a copy of the area; both are multiples of a granule. */
typedef void visit_fn(percpu__user_word *at, size_t bytes, const struct percpu__area *area);

struct percpu__area percpu__area_of(const void __percpu *p)
{
	const uintptr_t address = (uintptr_t)p;
	struct percpu__chunk *chunk = percpu__pagemap_find(address);
	const uint32_t offset_bytes = address & (PERCPU_STRIDE - 1);

	return (struct percpu__area){
		.chunk = chunk,
		.offset_bytes = offset_bytes,
		.bytes = percpu__area_map_size(&chunk->area_map, offset_bytes / PERCPU__GRANULE) *
			 PERCPU__GRANULE,
	};
}

/* Visits the part of each area that lies in [start, end), addresses in the unit at `unit`. */
static void visit_part(uintptr_t unit, uintptr_t start, uintptr_t end,
		       const struct percpu__area *areas, unsigned nr, visit_fn *visit)
{
	for (unsigned i = 0; i < nr; i++) {
		uintptr_t from = unit + areas[i].offset_bytes, to = from + areas[i].bytes;

		from = from > start ? from : start;
		to = to < end ? to : end;
		if (from < to)
			visit((percpu__user_word *)from, to - from, &areas[i]);
	}
}

/* Visits the parts of the areas' copies that lie in the extent, which may span units. */
static void visit_extent(struct percpu__extent extent, const struct percpu__area *areas,
			 unsigned nr, visit_fn *visit)
{
	while (extent.start < extent.end) {
		const uintptr_t unit = extent.start & ~(PERCPU_STRIDE - 1);
		const uintptr_t end =
			extent.end < unit + PERCPU_STRIDE ? extent.end : unit + PERCPU_STRIDE;

		visit_part(unit, extent.start, end, areas, nr, visit);
		extent.start = end;
	}
}

/* Visits all copies from address start on. */
static void visit_all(const struct percpu__chunk *chunk, uintptr_t start,
		      const struct percpu__area *areas, unsigned nr, visit_fn *visit)
{
	visit_extent(
		(struct percpu__extent){ start, percpu__chunk_unit(chunk, percpu_abi.nr_copies) },
		areas, nr, visit);
}

/* Returns: the 4 KiB pages of a unit that contain any part of the area. */
static uint64_t pages_of(struct percpu__area area)
{
	const unsigned first = area.offset_bytes / PAGE_BYTES,
		       last = (area.offset_bytes + area.bytes - 1) / PAGE_BYTES;

	return (~UINT64_C(0) << first) & (~UINT64_C(0) >> (PERCPU__UNIT_PAGES - 1 - last));
}

static uint64_t pages_of_all(const struct percpu__area *areas, unsigned nr)
{
	uint64_t pages = 0;

	while (nr--)
		pages |= pages_of(areas[nr]);
	return pages;
}

/* Visits the pages that copies have, in a chunk in which reading allocates pages. */
static void visit_present(struct percpu__chunk *chunk, const struct percpu__area *areas,
			  unsigned nr, visit_fn *visit)
{
	const uint64_t pages = pages_of_all(areas, nr);

	if (!percpu__present_find(chunk, pages)) {
		visit_all(chunk, percpu__chunk_unit(chunk, 0), areas, nr, visit);
		return;
	}
	for (unsigned copy = 0; copy < percpu_abi.nr_copies; copy++) {
		const uintptr_t unit = percpu__chunk_unit(chunk, copy);
		uint64_t there = __atomic_load_n(&chunk->present[copy], __ATOMIC_RELAXED) & pages;

		for (; there; there &= there - 1) {
			const uintptr_t page = unit + __builtin_ctzll(there) * PAGE_BYTES;

			visit_part(unit, page, page + PAGE_BYTES, areas, nr, visit);
		}
	}
}

/*
 * Visits the copies that have page tables. Notes in the chunk if they are so many that asking the
 * kernel does not pay.
 */
static void visit_mapped(struct percpu__chunk *chunk, const struct percpu__area *areas, unsigned nr,
			 visit_fn *visit)
{
	const uintptr_t end = percpu__chunk_unit(chunk, percpu_abi.nr_copies);
	uintptr_t start = percpu__chunk_unit(chunk, 0);
	struct percpu__extent extents[64];
	unsigned total = 0;

	while (start < end) {
		const uintptr_t asked = start;
		int found = percpu__find_pages(PERCPU__PAGES_MAPPED, &start, end, extents, 64);

		if (found < 0) {
			visit_all(chunk, asked, areas, nr, visit);
			return;
		}
		for (int i = 0; i < found; i++)
			visit_extent(extents[i], areas, nr, visit);
		total += found;
	}
	if (total > percpu_abi.nr_copies / MOST_SHARE)
		__atomic_store_n(&chunk->is_mapped, true, __ATOMIC_RELAXED);
}

/* Returns: true if reading every copy costs less than asking the kernel. */
static bool reading_is_cheap(const struct percpu__chunk *chunk)
{
	return !chunk->reads_make_pages &&
	       (percpu__copies_are_few() || __atomic_load_n(&chunk->is_mapped, __ATOMIC_RELAXED));
}

/* Visits the copies of nr areas of one chunk. */
static void visit_copies(const struct percpu__area *areas, unsigned nr, visit_fn *visit)
{
	struct percpu__chunk *chunk = areas[0].chunk;

	if (reading_is_cheap(chunk))
		visit_all(chunk, percpu__chunk_unit(chunk, 0), areas, nr, visit);
	else if (chunk->reads_make_pages)
		visit_present(chunk, areas, nr, visit);
	else
		visit_mapped(chunk, areas, nr, visit);
}

/* Goes page by page, because a page that reads as zero must not be written. */
static void zero(percpu__user_word *at, size_t bytes, const struct percpu__area *area)
{
	percpu__user_word *const end = at + bytes / sizeof(*at);

	while (at < end) {
		percpu__user_word *page_end =
			(percpu__user_word *)(((uintptr_t)at | (PAGE_BYTES - 1)) + 1);

		page_end = page_end < end ? page_end : end;
		percpu__zero_words(at, page_end - at);
		at = page_end;
	}
}

static void poison(percpu__user_word *at, size_t bytes, const struct percpu__area *area)
{
	for (size_t i = 0; i < bytes / sizeof(*at); i++)
		at[i] = POISON;
}

static void verify(percpu__user_word *at, size_t bytes, const struct percpu__area *area)
{
	for (size_t i = 0; i < bytes / sizeof(*at); i++)
		if (at[i] != POISON && at[i] != 0)
			percpu__fatal(
				"percpu_alloc",
				&(struct percpu__subject){ .pointer = (const void *)(uintptr_t)
								   percpu__area_pointer(*area),
							   .pool = area->chunk->pool->name },
				PERCPU__FAULT_WRITE_AFTER_FREE);
}

/* Moves the areas that lie in the first area's chunk to the front. Returns: their number. */
static unsigned gather(struct percpu__area *areas, unsigned nr)
{
	unsigned gathered = 1;

	for (unsigned i = 1; i < nr; i++) {
		const struct percpu__area area = areas[i];

		if (area.chunk != areas[0].chunk)
			continue;
		areas[i] = areas[gathered];
		areas[gathered++] = area;
	}
	return gathered;
}

/*
 * Sorts areas of one chunk and merges adjacent ones, because every visit to a copy is expensive.
 * Returns: the number of areas left.
 */
static unsigned join(struct percpu__area *areas, unsigned nr)
{
	unsigned joined = 0;

	for (unsigned i = 1; i < nr; i++) { /* by offset; they are few and nearly sorted */
		const struct percpu__area area = areas[i];
		unsigned at = i;

		for (; at && areas[at - 1].offset_bytes > area.offset_bytes; at--)
			areas[at] = areas[at - 1];
		areas[at] = area;
	}
	for (unsigned i = 1; i < nr; i++) {
		if (areas[joined].offset_bytes + areas[joined].bytes == areas[i].offset_bytes)
			areas[joined].bytes += areas[i].bytes;
		else
			areas[++joined] = areas[i];
	}
	return joined + 1;
}

static bool is_small(struct percpu__area area)
{
	return area.bytes <= SMALL_BYTES &&
	       !percpu__crosses_page(percpu__area_pointer(area), area.bytes / PERCPU__GRANULE);
}

/*
 * Zeroes nr areas of one chunk. Small areas are zeroed area by area, which takes half the time of
 * copy by copy.
 */
static void zero_areas(const struct percpu__area *areas, unsigned nr)
{
	unsigned i = 0;

	if (reading_is_cheap(areas[0].chunk))
		for (; i < nr && is_small(areas[i]); i++)
			percpu__copies_zero_few(percpu__area_pointer(areas[i]),
						areas[i].bytes / sizeof(uint64_t));
	if (i < nr)
		visit_copies(areas + i, nr - i, zero);
}

void percpu__copies_zero(struct percpu__area *areas, unsigned nr)
{
	while (nr) {
		const unsigned gathered = gather(areas, nr);

		zero_areas(areas, join(areas, gathered));
		areas += gathered;
		nr -= gathered;
	}
}

void percpu__copies_zero_one(void __percpu *p)
{
	struct percpu__area area = percpu__area_of(p);

	percpu__copies_zero(&area, 1);
}

void percpu__copies_poison(struct percpu__area area)
{
	visit_copies(&area, 1, poison);
}

void percpu__copies_verify(struct percpu__area area)
{
	visit_copies(&area, 1, verify);
}
