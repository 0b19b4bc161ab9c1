/* SPDX-License-Identifier: MIT */
/* The inline part of the area cache: alloc and free without a lock. The concept is described in area_cache.c. */
#ifndef PERCPU_AREA_CACHE_H
#define PERCPU_AREA_CACHE_H

#include "percpu/percpu.h"

#define PERCPU__AREA_CACHE_GRANULES 64u /* the largest area kept */
#define PERCPU__AREA_CACHE_SLOTS 15u

struct percpu__area_cache_stack {
	struct percpu__stack head;
	void *slot[PERCPU__AREA_CACHE_SLOTS];
};
_Static_assert(sizeof(struct percpu__area_cache_stack) == 128, "two lines, found by a shift");

/* Stacks by size: [granules - 1]. */
struct percpu__area_cache {
	struct percpu__area_cache_stack used[PERCPU__AREA_CACHE_GRANULES];
	struct percpu__area_cache_stack clean[PERCPU__AREA_CACHE_GRANULES];
};
_Static_assert(sizeof(struct percpu__area_cache) <= PERCPU_MAX_SIZE, "one allocation");

/* NULL until it is made; then for ever. */
extern struct percpu__area_cache __percpu *percpu__area_cache;

static inline struct percpu__stack __percpu *percpu__area_cache_used(struct percpu__area_cache __percpu *cache, uint32_t granules)
{
	return &cache->used[granules - 1].head;
}

static inline bool percpu__area_cache_push(struct percpu__stack __percpu *stack, void __percpu *item)
{
	return percpu__stack_push(stack, percpu__untyped(item));
}

static inline void __percpu *percpu__area_cache_pop(struct percpu__stack __percpu *stack)
{
	return (void __percpu *)(uintptr_t)percpu__stack_pop(stack);
}

/*
 * What the area cache writes into the tag of an area: its granules, so that a free need not look for them,
 * and whether a stack holds it, so that a second free is found out. A word of up to
 * PERCPU__AREA_CACHE_GRANULES, but not 0, is thus that of a live area that was here before.
 */
#define PERCPU__KEPT 0x10000u

static inline void percpu__area_cache_mark(const void __percpu *p, uint64_t mark)
{
	__atomic_store_n(percpu__tag_of(p), mark, __ATOMIC_RELAXED);
}

/* Makes what was on a stack ready for its owner. */
__attribute__((returns_nonnull)) void __percpu *percpu__area_cache_hand_out(void __percpu *item, uint32_t granules);

/* A ready area of that size, up to PERCPU__AREA_CACHE_GRANULES, zeroed; NULL: none at hand, or many copies. */
static inline __attribute__((always_inline)) void __percpu *percpu__area_cache_alloc(uint32_t granules)
{
	struct percpu__area_cache __percpu *cache = __atomic_load_n(&percpu__area_cache, __ATOMIC_ACQUIRE); /* pairs with make_area_cache */
	void __percpu *item;

	if (percpu__unlikely(!cache || !percpu__copies_are_few()))
		return NULL;
	item = percpu__area_cache_pop(percpu__area_cache_used(cache, granules));
	if (percpu__unlikely(!item))
		return NULL;
	/* A counter and a line of counters are what programs allocate all day. */
	if (granules == 1)
		percpu__copies_zero_few(item, 1);
	else if (granules == 8 && percpu__likely(!percpu__crosses_page(item, 8)))
		percpu__copies_zero_few(item, 8);
	else
		return percpu__area_cache_hand_out(item, granules);
	percpu__area_cache_mark(item, granules);
	return item;
}

/* Keeps a live area of a has_area_cache pool ready. false: the caller gives it back itself. */
static inline bool percpu__area_cache_free(void __percpu *p, uint32_t granules)
{
	struct percpu__area_cache __percpu *cache = __atomic_load_n(&percpu__area_cache, __ATOMIC_ACQUIRE); /* pairs with make_area_cache */

	if (percpu__unlikely(!cache || granules > PERCPU__AREA_CACHE_GRANULES))
		return false;
	percpu__area_cache_mark(p, granules | PERCPU__KEPT);
	if (percpu__likely(percpu__area_cache_push(percpu__area_cache_used(cache, granules), p)))
		return true;
	percpu__area_cache_mark(p, granules);
	return false;
}

/* When percpu__area_cache_alloc had none: several at a time where that is cheaper. NULL: the area cache cannot help. */
void __percpu *percpu__area_cache_refill(struct percpu_pool *pool, uint32_t granules);

/* After percpu__area_cache_free said no: opens, flushes or widens the stacks of this CPU. Pool lock held. */
void percpu__area_cache_flush(struct percpu_pool *pool, uint32_t granules, bool waited);

/*
 * Stops all use of the stacks until percpu__area_cache_flush opens them again. Pool lock held.
 * Returns: false where the kernel refuses fences: a section that began before may still end.
 */
bool percpu__area_cache_stop(void);

/* What the stacks hold is lost: in a child whose parent could not be kept from using them. Pool lock held. */
void percpu__area_cache_forget(void);

/* percpu__area_cache_stop, then gives all areas back, if it could. Pool lock held. */
void percpu__area_cache_drain(struct percpu_pool *pool);

/* Areas kept now, their bytes, and the resident bytes of the stacks themselves. */
struct percpu__area_cache_stats {
	size_t nr, bytes, bookkeeping_bytes;
};
struct percpu__area_cache_stats percpu__area_cache_stats(void);

#endif
