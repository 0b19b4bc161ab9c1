/* SPDX-License-Identifier: MIT */
/*
 * A space: the offsets of one unit, cut into areas.
 *
 * Words. A live area was handed out; a free area waits in the list of its bin; the tail is the free rest
 * at the end of the unit, in no list. Two free areas never touch, nor does a free area touch the tail:
 * they are merged at once.
 *
 *   offset    0         5       9              20        26                          32768
 *             | live 5  | free 4 | live 11     | live 6  | tail                      |
 *   head      1.........1.......1..............1.........1...........................
 *   free_head ..........1............................................................
 *   words     mark      link    mark           mark
 *
 * An area ends where the next bit of head is set, so no size of a live area is stored anywhere, and a
 * neighbour is found by scanning head, 64 granules a step. The links of free areas lie in words, at the
 * same offset as the area and never inside user memory; only the first granule of a free area uses its
 * word. What it leaves there is never taken for a mark. A unit that is filled from its tail has no free
 * area, and no page of words or of free_head is ever written for it.
 *
 * Worked example, from the picture. Freeing [9, 20): size is 20 - 9 = 11; the area at 20 lives; the head
 * before 9 is at 5 and free, so [5, 20) becomes one free area of 15: its link moves from bin 4 to bin 15,
 * and the bit of head at 9 goes. Freeing [20, 26) then meets the tail, and [5, 20) before it: the tail
 * now starts at 5, and the link is unlisted for good.
 *
 * Policy: best fit. A request takes an area of the smallest bin that has one, the tail counting as one
 * area of its size; what is left over on either side is a free area again. Where every area of the bin
 * fits, the last freed goes first: its link is warm, and looking further costs more than it packs. Where
 * some may be too small or out of line, a few are looked at and the lowest that fits is taken.
 *
 * What a scan can cost: an area of a whole unit has 512 words of head.
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
 * PERCPU__CHANGED_MAX is enough: an operation lists one area and unlists two, or unlists one and lists two,
 * and a move of the tail, which counts for two, takes the place of two of them.
 */
static inline void note_changed(struct percpu__space *space, unsigned bin)
{
	space->changed[space->nr_changed++] = (uint8_t)bin;
}

/* The tail moves: its start is a head, and no free one. */
static void tail_set(struct percpu__space *space, uint32_t tail)
{
	unsigned bin = bin_of(PERCPU__UNIT_GRANULES - tail);

	__atomic_store_n(&space->tail, tail, __ATOMIC_RELAXED);
	if (tail < PERCPU__UNIT_GRANULES)
		bit_set_relaxed(space->maps->head, tail);
	if (bin != space->tail_bin) {
		note_changed(space, space->tail_bin);
		note_changed(space, bin);
		space->tail_bin = (uint8_t)bin;
	}
}

static void list_push(struct percpu__space *space, uint32_t offset, uint32_t size)
{
	union percpu__word *word = &space->words[offset];
	unsigned bin = bin_of(size);
	uint16_t next = space->first[bin];

	word->link.next = next;
	word->link.prev = NO_AREA;
	word->link.size = (uint16_t)size;
	word->link.no_mark = 1;
	if (next == NO_AREA) {
		bins_set(&space->listed, bin);
		note_changed(space, bin);
	} else {
		space->words[next].link.prev = (uint16_t)offset;
	}
	space->first[bin] = (uint16_t)offset;
}

static void list_remove(struct percpu__space *space, unsigned bin, uint32_t offset)
{
	const union percpu__word *word = &space->words[offset];
	uint16_t next = word->link.next, prev = word->link.prev;

	if (next != NO_AREA)
		space->words[next].link.prev = prev;
	if (prev != NO_AREA) {
		space->words[prev].link.next = next;
		return;
	}
	space->first[bin] = next;
	if (next == NO_AREA) {
		bins_clear(&space->listed, bin);
		note_changed(space, bin);
	}
}

static void free_area_add(struct percpu__space *space, uint32_t offset, uint32_t size)
{
	bit_set_relaxed(space->maps->head, offset);
	bit_set_relaxed(space->maps->free_head, offset);
	list_push(space, offset, size);
}

void percpu__space_init(struct percpu__space *space, struct percpu__space_maps *maps,
			union percpu__word *words)
{
	*space = (struct percpu__space){ .maps = maps, .words = words };
	memset(space->first, 0xff, sizeof(space->first));
	tail_set(space, 0);
}
_Static_assert(NO_AREA == 0xffff, "empty lists are made by memset");

struct percpu__bins percpu__space_bins(const struct percpu__space *space)
{
	struct percpu__bins bins = space->listed;

	if (space->tail_bin)
		bins_set(&bins, space->tail_bin);
	return bins;
}

/* Takes [at, at + granules) out of the tail. */
static void take_from_tail(struct percpu__space *space, uint32_t at, uint32_t granules)
{
	uint32_t start = space->tail;

	/* The tail goes first: the lists must not hold what touches it. */
	tail_set(space, at + granules);
	bit_set_relaxed(space->maps->head, at);
	if (at > start)
		free_area_add(space, start, at - start);
}

/* Takes [at, at + granules) out of a listed free area. */
static void take_from_list(struct percpu__space *space, unsigned bin, uint32_t start, uint32_t at,
			   uint32_t granules)
{
	uint32_t end = start + space->words[start].link.size;

	list_remove(space, bin, start);
	if (at > start) {
		list_push(space, start, at - start);
		bit_set_relaxed(space->maps->head, at);
	} else {
		bit_clear_relaxed(space->maps->free_head, at);
	}
	if (at + granules < end)
		free_area_add(space, at + granules, end - at - granules);
}

/* What was taken is an area that lives. Beyond fresh a word is zero, and maybe without a page. */
static inline void note_live(struct percpu__space *space, uint32_t at, uint32_t granules)
{
	if (at < space->fresh)
		space->words[at].mark = 0;
	if (at + granules > space->fresh)
		space->fresh = at + granules;
	space->live_granules += granules;
	space->nr_live++;
}

/* The area of the bin's list to take from; NO_AREA if none at hand fits. */
static uint32_t choose(const struct percpu__space *space, unsigned bin, uint32_t granules, uint32_t align)
{
	uint16_t area = space->first[bin];
	uint32_t best = NO_AREA;

	if ((bin < BIN_EXACT && align == 1) || bin >= bin_sure(granules, align))
		return area;
	for (int i = 0; i < NR_CANDIDATES && area != NO_AREA; i++) {
		const union percpu__word *word = &space->words[area];

		if (area < best && align_up(area, align) + granules <= area + word->link.size)
			best = area;
		area = word->link.next;
	}
	return best;
}

bool percpu__space_alloc_from(struct percpu__space *space, unsigned bin, uint32_t granules,
			      uint32_t align_granules, uint32_t *offset)
{
	uint32_t start = choose(space, bin, granules, align_granules);
	uint32_t at;

	space->nr_changed = 0;
	if (start != NO_AREA) {
		at = align_up(start, align_granules);
		take_from_list(space, bin, start, at, granules);
	} else {
		at = align_up(space->tail, align_granules);
		if (bin != space->tail_bin || at + granules > PERCPU__UNIT_GRANULES)
			return false;
		take_from_tail(space, at, granules);
	}

	note_live(space, at, granules);
	*offset = at;
	return true;
}

uint32_t percpu__space_claim(struct percpu__space *space, uint32_t *at, uint32_t end)
{
	const uint64_t *head = space->maps->head;

	space->nr_changed = 0;
	while (*at < end) {
		const uint32_t from = *at;
		uint32_t start, stop;

		if (from >= space->tail) {
			take_from_tail(space, from, end - from);
			note_live(space, from, end - from);
			*at = end;
			return end - from;
		}
		start = bit_test_relaxed(head, from) ? from : bit_before_relaxed(head, from);
		stop = bit_next_relaxed(head, start + 1);
		*at = stop < end ? stop : end;
		if (bit_test_relaxed(space->maps->free_head, start)) {
			take_from_list(space, bin_of(stop - start), start, from, *at - from);
			note_live(space, from, *at - from);
			return *at - from;
		}
	}
	return 0;
}

bool percpu__space_alloc(struct percpu__space *space, uint32_t granules, uint32_t align_granules,
			 uint32_t *offset)
{
	struct percpu__bins bins = percpu__space_bins(space);
	unsigned bin = bin_of(granules);

	if (!granules)
		return false;
	while ((bin = bins_next(&bins, bin)) < PERCPU__NR_BINS) {
		if (percpu__space_alloc_from(space, bin, granules, align_granules, offset))
			return true;
		bin++;
	}
	return false;
}

uint32_t percpu__space_free(struct percpu__space *space, uint32_t offset, struct percpu__range *merged)
{
	uint64_t *head = space->maps->head, *free_head = space->maps->free_head;
	uint32_t size = percpu__space_size(space, offset);
	uint32_t start = offset, end = offset + size;
	bool before_is_free = false;

	if (!size)
		return 0;
	space->nr_changed = 0;
	if (space->words[offset].mark) /* looked at first: a word that was never written may have no page */
		space->words[offset].mark = PERCPU__NO_MARK;
	if (offset) {
		uint32_t before = bit_before_relaxed(head, offset);

		before_is_free = bit_test_relaxed(free_head, before);
		if (before_is_free) {
			list_remove(space, bin_of(space->words[before].link.size), before);
			bit_clear_relaxed(head, offset);
			start = before;
		}
	}
	if (end == space->tail) {
		if (end < PERCPU__UNIT_GRANULES)
			bit_clear_relaxed(head, end);
		if (before_is_free)
			bit_clear_relaxed(free_head, start);
		tail_set(space, start);
		end = PERCPU__UNIT_GRANULES;
	} else {
		if (bit_test_relaxed(free_head, end)) {
			uint32_t after = end;

			end += space->words[after].link.size;
			list_remove(space, bin_of(end - after), after);
			bit_clear_relaxed(head, after);
			bit_clear_relaxed(free_head, after);
		}
		if (!before_is_free)
			bit_set_relaxed(free_head, start);
		list_push(space, start, end - start);
	}
	space->live_granules -= size;
	space->nr_live--;
	*merged = (struct percpu__range){ start, end - start };
	return size;
}

uint64_t percpu__space_live_pages(const struct percpu__space *space)
{
	uint64_t pages = ~percpu__range_pages(
		(struct percpu__range){ space->tail, PERCPU__UNIT_GRANULES - space->tail });
	unsigned bin = bin_of(PERCPU__PAGE_GRANULES);

	/* A free area below a page's size covers none. */
	while ((bin = bins_next(&space->listed, bin)) < PERCPU__NR_BINS) {
		for (uint16_t area = space->first[bin]; area != NO_AREA; area = space->words[area].link.next)
			pages &= ~percpu__range_pages((struct percpu__range){ area, space->words[area].link.size });
		bin++;
	}
	return pages;
}

/* No word but those of live areas holds what could be a mark. */
static bool marks_are_of_live(const struct percpu__space *space)
{
	for (uint32_t offset = 0; offset < space->fresh; offset++) {
		const uint64_t mark = __atomic_load_n(&space->words[offset].mark, __ATOMIC_RELAXED);

		if (mark && mark < PERCPU__NO_MARK && !percpu__space_is_live(space, offset))
			return false;
	}
	return true;
}

/* Every member is a free area of that bin, and the links agree. Returns: members, -1 where they do not. */
static int list_check(const struct percpu__space *space, unsigned bin)
{
	const struct percpu__space_maps *maps = space->maps;
	uint16_t prev = NO_AREA;
	int members = 0;

	for (uint16_t area = space->first[bin]; area != NO_AREA; area = space->words[area].link.next) {
		const union percpu__word *word;

		if (area >= PERCPU__UNIT_GRANULES || !bit_test_relaxed(maps->free_head, area))
			return -1;
		word = &space->words[area];
		if (word->link.prev != prev || bin_of(word->link.size) != bin)
			return -1;
		if (++members > (int)PERCPU__UNIT_GRANULES)
			return -1;
		prev = area;
	}
	return members;
}

bool percpu__space_is_valid(const struct percpu__space *space)
{
	const struct percpu__space_maps *maps = space->maps;
	uint32_t offset = 0, live_granules = 0, nr_live = 0;
	int nr_free = 0, nr_listed = 0;
	bool was_free = false;

	if (space->tail > space->fresh || space->fresh > PERCPU__UNIT_GRANULES || !bit_test_relaxed(maps->head, 0) ||
	    space->tail_bin != bin_of(PERCPU__UNIT_GRANULES - space->tail))
		return false;
	while (offset < space->tail) {
		uint32_t end = bit_next_relaxed(maps->head, offset + 1);
		bool is_free = bit_test_relaxed(maps->free_head, offset);

		if (end > space->tail || (is_free && (was_free || end == space->tail)))
			return false;
		if (bit_next_relaxed(maps->free_head, offset + 1) < end)
			return false;
		if (is_free && space->words[offset].link.size != end - offset)
			return false;
		nr_free += is_free;
		nr_live += !is_free;
		live_granules += is_free ? 0 : end - offset;
		was_free = is_free;
		offset = end;
	}
	if (bit_next_relaxed(maps->free_head, space->tail) != PERCPU__UNIT_GRANULES ||
	    bit_next_relaxed(maps->head, space->tail) != space->tail ||
	    bit_next_relaxed(maps->head, space->tail + 1) != PERCPU__UNIT_GRANULES)
		return false;
	for (unsigned bin = 0; bin < PERCPU__NR_BINS; bin++) {
		int members = list_check(space, bin);

		if (members < 0 || (members > 0) != (space->listed.word[bin / 64] >> bin % 64 & 1))
			return false;
		nr_listed += members;
	}
	return nr_listed == nr_free && nr_live == space->nr_live && live_granules == space->live_granules &&
	       marks_are_of_live(space);
}
