/* SPDX-License-Identifier: MIT */
/*
 * The fast path of the area cache: alloc and free without a lock. area_cache.c describes the cache.
 */
#ifndef PERCPU_AREA_CACHE_H
#define PERCPU_AREA_CACHE_H

#include "percpu/percpu.h"

#define PERCPU__AREA_CACHE_GRANULES 64u /* the largest area kept */
#define PERCPU__AREA_CACHE_SLOTS 15u

struct percpu__area_cache_stack {
	struct percpu__stack head;
	void *slot[PERCPU__AREA_CACHE_SLOTS];
};
_Static_assert(sizeof(struct percpu__area_cache_stack) == 128, "two cache lines, found by a shift");

/* Each CPU's copy: its stacks by size class, [granules - 1]. */
struct percpu__area_cache {
	struct percpu__area_cache_stack used[PERCPU__AREA_CACHE_GRANULES];
	struct percpu__area_cache_stack clean[PERCPU__AREA_CACHE_GRANULES];
};
_Static_assert(sizeof(struct percpu__area_cache) <= PERCPU_MAX_SIZE, "one allocation");

/* NULL until it is made; immutable afterwards. */
extern struct percpu__area_cache __percpu *percpu__area_cache;

static inline struct percpu__stack __percpu *
percpu__area_cache_used(struct percpu__area_cache __percpu *cache, uint32_t granules)
{
	return &cache->used[granules - 1].head;
}

static inline bool percpu__area_cache_push(struct percpu__stack __percpu *stack,
					   void __percpu *item)
{
	return percpu__stack_push(stack, percpu__untyped(item));
}

static inline void __percpu *percpu__area_cache_pop(struct percpu__stack __percpu *stack)
{
	return (void __percpu *)(uintptr_t)percpu__stack_pop(stack);
}

/*
 * The area cache writes into the tag of an area its granules, so that a free need not compute them,
 * and PERCPU__KEPT while a stack holds the area, so that a double free is detected. A tag in
 * [1, PERCPU__AREA_CACHE_GRANULES] is thus that of a live area that was in the cache before.
 */
#define PERCPU__KEPT 0x10000u

static inline void percpu__area_cache_mark(const void __percpu *p, uint64_t mark)
{
	__atomic_store_n(percpu__tag_of(p), mark, __ATOMIC_RELAXED);
}

/* Zeroes an area that was popped from a stack and tags it as allocated. Returns: the area. */
__attribute__((returns_nonnull)) void __percpu *percpu__area_cache_hand_out(void __percpu *item,
									    uint32_t granules);

/*
 * percpu__area_cache_alloc - allocates a zeroed area of 1 to PERCPU__AREA_CACHE_GRANULES granules.
 * Returns: NULL if the CPU keeps none of this size, or if copies are many.
 */
static inline __attribute__((always_inline)) void __percpu *
percpu__area_cache_alloc(uint32_t granules)
{
	/* pairs with make_area_cache */
	struct percpu__area_cache __percpu *cache =
		__atomic_load_n(&percpu__area_cache, __ATOMIC_ACQUIRE);
	void __percpu *item;

	if (percpu__unlikely(!cache || !percpu__copies_are_few()))
		return NULL;
	item = percpu__area_cache_pop(percpu__area_cache_used(cache, granules));
	if (percpu__unlikely(!item))
		return NULL;
	/* The commonest requests are one counter and a cache line of counters. */
	if (granules == 1)
		percpu__copies_zero_few(item, 1);
	else if (granules == 8 && percpu__likely(!percpu__crosses_page(item, 8)))
		percpu__copies_zero_few(item, 8);
	else
		return percpu__area_cache_hand_out(item, granules);
	percpu__area_cache_mark(item, granules);
	return item;
}

/*
 * percpu__area_cache_free - frees a live area of a pool that has_area_cache into the cache.
 * Returns: true if a stack took it; false if the caller has to free it to the pool.
 */
static inline bool percpu__area_cache_free(void __percpu *p, uint32_t granules)
{
	/* pairs with make_area_cache */
	struct percpu__area_cache __percpu *cache =
		__atomic_load_n(&percpu__area_cache, __ATOMIC_ACQUIRE);

	if (percpu__unlikely(!cache || granules > PERCPU__AREA_CACHE_GRANULES))
		return false;
	percpu__area_cache_mark(p, granules | PERCPU__KEPT);
	if (percpu__likely(percpu__area_cache_push(percpu__area_cache_used(cache, granules), p)))
		return true;
	percpu__area_cache_mark(p, granules);
	return false;
}

/*
 * percpu__area_cache_refill - allocates a zeroed area after percpu__area_cache_alloc has failed;
 * takes several from the pool, or zeroes several, where that is cheaper.
 * Returns: NULL if the caller has to allocate from the pool. Context: no lock is held.
 */
void __percpu *percpu__area_cache_refill(struct percpu_pool *pool, uint32_t granules);

/*
 * percpu__area_cache_flush - after percpu__area_cache_free has failed: starts this CPU's stacks, or
 * moves half of the stack to the pool. waited: true if the caller waited for the lock, so that the
 * limit doubles. Context: the pool's lock is held.
 */
void percpu__area_cache_flush(struct percpu_pool *pool, uint32_t granules, bool waited);

/*
 * percpu__area_cache_stop - stops the stacks of all CPUs until percpu__area_cache_flush starts
 * them.
 * Returns: false if the kernel refused the fence, so that a critical section may still commit.
 * Context: the pool's lock is held.
 */
bool percpu__area_cache_stop(void);

/*
 * percpu__area_cache_forget - empties all stacks and leaks their areas, in a child that was forked
 * while the stacks could not be stopped. Context: the pool's lock is held.
 */
void percpu__area_cache_forget(void);

/* Stops the stacks and, if that succeeds, frees their areas. Context: the pool's lock is held. */
void percpu__area_cache_drain(struct percpu_pool *pool);

/*
 * Areas on all stacks now, their bytes in a copy, and the resident bytes of the stacks themselves.
 */
struct percpu__area_cache_stats {
	size_t nr, bytes, bookkeeping_bytes;
};
struct percpu__area_cache_stats percpu__area_cache_stats(void);

#endif
