/* SPDX-License-Identifier: MIT */
/* Owns the sizes and limits that follow from a cache's attributes. It computes only. */
#include "cache/geometry.h"

#include "cache/cpu_cache.h"

#define MAGAZINE_BYTES (256u * 1024) /* in a magazine, up to its slots; in a depot */
#define REFILL_BYTES (16u * 1024)    /* carved from a fresh slab at a time */
#define CONSTRUCTED_MAX 64u          /* objects that are lost if a constructor throws */
#define BATCH_BYTES (32u * 1024)     /* objects in a remote batch */

static uint32_t clamp(size_t value, size_t low, size_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* Returns: true if a slab of that order holds enough objects and wastes little. */
static bool is_order_good(uint32_t object_bytes, unsigned order)
{
	const size_t bytes = PERCPU__ARENA_UNIT << order;

	return bytes / object_bytes >= 8 && bytes % object_bytes * 16 <= bytes;
}

void percpu__geometry_set(struct percpu__cache *cache, size_t size, size_t align)
{
	const bool link_behind = cache->ctor || cache->rcu || cache->check;
	size_t bytes = (size + 7) & ~(size_t)7;
	uint8_t order = 0;

	cache->link_bytes = link_behind ? bytes : 0;
	bytes = (bytes + (link_behind ? sizeof(void *) : 0) + align - 1) & ~(align - 1);
	while (order < PERCPU__SLAB_ORDER_MAX && !is_order_good(bytes, order))
		order++;
	/* The largest order is taken in any case: at least seven objects and their links fit. */
	cache->object_bytes = bytes;
	cache->nr_packed =
		link_behind ? 0 : clamp(bytes / sizeof(uintptr_t) - 1, 0, PERCPU__PACKED_MAX);
	cache->order = order;
	cache->nr_per_slab = (PERCPU__ARENA_UNIT << order) / bytes;
	cache->zero_bytes = cache->flags & PERCPU_CACHE_ZERO ? size : 0;
	cache->magazine_limit = clamp(MAGAZINE_BYTES / bytes, 2, PERCPU__CACHE_SLOTS);
	cache->depot_limit = clamp(MAGAZINE_BYTES / bytes, 2, 16384);
	cache->refill =
		clamp(REFILL_BYTES / bytes, 1, cache->ctor ? CONSTRUCTED_MAX : PERCPU__CACHE_SLOTS);
	cache->batch_limit = clamp(BATCH_BYTES / bytes, 1, PERCPU__BATCH_MAX);
	cache->inverse = UINT64_MAX / bytes + 1;
}

/* A few batches for each CPU, so that each has objects of few owners. */
uint8_t percpu__geometry_batches(unsigned nr_cpus)
{
	return nr_cpus <= 2 ? 1 : nr_cpus <= 8 ? 2 : 4;
}
