/* SPDX-License-Identifier: MIT */
/*
 * Owns the slow paths of alloc and free that programs call, and the validation of freed pointers:
 * percpu__is_object is the rule, refuse names the violation.
 */
#include <errno.h>
#include <string.h>

#include "cache/age.h"
#include "cache/check.h"
#include "cache/flow.h"
#include "cache/remote.h"

static void *alloc_further(struct percpu__cache *cache)
{
	uint64_t now_ms;
	void *link = percpu__flow_alloc(cache, &now_ms);

	percpu__sweep(cache, now_ms, false);
	return link;
}

void *percpu_cache_alloc_slow(struct percpu_cache *handle)
{
	struct percpu__cache *cache = percpu__live_cache(handle, "percpu_cache_alloc");
	void *link = NULL, *object;

	if (!cache->sections || !percpu__cache_take(&cache->pub.own_magazines, &link))
		link = alloc_further(cache);
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
	/* Pairs with percpu__cache_put, as far as the machine keeps its stores in order. */
	const uint64_t word = __atomic_load_n(&magazine->word, __ATOMIC_ACQUIRE),
		       nr = percpu__magazine_nr(word);

	return nr && __atomic_load_n(&magazine->slot[nr - 1], __ATOMIC_ACQUIRE) == link &&
	       __atomic_load_n(&magazine->word, __ATOMIC_RELAXED) == word;
}

static bool is_last_on(struct percpu__cache *cache, unsigned copy, const void *link,
		       unsigned owner_cpu)
{
	return is_last_of_magazine(&percpu__cpu_cache_at(cache, copy)->magazine, link) ||
	       (cache->remote_batches &&
		percpu__remote_batch_ends_with(
			percpu_ptr(percpu__remote_batch_for(cache, owner_cpu), copy), link));
}

/*
 * Returns: true if the link is the last in this CPU's magazine or remote batch, so that the object
 * is free. A caller that has migrated may have read old values, so a match counts only after a
 * fence or still on the same CPU.
 */
static bool is_last_freed(struct percpu__cache *cache, const void *link, unsigned owner_cpu)
{
	const unsigned copy = percpu__cpu_cache_here(cache)->copy;

	return percpu__unlikely(is_last_on(cache, copy, link, owner_cpu)) &&
	       (percpu__fence() || percpu__cpu_cache_here(cache)->copy == copy) &&
	       is_last_on(cache, copy, link, owner_cpu);
}

/* Ends the process for a pointer that is not an object of the cache. Its memory is not read. */
static __attribute__((cold)) void refuse(const struct percpu__cache *cache, const void *object,
					 const char *call)
{
	const uintptr_t number = (uintptr_t)object >> PERCPU__ARENA_UNIT_SHIFT;
	const uint64_t tag =
		__atomic_load_n(&percpu__slab_at((uintptr_t)object)->tag, __ATOMIC_RELAXED);

	if (!tag || tag - number - 1 >= percpu__arena.mask)
		percpu__cache_fatal(cache, call, object, PERCPU__FAULT_NOT_AN_OBJECT);
	if (tag != number + cache->id)
		percpu__cache_fatal(cache, call, object, PERCPU__FAULT_OTHER_CACHE);
	percpu__cache_fatal(cache, call, object, PERCPU__FAULT_INSIDE_OBJECT);
}

/*
 * Returns: the owner CPU. The slab of an object that is free already may go back meanwhile, and its
 * owner with it.
 */
static inline unsigned validate(const struct percpu__cache *cache, const void *object,
				const char *call)
{
	unsigned owner_cpu;

	if (percpu__unlikely(!percpu__is_object(cache, (uintptr_t)object)))
		refuse(cache, object, call);
	owner_cpu = percpu__owner_cpu(cache, percpu__slab_at((uintptr_t)object));
	if (percpu__unlikely(owner_cpu >= percpu_abi.nr_copies))
		refuse(cache, object, call);
	return owner_cpu;
}

/*
 * Checks that are too slow for the fast path: double frees and, with PERCPU_OPTIONS=check, poison.
 * Returns: the link.
 */
static void *check_double_free(struct percpu__cache *cache, void *object, unsigned owner_cpu,
			       const char *call)
{
	void *link = percpu__link_of(cache, object);

	if (percpu__unlikely(is_last_freed(cache, link, owner_cpu)))
		percpu__cache_fatal(cache, call, object, PERCPU__FAULT_DOUBLE_FREE);
	if (percpu__unlikely(cache->check))
		percpu__check_freed(cache, object);
	return link;
}

static void flow_free(struct percpu__cache *cache, void *link, unsigned owner_cpu)
{
	percpu__sweep(cache, percpu__flow_free(cache, link, owner_cpu), true);
}

static void flow_free_to(struct percpu__cache *cache, void *link, unsigned cpu)
{
	percpu__sweep(cache, percpu__flow_free_to(cache, link, cpu), true);
}

/*
 * Slow path: the remote batch did not accept the object. noinline, so that its caller saves no
 * registers for it.
 */
static __attribute__((noinline)) void free_local_or_remote(struct percpu__cache *cache,
							   void *object, unsigned owner_cpu)
{
	void *link = check_double_free(cache, object, owner_cpu, "percpu_cache_free");

	if (!cache->sections ||
	    !percpu__cache_put(&cache->pub.own_magazines,
			       &percpu__slab_at((uintptr_t)object)->magazine, link))
		flow_free(cache, link, owner_cpu);
}

void percpu_cache_free_slow(struct percpu_cache *handle, void *object)
{
	struct percpu__cache *cache;
	unsigned owner_cpu;

	if (!object)
		return;
	cache = percpu__live_cache(handle, "percpu_cache_free");
	owner_cpu = validate(cache, object, "percpu_cache_free");
	/* Most callers free another CPU's object. */
	if (percpu__unlikely(
		    !percpu__remote_batch_push(cache, percpu__link_of(cache, object), owner_cpu)))
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
	cache = percpu__live_cache(handle, "percpu_cache_free_to");
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
		flow_free_to(cache, link, cpu);
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
