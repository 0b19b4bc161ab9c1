/* SPDX-License-Identifier: MIT */
/*
 * Owns homes: what one CPU has of one cache (the table in cache.h tells who may touch what).
 *
 * Where an allocation looks when the CPU's list is empty, in this order:
 *
 *	stock -> remote list, taken whole -> slabs with some objects, then slabs with all
 *	      -> batches of other CPUs, taken by closing them -> a new slab
 *
 * Where a free goes when the list did not take it: to the stock, if the list is full or the CPU has none;
 * if its home is elsewhere, into a batch of this CPU, and with the batch, when that is full, by one
 * compare-and-swap a home to the remote lists.
 *
 * Policy. A list keeps a bounded number of bytes. When it is full it becomes the stock, and the stock before it, the
 * objects that were not wanted longest, goes back to the slabs. A home keeps one empty slab, or an eighth of
 * its slabs; the others go back to the kernel.
 */
#include "cache/cache.h"

#define KEPT_EMPTY_SHARE 8

/* ---- copies ---- */

static struct percpu__home *make_ready(struct percpu__cache *cache, struct percpu__home *home, unsigned copy)
{
	percpu__lock(&cache->lock);
	if (!home->ready) {
		percpu__lock_init(&home->lock, PERCPU__RANK_HOME);
		home->copy = copy;
		home->next_used = cache->used;
		__atomic_store_n(&home->ready, true, __ATOMIC_RELEASE); /* pairs with percpu__home_at */
		__atomic_store_n(&cache->used, home, __ATOMIC_RELEASE); /* pairs with batches_of_others */
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

/* The foreign copy has no sections. */
static bool has_sections(const struct percpu__cache *cache, const struct percpu__home *home)
{
	return cache->sections && home->copy + 1 < percpu_abi.nr_copies;
}

/* ---- open and closed ---- */

/*
 * Whoever sees what is open again sees what was done while it was closed: so sections look at a limit, or a
 * line, first. The releases pair with percpu__stack_push and percpu__cache_take.
 */
static void set_batch_limits(struct percpu__cache *cache, struct percpu__home *home, uint32_t limit)
{
	for (unsigned i = 0; i < cache->nr_stacks; i++)
		__atomic_store_n(&home->batch[i].head.limit, limit, __ATOMIC_RELEASE);
}

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
	       __atomic_load_n(&home->line.limit, __ATOMIC_RELAXED) &&
	       (!cache->batches || __atomic_load_n(&home->batch[0].head.limit, __ATOMIC_RELAXED));
}

/* Opens what a close closed, or what was never open. No lock held. */
static void open_home(struct percpu__cache *cache, struct percpu__home *home)
{
	if (percpu__likely(is_open(cache, home)) || !has_sections(cache, home))
		return;
	percpu__lock(&cache->lock);
	__atomic_store_n(&home->line.limit, cache->limit, __ATOMIC_RELAXED);
	if (cache->batches)
		set_batch_limits(cache, home, cache->batch);
	set_lines(cache, true);
	percpu__unlock(&cache->lock);
}

void percpu__homes_close(struct percpu__cache *cache)
{
	if (!cache->fences)
		return;
	set_lines(cache, false);
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		set_batch_limits(cache, home, 0);
}

bool percpu__homes_fence(struct percpu__cache *cache)
{
	if (cache->fences && cache->used && !percpu__fence())
		cache->fences = false; /* a filter, put up since: lists and batches are their CPU's alone from now on */
	return cache->fences;
}

/* ---- going home ---- */

static struct percpu__slab *slab_of_link(const struct percpu__cache *cache, void *link)
{
	const struct percpu__slab *unit = percpu__slab_at((uintptr_t)link);

	if (percpu__unlikely(unit->tag != cache->id + ((uintptr_t)link >> PERCPU__ARENA_UNIT_SHIFT)))
		percpu__die("a free object's link", link, "written to after the free");
	return percpu__slab_of((uintptr_t)link);
}

static struct percpu__home *home_of_slab(struct percpu__cache *cache, const struct percpu__slab *slab)
{
	return percpu__home_at(cache, slab->home_bytes / PERCPU_STRIDE);
}

/*
 * Pushes nr links, first to last, onto the home's remote list. The release pairs with take_remote.
 * Returns: false where the list is too long for its count.
 */
static bool push_remote(struct percpu__home *home, void *first, void *last, uint64_t nr)
{
	const uint64_t place = ((uintptr_t)first - percpu__arena.base) / PERCPU_CACHE_MIN_SIZE;
	uint64_t before = __atomic_load_n(&home->remote, __ATOMIC_RELAXED);

	do {
		if ((before & PERCPU__REMOTE_MAX) + nr > PERCPU__REMOTE_MAX)
			return false;
		*(void **)last = before ? (void *)(percpu__arena.base + (before >> PERCPU__REMOTE_BITS) * PERCPU_CACHE_MIN_SIZE)
					: NULL;
	} while (!__atomic_compare_exchange_n(&home->remote, &before,
					      place << PERCPU__REMOTE_BITS | ((before & PERCPU__REMOTE_MAX) + nr), true,
					      __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	return true;
}

/* The remote list, whole. The acquire pairs with push_remote. */
static struct percpu__chain take_remote(struct percpu__home *home)
{
	uint64_t all;

	if (!__atomic_load_n(&home->remote, __ATOMIC_RELAXED))
		return (struct percpu__chain){ NULL, 0 };
	all = __atomic_exchange_n(&home->remote, 0, __ATOMIC_ACQUIRE);
	return (struct percpu__chain){
		(void *)(percpu__arena.base + (all >> PERCPU__REMOTE_BITS) * PERCPU_CACHE_MIN_SIZE),
		all & PERCPU__REMOTE_MAX
	};
}

static void relist(struct percpu__cache *cache, struct percpu__home *home, struct percpu__slab *slab);

/* One link for a home whose remote list is full. No home lock held. */
static void take_back_at(struct percpu__cache *cache, struct percpu__slab *slab, void *link)
{
	struct percpu__home *home = home_of_slab(cache, slab);

	percpu__lock(&home->lock);
	percpu__slab_take_back(cache, slab, link);
	relist(cache, home, slab);
	percpu__unlock(&home->lock);
}

/*
 * Sends links to their homes, those of one home together. H of this CPU's copy.
 * Returns: those that found no room.
 */
static struct percpu__chain send_home(struct percpu__cache *cache, void **links, unsigned nr)
{
	struct percpu__chain left = { NULL, 0 };
	unsigned nr_batches = 0, nr_sent = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct percpu__slab *slab;
		uint64_t home_bytes;
		struct percpu__chain chain = { NULL, 0 };

		if (!links[i])
			continue;
		slab = slab_of_link(cache, links[i]);
		home_bytes = slab->home_bytes;
		for (unsigned j = i; j < nr; j++) {
			if (links[j] && (j == i || slab_of_link(cache, links[j])->home_bytes == home_bytes)) {
				percpu__chain_push(&chain, links[j]);
				if (j > i)
					links[j] = NULL;
			}
		}
		nr_batches++;
		nr_sent += chain.nr;
		if (!push_remote(home_of_slab(cache, slab), chain.first, links[i], chain.nr))
			while (chain.nr)
				percpu__chain_push(&left, percpu__chain_pop(&chain));
	}
	percpu_add(&cache->homes->nr_batches, nr_batches);
	percpu_add(&cache->homes->nr_remote, nr_sent);
	return left;
}

/* No home lock held. */
static void take_back_all(struct percpu__cache *cache, struct percpu__chain left)
{
	while (left.nr) {
		void *link = percpu__chain_pop(&left);

		take_back_at(cache, slab_of_link(cache, link), link);
	}
}

/* ---- slabs of a home; H ---- */

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
	list->nr--;
	slab->listed = NOWHERE;
}

static void enlist(struct percpu__home *home, struct percpu__slab *slab, unsigned where)
{
	struct percpu__slab_list *list = list_of(home, where);

	slab->prev = NULL;
	slab->next = list->first;
	if (slab->next)
		slab->next->prev = slab;
	list->first = slab;
	list->nr++;
	slab->listed = where;
}

/* Puts the slab into the list where its objects say it belongs. */
static void relist(struct percpu__cache *cache, struct percpu__home *home, struct percpu__slab *slab)
{
	const unsigned where = !slab->nr_free ? NOWHERE : slab->nr_free == cache->nr_per_slab ? EMPTY : PARTIAL;

	if (slab->listed == where)
		return;
	unlist(home, slab);
	if (where != NOWHERE)
		enlist(home, slab, where);
}

/* [doc:surplus] */
/* The policy: empty slabs above what the home may keep, linked by next. */
static struct percpu__slab *take_surplus(struct percpu__home *home)
{
	const size_t kept = home->nr_slabs / KEPT_EMPTY_SHARE ? home->nr_slabs / KEPT_EMPTY_SHARE : 1;
	struct percpu__slab *surplus = NULL;

	while (home->empty.nr > kept) {
		struct percpu__slab *slab = home->empty.first;

		unlist(home, slab);
		home->nr_slabs--;
		slab->next = surplus;
		surplus = slab;
	}
	return surplus;
}
/* [doc:end] */

/* Puts a chain back into the slabs; links of other homes' slabs stay in it. H. */
static void take_back_own(struct percpu__cache *cache, struct percpu__home *home, struct percpu__chain *chain)
{
	struct percpu__chain others = { NULL, 0 };

	while (chain->nr) {
		void *link = percpu__chain_pop(chain);
		struct percpu__slab *slab = slab_of_link(cache, link);

		if (chain->nr)
			__builtin_prefetch(chain->first);
		if (slab->home_bytes / PERCPU_STRIDE != home->copy) {
			percpu__chain_push(&others, link);
			continue;
		}
		percpu__slab_take_back(cache, slab, link);
		relist(cache, home, slab);
	}
	*chain = others;
}

/* Sends a chain of links home. H of this CPU's copy, or the cache lock. */
static struct percpu__chain send_chain(struct percpu__cache *cache, struct percpu__chain chain)
{
	struct percpu__chain left = { NULL, 0 };

	while (chain.nr) {
		void *links[PERCPU__BATCH_MAX];
		unsigned nr = 0;
		struct percpu__chain some;

		while (chain.nr && nr < PERCPU__BATCH_MAX)
			links[nr++] = percpu__chain_pop(&chain);
		some = send_home(cache, links, nr);
		while (some.nr)
			percpu__chain_push(&left, percpu__chain_pop(&some));
	}
	return left;
}

/* Moves objects to the stock, which is empty, from the nearest place that has any. H. */
static bool gather(struct percpu__cache *cache, struct percpu__home *home)
{
	struct percpu__slab *slab;

	home->stock = take_remote(home);
	if (home->stock.nr)
		return true;
	slab = home->partial.first ? home->partial.first : home->empty.first;
	if (!slab)
		return false;
	percpu__slab_cut(cache, slab, cache->refill, &home->stock);
	relist(cache, home, slab);
	return true;
}

/* ---- batches ---- */

/* A look from outside, which may be out of date. The acquire pairs with make_ready. */
static bool batches_of_others(struct percpu__cache *cache)
{
	for (struct percpu__home *home = __atomic_load_n(&cache->used, __ATOMIC_ACQUIRE); home; home = home->next_used)
		for (unsigned i = 0; i < cache->nr_stacks; i++)
			if (__atomic_load_n(&home->batch[i].head.nr, __ATOMIC_RELAXED))
				return true;
	return false;
}

/* Closed, so that nobody else touches them. Cache lock. */
static void empty_batches(struct percpu__cache *cache, struct percpu__home *home)
{
	for (unsigned i = 0; i < cache->nr_stacks; i++) {
		struct percpu__batch *batch = &home->batch[i];
		const unsigned nr = batch->head.nr;

		batch->head.nr = 0;
		take_back_all(cache, send_home(cache, batch->slot, nr));
	}
}

/* Sends all batches home, whichever CPU holds them. No lock held. */
static void collect_batches(struct percpu__cache *cache)
{
	bool fenced;

	percpu__lock(&cache->lock);
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		set_batch_limits(cache, home, 0);
	fenced = percpu__homes_fence(cache);
	for (struct percpu__home *home = cache->used; home; home = home->next_used) {
		if (fenced)
			empty_batches(cache, home);
		if (has_sections(cache, home))
			set_batch_limits(cache, home, cache->batch);
	}
	percpu__unlock(&cache->lock);
}

/* ---- alloc and free ---- */

/* One of the home's objects, or of a new slab. NULL: no memory. H. */
static void *alloc_locked(struct percpu__cache *cache, struct percpu__home *home)
{
	struct percpu__slab *slab;

	if (home->stock.nr || gather(cache, home))
		return percpu__chain_pop(&home->stock);
	slab = percpu__arena_take(cache->order, percpu__home_node(home->copy));
	if (!slab)
		return NULL;
	percpu__slab_init(cache, slab, home->copy);
	home->nr_slabs++;
	percpu__slab_cut(cache, slab, cache->refill, &home->stock);
	relist(cache, home, slab);
	return percpu__chain_pop(&home->stock);
}

#define LIST_MAX 32768u /* what the list's count holds, with room for the limit on top */

/* The list and the stock change places, where the caller still runs there. H. */
static void exchange(struct percpu__cache *cache, struct percpu__home *home)
{
	struct percpu__chain chain = home->stock;
	const uint64_t home_bytes = home->copy * PERCPU_STRIDE;

	if (chain.nr > LIST_MAX || !has_sections(cache, home) ||
	    !percpu__cache_exchange(&cache->pub.own_line, &home_bytes, &chain.first, &chain.nr))
		return;
	home->nr_exchanges++;
	home->nr_exchanged += home->stock.nr - chain.nr;
	home->stock = chain;
}

void *percpu__home_alloc(struct percpu__cache *cache)
{
	struct percpu__home *home = percpu__home_here(cache);
	void *link;

	percpu_inc(&cache->homes->nr_refills);
	open_home(cache, home);
	percpu__lock(&home->lock);
	if (cache->fences && !home->stock.nr && !gather(cache, home) && batches_of_others(cache)) {
		percpu__unlock(&home->lock);
		collect_batches(cache);
		percpu__lock(&home->lock);
	}
	link = alloc_locked(cache, home);
	if (link && home->stock.nr)
		exchange(cache, home);
	percpu__unlock(&home->lock);
	return link;
}

/* What does not fit into the list goes to the stock, and what the stock held to the slabs. */
static void relieve(struct percpu__cache *cache, struct percpu__home *home, void *link)
{
	const uint64_t home_bytes = home->copy * PERCPU_STRIDE;
	struct percpu__chain old = { NULL, 0 };
	struct percpu__slab *surplus;

	open_home(cache, home);
	percpu__lock(&home->lock);
	if (__atomic_load_n(&home->line.word, __ATOMIC_RELAXED) % 65536 >= cache->limit) {
		old = home->stock;
		home->stock = (struct percpu__chain){ NULL, 0 };
		percpu__chain_push(&home->stock, link);
		exchange(cache, home);
	} else if (!has_sections(cache, home) || !percpu__cache_put(&cache->pub.own_line, &home_bytes, link)) {
		if (home->stock.nr >= cache->limit) {
			old = home->stock;
			home->stock = (struct percpu__chain){ NULL, 0 };
		}
		percpu__chain_push(&home->stock, link);
	}
	take_back_own(cache, home, &old);
	surplus = take_surplus(home);
	old = send_chain(cache, old);
	percpu__unlock(&home->lock);
	take_back_all(cache, old);
	percpu__slabs_release(cache, surplus, false);
}

/* Sends this CPU's batch home, and the link with it. */
static void flush(struct percpu__cache *cache, struct percpu__batch __percpu *batch, void *link)
{
	void *links[PERCPU__BATCH_MAX + 1] = { link };
	struct percpu__home *here = percpu__home_here(cache);
	struct percpu__chain left;
	unsigned nr = 1;

	open_home(cache, here);
	percpu__lock(&here->lock);
	while (nr <= PERCPU__BATCH_MAX && (links[nr] = percpu__stack_pop(&batch->head)))
		nr++;
	left = send_home(cache, links, nr);
	percpu__unlock(&here->lock);
	take_back_all(cache, left);
}

void percpu__home_free(struct percpu__cache *cache, void *link, unsigned home)
{
	struct percpu__home *here = percpu__home_here(cache);
	struct percpu__batch __percpu *batch = percpu__batch_for(cache, home);

	if (home == here->copy)
		relieve(cache, here, link);
	else if (!percpu__stack_push(&batch->head, link))
		flush(cache, batch, link);
}

void percpu__home_free_to(struct percpu__cache *cache, void *link, unsigned copy)
{
	struct percpu__home *here = percpu__home_here(cache), *there = percpu__home_at(cache, copy);
	bool pushed;

	if (here == there) {
		relieve(cache, here, link);
		return;
	}
	/* No batch: the next to need it is known, and may be about to. */
	percpu__lock(&here->lock);
	pushed = push_remote(there, link, link, 1);
	percpu__unlock(&here->lock);
	if (!pushed)
		take_back_at(cache, slab_of_link(cache, link), link);
}

/* ---- giving back ---- */

/* The list of a copy that nobody's section can touch. H. */
static struct percpu__chain take_list(struct percpu__home *home)
{
	const uint64_t word = home->line.word, nr = word % 65536;
	void **head = &home->line.head[word >> 16 & 1];
	const struct percpu__chain chain = { nr ? *head : NULL, nr };

	*head = NULL;
	__atomic_store_n(&home->line.word, word - nr, __ATOMIC_RELAXED);
	home->nr_exchanged -= nr;
	return chain;
}

static void drain(struct percpu__cache *cache, struct percpu__home *home, bool list_too)
{
	struct percpu__chain chain[3] = { { NULL, 0 } }, left[3];

	percpu__lock(&home->lock);
	chain[0] = home->stock;
	home->stock = (struct percpu__chain){ NULL, 0 };
	chain[1] = take_remote(home);
	if (list_too)
		chain[2] = take_list(home);
	for (unsigned i = 0; i < 3; i++) {
		take_back_own(cache, home, &chain[i]);
		left[i] = send_chain(cache, chain[i]);
	}
	percpu__unlock(&home->lock);
	for (unsigned i = 0; i < 3; i++)
		take_back_all(cache, left[i]);
}

void percpu__homes_drain(struct percpu__cache *cache, bool alone)
{
	const bool list_too = cache->fences || alone;

	for (struct percpu__home *home = cache->used; list_too && home; home = home->next_used)
		empty_batches(cache, home);
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		drain(cache, home, list_too);
	/* What was handed to other CPUs than its own has only now come home. */
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		drain(cache, home, false);
}

struct percpu__slab *percpu__homes_take_empty(struct percpu__cache *cache)
{
	struct percpu__slab *all = NULL;

	for (struct percpu__home *home = cache->used; home; home = home->next_used) {
		percpu__lock(&home->lock);
		while (home->empty.first) {
			struct percpu__slab *slab = home->empty.first;

			unlist(home, slab);
			home->nr_slabs--;
			slab->next = all;
			all = slab;
		}
		percpu__unlock(&home->lock);
	}
	return all;
}

void percpu__homes_forget_lists(struct percpu__cache *cache)
{
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		take_list(home);
}

/* ---- releasing slabs ---- */

static void give(struct percpu__cache *cache, struct percpu__slab *slab)
{
	percpu__arena_give(slab, percpu__home_node(slab->home_bytes / PERCPU_STRIDE));
	__atomic_fetch_add(&cache->nr_returned, 1, __ATOMIC_RELAXED);
}

/* After the grace period; the storage is the slab's own links. */
static void give_later(void *storage)
{
	struct percpu__slab *slab = (struct percpu__slab *)((char *)storage - offsetof(struct percpu__slab, next));
	struct percpu__cache *cache = slab->cache;

	give(cache, slab);
	__atomic_fetch_sub(&cache->nr_waiting, 1, __ATOMIC_RELAXED);
}

void percpu__slabs_release(struct percpu__cache *cache, struct percpu__slab *slabs, bool may_wait)
{
	if (slabs && cache->rcu && may_wait)
		percpu__rcu_wait(cache->rcu);
	while (slabs) {
		struct percpu__slab *slab = slabs;

		slabs = slab->next;
		if (!cache->rcu || may_wait) {
			give(cache, slab);
			continue;
		}
		__atomic_fetch_add(&cache->nr_waiting, 1, __ATOMIC_RELAXED);
		percpu__rcu_call(cache->rcu, &slab->next, give_later);
	}
}
