/* SPDX-License-Identifier: MIT */
/* The arena: the address space of all slabs, and the side metadata of every unit of it. */
#ifndef PERCPU_CACHE_ARENA_H
#define PERCPU_CACHE_ARENA_H

#include "platform/platform.h"

#include <percpu/cache.h>

#define PERCPU__ARENA_UNIT_SHIFT 16
#define PERCPU__ARENA_UNIT ((size_t)1 << PERCPU__ARENA_UNIT_SHIFT)
#define PERCPU__SLAB_ORDER_MAX 3u /* units of the largest slab, as a power of two */
#define PERCPU__INLINE_BITS 64u

struct percpu__cache;

/*
 * The descriptor of a unit. The fields from nr_free on are used only in a slab's first unit. "As
 * tag": written while the slab has all of its objects, so immutable to any thread that holds one.
 */
struct percpu__slab {
	char *magazine;              /* owner CPU's, as critical sections compare it; as tag */
	uint64_t start;              /* address of the first object; as tag */
	uint64_t tag;                /* cache id + unit number; 0: no slab */
	struct percpu__cache *cache; /* as tag */
	uint8_t unit;                /* index within the slab; as tag */
	uint8_t node;                /* node of the extent, plus 1; 0: none; immutable */
	uint8_t order;               /* as tag */
	uint8_t listed;              /* owner's lock */
	uint32_t nr_free;            /* objects in the slab; owner's lock */
	uint64_t bits;               /* free bits, if 64 are enough; owner's lock */
	struct percpu__slab *next, *prev; /* owner's lock; the arena's lock while vacant */
};
_Static_assert(sizeof(struct percpu__slab) == sizeof(struct percpu__slab_id) &&
		       offsetof(struct percpu__slab, tag) ==
			       offsetof(struct percpu__slab_id, tag) &&
		       offsetof(struct percpu__slab, start) ==
			       offsetof(struct percpu__slab_id, start) &&
		       offsetof(struct percpu__slab, magazine) ==
			       offsetof(struct percpu__slab_id, magazine),
	       "programs read the first three");

#define PERCPU__UNIT_WORDS (PERCPU__ARENA_UNIT / PERCPU_CACHE_MIN_SIZE / 64)

/* The bits of a unit whose slab has more than 64 objects. */
struct percpu__unit_bits {
	uint64_t word[PERCPU__UNIT_WORDS];
};

/* The arrays are indexed by unit number & mask. */
struct percpu__arena {
	uintptr_t base;                      /* a multiple of the largest slab */
	size_t mask;                         /* units - 1; the number of units is a power of two */
	struct percpu__slab *slabs;          /* all readable; writable where in use */
	struct percpu__unit_bits *free_bits; /* objects in the slab */
	struct percpu__unit_bits *used_bits; /* objects in use, with PERCPU_OPTIONS=check */
	uint32_t *fresh;                     /* number of the first uncarved object; owner's lock */
};
extern struct percpu__arena percpu__arena; /* set once, before the first cache */

/* Reserves the arena. Context: takes the arena's lock. Returns: false without address space. */
bool percpu__arena_init(void);

/*
 * Takes 1 << order units, which read as zero, for the node (-1: no preference). Context: takes the
 * arena's lock. Returns: the descriptor of the first unit, or NULL without memory.
 */
struct percpu__slab *percpu__arena_take(unsigned order, int node);

/*
 * Gives the memory of slabs linked by next back to the kernel and makes their addresses available.
 * Context: takes the arena's lock.
 */
void percpu__arena_trim(struct percpu__slab *slabs);

void percpu__arena_lock_for_fork(void);
void percpu__arena_unlock_after_fork(void);

static inline size_t percpu__slab_index(const struct percpu__slab *slab)
{
	return slab - percpu__arena.slabs;
}

static inline uintptr_t percpu__slab_start(const struct percpu__slab *slab)
{
	const uintptr_t first = percpu__arena.base >> PERCPU__ARENA_UNIT_SHIFT;
	const uintptr_t number = (percpu__slab_index(slab) - first) & percpu__arena.mask;

	return percpu__arena.base + (number << PERCPU__ARENA_UNIT_SHIFT);
}

static inline size_t percpu__slab_bytes(const struct percpu__slab *slab)
{
	return PERCPU__ARENA_UNIT << slab->order;
}

/* The descriptor of the unit that holds the address; any address is allowed. */
static inline struct percpu__slab *percpu__slab_at(uintptr_t address)
{
	return &percpu__arena.slabs[address >> PERCPU__ARENA_UNIT_SHIFT & percpu__arena.mask];
}

/* The slab that the address lies in. */
static inline struct percpu__slab *percpu__slab_of(uintptr_t address)
{
	struct percpu__slab *slab = percpu__slab_at(address);

	return slab - slab->unit;
}

#endif
