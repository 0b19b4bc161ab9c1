/* SPDX-License-Identifier: MIT */
/*
 * Memory that a pool's areas swing by stays; what nobody needs goes back by time, a little with each operation. The
 * clock is the test's own, and what goes back is counted on its way to the kernel.
 */
#include "harness/harness.h"
#include "percpu/world.h"

#include "percpu/percpu.h"

#define DECAY 3000u /* of a pool that says nothing */
#define NR 4096u
#define PAGE ((size_t)4096)

static uint64_t clock_ms = 1000000;
static void *p[NR];

static void later(uint64_t ms)
{
	clock_ms += ms;
	percpu__set_clock(clock_ms);
}

static size_t nr_calls, nr_bytes; /* given back in the units of chunks, that is not by their tags */
int __real_percpu__purge(void *start, size_t bytes);
int __wrap_percpu__purge(void *start, size_t bytes);
void __real_percpu__release(void *start, size_t bytes);
void __wrap_percpu__release(void *start, size_t bytes);

int __wrap_percpu__purge(void *start, size_t bytes)
{
	nr_calls++;
	nr_bytes += percpu__pagemap_find((uintptr_t)start) ? bytes : 0;
	return __real_percpu__purge(start, bytes);
}

static size_t nr_unmapped;

void __wrap_percpu__release(void *start, size_t bytes)
{
	nr_unmapped++;
	__real_percpu__release(start, bytes);
}

static struct percpu_pool *pool_that(size_t keep_bytes, size_t decay_ms)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .keep_bytes = keep_bytes, .decay_ms = decay_ms };
	struct percpu_pool *pool = percpu_pool_create("idle", &attr);

	ck_assert_ptr_nonnull(pool);
	return pool;
}

/* Pages of 4 KiB, all of their copies written. */
static void alloc_pages(struct percpu_pool *pool, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		ck_assert_ptr_nonnull(p[i] = percpu_pool_alloc(pool, PAGE, PAGE));
		percpu_for_each_copy(copy)
			*percpu_ptr((char *)p[i], copy) = 1;
	}
}

static void free_pages(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		percpu_free(p[i]);
}

static struct percpu_pool_stats stats_of_pool(struct percpu_pool *pool)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(percpu_pool_stats(pool, &stats), 0);
	return stats;
}

static size_t idle_bytes(struct percpu_pool *pool)
{
	const struct percpu_pool_stats stats = stats_of_pool(pool);

	return stats.held_page_bytes - stats.used_page_bytes;
}

/* What takes the lock of a pool, and leaves nothing behind. */
static void come_by(struct percpu_pool *pool)
{
	percpu_free(percpu_pool_alloc(pool, 8, 8));
}

static void pass_the_time(struct percpu_pool *pool, unsigned ms, unsigned nr_each)
{
	for (unsigned at = 0; at < ms; at += 100) {
		later(100);
		for (unsigned i = 0; i < nr_each; i++)
			come_by(pool);
	}
}

START_TEST(a_swing_gives_back_nothing)
{
	struct percpu_pool *pool;

	later(1);
	pool = pool_that(0, 0);
	for (unsigned nr = 16; nr <= NR; nr *= 4)
		for (int turn = 0; turn < 10; turn++) {
			alloc_pages(pool, nr);
			later(200);
			if (!turn)
				nr_calls = nr_unmapped = 0;
			free_pages(nr);
			later(200);
			ck_assert_uint_eq(nr_calls + nr_unmapped, 0);
		}
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* A chunk, or 256 pages, and of the tags of those that chunks keep for themselves no more. */
START_TEST(one_free_gives_back_little)
{
	size_t most_calls = 0, most_bytes = 0, most_unmapped = 0;
	struct percpu_pool *pool;

	later(1);
	pool = pool_that(0, 0);
	alloc_pages(pool, NR);
	for (unsigned i = 0; i < 3 * NR; i++) {
		later(1);
		nr_calls = nr_bytes = nr_unmapped = 0;
		if (i < NR && i % 2)
			percpu_free(p[i]);
		else
			come_by(pool);
		most_calls = nr_calls > most_calls ? nr_calls : most_calls;
		most_bytes = nr_bytes > most_bytes ? nr_bytes : most_bytes;
		most_unmapped = nr_unmapped > most_unmapped ? nr_unmapped : most_unmapped;
	}
	ck_assert_uint_gt(most_bytes, 0);
	ck_assert_uint_le(most_bytes, 2 * 256 * PAGE); /* of its pool, and of all pools */
	ck_assert_uint_le(most_calls, 2 * 2 * 256);
	ck_assert_uint_le(most_unmapped, 2);
	ck_assert_uint_le(idle_bytes(pool), PERCPU_STRIDE);
	for (unsigned i = 0; i < NR; i += 2)
		percpu_free(p[i]);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(idle_memory_goes_back_in_the_time_stated)
{
	struct percpu_pool *pool;

	later(1);
	pool = pool_that(0, 0);
	alloc_pages(pool, NR);
	later(DECAY);
	come_by(pool);
	free_pages(NR);
	nr_calls = nr_unmapped = 0;
	pass_the_time(pool, DECAY / 2 - 100, 50);
	ck_assert_uint_eq(nr_calls + nr_unmapped, 0);
	pass_the_time(pool, DECAY / 2 + 100, 200);
	ck_assert_uint_le(stats_of_pool(pool).nr_chunks, 2); /* of which who comes by needs one */
	ck_assert_uint_le(idle_bytes(pool), PERCPU_STRIDE);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* Its pages, and of its chunks all but one: found by who works on another pool. */
START_TEST(a_pool_gone_quiet)
{
	struct percpu_pool *pool, *other;

	later(1);
	pool = pool_that(0, 0);
	other = pool_that(0, 0);
	alloc_pages(pool, NR);
	free_pages(NR);
	pass_the_time(other, DECAY / 2 - 100, 50);
	ck_assert_uint_gt(stats_of_pool(pool).nr_chunks, NR / PERCPU__UNIT_PAGES - 1);
	pass_the_time(other, DECAY / 2 + 100, 50);
	ck_assert_uint_eq(stats_of_pool(pool).nr_chunks, 1);
	ck_assert_uint_eq(idle_bytes(pool), 0);
	alloc_pages(pool, NR);
	free_pages(NR);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* By who works on a cache, too. */
START_TEST(a_pool_beside_caches)
{
	struct percpu_cache *cache;
	struct percpu_pool *pool;
	static void *objects[600];

	later(1);
	pool = pool_that(0, 0);
	cache = percpu_cache_create("beside", 64, 0, 0, NULL);
	ck_assert_ptr_nonnull(cache);
	alloc_pages(pool, NR);
	free_pages(NR);
	for (unsigned at = 0; at < DECAY; at += 20) {
		later(20);
		ck_assert_int_eq(percpu_cache_alloc_bulk(cache, 600, objects), 0);
		percpu_cache_free_bulk(cache, 600, objects);
	}
	ck_assert_uint_eq(stats_of_pool(pool).nr_chunks, 1);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(kept_bytes_stay)
{
	struct percpu_pool *pool, *other;

	later(1);
	pool = pool_that(10 * PERCPU_STRIDE, 0);
	other = pool_that(0, 0);
	alloc_pages(pool, NR);
	free_pages(NR);
	pass_the_time(other, 4 * DECAY, 50);
	ck_assert_uint_ge(idle_bytes(pool), 10 * PERCPU_STRIDE);
	ck_assert_uint_le(idle_bytes(pool), 11 * PERCPU_STRIDE);
	ck_assert_int_gt(percpu_trim(pool), 0);
	ck_assert_uint_eq(idle_bytes(pool), 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(decay_is_as_the_pool_says)
{
	struct percpu_pool *slow, *never, *other;

	with_options("decay:200");
	later(1);
	slow = pool_that(0, 60000);
	never = pool_that(0, PERCPU_POOL_DECAY_NEVER);
	other = pool_that(0, 0);
	alloc_pages(slow, 64);
	free_pages(64);
	alloc_pages(never, 64);
	free_pages(64);
	alloc_pages(other, 64);
	free_pages(64);
	pass_the_time(other, 400, 50);
	ck_assert_uint_le(idle_bytes(other), PAGE);
	pass_the_time(other, 29000, 1);
	ck_assert_uint_ge(idle_bytes(slow), 63 * PAGE);
	pass_the_time(other, 31000, 1);
	ck_assert_uint_eq(idle_bytes(slow), 0);
	pass_the_time(other, 100000, 1);
	ck_assert_uint_ge(idle_bytes(never), 63 * PAGE);
	ck_assert_int_gt(percpu_trim(never), 0);
	ck_assert_uint_eq(idle_bytes(never), 0);
}
END_TEST

START_TEST(an_older_attribute_says_nothing_of_age)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_pool *pool;

	later(1);
	attr.keep_bytes = attr.decay_ms = 4096 * 7;
	attr.size = offsetof(struct percpu_pool_attr, keep_bytes);
	pool = percpu_pool_create("older", &attr);
	ck_assert_ptr_nonnull(pool);
	ck_assert_uint_eq(pool->epoch_ms, DECAY / 2);
	ck_assert_uint_eq(pool->kept_pages, 0);
	attr.size = sizeof(attr);
	pool = percpu_pool_create("newer", &attr);
	ck_assert_ptr_nonnull(pool);
	ck_assert_uint_eq(pool->epoch_ms, 4096 * 7 / 2);
	ck_assert_uint_eq(pool->kept_pages, 7);
}
END_TEST

TEST_MAIN("percpu: idle", 120, a_swing_gives_back_nothing, one_free_gives_back_little,
	  idle_memory_goes_back_in_the_time_stated, a_pool_gone_quiet, a_pool_beside_caches, kept_bytes_stay,
	  decay_is_as_the_pool_says, an_older_attribute_says_nothing_of_age)
