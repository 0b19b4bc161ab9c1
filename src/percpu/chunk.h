/* SPDX-License-Identifier: MIT */
/* Chunks: chunk.c, the pagemap that finds them, and gone.c, which unmaps them. */
#ifndef PERCPU_CHUNK_H
#define PERCPU_CHUNK_H

#include "area/area.h"
#include "ops/ops.h"
#include "platform/platform.h"

#include <percpu/alloc.h>
#include <percpu/pool.h>

/* A range that gone.c unmaps once no lookup can read it. */
struct percpu__gone {
	struct percpu__gone *next;
	void *start;
	size_t bytes;
};

/*
 * chunk: | guard | cpu 0 | ... | cpu N-1 | fallback | fence page | struct percpu__chunk | tags |
 *
 * Units are PERCPU_STRIDE bytes. The fence page stops an overrun of the fallback unit. After the
 * tags there is one word for each copy, `present`.
 */
struct percpu__chunk {
	/* Written under the pool's lock; liveness and size of an area are read without it. */
	struct percpu__area_map area_map;

	/* Immutable once the chunk is in its pool. */
	struct percpu_pool *pool;
	char *base;              /* start of the guard unit */
	size_t reserved_bytes;
	uint32_t slot;           /* in the pool's chunk index */
	bool placed;             /* false: the node policy could not be set, first touch decides */
	bool huge;               /* huge pages are allowed in some part of the chunk */
	uint32_t nr_mappings;    /* charged to the budget for node policy */

	uint32_t fresh;          /* no copy was written from this granule on; pool lock */
	bool is_mapped;          /* a hint: many copies have page tables; relaxed atomic */
	uint64_t free_pages;     /* 4 KiB pages of a unit without a live area; pool lock */
	uint64_t dirty_pages;    /* handed out since they were fresh or purged; pool lock */
	bool reads_make_pages;   /* reading an untouched page allocates it; immutable */
	uint64_t *present;       /* [copy]: pages that the copy is known to have; see present.c */
	uint64_t everywhere;     /* pages that every copy is known to have; see present.c */
	struct percpu__gone gone; /* used by gone.c after the chunk has left the pagemap */
	struct percpu__area_bitmaps bitmaps; /* those of area_map */
};

/* ---- pagemap.c ---- */

/* User space of x86-64 and aarch64; mmap() goes beyond it only at the request of a program. */
#define PERCPU__ADDRESS_BITS 48
#define PERCPU__LEAF_BITS 16
#define PERCPU__ROOT_BITS (PERCPU__ADDRESS_BITS - PERCPU__LEAF_BITS - PERCPU_STRIDE_SHIFT)

struct percpu__leaf {
	struct percpu__chunk *chunk[1u << PERCPU__LEAF_BITS];
};
extern struct percpu__leaf *percpu__root[1u << PERCPU__ROOT_BITS];

/*
 * Returns: the chunk whose guard unit, units or fallback unit contain the address; NULL if there is
 * none. Context: needs no lock.
 */
static inline struct percpu__chunk *percpu__pagemap_find(uintptr_t address)
{
	const uintptr_t unit = address >> PERCPU_STRIDE_SHIFT;
	struct percpu__leaf *leaf;

	if (percpu__unlikely(address >> PERCPU__ADDRESS_BITS))
		return NULL;
	/* pairs with make_leaf */
	leaf = __atomic_load_n(&percpu__root[unit >> PERCPU__LEAF_BITS], __ATOMIC_ACQUIRE);
	if (percpu__unlikely(!leaf))
		return NULL;
	/* pairs with enter */
	return __atomic_load_n(&leaf->chunk[unit & ((1u << PERCPU__LEAF_BITS) - 1)],
			       __ATOMIC_ACQUIRE);
}

/* Enters all units of a chunk. Returns: 0 or -ENOMEM. */
int percpu__pagemap_insert(struct percpu__chunk *chunk);

/* Removes all units of a chunk. */
void percpu__pagemap_remove(struct percpu__chunk *chunk);

/* ---- gone.c ---- */

/*
 * percpu__lookup_begin, percpu__lookup_end - bracket a lookup: metadata of a chunk that is found in
 * the pagemap in between stays mapped until the end.
 * Context: async-signal-safe; takes no lock and never waits.
 * percpu__lookup_begin returns the argument of percpu__lookup_end.
 */
unsigned percpu__lookup_begin(void);
void percpu__lookup_end(unsigned which);

/* Resets the counts of lookups in a child, which the parent's other threads left behind. */
void percpu__lookups_forget(void);

/*
 * percpu__gone_put - unmaps a range that the pagemap no longer leads to: now, or by a later call if
 * a lookup is in progress. note: lies in the range. may_stay: true if the range is to stay mapped,
 * without its memory, until the next call in any case.
 */
void percpu__gone_put(void *start, size_t bytes, struct percpu__gone *note, bool may_stay);

/* ---- chunk.c ---- */

/*
 * Returns: an empty chunk under the pool's policy, not yet in a chunk index or the pagemap; NULL if
 * there is no memory. Context: the pool's lock is held.
 */
struct percpu__chunk *percpu__chunk_create(struct percpu_pool *pool);

/* Gives back a chunk that has left the chunk index and the pagemap. Context: as its creation. */
void percpu__chunk_destroy(struct percpu__chunk *chunk);

/* Returns: the address of a copy's unit; for percpu_abi.nr_copies, the end of the last unit. */
static inline uintptr_t percpu__chunk_unit(const struct percpu__chunk *chunk, unsigned copy)
{
	return (uintptr_t)chunk->base + ((uintptr_t)copy + 1) * PERCPU_STRIDE;
}

/* Returns: bytes of address space that a chunk takes, from its guard unit to its metadata's end. */
size_t percpu__chunk_reservation_bytes(void);

/* From a per-CPU pointer to its tag, in bytes: like copies, tags lie at the offsets of a unit. */
extern size_t percpu__tags_distance;

static inline uint64_t *percpu__tag_of(const void __percpu *p)
{
	return (uint64_t *)((uintptr_t)p +
			    __atomic_load_n(&percpu__tags_distance, __ATOMIC_RELAXED));
}

/*
 * Purges the tags of free pages of a unit. The first tag of each run of pages stays, because it may
 * be the first tag of a free area, its node in a free list; the other tags are not read.
 */
void percpu__chunk_purge_tags(const struct percpu__chunk *chunk, uint64_t pages);

/* Returns: bytes of copies on another node than percpu__cpu_to_memory_node names; or -errno. */
ssize_t percpu__chunk_misplaced_bytes(const struct percpu__chunk *chunk);

/* Returns: resident bytes of the chunk's metadata. */
size_t percpu__chunk_bookkeeping_bytes(const struct percpu__chunk *chunk);

#endif
