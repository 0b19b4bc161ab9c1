/* SPDX-License-Identifier: MIT */
/* One map, against pictures drawn by hand. */
#include <pthread.h>
#include <string.h>

#include "area/world.h"
#include "harness/harness.h"

#define UNIT PERCPU__UNIT_GRANULES

static struct world_map *backed;
static struct percpu__area_map *map;

static void setup(void)
{
	backed = world_map_create();
	map = &backed->map;
}

static uint32_t must_alloc(uint32_t granules, uint32_t align)
{
	uint32_t offset = UINT32_MAX;

	ck_assert(percpu__area_map_alloc(map, granules, align, &offset));
	ck_assert_uint_le(offset + granules, UNIT);
	ck_assert_uint_eq(offset % align, 0);
	ck_assert_uint_eq(percpu__area_map_size(map, offset), granules);
	ck_assert_uint_eq(map->tags[offset].value, 0);
	return offset;
}

static struct percpu__range must_free(uint32_t offset)
{
	struct percpu__range merged = { UINT32_MAX, 0 };
	uint32_t size = percpu__area_map_size(map, offset);

	ck_assert_uint_gt(size, 0);
	ck_assert_uint_eq(percpu__area_map_free(map, offset, &merged), size);
	ck_assert_uint_le(merged.start, offset);
	ck_assert_uint_ge(merged.start + merged.granules, offset + size);
	ck_assert(percpu__area_map_is_valid(map));
	return merged;
}

#define assert_range(range, s, end)                                                                          \
	do {                                                                                                 \
		struct percpu__range r_ = (range);                                                           \
		ck_assert_uint_eq(r_.start, s);                                                              \
		ck_assert_uint_eq(r_.start + r_.granules, end);                                              \
	} while (0)

START_TEST(a_new_map_is_empty)
{
	setup();
	ck_assert(percpu__area_map_is_valid(map));
	ck_assert(percpu__area_map_is_empty(map));
	ck_assert_uint_eq(percpu__area_map_live_pages(map), 0);
	ck_assert(percpu__area_map_is_on(map, PERCPU__NR_BINS - 1));
	for (unsigned bin = 0; bin < PERCPU__NR_BINS - 1; bin++)
		ck_assert(!percpu__area_map_is_on(map, bin));
	for (uint32_t offset = 0; offset < UNIT + 70; offset++)
		ck_assert_uint_eq(percpu__area_map_size(map, offset), 0);
}
END_TEST

START_TEST(filling_touches_no_tag_and_writes_no_free_head)
{
	uint32_t offset;

	setup();
	ck_assert_int_eq(mprotect(backed->tags, sizeof(backed->tags), PROT_NONE), 0);
	ck_assert_int_eq(mprotect(backed->bitmaps.free_head, sizeof(backed->bitmaps.free_head), PROT_READ), 0);
	for (uint32_t i = 0; i < UNIT; i++) {
		if (!percpu__area_map_alloc(map, 1, 1, &offset) || offset != i)
			ck_abort_msg("granule %u at %u", i, offset);
	}
	ck_assert(!percpu__area_map_alloc(map, 1, 1, &offset));
	ck_assert_uint_eq(percpu__area_map_live_pages(map), UINT64_MAX);
	ck_assert_uint_eq(map->live_granules, UNIT);
	ck_assert_uint_eq(map->nr_live, UNIT);
	ck_assert_int_eq(mprotect(backed->tags, sizeof(backed->tags), PROT_READ), 0);
	ck_assert(percpu__area_map_is_valid(map));
}
END_TEST

START_TEST(a_whole_unit_is_one_area)
{
	uint32_t offset;

	setup();
	for (uint32_t align = 1; align <= PERCPU__ALIGN_GRANULES_MAX; align *= 2) {
		ck_assert_uint_eq(must_alloc(UNIT, align), 0);
		ck_assert(!percpu__area_map_alloc(map, 1, 1, &offset));
		assert_range(must_free(0), 0, UNIT);
		ck_assert(percpu__area_map_is_empty(map));
	}
	ck_assert(!percpu__area_map_alloc(map, UNIT + 1, 1, &offset));
	ck_assert(!percpu__area_map_alloc(map, UINT32_MAX, 1, &offset));
	ck_assert(!percpu__area_map_alloc(map, 0, 1, &offset));
	ck_assert(percpu__area_map_is_valid(map));
}
END_TEST

START_TEST(neighbours_merge)
{
	/* The worked example at the head of the source. */
	setup();
	ck_assert_uint_eq(must_alloc(5, 1), 0);
	ck_assert_uint_eq(must_alloc(4, 1), 5);
	ck_assert_uint_eq(must_alloc(11, 1), 9);
	ck_assert_uint_eq(must_alloc(6, 1), 20);
	assert_range(must_free(5), 5, 9);
	ck_assert(percpu__area_map_is_on(map, 4));
	assert_range(must_free(9), 5, 20);
	ck_assert(!percpu__area_map_is_on(map, 4));
	ck_assert(percpu__area_map_is_on(map, 15));
	assert_range(must_free(20), 5, UNIT);
	ck_assert(!percpu__area_map_is_on(map, 15));
	ck_assert_uint_eq(map->tail, 5);
	ck_assert_uint_eq(map->fresh, 26);
	assert_range(must_free(0), 0, UNIT);
	ck_assert(percpu__area_map_is_empty(map));
}
END_TEST

START_TEST(both_neighbours_merge_at_once)
{
	setup();
	for (int i = 0; i < 5; i++)
		must_alloc(100, 1);
	assert_range(must_free(100), 100, 200);
	assert_range(must_free(300), 300, 400);
	assert_range(must_free(200), 100, 400);
	assert_range(must_free(0), 0, 400);
	assert_range(must_free(400), 0, UNIT);
}
END_TEST

START_TEST(the_end_of_the_unit_is_no_neighbour)
{
	setup();
	must_alloc(UNIT - 10, 1);
	ck_assert_uint_eq(must_alloc(10, 1), UNIT - 10);
	assert_range(must_free(UNIT - 10), UNIT - 10, UNIT);
	ck_assert_uint_eq(must_alloc(10, 1), UNIT - 10);
	assert_range(must_free(0), 0, UNIT - 10);
	assert_range(must_free(UNIT - 10), 0, UNIT);
}
END_TEST

START_TEST(best_fit_takes_the_smallest_hole)
{
	static const uint32_t holes[] = { 9, 3, 5, 70, 64 };
	uint32_t at[5];

	setup();
	for (int i = 0; i < 5; i++) {
		at[i] = must_alloc(holes[i], 1);
		must_alloc(1, 1);
	}
	for (int i = 0; i < 5; i++)
		must_free(at[i]);
	ck_assert_uint_eq(must_alloc(4, 1), at[2]);
	ck_assert_uint_eq(must_alloc(3, 1), at[1]);
	ck_assert_uint_eq(must_alloc(6, 1), at[0]);
	/* Both are of one bin: the list's first is too small. */
	ck_assert_uint_eq(must_alloc(66, 1), at[3]);
	/* What was left over: 3 of 9, 4 of 70. */
	ck_assert_uint_eq(must_alloc(3, 1), at[0] + 6);
	ck_assert_uint_eq(must_alloc(4, 1), at[3] + 66);
	ck_assert(percpu__area_map_is_valid(map));
}
END_TEST

START_TEST(alignment_leaves_the_front_free)
{
	setup();
	must_alloc(3, 1);
	ck_assert_uint_eq(must_alloc(8, 8), 8);
	ck_assert(percpu__area_map_is_on(map, 5));
	ck_assert_uint_eq(must_alloc(5, 1), 3);
	ck_assert_uint_eq(must_alloc(1, 512), 512);
	ck_assert_uint_eq(must_alloc(511, 1), 513);
	ck_assert_uint_eq(must_alloc(512, 512), 1024);
	/* From the middle of a listed area, with both ends left. */
	assert_range(must_free(0), 0, 3);
	ck_assert_uint_eq(must_alloc(4, 256), 256);
	ck_assert(percpu__area_map_is_valid(map));
	ck_assert_uint_eq(must_alloc(252, 4), 260);
}
END_TEST

START_TEST(a_tag_is_zero_when_handed_out)
{
	setup();
	for (int round = 0; round < 3; round++) {
		uint32_t at[40];

		for (int i = 0; i < 40; i++) {
			at[i] = must_alloc(1 + i % 7, 1u << i % 4);
			map->tags[at[i]].value = PERCPU__NO_TAG - 1;
		}
		for (int i = 0; i < 40; i++)
			must_free(at[(i * 7) % 40]);
		ck_assert(percpu__area_map_is_empty(map));
	}
}
END_TEST

START_TEST(misuse_is_reported_and_changes_nothing)
{
	static struct percpu__area_bitmaps bitmaps_before;
	struct percpu__area_map before;
	struct percpu__range merged = { 7, 7 };
	uint32_t bad[] = { 1, 5, 6, 9, 10, 19, 26, 27, 511, UNIT - 1, UNIT, UNIT + 1, 1u << 20, UINT32_MAX };

	setup();
	for (uint32_t offset = 0; offset < 3; offset++)
		ck_assert_uint_eq(percpu__area_map_free(map, offset, &merged), 0);
	must_alloc(5, 1);
	must_alloc(4, 1);
	must_alloc(11, 1);
	must_alloc(6, 1);
	must_free(9);
	must_free(5);
	before = *map;
	bitmaps_before = backed->bitmaps;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_uint_eq(percpu__area_map_size(map, bad[i]), 0);
		ck_assert_uint_eq(percpu__area_map_free(map, bad[i], &merged), 0);
	}
	ck_assert_int_eq(memcmp(&before, map, sizeof(before)), 0);
	ck_assert_int_eq(memcmp(&bitmaps_before, &backed->bitmaps, sizeof(bitmaps_before)), 0);
	ck_assert_uint_eq(merged.start, 7);
}
END_TEST

START_TEST(live_pages_are_those_with_live_areas)
{
	setup();
	ck_assert_uint_eq(must_alloc(1, 1), 0);
	ck_assert_uint_eq(percpu__area_map_live_pages(map), 1);
	ck_assert_uint_eq(must_alloc(511 + 512 + 1, 1), 1);
	ck_assert_uint_eq(percpu__area_map_live_pages(map), 7);
	ck_assert_uint_eq(must_alloc(2000, 1), 1025);
	ck_assert_uint_eq(percpu__area_map_live_pages(map), 0x3f);
	must_free(1);
	ck_assert_uint_eq(percpu__area_map_live_pages(map), 0x3d);
	must_free(1025);
	ck_assert_uint_eq(percpu__area_map_live_pages(map), 1);
}
END_TEST

static uint32_t watched;
static int stop;

static void *watch(void *arg)
{
	uint64_t wrong = 0;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		for (int i = 0; i < 1000; i++)
			wrong += percpu__area_map_size(map, watched) != 200;
	}
	*(uint64_t *)arg = wrong;
	return NULL;
}

START_TEST(a_live_size_holds_while_neighbours_change)
{
	pthread_t thread;
	uint64_t wrong = 1, random = 3;

	setup();
	must_alloc(77, 1);
	watched = must_alloc(200, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, watch, &wrong), 0);
	for (int round = 0; round < 20000; round++) {
		uint32_t at[8];
		struct percpu__range merged;

		if (round % 2 == 0)
			percpu__area_map_free(map, 0, &merged);
		for (int i = 0; i < 8; i++)
			ck_assert(percpu__area_map_alloc(map, 1 + random_below(&random, 40), 1, &at[i]));
		for (int i = 0; i < 8; i++)
			ck_assert_uint_gt(percpu__area_map_free(map, at[(i * 3) % 8], &merged), 0);
		if (round % 2 == 0)
			ck_assert(percpu__area_map_alloc(map, 77, 1, &at[0]));
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(wrong, 0);
	ck_assert(percpu__area_map_is_valid(map));
}
END_TEST

/* Tampers, expects the walker to see it, and repairs. */
#define sees(lvalue, value)                                                                                  \
	do {                                                                                                 \
		__typeof__(lvalue) was_ = (lvalue);                                                          \
		(lvalue) = (__typeof__(lvalue))(value);                                                      \
		ck_assert_msg(!percpu__area_map_is_valid(map), #lvalue);                                      \
		(lvalue) = was_;                                                                             \
		ck_assert(percpu__area_map_is_valid(map));                                                    \
	} while (0)

START_TEST(the_walker_sees_damage)
{
	setup();
	for (int i = 0; i < 12; i++)
		must_alloc(10, 1);
	must_free(20);
	must_free(40);
	must_free(60);
	sees(backed->bitmaps.head[0], backed->bitmaps.head[0] & ~UINT64_C(1));
	sees(backed->bitmaps.head[0], backed->bitmaps.head[0] ^ UINT64_C(1) << 30);
	sees(backed->bitmaps.head[0], backed->bitmaps.head[0] ^ UINT64_C(1) << 25);
	sees(backed->bitmaps.head[1], backed->bitmaps.head[1] ^ UINT64_C(1) << 56);
	sees(backed->bitmaps.head[9], 4);
	sees(backed->bitmaps.free_head[0], backed->bitmaps.free_head[0] ^ UINT64_C(1) << 30);
	sees(backed->bitmaps.free_head[0], backed->bitmaps.free_head[0] ^ UINT64_C(1) << 20);
	sees(backed->bitmaps.free_head[0], backed->bitmaps.free_head[0] ^ UINT64_C(1) << 25);
	sees(backed->bitmaps.free_head[9], 4);
	sees(backed->tags[20].node.size, 11);
	sees(backed->tags[40].node.next, 60);
	sees(backed->tags[40].node.next, 30);
	sees(backed->tags[40].node.next, UNIT);
	sees(backed->tags[40].node.next, PERCPU__NO_AREA);
	sees(backed->tags[40].node.prev, PERCPU__NO_AREA);
	sees(map->first[10], PERCPU__NO_AREA);
	sees(map->first[10], 40);
	sees(map->first[11], 60);
	sees(map->listed.word[0], 0);
	sees(map->listed.word[1], 8);
	sees(map->tail, 110);
	sees(map->tail, 119);
	sees(map->tail_bin, 0);
	sees(map->fresh, 119);
	sees(map->fresh, UNIT + 1);
	sees(map->nr_live, 8);
	sees(map->live_granules, 91);
}
END_TEST

TEST_MAIN("area/area_map", 60, a_new_map_is_empty, filling_touches_no_tag_and_writes_no_free_head,
	  a_whole_unit_is_one_area, neighbours_merge, both_neighbours_merge_at_once,
	  the_end_of_the_unit_is_no_neighbour, best_fit_takes_the_smallest_hole,
	  alignment_leaves_the_front_free, a_tag_is_zero_when_handed_out,
	  misuse_is_reported_and_changes_nothing, live_pages_are_those_with_live_areas,
	  a_live_size_holds_while_neighbours_change, the_walker_sees_damage)
