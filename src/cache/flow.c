/* SPDX-License-Identifier: MIT */
/*
 * Owns homes: what one CPU has of one cache (the table in cache.h tells who may touch what), when it is open,
 * and the ways between its list and all that lies behind.
 *
 * Where an allocation looks when the CPU's list is empty, in this order:
 *
 *	stock -> remote list, taken whole -> slabs with some objects, then slabs with all
 *	      -> batches of other CPUs, taken by closing them -> a new slab
 *
 * and takes half a list along, for the next ones. Where a free goes when the list did not take it: to the
 * stock, if the CPU has no list; into a batch, if its home is elsewhere. When the list is full its older half
 * goes to the stock first; and when the stock has enough, the newer half to the slabs.
 */
#include "cache/free_list.h"

/* ---- copies ---- */

static struct percpu__cpu_cache *make_ready(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, unsigned copy)
{
	percpu__lock(&cache->lock);
	if (!cpu_cache->ready) {
		percpu__lock_init(&cpu_cache->lock, PERCPU__RANK_HOME);
		percpu__lock_made_in_fork(&cpu_cache->lock, &cache->lock);
		cpu_cache->copy = copy;
		cpu_cache->next_used = cache->used;
		__atomic_store_n(&cpu_cache->ready, true, __ATOMIC_RELEASE); /* pairs with percpu__cpu_cache_at */
		__atomic_store_n(&cache->used, cpu_cache, __ATOMIC_RELEASE); /* pairs with any_remote_batch */
	}
	percpu__unlock(&cache->lock);
	return cpu_cache;
}

struct percpu__cpu_cache *percpu__cpu_cache_at(struct percpu__cache *cache, unsigned copy)
{
	struct percpu__cpu_cache *cpu_cache = percpu_ptr(cache->cpu_caches, copy);

	/* pairs with make_ready */
	return percpu__likely(__atomic_load_n(&cpu_cache->ready, __ATOMIC_ACQUIRE)) ? cpu_cache : make_ready(cache, cpu_cache, copy);
}

struct percpu__cpu_cache *percpu__cpu_cache_here(struct percpu__cache *cache)
{
	return percpu__cpu_cache_at(cache, percpu_this_cpu());
}

void percpu__cpu_caches_lock(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		percpu__lock_nested(&cpu_cache->lock);
}

void percpu__cpu_caches_unlock(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		percpu__unlock(&cpu_cache->lock);
}

void percpu__cpu_caches_lock_for_fork(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		percpu__lock_for_fork(&cpu_cache->lock);
}

void percpu__cpu_caches_unlock_after_fork(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		percpu__unlock_after_fork(&cpu_cache->lock);
}

/* ---- open and closed ---- */

/*
 * Whoever sees what is open again sees what was done while it was closed: so sections look at a limit, or a
 * line, first. The release pairs with percpu__cache_take.
 */
static void set_magazines(struct percpu__cache *cache, bool started)
{
	char *const magazines = started ? (char *)(uintptr_t)cache->cpu_caches : cache->stopped_magazines;

	__atomic_store_n(&cache->pub.own_magazines, magazines, __ATOMIC_RELEASE);
	if (cache->inlines)
		__atomic_store_n(&cache->pub.magazines, magazines, __ATOMIC_RELEASE);
}

static bool is_started(const struct percpu__cache *cache, const struct percpu__cpu_cache *cpu_cache)
{
	return __atomic_load_n(&cache->pub.own_magazines, __ATOMIC_RELAXED) != cache->stopped_magazines &&
	       __atomic_load_n(&cpu_cache->magazine.limit, __ATOMIC_RELAXED) &&
	       (!cache->remote_batches || __atomic_load_n(&cpu_cache->remote_batch[0].head.limit, __ATOMIC_RELAXED));
}

void percpu__magazine_start(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache)
{
	if (percpu__likely(is_started(cache, cpu_cache)) || !percpu__has_sections(cache, cpu_cache))
		return;
	percpu__lock(&cache->lock);
	if (percpu__likely(!percpu__is_locked_for_fork(&cache->lock))) { /* else it stays closed */
		__atomic_store_n(&cpu_cache->magazine.limit, cache->magazine_limit, __ATOMIC_RELAXED);
		if (cache->remote_batches)
			percpu__remote_batches_set_limit(cache, cpu_cache, cache->batch_limit);
		set_magazines(cache, true);
	}
	percpu__unlock(&cache->lock);
}

void percpu__magazines_stop(struct percpu__cache *cache)
{
	if (!cache->fences)
		return;
	set_magazines(cache, false);
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		percpu__remote_batches_set_limit(cache, cpu_cache, 0);
}

bool percpu__magazines_stopped(struct percpu__cache *cache)
{
	if (cache->fences && cache->used && !percpu__fence())
		cache->fences = false; /* a filter, put up since: lists and batches are their CPU's alone from now on */
	return cache->fences;
}

/* ---- between the list and the stock; H, and the caller may move away at any time ---- */

/* Takes up to nr links from the list, last freed first. Returns: how many. */
static unsigned take_many(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, void **links, unsigned nr)
{
	char *const magazine = percpu__magazine_of(cache, cpu_cache->copy);
	unsigned taken = 0;

	while (taken < nr && percpu__cache_take_from(&cache->pub.own_magazines, &magazine, &links[taken]))
		taken++;
	cpu_cache->nr_flushed += taken;
	return taken;
}

/* Puts links into the list, links[0] last; what it does not take goes to the stock. */
static void put_many(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, void **links, unsigned nr)
{
	char *const magazine = percpu__magazine_of(cache, cpu_cache->copy);

	while (nr && percpu__has_sections(cache, cpu_cache) && percpu__cache_put(&cache->pub.own_magazines, &magazine, links[nr - 1]))
		nr--;
	while (nr)
		percpu__free_list_push(cache, &cpu_cache->depot, links[--nr]);
}

/* The policy: a stock of enough links goes back to the slabs, but no more at a time than anyone may wait for. */
static void trim_depot(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, uint64_t enough, struct percpu__free_list *left)
{
	if (cpu_cache->depot.nr >= enough)
		percpu__slabs_return(cache, cpu_cache, &cpu_cache->depot, 2 * (uint64_t)cache->depot_limit, left);
}

/* Sends home what is left, unlocks, and gives back the slabs that nobody needs. frees: the caller knows of readers. */
static void unlock_and_flush(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, struct percpu__free_list *left, bool frees)
{
	const uint64_t now_ms = percpu__now_ms();
	struct percpu__slab *idle = !cache->rcu || (frees && percpu__rcu_can_call()) ? percpu__age_take_due(cache, cpu_cache, now_ms) : NULL;

	percpu__remote_flush(cache, left);
	percpu__unlock(&cpu_cache->lock);
	percpu__slabs_return_all(cache, left);
	percpu__slabs_release(cache, idle, false);
	percpu__age_all(cache, now_ms, frees);
}

/*
 * Room in a list that is full: its older half goes to the stock. Where that has enough, somebody frees for long, and
 * the newer half goes to the slabs, which need not be taken out of it and put in again.
 */
static void flush_magazine(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, struct percpu__free_list *left)
{
	const bool enough = cpu_cache->depot.nr >= cache->depot_limit;
	void *links[PERCPU__CACHE_SLOTS];
	const unsigned nr = take_many(cache, cpu_cache, links, enough ? cache->magazine_limit / 2 + 1 : cache->magazine_limit), kept = nr / 2;

	if (enough) {
		percpu__slabs_return_many(cache, cpu_cache, links, nr, left);
		return;
	}
	for (unsigned i = nr; i > kept; i--)
		percpu__free_list_push(cache, &cpu_cache->depot, links[i - 1]);
	put_many(cache, cpu_cache, links, kept);
}

/* ---- alloc and free ---- */

/* Takes up to nr links, the next to be given first, from the nearest place that has any. H. */
static unsigned refill(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, void **links, unsigned nr)
{
	if (!cpu_cache->depot.nr)
		cpu_cache->depot = percpu__remote_take(cpu_cache);
	return cpu_cache->depot.nr ? percpu__free_list_pop_many(cache, &cpu_cache->depot, links, nr)
			      : percpu__slabs_carve(cache, cpu_cache, links, nr);
}

/* One for the caller, and half a list for the next ones; or what the stock gets, where there is no list. H. */
static unsigned nr_wanted(const struct percpu__cache *cache, const struct percpu__cpu_cache *cpu_cache)
{
	if (percpu__has_sections(cache, cpu_cache))
		return cache->magazine_limit / 2 + 2;
	return cpu_cache->depot.nr ? 1 : cache->refill;
}

void *percpu__flow_alloc(struct percpu__cache *cache)
{
	struct percpu__cpu_cache *cpu_cache = percpu__cpu_cache_here(cache);
	struct percpu__free_list left = { NULL, 0 };
	void *links[PERCPU__CACHE_SLOTS];
	unsigned nr;

	percpu_inc(&cache->cpu_caches->nr_refills);
	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	percpu__magazine_start(cache, cpu_cache);
	percpu__lock(&cpu_cache->lock);
	nr = refill(cache, cpu_cache, links, nr_wanted(cache, cpu_cache));
	if (!nr && cache->fences) {
		percpu__unlock(&cpu_cache->lock);
		percpu__remote_batches_collect(cache);
		percpu__lock(&cpu_cache->lock);
		nr = refill(cache, cpu_cache, links, nr_wanted(cache, cpu_cache));
	}
	if (!nr && percpu__slabs_grow(cache, cpu_cache))
		nr = refill(cache, cpu_cache, links, nr_wanted(cache, cpu_cache));
	if (nr)
		put_many(cache, cpu_cache, links + 1, nr - 1);
	/* What others freed may be more than this CPU will ever free. Not with RCU: a thread that allocates need not know it. */
	if (!cache->rcu)
		trim_depot(cache, cpu_cache, 2 * (uint64_t)cache->depot_limit, &left);
	unlock_and_flush(cache, cpu_cache, &left, false);
	return nr ? links[0] : NULL;
}

static bool is_full(const struct percpu__cache *cache, const struct percpu__cpu_cache *cpu_cache)
{
	return __atomic_load_n(&cpu_cache->magazine.word, __ATOMIC_RELAXED) % 65536 >= cache->magazine_limit;
}

/* What the list did not take. */
static void free_local(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, void *link)
{
	struct percpu__free_list left = { NULL, 0 };

	percpu__magazine_start(cache, cpu_cache);
	percpu__lock(&cpu_cache->lock);
	if (percpu__has_sections(cache, cpu_cache)) {
		trim_depot(cache, cpu_cache, 2 * (uint64_t)cache->depot_limit, &left);
		if (is_full(cache, cpu_cache))
			flush_magazine(cache, cpu_cache, &left);
		put_many(cache, cpu_cache, &link, 1);
	} else {
		if (percpu__unlikely(percpu__free_list_ends_with(&cpu_cache->depot, link)))
			percpu__cache_fatal(cache, "percpu_cache_free", percpu__object_of(cache, link), PERCPU__FAULT_DOUBLE_FREE);
		trim_depot(cache, cpu_cache, cache->depot_limit, &left);
		percpu__free_list_push(cache, &cpu_cache->depot, link);
	}
	unlock_and_flush(cache, cpu_cache, &left, true);
}

void percpu__flow_free(struct percpu__cache *cache, void *link, unsigned owner_cpu)
{
	struct percpu__cpu_cache *here = percpu__cpu_cache_here(cache);

	if (owner_cpu == here->copy) {
		free_local(cache, here, link);
		return;
	}
	percpu__remote_batch_free(cache, link, owner_cpu);
	percpu__age_all(cache, percpu__now_ms(), true);
}

void percpu__flow_free_to(struct percpu__cache *cache, void *link, unsigned copy)
{
	struct percpu__cpu_cache *here = percpu__cpu_cache_here(cache), *there = percpu__cpu_cache_at(cache, copy);
	struct percpu__free_list alone = { NULL, 0 };

	if (here == there) {
		free_local(cache, here, link);
		return;
	}
	/* No batch: the next to need it is known, and may be about to. */
	percpu__lock(&here->lock);
	percpu__free_list_push(cache, &alone, link);
	if (percpu__remote_push(cache, there, &alone, link))
		alone = (struct percpu__free_list){ NULL, 0 };
	percpu__unlock(&here->lock);
	percpu__slabs_return_all(cache, &alone);
	percpu__age_all(cache, percpu__now_ms(), true);
}

/* ---- giving back ---- */

/* Moves the list of a copy that nobody's section can touch. H. */
static void take_magazine(const struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, struct percpu__free_list *list)
{
	const uint64_t word = cpu_cache->magazine.word, nr = word % 65536;

	for (uint64_t i = 0; i < nr; i++) {
		percpu__take_over(cpu_cache->magazine.slot[i]);
		percpu__free_list_push(cache, list, cpu_cache->magazine.slot[i]);
	}
	__atomic_store_n(&cpu_cache->magazine.word, word - nr, __ATOMIC_RELAXED);
	cpu_cache->nr_drained += nr;
}

bool percpu__cpu_cache_trim(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache)
{
	struct percpu__free_list left = { NULL, 0 };
	bool all;

	percpu__lock(&cpu_cache->lock);
	if (!cpu_cache->depot.nr)
		cpu_cache->depot = percpu__remote_take(cpu_cache);
	trim_depot(cache, cpu_cache, 1, &left);
	all = !cpu_cache->depot.nr && !__atomic_load_n(&cpu_cache->remote, __ATOMIC_RELAXED);
	percpu__remote_flush(cache, &left);
	percpu__unlock(&cpu_cache->lock);
	percpu__slabs_return_all(cache, &left);
	return all;
}

static void drain(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, bool magazine_too)
{
	struct percpu__free_list remote, left = { NULL, 0 };

	percpu__lock(&cpu_cache->lock);
	if (magazine_too)
		take_magazine(cache, cpu_cache, &cpu_cache->depot);
	percpu__slabs_return(cache, cpu_cache, &cpu_cache->depot, UINT64_MAX, &left);
	remote = percpu__remote_take(cpu_cache);
	percpu__slabs_return(cache, cpu_cache, &remote, UINT64_MAX, &left);
	percpu__remote_flush(cache, &left);
	percpu__unlock(&cpu_cache->lock);
	percpu__slabs_return_all(cache, &left);
}

void percpu__cpu_cache_drain(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache)
{
	percpu__remote_batches_flush(cache, cpu_cache);
	drain(cache, cpu_cache, true);
}

void percpu__cpu_caches_drain(struct percpu__cache *cache, bool alone)
{
	const bool magazine_too = cache->fences || alone;

	for (struct percpu__cpu_cache *cpu_cache = cache->used; magazine_too && cpu_cache; cpu_cache = cpu_cache->next_used)
		percpu__remote_batches_flush(cache, cpu_cache);
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		drain(cache, cpu_cache, magazine_too);
	/* What was handed to other CPUs than its own has only now come home. */
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		drain(cache, cpu_cache, false);
}

void percpu__magazines_forget(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used) {
		const uint64_t nr = cpu_cache->magazine.word % 65536;

		cpu_cache->magazine.word -= nr;
		cpu_cache->nr_drained += nr;
	}
}
