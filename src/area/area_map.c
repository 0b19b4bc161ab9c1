/* SPDX-License-Identifier: MIT */
/*
 * The area map: divides the offsets of one unit into areas.
 *
 * Terms. A live area is allocated; a free area is in the free list of its bin; the tail is the free
 * rest at the end of the unit, in no list. Invariant: no two free areas are adjacent, and no free
 * area is adjacent to the tail, because every free coalesces at once.
 *
 *   offset    0         5       9              20        26                          32768
 *             | live 5  | free 4 | live 11     | live 6  | tail                      |
 *   head      1.........1.......1..............1.........1...........................
 *   free_head ..........1............................................................
 *   tags      value     node    value          value
 *
 * An area ends where the next bit of head is set. So the size of a live area is not stored, and
 * neighbours are found by scanning head, 64 granules a step. The nodes of the free lists lie in
 * tags, at the offset of their area and never inside user memory; only the first granule of a free
 * area uses its tag, and what remains there is never taken for the tag of a live area. A unit that
 * is filled from its tail has no free area, so no page of tags or of free_head is written for it.
 *
 * Worked example, from the picture. Freeing [9, 20): the size is 20 - 9 = 11; the area at 20 is
 * live; the head before 9 is at 5 and free, so both coalesce into a free area [5, 20) of 15, whose
 * node moves from bin 4 to bin 15, and the bit of head at 9 is cleared. Freeing [20, 26) then finds
 * the tail behind it and [5, 20) before it: the tail now starts at 5, and the node leaves its list.
 *
 * Policy: best fit. A request is served from the smallest bin that holds an area, the tail counting
 * as an area of its size; the remainders on either side become free areas. If every area of the bin
 * fits, the one freed last is taken: its node is in the CPU's caches, and a longer search costs
 * more than it saves in fragmentation. If some may be too small or misaligned, a few are examined
 * and the lowest that fits is taken.
 *
 * Cost: a scan over an area of a whole unit reads 512 words of head.
 */
#include <string.h>

#include "area/bin.h"

#define NR_CANDIDATES 4
#define NO_AREA PERCPU__NO_AREA

static inline uint32_t align_up(uint32_t offset, uint32_t align)
{
	return (offset + align - 1) & ~(align - 1);
}

/*
 * PERCPU__CHANGED_MAX is enough: an operation lists one area and unlists two, or unlists one and
 * lists two; moving the tail counts twice and replaces two of these.
 */
static inline void note_changed(struct percpu__area_map *map, unsigned bin)
{
	map->changed[map->nr_changed++] = (uint8_t)bin;
}

/* Moves the tail. Its start has a bit in head but none in free_head. */
static void tail_set(struct percpu__area_map *map, uint32_t tail)
{
	unsigned bin = bin_of(PERCPU__UNIT_GRANULES - tail);

	__atomic_store_n(&map->tail, tail, __ATOMIC_RELAXED);
	if (tail < PERCPU__UNIT_GRANULES)
		bit_set_relaxed(map->bitmaps->head, tail);
	if (bin != map->tail_bin) {
		note_changed(map, map->tail_bin);
		note_changed(map, bin);
		map->tail_bin = (uint8_t)bin;
	}
}

static void list_push(struct percpu__area_map *map, uint32_t offset, uint32_t size)
{
	union percpu__area_tag *tag = &map->tags[offset];
	unsigned bin = bin_of(size);
	uint16_t next = map->first[bin];

	tag->node.next = next;
	tag->node.prev = NO_AREA;
	tag->node.size = (uint16_t)size;
	tag->node.no_tag = 1;
	if (next == NO_AREA) {
		bins_set(&map->listed, bin);
		note_changed(map, bin);
	} else {
		map->tags[next].node.prev = (uint16_t)offset;
	}
	map->first[bin] = (uint16_t)offset;
}

static void list_remove(struct percpu__area_map *map, unsigned bin, uint32_t offset)
{
	const union percpu__area_tag *tag = &map->tags[offset];
	uint16_t next = tag->node.next, prev = tag->node.prev;

	if (next != NO_AREA)
		map->tags[next].node.prev = prev;
	if (prev != NO_AREA) {
		map->tags[prev].node.next = next;
		return;
	}
	map->first[bin] = next;
	if (next == NO_AREA) {
		bins_clear(&map->listed, bin);
		note_changed(map, bin);
	}
}

static void free_area_add(struct percpu__area_map *map, uint32_t offset, uint32_t size)
{
	bit_set_relaxed(map->bitmaps->head, offset);
	bit_set_relaxed(map->bitmaps->free_head, offset);
	list_push(map, offset, size);
}

void percpu__area_map_init(struct percpu__area_map *map, struct percpu__area_bitmaps *bitmaps,
			union percpu__area_tag *tags)
{
	*map = (struct percpu__area_map){ .bitmaps = bitmaps, .tags = tags };
	memset(map->first, 0xff, sizeof(map->first));
	tail_set(map, 0);
}
_Static_assert(NO_AREA == 0xffff, "memset makes empty lists");

struct percpu__bins percpu__area_map_bins(const struct percpu__area_map *map)
{
	struct percpu__bins bins = map->listed;

	if (map->tail_bin)
		bins_set(&bins, map->tail_bin);
	return bins;
}

/* Removes [at, at + granules) from the tail. */
static void take_from_tail(struct percpu__area_map *map, uint32_t at, uint32_t granules)
{
	uint32_t start = map->tail;

	/* The tail moves first: no listed area may be adjacent to it. */
	tail_set(map, at + granules);
	bit_set_relaxed(map->bitmaps->head, at);
	if (at > start)
		free_area_add(map, start, at - start);
}

/* Removes [at, at + granules) from the listed free area at start. */
static void take_from_list(struct percpu__area_map *map, unsigned bin, uint32_t start, uint32_t at,
			   uint32_t granules)
{
	uint32_t end = start + map->tags[start].node.size;

	list_remove(map, bin, start);
	if (at > start) {
		list_push(map, start, at - start);
		bit_set_relaxed(map->bitmaps->head, at);
	} else {
		bit_clear_relaxed(map->bitmaps->free_head, at);
	}
	if (at + granules < end)
		free_area_add(map, at + granules, end - at - granules);
}

/* Accounts for a new live area. From fresh on tags are zero already and may have no page. */
static inline void note_live(struct percpu__area_map *map, uint32_t at, uint32_t granules)
{
	if (at < map->fresh)
		map->tags[at].value = 0;
	if (at + granules > map->fresh)
		map->fresh = at + granules;
	map->live_granules += granules;
	map->nr_live++;
}

/* Returns: the area of the bin's free list to allocate from; NO_AREA if no candidate fits. */
static uint32_t choose(const struct percpu__area_map *map, unsigned bin, uint32_t granules,
		       uint32_t align)
{
	uint16_t area = map->first[bin];
	uint32_t best = NO_AREA;

	if ((bin < BIN_EXACT && align == 1) || bin >= bin_sure(granules, align))
		return area;
	for (int i = 0; i < NR_CANDIDATES && area != NO_AREA; i++) {
		const union percpu__area_tag *tag = &map->tags[area];

		if (area < best && align_up(area, align) + granules <= area + tag->node.size)
			best = area;
		area = tag->node.next;
	}
	return best;
}

bool percpu__area_map_alloc_from(struct percpu__area_map *map, unsigned bin, uint32_t granules,
			      uint32_t align_granules, uint32_t *offset)
{
	uint32_t start = choose(map, bin, granules, align_granules);
	uint32_t at;

	map->nr_changed = 0;
	if (start != NO_AREA) {
		at = align_up(start, align_granules);
		take_from_list(map, bin, start, at, granules);
	} else {
		at = align_up(map->tail, align_granules);
		if (bin != map->tail_bin || at + granules > PERCPU__UNIT_GRANULES)
			return false;
		take_from_tail(map, at, granules);
	}

	note_live(map, at, granules);
	*offset = at;
	return true;
}

uint32_t percpu__area_map_claim(struct percpu__area_map *map, uint32_t *at, uint32_t end)
{
	const uint64_t *head = map->bitmaps->head;

	map->nr_changed = 0;
	while (*at < end) {
		const uint32_t from = *at;
		uint32_t start, stop;

		if (from >= map->tail) {
			take_from_tail(map, from, end - from);
			note_live(map, from, end - from);
			*at = end;
			return end - from;
		}
		start = bit_test_relaxed(head, from) ? from : bit_before_relaxed(head, from);
		stop = bit_next_relaxed(head, start + 1);
		*at = stop < end ? stop : end;
		if (bit_test_relaxed(map->bitmaps->free_head, start)) {
			take_from_list(map, bin_of(stop - start), start, from, *at - from);
			note_live(map, from, *at - from);
			return *at - from;
		}
	}
	return 0;
}

bool percpu__area_map_alloc(struct percpu__area_map *map, uint32_t granules,
			    uint32_t align_granules, uint32_t *offset)
{
	struct percpu__bins bins = percpu__area_map_bins(map);
	unsigned bin = bin_of(granules);

	if (!granules)
		return false;
	while ((bin = bins_next(&bins, bin)) < PERCPU__NR_BINS) {
		if (percpu__area_map_alloc_from(map, bin, granules, align_granules, offset))
			return true;
		bin++;
	}
	return false;
}

uint32_t percpu__area_map_free(struct percpu__area_map *map, uint32_t offset,
			       struct percpu__range *merged)
{
	uint64_t *head = map->bitmaps->head, *free_head = map->bitmaps->free_head;
	uint32_t size = percpu__area_map_size(map, offset);
	uint32_t start = offset, end = offset + size;
	bool before_is_free = false;

	if (!size)
		return 0;
	map->nr_changed = 0;
	if (map->tags[offset].value) /* read first: a tag that was never written may have no page */
		map->tags[offset].value = PERCPU__NO_TAG;
	if (offset) {
		uint32_t before = bit_before_relaxed(head, offset);

		before_is_free = bit_test_relaxed(free_head, before);
		if (before_is_free) {
			list_remove(map, bin_of(map->tags[before].node.size), before);
			bit_clear_relaxed(head, offset);
			start = before;
		}
	}
	if (end == map->tail) {
		if (end < PERCPU__UNIT_GRANULES)
			bit_clear_relaxed(head, end);
		if (before_is_free)
			bit_clear_relaxed(free_head, start);
		tail_set(map, start);
		end = PERCPU__UNIT_GRANULES;
	} else {
		if (bit_test_relaxed(free_head, end)) {
			uint32_t after = end;

			end += map->tags[after].node.size;
			list_remove(map, bin_of(end - after), after);
			bit_clear_relaxed(head, after);
			bit_clear_relaxed(free_head, after);
		}
		if (!before_is_free)
			bit_set_relaxed(free_head, start);
		list_push(map, start, end - start);
	}
	map->live_granules -= size;
	map->nr_live--;
	*merged = (struct percpu__range){ start, end - start };
	return size;
}

uint64_t percpu__area_map_live_pages(const struct percpu__area_map *map)
{
	uint64_t pages = ~percpu__range_pages(
		(struct percpu__range){ map->tail, PERCPU__UNIT_GRANULES - map->tail });
	unsigned bin = bin_of(PERCPU__PAGE_GRANULES);

	/* A free area smaller than a page covers none. */
	while ((bin = bins_next(&map->listed, bin)) < PERCPU__NR_BINS) {
		for (uint16_t area = map->first[bin]; area != NO_AREA;
		     area = map->tags[area].node.next)
			pages &= ~percpu__range_pages(
				(struct percpu__range){ area, map->tags[area].node.size });
		bin++;
	}
	return pages;
}

/* Returns: true if only tags of live areas have a value that tags a live area. */
static bool tags_are_of_live_areas(const struct percpu__area_map *map)
{
	for (uint32_t offset = 0; offset < map->fresh; offset++) {
		const uint64_t tag = __atomic_load_n(&map->tags[offset].value, __ATOMIC_RELAXED);

		if (tag && tag < PERCPU__NO_TAG && !percpu__area_map_is_live(map, offset))
			return false;
	}
	return true;
}

/*
 * Returns: the length of the bin's free list; -1 if a member is no free area of the bin or a node
 * is wrong.
 */
static int list_check(const struct percpu__area_map *map, unsigned bin)
{
	const struct percpu__area_bitmaps *bitmaps = map->bitmaps;
	uint16_t prev = NO_AREA;
	int members = 0;

	for (uint16_t area = map->first[bin]; area != NO_AREA; area = map->tags[area].node.next) {
		const union percpu__area_tag *tag;

		if (area >= PERCPU__UNIT_GRANULES || !bit_test_relaxed(bitmaps->free_head, area))
			return -1;
		tag = &map->tags[area];
		if (tag->node.prev != prev || bin_of(tag->node.size) != bin)
			return -1;
		if (++members > (int)PERCPU__UNIT_GRANULES)
			return -1;
		prev = area;
	}
	return members;
}

bool percpu__area_map_is_valid(const struct percpu__area_map *map)
{
	const struct percpu__area_bitmaps *bitmaps = map->bitmaps;
	uint32_t offset = 0, live_granules = 0, nr_live = 0;
	int nr_free = 0, nr_listed = 0;
	bool was_free = false;

	if (map->tail > map->fresh || map->fresh > PERCPU__UNIT_GRANULES ||
	    !bit_test_relaxed(bitmaps->head, 0) ||
	    map->tail_bin != bin_of(PERCPU__UNIT_GRANULES - map->tail))
		return false;
	while (offset < map->tail) {
		uint32_t end = bit_next_relaxed(bitmaps->head, offset + 1);
		bool is_free = bit_test_relaxed(bitmaps->free_head, offset);

		if (end > map->tail || (is_free && (was_free || end == map->tail)))
			return false;
		if (bit_next_relaxed(bitmaps->free_head, offset + 1) < end)
			return false;
		if (is_free && map->tags[offset].node.size != end - offset)
			return false;
		nr_free += is_free;
		nr_live += !is_free;
		live_granules += is_free ? 0 : end - offset;
		was_free = is_free;
		offset = end;
	}
	if (bit_next_relaxed(bitmaps->free_head, map->tail) != PERCPU__UNIT_GRANULES ||
	    bit_next_relaxed(bitmaps->head, map->tail) != map->tail ||
	    bit_next_relaxed(bitmaps->head, map->tail + 1) != PERCPU__UNIT_GRANULES)
		return false;
	for (unsigned bin = 0; bin < PERCPU__NR_BINS; bin++) {
		int members = list_check(map, bin);

		if (members < 0 || (members > 0) != (map->listed.word[bin / 64] >> bin % 64 & 1))
			return false;
		nr_listed += members;
	}
	return nr_listed == nr_free && nr_live == map->nr_live &&
	       live_granules == map->live_granules && tags_are_of_live_areas(map);
}
