/* SPDX-License-Identifier: MIT */
/*
 * Movement of objects between the levels of a cache. No function here is called with an owner's
 * lock held.
 */
#ifndef PERCPU_CACHE_FLOW_H
#define PERCPU_CACHE_FLOW_H

#include "cache/cpu_cache.h"

/*
 * Allocates an object for which the magazine had none. *now_ms: the time at which it did. Context: no
 * lock held. Returns: its link, or NULL.
 */
void *percpu__flow_alloc(struct percpu__cache *cache, uint64_t *now_ms);

/*
 * percpu__flow_free - frees a link that this CPU's magazine and remote batch did not accept.
 * percpu__flow_free_to - frees a link to the copy, whichever copy owns it.
 * Context: no lock held. Returns: the time at which it did.
 */
uint64_t percpu__flow_free(struct percpu__cache *cache, void *link, unsigned owner_cpu);
uint64_t percpu__flow_free_to(struct percpu__cache *cache, void *link, unsigned copy);

/*
 * Moves depot and remote free list to the slabs, up to a bound. Context: no owner's lock held.
 * Returns: true if nothing is left in them.
 */
bool percpu__flow_trim(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache);

/* Moves all free objects of a copy to their slabs. Context: cache lock held, magazines stopped. */
void percpu__flow_drain(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache);

/*
 * Moves all free objects of all copies to their slabs; without fences those in magazines and remote
 * batches only if alone, that is, if nobody else uses the cache. Context: cache lock held, after
 * percpu__magazines_stopped.
 */
void percpu__flow_drain_all(struct percpu__cache *cache, bool alone);

#endif
