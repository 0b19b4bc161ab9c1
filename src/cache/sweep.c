/* SPDX-License-Identifier: MIT */
/*
 * Owns the sweep of all caches for memory that is no longer needed, because its CPU or its cache
 * has become quiet.
 *
 * Depot and remote free list of a CPU that took no slow path for an epoch go to the slabs; magazine
 * and remote batches too, if they have not changed either. The bytes that one operation gives back
 * are bounded; the next one continues.
 *
 * Only an operation that frees may give back memory of a cache with RCU: its thread is registered
 * with the flavour. In a child in which no callback would run, empty slabs stay until
 * percpu_cache_shrink waits for a grace period itself.
 */
#include "cache/age.h"
#include "cache/depot.h"
#include "cache/flow.h"
#include "cache/rcu.h"
#include "cache/registry.h"

#define VISITS 1024u /* CPU caches that one operation looks at */
#define DRAINS 4u    /* caches whose quiet CPUs it drains: each costs a fence */

static uint64_t all_swept_ms; /* last sweep of all caches; relaxed atomic */
static uint64_t last_ms;      /* last operation on a slow path; relaxed atomic */

/* The bounds that are left to one operation, and the slabs that it has found. */
struct round {
	uint64_t now_ms;
	size_t bytes;
	unsigned nr_visits, nr_drains;
	struct percpu__slab *slabs;
};

static struct round round_of(uint64_t now_ms, size_t bytes)
{
	return (struct round){ now_ms, bytes, VISITS, DRAINS, NULL };
}

static void add(struct round *round, struct percpu__cache *cache, struct percpu__slab *slabs)
{
	while (slabs) {
		struct percpu__slab *const slab = slabs;
		const size_t bytes = percpu__slab_bytes(slab);

		slabs = slab->next;
		slab->next = round->slabs;
		round->slabs = slab;
		round->bytes -= bytes < round->bytes ? bytes : round->bytes;
		if (!cache->rcu) /* else they are counted after the grace period */
			__atomic_fetch_add(&cache->nr_returned, 1, __ATOMIC_RELAXED);
	}
}

/*
 * Returns: the number of objects in magazine and remote batches. Critical sections change it
 * meanwhile: it is a guess that is confirmed later. *looks: a value that changes when they do.
 */
static uint64_t nr_in_hand(const struct percpu__cache *cache,
			   const struct percpu__cpu_cache *cpu_cache, uint64_t *looks)
{
	const uint64_t word = __atomic_load_n(&cpu_cache->magazine.word, __ATOMIC_RELAXED);
	uint64_t nr = 0;

	for (unsigned i = 0; i < cache->nr_batches; i++)
		nr += __atomic_load_n(&cpu_cache->remote_batch[i].head.nr, __ATOMIC_RELAXED);
	*looks = word + (nr << 56);
	return percpu__magazine_nr(word) + nr;
}

/* Returns: true if CPU and magazine have been quiet for an epoch with objects left there. */
static bool is_asleep(const struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
		      uint64_t now_ms)
{
	uint64_t looks, nr;
	bool asleep;

	percpu__lock(&cpu_cache->lock);
	nr = nr_in_hand(cache, cpu_cache, &looks);
	if (looks != cpu_cache->age.seen) {
		cpu_cache->age.seen = looks;
		cpu_cache->age.seen_ms = now_ms;
	}
	asleep = nr && percpu__age_is_quiet(cache, cpu_cache, now_ms) &&
		 percpu__ms_between(cpu_cache->age.seen_ms, now_ms) >= cache->epoch_ms;
	percpu__unlock(&cpu_cache->lock);
	return asleep;
}

/*
 * Drains quiet CPUs that hold objects; a CPU that is not quiet finds its magazine stopped once, and
 * starts it.
 */
static void drain_asleep(struct percpu__cache *cache, struct round *round)
{
	/* pairs with make_ready */
	struct percpu__cpu_cache *const used = __atomic_load_n(&cache->used, __ATOMIC_ACQUIRE);
	bool stopped = false;

	if (!cache->sections || !round->nr_drains)
		return;
	for (struct percpu__cpu_cache *cpu_cache = used; cpu_cache;
	     cpu_cache = cpu_cache->next_used) {
		if (!is_asleep(cache, cpu_cache, round->now_ms))
			continue;
		if (!stopped) {
			percpu__lock(&cache->lock);
			percpu__magazines_stop(cache);
			stopped = true;
			round->nr_drains--;
			if (!percpu__magazines_stopped(cache))
				break;
		}
		percpu__flow_drain(cache, cpu_cache);
	}
	if (stopped)
		percpu__unlock(&cache->lock);
}

/* Returns: true if all memory that is due was found. */
static bool visit(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
		  struct round *round)
{
	struct percpu__slab *slabs;
	bool trimmed = true, quiet;

	percpu__lock(&cpu_cache->lock);
	quiet = percpu__age_is_quiet(cache, cpu_cache, round->now_ms);
	percpu__unlock(&cpu_cache->lock);
	if (quiet)
		trimmed = percpu__flow_trim(cache, cpu_cache);
	percpu__lock(&cpu_cache->lock);
	slabs = percpu__age_take_due(cache, cpu_cache, round->now_ms, round->bytes);
	percpu__unlock(&cpu_cache->lock);
	add(round, cache, slabs);
	round->nr_visits -= round->nr_visits > 0;
	return trimmed && round->bytes;
}

/* Returns: true if all memory that is due was found; if not, the caller continues another time. */
static bool sweep_cache(struct percpu__cache *cache, struct round *round)
{
	/* pairs with make_ready */
	struct percpu__cpu_cache *const used = __atomic_load_n(&cache->used, __ATOMIC_ACQUIRE);
	bool done = true;

	drain_asleep(cache, round);
	for (struct percpu__cpu_cache *cpu_cache = used; cpu_cache && round->bytes;
	     cpu_cache = cpu_cache->next_used)
		done &= visit(cache, cpu_cache, round);
	if (done)
		__atomic_store_n(&cache->aged_ms, round->now_ms, __ATOMIC_RELAXED);
	return done && round->bytes && round->nr_visits;
}

/* Returns: true if it is time for a sweep. Four sweeps in a decay are enough to keep to it. */
static bool is_time(uint64_t aged_ms, uint64_t now_ms, uint64_t epoch_ms)
{
	return epoch_ms < UINT64_MAX &&
	       percpu__ms_between(aged_ms, now_ms) >= (epoch_ms > 2 ? epoch_ms / 2 : 1);
}

static bool is_cache_due(const struct percpu__cache *cache, uint64_t now_ms)
{
	return is_time(__atomic_load_n(&cache->aged_ms, __ATOMIC_RELAXED), now_ms, cache->epoch_ms);
}

static bool sweep_without_rcu(struct percpu__cache *cache, void *arg)
{
	return cache->rcu || !is_cache_due(cache, ((struct round *)arg)->now_ms) ||
	       sweep_cache(cache, arg);
}

static void sweep_with_rcu(struct percpu__cache *cache, uint64_t now_ms, size_t bytes)
{
	struct round round = round_of(now_ms, bytes);

	if (is_cache_due(cache, now_ms))
		sweep_cache(cache, &round);
	percpu__slabs_release(cache, round.slabs, false);
}

void percpu__sweep(struct percpu__cache *cache, uint64_t now_ms, bool frees)
{
	const uint64_t before_ms = __atomic_load_n(&last_ms, __ATOMIC_RELAXED);
	const size_t bytes = percpu__age_allowance(percpu__ms_between(before_ms, now_ms));
	uint64_t swept_ms = __atomic_load_n(&all_swept_ms, __ATOMIC_RELAXED);
	struct round round = round_of(now_ms, bytes);

	if (percpu__unlikely(before_ms != now_ms)) /* few writes to a line that all CPUs read */
		__atomic_store_n(&last_ms, now_ms, __ATOMIC_RELAXED);
	percpu__pools_age(now_ms);
	if (percpu__unlikely(cache->rcu) && frees && percpu__rcu_can_call())
		sweep_with_rcu(cache, now_ms, bytes);
	if (percpu__likely(!is_time(swept_ms, now_ms, percpu__age_shortest_ms())) ||
	    !__atomic_compare_exchange_n(&all_swept_ms, &swept_ms, now_ms, false, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		return;
	if (!percpu__caches_each(sweep_without_rcu, &round))
		__atomic_store_n(&all_swept_ms, swept_ms, __ATOMIC_RELAXED);
	percpu__arena_trim(round.slabs);
}
