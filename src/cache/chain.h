/* SPDX-License-Identifier: MIT */
/*
 * Owns chains of links. Objects on their way are cold, so few are touched: a carrier's link is a word with the next
 * carrier in it and, in its low bits, the number of words behind it that hold further links.
 *
 *	first -> | next carrier, 2 | link | link | ... |  -> | next carrier, 7 | link | ... | link |  -> ...
 */
#ifndef PERCPU_CACHE_CHAIN_H
#define PERCPU_CACHE_CHAIN_H

#include "cache/cache.h"

#define PERCPU__CARRIED_MAX ((uintptr_t)7)

/* Programs may have written to what is free, and freed it twice: whatever comes out of a chain is looked at. */
static inline void percpu__check_link(const struct percpu__cache *cache, const void *link)
{
	if (percpu__unlikely(!percpu__is_object(cache, (uintptr_t)link - cache->link_bytes)))
		percpu__die("a free object's link", link, "written to after the free, or freed twice");
}

/* Pushes links, in their order. */
static inline void percpu__chain_push_many(const struct percpu__cache *cache, struct percpu__chain *chain,
					   void *const *links, unsigned nr)
{
	for (unsigned done = 0; done < nr;) {
		uintptr_t *carrier = chain->first, carried = chain->nr ? *carrier & PERCPU__CARRIED_MAX : cache->carried;
		const unsigned before = done;
		uintptr_t had;

		if (carried >= cache->carried) {
			carried = 0;
			carrier = links[done++];
			*carrier = (uintptr_t)chain->first;
			chain->first = carrier;
		}
		had = carried;
		while (done < nr && carried < cache->carried)
			carrier[++carried] = (uintptr_t)links[done++];
		*carrier += carried - had;
		chain->nr += done - before;
	}
}

static inline void percpu__chain_push(const struct percpu__cache *cache, struct percpu__chain *chain, void *link)
{
	percpu__chain_push_many(cache, chain, &link, 1);
}

/* Up to nr links, last pushed first. Returns: how many. */
static inline unsigned percpu__chain_pop_many(const struct percpu__cache *cache, struct percpu__chain *chain,
					      void **links, unsigned nr)
{
	unsigned taken = 0;

	nr = nr < chain->nr ? nr : (unsigned)chain->nr;
	while (taken < nr) {
		uintptr_t *const carrier = chain->first, word = *carrier, next = word & ~PERCPU__CARRIED_MAX;
		uintptr_t carried = word & PERCPU__CARRIED_MAX;

		if (percpu__unlikely(carried > cache->carried))
			percpu__die("a free object's link", carrier, "written to after the free");
		__builtin_prefetch((void *)next, 1);
		while (taken < nr && carried) {
			links[taken] = (void *)carrier[carried--];
			percpu__check_link(cache, links[taken++]);
		}
		*carrier = next + carried;
		if (taken == nr)
			break;
		links[taken++] = carrier;
		chain->first = (uintptr_t *)next;
		if (chain->nr > taken)
			percpu__check_link(cache, chain->first);
	}
	chain->nr -= taken;
	return taken;
}

/* Whether the link is the last one pushed. */
static inline bool percpu__chain_ends_with(const struct percpu__chain *chain, const void *link)
{
	const uintptr_t *carrier = chain->first, carried = chain->nr ? *carrier & PERCPU__CARRIED_MAX : 0;

	return chain->nr && link == (carried ? (const void *)carrier[carried] : carrier);
}

/* The last one pushed. */
static inline void *percpu__chain_pop(const struct percpu__cache *cache, struct percpu__chain *chain)
{
	void *link = NULL;

	percpu__chain_pop_many(cache, chain, &link, 1);
	return link;
}

#endif
