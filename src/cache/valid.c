/* SPDX-License-Identifier: MIT */
/*
 * Owns the walk through all that is free in a cache. Every link in a list, a batch, a stock or a remote list is an
 * object's, and its object is in that place alone.
 *
 * The free bits of the slabs are where objects are counted: each link on the way is put into its slab, which must
 * not have it yet, neither as its own nor from another place; then the same way once more, and each is taken out.
 */
#include "cache/chain.h"

struct walk {
	const struct percpu__cache *cache;
	bool in;     /* puts links in; else takes them out */
	size_t left; /* links to go; SIZE_MAX: all */
};

/* Whose slab it is: one of this cache and of a home in use; and is it in a list, if it has objects? */
static bool has_owner(const struct percpu__cache *cache, const struct percpu__slab *slab)
{
	const unsigned home = percpu__home_of(cache, slab);

	return slab->cache == cache && home < percpu_abi.nr_copies && slab->list == percpu__list_of(cache, home) &&
	       percpu__owner_of(slab)->ready && !slab->listed == !slab->nr_free;
}

/* NULL: not a link of an object of the cache. */
static struct percpu__slab *slab_of(const struct percpu__cache *cache, void *link)
{
	struct percpu__slab *slab;

	if (!percpu__is_object(cache, (uintptr_t)link - cache->link_bytes))
		return NULL;
	slab = percpu__slab_of((uintptr_t)link);
	return has_owner(cache, slab) ? slab : NULL;
}

static bool visit(struct walk *walk, void *link)
{
	struct percpu__slab *slab = slab_of(walk->cache, link);

	if (!slab || !walk->left)
		return false;
	if (percpu__slab_flip(walk->cache, slab, link) != walk->in) {
		percpu__slab_flip(walk->cache, slab, link);
		return false;
	}
	walk->left--;
	return true;
}

static bool walk_chain(struct walk *walk, struct percpu__chain chain)
{
	uintptr_t *carrier = chain.first;

	while (chain.nr) {
		uintptr_t carried;

		if (!visit(walk, carrier))
			return false;
		carried = *carrier & PERCPU__CARRIED_MAX;
		if (carried > walk->cache->carried)
			return false;
		for (uintptr_t i = 1; i <= carried; i++)
			if (!visit(walk, (void *)carrier[i]))
				return false;
		chain.nr -= carried + 1;
		carrier = (uintptr_t *)(*carrier & ~PERCPU__CARRIED_MAX);
	}
	return !carrier;
}

/* A batch has what goes to certain homes. */
static bool walk_batch(struct walk *walk, const struct percpu__home *home, unsigned which)
{
	const struct percpu__batch *batch = &home->batch[which];
	const struct percpu__cache *cache = walk->cache;

	for (uint32_t slot = 0; slot < batch->head.nr; slot++) {
		void *link = batch->slot[slot];

		if (!visit(walk, link) ||
		    (percpu__home_of(cache, percpu__slab_of((uintptr_t)link)) & (cache->nr_stacks - 1u)) != which)
			return false;
	}
	return true;
}

static bool walk_home(struct walk *walk, const struct percpu__home *home)
{
	for (uint64_t slot = 0; slot < home->list.word % 65536; slot++)
		if (!visit(walk, home->list.slot[slot]))
			return false;
	for (unsigned which = 0; which < walk->cache->nr_stacks; which++)
		if (!walk_batch(walk, home, which))
			return false;
	return walk_chain(walk, home->stock) && walk_chain(walk, percpu__remote_look(home));
}

static bool walk_homes(struct walk *walk)
{
	for (const struct percpu__home *home = walk->cache->used; home; home = home->next_used)
		if (!walk_home(walk, home))
			return false;
	return true;
}

static bool every_link_is_alone(const struct percpu__cache *cache)
{
	struct walk in = { cache, true, SIZE_MAX }, out = { cache, false, 0 };
	const bool all = walk_homes(&in);

	out.left = SIZE_MAX - in.left;
	walk_homes(&out);
	return all;
}

/* 0, or what the cache says where that copy has sections. */
static bool is_limit(uint64_t limit, uint64_t open, bool may_be_open)
{
	return !limit || (may_be_open && limit == open);
}

static bool home_is_valid(const struct percpu__cache *cache, struct percpu__home *home)
{
	const bool sections = percpu__has_sections(cache, home);

	if (!home->ready || home != percpu_ptr(cache->homes, home->copy) ||
	    !is_limit(home->list.limit, cache->limit, sections) || home->list.word % 65536 > home->list.limit)
		return false;
	for (unsigned which = 0; which < cache->nr_stacks; which++) {
		const struct percpu__stack *head = &home->batch[which].head;

		if (!is_limit(head->limit, cache->batch, sections && cache->batches) || head->nr > cache->batch)
			return false;
	}
	return percpu__stock_is_valid(cache, home);
}

bool percpu__cache_is_valid(struct percpu__cache *cache)
{
	bool valid = true;

	percpu__homes_lock(cache);
	for (struct percpu__home *home = cache->used; valid && home; home = home->next_used)
		valid = home_is_valid(cache, home);
	valid = valid && every_link_is_alone(cache);
	percpu__homes_unlock(cache);
	return valid;
}
