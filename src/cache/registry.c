/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of all caches and their handles.
 *
 * The memory of a handle is never given back, so that use after destroy is detected: inline
 * operations find every magazine stopped, and the slow path finds the state. A handle is reused
 * late, oldest first.
 */
#include <string.h>

#include "cache/registry.h"

#define HANDLES_BYTES ((size_t)64 * 1024)
#define VACANT_MIN 64u /* vacant handles before one is reused */

static struct percpu__lock lock = PERCPU__LOCK_INIT(PERCPU__RANK_CACHES);
static struct percpu__cache *caches; /* lock, as all below */
static struct percpu__cache *vacant, **vacant_end = &vacant;
static size_t nr_vacant;
static struct percpu__cache *fresh, *fresh_end; /* handles never used */
static uint32_t last_id;

void percpu__caches_lock(void)
{
	percpu__lock(&lock);
}

void percpu__caches_unlock(void)
{
	percpu__unlock(&lock);
}

void percpu__caches_lock_for_fork(void)
{
	percpu__lock_for_fork(&lock);
}

void percpu__caches_unlock_after_fork(void)
{
	percpu__unlock_after_fork(&lock);
}

void percpu__caches_visit(void (*visit)(struct percpu__cache *cache))
{
	for (struct percpu__cache *cache = caches; cache; cache = cache->next)
		visit(cache);
}

bool percpu__caches_each(bool (*visit)(struct percpu__cache *cache, void *arg), void *arg)
{
	struct percpu__cache *cache;

	percpu__lock(&lock);
	cache = caches;
	while (cache && visit(cache, arg))
		cache = cache->next;
	percpu__unlock(&lock);
	return !cache;
}

/* ---- handles; lock held ---- */

struct percpu__cache *percpu__handle_take(void)
{
	struct percpu__cache *cache = vacant;
	uint32_t id;

	if (nr_vacant >= VACANT_MIN) {
		vacant = cache->next;
		nr_vacant--;
		id = cache->id;
		memset(cache, 0, sizeof(*cache));
		cache->id = id;
		return cache;
	}
	if (fresh == fresh_end) {
		fresh = percpu__map(HANDLES_BYTES);
		fresh_end = fresh ? fresh + HANDLES_BYTES / sizeof(*fresh) : NULL;
	}
	if (!fresh || last_id == percpu__arena.mask)
		return NULL;
	fresh->id = ++last_id;
	return fresh++;
}

static void put_handle(struct percpu__cache *cache)
{
	cache->next = NULL;
	*vacant_end = cache;
	vacant_end = &cache->next;
	nr_vacant++;
}

void percpu__caches_add(struct percpu__cache *cache)
{
	percpu__lock_made_in_fork(&cache->lock, &lock);
	cache->state = PERCPU__CACHE_LIVE;
	cache->next = caches;
	caches = cache;
}

void percpu__caches_remove(struct percpu__cache *cache)
{
	struct percpu__cache **at = &caches;

	while (*at != cache)
		at = &(*at)->next;
	*at = cache->next;
}

/* ---- end of a cache ---- */

/* Frees what is left of a destroyed cache. Context: takes lock. */
static void end(struct percpu__cache *cache)
{
	percpu_free(cache->cpu_caches);
	percpu__lock(&lock);
	put_handle(cache);
	percpu__unlock(&lock);
}

void percpu__cache_put_waiting(struct percpu__cache *cache, uint64_t nr)
{
	/*
	 * Orders the other callers' accesses to the cache before its end: pairs with
	 * percpu__cache_put_waiting.
	 */
	if (__atomic_sub_fetch(&cache->nr_waiting, nr, __ATOMIC_ACQ_REL) == PERCPU__ENDS_LAST)
		end(cache);
}
