/* SPDX-License-Identifier: MIT */
/*
 * Owns when memory that nobody needs goes back to the kernel, and who looks for it.
 *
 * A program that frees many objects mostly wants as many again soon, and to give pages back and fault them in again
 * costs far more than all else that a cache does. So an empty slab stays until it is shown not to be needed: time goes
 * by in epochs, half a cache's decay each, and what was empty all through one goes back at its end. Swings of the
 * program that take less than an epoch unlock_and_flush nothing that was, so they keep all; what is idle goes within two epochs.
 *
 *	empty slabs of a home
 *	    |  ___    ___    ________________
 *	    | |   |  |   |  |                | goes back
 *	    | |   |__|   |__|                |________
 *	    +----- 0 ------|------ 0 -----|-- all ---|---> epochs, and the fewest in each
 *
 * There is no thread for it: whoever has to go past a CPU's list looks at the clock. He looks at his own home each
 * time, and from time to time at all homes of all caches, for CPUs and caches that have gone quiet. Of one whose CPU did
 * not come by for an epoch also stock and remote list go to the slabs; and list and batches do, if those did not change
 * either. How much one operation gives back is bounded, and the next one goes on.
 *
 * Of a cache with RCU only those who free may give back: they know the flavour. In a child in which nobody would call
 * back, empty slabs stay until percpu_cache_shrink waits for a grace period itself.
 */
#include "cache/cache.h"

#define GIVE_BYTES ((size_t)16 << 20)       /* that one operation gives back ... */
#define GIVE_BYTES_PER_MS ((size_t)4 << 20) /* and more, after a time in which nobody came by */
#define GIVE_MS_MAX 1000000u
#define VISITS 1024u                        /* homes that one operation looks at */
#define DRAINS 4u                           /* caches whose quiet CPUs it drains: each costs a fence */

static uint64_t all_aged_ms; /* when all caches were last looked at; relaxed atomic */
static uint64_t came_ms;     /* when anybody last came by; relaxed atomic */
static uint64_t shortest_ms = UINT64_MAX; /* epoch of any cache so far; relaxed atomic */

void percpu__age_init(struct percpu__cache *cache, uint64_t decay_ms, size_t keep_bytes)
{
	const size_t slab_bytes = PERCPU__ARENA_UNIT << cache->order;

	cache->epoch_ms = decay_ms == UINT64_MAX ? decay_ms : decay_ms / 2;
	cache->kept_slabs = keep_bytes / slab_bytes + (keep_bytes % slab_bytes > 0);
	if (cache->epoch_ms < __atomic_load_n(&shortest_ms, __ATOMIC_RELAXED))
		__atomic_store_n(&shortest_ms, cache->epoch_ms, __ATOMIC_RELAXED);
}

/* Bytes that one operation may give back, when nobody did for so long. */
static size_t allowance(uint64_t ms)
{
	return GIVE_BYTES + (ms < GIVE_MS_MAX ? ms : GIVE_MS_MAX) * GIVE_BYTES_PER_MS;
}

static bool is_quiet(const struct percpu__cache *cache, const struct percpu__cpu_cache *cpu_cache, uint64_t now_ms)
{
	return percpu__ms_between(cpu_cache->age.used_ms, now_ms) >= cache->epoch_ms;
}

/* [doc:age] */
/*
 * The policy: how many empty slabs of a home go back now, `most` at a time. Those that no moment of an epoch needed,
 * less what the cache keeps. An epoch in which the CPU never came to its home needed none.
 */
static size_t nr_due(const struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, uint64_t now_ms, size_t most)
{
	const size_t nr_spare = cpu_cache->empty.nr > cache->kept_slabs ? cpu_cache->empty.nr - cache->kept_slabs : 0;
	struct percpu__age *const age = &cpu_cache->age;
	size_t nr;

	if (is_quiet(cache, cpu_cache, now_ms)) {
		age->nr_least = cpu_cache->empty.nr;
		age->epoch_ms = age->used_ms;
	}
	if (percpu__ms_between(age->epoch_ms, now_ms) < cache->epoch_ms)
		return 0;
	nr = age->nr_least < nr_spare ? age->nr_least : nr_spare;
	if (nr > most) { /* the epoch is over once the rest has gone */
		age->nr_least -= most;
		return most;
	}
	age->epoch_ms = now_ms;
	age->nr_least = cpu_cache->empty.nr - nr;
	return nr;
}
/* [doc:end] */

static size_t nr_slabs_in(const struct percpu__cache *cache, size_t bytes)
{
	const size_t slab_bytes = PERCPU__ARENA_UNIT << cache->order;

	return bytes < slab_bytes ? 1 : bytes / slab_bytes;
}

static struct percpu__slab *take_due(const struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, uint64_t now_ms,
				     size_t bytes)
{
	const size_t nr = nr_due(cache, cpu_cache, now_ms, nr_slabs_in(cache, bytes)), nr_least = cpu_cache->age.nr_least;
	struct percpu__slab *slabs = percpu__slabs_take_empty(cpu_cache, nr);

	cpu_cache->age.nr_least = nr_least; /* what goes for its age was needed by nobody */
	return slabs;
}

struct percpu__slab *percpu__age_take_due(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, uint64_t now_ms)
{
	struct percpu__slab *slabs =
		take_due(cache, cpu_cache, now_ms, allowance(percpu__ms_between(cpu_cache->age.used_ms, now_ms)));

	cpu_cache->age.used_ms = now_ms;
	return slabs;
}

/* ---- all homes ---- */

/* What one operation may still do, and what it has found. */
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

/* Objects in list and batches, which sections move: a guess that later looks correct. *looks: changes as they do. */
static uint64_t nr_in_hand(const struct percpu__cache *cache, const struct percpu__cpu_cache *cpu_cache, uint64_t *looks)
{
	const uint64_t word = __atomic_load_n(&cpu_cache->magazine.word, __ATOMIC_RELAXED);
	uint64_t nr = 0;

	for (unsigned i = 0; i < cache->nr_batches; i++)
		nr += __atomic_load_n(&cpu_cache->remote_batch[i].head.nr, __ATOMIC_RELAXED);
	*looks = word + (nr << 56);
	return word % 65536 + nr;
}

/* Whether CPU and list have been quiet for an epoch although there are objects in it. */
static bool is_asleep(const struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, uint64_t now_ms)
{
	uint64_t looks, nr;
	bool asleep;

	percpu__lock(&cpu_cache->lock);
	nr = nr_in_hand(cache, cpu_cache, &looks);
	if (looks != cpu_cache->age.seen) {
		cpu_cache->age.seen = looks;
		cpu_cache->age.seen_ms = now_ms;
	}
	asleep = nr && is_quiet(cache, cpu_cache, now_ms) &&
		 percpu__ms_between(cpu_cache->age.seen_ms, now_ms) >= cache->epoch_ms;
	percpu__unlock(&cpu_cache->lock);
	return asleep;
}

/* Drains CPUs that sleep on objects; others find their lists closed once, and open them again. */
static void drain_asleep(struct percpu__cache *cache, struct round *round)
{
	struct percpu__cpu_cache *const used = __atomic_load_n(&cache->used, __ATOMIC_ACQUIRE); /* pairs with make_ready */
	bool closed = false;

	if (!cache->sections || !round->nr_drains)
		return;
	for (struct percpu__cpu_cache *cpu_cache = used; cpu_cache; cpu_cache = cpu_cache->next_used) {
		if (!is_asleep(cache, cpu_cache, round->now_ms))
			continue;
		if (!closed) {
			percpu__lock(&cache->lock);
			percpu__magazines_stop(cache);
			closed = true;
			round->nr_drains--;
			if (!percpu__magazines_stopped(cache))
				break;
		}
		percpu__cpu_cache_drain(cache, cpu_cache);
	}
	if (closed)
		percpu__unlock(&cache->lock);
}

/* Returns: whether all that was due has been found. */
static bool visit(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, struct round *round)
{
	struct percpu__slab *slabs;
	bool settled = true, quiet;

	percpu__lock(&cpu_cache->lock);
	quiet = is_quiet(cache, cpu_cache, round->now_ms);
	percpu__unlock(&cpu_cache->lock);
	if (quiet)
		settled = percpu__cpu_cache_trim(cache, cpu_cache);
	percpu__lock(&cpu_cache->lock);
	slabs = take_due(cache, cpu_cache, round->now_ms, round->bytes);
	percpu__unlock(&cpu_cache->lock);
	add(round, cache, slabs);
	round->nr_visits -= round->nr_visits > 0;
	return settled && round->bytes;
}

/* Returns: whether all that was due has been found; the caller goes on another time where it was not. */
static bool age_cache(struct percpu__cache *cache, struct round *round)
{
	struct percpu__cpu_cache *const used = __atomic_load_n(&cache->used, __ATOMIC_ACQUIRE); /* pairs with make_ready */
	bool done = true;

	drain_asleep(cache, round);
	for (struct percpu__cpu_cache *cpu_cache = used; cpu_cache && round->bytes; cpu_cache = cpu_cache->next_used)
		done &= visit(cache, cpu_cache, round);
	if (done)
		__atomic_store_n(&cache->aged_ms, round->now_ms, __ATOMIC_RELAXED);
	return done && round->bytes && round->nr_visits;
}

/* Four looks in the time in which memory ages keep within it. */
static bool is_time(uint64_t aged_ms, uint64_t now_ms, uint64_t epoch_ms)
{
	return epoch_ms < UINT64_MAX && percpu__ms_between(aged_ms, now_ms) >= (epoch_ms > 2 ? epoch_ms / 2 : 1);
}

static bool is_cache_due(const struct percpu__cache *cache, uint64_t now_ms)
{
	return is_time(__atomic_load_n(&cache->aged_ms, __ATOMIC_RELAXED), now_ms, cache->epoch_ms);
}

static bool age_without_readers(struct percpu__cache *cache, void *arg)
{
	return cache->rcu || !is_cache_due(cache, ((struct round *)arg)->now_ms) || age_cache(cache, arg);
}

static void age_with_readers(struct percpu__cache *cache, uint64_t now_ms, size_t bytes)
{
	struct round round = round_of(now_ms, bytes);

	if (is_cache_due(cache, now_ms))
		age_cache(cache, &round);
	percpu__slabs_release(cache, round.slabs, false);
}

void percpu__age_all(struct percpu__cache *cache, uint64_t now_ms, bool frees)
{
	const uint64_t before_ms = __atomic_load_n(&came_ms, __ATOMIC_RELAXED);
	const size_t bytes = allowance(percpu__ms_between(before_ms, now_ms));
	uint64_t last_ms = __atomic_load_n(&all_aged_ms, __ATOMIC_RELAXED);
	struct round round = round_of(now_ms, bytes);

	if (percpu__unlikely(before_ms != now_ms)) /* so that few write what all read */
		__atomic_store_n(&came_ms, now_ms, __ATOMIC_RELAXED);
	percpu__pools_age(now_ms);
	if (percpu__unlikely(cache->rcu) && frees && percpu__rcu_can_call())
		age_with_readers(cache, now_ms, bytes);
	if (percpu__likely(!is_time(last_ms, now_ms, __atomic_load_n(&shortest_ms, __ATOMIC_RELAXED))) ||
	    !__atomic_compare_exchange_n(&all_aged_ms, &last_ms, now_ms, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	if (!percpu__caches_each(age_without_readers, &round))
		__atomic_store_n(&all_aged_ms, last_ms, __ATOMIC_RELAXED);
	percpu__arena_trim(round.slabs);
}
