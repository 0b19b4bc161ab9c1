/* SPDX-License-Identifier: MIT */
/* Pools: limit, populate, huge pages, statistics, and memory given back by trim and by frees. */
#include <errno.h>

#include "harness/harness.h"
#include "percpu/huge.h"
#include "percpu/world.h"

/* ---- statistics ---- */

START_TEST(an_unused_pool_holds_nothing)
{
	struct percpu_pool *pool = percpu_pool_create("unused", NULL);
	const struct percpu_pool_stats stats = stats_of(pool);

	ck_assert_uint_eq(stats.nr_chunks, 0);
	ck_assert_uint_eq(stats.nr_live, 0);
	ck_assert_uint_eq(stats.live_bytes, 0);
	ck_assert_uint_eq(stats.used_page_bytes, 0);
	ck_assert_uint_eq(stats.held_page_bytes, 0);
	ck_assert_uint_eq(stats.reserved_bytes, 0);
	ck_assert_uint_eq(stats.cached_bytes, 0);
	ck_assert_uint_eq(stats.purged_bytes, 0);
	ck_assert_uint_eq(stats.nr_chunks_unplaced, 0);
	ck_assert_uint_eq(stats.nr_chunks_huge, 0);
	ck_assert_uint_eq(stats.limit_bytes, 0);
	ck_assert_int_eq(percpu_trim(pool), 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(statistics_follow_operations)
{
	struct percpu_pool *pool = percpu_pool_create("followed", NULL);
	struct percpu_pool_stats stats;
	void *small, *page, *rest;

	small = percpu_pool_alloc(pool, 5, 1);
	stats = stats_of(pool);
	ck_assert_uint_eq(stats.nr_chunks, 1);
	ck_assert_uint_eq(stats.nr_live, 1);
	ck_assert_uint_eq(stats.live_bytes, 8);
	ck_assert_uint_eq(stats.used_page_bytes, 4096);
	ck_assert_uint_eq(stats.held_page_bytes, 4096);
	ck_assert_uint_gt(stats.bookkeeping_bytes, 0);

	page = percpu_pool_alloc(pool, 4096, 4096);
	stats = stats_of(pool);
	ck_assert_uint_eq(stats.nr_live, 2);
	ck_assert_uint_eq(stats.live_bytes, 8 + 4096);
	ck_assert_uint_eq(stats.used_page_bytes, 8192);

	rest = percpu_pool_alloc(pool, PERCPU_MAX_SIZE, 8);
	stats = stats_of(pool);
	ck_assert_uint_eq(stats.nr_chunks, 2);
	ck_assert_uint_eq(stats.live_bytes, 8 + 4096 + PERCPU_MAX_SIZE);
	ck_assert_uint_eq(stats.used_page_bytes, 8192 + PERCPU_MAX_SIZE);

	percpu_free(page);
	stats = stats_of(pool);
	ck_assert_uint_eq(stats.nr_live, 2);
	ck_assert_uint_eq(stats.used_page_bytes, 4096 + PERCPU_MAX_SIZE);
	ck_assert_uint_eq(stats.held_page_bytes, 8192 + PERCPU_MAX_SIZE);
	percpu_free(small);
	percpu_free(rest);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(pools_have_separate_statistics)
{
	struct percpu_pool *a = percpu_pool_create("same", NULL),
			   *b = percpu_pool_create("same", NULL);
	void *pa = percpu_pool_alloc(a, 8, 8), *pb = percpu_pool_alloc(b, 16, 8),
	     *p = percpu_alloc(24, 8);

	ck_assert_uint_eq(stats_of(a).live_bytes, 8);
	ck_assert_uint_eq(stats_of(b).live_bytes, 16);
	ck_assert_uint_eq(stats_of(NULL).live_bytes, 24);
	percpu_free(pa);
	ck_assert_int_eq(percpu_pool_destroy(a), 0);
	ck_assert_uint_eq(percpu_usable_size(pb), 16);
	percpu_free(pb);
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(b), 0);
}
END_TEST

/* A pool copies its name, of any length. */
START_TEST(names_are_copied)
{
	static char name[100000];
	struct percpu_pool *pool;

	memset(name, 'n', sizeof(name) - 1);
	pool = percpu_pool_create(name, NULL);
	memset(name, 0, sizeof(name));
	ck_assert_ptr_nonnull(pool);
	percpu_free(percpu_pool_alloc(pool, 8, 8));
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(freed_areas_are_cached_and_counted)
{
	void *p[64];
	struct percpu_pool_stats stats;

	for (int i = 0; i < 64; i++)
		p[i] = percpu_alloc(16, 8);
	for (int i = 0; i < 64; i++)
		percpu_free(p[i]);
	stats = stats_of(NULL);
	ck_assert_uint_eq(stats.nr_live, 0);
	ck_assert_uint_eq(stats.live_bytes, 0);
	ck_assert_uint_le(stats.cached_bytes, 64 * 16);
	ck_assert_int_ge(percpu_trim(NULL), 0);
	stats = stats_of(NULL);
	ck_assert_uint_eq(stats.cached_bytes, 0);
	ck_assert_uint_eq(stats.used_page_bytes, 0);
}
END_TEST

/* ---- limit ---- */

START_TEST(the_limit_is_kept_to_the_granule)
{
	struct percpu_pool *pool = pool_with((struct percpu_pool_attr){ .limit_bytes = 1000 });
	void *p[125], *more;

	ck_assert_uint_eq(stats_of(pool).limit_bytes, 1000);
	for (int i = 0; i < 125; i++)
		ck_assert_ptr_nonnull(p[i] = percpu_pool_alloc(pool, 8, 8));
	errno = 0;
	ck_assert_ptr_null(percpu_pool_alloc(pool, 1, 1));
	ck_assert_int_eq(errno, ENOMEM);
	percpu_free(p[7]);
	percpu_free(p[99]);
	errno = 0;
	ck_assert_ptr_null(percpu_pool_alloc(pool, 17, 1));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_ptr_nonnull(more = percpu_pool_alloc(pool, 16, 1));
	ck_assert_ptr_null(percpu_pool_alloc(pool, 1, 1));
	percpu_free(more);
	ck_assert_int_eq(percpu_pool_destroy(pool), -EBUSY);
	for (int i = 0; i < 125; i++)
		if (i != 7 && i != 99)
			percpu_free(p[i]);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(a_limit_is_rounded_up_to_granules)
{
	for (size_t limit = 1; limit <= 24; limit++) {
		struct percpu_pool *pool =
			pool_with((struct percpu_pool_attr){ .limit_bytes = limit });
		void *p = percpu_pool_alloc(pool, limit, 1);

		ck_assert_msg(p, "limit %zu", limit);
		ck_assert_uint_eq(stats_of(pool).limit_bytes, granules_of(limit));
		ck_assert_ptr_null(percpu_pool_alloc(pool, 1, 1));
		percpu_free(p);
		ck_assert_int_eq(percpu_pool_destroy(pool), 0);
	}
}
END_TEST

START_TEST(the_largest_limit_works)
{
	struct percpu_pool *pool = pool_with((struct percpu_pool_attr){ .limit_bytes = SIZE_MAX });
	void *p = percpu_pool_alloc(pool, PERCPU_MAX_SIZE, 8);

	ck_assert_ptr_nonnull(p);
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* ---- populate ---- */

START_TEST(populate_allocates_pages_of_every_cpu)
{
	struct percpu_pool *pool = pool_with((struct percpu_pool_attr){ .populate = PERCPU_ON });
	char *p = percpu_pool_alloc(pool, 8192, 4096);

	ck_assert_ptr_nonnull(p);
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		ck_assert_uint_eq(resident_pages(p, cpu, 8192),
				  (8192 + page_bytes() - 1) / page_bytes());
	ck_assert_uint_eq(resident_pages(p, percpu_nr_cpus(), 8192), 0);
	ck_assert(is_zero(p, 8192));
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(without_populate_a_touch_allocates)
{
	struct percpu_pool *pool = percpu_pool_create("touched", NULL);
	char *p = percpu_pool_alloc(pool, 8192, 4096);

	percpu_for_each_copy(i)
		ck_assert_uint_eq(resident_pages(p, i, 8192), 0);
	percpu_ptr(p, percpu_nr_cpus())[4096] = 1;
	percpu_for_each_copy(i)
		ck_assert_uint_eq(resident_pages(p, i, 8192), i == percpu_nr_cpus());
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* ---- node policy ---- */

START_TEST(a_pool_without_node_policy_works)
{
	struct percpu_pool *pool =
		pool_with((struct percpu_pool_attr){ .node_policy = PERCPU_OFF });
	char *p = percpu_pool_alloc(pool, 100, 8);

	ck_assert(is_zero(p, 100));
	ck_assert_uint_eq(stats_of(pool).nr_chunks_unplaced, 0);
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* ---- huge pages ---- */

START_TEST(huge_pages_begin_with_the_first_unit)
{
	struct percpu_pool *pool;
	struct percpu_pool_stats stats;
	char *p;

	with_options("cpus:16");
	pool = pool_with((struct percpu_pool_attr){ .huge_pages = PERCPU_ON });
	p = percpu_pool_alloc(pool, PERCPU_MAX_SIZE, 4096);
	ck_assert_uint_eq(((uintptr_t)percpu_ptr(p, 0) & ~(PERCPU_STRIDE - 1)) % ((size_t)2 << 20),
			  0);
	stats = stats_of(pool);
	if (neighbours_share_huge_pages())
		ck_assert_uint_eq(stats.nr_chunks_huge, 1);
	fill(p, PERCPU_MAX_SIZE, 1);
	ck_assert(is_filled(p, PERCPU_MAX_SIZE, 1));
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(too_few_copies_get_no_huge_page)
{
	struct percpu_pool *pool;
	void *p;

	with_options("cpus:2");
	pool = pool_with((struct percpu_pool_attr){ .huge_pages = PERCPU_ON });
	p = percpu_pool_alloc(pool, 8, 8);
	ck_assert_uint_eq(stats_of(pool).nr_chunks_huge, 0);
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(the_huge_option_applies_to_pools_that_allow_it)
{
	struct percpu_pool *asks, *refuses;
	void *p, *q, *r;
	const bool has_huge = neighbours_share_huge_pages();

	with_options("cpus:16,huge");
	asks = percpu_pool_create("asks", NULL);
	refuses = pool_with((struct percpu_pool_attr){ .huge_pages = PERCPU_OFF });
	p = percpu_pool_alloc(asks, 8, 8);
	q = percpu_pool_alloc(refuses, 8, 8);
	r = percpu_alloc(8, 8);
	ck_assert_uint_eq(stats_of(asks).nr_chunks_huge, has_huge);
	ck_assert_uint_eq(stats_of(refuses).nr_chunks_huge, 0);
	ck_assert_uint_eq(stats_of(NULL).nr_chunks_huge, has_huge);
	percpu_free(p);
	percpu_free(q);
	percpu_free(r);
}
END_TEST

START_TEST(a_huge_pool_is_purged_by_whole_chunks)
{
	struct percpu_pool *pool;
	void *stays, *p;

	with_options("cpus:16");
	pool = pool_with((struct percpu_pool_attr){ .huge_pages = PERCPU_ON });
	stays = percpu_pool_alloc(pool, 8, 8);
	p = percpu_pool_alloc(pool, 100000, 8);
	fill(p, 100000, 1);
	percpu_free(p);
	if (neighbours_share_huge_pages()) {
		ck_assert_int_eq(percpu_trim(pool), 0);
		ck_assert_uint_eq(stats_of(pool).purged_bytes, 0);
	}
	percpu_free(stays);
	ck_assert_int_gt(percpu_trim(pool), 0);
	ck_assert_uint_gt(stats_of(pool).purged_bytes, 100000);
	ck_assert_uint_eq(stats_of(pool).held_page_bytes, 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* ---- giving back ---- */

START_TEST(trim_gives_back_pages_between_live_areas)
{
	struct percpu_pool *pool = percpu_pool_create("trimmed", NULL);
	const size_t page = page_bytes() > 4096 ? page_bytes() : 4096;
	char *low = percpu_pool_alloc(pool, 8, 8),
	     *p = percpu_pool_alloc(pool, 3 * page, page > 4096 ? 8 : 4096);
	char *high = percpu_pool_alloc(pool, 8, 8);
	size_t given_back;

	fill(low, 8, 1);
	fill(p, 3 * page, 2);
	fill(high, 8, 3);
	percpu_free(p);
	given_back = percpu_trim(pool);
	ck_assert_uint_ge(given_back, 2 * page * percpu_nr_copies());
	ck_assert_uint_le(given_back, 3 * page * percpu_nr_copies());
	ck_assert_uint_eq(stats_of(pool).purged_bytes, given_back);
	if (page == 4096)
		percpu_for_each_copy(i)
			ck_assert_uint_eq(resident_pages(p, i, 3 * page), 0);
	ck_assert(is_filled(low, 8, 1) && is_filled(high, 8, 3));
	ck_assert_int_eq(percpu_trim(pool), 0);
	p = percpu_pool_alloc(pool, 3 * page, 8);
	ck_assert(is_zero(p, 3 * page));
	percpu_free(p);
	percpu_free(low);
	percpu_free(high);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(one_empty_chunk_is_kept_and_emptied)
{
	struct percpu_pool *pool = pool_with((struct percpu_pool_attr){ .decay_ms = 1 });
	const unsigned before = nr_mappings();
	void *p[8];

	for (int i = 0; i < 8; i++) {
		ck_assert_ptr_nonnull(p[i] = percpu_pool_alloc(pool, PERCPU_MAX_SIZE, 8));
		percpu_ptr((char *)p[i], 0)[5] = 1;
	}
	ck_assert_uint_eq(stats_of(pool).nr_chunks, 8);
	for (int i = 0; i < 8; i++) {
		percpu_free(p[i]);
		/* The chunks left are full, except for one empty chunk that stays. */
		ck_assert_uint_eq(stats_of(pool).nr_chunks, i < 7 ? 8 - i : 1);
	}
	ck_assert_int_ge(percpu_trim(pool), 0);
	ck_assert_uint_eq(stats_of(pool).nr_chunks, 1);
	ck_assert_uint_eq(stats_of(pool).held_page_bytes, 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
	if (!PERCPU__TSAN) /* ThreadSanitizer maps memory at any time */
		ck_assert_uint_le(nr_mappings(), before + 1); /* metadata of the last chunk */
}
END_TEST

/* With the shortest decay, idle pages of all chunks take little more than one chunk. */
START_TEST(idle_pages_do_not_pile_up)
{
	struct percpu_pool *pool = pool_with((struct percpu_pool_attr){ .decay_ms = 1 });
	const size_t page = page_bytes();
	const int nr_of_chunk = PERCPU_STRIDE / page, nr = nr_of_chunk * 20;
	static void *p[64 * 20];
	size_t worst = 0;

	for (int i = 0; i < nr; i++) {
		ck_assert_ptr_nonnull(p[i] = percpu_pool_alloc(pool, page, 4096));
		percpu_ptr((char *)p[i], 0)[0] = 1;
	}
	for (int i = 0; i < nr; i++) {
		struct percpu_pool_stats stats;
		size_t idle;

		if (i % nr_of_chunk == nr_of_chunk - 1)
			continue; /* no chunk is ever empty */
		percpu_free(p[i]);
		stats = stats_of(pool);
		idle = stats.held_page_bytes - stats.used_page_bytes;
		worst = idle > worst ? idle : worst;
		ck_assert_uint_le(idle, PERCPU_STRIDE + 2 * page);
	}
	ck_assert_uint_gt(worst, 0);
	ck_assert_uint_gt(stats_of(pool).purged_bytes, (size_t)nr / 2 * page);
	for (int i = nr_of_chunk - 1; i < nr; i += nr_of_chunk)
		percpu_free(p[i]);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(destroy_gives_back_everything)
{
	unsigned before;
	size_t held = 0;

	percpu_free(percpu_alloc(8, 8)); /* makes the chunks of the default pool, which stay */
	before = nr_mappings();
	for (int round = 0; round < 200; round++) {
		struct percpu_pool *pool = percpu_pool_create("round", NULL);
		char *p = percpu_pool_alloc(pool, 20000, 8),
		     *q = percpu_pool_alloc(pool, PERCPU_MAX_SIZE, 8);

		percpu_for_each_copy(i)
			percpu_ptr(p, i)[0] = percpu_ptr(q, i)[PERCPU_MAX_SIZE - 1] = 1;
		percpu_free(p);
		percpu_free(q);
		ck_assert_int_eq(percpu_pool_destroy(pool), 0);
		if (round == 20)
			held = held_bytes();
	}
	ck_assert_uint_le(held_bytes(), held + (64 << 10));
	ck_assert_uint_le(nr_mappings(), before + 16);
}
END_TEST

TEST_MAIN("percpu: pools", 120, an_unused_pool_holds_nothing, statistics_follow_operations,
	  pools_have_separate_statistics, names_are_copied, freed_areas_are_cached_and_counted,
	  the_limit_is_kept_to_the_granule, a_limit_is_rounded_up_to_granules,
	  the_largest_limit_works, populate_allocates_pages_of_every_cpu,
	  without_populate_a_touch_allocates, a_pool_without_node_policy_works,
	  huge_pages_begin_with_the_first_unit, too_few_copies_get_no_huge_page,
	  the_huge_option_applies_to_pools_that_allow_it, a_huge_pool_is_purged_by_whole_chunks,
	  trim_gives_back_pages_between_live_areas, one_empty_chunk_is_kept_and_emptied,
	  idle_pages_do_not_pile_up, destroy_gives_back_everything)
