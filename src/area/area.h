/* SPDX-License-Identifier: MIT */
/*
 * The layer of offsets: which ranges of a unit are taken. Pure C: no system call, no CPU, no memory
 * of its own. Quantities are granules unless the name says otherwise.
 *
 *   bin     a class of sizes; every free area is in one (bin.h)
 *   map   the offsets of one unit, cut into areas, each allocated or free (area_map.c)
 *   index   maps side by side: finds the map that fits a request best (chunk_index.c)
 *
 * Nothing here locks. Whoever changes a map or an index keeps everybody else out; only
 * percpu__area_map_size and the mark of an area that lives may be used meanwhile.
 */
#ifndef PERCPU_AREA_H
#define PERCPU_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "area/bit.h"

#define PERCPU__GRANULE_SHIFT 3
#define PERCPU__GRANULE (1u << PERCPU__GRANULE_SHIFT) /* bytes */
#define PERCPU__ALIGN_GRANULES_MAX 512u

#define PERCPU__PAGE_GRANULES 512u /* of 4 KiB, whatever the machine's pages are */
#define PERCPU__UNIT_PAGES (PERCPU__UNIT_GRANULES / PERCPU__PAGE_GRANULES)
_Static_assert(PERCPU__UNIT_PAGES == 64, "a page mask of a unit is one word");

#define PERCPU__NR_BINS 137u
#define PERCPU__BINS_WORDS ((PERCPU__NR_BINS + 63) / 64)
#define PERCPU__CHANGED_MAX 3
#define PERCPU__NO_AREA UINT16_MAX /* end of a list */

struct percpu__range {
	uint32_t start;
	uint32_t granules;
};

/* Pages that lie wholly inside the range, bit 0 the first of the unit. */
static inline uint64_t percpu__range_pages(struct percpu__range range)
{
	uint32_t first = (range.start + PERCPU__PAGE_GRANULES - 1) / PERCPU__PAGE_GRANULES;
	uint32_t end = (range.start + range.granules) / PERCPU__PAGE_GRANULES;

	if (first >= end)
		return 0;
	return (~UINT64_C(0) << first) & (~UINT64_C(0) >> (PERCPU__UNIT_PAGES - end));
}

/* A set of bins. */
struct percpu__bins {
	uint64_t word[PERCPU__BINS_WORDS];
};

/* One bit a granule. */
struct percpu__area_bitmaps {
	uint64_t head[PERCPU__UNIT_GRANULES / 64];      /* an area starts here: live, free, or the tail */
	uint64_t free_head[PERCPU__UNIT_GRANULES / 64]; /* a listed free area starts here */
};

/*
 * One a granule; in use at the first granule of an area only. What is neither 0 nor as large as
 * PERCPU__NO_TAG is the mark of a live area, wherever it is found.
 */
union percpu__area_tag {
	uint64_t value; /* of a live area: its owner's, below PERCPU__NO_TAG; 0 when the area is handed out */
	struct {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		uint16_t no_tag, size, prev, next;
#else
		uint16_t next, prev, size, no_tag; /* no_tag is 1, so that the whole is no mark */
#endif
	} node; /* of a listed free area */
};
#define PERCPU__NO_TAG (UINT64_C(1) << 48)
_Static_assert(sizeof(union percpu__area_tag) == PERCPU__GRANULE, "words lie at the offsets of a unit");

struct percpu__area_map {
	struct percpu__area_bitmaps *bitmaps;
	union percpu__area_tag *tags;
	uint32_t tail;          /* first granule of the free rest of the unit, which is in no list */
	uint32_t fresh;         /* from here on nothing was ever handed out; not below tail */
	uint32_t live_granules;
	uint32_t nr_live;       /* areas */
	uint8_t tail_bin;       /* 0 if there is no tail */
	uint8_t nr_changed;
	uint8_t changed[PERCPU__CHANGED_MAX]; /* bins that the last alloc or free may have turned on or off */
	struct percpu__bins listed;           /* bins with a list that is not empty */
	uint16_t first[PERCPU__NR_BINS];
};

/*
 * percpu__area_map_init - one free unit. maps and words (PERCPU__UNIT_GRANULES of them) are zero, stay the
 * caller's, and are best committed by first touch: a unit that is only filled touches no word at all.
 */
void percpu__area_map_init(struct percpu__area_map *map, struct percpu__area_bitmaps *bitmaps,
			union percpu__area_tag *tags);

/*
 * percpu__area_map_alloc - takes granules from the smallest free area at hand; align_granules is a power of
 * two up to PERCPU__ALIGN_GRANULES_MAX.
 * Returns: whether *offset was set. An empty map refuses only 0 and more than PERCPU__UNIT_GRANULES; any
 * map has room where an area of granules + align_granules - 1, rounded up to the start of a bin, is free.
 */
bool percpu__area_map_alloc(struct percpu__area_map *map, uint32_t granules, uint32_t align_granules,
			 uint32_t *offset);

/* The same from one bin alone, which may hold no area that fits. */
bool percpu__area_map_alloc_from(struct percpu__area_map *map, unsigned bin, uint32_t granules,
			      uint32_t align_granules, uint32_t *offset);

/*
 * percpu__area_map_claim - takes what is free at the lowest offsets of [*at, end), one run of granules, as an area, and
 * moves *at behind it. end is no more than PERCPU__UNIT_GRANULES.
 * Returns: granules taken; 0: nothing there was free.
 */
uint32_t percpu__area_map_claim(struct percpu__area_map *map, uint32_t *at, uint32_t end);

/*
 * percpu__area_map_free - *merged is the free area that results, neighbours included; where that is the tail,
 * it reaches to the end of the unit, over offsets that were never handed out too.
 * Returns: granules freed; 0, and nothing changed, where no live area starts.
 */
uint32_t percpu__area_map_free(struct percpu__area_map *map, uint32_t offset, struct percpu__range *merged);

/*
 * Whether a live area starts at offset, below PERCPU__UNIT_GRANULES or not.
 * Context: needs no lock. The answer is exact for an area that lives throughout the call, whatever
 * happens to its neighbours; about all others it is a guess.
 */
static inline bool percpu__area_map_is_live(const struct percpu__area_map *map, uint32_t offset)
{
	const struct percpu__area_bitmaps *bitmaps = map->bitmaps;

	return offset < __atomic_load_n(&map->tail, __ATOMIC_RELAXED) && bit_test_relaxed(bitmaps->head, offset) &&
	       !bit_test_relaxed(bitmaps->free_head, offset);
}

/* Granules of the live area that starts at offset, 0 if none does. Context: as percpu__area_map_is_live. */
static inline uint32_t percpu__area_map_size(const struct percpu__area_map *map, uint32_t offset)
{
	return percpu__area_map_is_live(map, offset) ? bit_next_relaxed(map->bitmaps->head, offset + 1) - offset : 0;
}

static inline bool percpu__area_map_is_empty(const struct percpu__area_map *map)
{
	return map->nr_live == 0;
}

/* A bin is on where it holds a free area, the tail included. */
static inline bool percpu__area_map_is_on(const struct percpu__area_map *map, unsigned bin)
{
	return map->first[bin] != PERCPU__NO_AREA || (bin && bin == map->tail_bin);
}

/* All bins that are on. */
struct percpu__bins percpu__area_map_bins(const struct percpu__area_map *map);

/* Pages that hold a live area or part of one. */
uint64_t percpu__area_map_live_pages(const struct percpu__area_map *map);

/* Walks everything: maps, lists, bins and counts must agree. */
bool percpu__area_map_is_valid(const struct percpu__area_map *map);

#define PERCPU__CHUNK_INDEX_SLOTS 65536u
#define PERCPU__NO_SLOT UINT32_MAX

struct percpu__chunk_index_tree;

struct percpu__chunk_index {
	struct percpu__chunk_index_tree *tree;
	uint32_t capacity;      /* slots */
	uint32_t end;           /* no slot from here on was ever taken */
	uint32_t nr_chunks;
	uint64_t nr_live;       /* areas */
	uint64_t live_granules;
};

/* Bytes of memory that an index of that many slots needs; capacity in 1..PERCPU__CHUNK_INDEX_SLOTS. */
size_t percpu__chunk_index_bytes(uint32_t capacity);

/* memory is zero and best committed by first touch: what is touched follows the slots in use. */
void percpu__chunk_index_init(struct percpu__chunk_index *index, uint32_t capacity, void *memory);

/* Returns: the lowest vacant slot, which the map now has; PERCPU__NO_SLOT if all are taken. */
uint32_t percpu__chunk_index_add(struct percpu__chunk_index *index, struct percpu__area_map *map);

/* Returns: the map that left the slot, its live areas still in it; NULL if the slot was vacant. */
struct percpu__area_map *percpu__chunk_index_remove(struct percpu__chunk_index *index, uint32_t slot);

/* Returns: the map in that slot, NULL where there is none. */
struct percpu__area_map *percpu__chunk_index_at(const struct percpu__chunk_index *index, uint32_t slot);

/* Returns: the first taken slot at or after slot; PERCPU__NO_SLOT after the last. */
uint32_t percpu__chunk_index_next(const struct percpu__chunk_index *index, uint32_t slot);

#define percpu__chunk_index_for_each(index, slot)                                                                  \
	for (uint32_t slot = percpu__chunk_index_next(index, 0); slot != PERCPU__NO_SLOT;                          \
	     slot = percpu__chunk_index_next(index, slot + 1))

/*
 * percpu__chunk_index_alloc - from the map that fits best: the smallest bin, and in it the lowest slot.
 * Returns: whether *slot and *offset were set. If not, adding an empty map makes the next call succeed.
 */
bool percpu__chunk_index_alloc(struct percpu__chunk_index *index, uint32_t granules, uint32_t align_granules,
			 uint32_t *slot, uint32_t *offset);

/* Takes all that is free of [at, end) in the slot's map, which is there: as one area a run. Returns: how many areas. */
uint32_t percpu__chunk_index_claim(struct percpu__chunk_index *index, uint32_t slot, uint32_t at, uint32_t end);

/* As percpu__area_map_free; 0 also for a vacant slot. */
uint32_t percpu__chunk_index_free(struct percpu__chunk_index *index, uint32_t slot, uint32_t offset,
			    struct percpu__range *merged);

/* Walks everything: the tree must agree with its maps, each of them valid. */
bool percpu__chunk_index_is_valid(const struct percpu__chunk_index *index);

#endif
