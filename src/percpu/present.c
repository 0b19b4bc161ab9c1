/* SPDX-License-Identifier: MIT */
/*
 * Owns the knowledge of which copies have pages, for chunks in which reading an untouched copy
 * allocates its page: those of published pools, because a read fills a hole of the file, and all
 * chunks if the kernel has no zero page. If copies are few, sums read all of them nevertheless:
 * this allocates few pages, and takes far less time than asking the kernel.
 *
 * A chunk remembers the pages that the kernel has reported, a mask for each copy, and asks about
 * the others only. A page that exists stays: only a purge frees it, which forgets it here, and only
 * while no area in it is live. Questions are about pages with live areas, so no purge concurs with
 * them.
 *
 * A copy that is skipped had no page when the kernel was asked, so no thread had written to it.
 */
#include "percpu/percpu.h"

#define PAGE_BYTES ((uintptr_t)PERCPU__PAGE_GRANULES * PERCPU__GRANULE)

uint32_t percpu__plain_copies;     /* 0, or the number of copies; atomic, see settle */
static bool some_reads_make_pages; /* atomic; never false again */

/*
 * Sets percpu__plain_copies by some_reads_make_pages. Each thread that stores the former reads the
 * latter again, so that the last store is right.
 */
static void settle(void)
{
	if (!__atomic_load_n(&some_reads_make_pages, __ATOMIC_SEQ_CST))
		__atomic_store_n(&percpu__plain_copies, percpu_abi.nr_copies, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&some_reads_make_pages, __ATOMIC_SEQ_CST) &&
	    __atomic_load_n(&percpu__plain_copies, __ATOMIC_SEQ_CST))
		__atomic_store_n(&percpu__plain_copies, 0, __ATOMIC_SEQ_CST);
}

/* Leaves percpu__plain_copies alone if copies are few, because then sums read all of them. */
bool percpu__reads_make_pages(const struct percpu_pool *pool)
{
	if (!pool->backing->reads_make_pages &&
	    (percpu__copies_are_few() || percpu__has_zero_page()))
		return false;
	if (!percpu__copies_are_few()) {
		__atomic_store_n(&some_reads_make_pages, true, __ATOMIC_SEQ_CST);
		settle();
	}
	return true;
}

/* ---- asking ---- */

/* Returns: true if the copy is known to have all of the pages. */
static bool is_known(const struct percpu__chunk *chunk, unsigned copy, uint64_t pages)
{
	return !(pages & ~__atomic_load_n(&chunk->present[copy], __ATOMIC_RELAXED));
}

/* Returns: the pages of [start, end), addresses in one unit. */
static uint64_t pages_between(uintptr_t start, uintptr_t end)
{
	const unsigned first = (start & (PERCPU_STRIDE - 1)) / PAGE_BYTES,
		       nr = (end - start + PAGE_BYTES - 1) / PAGE_BYTES;

	return ~UINT64_C(0) >> (PERCPU__UNIT_PAGES - nr) << first;
}

/* Notes that all pages of the extent exist, as far as they are among `pages`. */
static void note(struct percpu__chunk *chunk, struct percpu__extent extent, uint64_t pages)
{
	while (extent.start < extent.end) {
		const unsigned copy =
			(extent.start - percpu__chunk_unit(chunk, 0)) >> PERCPU_STRIDE_SHIFT;
		const uintptr_t unit_end = percpu__chunk_unit(chunk, copy + 1);
		const uintptr_t end = extent.end < unit_end ? extent.end : unit_end;
		const uint64_t found = pages_between(extent.start, end) & pages;

		if (!is_known(chunk, copy, found))
			__atomic_fetch_or(&chunk->present[copy], found, __ATOMIC_RELAXED);
		extent.start = end;
	}
}

/*
 * Returns: the address of the first of the pages at or after address that is not known, in any
 * copy; the end of the units if all are known.
 */
static uintptr_t next_unknown(const struct percpu__chunk *chunk, uintptr_t address, uint64_t pages)
{
	const uintptr_t first_unit = percpu__chunk_unit(chunk, 0);

	for (unsigned copy = (address - first_unit) >> PERCPU_STRIDE_SHIFT;
	     copy < percpu_abi.nr_copies; copy++) {
		const uintptr_t unit = percpu__chunk_unit(chunk, copy);
		uint64_t unknown =
			pages & ~__atomic_load_n(&chunk->present[copy], __ATOMIC_RELAXED);

		if (address > unit)
			unknown &= ~UINT64_C(0) << (address - unit) / PAGE_BYTES;
		if (unknown)
			return unit + __builtin_ctzll(unknown) * PAGE_BYTES;
	}
	return percpu__chunk_unit(chunk, percpu_abi.nr_copies);
}

/* Asks the kernel about those of the pages that are not known. Returns: 0 or -errno. */
static int ask(struct percpu__chunk *chunk, uint64_t pages)
{
	const uintptr_t end = percpu__chunk_unit(chunk, percpu_abi.nr_copies);
	uintptr_t at = next_unknown(chunk, percpu__chunk_unit(chunk, 0), pages);
	struct percpu__extent extents[64];

	while (at < end) {
		const int nr = chunk->pool->backing->find_pages(chunk, &at, end, extents, 64);

		if (nr < 0)
			return nr;
		for (int i = 0; i < nr; i++)
			note(chunk, extents[i], pages);
		if (at < end)
			at = next_unknown(chunk, at, pages);
	}
	return 0;
}

/* Returns: true if every copy is known to have all of the pages. */
static bool are_everywhere(const struct percpu__chunk *chunk, uint64_t pages)
{
	for (unsigned copy = 0; copy < percpu_abi.nr_copies; copy++)
		if (!is_known(chunk, copy, pages))
			return false;
	return true;
}

bool percpu__present_find(struct percpu__chunk *chunk, uint64_t pages)
{
	if (!chunk->reads_make_pages ||
	    !(pages & ~__atomic_load_n(&chunk->everywhere, __ATOMIC_RELAXED)))
		return false;
	/* If the kernel does not tell, all copies are read, and have the pages afterwards. */
	if (ask(chunk, pages) < 0 || are_everywhere(chunk, pages)) {
		__atomic_fetch_or(&chunk->everywhere, pages, __ATOMIC_RELAXED);
		return false;
	}
	return true;
}

struct percpu__present percpu__present_asked(const void *p)
{
	const uintptr_t address = (uintptr_t)p;
	struct percpu__present present = { .copies = NULL };
	struct percpu__chunk *chunk;

	percpu__start();
	settle();
	chunk = percpu__pagemap_find(address);
	if (!chunk) /* a chunk of a published pool that was made after this process was forked */
		return present;
	present.page = pages_between(address, address + 1);
	if (percpu__present_find(chunk, present.page))
		present.copies = chunk->present;
	return present;
}

void percpu__present_forget(struct percpu__chunk *chunk, uint64_t pages)
{
	if (!chunk->reads_make_pages)
		return;
	__atomic_fetch_and(&chunk->everywhere, ~pages, __ATOMIC_RELAXED);
	for (unsigned copy = 0; copy < percpu_abi.nr_copies; copy++)
		if (__atomic_load_n(&chunk->present[copy], __ATOMIC_RELAXED) & pages)
			__atomic_fetch_and(&chunk->present[copy], ~pages, __ATOMIC_RELAXED);
}
