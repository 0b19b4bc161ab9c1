/* SPDX-License-Identifier: MIT */
/*
 * Remote frees: each CPU's remote free list, and the remote batches of other CPUs that are flushed
 * to it.
 */
#ifndef PERCPU_CACHE_REMOTE_H
#define PERCPU_CACHE_REMOTE_H

#include "cache/cpu_cache.h"

#define PERCPU__REMOTE_BITS 27
#define PERCPU__REMOTE_MAX ((UINT64_C(1) << PERCPU__REMOTE_BITS) - 1)

/*
 * Pushes a free list, whose first pushed link is `last`, onto the owner's remote free list.
 * Context: lock of this CPU's copy held, or the cache lock. Returns: false if the count would
 * overflow.
 */
bool percpu__remote_push(struct percpu__cache *cache, struct percpu__cpu_cache *owner,
			 const struct percpu__free_list *list, uintptr_t *last);

/* Takes the whole remote free list. Context: any. */
struct percpu__free_list percpu__remote_take(struct percpu__cpu_cache *cpu_cache);

/* Returns: the remote free list, left in place. Context: locks of all copies held. */
struct percpu__free_list percpu__remote_look(const struct percpu__cpu_cache *cpu_cache);

/*
 * Pushes links onto the remote free lists of their owners, one push for each owner; links that
 * found no room go to left. Context: lock of this CPU's copy held, or the cache lock.
 */
void percpu__remote_push_many(struct percpu__cache *cache, void **links, unsigned nr,
			      struct percpu__free_list *left);

/* As percpu__remote_push_many; what found no room stays in the free list. */
void percpu__remote_flush(struct percpu__cache *cache, struct percpu__free_list *list);

/*
 * Returns: true if the link is the last in a batch. Another CPU's batch may have changed meanwhile.
 * The acquire pairs with percpu__stack_push.
 */
static inline bool percpu__remote_batch_ends_with(const struct percpu__remote_batch *batch,
						  const void *link)
{
	const uint32_t nr = __atomic_load_n(&batch->head.nr, __ATOMIC_ACQUIRE);

	return nr && __atomic_load_n(&batch->slot[nr - 1], __ATOMIC_RELAXED) == link;
}

/*
 * Pushes another CPU's link into this CPU's remote batch. Context: any. Returns: false if the batch
 * is full, stopped or ends with the link, or if the link is this CPU's own.
 */
bool percpu__remote_batch_push(struct percpu__cache *cache, void *link, unsigned owner_cpu);

/*
 * Returns: true if a copy has objects in a remote batch; it may have changed meanwhile. Context:
 * any.
 */
bool percpu__remote_batches_any(struct percpu__cache *cache);

#endif
