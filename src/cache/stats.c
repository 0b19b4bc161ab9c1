/* SPDX-License-Identifier: MIT */
/* Owns the statistics of a cache: it reads one CPU cache after the other, under their locks. */
#include <errno.h>
#include <string.h>

#include "cache/cpu_cache.h"
#include "cache/remote.h"

#include <percpu/sum.h>

/*
 * Allocations less frees in the magazine are known from its length, allocations and frees from its
 * count. Context: owner's lock held.
 */
static uint64_t hits_of(const struct percpu__cpu_cache *cpu_cache)
{
	const uint64_t word = __atomic_load_n(&cpu_cache->magazine.word, __ATOMIC_RELAXED);
	const uint64_t twice = (word >> 16) - percpu__magazine_nr(word) - cpu_cache->nr_drained;

	return (twice & ((UINT64_C(1) << 48) - 1)) / 2 - cpu_cache->nr_flushed;
}

static size_t nr_in_slabs(const struct percpu__cpu_cache *cpu_cache)
{
	size_t nr = 0;

	for (const struct percpu__slab *slab = cpu_cache->partial.first; slab; slab = slab->next)
		nr += slab->nr_free;
	for (const struct percpu__slab *slab = cpu_cache->empty.first; slab; slab = slab->next)
		nr += slab->nr_free;
	return nr;
}

/*
 * Adds a CPU cache; nr_objects counts all objects, from which the caller subtracts the free ones.
 */
static void add_cpu_cache(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			  struct percpu_cache_stats *stats)
{
	const int node = percpu__copy_node(cpu_cache->copy);
	size_t bytes;

	percpu__lock(&cpu_cache->lock);
	bytes = cpu_cache->nr_slabs * (PERCPU__ARENA_UNIT << cache->order);
	stats->nr_homes++;
	stats->nr_slabs += cpu_cache->nr_slabs;
	stats->nr_empty_slabs += cpu_cache->empty.nr;
	stats->nr_objects += cpu_cache->nr_slabs * cache->nr_per_slab - nr_in_slabs(cpu_cache);
	stats->nr_free +=
		cpu_cache->depot.nr +
		percpu__magazine_nr(__atomic_load_n(&cpu_cache->magazine.word, __ATOMIC_RELAXED)) +
		(__atomic_load_n(&cpu_cache->remote, __ATOMIC_RELAXED) & PERCPU__REMOTE_MAX);
	for (unsigned i = 0; i < cache->nr_batches; i++)
		stats->nr_free +=
			__atomic_load_n(&cpu_cache->remote_batch[i].head.nr, __ATOMIC_RELAXED);
	stats->nr_hits += hits_of(cpu_cache);
	stats->slabs_bytes += bytes;
	stats->node_bytes[node < 0 ? 0 : node % PERCPU_CACHE_NODES] += bytes;
	percpu__unlock(&cpu_cache->lock);
}

int percpu_cache_stats(struct percpu_cache *handle, struct percpu_cache_stats *out)
{
	struct percpu__cache *cache = percpu__live_cache(handle, "percpu_cache_stats");
	struct percpu_cache_stats stats = { .size = 0 };
	size_t size = out ? out->size : 0;

	if (size < offsetof(struct percpu_cache_stats, nr_objects))
		return -EINVAL;
	percpu__lock(&cache->lock);
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache;
	     cpu_cache = cpu_cache->next_used)
		add_cpu_cache(cache, cpu_cache, &stats);
	percpu__unlock(&cache->lock);
	/* An object that moved between two CPU caches meanwhile may be counted as free twice. */
	stats.nr_objects -= stats.nr_free < stats.nr_objects ? stats.nr_free : stats.nr_objects;
	stats.object_bytes = cache->object_bytes;
	stats.slab_bytes = PERCPU__ARENA_UNIT << cache->order;
	if (stats.nr_homes) { /* else the sums would only map page tables */
		stats.nr_refills = percpu_sum(&cache->cpu_caches->nr_refills);
		stats.nr_remote_frees = percpu_sum(&cache->cpu_caches->nr_remote_frees);
		stats.nr_batches = percpu_sum(&cache->cpu_caches->nr_pushes);
	}
	stats.nr_returned_slabs = __atomic_load_n(&cache->nr_returned, __ATOMIC_RELAXED);
	stats.batch_max = cache->remote_batches ? cache->batch_limit : 1;
	if (size > sizeof(stats))
		size = sizeof(stats);
	stats.size = size;
	memcpy(out, &stats, size);
	return 0;
}
