/* SPDX-License-Identifier: MIT */
/*
 * How well the layer packs: live requested bytes per byte of the pages that hold them, on workloads that
 * repeat from run to run. Bounds are what the library promises; counts, not time.
 */
#include <string.h>

#include "area/world.h"
#include "harness/harness.h"

#define NR_OBJECTS 100000
static struct object objects[NR_OBJECTS];
static struct world world;

#define ck_assert_percent_ge(percent, bound)                                                                 \
	do {                                                                                                 \
		double percent_ = (percent);                                                                 \
		ck_assert_msg(percent_ >= (bound), #percent " is %.2f, not %.2f", percent_, (double)(bound)); \
	} while (0)

static size_t written_bytes(const void *memory, size_t bytes)
{
	static const char zero[4096];
	size_t written = 0;

	for (size_t at = 0; at < bytes; at += sizeof(zero)) {
		size_t n = bytes - at < sizeof(zero) ? bytes - at : sizeof(zero);

		if (memcmp((const char *)memory + at, zero, n))
			written += sizeof(zero);
	}
	return written;
}

/* The layer's own pages per page of one unit that holds a live area. */
static double bookkeeping_percent(void)
{
	size_t own = written_bytes(world.index_memory, percpu__chunk_index_bytes(world.index.capacity)), used = 0;

	percpu__chunk_index_for_each(&world.index, slot) {
		struct world_map *s = world_map(&world, slot);

		own += sizeof(s->map) + written_bytes(&s->bitmaps, sizeof(s->bitmaps)) +
		       written_bytes(s->tags, sizeof(s->tags));
		used += 4096 * (size_t)__builtin_popcountll(percpu__area_map_live_pages(&s->map));
	}
	return 100.0 * (double)own / (double)used;
}

static uint32_t counter(int i)
{
	return 8;
}

static uint32_t structs(int i)
{
	static const uint32_t bytes[] = { 296, 128, 64, 1024, 88, 512 };

	return bytes[i % 6];
}

static uint32_t uniform(int i)
{
	return 4 + random_below(&world.random, 1021);
}

static uint32_t log_uniform(int i)
{
	return random_log_uniform(&world.random, 4, 16384);
}

static const struct {
	uint32_t (*bytes)(int i);
	double bound;
} fillings[] = {
	{ counter, 99.6 }, { structs, 99.9 }, { uniform, 99.2 }, { log_uniform, 99.7 },
};

START_TEST(filling)
{
	world_init(&world, PERCPU__CHUNK_INDEX_SLOTS);
	for (int i = 0; i < NR_OBJECTS; i++)
		objects[i] = world_alloc(&world, fillings[_i].bytes(i), 1);
	ck_assert_percent_ge(world_utilisation(&world), fillings[_i].bound);
	ck_assert_percent_ge(6 - bookkeeping_percent(), 0);
	ck_assert(percpu__chunk_index_is_valid(&world.index));

	for (int i = 0; i < NR_OBJECTS; i++)
		world_free(&world, objects[i * INT64_C(7919) % NR_OBJECTS]);
	percpu__chunk_index_for_each(&world.index, slot) {
		ck_assert(percpu__area_map_is_empty(percpu__chunk_index_at(&world.index, slot)));
		ck_assert_uint_eq(percpu__area_map_live_pages(percpu__chunk_index_at(&world.index, slot)), 0);
	}
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

START_TEST(churn)
{
	const uint32_t nr_live = 50000;
	double worst = 100;

	world_init(&world, PERCPU__CHUNK_INDEX_SLOTS);
	world.random = (uint64_t)_i;
	for (uint32_t i = 0; i < nr_live; i++)
		objects[i] = world_alloc(&world, random_log_uniform(&world.random, 4, 2048), 1);
	for (int pair = 1; pair <= 1000000; pair++) {
		struct object *o = &objects[random_below(&world.random, nr_live)];

		world_free(&world, *o);
		*o = world_alloc(&world, random_log_uniform(&world.random, 4, 2048), 1);
		if (pair >= 100000 && pair % 500 == 0 && world_utilisation(&world) < worst)
			worst = world_utilisation(&world);
	}
	ck_assert_percent_ge(world_utilisation(&world), 94);
	ck_assert_percent_ge(worst, 93);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

START_TEST(holes_of_counters_take_structs)
{
	world_init(&world, PERCPU__CHUNK_INDEX_SLOTS);
	world.random = (uint64_t)_i;
	for (int i = 0; i < NR_OBJECTS; i++)
		objects[i] = world_alloc(&world, 8, 1);
	/* A random nine tenths go. */
	for (uint32_t left = NR_OBJECTS; left > NR_OBJECTS / 10; left--) {
		uint32_t i = random_below(&world.random, left);

		world_free(&world, objects[i]);
		objects[i] = objects[left - 1];
	}
	while (world.live_bytes < 8 * NR_OBJECTS)
		world_alloc(&world, 64 + random_below(&world.random, 449), 1);
	ck_assert_percent_ge(world_utilisation(&world), 63);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("area/packing");
	TCase *tcase = case_of("workloads");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, filling, 0, sizeof(fillings) / sizeof(*fillings));
	tcase_add_loop_test(tcase, churn, 0, 3);
	tcase_add_loop_test(tcase, holes_of_counters_take_structs, 0, 5);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
