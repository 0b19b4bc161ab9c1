/* SPDX-License-Identifier: MIT */
/*
 * Owns the slabs of a CPU cache: which of them contain free objects, and how empty ones, that
 * contain all of their objects, go back to the arena. age.c decides when.
 */
#include "cache/depot.h"

#include "cache/rcu.h"
#include "cache/registry.h"
#include "cache/slab.h"

/* ---- lists of slabs; owner's lock held ---- */

enum { NOWHERE, PARTIAL, EMPTY };

static struct percpu__slab_list *list_of(struct percpu__cpu_cache *cpu_cache, unsigned listed)
{
	return listed == PARTIAL ? &cpu_cache->partial : &cpu_cache->empty;
}

static void unlist(struct percpu__cpu_cache *cpu_cache, struct percpu__slab *slab)
{
	struct percpu__slab_list *list = list_of(cpu_cache, slab->listed);

	if (slab->listed == NOWHERE)
		return;
	if (slab->prev)
		slab->prev->next = slab->next;
	else
		list->first = slab->next;
	if (slab->next)
		slab->next->prev = slab->prev;
	else
		list->last = slab->prev;
	list->nr--;
	if (list == &cpu_cache->empty && list->nr < cpu_cache->age.nr_least)
		cpu_cache->age.nr_least = list->nr;
	slab->listed = NOWHERE;
}

static void enlist(struct percpu__cpu_cache *cpu_cache, struct percpu__slab *slab, unsigned where)
{
	struct percpu__slab_list *list = list_of(cpu_cache, where);

	slab->prev = NULL;
	slab->next = list->first;
	if (slab->next)
		slab->next->prev = slab;
	else
		list->last = slab;
	list->first = slab;
	list->nr++;
	slab->listed = where;
}

/* Returns: the list for a slab with that many free objects. */
static unsigned where_of(const struct percpu__cache *cache, const struct percpu__slab *slab)
{
	return !slab->nr_free ? NOWHERE : slab->nr_free == cache->nr_per_slab ? EMPTY : PARTIAL;
}

/* Moves the slab to the list that its number of free objects requires. */
static void relist(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
		   struct percpu__slab *slab)
{
	const unsigned where = where_of(cache, slab);

	if (slab->listed == where)
		return;
	unlist(cpu_cache, slab);
	if (where != NOWHERE)
		enlist(cpu_cache, slab, where);
}

static bool check_list(const struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
		       unsigned listed)
{
	const struct percpu__slab_list *list = list_of(cpu_cache, listed);
	const struct percpu__slab *prev = NULL;
	struct percpu__slab *slab = list->first;

	for (size_t i = 0; i < list->nr; i++) {
		if (!slab || slab->prev != prev || slab->listed != listed ||
		    where_of(cache, slab) != listed ||
		    slab->magazine != percpu__magazine_of(cache, cpu_cache->copy) ||
		    !percpu__slab_check_invariants(cache, slab))
			return false;
		prev = slab;
		slab = slab->next;
	}
	return !slab && list->last == prev;
}

bool percpu__slabs_check_invariants(const struct percpu__cache *cache,
				    struct percpu__cpu_cache *cpu_cache)
{
	return cpu_cache->partial.nr + cpu_cache->empty.nr <= cpu_cache->nr_slabs &&
	       cpu_cache->age.nr_least <= cpu_cache->empty.nr &&
	       check_list(cache, cpu_cache, PARTIAL) && check_list(cache, cpu_cache, EMPTY);
}

/* ---- objects ---- */

void percpu__slabs_return_many(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			       void *const *links, unsigned nr, struct percpu__free_list *left)
{
	for (unsigned i = 0; i < nr; i++) {
		struct percpu__slab *slab = percpu__slab_of((uintptr_t)links[i]);

		if (percpu__unlikely(percpu__owner_of(slab) != cpu_cache)) {
			percpu__free_list_push(cache, left, links[i]);
			continue;
		}
		percpu__slab_return(cache, slab, links[i]);
		relist(cache, cpu_cache, slab);
	}
}

void percpu__slabs_return(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			  struct percpu__free_list *list, uint64_t nr,
			  struct percpu__free_list *left)
{
	void *links[64];

	while (nr && list->nr) {
		const unsigned taken =
			percpu__free_list_pop_many(cache, list, links, nr < 64 ? nr : 64);

		percpu__slabs_return_many(cache, cpu_cache, links, taken, left);
		nr -= taken;
	}
}

void percpu__slabs_return_all(struct percpu__cache *cache, struct percpu__free_list *list)
{
	while (list->nr) {
		void *link = percpu__free_list_pop(cache, list);
		struct percpu__slab *slab = percpu__slab_of((uintptr_t)link);
		struct percpu__cpu_cache *cpu_cache = percpu__owner_of(slab);

		percpu__lock(&cpu_cache->lock);
		percpu__slab_return(cache, slab, link);
		relist(cache, cpu_cache, slab);
		percpu__unlock(&cpu_cache->lock);
	}
}

/*
 * Calls the program's constructor, which may block, fork, use this cache, or never return: the
 * objects count as used meanwhile. Context: owner's lock held; dropped during the calls.
 */
static __attribute__((noinline)) void construct(struct percpu__cache *cache,
						struct percpu__cpu_cache *cpu_cache,
						void *const *links, unsigned nr)
{
	percpu__unlock(&cpu_cache->lock);
	for (unsigned i = 0; i < nr; i++)
		cache->ctor(percpu__object_of(cache, links[i]));
	percpu__lock(&cpu_cache->lock);
}

/*
 * Returns: true if some objects of the slab were never carved, so that their memory may be
 * untouched.
 */
static bool is_fresh(const struct percpu__cache *cache, const struct percpu__slab *slab)
{
	return percpu__arena.fresh[percpu__slab_index(slab)] < cache->nr_per_slab;
}

unsigned percpu__slabs_carve(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache,
			     void **links, unsigned nr)
{
	unsigned nr_carved = 0, nr_unconstructed = 0;

	/* Unconstructed objects are the last of a slab, and stay last in links. */
	while (nr_carved < nr && !nr_unconstructed) {
		struct percpu__slab *slab = cpu_cache->partial.first ? cpu_cache->partial.first
								     : cpu_cache->empty.first;

		if (!slab)
			break;
		if (is_fresh(cache, slab) && nr > cache->refill) {
			nr = cache->refill;
			continue;
		}
		nr_carved += percpu__slab_carve(cache, slab, links + nr_carved, nr - nr_carved,
						&nr_unconstructed);
		relist(cache, cpu_cache, slab);
	}
	if (nr_unconstructed)
		construct(cache, cpu_cache, links + nr_carved - nr_unconstructed, nr_unconstructed);
	return nr_carved;
}

bool percpu__slabs_grow(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache)
{
	struct percpu__slab *slab =
		percpu__arena_take(cache->order, percpu__copy_node(cpu_cache->copy));

	if (!slab)
		return false;
	percpu__slab_init(cache, slab, cpu_cache->copy);
	cpu_cache->nr_slabs++;
	relist(cache, cpu_cache, slab);
	return true;
}

/* ---- trim ---- */

struct percpu__slab *percpu__slabs_take_empty(struct percpu__cpu_cache *cpu_cache, size_t nr)
{
	struct percpu__slab *taken = NULL;

	for (; nr && cpu_cache->empty.last; nr--) {
		struct percpu__slab *slab = cpu_cache->empty.last;

		unlist(cpu_cache, slab);
		cpu_cache->nr_slabs--;
		slab->next = taken;
		taken = slab;
	}
	return taken;
}

struct percpu__slab *percpu__slabs_take_all_empty(struct percpu__cache *cache)
{
	struct percpu__slab *all = NULL, **end = &all;

	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache;
	     cpu_cache = cpu_cache->next_used) {
		percpu__lock(&cpu_cache->lock);
		*end = percpu__slabs_take_empty(cpu_cache, SIZE_MAX);
		percpu__unlock(&cpu_cache->lock);
		while (*end)
			end = &(*end)->next;
	}
	return all;
}

static void trim(struct percpu__cache *cache, struct percpu__slab *slabs)
{
	uint64_t nr = 0;

	for (const struct percpu__slab *slab = slabs; slab; slab = slab->next)
		nr++;
	__atomic_fetch_add(&cache->nr_returned, nr, __ATOMIC_RELAXED);
	percpu__arena_trim(slabs);
}

/* Called by RCU after the grace period. storage: the next and prev of the slab. */
static void trim_later(void *storage)
{
	struct percpu__slab *slab =
		(struct percpu__slab *)((char *)storage - offsetof(struct percpu__slab, next));
	struct percpu__cache *cache = slab->cache;

	slab->next = NULL;
	trim(cache, slab);
	percpu__cache_put_waiting(cache, 1);
}

void percpu__slabs_release(struct percpu__cache *cache, struct percpu__slab *slabs, bool may_wait)
{
	if (!slabs)
		return;
	if (cache->rcu && may_wait)
		percpu__rcu_wait(cache->rcu);
	if (!cache->rcu || may_wait) {
		trim(cache, slabs);
		return;
	}
	while (slabs) {
		struct percpu__slab *slab = slabs;

		slabs = slab->next;
		__atomic_fetch_add(&cache->nr_waiting, 1, __ATOMIC_RELAXED);
		percpu__rcu_call(cache->rcu, &slab->next, trim_later);
	}
}
