/* SPDX-License-Identifier: MIT */
/*
 * Owns remote frees, of objects that belong to another CPU. A CPU collects them in remote batches,
 * one for several owners each; a full batch is pushed onto the owners' remote free lists by one
 * compare-and-swap for each owner.
 */
#include "cache/remote.h"

/* ---- remote free lists ---- */

static uintptr_t *first_of(uint64_t remote)
{
	return remote ? (uintptr_t *)(percpu__arena.base +
				      (remote >> PERCPU__REMOTE_BITS) * PERCPU_CACHE_MIN_SIZE)
		      : NULL;
}

/* The release pairs with percpu__remote_take. */
bool percpu__remote_push(struct percpu__cache *cache, struct percpu__cpu_cache *owner,
			 const struct percpu__free_list *list, uintptr_t *last)
{
	const uint64_t place =
		((uintptr_t)list->first - percpu__arena.base) / PERCPU_CACHE_MIN_SIZE;
	const uintptr_t nr_packed = *last & PERCPU__PACKED_MAX;
	uint64_t before = __atomic_load_n(&owner->remote, __ATOMIC_RELAXED);

	do {
		if (percpu__unlikely(first_of(before) == list->first))
			percpu__cache_fatal(cache, "percpu_cache_free",
					    percpu__object_of(cache, list->first),
					    PERCPU__FAULT_DOUBLE_FREE);
		if ((before & PERCPU__REMOTE_MAX) + list->nr > PERCPU__REMOTE_MAX)
			return false;
		*last = (uintptr_t)first_of(before) | nr_packed;
	} while (!__atomic_compare_exchange_n(&owner->remote, &before,
					      place << PERCPU__REMOTE_BITS |
						      ((before & PERCPU__REMOTE_MAX) + list->nr),
					      true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	return true;
}

static struct percpu__free_list free_list_of(uint64_t remote)
{
	return (struct percpu__free_list){ first_of(remote), remote & PERCPU__REMOTE_MAX };
}

/* The acquire pairs with percpu__remote_push. */
struct percpu__free_list percpu__remote_take(struct percpu__cpu_cache *cpu_cache)
{
	uint64_t all = 0;

	if (__atomic_load_n(&cpu_cache->remote, __ATOMIC_RELAXED))
		all = __atomic_exchange_n(&cpu_cache->remote, 0, __ATOMIC_ACQUIRE);
	return free_list_of(all);
}

/* The acquire pairs with percpu__remote_push. */
struct percpu__free_list percpu__remote_look(const struct percpu__cpu_cache *cpu_cache)
{
	return free_list_of(__atomic_load_n(&cpu_cache->remote, __ATOMIC_ACQUIRE));
}

static char *magazine_of_link(void *link)
{
	return percpu__slab_at((uintptr_t)link)->magazine;
}

/* Removes the links of the first one's owner from the array. Returns: these links. */
static struct percpu__free_list take_of_one_owner(const struct percpu__cache *cache, void **links,
						  unsigned nr)
{
	const char *magazine = magazine_of_link(links[0]);
	struct percpu__free_list list = { NULL, 0 };
	void *its[PERCPU__BATCH_MAX + 1];
	unsigned nr_its = 0;

	for (unsigned i = 0; i < nr; i++)
		if (links[i] && magazine_of_link(links[i]) == magazine) {
			its[nr_its++] = links[i];
			links[i] = NULL;
		}
	percpu__free_list_push_many(cache, &list, its, nr_its);
	return list;
}

/* An object that was freed twice may be in a batch whose slab is gone. */
static void check_links(const struct percpu__cache *cache, void *const *links, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		percpu__check_link(cache, links[i]);
}

void percpu__remote_push_many(struct percpu__cache *cache, void **links, unsigned nr,
			      struct percpu__free_list *left)
{
	unsigned nr_pushes = 0, nr_sent = 0;

	check_links(cache, links, nr);
	for (unsigned i = 0; i < nr; i++) {
		void *const last = links[i]; /* pushed first */
		struct percpu__free_list list;
		struct percpu__cpu_cache *owner;

		if (!last)
			continue;
		owner = percpu__owner_of(percpu__slab_of((uintptr_t)last));
		list = take_of_one_owner(cache, links + i, nr - i);
		if (percpu__remote_push(cache, owner, &list, last)) {
			nr_pushes++;
			nr_sent += list.nr;
			continue;
		}
		while (list.nr)
			percpu__free_list_push(cache, left, percpu__free_list_pop(cache, &list));
	}
	percpu_add(&cache->cpu_caches->nr_pushes, nr_pushes);
	percpu_add(&cache->cpu_caches->nr_remote_frees, nr_sent);
}

void percpu__remote_flush(struct percpu__cache *cache, struct percpu__free_list *list)
{
	struct percpu__free_list left = { NULL, 0 };

	while (list->nr) {
		void *links[PERCPU__BATCH_MAX];

		percpu__remote_push_many(
			cache, links,
			percpu__free_list_pop_many(cache, list, links, PERCPU__BATCH_MAX), &left);
	}
	*list = left;
}

/* ---- remote batches ---- */

/* The acquire pairs with make_ready. */
bool percpu__remote_batches_any(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = __atomic_load_n(&cache->used, __ATOMIC_ACQUIRE);
	     cpu_cache; cpu_cache = cpu_cache->next_used)
		for (unsigned i = 0; i < cache->nr_batches; i++)
			if (__atomic_load_n(&cpu_cache->remote_batch[i].head.nr, __ATOMIC_RELAXED))
				return true;
	return false;
}

bool percpu__remote_batch_push(struct percpu__cache *cache, void *link, unsigned owner_cpu)
{
	const uint32_t cpu = percpu__cpu_id();
	struct percpu__remote_batch __percpu *batch;

	if (!cache->remote_batches || owner_cpu == cpu ||
	    cpu >= __atomic_load_n(&percpu_abi.cpu_limit, __ATOMIC_RELAXED))
		return false;
	batch = percpu__remote_batch_for(cache, owner_cpu);
	return !percpu__remote_batch_ends_with(percpu_ptr(batch, cpu), link) &&
	       percpu__stack_push(&batch->head, link);
}
