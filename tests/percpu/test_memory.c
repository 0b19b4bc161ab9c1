/* SPDX-License-Identifier: MIT */
/* The cost of memory: untouched copies have neither pages nor page tables. */
#include "harness/harness.h"
#include "percpu/world.h"

#include <sched.h>

/* Touches the test's own arrays, so that they do not grow during the measurement. */
static void warm_up(void **p, size_t n)
{
	memset(p, 1, n * sizeof(*p));
	held_bytes();
}

START_TEST(untouched_counters_cost_almost_nothing)
{
	static void *p[8192];
	size_t before, after;

	with_options("cpus:512");
	warm_up(p, 8192);
	percpu_free(percpu_alloc(8, 8));
	before = held_bytes();
	for (int i = 0; i < 8192; i++)
		ck_assert_ptr_nonnull(p[i] = percpu_alloc(8, 8));
	after = held_bytes();
	ck_assert_uint_eq(stats_of(NULL).live_bytes, 65536);
	ck_assert_msg(after <= before + (128 << 10), "%zu KiB", (after - before) >> 10);
	for (int i = 0; i < 8192; i++)
		percpu_free(p[i]);
}
END_TEST

START_TEST(untouched_counters_in_bulk_cost_almost_nothing)
{
	static void *p[8192];
	size_t before, after;

	with_options("cpus:512");
	warm_up(p, 8192);
	percpu_free(percpu_alloc(8, 8));
	before = held_bytes();
	ck_assert_int_eq(percpu_alloc_bulk(8, 8, 8192, p), 0);
	after = held_bytes();
	ck_assert_msg(after <= before + (128 << 10), "%zu KiB", (after - before) >> 10);
	percpu_free_bulk(8192, p);
}
END_TEST

/* Pins the thread, because each CPU's area cache has pages of its own. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(here), &here), 0);
}

/* Three copies are written, freed and reused: the others stay without pages and page tables. */
static void reuse(size_t size, size_t n, bool in_pool)
{
	struct percpu_pool *pool = in_pool ? percpu_pool_create("reuse", NULL) : NULL;
	static void *p[2000];
	size_t before;

	stay_here();
	warm_up(p, n);
	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < n; i++) {
			ck_assert_ptr_nonnull(p[i] = percpu_pool_alloc(pool, size, 8));
			for (unsigned copy = 3; copy < 6; copy++) {
				ck_assert(is_zero_copy(p[i], size, copy));
				fill_copy(p[i], size, i, copy);
			}
		}
		if (round == 0)
			before = held_bytes();
		percpu_for_each_copy(copy)
			if (copy < 3 || copy > 5)
				ck_assert_msg(resident_pages(p[n / 2], copy, size) == 0,
					      "copy %u, round %d", copy, round);
		for (size_t i = 0; i < n; i++)
			percpu_free(p[i]);
	}
	ck_assert_uint_le(held_bytes(), before + 32 * page_bytes());
}

START_TEST(untouched_copies_of_small_areas_stay_without_pages)
{
	with_options("cpus:64");
	reuse(24, 2000, false);
}
END_TEST

START_TEST(untouched_copies_of_pages_stay_without_pages)
{
	with_options("cpus:64");
	reuse(5000, 30, false);
}
END_TEST

START_TEST(untouched_copies_of_a_pool_stay_without_pages)
{
	with_options("cpus:512");
	reuse(100, 500, true);
}
END_TEST

/* Few copies may all be read, which maps the zero page; none gets a page of its own. */
START_TEST(few_copies_get_no_page_of_their_own)
{
	void *p;
	size_t before;

	with_options("cpus:15");
	p = percpu_alloc(100000, 8);
	fill_copy(p, 100000, 1, 2);
	percpu_free(p);
	p = percpu_alloc(100000, 8);
	before = held_bytes();
	percpu_free(p);
	p = percpu_alloc(100000, 8);
	ck_assert_uint_le(held_bytes(), before + (64 << 10));
	ck_assert(is_zero(p, 100000));
	ck_assert_uint_le(held_bytes(), before + (64 << 10));
	percpu_free(p);
}
END_TEST

START_TEST(a_sum_allocates_no_page)
{
	uint64_t *p;
	size_t before;

	with_options("cpus:512");
	p = percpu_new(uint64_t);
	percpu_add(p, 5);
	ck_assert_uint_eq(percpu_sum(p), 5);
	before = held_bytes();
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(percpu_sum(p), 5);
	ck_assert_uint_le(held_bytes(), before + (32 << 10));
	percpu_free(p);
	p = percpu_new(uint64_t); /* zero although the sum has mapped all copies */
	ck_assert_uint_eq(percpu_sum(p), 0);
	percpu_free(p);
}
END_TEST

START_TEST(churn_does_not_grow)
{
	static void *p[3000];
	uint64_t state = 12345;
	size_t before = 0;

	warm_up(p, 3000);
	memset(p, 0, sizeof(p));
	for (int step = 0; step < 200000; step++) {
		const size_t at = chance(&state) % 3000;

		percpu_free(p[at]);
		p[at] = percpu_alloc(1 + chance(&state) % 500, 8);
		percpu_inc((uint64_t *)p[at]);
		if (step == 60000)
			before = held_bytes();
	}
	ck_assert_uint_le(held_bytes(), before + (before >> 3) + 3 * PERCPU_STRIDE);
	for (int i = 0; i < 3000; i++)
		percpu_free(p[i]);
}
END_TEST

START_TEST(trim_gives_back_everything_freed)
{
	static void *p[100000];
	struct percpu_pool_stats stats;
	size_t before;

	warm_up(p, 100000);
	percpu_free(percpu_alloc(8, 8));
	before = held_bytes();
	for (int i = 0; i < 100000; i++) {
		ck_assert_ptr_nonnull(p[i] = percpu_alloc(64, 8));
		percpu_inc((uint64_t *)p[i]);
	}
	ck_assert_uint_ge(held_bytes(), before + (6 << 20));
	for (int i = 0; i < 100000; i++)
		percpu_free(p[i]);
	ck_assert_int_ge(percpu_trim(NULL), 0);
	stats = stats_of(NULL);
	ck_assert_uint_le(stats.nr_chunks, 1);
	ck_assert_uint_eq(stats.used_page_bytes, 0);
	ck_assert_uint_eq(stats.held_page_bytes, 0);
	ck_assert_uint_le(held_bytes(), before + (512 << 10));
}
END_TEST

/* A sanitizer allocates shadow memory for all memory that is read. */
#if PERCPU__ASAN || PERCPU__TSAN
#define WHY_NOT "the sanitizer's shadow memory would be counted, too"
#else
#define WHY_NOT NULL
#endif

TEST_MAIN_UNLESS(WHY_NOT, "percpu: memory", 120, untouched_counters_cost_almost_nothing,
		 untouched_counters_in_bulk_cost_almost_nothing,
		 untouched_copies_of_small_areas_stay_without_pages,
		 untouched_copies_of_pages_stay_without_pages,
		 untouched_copies_of_a_pool_stay_without_pages, few_copies_get_no_page_of_their_own,
		 a_sum_allocates_no_page, churn_does_not_grow, trim_gives_back_everything_freed)
