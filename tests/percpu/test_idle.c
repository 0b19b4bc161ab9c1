/* SPDX-License-Identifier: MIT */
/*
 * Idle memory of pools: memory that swings of demand need again stays; memory that is not needed
 * goes back with time, a little with each operation. The test sets the clock, and counts the calls
 * that give memory back to the kernel.
 */
#include "harness/harness.h"
#include "percpu/world.h"

#include "percpu/percpu.h"

#define DECAY 3000u /* the default, in ms */
#define NR 4096u
#define PAGE ((size_t)4096)

static uint64_t clock_ms = 1000000;
static void *p[NR];

static void later(uint64_t ms)
{
	clock_ms += ms;
	percpu__set_clock(clock_ms);
}

static size_t nr_calls, nr_bytes; /* of purges; bytes in units only, not those of tags */
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

static struct percpu_pool *pool_with_age(size_t keep_bytes, size_t decay_ms)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr),
					       .keep_bytes = keep_bytes,
					       .decay_ms = decay_ms };
	struct percpu_pool *pool = percpu_pool_create("idle", &attr);

	ck_assert_ptr_nonnull(pool);
	return pool;
}

/* Allocates pages of 4 KiB and writes all copies. */
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

/* Takes the lock of a pool, as every operation does that may give memory back. */
static void alloc_and_free(struct percpu_pool *pool)
{
	percpu_free(percpu_pool_alloc(pool, 8, 8));
}

static void let_time_pass(struct percpu_pool *pool, unsigned ms, unsigned nr_each)
{
	for (unsigned at = 0; at < ms; at += 100) {
		later(100);
		for (unsigned i = 0; i < nr_each; i++)
			alloc_and_free(pool);
	}
}

START_TEST(a_swing_gives_back_nothing)
{
	struct percpu_pool *pool;

	later(1);
	pool = pool_with_age(0, 0);
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

/* One operation gives back a chunk or 256 pages, and no more pages of tags than that. */
START_TEST(one_free_gives_back_little)
{
	size_t most_calls = 0, most_bytes = 0, most_unmapped = 0;
	struct percpu_pool *pool;

	later(1);
	pool = pool_with_age(0, 0);
	alloc_pages(pool, NR);
	for (unsigned i = 0; i < 3 * NR; i++) {
		later(1);
		nr_calls = nr_bytes = nr_unmapped = 0;
		if (i < NR && i % 2)
			percpu_free(p[i]);
		else
			alloc_and_free(pool);
		most_calls = nr_calls > most_calls ? nr_calls : most_calls;
		most_bytes = nr_bytes > most_bytes ? nr_bytes : most_bytes;
		most_unmapped = nr_unmapped > most_unmapped ? nr_unmapped : most_unmapped;
	}
	ck_assert_uint_gt(most_bytes, 0);
	ck_assert_uint_le(most_bytes, 2 * 256 * PAGE); /* from its pool, and from all pools */
	ck_assert_uint_le(most_calls, 2 * 2 * 256);
	ck_assert_uint_le(most_unmapped, 2);
	ck_assert_uint_le(idle_bytes(pool), PERCPU_STRIDE);
	for (unsigned i = 0; i < NR; i += 2)
		percpu_free(p[i]);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(idle_memory_goes_back_within_the_decay)
{
	struct percpu_pool *pool;

	later(1);
	pool = pool_with_age(0, 0);
	alloc_pages(pool, NR);
	later(DECAY);
	alloc_and_free(pool);
	free_pages(NR);
	nr_calls = nr_unmapped = 0;
	let_time_pass(pool, DECAY / 2 - 100, 50);
	ck_assert_uint_eq(nr_calls + nr_unmapped, 0);
	let_time_pass(pool, DECAY / 2 + 100, 200);
	ck_assert_uint_le(stats_of_pool(pool).nr_chunks, 2); /* the operations need one */
	ck_assert_uint_le(idle_bytes(pool), PERCPU_STRIDE);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* All pages, and all chunks but one, go back during operations on another pool. */
START_TEST(operations_on_other_pools_serve_a_quiet_pool)
{
	struct percpu_pool *pool, *other;

	later(1);
	pool = pool_with_age(0, 0);
	other = pool_with_age(0, 0);
	alloc_pages(pool, NR);
	free_pages(NR);
	let_time_pass(other, DECAY / 2 - 100, 50);
	ck_assert_uint_gt(stats_of_pool(pool).nr_chunks, NR / PERCPU__UNIT_PAGES - 1);
	let_time_pass(other, DECAY / 2 + 100, 50);
	ck_assert_uint_eq(stats_of_pool(pool).nr_chunks, 1);
	ck_assert_uint_eq(idle_bytes(pool), 0);
	alloc_pages(pool, NR);
	free_pages(NR);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* They go back during operations on a cache, too. */
START_TEST(operations_on_caches_serve_a_quiet_pool)
{
	struct percpu_cache *cache;
	struct percpu_pool *pool;
	static void *objects[600];

	later(1);
	pool = pool_with_age(0, 0);
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
	pool = pool_with_age(10 * PERCPU_STRIDE, 0);
	other = pool_with_age(0, 0);
	alloc_pages(pool, NR);
	free_pages(NR);
	let_time_pass(other, 4 * DECAY, 50);
	ck_assert_uint_ge(idle_bytes(pool), 10 * PERCPU_STRIDE);
	ck_assert_uint_le(idle_bytes(pool), 11 * PERCPU_STRIDE);
	ck_assert_int_gt(percpu_trim(pool), 0);
	ck_assert_uint_eq(idle_bytes(pool), 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(each_pool_has_its_own_decay)
{
	struct percpu_pool *slow, *never, *other;

	with_options("decay:200");
	later(1);
	slow = pool_with_age(0, 60000);
	never = pool_with_age(0, PERCPU_POOL_DECAY_NEVER);
	other = pool_with_age(0, 0);
	alloc_pages(slow, 64);
	free_pages(64);
	alloc_pages(never, 64);
	free_pages(64);
	alloc_pages(other, 64);
	free_pages(64);
	let_time_pass(other, 400, 50);
	ck_assert_uint_le(idle_bytes(other), PAGE);
	let_time_pass(other, 29000, 1);
	ck_assert_uint_ge(idle_bytes(slow), 63 * PAGE);
	let_time_pass(other, 31000, 1);
	ck_assert_uint_eq(idle_bytes(slow), 0);
	let_time_pass(other, 100000, 1);
	ck_assert_uint_ge(idle_bytes(never), 63 * PAGE);
	ck_assert_int_gt(percpu_trim(never), 0);
	ck_assert_uint_eq(idle_bytes(never), 0);
}
END_TEST

START_TEST(older_attributes_get_the_default_decay)
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
	  idle_memory_goes_back_within_the_decay, operations_on_other_pools_serve_a_quiet_pool,
	  operations_on_caches_serve_a_quiet_pool, kept_bytes_stay, each_pool_has_its_own_decay,
	  older_attributes_get_the_default_decay)
