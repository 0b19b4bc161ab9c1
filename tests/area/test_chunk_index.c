/* SPDX-License-Identifier: MIT */
/* The chunk index: slots, the choice between maps, and random steps with the walker on. */
#include <string.h>

#include "area/bin.h"
#include "area/world.h"
#include "harness/harness.h"

#define UNIT PERCPU__UNIT_GRANULES

static struct world world;

static struct percpu__area_map *add(uint32_t expected_slot)
{
	struct percpu__area_map *map = &world_map_create()->map;

	ck_assert_uint_eq(percpu__chunk_index_add(&world.index, map), expected_slot);
	ck_assert_ptr_eq(percpu__chunk_index_at(&world.index, expected_slot), map);
	return map;
}

static uint32_t must_alloc(uint32_t granules, uint32_t align, uint32_t expected_slot)
{
	uint32_t slot, offset;

	ck_assert(percpu__chunk_index_alloc(&world.index, granules, align, &slot, &offset));
	ck_assert_uint_eq(slot, expected_slot);
	ck_assert_uint_eq(offset % align, 0);
	return offset;
}

static void must_free(uint32_t slot, uint32_t offset)
{
	struct percpu__range merged;

	ck_assert_uint_gt(percpu__chunk_index_free(&world.index, slot, offset, &merged), 0);
}

START_TEST(a_new_index_has_nothing)
{
	struct percpu__range merged;
	uint32_t slot, offset;

	world_init(&world, PERCPU__CHUNK_INDEX_SLOTS);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
	ck_assert(!percpu__chunk_index_alloc(&world.index, 1, 1, &slot, &offset));
	ck_assert_uint_eq(percpu__chunk_index_next(&world.index, 0), PERCPU__NO_SLOT);
	ck_assert_ptr_null(percpu__chunk_index_at(&world.index, 0));
	ck_assert_ptr_null(percpu__chunk_index_at(&world.index, UINT32_MAX));
	ck_assert_ptr_null(percpu__chunk_index_remove(&world.index, 0));
	ck_assert_uint_eq(percpu__chunk_index_free(&world.index, 0, 0, &merged), 0);
	ck_assert_uint_eq(percpu__chunk_index_free(&world.index, UINT32_MAX, 0, &merged), 0);
}
END_TEST

START_TEST(slots_are_taken_lowest_first)
{
	world_init(&world, 5000);
	for (uint32_t slot = 0; slot < 5000; slot++)
		add(slot);
	ck_assert_uint_eq(percpu__chunk_index_add(&world.index, &world_map_create()->map), PERCPU__NO_SLOT);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
	for (uint32_t slot = 63; slot < 5000; slot += 1000) {
		ck_assert_ptr_nonnull(percpu__chunk_index_remove(&world.index, slot));
		ck_assert_ptr_null(percpu__chunk_index_at(&world.index, slot));
		ck_assert_ptr_null(percpu__chunk_index_remove(&world.index, slot));
		ck_assert_uint_eq(percpu__chunk_index_next(&world.index, slot), slot + 1);
	}
	ck_assert_uint_eq(world.index.nr_chunks, 4995);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
	for (uint32_t slot = 63; slot < 5000; slot += 1000)
		add(slot);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

START_TEST(iteration_meets_every_chunk_once)
{
	uint32_t met = 0, last = 0;

	world_init(&world, 300);
	for (uint32_t slot = 0; slot < 300; slot++)
		add(slot);
	for (uint32_t slot = 0; slot < 300; slot++) {
		if (slot % 65)
			percpu__chunk_index_remove(&world.index, slot);
	}
	percpu__chunk_index_for_each(&world.index, slot) {
		ck_assert_uint_eq(slot, 65 * met++);
		last = slot;
	}
	ck_assert_uint_eq(met, 5);
	ck_assert_uint_eq(last, 260);
}
END_TEST

START_TEST(the_smallest_hole_anywhere_then_the_lowest_slot)
{
	static const uint32_t holes[] = { 30, 12, 20, 12, 64 };

	world_init(&world, 5);
	for (uint32_t slot = 0; slot < 5; slot++) {
		add(slot);
		must_alloc(holes[slot], 1, slot);
		must_alloc(UNIT - holes[slot], 1, slot);
	}
	for (uint32_t slot = 0; slot < 5; slot++)
		must_free(slot, 0);
	ck_assert_uint_eq(world.index.live_granules, 5 * UNIT - 138);
	ck_assert_uint_eq(world.index.nr_live, 5);
	must_alloc(11, 1, 1);
	must_alloc(11, 1, 3);
	must_alloc(11, 1, 2);
	must_alloc(9, 1, 2);
	must_alloc(21, 1, 0);
	must_alloc(21, 1, 4);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

START_TEST(a_request_finds_its_chunk_among_thousands)
{
	const uint32_t nr = 10000;
	uint32_t slots[] = { 9999, 4096, 4095, 8191, 63, 64, 0 };

	world_init(&world, PERCPU__CHUNK_INDEX_SLOTS);
	for (uint32_t slot = 0; slot < nr; slot++) {
		add(slot);
		ck_assert_uint_eq(must_alloc(100, 1, slot), 0);
		must_alloc(UNIT - 100, 1, slot);
	}
	for (unsigned i = 0; i < 7; i++) {
		must_free(slots[i], 0);
		must_alloc(60, 4, slots[i]);
		must_alloc(40, 1, slots[i]);
	}
	for (unsigned i = 0; i < 7; i++)
		must_free(slots[i], 0);
	must_alloc(60, 1, 0);
	must_alloc(60, 1, 63);
	must_alloc(60, 1, 64);
	must_alloc(60, 1, 4095);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

/* Sixteen maps of holes that are long enough, and start where the alignment wastes too much. */
START_TEST(an_empty_chunk_takes_what_all_others_refuse)
{
	uint32_t slot, offset;

	world_init(&world, 100);
	for (uint32_t s = 0; s < 16; s++) {
		add(s);
		must_alloc(1, 1, s);
		ck_assert_uint_eq(must_alloc(600, 1, s), 1);
		must_alloc(UNIT - 601, 1, s);
	}
	for (uint32_t s = 0; s < 16; s++)
		must_free(s, 1);
	ck_assert(!percpu__chunk_index_alloc(&world.index, 512, 512, &slot, &offset));
	ck_assert(!percpu__chunk_index_alloc(&world.index, 0, 1, &slot, &offset));
	ck_assert(!percpu__chunk_index_alloc(&world.index, UNIT + 1, 1, &slot, &offset));
	ck_assert(!percpu__chunk_index_alloc(&world.index, UINT32_MAX, 512, &slot, &offset));
	for (uint32_t align = 1; align <= PERCPU__ALIGN_GRANULES_MAX; align *= 2) {
		for (uint32_t size = UNIT; size > 600; size -= size / 3) {
			struct percpu__area_map *map = add(16);

			must_alloc(size, align, 16);
			must_free(16, 0);
			ck_assert_ptr_eq(percpu__chunk_index_remove(&world.index, 16), map);
		}
	}
	/* Unaligned, the holes do. */
	must_alloc(600, 1, 0);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

/* Holes of one bin, of which only the last starts where the alignment needs it. */
START_TEST(a_refused_request_goes_on_to_the_next_slot)
{
	static const uint32_t slots[][2] = {
		{ 3, 5 }, { 10, 63 }, { 63, 64 }, { 64, 4095 }, { 4095, 4096 }, { 70, 4200 },
	};

	world_init(&world, 5000);
	for (uint32_t slot = 0; slot < 4300; slot++) {
		add(slot);
		must_alloc(64, 1, slot);
		ck_assert_uint_eq(must_alloc(40, 1, slot), 64);
		must_alloc(UNIT - 104, 1, slot);
	}
	for (unsigned i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
		uint32_t refuses = slots[i][0], fits = slots[i][1];

		/* The first hole is [24, 64), the second [64, 104). */
		must_free(refuses, 0);
		must_alloc(24, 1, refuses);
		must_free(fits, 64);
		ck_assert_uint_eq(must_alloc(40, 64, fits), 64);
		must_alloc(40, 1, refuses);
	}
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

START_TEST(a_chunk_leaves_and_comes_back_with_its_areas)
{
	struct percpu__area_map *map;
	uint32_t offset;

	world_init(&world, 8);
	add(0);
	offset = must_alloc(77, 1, 0);
	map = percpu__chunk_index_remove(&world.index, 0);
	ck_assert_uint_eq(world.index.nr_live, 0);
	ck_assert_uint_eq(world.index.live_granules, 0);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
	ck_assert_uint_eq(percpu__chunk_index_add(&world.index, map), 0);
	ck_assert_uint_eq(world.index.live_granules, 77);
	must_free(0, offset);
	ck_assert(percpu__area_map_is_empty(map));
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

START_TEST(misuse_is_reported_and_changes_nothing)
{
	struct percpu__range merged;

	world_init(&world, 8);
	add(0);
	add(1);
	must_alloc(10, 1, 0);
	ck_assert_uint_eq(percpu__chunk_index_free(&world.index, 1, 0, &merged), 0);
	ck_assert_uint_eq(percpu__chunk_index_free(&world.index, 2, 0, &merged), 0);
	ck_assert_uint_eq(percpu__chunk_index_free(&world.index, 8, 0, &merged), 0);
	ck_assert_uint_eq(percpu__chunk_index_free(&world.index, 0, 1, &merged), 0);
	ck_assert_uint_eq(percpu__chunk_index_free(&world.index, 0, UINT32_MAX, &merged), 0);
	ck_assert_uint_eq(world.index.nr_live, 1);
	must_free(0, 0);
	ck_assert_uint_eq(percpu__chunk_index_free(&world.index, 0, 0, &merged), 0);
	ck_assert_uint_eq(world.index.nr_live, 0);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

static size_t pages_written(const void *memory, size_t bytes)
{
	static const char zero[4096];
	size_t pages = 0;

	for (size_t at = 0; at < bytes; at += sizeof(zero)) {
		size_t n = bytes - at < sizeof(zero) ? bytes - at : sizeof(zero);

		pages += memcmp((const char *)memory + at, zero, n) != 0;
	}
	return pages;
}

START_TEST(memory_in_use_follows_the_slots)
{
	size_t bytes = percpu__chunk_index_bytes(PERCPU__CHUNK_INDEX_SLOTS);

	ck_assert_uint_lt(bytes, 2 * 1024 * 1024);
	ck_assert_uint_lt(percpu__chunk_index_bytes(1), 4096);
	world_init(&world, PERCPU__CHUNK_INDEX_SLOTS);
	add(0);
	ck_assert_uint_eq(pages_written(world.index_memory, bytes), 1);
	for (uint32_t slot = 1; slot < 640; slot++)
		add(slot);
	ck_assert_uint_le(pages_written(world.index_memory, bytes), 5);
}
END_TEST

START_TEST(random_steps_keep_the_index_valid)
{
	enum { MAX_LIVE = 4000 };
	static struct object live[MAX_LIVE];
	static uint8_t taken[70][UNIT];
	uint32_t nr_live = 0;

	world_init(&world, 70);
	world.random = 11;
	for (int step = 0; step < 60000; step++) {
		if (random_below(&world.random, 100) < (step / 10000 % 2 ? 30u : 70u) && nr_live < MAX_LIVE) {
			uint32_t bytes = random_log_uniform(&world.random, 1, 16384);
			uint32_t align = 1u << random_below(&world.random, 10);
			struct object o = world_alloc(&world, bytes, align);

			ck_assert(o.offset % align == 0);
			for (uint32_t i = 0; i < granules_of(bytes); i++) {
				if (taken[o.slot][o.offset + i]++)
					ck_abort_msg("granule handed out twice");
			}
			live[nr_live++] = o;
		} else if (nr_live) {
			uint32_t i = random_below(&world.random, nr_live);

			memset(&taken[live[i].slot][live[i].offset], 0, granules_of(live[i].bytes));
			world_free(&world, live[i]);
			live[i] = live[--nr_live];
		}
		if (step % 500 == 0)
			ck_assert(percpu__chunk_index_is_valid(&world.index));
	}
	while (nr_live)
		world_free(&world, live[--nr_live]);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
	percpu__chunk_index_for_each(&world.index, slot)
		ck_assert(percpu__area_map_is_empty(percpu__chunk_index_at(&world.index, slot)));
}
END_TEST

START_TEST(the_walker_sees_damage)
{
	struct percpu__range merged;
	struct percpu__area_map *map;
	uint32_t offset;

	world_init(&world, 200);
	for (uint32_t slot = 0; slot < 130; slot++)
		map = add(slot);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
	/* Behind the index's back. */
	ck_assert(percpu__area_map_alloc(map, 5000, 1, &offset));
	ck_assert(!percpu__chunk_index_is_valid(&world.index));
	ck_assert_uint_eq(percpu__area_map_free(map, offset, &merged), 5000);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
	map->nr_live++;
	ck_assert(!percpu__chunk_index_is_valid(&world.index));
	map->nr_live--;
	world.index.nr_chunks++;
	ck_assert(!percpu__chunk_index_is_valid(&world.index));
	world.index.nr_chunks--;
	world.index.live_granules++;
	ck_assert(!percpu__chunk_index_is_valid(&world.index));
	world.index.live_granules--;
	ck_assert(percpu__chunk_index_is_valid(&world.index));
	for (size_t word = 0; word < percpu__chunk_index_bytes(130) / 8; word += 97) {
		uint64_t *p = (uint64_t *)world.index_memory + word;

		/* Pointers to maps are no bits of the tree. */
		if (*p > UINT32_MAX && *p < UINT64_C(1) << 48)
			continue;
		*p ^= 2;
		ck_assert_msg(!percpu__chunk_index_is_valid(&world.index), "word %zu", word);
		*p ^= 2;
	}
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

/* Which granules are live, and where areas start. */
static void draw(const struct percpu__area_map *map, char *picture)
{
	for (uint32_t at = 0, size; at < UNIT; at += size) {
		size = percpu__area_map_size(map, at);
		memset(picture + at, size ? 'l' : '.', size ? size : 1);
		if (size)
			picture[at] = 'L';
		else
			size = 1;
	}
}

/* What was free in the range lives, as one area a run; all else is as it was. */
static void claim_and_look(uint32_t slot, uint32_t at, uint32_t end)
{
	static char before[UNIT], after[UNIT];
	const struct percpu__area_map *map = percpu__chunk_index_at(&world.index, slot);
	uint32_t nr_runs = 0;

	draw(map, before);
	draw(map, after);
	for (uint32_t i = at; i < end; i++) {
		const bool was_free = after[i] == '.';

		before[i] = !was_free ? after[i] : i == at || after[i - 1] != '.' ? 'L' : 'l';
		nr_runs += was_free && before[i] == 'L';
	}
	ck_assert_uint_eq(percpu__chunk_index_claim(&world.index, slot, at, end), nr_runs);
	draw(map, after);
	ck_assert_mem_eq(before, after, UNIT);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
	ck_assert_uint_eq(percpu__chunk_index_claim(&world.index, slot, at, end), 0);
}

START_TEST(what_is_claimed_is_taken_and_nothing_else)
{
	world_init(&world, 100);
	for (uint32_t slot = 0; slot < 3; slot++)
		add(slot);
	claim_and_look(1, 100, 200); /* of a tail, leaving some before it */
	claim_and_look(1, 50, 250);
	claim_and_look(1, 0, 0);
	claim_and_look(1, UNIT - 1, UNIT);
	claim_and_look(0, 0, UNIT);
	world.random = 7;
	for (unsigned round = 0; round < 60; round++) {
		uint32_t slots[60], offsets[60];

		for (unsigned i = 0; i < 60; i++)
			ck_assert(percpu__chunk_index_alloc(&world.index, 1 + random_below(&world.random, 60), 1, &slots[i], &offsets[i]));
		for (unsigned i = 0; i < 60; i += 1 + random_below(&world.random, 3))
			must_free(slots[i], offsets[i]);
		for (unsigned i = 0; i < 5; i++) {
			const uint32_t at = random_below(&world.random, 6000), nr = 1 + random_below(&world.random, 300);

			claim_and_look(1 + random_below(&world.random, 2), at, at + nr);
		}
	}
	/* All of it can be freed, area by area. */
	for (uint32_t slot = 0; slot < 3; slot++)
		for (uint32_t at = 0, size; at < UNIT; at += size ? size : 1) {
			size = percpu__area_map_size(percpu__chunk_index_at(&world.index, slot), at);
			if (size)
				must_free(slot, at);
		}
	ck_assert_uint_eq(world.index.nr_live, 0);
	ck_assert(percpu__chunk_index_is_valid(&world.index));
}
END_TEST

TEST_MAIN("area/chunk_index", 120, a_new_index_has_nothing, slots_are_taken_lowest_first,
	  iteration_meets_every_chunk_once, the_smallest_hole_anywhere_then_the_lowest_slot,
	  a_request_finds_its_chunk_among_thousands, an_empty_chunk_takes_what_all_others_refuse,
	  a_refused_request_goes_on_to_the_next_slot, a_chunk_leaves_and_comes_back_with_its_areas,
	  misuse_is_reported_and_changes_nothing, what_is_claimed_is_taken_and_nothing_else,
	  memory_in_use_follows_the_slots,
	  random_steps_keep_the_index_valid, the_walker_sees_damage)
