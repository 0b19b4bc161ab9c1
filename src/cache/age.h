/* SPDX-License-Identifier: MIT */
/* When memory that is no longer needed goes back to the kernel. */
#ifndef PERCPU_CACHE_AGE_H
#define PERCPU_CACHE_AGE_H

#include "cache/cpu_cache.h"

/*
 * Sets the decay of a new cache, UINT64_MAX for none, and the bytes that each CPU keeps. Context:
 * nobody else knows the cache.
 */
void percpu__age_init(struct percpu__cache *cache, uint64_t decay_ms, size_t keep_bytes);

/* Returns: the shortest epoch of any cache so far. */
uint64_t percpu__age_shortest_ms(void);

/* Returns: the bytes that an operation may give back if no operation came for that time. */
size_t percpu__age_allowance(uint64_t ms);

/* Returns: true if the copy's CPU took no slow path for an epoch. Context: owner's lock held. */
bool percpu__age_is_quiet(const struct percpu__cache *cache,
			  const struct percpu__cpu_cache *cpu_cache, uint64_t now_ms);

/*
 * Takes empty slabs that are no longer needed, up to that many bytes, linked by next. Context:
 * owner's lock held.
 */
struct percpu__slab *percpu__age_take_due(const struct percpu__cache *cache,
					  struct percpu__cpu_cache *cpu_cache, uint64_t now_ms,
					  size_t bytes);

/* As percpu__age_take_due, on a slow path of the copy's own CPU. Context: owner's lock held. */
struct percpu__slab *percpu__age_take_due_here(struct percpu__cache *cache,
					       struct percpu__cpu_cache *cpu_cache,
					       uint64_t now_ms);

/*
 * Looks, if it is time, for memory that is no longer needed in any pool or cache, and trims it:
 * that of CPUs and caches that have become quiet. frees: the caller frees an object of the cache,
 * so it may call the cache's RCU. Context: no lock held.
 */
void percpu__sweep(struct percpu__cache *cache, uint64_t now_ms, bool frees);

#endif
