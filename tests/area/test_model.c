/* SPDX-License-Identifier: MIT */
/* One map under random steps, against a naive map that says whose each granule is. */
#include "area/world.h"
#include "harness/harness.h"

#define UNIT PERCPU__UNIT_GRANULES
#define MAX_LIVE 3000

static struct percpu__area_map *map;
static uint16_t owner[UNIT]; /* index into live plus 1; 0: free */
static struct { uint32_t offset, size; } live[MAX_LIVE];
static uint32_t nr_live;

static void model_paint(uint32_t offset, uint32_t size, uint16_t was, uint16_t is)
{
	for (uint32_t i = offset; i < offset + size; i++) {
		if (owner[i] != was)
			ck_abort_msg("granule %u: %u where %u belongs", i, owner[i], was);
		owner[i] = is;
	}
}

static void model_compare(void)
{
	uint64_t pages = 0;

	ck_assert(percpu__area_map_is_valid(map));
	for (uint32_t i = 0; i < UNIT; i++)
		pages |= (uint64_t)(owner[i] != 0) << i / PERCPU__PAGE_GRANULES;
	ck_assert_uint_eq(pages, percpu__area_map_live_pages(map));
	ck_assert_uint_eq(nr_live, map->nr_live);
	for (uint32_t i = 0; i < nr_live; i++) {
		if (percpu__area_map_size(map, live[i].offset) != live[i].size)
			ck_abort_msg("size at %u is not %u", live[i].offset, live[i].size);
	}
}

static void model_step(uint64_t *random, uint32_t size_max, uint32_t align_log2_max, uint32_t fill_percent)
{
	if (nr_live < MAX_LIVE && random_below(random, 100) < fill_percent) {
		uint32_t size = random_log_uniform(random, 1, size_max);
		uint32_t align = 1u << random_below(random, align_log2_max + 1);
		uint32_t offset;

		if (!percpu__area_map_alloc(map, size, align, &offset))
			return;
		ck_assert_uint_eq(offset % align, 0);
		ck_assert_uint_eq(map->tags[offset].value, 0);
		map->tags[offset].value = random_u64(random) % PERCPU__NO_TAG;
		model_paint(offset, size, 0, (uint16_t)(nr_live + 1));
		live[nr_live].offset = offset;
		live[nr_live++].size = size;
	} else if (nr_live) {
		uint32_t i = random_below(random, nr_live);
		struct percpu__range merged;

		ck_assert_uint_eq(percpu__area_map_free(map, live[i].offset, &merged), live[i].size);
		model_paint(live[i].offset, live[i].size, (uint16_t)(i + 1), 0);
		model_paint(merged.start, merged.granules, 0, 0);
		ck_assert(merged.start == 0 || owner[merged.start - 1]);
		ck_assert(merged.start + merged.granules == UNIT || owner[merged.start + merged.granules]);
		nr_live--;
		if (i != nr_live) {
			live[i] = live[nr_live];
			model_paint(live[i].offset, live[i].size, (uint16_t)(nr_live + 1), (uint16_t)(i + 1));
		}
	}
}

static const struct { uint32_t size_max, align_log2_max; } mixes[] = {
	{ 1, 0 }, { 8, 3 }, { 64, 0 }, { 256, 6 }, { 4096, 9 }, { UNIT, 9 },
};
#define NR_MIXES (int)(sizeof(mixes) / sizeof(*mixes))

START_TEST(random_steps_agree_with_the_map)
{
	struct world_map *backed = world_map_create();
	uint64_t random = (uint64_t)_i;

	map = &backed->map;
	for (int step = 0; step < 30000; step++) {
		/* Fill, drain and fill again. */
		uint32_t fill_percent = step / 5000 % 2 ? 35 : 65;

		model_step(&random, mixes[_i].size_max, mixes[_i].align_log2_max, fill_percent);
		if (step % 16 == 0)
			model_compare();
	}
	while (nr_live)
		model_step(&random, 1, 0, 0);
	model_compare();
	ck_assert(percpu__area_map_is_empty(map));
	ck_assert_uint_eq(map->tail, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("area/model");
	TCase *tcase = case_of("mixes");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, random_steps_agree_with_the_map, 0, NR_MIXES);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
