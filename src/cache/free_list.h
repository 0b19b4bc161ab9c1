/* SPDX-License-Identifier: MIT */
/*
 * Free lists: linked lists whose nodes pack several links. Free objects are cold, so few of them
 * are touched: the link of a packed node is a word with the next node and, in its low bits, the
 * number of words behind it that hold more links.
 *
 *	first -> | next node, 2 | link | link |  -> | next node, 7 | link | ... | link |  -> ...
 */
#ifndef PERCPU_CACHE_FREE_LIST_H
#define PERCPU_CACHE_FREE_LIST_H

#include "cache/cache.h"

struct percpu__free_list {
	uintptr_t *first;
	uint64_t nr; /* links */
};

#define PERCPU__PACKED_MAX ((uintptr_t)7)

/*
 * A program may have written to a free object or freed it twice, so every link that is read from a
 * free list is checked.
 */
static inline void percpu__check_link(const struct percpu__cache *cache, const void *link)
{
	if (percpu__unlikely(!percpu__is_object(cache, (uintptr_t)link - cache->link_bytes)))
		percpu__cache_fatal(cache, "percpu_cache", link, PERCPU__FAULT_CORRUPTED_LIST);
}

/* Pushes links, links[0] first. Context: the list is the caller's, as for all below. */
static inline void percpu__free_list_push_many(const struct percpu__cache *cache,
					       struct percpu__free_list *list, void *const *links,
					       unsigned nr)
{
	for (unsigned done = 0; done < nr;) {
		uintptr_t *node = list->first,
			  nr_packed = list->nr ? *node & PERCPU__PACKED_MAX : cache->nr_packed;
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

static inline void percpu__free_list_push(const struct percpu__cache *cache,
					  struct percpu__free_list *list, void *link)
{
	percpu__free_list_push_many(cache, list, &link, 1);
}

/* Pops up to nr links, last pushed first. Returns: the number popped. */
static inline unsigned percpu__free_list_pop_many(const struct percpu__cache *cache,
						  struct percpu__free_list *list, void **links,
						  unsigned nr)
{
	unsigned taken = 0;

	nr = nr < list->nr ? nr : (unsigned)list->nr;
	while (taken < nr) {
		uintptr_t *const node = list->first, word = *node,
				 next = word & ~PERCPU__PACKED_MAX;
		uintptr_t nr_packed = word & PERCPU__PACKED_MAX;

		if (percpu__unlikely(nr_packed > cache->nr_packed))
			percpu__cache_fatal(cache, "percpu_cache", node,
					    PERCPU__FAULT_CORRUPTED_LIST);
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

/* Returns: true if the link is the last one pushed. */
static inline bool percpu__free_list_ends_with(const struct percpu__free_list *list,
					       const void *link)
{
	const uintptr_t *node = list->first, nr_packed = list->nr ? *node & PERCPU__PACKED_MAX : 0;

	return list->nr && link == (nr_packed ? (const void *)node[nr_packed] : node);
}

/* Pops the last link pushed. The list is not empty. */
static inline void *percpu__free_list_pop(const struct percpu__cache *cache,
					  struct percpu__free_list *list)
{
	void *link = NULL;

	percpu__free_list_pop_many(cache, list, &link, 1);
	return link;
}

#endif
