/* SPDX-License-Identifier: MIT */
/*
 * Owns the stock of a home, a chain of free objects behind the CPU's list, and the home's slabs: which have
 * objects in them, and how those with all of them go back to the kernel. When they do is decided in age.c.
 */
#include "cache/chain.h"

/* ---- lists of slabs; H ---- */

enum { NOWHERE, PARTIAL, EMPTY };

static struct percpu__slab_list *list_of(struct percpu__home *home, unsigned listed)
{
	return listed == PARTIAL ? &home->partial : &home->empty;
}

static void unlist(struct percpu__home *home, struct percpu__slab *slab)
{
	struct percpu__slab_list *list = list_of(home, slab->listed);

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
	if (list == &home->empty && list->nr < home->age.nr_least)
		home->age.nr_least = list->nr;
	slab->listed = NOWHERE;
}

static void enlist(struct percpu__home *home, struct percpu__slab *slab, unsigned where)
{
	struct percpu__slab_list *list = list_of(home, where);

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

/* Where its objects say it belongs. */
static unsigned where_of(const struct percpu__cache *cache, const struct percpu__slab *slab)
{
	return !slab->nr_free ? NOWHERE : slab->nr_free == cache->nr_per_slab ? EMPTY : PARTIAL;
}

/* Puts the slab into the list where it belongs. */
static void relist(struct percpu__cache *cache, struct percpu__home *home, struct percpu__slab *slab)
{
	const unsigned where = where_of(cache, slab);

	if (slab->listed == where)
		return;
	unlist(home, slab);
	if (where != NOWHERE)
		enlist(home, slab, where);
}

static bool list_is_valid(const struct percpu__cache *cache, struct percpu__home *home, unsigned listed)
{
	const struct percpu__slab_list *list = list_of(home, listed);
	const struct percpu__slab *prev = NULL;
	struct percpu__slab *slab = list->first;

	for (size_t i = 0; i < list->nr; i++) {
		if (!slab || slab->prev != prev || slab->listed != listed || where_of(cache, slab) != listed ||
		    slab->list != percpu__list_of(cache, home->copy) || !percpu__slab_is_valid(cache, slab))
			return false;
		prev = slab;
		slab = slab->next;
	}
	return !slab && list->last == prev;
}

bool percpu__stock_is_valid(const struct percpu__cache *cache, struct percpu__home *home)
{
	return home->partial.nr + home->empty.nr <= home->nr_slabs && home->age.nr_least <= home->empty.nr &&
	       list_is_valid(cache, home, PARTIAL) &&
	       list_is_valid(cache, home, EMPTY);
}

/* ---- objects ---- */

void percpu__stock_take_back_many(struct percpu__cache *cache, struct percpu__home *home, void *const *links,
				  unsigned nr, struct percpu__chain *left)
{
	for (unsigned i = 0; i < nr; i++) {
		struct percpu__slab *slab = percpu__slab_of((uintptr_t)links[i]);

		if (percpu__unlikely(percpu__owner_of(slab) != home)) {
			percpu__chain_push(cache, left, links[i]);
			continue;
		}
		percpu__slab_take_back(cache, slab, links[i]);
		relist(cache, home, slab);
	}
}

void percpu__stock_take_back(struct percpu__cache *cache, struct percpu__home *home, struct percpu__chain *chain,
			     uint64_t nr, struct percpu__chain *left)
{
	void *links[64];

	while (nr && chain->nr) {
		const unsigned taken = percpu__chain_pop_many(cache, chain, links, nr < 64 ? nr : 64);

		percpu__stock_take_back_many(cache, home, links, taken, left);
		nr -= taken;
	}
}

void percpu__take_back_all(struct percpu__cache *cache, struct percpu__chain *chain)
{
	while (chain->nr) {
		void *link = percpu__chain_pop(cache, chain);
		struct percpu__slab *slab = percpu__slab_of((uintptr_t)link);
		struct percpu__home *home = percpu__owner_of(slab);

		percpu__lock(&home->lock);
		percpu__slab_take_back(cache, slab, link);
		relist(cache, home, slab);
		percpu__unlock(&home->lock);
	}
}

/*
 * The constructor is the program's: it may wait, fork, or use this cache. Objects that are being constructed are in
 * use to all others, and stay so should it never come back.
 */
static __attribute__((noinline)) void construct(struct percpu__cache *cache, struct percpu__home *home, void *const *links,
						unsigned nr)
{
	percpu__unlock(&home->lock);
	for (unsigned i = 0; i < nr; i++)
		cache->ctor(percpu__object_of(cache, links[i]));
	percpu__lock(&home->lock);
}

/* Whether objects of it were never cut out: what is given of them is touched for the first time. */
static bool is_fresh(const struct percpu__cache *cache, const struct percpu__slab *slab)
{
	return percpu__arena.fresh[percpu__slab_index(slab)] < cache->nr_per_slab;
}

unsigned percpu__stock_cut(struct percpu__cache *cache, struct percpu__home *home, void **links, unsigned nr)
{
	unsigned nr_cut = 0, nr_unconstructed = 0;

	/* Those to be constructed are the last. */
	while (nr_cut < nr && !nr_unconstructed) {
		struct percpu__slab *slab = home->partial.first ? home->partial.first : home->empty.first;

		if (!slab)
			break;
		if (is_fresh(cache, slab) && nr > cache->refill) {
			nr = cache->refill;
			continue;
		}
		nr_cut += percpu__slab_cut(cache, slab, links + nr_cut, nr - nr_cut, &nr_unconstructed);
		relist(cache, home, slab);
	}
	if (nr_unconstructed)
		construct(cache, home, links + nr_cut - nr_unconstructed, nr_unconstructed);
	return nr_cut;
}

bool percpu__stock_grow(struct percpu__cache *cache, struct percpu__home *home)
{
	struct percpu__slab *slab = percpu__arena_take(cache->order, percpu__home_node(home->copy));

	if (!slab)
		return false;
	percpu__slab_init(cache, slab, home->copy);
	home->nr_slabs++;
	relist(cache, home, slab);
	return true;
}

/* ---- giving back ---- */

struct percpu__slab *percpu__stock_take_empty(struct percpu__home *home, size_t nr)
{
	struct percpu__slab *taken = NULL;

	for (; nr && home->empty.last; nr--) {
		struct percpu__slab *slab = home->empty.last;

		unlist(home, slab);
		home->nr_slabs--;
		slab->next = taken;
		taken = slab;
	}
	return taken;
}

struct percpu__slab *percpu__homes_take_empty(struct percpu__cache *cache)
{
	struct percpu__slab *all = NULL, **end = &all;

	for (struct percpu__home *home = cache->used; home; home = home->next_used) {
		percpu__lock(&home->lock);
		*end = percpu__stock_take_empty(home, SIZE_MAX);
		percpu__unlock(&home->lock);
		while (*end)
			end = &(*end)->next;
	}
	return all;
}

static void give(struct percpu__cache *cache, struct percpu__slab *slabs)
{
	uint64_t nr = 0;

	for (const struct percpu__slab *slab = slabs; slab; slab = slab->next)
		nr++;
	__atomic_fetch_add(&cache->nr_returned, nr, __ATOMIC_RELAXED);
	percpu__arena_give(slabs);
}

/* After the grace period; the storage is the slab's own links. */
static void give_later(void *storage)
{
	struct percpu__slab *slab = (struct percpu__slab *)((char *)storage - offsetof(struct percpu__slab, next));
	struct percpu__cache *cache = slab->cache;

	slab->next = NULL;
	give(cache, slab);
	percpu__cache_put_waiting(cache, 1);
}

void percpu__slabs_release(struct percpu__cache *cache, struct percpu__slab *slabs, bool may_wait)
{
	if (!slabs)
		return;
	if (cache->rcu && may_wait)
		percpu__rcu_wait(cache->rcu);
	if (!cache->rcu || may_wait) {
		give(cache, slabs);
		return;
	}
	while (slabs) {
		struct percpu__slab *slab = slabs;

		slabs = slab->next;
		__atomic_fetch_add(&cache->nr_waiting, 1, __ATOMIC_RELAXED);
		percpu__rcu_call(cache->rcu, &slab->next, give_later);
	}
}
