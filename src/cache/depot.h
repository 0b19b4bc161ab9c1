/* SPDX-License-Identifier: MIT */
/* The slabs behind a magazine. */
#ifndef PERCPU_CACHE_DEPOT_H
#define PERCPU_CACHE_DEPOT_H

#include "cache/cpu_cache.h"

/*
 * Returns up to nr objects of a free list to their slabs; those of other owners go to left.
 * Context: owner's lock held.
 */
void percpu__slabs_return(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			  struct percpu__free_list *list, uint64_t nr,
			  struct percpu__free_list *left);

/* As percpu__slabs_return, for an array of links. Context: owner's lock held. */
void percpu__slabs_return_many(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			       void *const *links, unsigned nr, struct percpu__free_list *left);

/* Returns all objects of a free list to their slabs. Context: takes the lock of each owner. */
void percpu__slabs_return_all(struct percpu__cache *cache, struct percpu__free_list *list);

/*
 * Carves up to nr objects, next to be allocated first, from partial slabs, then from empty ones;
 * from fresh slabs no more than a refill. Context: owner's lock held; dropped while constructors
 * run. Returns: the number carved.
 */
unsigned percpu__slabs_carve(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			     void **links, unsigned nr);

/* Adds a slab from the arena. Context: owner's lock held. Returns: false without memory. */
bool percpu__slabs_grow(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache);

/* Takes up to nr empty slabs, longest empty first, linked by next. Context: owner's lock held. */
struct percpu__slab *percpu__slabs_take_empty(struct percpu__cpu_cache *cpu_cache, size_t nr);

/* Takes the empty slabs of all copies. Context: cache lock held; takes each owner's lock. */
struct percpu__slab *percpu__slabs_take_all_empty(struct percpu__cache *cache);

/*
 * Trims slabs linked by next, after a grace period if readers may still look at them. may_wait:
 * wait for it here, rather than let RCU call back. Context: no owner's lock held.
 */
void percpu__slabs_release(struct percpu__cache *cache, struct percpu__slab *slabs, bool may_wait);

/*
 * Walks the lists of slabs, and their slabs. Context: owner's lock held. Returns: true if all
 * agree.
 */
bool percpu__slabs_check_invariants(const struct percpu__cache *cache,
				    struct percpu__cpu_cache *cpu_cache);

#endif
