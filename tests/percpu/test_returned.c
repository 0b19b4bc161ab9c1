/* SPDX-License-Identifier: MIT */
/*
 * Memory given back. The test allocates a million areas of mixed sizes, writes one copy of each,
 * and frees nine of ten at random. It keeps its own list of the pages that still hold a live area,
 * and asks the kernel about every page of every copy. Small machines have fewer areas; machines
 * with larger pages have larger ones.
 */
#include "harness/harness.h"
#include "percpu/world.h"

#define NR_OBJECTS 1000000
#define MAX_UNITS 4096 /* chunks */
#define MAX_PAGES 64   /* of a unit */

/* A sanitizer allocates shadow memory for all memory that is read, and is slow. */
#if PERCPU__ASAN || PERCPU__TSAN
#define COUNTS_ARE_EXACT false
#else
#define COUNTS_ARE_EXACT true
#endif

static char *objects[NR_OBJECTS]; /* NULL: free */
static struct unit {
	char *base;         /* start of its chunk */
	uint64_t has_live;  /* pages of 4 KiB that hold a live area */
} units[MAX_UNITS];
static unsigned nr_units, nr_objects;
static uint64_t state = 88172645463325252u;

static size_t size_of(unsigned i)
{
	return 1 + i * 2654435761u % (page_bytes() / 8);
}

static void setup(unsigned nr)
{
	const size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * page_bytes();

	nr_objects = memory < (size_t)4 << 30 || !COUNTS_ARE_EXACT ? nr / 8 : nr;
	nr_objects /= page_bytes() / 4096;
}

/* Few copies, so that every page is written in each of them at once, wherever the objects lie. */
static unsigned copy_of(unsigned i)
{
	return i % (percpu_nr_copies() < 3 ? percpu_nr_copies() : 3);
}

static void grow(void)
{
	for (unsigned i = 0; i < nr_objects; i++) {
		if (objects[i])
			continue;
		ck_assert_ptr_nonnull(objects[i] = percpu_alloc(size_of(i), 8));
		percpu_ptr(objects[i], copy_of(i))[size_of(i) - 1] = 1;
	}
}

static void shrink(void)
{
	for (unsigned i = 0; i < nr_objects; i++)
		if (chance(&state) % 10) {
			percpu_free(objects[i]);
			objects[i] = NULL;
		}
}

static struct unit *unit_of(const char *base)
{
	for (unsigned at = (uintptr_t)base / PERCPU_STRIDE % MAX_UNITS;;
	     at = (at + 1) % MAX_UNITS) {
		if (!units[at].base) {
			ck_assert_uint_lt(++nr_units, MAX_UNITS / 2);
			units[at].base = (char *)base;
		}
		if (units[at].base == base)
			return &units[at];
	}
}

/* Lists the pages of each unit that hold a live area; units seen before stay in the list. */
static void list_units(void)
{
	for (unsigned at = 0; at < MAX_UNITS; at++)
		units[at].has_live = 0;
	for (unsigned i = 0; i < nr_objects; i++) {
		const uintptr_t offset = (uintptr_t)objects[i] % PERCPU_STRIDE;

		if (!objects[i])
			continue;
		for (uintptr_t page = offset / 4096; page <= (offset + size_of(i) - 1) / 4096;
		     page++)
			unit_of(objects[i] - offset)->has_live |= UINT64_C(1) << page;
	}
}

static bool page_has_live(const struct unit *unit, size_t page)
{
	const size_t nr = page_bytes() / 4096;

	return unit->has_live >> page * nr & (nr >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << nr) - 1);
}

/* Resident pages of all copies of the listed units: all, and those without a live area. */
struct resident {
	size_t all, in_vain, nr_live_units, nr_unmapped;
};

static struct resident count_resident(void)
{
	const size_t nr_pages = PERCPU_STRIDE / page_bytes();
	struct resident count = { 0 };
	unsigned char present[MAX_PAGES];

	list_units();
	for (const struct unit *unit = units; unit < units + MAX_UNITS; unit++) {
		bool is_mapped = true;

		if (!unit->base)
			continue;
		count.nr_live_units += unit->has_live != 0;
		percpu_for_each_copy(i) {
			is_mapped = mincore(percpu_ptr(unit->base, i), PERCPU_STRIDE, present) == 0;
			if (!is_mapped)
				break;
			for (size_t page = 0; page < nr_pages; page++) {
				count.all += present[page] & 1;
				count.in_vain += present[page] & !page_has_live(unit, page);
			}
		}
		count.nr_unmapped += !is_mapped;
		ck_assert(is_mapped || !unit->has_live);
	}
	return count;
}

START_TEST(live_areas_hold_only_their_own_pages)
{
	struct resident full, freed, trimmed;

	with_options("decay:0");
	setup(NR_OBJECTS);
	grow();
	full = count_resident();
	shrink();
	freed = count_resident();
	ck_assert_int_ge(percpu_trim(NULL), 0);
	trimmed = count_resident();
	printf("# pages: %zu full, %zu by frees alone, %zu trimmed; %u chunks\n", full.all,
	       freed.all, trimmed.all, nr_units);
	fflush(stdout);
	ck_assert_uint_eq(trimmed.in_vain, 0);
	ck_assert_uint_lt(trimmed.all, full.all - full.all / 8);
	/* Frees alone give back 90 % of the pages that can be given back. */
	ck_assert_uint_ge((full.all - freed.all) * 10, (full.all - trimmed.all) * 9);
	for (unsigned i = 0; i < nr_objects; i++)
		ck_assert(!objects[i] || percpu_ptr(objects[i], copy_of(i))[size_of(i) - 1] == 1);
}
END_TEST

/* With many CPUs the library asks the kernel which copies have pages. */
START_TEST(live_areas_hold_only_their_own_pages_with_many_cpus)
{
	struct resident freed, trimmed;

	with_options("cpus:32");
	setup(NR_OBJECTS / 4);
	grow();
	shrink();
	freed = count_resident();
	ck_assert_int_ge(percpu_trim(NULL), 0);
	trimmed = count_resident();
	ck_assert_uint_eq(trimmed.in_vain, 0);
	ck_assert_uint_lt(trimmed.all, freed.all);
}
END_TEST

START_TEST(chunks_without_a_live_area_are_unmapped)
{
	struct resident count;
	char *first;

	with_options("decay:0");
	setup(NR_OBJECTS / 4);
	grow();
	list_units();
	/* Frees all objects that do not share a chunk with the first one. */
	first = objects[0] - (uintptr_t)objects[0] % PERCPU_STRIDE;
	for (unsigned i = 0; i < nr_objects; i++) {
		if (objects[i] - (uintptr_t)objects[i] % PERCPU_STRIDE == first)
			continue;
		percpu_free(objects[i]);
		objects[i] = NULL;
	}
	/* After frees alone, area caches keep some chunks mapped. */
	count = count_resident();
	ck_assert_uint_ge(count.nr_unmapped * 4, nr_units);
	ck_assert_int_ge(percpu_trim(NULL), 0);
	count = count_resident();
	ck_assert_uint_eq(count.nr_live_units, 1);
	ck_assert_uint_eq(count.in_vain, 0);
	ck_assert_uint_ge(count.nr_unmapped, nr_units - 2); /* one empty chunk is kept */
	ck_assert_uint_le(stats_of(NULL).nr_chunks, 2);
}
END_TEST

/* ---- cycles ---- */

struct held {
	size_t memory, address_space, bookkeeping, nr_chunks, nr_mappings;
};

static struct held held_now(void)
{
	const struct percpu_pool_stats stats = stats_of(NULL);

	return (struct held){ held_bytes(), proc_bytes("/proc/self/status", "\nVmSize:"),
			      stats.bookkeeping_bytes, stats.nr_chunks, nr_mappings() };
}

/* The live tenth is random, so the cycles end with small differences. */
static bool is_about(size_t now, size_t then, size_t slack)
{
	return now <= then + then / 50 + slack;
}

static void check_held(const char *when, struct held first, struct held last, size_t memory_slack)
{
	printf("# %s: %zu KiB, %zu KiB of addresses, %zu mappings at first; %zu, %zu, %zu at "
	       "last\n",
	       when, first.memory >> 10, first.address_space >> 10, first.nr_mappings,
	       last.memory >> 10, last.address_space >> 10, last.nr_mappings);
	fflush(stdout);
	ck_assert(is_about(last.memory, first.memory, memory_slack) || !COUNTS_ARE_EXACT);
	ck_assert(is_about(last.address_space, first.address_space,
			   4 * (percpu_nr_copies() + 3) * PERCPU_STRIDE));
	/* Walkers of --enable-checks read all tags, which maps the zero page. */
	ck_assert(is_about(last.bookkeeping, first.bookkeeping, 2 * PERCPU_STRIDE));
	ck_assert(is_about(last.nr_chunks, first.nr_chunks, 4));
	ck_assert(is_about(last.nr_mappings, first.nr_mappings, 16));
}

START_TEST(ten_cycles_end_where_the_first_ended)
{
	struct held full[10], shrunk[10], before, after;

	setup(NR_OBJECTS / 4);
	memset(objects, 0, sizeof(objects));
	percpu_free(percpu_alloc(8, 8));
	before = held_now();
	for (int turn = 0; turn < 10; turn++) {
		grow();
		full[turn] = held_now();
		shrink();
		ck_assert_int_ge(percpu_trim(NULL), 0);
		shrunk[turn] = held_now();
	}
	/* In the first cycle there were no free areas, whose list nodes are metadata. */
	check_held("full", full[1], full[9], 96 << 10);
	/* The live tenth and its neighbours are random. */
	check_held("shrunk", shrunk[0], shrunk[9], shrunk[0].memory / 20);
	for (unsigned i = 0; i < nr_objects; i++)
		percpu_free(objects[i]);
	ck_assert_int_ge(percpu_trim(NULL), 0);
	ck_assert_uint_le(stats_of(NULL).nr_chunks, 1);
	ck_assert_uint_eq(stats_of(NULL).held_page_bytes, 0);
	after = held_now();
	check_held("empty", before, after, 96 << 10);
}
END_TEST

/* Pages that are freed and reused again and again are not purged, however few they are. */
START_TEST(pages_in_repeated_use_are_not_purged)
{
	size_t purged_bytes = 0;

	setup(NR_OBJECTS / 4);
	grow();
	for (int turn = 0; turn < 20; turn++) {
		for (unsigned i = 0; i < nr_objects; i++)
			if (i / 64 % 20 == 7) {
				percpu_free(objects[i]);
				objects[i] = NULL;
			}
		grow();
		if (turn == 3)
			purged_bytes = stats_of(NULL).purged_bytes;
	}
	ck_assert_uint_eq(stats_of(NULL).purged_bytes, purged_bytes);
}
END_TEST

TEST_MAIN("percpu: given back", 120, live_areas_hold_only_their_own_pages,
	  live_areas_hold_only_their_own_pages_with_many_cpus,
	  chunks_without_a_live_area_are_unmapped, ten_cycles_end_where_the_first_ended,
	  pages_in_repeated_use_are_not_purged)
