/* SPDX-License-Identifier: MIT */
/*
 * The layer of offsets: which ranges of a unit are allocated. Pure C: no system call, no CPU, no
 * memory of its own. Quantities are granules unless the name says otherwise.
 *
 *   bin           a size class; every free area is in one (bin.h)
 *   area map      divides one unit into areas, each live or free (area_map.c)
 *   chunk index   finds the area map, and so the chunk, that fits a request best (chunk_index.c)
 *
 * Nothing here locks: the caller serialises changes to a map or an index. Without a lock it may
 * call percpu__area_map_size and percpu__area_map_is_live, and access the tag of a live area.
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

#define PERCPU__PAGE_GRANULES 512u /* a page is 4 KiB here, whatever the machine's page size */
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

/*
 * Returns: a mask of the pages that lie wholly inside the range; bit 0 is the first page of the
 * unit.
 */
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

/* Bitmaps with one bit per granule. */
struct percpu__area_bitmaps {
	uint64_t head[PERCPU__UNIT_GRANULES / 64]; /* an area starts here: live, free or tail */
	uint64_t free_head[PERCPU__UNIT_GRANULES / 64]; /* a listed free area starts here */
};

/*
 * Metadata: one tag per granule, of which only the tag of an area's first granule is used. A value
 * in (0, PERCPU__NO_TAG) tags a live area.
 */
union percpu__area_tag {
	uint64_t value; /* live area: the caller's, below PERCPU__NO_TAG; 0 when it is allocated */
	struct {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		uint16_t no_tag, size, prev, next;
#else
		uint16_t next, prev, size, no_tag; /* no_tag is 1: value is out of range */
#endif
	} node; /* listed free area: its node in the free list of its bin */
};
#define PERCPU__NO_TAG (UINT64_C(1) << 48)
_Static_assert(sizeof(union percpu__area_tag) == PERCPU__GRANULE,
	       "tags lie at the offsets of a unit");

struct percpu__area_map {
	struct percpu__area_bitmaps *bitmaps;
	union percpu__area_tag *tags;
	uint32_t tail;          /* first granule of the free rest of the unit, which is in no list */
	uint32_t fresh;         /* no granule from here on was ever allocated; at least tail */
	uint32_t live_granules;
	uint32_t nr_live;       /* areas */
	uint8_t tail_bin;       /* 0 if there is no tail */
	uint8_t nr_changed;
	uint8_t changed[PERCPU__CHANGED_MAX]; /* bins that the last operation may have toggled */
	struct percpu__bins listed;           /* bins whose free list is not empty */
	uint16_t first[PERCPU__NR_BINS];      /* heads of the free lists */
};

/*
 * percpu__area_map_init - makes the map of a free unit. The caller provides bitmaps and tags
 * (PERCPU__UNIT_GRANULES of them) as zeroed memory and keeps them until the map is gone. Memory
 * that is committed by first touch serves best: a unit that only fills up touches no tag.
 */
void percpu__area_map_init(struct percpu__area_map *map, struct percpu__area_bitmaps *bitmaps,
			union percpu__area_tag *tags);

/*
 * percpu__area_map_alloc - allocates from the smallest free area that fits (best fit);
 * align_granules is a power of two up to PERCPU__ALIGN_GRANULES_MAX.
 * Returns: true if *offset was set. An empty map refuses only 0 and more than
 * PERCPU__UNIT_GRANULES. Any map succeeds that has a free area of granules + align_granules - 1,
 * rounded up to the start of a bin.
 */
bool percpu__area_map_alloc(struct percpu__area_map *map, uint32_t granules,
			    uint32_t align_granules, uint32_t *offset);

/*
 * percpu__area_map_alloc_from - allocates from one bin.
 * Returns: true if that bin had an area that fits.
 */
bool percpu__area_map_alloc_from(struct percpu__area_map *map, unsigned bin, uint32_t granules,
			      uint32_t align_granules, uint32_t *offset);

/*
 * percpu__area_map_claim - allocates the first run of free granules in [*at, end) as one area and
 * moves *at behind it; end is at most PERCPU__UNIT_GRANULES.
 * Returns: granules allocated; 0 if none was free.
 */
uint32_t percpu__area_map_claim(struct percpu__area_map *map, uint32_t *at, uint32_t end);

/*
 * percpu__area_map_free - frees the area at offset and coalesces it with its free neighbours.
 * *merged is the free area that results. If that is the tail, *merged reaches to the end of the
 * unit and includes granules that were never allocated.
 * Returns: granules freed; 0, and nothing changes, if no live area starts at offset.
 */
uint32_t percpu__area_map_free(struct percpu__area_map *map, uint32_t offset,
			       struct percpu__range *merged);

/*
 * percpu__area_map_is_live - tells whether a live area starts at offset, which may exceed the unit.
 * Context: needs no lock. Exact for an area that stays live throughout the call, whatever happens
 * to its neighbours; a guess for any other offset.
 * Returns: true if one does.
 */
static inline bool percpu__area_map_is_live(const struct percpu__area_map *map, uint32_t offset)
{
	const struct percpu__area_bitmaps *bitmaps = map->bitmaps;

	return offset < __atomic_load_n(&map->tail, __ATOMIC_RELAXED) &&
	       bit_test_relaxed(bitmaps->head, offset) &&
	       !bit_test_relaxed(bitmaps->free_head, offset);
}

/*
 * Returns: granules of the live area that starts at offset; 0 if none does.
 * Context: as percpu__area_map_is_live.
 */
static inline uint32_t percpu__area_map_size(const struct percpu__area_map *map, uint32_t offset)
{
	return percpu__area_map_is_live(map, offset)
		       ? bit_next_relaxed(map->bitmaps->head, offset + 1) - offset
		       : 0;
}

static inline bool percpu__area_map_is_empty(const struct percpu__area_map *map)
{
	return map->nr_live == 0;
}

/* A bin is on if it holds a free area; the tail counts as one. */
static inline bool percpu__area_map_is_on(const struct percpu__area_map *map, unsigned bin)
{
	return map->first[bin] != PERCPU__NO_AREA || (bin && bin == map->tail_bin);
}

/* Returns: the set of bins that are on. */
struct percpu__bins percpu__area_map_bins(const struct percpu__area_map *map);

/* Returns: a mask of the pages that hold a live area or a part of one. */
uint64_t percpu__area_map_live_pages(const struct percpu__area_map *map);

/* Checks the invariants: bitmaps, free lists, bins and counts agree. Returns: true if they do. */
bool percpu__area_map_is_valid(const struct percpu__area_map *map);

#define PERCPU__CHUNK_INDEX_SLOTS 65536u
#define PERCPU__NO_SLOT UINT32_MAX

struct percpu__chunk_index_tree;

struct percpu__chunk_index {
	struct percpu__chunk_index_tree *tree;
	uint32_t capacity;      /* slots */
	uint32_t end;           /* no slot from here on was ever in use */
	uint32_t nr_chunks;     /* slots in use */
	uint64_t nr_live;       /* areas */
	uint64_t live_granules;
};

/* Returns: bytes of memory for an index of capacity slots, 1 to PERCPU__CHUNK_INDEX_SLOTS. */
size_t percpu__chunk_index_bytes(uint32_t capacity);

/*
 * memory is zeroed and best committed by first touch: the pages touched grow with the slots in use.
 */
void percpu__chunk_index_init(struct percpu__chunk_index *index, uint32_t capacity, void *memory);

/*
 * Puts the map into the lowest vacant slot.
 * Returns: that slot; PERCPU__NO_SLOT if all are in use.
 */
uint32_t percpu__chunk_index_add(struct percpu__chunk_index *index, struct percpu__area_map *map);

/*
 * Vacates the slot.
 * Returns: the map that was there, live areas included; NULL if the slot was vacant.
 */
struct percpu__area_map *percpu__chunk_index_remove(struct percpu__chunk_index *index,
						    uint32_t slot);

/* Returns: the map in the slot; NULL if the slot is vacant. */
struct percpu__area_map *percpu__chunk_index_at(const struct percpu__chunk_index *index,
						uint32_t slot);

/* Returns: the first slot in use at or after slot; PERCPU__NO_SLOT if there is none. */
uint32_t percpu__chunk_index_next(const struct percpu__chunk_index *index, uint32_t slot);

#define percpu__chunk_index_for_each(index, slot)                                                  \
	for (uint32_t slot = percpu__chunk_index_next(index, 0); slot != PERCPU__NO_SLOT;          \
	     slot = percpu__chunk_index_next(index, slot + 1))

/*
 * percpu__chunk_index_alloc - allocates from the chunk that fits best: the smallest bin, then the
 * lowest slot.
 * Returns: true if *slot and *offset were set. If false, the next call succeeds once an empty map
 * is added.
 */
bool percpu__chunk_index_alloc(struct percpu__chunk_index *index, uint32_t granules,
			       uint32_t align_granules, uint32_t *slot, uint32_t *offset);

/*
 * percpu__chunk_index_claim - allocates all free granules in [at, end) of the map in a slot in use,
 * each run as one area.
 * Returns: the number of areas.
 */
uint32_t percpu__chunk_index_claim(struct percpu__chunk_index *index, uint32_t slot, uint32_t at,
				   uint32_t end);

/* As percpu__area_map_free. Returns: 0 also if the slot is vacant. */
uint32_t percpu__chunk_index_free(struct percpu__chunk_index *index, uint32_t slot, uint32_t offset,
			    struct percpu__range *merged);

/* Checks the invariants of the tree and of each map in it. Returns: true if they hold. */
bool percpu__chunk_index_is_valid(const struct percpu__chunk_index *index);

#endif
