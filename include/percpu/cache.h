/* SPDX-License-Identifier: MIT */
/*
 * Object caches: objects of one size, allocated and freed on the CPU where the caller runs. The
 * object freed last is allocated first.
 *
 *	struct percpu_cache *cache = percpu_cache_create("packets", 1500, 64, 0, NULL);
 *	void *packet = percpu_cache_alloc(cache);
 *	percpu_cache_free(cache, packet);
 *
 * Every object has an owner: the CPU whose slab contains it. An object freed there goes into that
 * CPU's magazine. Objects freed on other CPUs are returned to the owner in remote batches. An
 * allocation, or a free on the owner CPU, is one rseq critical section without
 * locks or atomic instructions.
 */
#ifndef PERCPU_CACHE_H
#define PERCPU_CACHE_H

#include <percpu/abi/cache.h>
#include <percpu/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * percpu_cache_create - creates a cache of objects of size bytes. The name is copied. align is a
 * power of two up to 4096, or 0 for 8. ctor runs once for each object, before it is first
 * allocated; objects must be in the constructed state when they are freed. ctor is called without
 * locks and may use caches.
 * Context: MT-safe; not async-signal-safe.
 * Returns: the cache, or NULL with errno: EINVAL (size, align, flags, attr), ENOTSUP (RCU, if the
 * library was built without liburcu; or the program was compiled for a newer
 * layout of caches), ENOMEM.
 */
PERCPU__INLINE struct percpu_cache *percpu_cache_create(const char *name, size_t size, size_t align,
							unsigned flags, void (*ctor)(void *object))
{
	return percpu_cache_create_layout(PERCPU_CACHE_LAYOUT, name, size, align, flags, ctor,
					  NULL);
}

PERCPU__INLINE struct percpu_cache *percpu_cache_create_attr(const char *name, size_t size,
							     size_t align, unsigned flags,
							     void (*ctor)(void *object),
							     const struct percpu_cache_attr *attr)
{
	return percpu_cache_create_layout(PERCPU_CACHE_LAYOUT, name, size, align, flags, ctor,
					  attr);
}

/*
 * percpu_cache_destroy - frees the cache. No other thread may use it meanwhile. With RCU it waits
 * for grace periods, so do not call it inside a read-side critical section.
 * Returns: 0, or -EBUSY if there are live objects; the cache is then unchanged.
 */
PERCPU_API int percpu_cache_destroy(struct percpu_cache *cache);

/*
 * percpu_cache_shrink - trims every slab without live objects, even if other CPUs keep its free
 * objects. With RCU it waits for a grace period, so do not call it inside a read-side critical
 * section.
 * Returns: the number of bytes trimmed.
 */
PERCPU_API ssize_t percpu_cache_shrink(struct percpu_cache *cache);

/* percpu_cache_alloc_bulk - allocates n objects, all or none. Returns: 0 or -ENOMEM. */
PERCPU_API int percpu_cache_alloc_bulk(struct percpu_cache *cache, size_t n, void **objects);
PERCPU_API void percpu_cache_free_bulk(struct percpu_cache *cache, size_t n, void **objects);

/*
 * percpu_cache_free_to - frees an object as percpu_cache_free does, but for the next allocation on
 * cpu, which is below percpu_nr_cpus() and need not be the owner.
 */
PERCPU_API void percpu_cache_free_to(struct percpu_cache *cache, void *object, unsigned cpu);

/* Returns: 0, or -EINVAL (out is NULL, or out->size is smaller than in any version). */
PERCPU_API int percpu_cache_stats(struct percpu_cache *cache, struct percpu_cache_stats *out);

/* The critical sections of magazines, with annotations for sanitizers. */
PERCPU__INLINE bool percpu__cache_take(char *const *magazines, void **item)
{
	if (__builtin_expect(!percpu__try_cache_take(magazines, item), 0))
		return false;
	percpu__take_over(*item);
	return true;
}

PERCPU__INLINE bool percpu__cache_take_from(char *const *magazines, char *const *magazine,
					    void **item)
{
	if (!percpu__try_cache_take_from(magazines, magazine, item))
		return false;
	percpu__take_over(*item);
	return true;
}

PERCPU__INLINE bool percpu__cache_put(char *const *magazines, char *const *magazine, void *item)
{
	percpu__hand_over(item);
	return percpu__try_cache_put(magazines, magazine, item);
}

/*
 * percpu_cache_alloc - allocates an object. Its contents are undefined, unless there is a
 * constructor or PERCPU_CACHE_ZERO.
 * Context: MT-safe; not async-signal-safe.
 * Returns: the object, or NULL with errno ENOMEM.
 */
PERCPU__INLINE void *percpu_cache_alloc(struct percpu_cache *cache)
{
	void *object;

	if (__builtin_expect(percpu__cache_take(&cache->magazines, &object), 1))
		return object;
	object = percpu_cache_alloc_slow(cache);
	percpu__take_over(object);
	return object;
}

/*
 * Loads a field of the handle that is immutable until the cache is destroyed. Destruction stops the
 * magazines first, so a stale value is harmless.
 */
#define percpu__settled(cache, word) percpu__load_once(cache, offsetof(struct percpu_cache, word))

/*
 * percpu_cache_free - frees an object; does nothing for NULL. errno is preserved. If the pointer is
 * not a live object of this cache, a message is printed and the process aborts. A double free is
 * detected immediately if no other object was freed or flushed in between, and otherwise when the
 * object returns to its slab.
 * Context: MT-safe; not async-signal-safe.
 */
PERCPU__INLINE void percpu_cache_free(struct percpu_cache *cache, void *object)
{
	const uintptr_t address = (uintptr_t)object;
	const struct percpu__slab_id *slab =
		(const struct percpu__slab_id *)((const char *)cache->slabs +
						 (address >> 10 & percpu__settled(cache, mask)));
	const uint64_t offset = address - slab->start, inverse = percpu__settled(cache, inverse);

	/*
	 * The start of an object of some slab. The put compares the magazine: its cache and owner.
	 */
	if (__builtin_expect(offset < PERCPU__SLAB_MAX && offset * inverse < inverse &&
				     percpu__cache_put(&cache->magazines, &slab->magazine, object),
			     1))
		return;
	percpu__hand_over(object);
	percpu_cache_free_slow(cache, object);
}

#ifdef __cplusplus
}
#endif
#endif
