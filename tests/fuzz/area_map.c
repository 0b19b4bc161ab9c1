/* SPDX-License-Identifier: MIT */
/* The area map of one unit against a table of granules, after every step. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "area/area.h"

static struct percpu__area_map map;
static struct percpu__area_bitmaps bitmaps;
static union percpu__area_tag tags[PERCPU__UNIT_GRANULES];
static uint16_t owner[PERCPU__UNIT_GRANULES]; /* of each granule; 0: free */

#define NR_AREAS 400
static struct percpu__range areas[NR_AREAS]; /* granules 0: vacant */

static void try_alloc(struct input *input)
{
	const unsigned which = next_word(input) % NR_AREAS;
	const uint32_t granules = next_size(input) / 8 + next_byte(input) % 4;
	const uint32_t align = 1u << next_byte(input) % 10;
	uint32_t offset;

	if (areas[which].granules)
		return;
	if (!percpu__area_map_alloc(&map, granules, align, &offset)) {
		must(!granules || granules > PERCPU__UNIT_GRANULES || map.nr_live);
		return;
	}
	must(granules && offset % align == 0 && offset + granules <= PERCPU__UNIT_GRANULES);
	must(percpu__area_map_size(&map, offset) == granules);
	for (uint32_t at = offset; at < offset + granules; at++) {
		must(!owner[at]);
		owner[at] = 1 + which;
	}
	areas[which] = (struct percpu__range){ offset, granules };
}

static void free_area(unsigned which)
{
	struct percpu__range *area = &areas[which], merged;

	must(percpu__area_map_is_live(&map, area->start));
	must(percpu__area_map_free(&map, area->start, &merged) == area->granules);
	must(merged.start <= area->start && merged.start + merged.granules >= area->start + area->granules);
	memset(&owner[area->start], 0, area->granules * sizeof(owner[0]));
	must(!merged.start || owner[merged.start - 1]);
	must(merged.start + merged.granules == PERCPU__UNIT_GRANULES || owner[merged.start + merged.granules]);
	area->granules = 0;
}

static void try_free(struct input *input)
{
	const unsigned which = next_word(input) % NR_AREAS;

	if (areas[which].granules)
		free_area(which);
}

/* Queries offsets that are not the start of a live area. */
static void try_free_wrongly(struct input *input)
{
	const uint32_t offset = next_word(input) % PERCPU__UNIT_GRANULES;
	struct percpu__range merged;

	if (owner[offset] && areas[owner[offset] - 1].start == offset)
		return;
	must(!percpu__area_map_is_live(&map, offset) && !percpu__area_map_size(&map, offset));
	must(!percpu__area_map_free(&map, offset, &merged));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static void (*const list[])(struct input *) = { try_alloc, try_alloc, try_alloc, try_free, try_free, try_free_wrongly };
	struct input input = { bytes, bytes + size };
	uint32_t live = 0;

	memset(&bitmaps, 0, sizeof(bitmaps));
	memset(tags, 0, sizeof(tags));
	percpu__area_map_init(&map, &bitmaps, tags);
	while (input.at < input.end) {
		list[next_byte(&input) % (sizeof(list) / sizeof(list[0]))](&input);
		must(percpu__area_map_is_valid(&map));
	}
	for (unsigned i = 0; i < NR_AREAS; i++)
		live += areas[i].granules;
	must(live == map.live_granules);
	for (unsigned i = 0; i < NR_AREAS; i++)
		if (areas[i].granules)
			free_area(i);
	must(!map.nr_live && !map.live_granules && percpu__area_map_is_valid(&map));
	return 0;
}
