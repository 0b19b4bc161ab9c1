/* SPDX-License-Identifier: MIT */
/*
 * Owns chains of links. Objects on their way are cold, so few are touched: a node's link is a word with the next
 * node in it and, in its low bits, the number of words behind it that hold further links.
 *
 *	first -> | next node, 2 | link | link | ... |  -> | next node, 7 | link | ... | link |  -> ...
 */
#ifndef PERCPU_CACHE_CHAIN_H
#define PERCPU_CACHE_CHAIN_H

#include "cache/cache.h"

#define PERCPU__PACKED_MAX ((uintptr_t)7)

/* Programs may have written to what is free, and freed it twice: whatever comes out of a chain is looked at. */
static inline void percpu__check_link(const struct percpu__cache *cache, const void *link)
{
	if (percpu__unlikely(!percpu__is_object(cache, (uintptr_t)link - cache->link_bytes)))
		percpu__cache_fatal(cache, "percpu_cache", link, PERCPU__FAULT_CORRUPTED_LIST);
}

/* Pushes links, in their order. */
static inline void percpu__free_list_push_many(const struct percpu__cache *cache, struct percpu__free_list *list,
					   void *const *links, unsigned nr)
{
	for (unsigned done = 0; done < nr;) {
		uintptr_t *node = list->first, nr_packed = list->nr ? *node & PERCPU__PACKED_MAX : cache->nr_packed;
		const unsigned before = done;
		uintptr_t had;

		if (nr_packed >= cache->nr_packed) {
			nr_packed = 0;
			node = links[done++];
			*node = (uintptr_t)list->first;
			list->first = node;
		}
		had = nr_packed;
		while (done < nr && nr_packed < cache->nr_packed)
			node[++nr_packed] = (uintptr_t)links[done++];
		*node += nr_packed - had;
		list->nr += done - before;
	}
}

static inline void percpu__free_list_push(const struct percpu__cache *cache, struct percpu__free_list *list, void *link)
{
	percpu__free_list_push_many(cache, list, &link, 1);
}

/* Up to nr links, last pushed first. Returns: how many. */
static inline unsigned percpu__free_list_pop_many(const struct percpu__cache *cache, struct percpu__free_list *list,
					      void **links, unsigned nr)
{
	unsigned taken = 0;

	nr = nr < list->nr ? nr : (unsigned)list->nr;
	while (taken < nr) {
		uintptr_t *const node = list->first, word = *node, next = word & ~PERCPU__PACKED_MAX;
		uintptr_t nr_packed = word & PERCPU__PACKED_MAX;

		if (percpu__unlikely(nr_packed > cache->nr_packed))
			percpu__cache_fatal(cache, "percpu_cache", node, PERCPU__FAULT_CORRUPTED_LIST);
		__builtin_prefetch((void *)next, 1);
		while (taken < nr && nr_packed) {
			links[taken] = (void *)node[nr_packed--];
			percpu__check_link(cache, links[taken++]);
		}
		*node = next + nr_packed;
		if (taken == nr)
			break;
		links[taken++] = node;
		list->first = (uintptr_t *)next;
		if (list->nr > taken)
			percpu__check_link(cache, list->first);
	}
	list->nr -= taken;
	return taken;
}

/* Whether the link is the last one pushed. */
static inline bool percpu__free_list_ends_with(const struct percpu__free_list *list, const void *link)
{
	const uintptr_t *node = list->first, nr_packed = list->nr ? *node & PERCPU__PACKED_MAX : 0;

	return list->nr && link == (nr_packed ? (const void *)node[nr_packed] : node);
}

/* The last one pushed. */
static inline void *percpu__free_list_pop(const struct percpu__cache *cache, struct percpu__free_list *list)
{
	void *link = NULL;

	percpu__free_list_pop_many(cache, list, &link, 1);
	return link;
}

#endif
