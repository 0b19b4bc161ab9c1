/* SPDX-License-Identifier: MIT */
/* One space, against pictures drawn by hand. */
#include <pthread.h>
#include <string.h>

#include "area/world.h"
#include "harness/harness.h"

#define UNIT PERCPU__UNIT_GRANULES

static struct world_space *ws;
static struct percpu__space *space;

static void setup(void)
{
	ws = world_space_create();
	space = &ws->space;
}

static uint32_t must_alloc(uint32_t granules, uint32_t align)
{
	uint32_t offset = UINT32_MAX;

	ck_assert(percpu__space_alloc(space, granules, align, &offset));
	ck_assert_uint_le(offset + granules, UNIT);
	ck_assert_uint_eq(offset % align, 0);
	ck_assert_uint_eq(percpu__space_size(space, offset), granules);
	ck_assert_uint_eq(space->words[offset].mark, 0);
	return offset;
}

static struct percpu__range must_free(uint32_t offset)
{
	struct percpu__range merged = { UINT32_MAX, 0 };
	uint32_t size = percpu__space_size(space, offset);

	ck_assert_uint_gt(size, 0);
	ck_assert_uint_eq(percpu__space_free(space, offset, &merged), size);
	ck_assert_uint_le(merged.start, offset);
	ck_assert_uint_ge(merged.start + merged.granules, offset + size);
	ck_assert(percpu__space_is_valid(space));
	return merged;
}

#define assert_range(range, s, end)                                                                          \
	do {                                                                                                 \
		struct percpu__range r_ = (range);                                                           \
		ck_assert_uint_eq(r_.start, s);                                                              \
		ck_assert_uint_eq(r_.start + r_.granules, end);                                              \
	} while (0)

START_TEST(a_new_space_is_empty)
{
	setup();
	ck_assert(percpu__space_is_valid(space));
	ck_assert(percpu__space_is_empty(space));
	ck_assert_uint_eq(percpu__space_live_pages(space), 0);
	ck_assert(percpu__space_is_on(space, PERCPU__NR_BINS - 1));
	for (unsigned bin = 0; bin < PERCPU__NR_BINS - 1; bin++)
		ck_assert(!percpu__space_is_on(space, bin));
	for (uint32_t offset = 0; offset < UNIT + 70; offset++)
		ck_assert_uint_eq(percpu__space_size(space, offset), 0);
}
END_TEST

START_TEST(filling_touches_no_word_and_writes_no_free_head)
{
	uint32_t offset;

	setup();
	ck_assert_int_eq(mprotect(ws->words, sizeof(ws->words), PROT_NONE), 0);
	ck_assert_int_eq(mprotect(ws->maps.free_head, sizeof(ws->maps.free_head), PROT_READ), 0);
	for (uint32_t i = 0; i < UNIT; i++) {
		if (!percpu__space_alloc(space, 1, 1, &offset) || offset != i)
			ck_abort_msg("granule %u at %u", i, offset);
	}
	ck_assert(!percpu__space_alloc(space, 1, 1, &offset));
	ck_assert_uint_eq(percpu__space_live_pages(space), UINT64_MAX);
	ck_assert_uint_eq(space->live_granules, UNIT);
	ck_assert_uint_eq(space->nr_live, UNIT);
	ck_assert_int_eq(mprotect(ws->words, sizeof(ws->words), PROT_READ), 0);
	ck_assert(percpu__space_is_valid(space));
}
END_TEST

START_TEST(a_whole_unit_is_one_area)
{
	uint32_t offset;

	setup();
	for (uint32_t align = 1; align <= PERCPU__ALIGN_GRANULES_MAX; align *= 2) {
		ck_assert_uint_eq(must_alloc(UNIT, align), 0);
		ck_assert(!percpu__space_alloc(space, 1, 1, &offset));
		assert_range(must_free(0), 0, UNIT);
		ck_assert(percpu__space_is_empty(space));
	}
	ck_assert(!percpu__space_alloc(space, UNIT + 1, 1, &offset));
	ck_assert(!percpu__space_alloc(space, UINT32_MAX, 1, &offset));
	ck_assert(!percpu__space_alloc(space, 0, 1, &offset));
	ck_assert(percpu__space_is_valid(space));
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
	ck_assert(percpu__space_is_on(space, 4));
	assert_range(must_free(9), 5, 20);
	ck_assert(!percpu__space_is_on(space, 4));
	ck_assert(percpu__space_is_on(space, 15));
	assert_range(must_free(20), 5, UNIT);
	ck_assert(!percpu__space_is_on(space, 15));
	ck_assert_uint_eq(space->tail, 5);
	ck_assert_uint_eq(space->fresh, 26);
	assert_range(must_free(0), 0, UNIT);
	ck_assert(percpu__space_is_empty(space));
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
	ck_assert(percpu__space_is_valid(space));
}
END_TEST

START_TEST(alignment_leaves_the_front_free)
{
	setup();
	must_alloc(3, 1);
	ck_assert_uint_eq(must_alloc(8, 8), 8);
	ck_assert(percpu__space_is_on(space, 5));
	ck_assert_uint_eq(must_alloc(5, 1), 3);
	ck_assert_uint_eq(must_alloc(1, 512), 512);
	ck_assert_uint_eq(must_alloc(511, 1), 513);
	ck_assert_uint_eq(must_alloc(512, 512), 1024);
	/* From the middle of a listed area, with both ends left. */
	assert_range(must_free(0), 0, 3);
	ck_assert_uint_eq(must_alloc(4, 256), 256);
	ck_assert(percpu__space_is_valid(space));
	ck_assert_uint_eq(must_alloc(252, 4), 260);
}
END_TEST

START_TEST(a_mark_is_zero_when_handed_out)
{
	setup();
	for (int round = 0; round < 3; round++) {
		uint32_t at[40];

		for (int i = 0; i < 40; i++) {
			at[i] = must_alloc(1 + i % 7, 1u << i % 4);
			space->words[at[i]].mark = PERCPU__NO_MARK - 1;
		}
		for (int i = 0; i < 40; i++)
			must_free(at[(i * 7) % 40]);
		ck_assert(percpu__space_is_empty(space));
	}
}
END_TEST

START_TEST(misuse_is_reported_and_changes_nothing)
{
	static struct percpu__space_maps maps_before;
	struct percpu__space before;
	struct percpu__range merged = { 7, 7 };
	uint32_t bad[] = { 1, 5, 6, 9, 10, 19, 26, 27, 511, UNIT - 1, UNIT, UNIT + 1, 1u << 20, UINT32_MAX };

	setup();
	for (uint32_t offset = 0; offset < 3; offset++)
		ck_assert_uint_eq(percpu__space_free(space, offset, &merged), 0);
	must_alloc(5, 1);
	must_alloc(4, 1);
	must_alloc(11, 1);
	must_alloc(6, 1);
	must_free(9);
	must_free(5);
	before = *space;
	maps_before = ws->maps;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_uint_eq(percpu__space_size(space, bad[i]), 0);
		ck_assert_uint_eq(percpu__space_free(space, bad[i], &merged), 0);
	}
	ck_assert_int_eq(memcmp(&before, space, sizeof(before)), 0);
	ck_assert_int_eq(memcmp(&maps_before, &ws->maps, sizeof(maps_before)), 0);
	ck_assert_uint_eq(merged.start, 7);
}
END_TEST

START_TEST(live_pages_are_those_with_live_areas)
{
	setup();
	ck_assert_uint_eq(must_alloc(1, 1), 0);
	ck_assert_uint_eq(percpu__space_live_pages(space), 1);
	ck_assert_uint_eq(must_alloc(511 + 512 + 1, 1), 1);
	ck_assert_uint_eq(percpu__space_live_pages(space), 7);
	ck_assert_uint_eq(must_alloc(2000, 1), 1025);
	ck_assert_uint_eq(percpu__space_live_pages(space), 0x3f);
	must_free(1);
	ck_assert_uint_eq(percpu__space_live_pages(space), 0x3d);
	must_free(1025);
	ck_assert_uint_eq(percpu__space_live_pages(space), 1);
}
END_TEST

static uint32_t watched;
static int stop;

static void *watch(void *arg)
{
	uint64_t wrong = 0;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		for (int i = 0; i < 1000; i++)
			wrong += percpu__space_size(space, watched) != 200;
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
			percpu__space_free(space, 0, &merged);
		for (int i = 0; i < 8; i++)
			ck_assert(percpu__space_alloc(space, 1 + random_below(&random, 40), 1, &at[i]));
		for (int i = 0; i < 8; i++)
			ck_assert_uint_gt(percpu__space_free(space, at[(i * 3) % 8], &merged), 0);
		if (round % 2 == 0)
			ck_assert(percpu__space_alloc(space, 77, 1, &at[0]));
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(wrong, 0);
	ck_assert(percpu__space_is_valid(space));
}
END_TEST

/* Tampers, expects the walker to see it, and repairs. */
#define sees(lvalue, value)                                                                                  \
	do {                                                                                                 \
		__typeof__(lvalue) was_ = (lvalue);                                                          \
		(lvalue) = (__typeof__(lvalue))(value);                                                      \
		ck_assert_msg(!percpu__space_is_valid(space), #lvalue);                                      \
		(lvalue) = was_;                                                                             \
		ck_assert(percpu__space_is_valid(space));                                                    \
	} while (0)

START_TEST(the_walker_sees_damage)
{
	setup();
	for (int i = 0; i < 12; i++)
		must_alloc(10, 1);
	must_free(20);
	must_free(40);
	must_free(60);
	sees(ws->maps.head[0], ws->maps.head[0] & ~UINT64_C(1));
	sees(ws->maps.head[0], ws->maps.head[0] ^ UINT64_C(1) << 30);
	sees(ws->maps.head[0], ws->maps.head[0] ^ UINT64_C(1) << 25);
	sees(ws->maps.head[1], ws->maps.head[1] ^ UINT64_C(1) << 56);
	sees(ws->maps.head[9], 4);
	sees(ws->maps.free_head[0], ws->maps.free_head[0] ^ UINT64_C(1) << 30);
	sees(ws->maps.free_head[0], ws->maps.free_head[0] ^ UINT64_C(1) << 20);
	sees(ws->maps.free_head[0], ws->maps.free_head[0] ^ UINT64_C(1) << 25);
	sees(ws->maps.free_head[9], 4);
	sees(ws->words[20].link.size, 11);
	sees(ws->words[40].link.next, 60);
	sees(ws->words[40].link.next, 30);
	sees(ws->words[40].link.next, UNIT);
	sees(ws->words[40].link.next, PERCPU__NO_AREA);
	sees(ws->words[40].link.prev, PERCPU__NO_AREA);
	sees(space->first[10], PERCPU__NO_AREA);
	sees(space->first[10], 40);
	sees(space->first[11], 60);
	sees(space->listed.word[0], 0);
	sees(space->listed.word[1], 8);
	sees(space->tail, 110);
	sees(space->tail, 119);
	sees(space->tail_bin, 0);
	sees(space->fresh, 119);
	sees(space->fresh, UNIT + 1);
	sees(space->nr_live, 8);
	sees(space->live_granules, 91);
}
END_TEST

TEST_MAIN("area/space", 60, a_new_space_is_empty, filling_touches_no_word_and_writes_no_free_head,
	  a_whole_unit_is_one_area, neighbours_merge, both_neighbours_merge_at_once,
	  the_end_of_the_unit_is_no_neighbour, best_fit_takes_the_smallest_hole,
	  alignment_leaves_the_front_free, a_mark_is_zero_when_handed_out,
	  misuse_is_reported_and_changes_nothing, live_pages_are_those_with_live_areas,
	  a_live_size_holds_while_neighbours_change, the_walker_sees_damage)
