/* SPDX-License-Identifier: MIT */
/* All caches, and the memory of their handles. */
#ifndef PERCPU_CACHE_REGISTRY_H
#define PERCPU_CACHE_REGISTRY_H

#include "cache/cache.h"

/* The caches lock: the list of caches, their state, and vacant handles. */
void percpu__caches_lock(void);
void percpu__caches_unlock(void);
void percpu__caches_lock_for_fork(void);
void percpu__caches_unlock_after_fork(void);

/* Returns: a zeroed handle with an id, or NULL without memory or ids. Context: caches lock held. */
struct percpu__cache *percpu__handle_take(void);

/* Adds a cache to the list, as live; removes it. Context: caches lock held. */
void percpu__caches_add(struct percpu__cache *cache);
void percpu__caches_remove(struct percpu__cache *cache);

/* Calls visit for every cache. Context: caches lock held. */
void percpu__caches_visit(void (*visit)(struct percpu__cache *cache));

/*
 * Calls visit until it returns false. Context: takes the caches lock. Returns: true if visit never
 * did.
 */
bool percpu__caches_each(bool (*visit)(struct percpu__cache *cache, void *arg), void *arg);

/* In nr_waiting of a destroyed cache: the last slab to leave its grace period frees the handle. */
#define PERCPU__ENDS_LAST (UINT64_C(1) << 63)

/*
 * Subtracts slabs that wait no more. The caller must not access the cache afterwards.
 * Context: may take the caches lock.
 */
void percpu__cache_put_waiting(struct percpu__cache *cache, uint64_t nr);

#endif
