/* SPDX-License-Identifier: MIT */
/*
 * Owns the way home of objects that were freed on another CPU than their own: into a batch of that CPU, and with
 * the batch, when it is full, by one compare-and-swap a home to the remote lists. A batch that no one fills
 * any more is found by whoever needs its objects: it is closed, and emptied from outside.
 */
#include "cache/chain.h"

/* ---- remote lists ---- */

static uintptr_t *first_of(uint64_t remote)
{
	return remote ? (uintptr_t *)(percpu__arena.base + (remote >> PERCPU__REMOTE_BITS) * PERCPU_CACHE_MIN_SIZE) : NULL;
}

/* The release pairs with percpu__remote_take. */
bool percpu__remote_push(struct percpu__cache *cache, struct percpu__home *home, const struct percpu__chain *chain,
			 uintptr_t *last)
{
	const uint64_t place = ((uintptr_t)chain->first - percpu__arena.base) / PERCPU_CACHE_MIN_SIZE;
	const uintptr_t nr_carried = *last & PERCPU__CARRIED_MAX;
	uint64_t before = __atomic_load_n(&home->remote, __ATOMIC_RELAXED);

	do {
		if (percpu__unlikely(first_of(before) == chain->first))
			percpu__die("percpu_cache_free", percpu__object_of(cache, chain->first), "freed twice");
		if ((before & PERCPU__REMOTE_MAX) + chain->nr > PERCPU__REMOTE_MAX)
			return false;
		*last = (uintptr_t)first_of(before) | nr_carried;
	} while (!__atomic_compare_exchange_n(&home->remote, &before,
					      place << PERCPU__REMOTE_BITS | ((before & PERCPU__REMOTE_MAX) + chain->nr),
					      true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	return true;
}

static struct percpu__chain chain_of(uint64_t remote)
{
	return (struct percpu__chain){ first_of(remote), remote & PERCPU__REMOTE_MAX };
}

/* The acquire pairs with percpu__remote_push. */
struct percpu__chain percpu__remote_take(struct percpu__home *home)
{
	uint64_t all = 0;

	if (__atomic_load_n(&home->remote, __ATOMIC_RELAXED))
		all = __atomic_exchange_n(&home->remote, 0, __ATOMIC_ACQUIRE);
	return chain_of(all);
}

/* The acquire pairs with percpu__remote_push. */
struct percpu__chain percpu__remote_look(const struct percpu__home *home)
{
	return chain_of(__atomic_load_n(&home->remote, __ATOMIC_ACQUIRE));
}

/* ---- sending ---- */

static char *list_of_link(void *link)
{
	return percpu__slab_at((uintptr_t)link)->list;
}

/* Takes those of one list, the first one's, out of links. */
static struct percpu__chain take_of_one(const struct percpu__cache *cache, void **links, unsigned nr)
{
	const char *list = list_of_link(links[0]);
	struct percpu__chain chain = { NULL, 0 };
	void *its[PERCPU__BATCH_MAX + 1];
	unsigned nr_its = 0;

	for (unsigned i = 0; i < nr; i++)
		if (links[i] && list_of_link(links[i]) == list) {
			its[nr_its++] = links[i];
			links[i] = NULL;
		}
	percpu__chain_push_many(cache, &chain, its, nr_its);
	return chain;
}

/* An object that was freed twice may be in a batch when its slab is gone. */
static void check_links(const struct percpu__cache *cache, void *const *links, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		percpu__check_link(cache, links[i]);
}

/* Sends links to their homes, those of one home together; left: those that found no room. H of this CPU's copy. */
static void send(struct percpu__cache *cache, void **links, unsigned nr, struct percpu__chain *left)
{
	unsigned nr_batches = 0, nr_sent = 0;

	check_links(cache, links, nr);
	for (unsigned i = 0; i < nr; i++) {
		void *const last = links[i]; /* pushed first */
		struct percpu__chain chain;
		struct percpu__home *home;

		if (!last)
			continue;
		home = percpu__owner_of(percpu__slab_of((uintptr_t)last));
		chain = take_of_one(cache, links + i, nr - i);
		if (percpu__remote_push(cache, home, &chain, last)) {
			nr_batches++;
			nr_sent += chain.nr;
			continue;
		}
		while (chain.nr)
			percpu__chain_push(cache, left, percpu__chain_pop(cache, &chain));
	}
	percpu_add(&cache->homes->nr_batches, nr_batches);
	percpu_add(&cache->homes->nr_remote, nr_sent);
}

void percpu__send_home(struct percpu__cache *cache, struct percpu__chain *chain)
{
	struct percpu__chain left = { NULL, 0 };

	while (chain->nr) {
		void *links[PERCPU__BATCH_MAX];

		send(cache, links, percpu__chain_pop_many(cache, chain, links, PERCPU__BATCH_MAX), &left);
	}
	*chain = left;
}

/* ---- batches ---- */

void percpu__batches_set_limit(struct percpu__cache *cache, struct percpu__home *home, uint32_t limit)
{
	for (unsigned i = 0; i < cache->nr_stacks; i++)
		__atomic_store_n(&home->batch[i].head.limit, limit, __ATOMIC_RELEASE); /* pairs with percpu__stack_push */
}

void percpu__batches_empty(struct percpu__cache *cache, struct percpu__home *home)
{
	for (unsigned i = 0; i < cache->nr_stacks; i++) {
		struct percpu__batch *batch = &home->batch[i];
		struct percpu__chain left = { NULL, 0 };
		void *links[PERCPU__BATCH_MAX];
		const unsigned nr = batch->head.nr;

		__atomic_store_n(&batch->head.nr, 0, __ATOMIC_RELAXED); /* any_has_a_batch may look */
		for (unsigned slot = 0; slot < nr; slot++) {
			links[slot] = batch->slot[slot];
			percpu__take_over(links[slot]);
		}
		send(cache, links, nr, &left);
		percpu__take_back_all(cache, &left);
	}
}

/* A look from outside, which may be out of date. The acquire pairs with make_ready. */
static bool any_has_a_batch(struct percpu__cache *cache)
{
	for (struct percpu__home *home = __atomic_load_n(&cache->used, __ATOMIC_ACQUIRE); home; home = home->next_used)
		for (unsigned i = 0; i < cache->nr_stacks; i++)
			if (__atomic_load_n(&home->batch[i].head.nr, __ATOMIC_RELAXED))
				return true;
	return false;
}

void percpu__batches_collect(struct percpu__cache *cache)
{
	bool fenced;

	if (!any_has_a_batch(cache))
		return;
	percpu__lock(&cache->lock);
	for (struct percpu__home *home = cache->used; home; home = home->next_used)
		percpu__batches_set_limit(cache, home, 0);
	fenced = percpu__homes_fence(cache);
	for (struct percpu__home *home = cache->used; home; home = home->next_used) {
		if (fenced)
			percpu__batches_empty(cache, home);
		if (percpu__has_sections(cache, home) && !percpu__is_locked_for_fork(&cache->lock))
			percpu__batches_set_limit(cache, home, cache->batch);
	}
	percpu__unlock(&cache->lock);
}

bool percpu__batch_push(struct percpu__cache *cache, void *link, unsigned home)
{
	const uint32_t cpu = percpu__cpu_id();
	struct percpu__batch __percpu *batch;

	if (!cache->batches || home == cpu || cpu >= __atomic_load_n(&percpu_abi.cpu_limit, __ATOMIC_RELAXED))
		return false;
	batch = percpu__batch_for(cache, home);
	return !percpu__batch_ends_with(percpu_ptr(batch, cpu), link) && percpu__stack_push(&batch->head, link);
}

void percpu__batch_free(struct percpu__cache *cache, void *link, unsigned home)
{
	struct percpu__batch __percpu *batch = percpu__batch_for(cache, home);
	struct percpu__home *here = percpu__home_here(cache);
	void *links[PERCPU__BATCH_MAX + 1] = { link };
	struct percpu__chain left = { NULL, 0 };
	unsigned nr = 1;

	percpu__home_open(cache, here);
	percpu__lock(&here->lock);
	while (nr <= PERCPU__BATCH_MAX && (links[nr] = percpu__stack_pop(&batch->head)))
		nr++;
	/* There was nothing: it was closed, and may take the link now. */
	if (nr > 1 || !percpu__batch_push(cache, link, home))
		send(cache, links, nr, &left);
	percpu__unlock(&here->lock);
	percpu__take_back_all(cache, &left);
}
