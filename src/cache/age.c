/* SPDX-License-Identifier: MIT */
/*
 * Owns the policy of when memory that is no longer needed goes back to the kernel.
 *
 * A program that frees many objects usually wants as many again soon, and to give pages back and
 * fault them in again costs far more than anything else that a cache does. So an empty slab stays
 * until it is shown not to be needed. Time passes in epochs, each half of the cache's decay; slabs
 * that were empty during a whole epoch go back at its end. Swings of the program that are shorter
 * than an epoch leave no such slabs, so they keep all; idle memory goes back within two epochs.
 *
 *	empty slabs of a CPU cache
 *	    |  ___    ___    ________________
 *	    | |   |  |   |  |                | goes back
 *	    | |   |__|   |__|                |________
 *	    +----- 0 ------|------ 0 -----|-- all ---|---> epochs, with their fewest empty slabs
 *
 * No thread does this: every operation on a slow path looks at the clock and at its own CPU cache,
 * and from time to time at all others (sweep.c).
 */
#include "cache/age.h"

#include "cache/depot.h"

#define TRIM_BYTES ((size_t)16 << 20)       /* of one operation ... */
#define TRIM_BYTES_PER_MS ((size_t)4 << 20) /* ... and more after a time without operations */
#define TRIM_MS_MAX 1000000u

static uint64_t shortest_ms = UINT64_MAX; /* epoch of any cache so far; relaxed atomic */

void percpu__age_init(struct percpu__cache *cache, uint64_t decay_ms, size_t keep_bytes)
{
	const size_t slab_bytes = PERCPU__ARENA_UNIT << cache->order;

	cache->epoch_ms = decay_ms == UINT64_MAX ? decay_ms : decay_ms / 2;
	cache->kept_slabs = keep_bytes / slab_bytes + (keep_bytes % slab_bytes > 0);
	if (cache->epoch_ms < __atomic_load_n(&shortest_ms, __ATOMIC_RELAXED))
		__atomic_store_n(&shortest_ms, cache->epoch_ms, __ATOMIC_RELAXED);
}

uint64_t percpu__age_shortest_ms(void)
{
	return __atomic_load_n(&shortest_ms, __ATOMIC_RELAXED);
}

size_t percpu__age_allowance(uint64_t ms)
{
	return TRIM_BYTES + (ms < TRIM_MS_MAX ? ms : TRIM_MS_MAX) * TRIM_BYTES_PER_MS;
}

bool percpu__age_is_quiet(const struct percpu__cache *cache,
			  const struct percpu__cpu_cache *cpu_cache, uint64_t now_ms)
{
	return percpu__ms_between(cpu_cache->age.used_ms, now_ms) >= cache->epoch_ms;
}

/*
 * The number of empty slabs of a CPU cache that go back now, up to `most`: those that were empty
 * during a whole epoch, less those that the cache keeps. A CPU that took no slow path for an epoch
 * needed none of them.
 */
static size_t nr_due(const struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
		     uint64_t now_ms, size_t most)
{
	const size_t nr_spare = cpu_cache->empty.nr > cache->kept_slabs
					? cpu_cache->empty.nr - cache->kept_slabs
					: 0;
	struct percpu__age *const age = &cpu_cache->age;
	size_t nr;

	if (percpu__age_is_quiet(cache, cpu_cache, now_ms)) {
		age->nr_least = cpu_cache->empty.nr;
		age->epoch_ms = age->used_ms;
	}
	if (percpu__ms_between(age->epoch_ms, now_ms) < cache->epoch_ms)
		return 0;
	nr = age->nr_least < nr_spare ? age->nr_least : nr_spare;
	if (nr > most) { /* the epoch ends when the rest has gone back */
		age->nr_least -= most;
		return most;
	}
	age->epoch_ms = now_ms;
	age->nr_least = cpu_cache->empty.nr - nr;
	return nr;
}

static size_t nr_slabs_in(const struct percpu__cache *cache, size_t bytes)
{
	const size_t slab_bytes = PERCPU__ARENA_UNIT << cache->order;

	return bytes < slab_bytes ? 1 : bytes / slab_bytes;
}

struct percpu__slab *percpu__age_take_due(const struct percpu__cache *cache,
					  struct percpu__cpu_cache *cpu_cache, uint64_t now_ms,
					  size_t bytes)
{
	const size_t nr = nr_due(cache, cpu_cache, now_ms, nr_slabs_in(cache, bytes)),
		     nr_least = cpu_cache->age.nr_least;
	struct percpu__slab *slabs = percpu__slabs_take_empty(cpu_cache, nr);

	cpu_cache->age.nr_least = nr_least; /* slabs that go back for their age were not needed */
	return slabs;
}

struct percpu__slab *percpu__age_take_due_here(struct percpu__cache *cache,
					       struct percpu__cpu_cache *cpu_cache, uint64_t now_ms)
{
	const size_t bytes =
		percpu__age_allowance(percpu__ms_between(cpu_cache->age.used_ms, now_ms));
	struct percpu__slab *slabs = percpu__age_take_due(cache, cpu_cache, now_ms, bytes);

	cpu_cache->age.used_ms = now_ms;
	return slabs;
}
