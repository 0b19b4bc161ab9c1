/* SPDX-License-Identifier: MIT */
/*
 * Owns the check of a cache's invariants: every link in a magazine, remote batch, depot or remote
 * free list is that of an object of the cache, which is in no other place.
 *
 * The free bits of the slabs serve as marks. Each link on the way is returned to its slab, which
 * must not contain it yet, be it as its own or from another place; then the same walk takes each
 * out again.
 */
#include "cache/invariants.h"

#include "cache/depot.h"
#include "cache/remote.h"
#include "cache/slab.h"

struct walk {
	const struct percpu__cache *cache;
	bool in;     /* returns links to slabs; else takes them out */
	size_t left; /* links still to visit; SIZE_MAX: all */
};

/*
 * Checks a slab's back pointers: right cache, ready owner, and on a list exactly if it has free
 * objects.
 */
static bool has_owner(const struct percpu__cache *cache, const struct percpu__slab *slab)
{
	const unsigned owner_cpu = percpu__owner_cpu(cache, slab);

	return slab->cache == cache && owner_cpu < percpu_abi.nr_copies &&
	       slab->magazine == percpu__magazine_of(cache, owner_cpu) &&
	       percpu__owner_of(slab)->ready && !slab->listed == !slab->nr_free;
}

/* Returns: the slab of a link, or NULL if it is not that of an object of the cache. */
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
	if (percpu__slab_toggle(walk->cache, slab, link) != walk->in) {
		percpu__slab_toggle(walk->cache, slab, link);
		return false;
	}
	walk->left--;
	return true;
}

static bool walk_free_list(struct walk *walk, struct percpu__free_list list)
{
	uintptr_t *node = list.first;

	while (list.nr) {
		uintptr_t nr_packed;

		if (!visit(walk, node))
			return false;
		nr_packed = *node & PERCPU__PACKED_MAX;
		if (nr_packed > walk->cache->nr_packed)
			return false;
		for (uintptr_t i = 1; i <= nr_packed; i++)
			if (!visit(walk, (void *)node[i]))
				return false;
		list.nr -= nr_packed + 1;
		node = (uintptr_t *)(*node & ~PERCPU__PACKED_MAX);
	}
	return !node;
}

/* A remote batch has objects of certain owners only. */
static bool walk_batch(struct walk *walk, const struct percpu__cpu_cache *cpu_cache, unsigned which)
{
	const struct percpu__remote_batch *batch = &cpu_cache->remote_batch[which];
	const struct percpu__cache *cache = walk->cache;

	for (uint32_t slot = 0; slot < batch->head.nr; slot++) {
		void *link = batch->slot[slot];

		if (!visit(walk, link) ||
		    (percpu__owner_cpu(cache, percpu__slab_of((uintptr_t)link)) &
		     (cache->nr_batches - 1u)) != which)
			return false;
	}
	return true;
}

static bool walk_cpu_cache(struct walk *walk, const struct percpu__cpu_cache *cpu_cache)
{
	for (uint64_t slot = 0; slot < percpu__magazine_nr(cpu_cache->magazine.word); slot++)
		if (!visit(walk, cpu_cache->magazine.slot[slot]))
			return false;
	for (unsigned which = 0; which < walk->cache->nr_batches; which++)
		if (!walk_batch(walk, cpu_cache, which))
			return false;
	return walk_free_list(walk, cpu_cache->depot) &&
	       walk_free_list(walk, percpu__remote_look(cpu_cache));
}

static bool walk_cpu_caches(struct walk *walk)
{
	for (const struct percpu__cpu_cache *cpu_cache = walk->cache->used; cpu_cache;
	     cpu_cache = cpu_cache->next_used)
		if (!walk_cpu_cache(walk, cpu_cache))
			return false;
	return true;
}

static bool every_link_is_alone(const struct percpu__cache *cache)
{
	struct walk in = { cache, true, SIZE_MAX }, out = { cache, false, 0 };
	const bool all = walk_cpu_caches(&in);

	out.left = SIZE_MAX - in.left;
	walk_cpu_caches(&out);
	return all;
}

/* Returns: true for 0, and for the started limit if the copy may be started. */
static bool is_limit(uint64_t limit, uint64_t started, bool may_be_started)
{
	return !limit || (may_be_started && limit == started);
}

static bool check_cpu_cache(const struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache)
{
	const bool sections = percpu__has_sections(cache, cpu_cache);

	if (!cpu_cache->ready || cpu_cache != percpu_ptr(cache->cpu_caches, cpu_cache->copy) ||
	    !is_limit(cpu_cache->magazine.limit, cache->magazine_limit, sections) ||
	    percpu__magazine_nr(cpu_cache->magazine.word) > cpu_cache->magazine.limit)
		return false;
	for (unsigned which = 0; which < cache->nr_batches; which++) {
		const struct percpu__stack *head = &cpu_cache->remote_batch[which].head;

		if (!is_limit(head->limit, cache->batch_limit, sections && cache->remote_batches) ||
		    head->nr > cache->batch_limit)
			return false;
	}
	return percpu__slabs_check_invariants(cache, cpu_cache);
}

bool percpu__cache_check_invariants(struct percpu__cache *cache)
{
	bool valid = true;

	percpu__cpu_caches_lock(cache);
	for (struct percpu__cpu_cache *cpu_cache = cache->used; valid && cpu_cache;
	     cpu_cache = cpu_cache->next_used)
		valid = check_cpu_cache(cache, cpu_cache);
	valid = valid && every_link_is_alone(cache);
	percpu__cpu_caches_unlock(cache);
	return valid;
}
