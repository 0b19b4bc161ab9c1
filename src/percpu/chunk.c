/* SPDX-License-Identifier: MIT */
/*
 * Owns a chunk, one reservation of address space (chunk.h has the picture). A chunk is made in
 * three steps: reserve, commit, place. If a step fails there is no chunk, with one exception: the
 * kernel may refuse placement, then first touch decides, and chunk->placed is false. Apart from
 * populated pools, making a chunk touches only its metadata.
 */
#include <string.h>

#include "percpu/percpu.h"
#include "topology/topology.h"

#define UNITS_PER_HUGE_PAGE (PERCPU__HUGE_BYTES / PERCPU_STRIDE)

_Static_assert(PERCPU__UNIT_GRANULES * PERCPU__GRANULE == PERCPU_STRIDE, "an area map is a unit");
_Static_assert(sizeof(union percpu__area_tag) * PERCPU__UNIT_GRANULES == PERCPU_STRIDE,
	       "the tags take as much as a unit");

static size_t round_up(size_t bytes, size_t to)
{
	return (bytes + to - 1) & ~(to - 1);
}

/* Returns: bytes of the guard unit and of all copies' units. */
static size_t units_bytes(void)
{
	return (1 + (size_t)percpu_abi.nr_copies) * PERCPU_STRIDE;
}

/*
 * The metadata: the chunk, its tags, and the words of chunk->present. The tags do not start on a
 * page boundary: otherwise each tag would have the same low address bits as the copies that are
 * written about the same time, and cores would take a load of one for a hit on a store to the other
 * (4K aliasing).
 */
#define TAGS_OFFSET ((sizeof(struct percpu__chunk) + 63) & ~(size_t)63)
_Static_assert(TAGS_OFFSET % 4096 >= 64 && TAGS_OFFSET % 4096 <= 4096 - 64,
	       "tags are clear of their copies");

static size_t own_bytes(void)
{
	return round_up(TAGS_OFFSET + PERCPU_STRIDE + percpu_abi.nr_copies * sizeof(uint64_t),
			percpu__page_bytes());
}

size_t percpu__tags_distance; /* relaxed atomic; all writers store the same value */

size_t percpu__chunk_reservation_bytes(void)
{
	return units_bytes() + percpu__page_bytes() + own_bytes();
}

/*
 * The budget of mappings for node policy, for all pools: a quarter of those that the kernel grants
 * a process. Ten thousand chunks need more than half of them without any policy, at four mappings
 * each, and the rest of the program needs some.
 */
#define POLICY_SHARE 4
static size_t nr_policy_mappings;

static bool budget_take(size_t nr)
{
	if (__atomic_add_fetch(&nr_policy_mappings, nr, __ATOMIC_RELAXED) <=
	    percpu__mapping_limit() / POLICY_SHARE)
		return true;
	__atomic_sub_fetch(&nr_policy_mappings, nr, __ATOMIC_RELAXED);
	return false;
}

static void budget_give(size_t nr)
{
	__atomic_sub_fetch(&nr_policy_mappings, nr, __ATOMIC_RELAXED);
}

/*
 * Finds the CPUs from first on whose memory belongs on one node. *node is set to that node, or to
 * -1 if it is unknown. Returns: the end of the run.
 */
static unsigned run_end(unsigned first, int *node)
{
	unsigned cpu = first;

	*node = percpu__cpu_to_memory_node(first);
	do {
		cpu++;
	} while (cpu < percpu_abi.nr_copies - 1 && percpu__cpu_to_memory_node(cpu) == *node);
	return cpu;
}

static unsigned count_runs(void)
{
	unsigned nr = 0;
	int node;

	for (unsigned cpu = 0; cpu < percpu_abi.nr_copies - 1; cpu = run_end(cpu, &node))
		nr++;
	return nr;
}

/*
 * Sets one policy for each run of CPUs of the same node. If the kernel or the budget refuses,
 * chunk->placed is false.
 */
static void place(struct percpu__chunk *chunk)
{
	const unsigned nr_runs = count_runs();
	unsigned end;
	int node;

	chunk->placed = budget_take(nr_runs);
	if (!chunk->placed)
		return;
	chunk->nr_mappings = nr_runs;
	for (unsigned cpu = 0; cpu < percpu_abi.nr_copies - 1; cpu = end) {
		end = run_end(cpu, &node);
		if (node >= 0 && percpu__bind((void *)percpu__chunk_unit(chunk, cpu),
					      (end - cpu) * PERCPU_STRIDE, node) < 0)
			chunk->placed = false;
	}
}

/*
 * Asks for huge pages for copies [first, end), if they fill at least one. Huge pages are aligned to
 * the unit of CPU 0. Returns: true if huge pages are allowed now.
 */
static bool ask_for_huge(const struct percpu__chunk *chunk, unsigned first, unsigned end)
{
	return round_up(first, UNITS_PER_HUGE_PAGE) + UNITS_PER_HUGE_PAGE <= end &&
	       percpu__advise_huge((void *)percpu__chunk_unit(chunk, first),
				   (end - first) * PERCPU_STRIDE, true) == 0;
}

/*
 * Allows or forbids huge pages. A huge page never spans two nodes, because mappings are split where
 * the node changes. Copies that are not placed, and copies of CPUs whose node is unknown, get none:
 * the first toucher's node would decide placement for every CPU that shares the page.
 * Returns: true if any are allowed.
 */
static bool advise(const struct percpu__chunk *chunk, const struct percpu_pool *pool)
{
	bool any = false;
	unsigned end;
	int node;

	percpu__advise_huge((void *)percpu__chunk_unit(chunk, 0), units_bytes() - PERCPU_STRIDE,
			    false);
	if (!pool->huge || !chunk->placed || !percpu__huge_pages_exist())
		return false;
	if (!pool->node_policy || !percpu__has_nodes())
		return ask_for_huge(chunk, 0, percpu_abi.nr_copies);
	for (unsigned cpu = 0; cpu < percpu_abi.nr_copies - 1; cpu = end) {
		end = run_end(cpu, &node);
		if (node >= 0)
			any |= ask_for_huge(chunk, cpu, end);
	}
	return any;
}

/* Sets placed, nr_mappings and huge. */
static void apply_policy(struct percpu__chunk *chunk, const struct percpu_pool *pool)
{
	chunk->placed = !pool->node_policy || percpu__nodes_are_known();
	if (pool->node_policy && percpu__has_nodes()) {
		percpu__find_new_cpus(PERCPU__SYSFS, percpu_abi.nr_copies - 1);
		place(chunk);
	}
	chunk->huge = advise(chunk, pool);
}

struct percpu__chunk *percpu__chunk_create(struct percpu_pool *pool)
{
	char *const base = pool->backing->map(pool);
	struct percpu__chunk *chunk;
	char *own;

	if (!base)
		return NULL;
	own = base + units_bytes() + percpu__page_bytes();
	chunk = (struct percpu__chunk *)own;
	if (percpu__commit(own, own_bytes()) < 0)
		goto give_back;
	percpu__area_map_init(&chunk->area_map, &chunk->bitmaps,
			      (union percpu__area_tag *)(own + TAGS_OFFSET));
	__atomic_store_n(&percpu__tags_distance, (size_t)(own + TAGS_OFFSET - base),
			 __ATOMIC_RELAXED);
	chunk->pool = pool;
	chunk->base = base;
	chunk->reserved_bytes = percpu__chunk_reservation_bytes();
	chunk->free_pages = ~UINT64_C(0);
	chunk->present = (uint64_t *)(own + TAGS_OFFSET + PERCPU_STRIDE);
	chunk->reads_make_pages = percpu__reads_make_pages(pool);
	apply_policy(chunk, pool);
	if (pool->populate && percpu__populate((void *)percpu__chunk_unit(chunk, 0),
					       units_bytes() - 2 * PERCPU_STRIDE) < 0) {
		budget_give(chunk->nr_mappings);
		goto give_back;
	}
	percpu__debug_chunk(chunk, true);
	return chunk;
give_back:
	pool->backing->unmap(pool, base);
	return NULL;
}

void percpu__chunk_destroy(struct percpu__chunk *chunk)
{
	percpu__debug_chunk(chunk, false);
	budget_give(chunk->nr_mappings);
	chunk->pool->backing->unmap_chunk(chunk);
}

void percpu__chunk_purge_tags(const struct percpu__chunk *chunk, uint64_t pages)
{
	const uintptr_t page = percpu__page_bytes(),
			unit_page = PERCPU__PAGE_GRANULES * PERCPU__GRANULE;

	while (pages) {
		const unsigned first = __builtin_ctzll(pages);
		const uint64_t from = pages >> first;
		const unsigned nr = ~from ? (unsigned)__builtin_ctzll(~from) : PERCPU__UNIT_PAGES;
		const uintptr_t tags = (uintptr_t)chunk + TAGS_OFFSET + first * unit_page;
		const uintptr_t start = (tags + PERCPU__GRANULE + page - 1) & ~(page - 1);
		const uintptr_t end = (tags + nr * unit_page) & ~(page - 1);

		if (start < end)
			percpu__purge((void *)start, end - start);
		pages &= first + nr < PERCPU__UNIT_PAGES ? ~UINT64_C(0) << (first + nr) : 0;
	}
}

/* Returns: bytes in [start, end), the units of one run of CPUs, on other nodes; or -errno. */
static ssize_t misplaced_bytes(uintptr_t start, uintptr_t end, unsigned node)
{
	struct percpu__extent extents[64];
	ssize_t bytes = 0;

	while (start < end) {
		const int nr = percpu__find_pages(PERCPU__PAGES_OWN, &start, end, extents, 64);

		if (nr < 0)
			return nr;
		for (int i = 0; i < nr; i++) {
			const ssize_t elsewhere =
				percpu__bytes_elsewhere(extents[i].start, extents[i].end, node);

			if (elsewhere < 0)
				return elsewhere;
			bytes += elsewhere;
		}
	}
	return bytes;
}

ssize_t percpu__chunk_misplaced_bytes(const struct percpu__chunk *chunk)
{
	ssize_t bytes = 0;
	unsigned end;
	int node;

	for (unsigned cpu = 0; cpu < percpu_abi.nr_copies - 1; cpu = end) {
		ssize_t of_run;

		end = run_end(cpu, &node);
		if (node < 0)
			continue;
		of_run = misplaced_bytes(percpu__chunk_unit(chunk, cpu),
					 percpu__chunk_unit(chunk, end), node);
		if (of_run < 0)
			return of_run;
		bytes += of_run;
	}
	return bytes;
}

size_t percpu__chunk_bookkeeping_bytes(const struct percpu__chunk *chunk)
{
	return percpu__resident_bytes(chunk, own_bytes());
}
