/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of all pools that a program can use, and the registry lock; finds the pool that an
 * address belongs to. (The pool that holds the area cache is not in the list.)
 */
#include "percpu/percpu.h"

static struct percpu__lock registry_lock = PERCPU__LOCK_INIT(PERCPU__RANK_REGISTRY);
static struct percpu_pool *registry; /* registry lock */

void percpu__pools_enter(struct percpu_pool *pool)
{
	percpu__lock_made_in_fork(&pool->lock, &registry_lock);
	pool->next = registry;
	registry = pool;
}

/* Returns: where the list points to the pool; where it ends if the pool is not in it. */
static struct percpu_pool **link_to(const struct percpu_pool *pool)
{
	struct percpu_pool **link = &registry;

	while (*link && *link != pool)
		link = &(*link)->next;
	return link;
}

bool percpu__pools_contain(const struct percpu_pool *pool)
{
	return *link_to(pool);
}

void percpu__pools_remove(struct percpu_pool *pool)
{
	*link_to(pool) = pool->next;
}

void percpu__pools_lock(void)
{
	percpu__lock(&registry_lock);
}

void percpu__pools_unlock(void)
{
	percpu__unlock(&registry_lock);
}

void percpu__pools_lock_for_fork(void)
{
	percpu__lock_for_fork(&registry_lock);
}

void percpu__pools_unlock_after_fork(void)
{
	percpu__unlock_after_fork(&registry_lock);
}

void percpu__pools_visit(void (*visit)(struct percpu_pool *pool, void *arg), void *arg)
{
	for (struct percpu_pool *pool = registry; pool; pool = pool->next)
		visit(pool, arg);
}

struct search {
	uintptr_t address;
	struct percpu_pool *found;
};

static void look_for_slots(struct percpu_pool *pool, void *arg)
{
	struct search *search = arg;

	if (pool->backing->contains && pool->backing->contains(pool, search->address))
		search->found = pool;
}

struct percpu_pool *percpu__pool_of(uintptr_t address)
{
	const unsigned lookup = percpu__lookup_begin();
	const struct percpu__chunk *chunk = percpu__pagemap_find(address);
	struct search search = { address, chunk ? chunk->pool : NULL };

	percpu__lookup_end(lookup);
	if (percpu__likely(search.found))
		return search.found;
	percpu__pools_lock();
	percpu__pools_visit(look_for_slots, &search);
	percpu__pools_unlock();
	return search.found;
}
