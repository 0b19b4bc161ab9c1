/* SPDX-License-Identifier: MIT */
/*
 * Huge pages on request: copies of neighbouring CPUs share them, counters count the same with and
 * without them, and statistics tell which pages there were. tests/vm/huge.c tests several nodes.
 */
#include "harness/harness.h"
#include "percpu/huge.h"
#include "percpu/world.h"

#include <sys/prctl.h>

#define NR_CHUNKS 8

static struct percpu_pool *huge_pool(void)
{
	with_options("cpus:16");
	return pool_with((struct percpu_pool_attr){ .huge_pages = PERCPU_ON, .decay_ms = 1 });
}

START_TEST(neighbours_share_a_page)
{
	struct percpu_pool *pool;
	char *p;

	SKIP_IF(neighbours_share_huge_pages() ? NULL : "no huge pages that neighbours share");
	pool = huge_pool();
	p = percpu_pool_alloc(pool, PERCPU_MAX_SIZE, 8);
	ck_assert_uint_eq(stats_of(pool).nr_chunks_huge, 1);
	*percpu_ptr(p, 3) = 1;
	for (unsigned cpu = 0; cpu < 8; cpu++)
		ck_assert_uint_gt(resident_pages(p + PERCPU_MAX_SIZE - 1, cpu, 1), 0);
	for (unsigned cpu = 8; cpu < 16; cpu++)
		ck_assert_uint_eq(resident_pages(p, cpu, 1), 0);
	ck_assert_uint_eq(leaves_of(percpu_ptr(p, 0), 16 * PERCPU_STRIDE).nr_huge, 1);
	*percpu_ptr(p, 8) = 1;
	ck_assert_uint_eq(leaves_of(percpu_ptr(p, 0), 16 * PERCPU_STRIDE).nr_huge, 2);
	ck_assert_uint_eq(leaves_of(percpu_ptr(p, 0), 16 * PERCPU_STRIDE).nr_small, 0);
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* Returns: the page table entries of chunks that are written in full. */
static struct leaves fill_chunks(struct percpu_pool *pool)
{
	struct leaves sum = { 0, 0 };
	char *p[NR_CHUNKS];

	for (int i = 0; i < NR_CHUNKS; i++) {
		struct leaves leaves;

		p[i] = percpu_pool_alloc(pool, PERCPU_MAX_SIZE, 8);
		for (unsigned cpu = 0; cpu < 16; cpu++)
			memset(percpu_ptr(p[i], cpu), 1, PERCPU_MAX_SIZE);
		leaves = leaves_of(percpu_ptr(p[i], 0), 16 * PERCPU_STRIDE);
		sum.nr_huge += leaves.nr_huge;
		sum.nr_small += leaves.nr_small;
	}
	for (int i = 0; i < NR_CHUNKS; i++)
		percpu_free(p[i]);
	return sum;
}

START_TEST(page_tables_of_full_chunks_shrink_a_hundred_times)
{
	struct leaves huge, small;

	SKIP_IF(neighbours_share_huge_pages() ? NULL : "no huge pages that neighbours share");
	huge = fill_chunks(huge_pool());
	small = fill_chunks(percpu_pool_create("small", NULL));
	printf("# entries of %d chunks: %zu huge and %zu small, against %zu small\n", NR_CHUNKS,
	       huge.nr_huge, huge.nr_small, small.nr_small);
	fflush(stdout);
	ck_assert_uint_eq(small.nr_huge, 0);
	ck_assert_uint_le((huge.nr_huge + huge.nr_small) * 100, small.nr_small);
}
END_TEST

/* Checks that counters start at zero and count right. */
static void count(struct percpu_pool *pool)
{
	uint64_t *counters[1000];

	for (int i = 0; i < 1000; i++) {
		ck_assert_ptr_nonnull(counters[i] = percpu_pool_alloc(pool, 8 + i % 90 * 8, 8));
		percpu_for_each_copy(copy)
			ck_assert_uint_eq(*percpu_ptr(counters[i], copy), 0);
		percpu_for_each_copy(copy)
			*percpu_ptr(counters[i], copy) = i;
		percpu_add(counters[i], 7);
	}
	for (int i = 0; i < 1000; i++) {
		ck_assert_uint_eq(percpu_sum(counters[i]), (uint64_t)i * percpu_nr_copies() + 7);
		percpu_free(counters[i]);
	}
}

START_TEST(huge_pages_do_not_change_results)
{
	struct percpu_pool *pool = huge_pool();

	for (int turn = 0; turn < 3; turn++) {
		count(pool);
		ck_assert_int_ge(percpu_trim(pool), 0);
		ck_assert_uint_eq(stats_of(pool).held_page_bytes, 0);
	}
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(statistics_tell_if_there_are_no_huge_pages)
{
	struct percpu_pool *pool;
	char *p, *stays;

	ck_assert_int_eq(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	pool = huge_pool();
	count(pool);
	p = percpu_pool_alloc(pool, PERCPU_MAX_SIZE, 8);
	memset(percpu_ptr(p, 1), 1, PERCPU_MAX_SIZE);
	ck_assert_uint_eq(leaves_of(percpu_ptr(p, 0), 16 * PERCPU_STRIDE).nr_huge, 0);
	ck_assert_uint_eq(stats_of(pool).nr_chunks_huge, 0);
	/* Small pages of a chunk in use can be purged. */
	stays = percpu_pool_alloc(pool, 8, 8);
	*percpu_ptr(stays, 1) = 1;
	percpu_free(p);
	p = percpu_pool_alloc(pool, 100000, 8);
	memset(percpu_ptr(p, 1), 1, 100000);
	percpu_free(p);
	ck_assert_int_ge(percpu_trim(pool), 0);
	ck_assert_uint_eq(stats_of(pool).held_page_bytes, 4096);
	percpu_free(stays);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* A pool of huge pages gives back chunks as a whole. */
START_TEST(only_whole_chunks_go_back)
{
	struct percpu_pool *pool;
	char *p[4];

	SKIP_IF(neighbours_share_huge_pages() ? NULL : "no huge pages that neighbours share");
	pool = huge_pool();
	for (int i = 0; i < 4; i++) {
		p[i] = percpu_pool_alloc(pool, PERCPU_MAX_SIZE, 8);
		*percpu_ptr(p[i], 0) = *percpu_ptr(p[i], 15) = 1;
	}
	for (int i = 0; i < 3; i++)
		percpu_free(p[i]);
	ck_assert_uint_eq(stats_of(pool).nr_chunks, 2);
	ck_assert_int_ge(percpu_trim(pool), 0);
	ck_assert_uint_eq(stats_of(pool).held_page_bytes, PERCPU_STRIDE);
	ck_assert_uint_eq(leaves_of(percpu_ptr(p[3], 0), 16 * PERCPU_STRIDE).nr_huge, 2);
	percpu_free(p[3]);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

TEST_MAIN("percpu: huge pages", 120, neighbours_share_a_page,
	  page_tables_of_full_chunks_shrink_a_hundred_times, huge_pages_do_not_change_results,
	  statistics_tell_if_there_are_no_huge_pages, only_whole_chunks_go_back)
