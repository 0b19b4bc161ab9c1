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
		percpu__cache_fatal(cache, who, handle, PERCPU__FAULT_DESTROYED_CACHE);
	return cache;
}

void *percpu_cache_alloc_slow(struct percpu_cache *handle)
{
	struct percpu__cache *cache = live(handle, "percpu_cache_alloc");
	void *link = NULL, *object;

	if (!cache->sections || !percpu__cache_take(&cache->pub.own_magazines, &link))
		link = percpu__flow_alloc(cache);
	if (!link) {
		errno = ENOMEM;
		return NULL;
	}
	object = percpu__object_of(cache, link);
	if (percpu__unlikely(cache->check))
		percpu__check_allocated(cache, object);
	return cache->zero_bytes ? memset(object, 0, cache->zero_bytes) : object;
}

static bool is_last_of_magazine(const struct percpu__magazine *magazine, const void *link)
{
	/* In this order; pairs with percpu__cache_put as far as the machine keeps that of its stores. */
	const uint64_t word = __atomic_load_n(&magazine->word, __ATOMIC_ACQUIRE), nr = word % 65536;

	return nr && __atomic_load_n(&magazine->slot[nr - 1], __ATOMIC_ACQUIRE) == link &&
	       __atomic_load_n(&magazine->word, __ATOMIC_RELAXED) == word;
}

static bool is_last_on(struct percpu__cache *cache, unsigned copy, const void *link, unsigned owner_cpu)
{
	return is_last_of_magazine(&percpu__cpu_cache_at(cache, copy)->magazine, link) ||
	       (cache->remote_batches && percpu__remote_batch_ends_with(percpu_ptr(percpu__remote_batch_for(cache, owner_cpu), copy), link));
}

/*
 * Whether the link is the last in this CPU's list or batch: then it cannot be in use. A caller that is on another CPU
 * by now may see old values: a fence before the second look, or being there still, tells.
 */
static bool is_last_freed(struct percpu__cache *cache, const void *link, unsigned owner_cpu)
{
	const unsigned copy = percpu__cpu_cache_here(cache)->copy;

	return percpu__unlikely(is_last_on(cache, copy, link, owner_cpu)) &&
	       (percpu__fence() || percpu__cpu_cache_here(cache)->copy == copy) && is_last_on(cache, copy, link, owner_cpu);
}

/* The policy: a pointer passes all rules or the process ends. Nothing is read from the memory it names. */
/* [doc:cache_validate] */
static __attribute__((cold)) void refuse(const struct percpu__cache *cache, const void *object, const char *who)
{
	const uintptr_t number = (uintptr_t)object >> PERCPU__ARENA_UNIT_SHIFT;
	const uint64_t tag = __atomic_load_n(&percpu__slab_at((uintptr_t)object)->tag, __ATOMIC_RELAXED);

	if (!tag || tag - number - 1 >= percpu__arena.mask)
		percpu__cache_fatal(cache, who, object, PERCPU__FAULT_NOT_AN_OBJECT);
	if (tag != number + cache->id)
		percpu__cache_fatal(cache, who, object, PERCPU__FAULT_OTHER_CACHE);
	percpu__cache_fatal(cache, who, object, PERCPU__FAULT_INSIDE_OBJECT);
}

/* Returns: the home. An object that is free already may lose its slab, and with it its home, in the middle of this. */
static inline unsigned validate(const struct percpu__cache *cache, const void *object, const char *who)
{
	unsigned owner_cpu;

	if (percpu__unlikely(!percpu__is_object(cache, (uintptr_t)object)))
		refuse(cache, object, who);
	owner_cpu = percpu__owner_cpu(cache, percpu__slab_at((uintptr_t)object));
	if (percpu__unlikely(owner_cpu >= percpu_abi.nr_copies))
		refuse(cache, object, who);
	return owner_cpu;
}
/* [doc:end] */

/* What takes longer: a free that is the second one. */
static void *check_double_free(struct percpu__cache *cache, void *object, unsigned owner_cpu, const char *who)
{
	void *link = percpu__link_of(cache, object);

	if (percpu__unlikely(is_last_freed(cache, link, owner_cpu)))
		percpu__cache_fatal(cache, who, object, PERCPU__FAULT_DOUBLE_FREE);
	if (percpu__unlikely(cache->check))
		percpu__check_freed(cache, object);
	return link;
}

/* What no batch took. Not inlined, for the registers that it makes its caller save. */
static __attribute__((noinline)) void free_local_or_remote(struct percpu__cache *cache, void *object, unsigned owner_cpu)
{
	void *link = check_double_free(cache, object, owner_cpu, "percpu_cache_free");

	if (!cache->sections ||
	    !percpu__cache_put(&cache->pub.own_magazines, &percpu__slab_at((uintptr_t)object)->magazine, link))
		percpu__flow_free(cache, link, owner_cpu);
}

void percpu_cache_free_slow(struct percpu_cache *handle, void *object)
{
	struct percpu__cache *cache;
	unsigned owner_cpu;

	if (!object)
		return;
	cache = live(handle, "percpu_cache_free");
	owner_cpu = validate(cache, object, "percpu_cache_free");
	/* What brings most callers here: another CPU's object. */
	if (percpu__unlikely(!percpu__remote_batch_push(cache, percpu__link_of(cache, object), owner_cpu)))
		free_local_or_remote(cache, object, owner_cpu);
}

void percpu_cache_free_to(struct percpu_cache *handle, void *object, unsigned cpu)
{
	struct percpu__cache *cache;
	unsigned owner_cpu;
	char *magazine;
	void *link;

	if (!object)
		return;
	cache = live(handle, "percpu_cache_free_to");
	if (cpu >= percpu_nr_cpus())
		percpu__fatal("percpu_cache_free_to",
			      &(struct percpu__subject){ .pointer = object, .cache = cache->name,
							 .object_bytes = cache->pub.size,
							 .value = { cpu, percpu_nr_cpus() } },
			      PERCPU__FAULT_NO_SUCH_CPU);
	owner_cpu = validate(cache, object, "percpu_cache_free_to");
	percpu__sanitizer_hand_over(&object, 1);
	link = check_double_free(cache, object, owner_cpu, "percpu_cache_free_to");
	magazine = percpu__magazine_of(cache, cpu);
	if (!cache->sections || !percpu__cache_put(&cache->pub.own_magazines, &magazine, link))
		percpu__flow_free_to(cache, link, cpu);
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
	percpu__sanitizer_take_over(objects, n);
	return 0;
}

void percpu_cache_free_bulk(struct percpu_cache *cache, size_t n, void **objects)
{
	percpu__sanitizer_hand_over(objects, n);
	while (n--)
		percpu_cache_free(cache, objects[n]);
}
