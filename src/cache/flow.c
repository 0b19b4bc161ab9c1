/* SPDX-License-Identifier: MIT */
/*
 * Owns the movement of objects between the levels of a cache.
 *
 * An allocation that finds the CPU's magazine empty takes objects from the first of these that has
 * any, and refills half the magazine:
 *
 *	depot -> remote free list, taken whole -> partial slabs, then empty slabs
 *	      -> remote batches of other CPUs, taken by stopping them -> a new slab
 *
 * A free that finds the magazine full flushes its older half to the depot first; if the depot has
 * enough, its newer half to the slabs instead. A remote free flushes the CPU's remote batch. On a
 * copy without a magazine, objects are freed to the depot.
 */
#include "cache/flow.h"

#include "cache/age.h"
#include "cache/depot.h"
#include "cache/rcu.h"
#include "cache/remote.h"

/* ---- excess ---- */

/* Objects that could not be pushed to their owners, and idle slabs: dealt with after unlocking. */
struct excess {
	struct percpu__free_list left;
	struct percpu__slab *slabs;
};

/*
 * Takes the slabs that are due, and pushes objects of other owners onto their remote free lists.
 * frees: the caller frees an object, so it may call the cache's RCU. Context: owner's lock held.
 * Returns: the time. It is read under the lock, so that the copy's age never goes back.
 */
static uint64_t take_excess(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			    struct excess *excess, bool frees)
{
	const uint64_t now_ms = percpu__now_ms();

	if (!cache->rcu || (frees && percpu__rcu_can_call()))
		excess->slabs = percpu__age_take_due_here(cache, cpu_cache, now_ms);
	percpu__remote_flush(cache, &excess->left);
	return now_ms;
}

/* Context: no owner's lock held. */
static void release_excess(struct percpu__cache *cache, struct excess *excess)
{
	percpu__slabs_return_all(cache, &excess->left);
	percpu__slabs_release(cache, excess->slabs, false);
}

/* ---- magazine and depot; owner's lock held, and the caller may migrate at any time ---- */

/* Takes up to nr links from the magazine, last freed first. Returns: the number taken. */
static unsigned take_many(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			  void **links, unsigned nr)
{
	char *const magazine = percpu__magazine_of(cache, cpu_cache->copy);
	unsigned taken = 0;

	while (taken < nr &&
	       percpu__cache_take_from(&cache->pub.own_magazines, &magazine, &links[taken]))
		taken++;
	cpu_cache->nr_flushed += taken;
	return taken;
}

/* Puts links into the magazine, links[0] last; those that it does not accept go to the depot. */
static void put_many(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, void **links,
		     unsigned nr)
{
	char *const magazine = percpu__magazine_of(cache, cpu_cache->copy);

	while (nr && percpu__has_sections(cache, cpu_cache) &&
	       percpu__cache_put(&cache->pub.own_magazines, &magazine, links[nr - 1]))
		nr--;
	while (nr)
		percpu__free_list_push(cache, &cpu_cache->depot, links[--nr]);
}

/* Returns objects of a depot that has `enough` to the slabs; the bound keeps others' wait short. */
static void trim_depot(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
		       uint64_t enough, struct percpu__free_list *left)
{
	const uint64_t most = 2 * (uint64_t)cache->depot_limit;

	if (cpu_cache->depot.nr >= enough)
		percpu__slabs_return(cache, cpu_cache, &cpu_cache->depot, most, left);
}

/*
 * Makes room in a full magazine: flushes its older half to the depot. If the depot has enough, the
 * program is freeing many objects, and the newer half goes to the slabs, so that the older half
 * need not be taken out and put back.
 */
static void flush_magazine(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			   struct percpu__free_list *left)
{
	const bool enough = cpu_cache->depot.nr >= cache->depot_limit;
	const unsigned limit = cache->magazine_limit;
	void *links[PERCPU__CACHE_SLOTS];
	const unsigned nr = take_many(cache, cpu_cache, links, enough ? limit / 2 + 1 : limit);
	const unsigned kept = nr / 2;

	if (enough) {
		percpu__slabs_return_many(cache, cpu_cache, links, nr, left);
		return;
	}
	for (unsigned i = nr; i > kept; i--)
		percpu__free_list_push(cache, &cpu_cache->depot, links[i - 1]);
	put_many(cache, cpu_cache, links, kept);
}

/* ---- remote batches ---- */

/* Flushes the stopped batches of a copy. Context: cache lock held. */
static void flush_batches(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache)
{
	for (unsigned i = 0; i < cache->nr_batches; i++) {
		struct percpu__remote_batch *batch = &cpu_cache->remote_batch[i];
		struct percpu__free_list left = { NULL, 0 };
		void *links[PERCPU__BATCH_MAX];
		const unsigned nr = batch->head.nr;

		/* Atomic, because percpu__remote_batches_any may look. */
		__atomic_store_n(&batch->head.nr, 0, __ATOMIC_RELAXED);
		for (unsigned slot = 0; slot < nr; slot++) {
			links[slot] = batch->slot[slot];
			percpu__take_over(links[slot]);
		}
		percpu__remote_push_many(cache, links, nr, &left);
		percpu__slabs_return_all(cache, &left);
	}
}

/* Flushes the batches of all copies, if they hold anything. Context: no lock held. */
static void collect_batches(struct percpu__cache *cache)
{
	struct percpu__cpu_cache *cpu_cache;
	bool stopped;

	if (!percpu__remote_batches_any(cache))
		return;
	percpu__lock(&cache->lock);
	for (cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		percpu__remote_batches_set_limit(cache, cpu_cache, 0);
	stopped = percpu__magazines_stopped(cache);
	for (cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used) {
		if (stopped)
			flush_batches(cache, cpu_cache);
		if (percpu__has_sections(cache, cpu_cache) &&
		    !percpu__is_locked_for_fork(&cache->lock))
			percpu__remote_batches_set_limit(cache, cpu_cache, cache->batch_limit);
	}
	percpu__unlock(&cache->lock);
}

/* Frees a link that this CPU's remote batch did not accept: starts the batch, or flushes it. */
static void free_remote(struct percpu__cache *cache, struct percpu__cpu_cache *here, void *link,
			unsigned owner_cpu)
{
	struct percpu__remote_batch __percpu *batch = percpu__remote_batch_for(cache, owner_cpu);
	void *links[PERCPU__BATCH_MAX + 1] = { link };
	struct percpu__free_list left = { NULL, 0 };
	unsigned nr = 1;

	percpu__magazine_start(cache, here);
	percpu__lock(&here->lock);
	while (nr <= PERCPU__BATCH_MAX && (links[nr] = percpu__stack_pop(&batch->head)))
		nr++;
	/* An empty batch was stopped, and may accept the link now. */
	if (nr > 1 || !percpu__remote_batch_push(cache, link, owner_cpu))
		percpu__remote_push_many(cache, links, nr, &left);
	percpu__unlock(&here->lock);
	percpu__slabs_return_all(cache, &left);
}

/* ---- alloc and free ---- */

/*
 * Takes up to nr links, next to be allocated first, from the nearest level that has any.
 * Context: owner's lock held; dropped while constructors run. Returns: the number taken.
 */
static unsigned refill(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
		       void **links, unsigned nr)
{
	if (!cpu_cache->depot.nr)
		cpu_cache->depot = percpu__remote_take(cpu_cache);
	return cpu_cache->depot.nr ?
		       percpu__free_list_pop_many(cache, &cpu_cache->depot, links, nr) :
		       percpu__slabs_carve(cache, cpu_cache, links, nr);
}

/*
 * Returns: the links for a refill: one for the caller and half a magazine; on a copy without a
 * magazine, enough for the depot. Context: owner's lock held.
 */
static unsigned nr_wanted(const struct percpu__cache *cache,
			  const struct percpu__cpu_cache *cpu_cache)
{
	if (percpu__has_sections(cache, cpu_cache))
		return cache->magazine_limit / 2 + 2;
	return cpu_cache->depot.nr ? 1 : cache->refill;
}

void *percpu__flow_alloc(struct percpu__cache *cache, uint64_t *now_ms)
{
	struct percpu__cpu_cache *cpu_cache = percpu__cpu_cache_here(cache);
	struct excess excess = { { NULL, 0 }, NULL };
	void *links[PERCPU__CACHE_SLOTS];
	unsigned nr;

	percpu_inc(&cache->cpu_caches->nr_refills);
	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	percpu__magazine_start(cache, cpu_cache);
	percpu__lock(&cpu_cache->lock);
	nr = refill(cache, cpu_cache, links, nr_wanted(cache, cpu_cache));
	if (!nr && cache->fences) {
		percpu__unlock(&cpu_cache->lock);
		collect_batches(cache);
		percpu__lock(&cpu_cache->lock);
		nr = refill(cache, cpu_cache, links, nr_wanted(cache, cpu_cache));
	}
	if (!nr && percpu__slabs_grow(cache, cpu_cache))
		nr = refill(cache, cpu_cache, links, nr_wanted(cache, cpu_cache));
	if (nr)
		put_many(cache, cpu_cache, links + 1, nr - 1);
	/*
	 * Other CPUs may have freed more than this CPU ever will. Not with RCU, because a thread
	 * that allocates need not be registered with the flavour.
	 */
	if (!cache->rcu)
		trim_depot(cache, cpu_cache, 2 * (uint64_t)cache->depot_limit, &excess.left);
	*now_ms = take_excess(cache, cpu_cache, &excess, false);
	percpu__unlock(&cpu_cache->lock);
	release_excess(cache, &excess);
	return nr ? links[0] : NULL;
}

static bool is_full(const struct percpu__cache *cache, const struct percpu__cpu_cache *cpu_cache)
{
	const uint64_t word = __atomic_load_n(&cpu_cache->magazine.word, __ATOMIC_RELAXED);

	return percpu__magazine_nr(word) >= cache->magazine_limit;
}

/* Frees a link of the copy that its magazine did not accept. Returns: the time. */
static uint64_t free_local(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			   void *link)
{
	struct excess excess = { { NULL, 0 }, NULL };
	uint64_t now_ms;

	percpu__magazine_start(cache, cpu_cache);
	percpu__lock(&cpu_cache->lock);
	if (percpu__has_sections(cache, cpu_cache)) {
		trim_depot(cache, cpu_cache, 2 * (uint64_t)cache->depot_limit, &excess.left);
		if (is_full(cache, cpu_cache))
			flush_magazine(cache, cpu_cache, &excess.left);
		put_many(cache, cpu_cache, &link, 1);
	} else {
		if (percpu__unlikely(percpu__free_list_ends_with(&cpu_cache->depot, link)))
			percpu__cache_fatal(cache, "percpu_cache_free",
					    percpu__object_of(cache, link),
					    PERCPU__FAULT_DOUBLE_FREE);
		trim_depot(cache, cpu_cache, cache->depot_limit, &excess.left);
		percpu__free_list_push(cache, &cpu_cache->depot, link);
	}
	now_ms = take_excess(cache, cpu_cache, &excess, true);
	percpu__unlock(&cpu_cache->lock);
	release_excess(cache, &excess);
	return now_ms;
}

uint64_t percpu__flow_free(struct percpu__cache *cache, void *link, unsigned owner_cpu)
{
	struct percpu__cpu_cache *here = percpu__cpu_cache_here(cache);

	if (owner_cpu == here->copy)
		return free_local(cache, here, link);
	free_remote(cache, here, link, owner_cpu);
	return percpu__now_ms();
}

uint64_t percpu__flow_free_to(struct percpu__cache *cache, void *link, unsigned copy)
{
	struct percpu__cpu_cache *here = percpu__cpu_cache_here(cache);
	struct percpu__cpu_cache *there = percpu__cpu_cache_at(cache, copy);
	struct percpu__free_list list = { NULL, 0 };

	if (here == there)
		return free_local(cache, here, link);
	/* Bypass the remote batch: the target CPU is known and may be about to allocate. */
	percpu__lock(&here->lock);
	percpu__free_list_push(cache, &list, link);
	if (percpu__remote_push(cache, there, &list, link))
		list = (struct percpu__free_list){ NULL, 0 };
	percpu__unlock(&here->lock);
	percpu__slabs_return_all(cache, &list);
	return percpu__now_ms();
}

/* ---- trim and drain ---- */

bool percpu__flow_trim(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache)
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

/*
 * Moves depot, remote free list and, if asked, a magazine that critical sections cannot touch to
 * the slabs. Context: cache lock held; takes the owner's lock.
 */
static void drain(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
		  bool magazine_too)
{
	struct percpu__free_list remote, left = { NULL, 0 };

	percpu__lock(&cpu_cache->lock);
	if (magazine_too)
		percpu__magazine_take_all(cache, cpu_cache, &cpu_cache->depot);
	percpu__slabs_return(cache, cpu_cache, &cpu_cache->depot, UINT64_MAX, &left);
	remote = percpu__remote_take(cpu_cache);
	percpu__slabs_return(cache, cpu_cache, &remote, UINT64_MAX, &left);
	percpu__remote_flush(cache, &left);
	percpu__unlock(&cpu_cache->lock);
	percpu__slabs_return_all(cache, &left);
}

void percpu__flow_drain(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache)
{
	flush_batches(cache, cpu_cache);
	drain(cache, cpu_cache, true);
}

void percpu__flow_drain_all(struct percpu__cache *cache, bool alone)
{
	const bool magazines_too = cache->fences || alone;
	struct percpu__cpu_cache *cpu_cache;

	if (magazines_too)
		for (cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
			flush_batches(cache, cpu_cache);
	for (cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		drain(cache, cpu_cache, magazines_too);
	/*
	 * Objects that were drained on a CPU that does not own them have only now reached their
	 * owner.
	 */
	for (cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		drain(cache, cpu_cache, false);
}
