/* SPDX-License-Identifier: MIT */
/*
 * Random histories against a model that knows which areas are live, their sizes and contents. The
 * test compares statistics with the model all the time. PERCPU_TEST_SEED repeats a history.
 */
#include <errno.h>
#include <time.h>

#include "harness/harness.h"
#include "percpu/world.h"

#define NR 1500

struct allocation {
	char *p;
	size_t size;
	uint64_t seed;
};

static struct allocation allocations[NR];
static size_t nr_live, live_bytes;
static struct percpu_pool *pool; /* NULL: the default one */
static uint64_t state;

/* Checks all copies if they are few; else the first, the last two and some between. */
static unsigned nr_checked_copies(void)
{
	return percpu_nr_copies() <= 10 ? percpu_nr_copies() : 8;
}

static unsigned checked_copy(unsigned i, uint64_t seed)
{
	const unsigned nr = percpu_nr_copies();

	if (nr <= 10)
		return i;
	return i < 2 ? nr - 1 - i : i == 2 ? 0 : (seed + i * 61) % nr;
}

static void put(struct allocation *allocation, char *p, size_t size)
{
	*allocation = (struct allocation){ p, size, chance(&state) };
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(percpu_usable_size(p), granules_of(size));
	for (unsigned i = 0; i < nr_checked_copies(); i++) {
		const unsigned copy = checked_copy(i, allocation->seed);

		ck_assert_msg(is_zero_copy(p, size, copy), "%zu bytes at %p, copy %u", size, p,
			      copy);
	}
	for (unsigned i = 0; i < nr_checked_copies(); i++)
		fill_copy(p, size, allocation->seed, checked_copy(i, allocation->seed));
	nr_live++;
	live_bytes += granules_of(size);
}

static void *take(struct allocation *allocation)
{
	char *p = allocation->p;

	for (unsigned i = 0; i < nr_checked_copies(); i++)
		ck_assert(is_filled_copy(p, allocation->size, allocation->seed,
					 checked_copy(i, allocation->seed)));
	nr_live--;
	live_bytes -= granules_of(allocation->size);
	allocation->p = NULL;
	return p;
}

static size_t random_size(void)
{
	const uint64_t shape = chance(&state) % 100;

	if (shape < 60)
		return 1 + chance(&state) % 128;
	if (shape < 90)
		return 1 + chance(&state) % 1024;
	if (shape < 99)
		return 1 + chance(&state) % 16384;
	return 1 + chance(&state) % PERCPU_MAX_SIZE;
}

static void step(void)
{
	struct allocation *allocation = &allocations[chance(&state) % NR];
	const size_t size = random_size();

	if (allocation->p)
		percpu_free(take(allocation));
	else if (pool)
		put(allocation, percpu_pool_alloc(pool, size, (size_t)1 << chance(&state) % 13),
		    size);
	else
		put(allocation,
		    percpu_alloc(size, chance(&state) % 8 ? 8 : (size_t)1 << chance(&state) % 13),
		    size);
}

/* Allocates or frees some neighbours in the table in bulk. */
static void step_in_bulk(void)
{
	const size_t first = chance(&state) % NR, size = 1 + chance(&state) % 300;
	struct allocation *vacant[150];
	void *p[150];
	size_t n = 0;

	for (size_t i = first; i < NR && n < 150; i++)
		if (!allocations[i].p)
			vacant[n++] = &allocations[i];
	if (pool || chance(&state) % 2) {
		n = 0;
		for (size_t i = first; i < NR && n < 150; i++)
			p[n++] = allocations[i].p ? take(&allocations[i]) : NULL;
		percpu_free_bulk(n, p);
		return;
	}
	ck_assert_int_eq(percpu_alloc_bulk(size, 8, n, p), 0);
	for (size_t i = 0; i < n; i++)
		put(vacant[i], p[i], size);
}

static void compare(size_t base_nr, size_t base_bytes)
{
	const struct percpu_pool_stats stats = stats_of(pool);

	ck_assert_uint_eq(stats.nr_live, base_nr + nr_live);
	ck_assert_uint_eq(stats.live_bytes, base_bytes + live_bytes);
}

static void run_history(unsigned nr_steps)
{
	const struct percpu_pool_stats base = stats_of(pool);
	struct percpu_pool_stats end;

	for (unsigned i = 0; i < nr_steps; i++) {
		step();
		if (i % 64 == 0)
			step_in_bulk();
		if (i % 256 == 0)
			compare(base.nr_live, base.live_bytes);
		if (i % 5000 == 4999)
			ck_assert_int_ge(percpu_trim(i % 10000 == 4999 ? pool : NULL), 0);
	}
	for (size_t i = 0; i < NR; i++)
		if (allocations[i].p)
			percpu_free(take(&allocations[i]));
	compare(base.nr_live, base.live_bytes);
	ck_assert_int_ge(percpu_trim(pool), 0);
	end = stats_of(pool);
	ck_assert_uint_eq(end.nr_live, base.nr_live);
	ck_assert_uint_eq(end.cached_bytes, 0);
	if (!base.nr_live) {
		ck_assert_uint_eq(end.used_page_bytes, 0);
		ck_assert_uint_le(end.nr_chunks, 1);
		ck_assert_uint_eq(end.held_page_bytes, 0);
	}
}

static void begin(void)
{
	const char *given = getenv("PERCPU_TEST_SEED");

	state = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 20 | getpid();
	printf("# PERCPU_TEST_SEED=%llu\n", (unsigned long long)state);
	fflush(stdout);
	state |= 1;
}

static unsigned steps(void)
{
	return percpu_nr_copies() <= 10 ? 40000 : 6000;
}

START_TEST(the_default_pool)
{
	begin();
	run_history(steps());
}
END_TEST

START_TEST(a_pool_of_its_own)
{
	begin();
	pool = percpu_pool_create("model", NULL);
	run_history(steps());
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(a_pool_of_huge_pages)
{
	begin();
	pool = pool_with((struct percpu_pool_attr){ .huge_pages = PERCPU_ON });
	run_history(steps() / 4);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

TEST_MAIN("percpu: model", 300, the_default_pool, a_pool_of_its_own, a_pool_of_huge_pages)
