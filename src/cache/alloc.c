/* SPDX-License-Identifier: MIT */
/*
 * Owns the public entries of alloc and free that run when the section in the caller's code could not,
 * and the verdict on a pointer given to free: percpu__is_object is the rule, refuse says what was wrong.
 */
#include <errno.h>
#include <string.h>

#include "cache/cache.h"

static struct percpu__cache *live(struct percpu_cache *handle, const char *who)
{
	struct percpu__cache *cache = percpu__cache_of(handle);

	if (percpu__unlikely(cache->state != PERCPU__CACHE_LIVE))
		percpu__die(who, handle, "the cache was destroyed");
	return cache;
}

void *percpu_cache_alloc_slow(struct percpu_cache *handle)
{
	struct percpu__cache *cache = live(handle, "percpu_cache_alloc");
	void *link = NULL, *object;

	if (!cache->sections || !percpu__cache_take(&cache->pub.own_line, &link))
		link = percpu__home_alloc(cache);
	if (!link) {
		errno = ENOMEM;
		return NULL;
	}
	object = percpu__object_of(cache, link);
	if (percpu__unlikely(cache->check))
		percpu__check_given(cache, object);
	return cache->zero_bytes ? memset(object, 0, cache->zero_bytes) : object;
}

static bool is_last_of_list(const struct percpu__cache_list *list, const void *link)
{
	/* In this order; pairs with percpu__cache_put as far as the machine keeps that of its stores. */
	const uint64_t word = __atomic_load_n(&list->word, __ATOMIC_ACQUIRE), nr = word % 65536;

	return nr && __atomic_load_n(&list->slot[nr - 1], __ATOMIC_ACQUIRE) == link &&
	       __atomic_load_n(&list->word, __ATOMIC_RELAXED) == word;
}

static bool is_last_on(struct percpu__cache *cache, unsigned copy, const void *link, unsigned home)
{
	return is_last_of_list(&percpu__home_at(cache, copy)->list, link) ||
	       (cache->batches && percpu__batch_ends_with(percpu_ptr(percpu__batch_for(cache, home), copy), link));
}

/*
 * Whether the link is the last in this CPU's list or batch: then it cannot be in use. A caller that is on another CPU
 * by now may see old values: a fence before the second look, or being there still, tells.
 */
static bool is_last_freed(struct percpu__cache *cache, const void *link, unsigned home)
{
	const unsigned copy = percpu__home_here(cache)->copy;

	return percpu__unlikely(is_last_on(cache, copy, link, home)) &&
	       (percpu__fence() || percpu__home_here(cache)->copy == copy) && is_last_on(cache, copy, link, home);
}

/* The policy: a pointer passes all rules or the process ends. Nothing is read from the memory it names. */
/* [doc:cache_okay_to_free] */
static __attribute__((cold)) void refuse(const struct percpu__cache *cache, const void *object, const char *who)
{
	const uintptr_t number = (uintptr_t)object >> PERCPU__ARENA_UNIT_SHIFT;
	const uint64_t tag = __atomic_load_n(&percpu__slab_at((uintptr_t)object)->tag, __ATOMIC_RELAXED);

	if (!tag || tag - number - 1 >= percpu__arena.mask)
		percpu__die(who, object, "not an object of a cache, or freed before");
	if (tag != number + cache->id)
		percpu__die(who, object, "an object of another cache");
	percpu__die(who, object, "inside an object, not its start");
}

/* Returns: the home. An object that is free already may lose its slab, and with it its home, in the middle of this. */
static inline unsigned okay_to_free(const struct percpu__cache *cache, const void *object, const char *who)
{
	unsigned home;

	if (percpu__unlikely(!percpu__is_object(cache, (uintptr_t)object)))
		refuse(cache, object, who);
	home = percpu__home_of(cache, percpu__slab_at((uintptr_t)object));
	if (percpu__unlikely(home >= percpu_abi.nr_copies))
		refuse(cache, object, who);
	return home;
}
/* [doc:end] */

/* What takes longer: a free that is the second one. */
static void *accept(struct percpu__cache *cache, void *object, unsigned home, const char *who)
{
	void *link = percpu__link_of(cache, object);

	if (percpu__unlikely(is_last_freed(cache, link, home)))
		percpu__die(who, object, "freed twice");
	if (percpu__unlikely(cache->check))
		percpu__check_freed(cache, object);
	return link;
}

/* What no batch took. Not inlined, for the registers that it makes its caller save. */
static __attribute__((noinline)) void free_further(struct percpu__cache *cache, void *object, unsigned home)
{
	void *link = accept(cache, object, home, "percpu_cache_free");

	if (!cache->sections ||
	    !percpu__cache_put(&cache->pub.own_line, &percpu__slab_at((uintptr_t)object)->list, link))
		percpu__home_free(cache, link, home);
}

void percpu_cache_free_slow(struct percpu_cache *handle, void *object)
{
	struct percpu__cache *cache;
	unsigned home;

	if (!object)
		return;
	cache = live(handle, "percpu_cache_free");
	home = okay_to_free(cache, object, "percpu_cache_free");
	/* What brings most callers here: another CPU's object. */
	if (percpu__unlikely(!percpu__batch_push(cache, percpu__link_of(cache, object), home)))
		free_further(cache, object, home);
}

void percpu_cache_free_to(struct percpu_cache *handle, void *object, unsigned cpu)
{
	struct percpu__cache *cache;
	unsigned home;
	char *list;
	void *link;

	if (!object)
		return;
	cache = live(handle, "percpu_cache_free_to");
	if (cpu >= percpu_nr_cpus())
		percpu__die("percpu_cache_free_to", object, "there is no such CPU");
	home = okay_to_free(cache, object, "percpu_cache_free_to");
	percpu__watch_hand_over(&object, 1);
	link = accept(cache, object, home, "percpu_cache_free_to");
	list = percpu__list_of(cache, cpu);
	if (!cache->sections || !percpu__cache_put(&cache->pub.own_line, &list, link))
		percpu__home_free_to(cache, link, cpu);
}

int percpu_cache_alloc_bulk(struct percpu_cache *cache, size_t n, void **objects)
{
	for (size_t done = 0; done < n; done++) {
		objects[done] = percpu_cache_alloc(cache);
		if (objects[done])
			continue;
		percpu_cache_free_bulk(cache, done, objects);
		memset(objects, 0, done * sizeof(*objects));
		return -ENOMEM;
	}
	percpu__watch_take_over(objects, n);
	return 0;
}

void percpu_cache_free_bulk(struct percpu_cache *cache, size_t n, void **objects)
{
	percpu__watch_hand_over(objects, n);
	while (n--)
		percpu_cache_free(cache, objects[n]);
}
