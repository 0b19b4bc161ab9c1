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
#include "cache/chain.h"

/* ---- copies ---- */

static struct percpu__home *make_ready(struct percpu__cache *cache, struct percpu__home *home, unsigned copy)
{
	percpu__lock(&cache->lock);
	if (!home->ready) {
		percpu__lock_init(&home->lock, PERCPU__RANK_HOME);
		percpu__lock_made_in_fork(&home->lock, &cache->lock);
		home->copy = copy;
		home->next_used = cache->used;
		__atomic_store_n(&home->ready, true, __ATOMIC_RELEASE); /* pairs with percpu__home_at */
		__atomic_store_n(&cache->used, home, __ATOMIC_RELEASE); /* pairs with any_has_a_batch */
	}
	percpu__unlock(&cache->lock);
	return home;
}

struct percpu__home *percpu__home_at(struct percpu__cache *cache, unsigned copy)
{
	struct percpu__home *home = percpu_ptr(cache->homes, copy);

	/* pairs with make_ready */
	return percpu__likely(__atomic_load_n(&home->ready, __ATOMIC_ACQUIRE)) ? home : make_ready(cache, home, copy);
}

struct percpu__home *percpu__home_here(struct percpu__cache *cache)
{
	return percpu__home_at(cache, percpu_this_cpu());
}

void percpu__homes_lock(struct percpu__cache *cache)
{
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		percpu__lock_nested(&home->lock);
}

void percpu__homes_unlock(struct percpu__cache *cache)
{
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		percpu__unlock(&home->lock);
}

void percpu__homes_lock_for_fork(struct percpu__cache *cache)
{
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		percpu__lock_for_fork(&home->lock);
}

void percpu__homes_unlock_after_fork(struct percpu__cache *cache)
{
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		percpu__unlock_after_fork(&home->lock);
}

/* ---- open and closed ---- */

/*
 * Whoever sees what is open again sees what was done while it was closed: so sections look at a limit, or a
 * line, first. The release pairs with percpu__cache_take.
 */
static void set_lines(struct percpu__cache *cache, bool open)
{
	char *line = open ? (char *)(uintptr_t)cache->homes : cache->closed_line;

	__atomic_store_n(&cache->pub.own_line, line, __ATOMIC_RELEASE);
	if (cache->inlines)
		__atomic_store_n(&cache->pub.line, line, __ATOMIC_RELEASE);
}

static bool is_open(const struct percpu__cache *cache, const struct percpu__home *home)
{
	return __atomic_load_n(&cache->pub.own_line, __ATOMIC_RELAXED) != cache->closed_line &&
	       __atomic_load_n(&home->list.limit, __ATOMIC_RELAXED) &&
	       (!cache->batches || __atomic_load_n(&home->batch[0].head.limit, __ATOMIC_RELAXED));
}

void percpu__home_open(struct percpu__cache *cache, struct percpu__home *home)
{
	if (percpu__likely(is_open(cache, home)) || !percpu__has_sections(cache, home))
		return;
	percpu__lock(&cache->lock);
	if (percpu__likely(!percpu__is_locked_for_fork(&cache->lock))) { /* else it stays closed */
		__atomic_store_n(&home->list.limit, cache->limit, __ATOMIC_RELAXED);
		if (cache->batches)
			percpu__batches_set_limit(cache, home, cache->batch);
		set_lines(cache, true);
	}
	percpu__unlock(&cache->lock);
}

void percpu__homes_close(struct percpu__cache *cache)
{
	if (!cache->fences)
		return;
	set_lines(cache, false);
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		percpu__batches_set_limit(cache, home, 0);
}

bool percpu__homes_fence(struct percpu__cache *cache)
{
	if (cache->fences && cache->used && !percpu__fence())
		cache->fences = false; /* a filter, put up since: lists and batches are their CPU's alone from now on */
	return cache->fences;
}

/* ---- between the list and the stock; H, and the caller may move away at any time ---- */

/* Takes up to nr links from the list, last freed first. Returns: how many. */
static unsigned take_many(struct percpu__cache *cache, struct percpu__home *home, void **links, unsigned nr)
{
	char *const list = percpu__list_of(cache, home->copy);
	unsigned taken = 0;

	while (taken < nr && percpu__cache_take_from(&cache->pub.own_line, &list, &links[taken]))
		taken++;
	home->nr_relieved += taken;
	return taken;
}

/* Puts links into the list, links[0] last; what it does not take goes to the stock. */
static void put_many(struct percpu__cache *cache, struct percpu__home *home, void **links, unsigned nr)
{
	char *const list = percpu__list_of(cache, home->copy);

	while (nr && percpu__has_sections(cache, home) && percpu__cache_put(&cache->pub.own_line, &list, links[nr - 1]))
		nr--;
	while (nr)
		percpu__chain_push(cache, &home->stock, links[--nr]);
}

/* The policy: a stock of enough links goes back to the slabs, but no more at a time than anyone may wait for. */
static void retire(struct percpu__cache *cache, struct percpu__home *home, uint64_t enough, struct percpu__chain *left)
{
	if (home->stock.nr >= enough)
		percpu__stock_take_back(cache, home, &home->stock, 2 * (uint64_t)cache->stock_limit, left);
}

/* Sends home what is left, unlocks, and gives back the slabs that nobody needs. frees: the caller knows of readers. */
static void leave(struct percpu__cache *cache, struct percpu__home *home, struct percpu__chain *left, bool frees)
{
	const uint64_t now_ms = percpu__now_ms();
	struct percpu__slab *idle = !cache->rcu || (frees && percpu__rcu_can_call()) ? percpu__home_age(cache, home, now_ms) : NULL;

	percpu__send_home(cache, left);
	percpu__unlock(&home->lock);
	percpu__take_back_all(cache, left);
	percpu__slabs_release(cache, idle, false);
	percpu__age_all(cache, now_ms, frees);
}

/*
 * Room in a list that is full: its older half goes to the stock. Where that has enough, somebody frees for long, and
 * the newer half goes to the slabs, which need not be taken out of it and put in again.
 */
static void spill(struct percpu__cache *cache, struct percpu__home *home, struct percpu__chain *left)
{
	const bool enough = home->stock.nr >= cache->stock_limit;
	void *links[PERCPU__CACHE_SLOTS];
	const unsigned nr = take_many(cache, home, links, enough ? cache->limit / 2 + 1 : cache->limit), kept = nr / 2;

	if (enough) {
		percpu__stock_take_back_many(cache, home, links, nr, left);
		return;
	}
	for (unsigned i = nr; i > kept; i--)
		percpu__chain_push(cache, &home->stock, links[i - 1]);
	put_many(cache, home, links, kept);
}

/* ---- alloc and free ---- */

/* Takes up to nr links, the next to be given first, from the nearest place that has any. H. */
static unsigned gather(struct percpu__cache *cache, struct percpu__home *home, void **links, unsigned nr)
{
	if (!home->stock.nr)
		home->stock = percpu__remote_take(home);
	return home->stock.nr ? percpu__chain_pop_many(cache, &home->stock, links, nr)
			      : percpu__stock_cut(cache, home, links, nr);
}

/* One for the caller, and half a list for the next ones; or what the stock gets, where there is no list. H. */
static unsigned nr_wanted(const struct percpu__cache *cache, const struct percpu__home *home)
{
	if (percpu__has_sections(cache, home))
		return cache->limit / 2 + 2;
	return home->stock.nr ? 1 : cache->refill;
}

void *percpu__home_alloc(struct percpu__cache *cache)
{
	struct percpu__home *home = percpu__home_here(cache);
	struct percpu__chain left = { NULL, 0 };
	void *links[PERCPU__CACHE_SLOTS];
	unsigned nr;

	percpu_inc(&cache->homes->nr_refills);
	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	percpu__home_open(cache, home);
	percpu__lock(&home->lock);
	nr = gather(cache, home, links, nr_wanted(cache, home));
	if (!nr && cache->fences) {
		percpu__unlock(&home->lock);
		percpu__batches_collect(cache);
		percpu__lock(&home->lock);
		nr = gather(cache, home, links, nr_wanted(cache, home));
	}
	if (!nr && percpu__stock_grow(cache, home))
		nr = gather(cache, home, links, nr_wanted(cache, home));
	if (nr)
		put_many(cache, home, links + 1, nr - 1);
	/* What others freed may be more than this CPU will ever free. Not with RCU: a thread that allocates need not know it. */
	if (!cache->rcu)
		retire(cache, home, 2 * (uint64_t)cache->stock_limit, &left);
	leave(cache, home, &left, false);
	return nr ? links[0] : NULL;
}

static bool is_full(const struct percpu__cache *cache, const struct percpu__home *home)
{
	return __atomic_load_n(&home->list.word, __ATOMIC_RELAXED) % 65536 >= cache->limit;
}

/* What the list did not take. */
static void free_here(struct percpu__cache *cache, struct percpu__home *home, void *link)
{
	struct percpu__chain left = { NULL, 0 };

	percpu__home_open(cache, home);
	percpu__lock(&home->lock);
	if (percpu__has_sections(cache, home)) {
		retire(cache, home, 2 * (uint64_t)cache->stock_limit, &left);
		if (is_full(cache, home))
			spill(cache, home, &left);
		put_many(cache, home, &link, 1);
	} else {
		if (percpu__unlikely(percpu__chain_ends_with(&home->stock, link)))
			percpu__die("percpu_cache_free", percpu__object_of(cache, link), "freed twice");
		retire(cache, home, cache->stock_limit, &left);
		percpu__chain_push(cache, &home->stock, link);
	}
	leave(cache, home, &left, true);
}

void percpu__home_free(struct percpu__cache *cache, void *link, unsigned home)
{
	struct percpu__home *here = percpu__home_here(cache);

	if (home == here->copy) {
		free_here(cache, here, link);
		return;
	}
	percpu__batch_free(cache, link, home);
	percpu__age_all(cache, percpu__now_ms(), true);
}

void percpu__home_free_to(struct percpu__cache *cache, void *link, unsigned copy)
{
	struct percpu__home *here = percpu__home_here(cache), *there = percpu__home_at(cache, copy);
	struct percpu__chain alone = { NULL, 0 };

	if (here == there) {
		free_here(cache, here, link);
		return;
	}
	/* No batch: the next to need it is known, and may be about to. */
	percpu__lock(&here->lock);
	percpu__chain_push(cache, &alone, link);
	if (percpu__remote_push(cache, there, &alone, link))
		alone = (struct percpu__chain){ NULL, 0 };
	percpu__unlock(&here->lock);
	percpu__take_back_all(cache, &alone);
	percpu__age_all(cache, percpu__now_ms(), true);
}

/* ---- giving back ---- */

/* Moves the list of a copy that nobody's section can touch. H. */
static void take_list(const struct percpu__cache *cache, struct percpu__home *home, struct percpu__chain *chain)
{
	const uint64_t word = home->list.word, nr = word % 65536;

	for (uint64_t i = 0; i < nr; i++) {
		percpu__take_over(home->list.slot[i]);
		percpu__chain_push(cache, chain, home->list.slot[i]);
	}
	__atomic_store_n(&home->list.word, word - nr, __ATOMIC_RELAXED);
	home->nr_drained += nr;
}

bool percpu__home_settle(struct percpu__cache *cache, struct percpu__home *home)
{
	struct percpu__chain left = { NULL, 0 };
	bool all;

	percpu__lock(&home->lock);
	if (!home->stock.nr)
		home->stock = percpu__remote_take(home);
	retire(cache, home, 1, &left);
	all = !home->stock.nr && !__atomic_load_n(&home->remote, __ATOMIC_RELAXED);
	percpu__send_home(cache, &left);
	percpu__unlock(&home->lock);
	percpu__take_back_all(cache, &left);
	return all;
}

static void drain(struct percpu__cache *cache, struct percpu__home *home, bool list_too)
{
	struct percpu__chain remote, left = { NULL, 0 };

	percpu__lock(&home->lock);
	if (list_too)
		take_list(cache, home, &home->stock);
	percpu__stock_take_back(cache, home, &home->stock, UINT64_MAX, &left);
	remote = percpu__remote_take(home);
	percpu__stock_take_back(cache, home, &remote, UINT64_MAX, &left);
	percpu__send_home(cache, &left);
	percpu__unlock(&home->lock);
	percpu__take_back_all(cache, &left);
}

void percpu__home_drain(struct percpu__cache *cache, struct percpu__home *home)
{
	percpu__batches_empty(cache, home);
	drain(cache, home, true);
}

void percpu__homes_drain(struct percpu__cache *cache, bool alone)
{
	const bool list_too = cache->fences || alone;

	for (struct percpu__home *home = cache->used; list_too && home; home = home->next_used)
		percpu__batches_empty(cache, home);
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		drain(cache, home, list_too);
	/* What was handed to other CPUs than its own has only now come home. */
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		drain(cache, home, false);
}

void percpu__homes_forget_lists(struct percpu__cache *cache)
{
	for (struct percpu__home *home = cache->used; home; home = home->next_used) {
		const uint64_t nr = home->list.word % 65536;

		home->list.word -= nr;
		home->nr_drained += nr;
	}
}
