/* SPDX-License-Identifier: MIT */
/*
 * Object caches: objects of one size, handed out and taken back on the CPU where the caller runs,
 * last freed first given.
 *
 *	struct percpu_cache *cache = percpu_cache_create("packets", 1500, 64, 0, NULL);
 *	void *packet = percpu_cache_alloc(cache);
 *	percpu_cache_free(cache, packet);
 *
 * An object has a home: the CPU whose memory it was cut from. Freed there, it is the next to be given.
 * Freed on another CPU, it goes home in a batch. On its own CPU an alloc or a free is one restartable
 * sequence, without a lock and without an atomic instruction.
 */
#ifndef PERCPU_CACHE_H
#define PERCPU_CACHE_H

#include <percpu/abi/cache.h>
#include <percpu/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * percpu_cache_create - a cache of objects of size bytes. The name is copied. align: a power of two up
 * to 4096, or 0 for that of 8 bytes. ctor runs once for each object before it is first given, and its
 * work lasts: what is freed must be as constructed. No lock is held, so that it may use caches.
 * Context: MT-safe; not async-signal-safe.
 * Returns: the cache, or NULL with errno: EINVAL (size, align, flags, attr), ENOTSUP (RCU, in a library
 * built without liburcu; or the program was compiled for a newer layout of caches), ENOMEM.
 */
PERCPU__INLINE struct percpu_cache *percpu_cache_create(const char *name, size_t size, size_t align, unsigned flags,
							void (*ctor)(void *object))
{
	return percpu_cache_create_layout(PERCPU_CACHE_LAYOUT, name, size, align, flags, ctor, NULL);
}

PERCPU__INLINE struct percpu_cache *percpu_cache_create_attr(const char *name, size_t size, size_t align, unsigned flags,
							     void (*ctor)(void *object),
							     const struct percpu_cache_attr *attr)
{
	return percpu_cache_create_layout(PERCPU_CACHE_LAYOUT, name, size, align, flags, ctor, attr);
}

/*
 * percpu_cache_destroy - gives back all memory. Nobody else may use the cache meanwhile.
 * With RCU it waits for grace periods: not inside a read-side section.
 * Returns: 0, or -EBUSY while objects are in use; then the cache is as before.
 */
PERCPU_API int percpu_cache_destroy(struct percpu_cache *cache);

/*
 * percpu_cache_shrink - gives back every slab without an object in use, whichever CPU holds the free
 * ones. With RCU it waits for a grace period: not inside a read-side section.
 * Returns: bytes given back.
 */
PERCPU_API ssize_t percpu_cache_shrink(struct percpu_cache *cache);

/* percpu_cache_alloc_bulk - n objects, all or none. Returns: 0 or -ENOMEM. */
PERCPU_API int percpu_cache_alloc_bulk(struct percpu_cache *cache, size_t n, void **objects);
PERCPU_API void percpu_cache_free_bulk(struct percpu_cache *cache, size_t n, void **objects);

/*
 * percpu_cache_free_to - as percpu_cache_free, but the object is next given on cpu, below
 * percpu_nr_cpus(), wherever its home is.
 */
PERCPU_API void percpu_cache_free_to(struct percpu_cache *cache, void *object, unsigned cpu);

/* Returns: 0, or -EINVAL (out NULL or out->size too small to be any version). */
PERCPU_API int percpu_cache_stats(struct percpu_cache *cache, struct percpu_cache_stats *out);

/* The sections of a list, and what sanitizers hear of them. */
PERCPU__INLINE bool percpu__cache_take(char *const *magazines, void **item)
{
	if (__builtin_expect(!percpu__try_cache_take(magazines, item), 0))
		return false;
	percpu__take_over(*item);
	return true;
}

PERCPU__INLINE bool percpu__cache_take_from(char *const *magazines, char *const *magazine, void **item)
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
 * percpu_cache_alloc - Context: MT-safe; not async-signal-safe.
 * Returns: an object, its bytes undefined (as constructed; zero with PERCPU_CACHE_ZERO), or NULL with
 * errno ENOMEM.
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

/* A word of the handle that stays as it is until the cache is destroyed; then its lists are closed as well. */
#define percpu__settled(cache, word) percpu__load_once(cache, offsetof(struct percpu_cache, word))

/*
 * percpu_cache_free - NULL is fine; errno is kept. What is no object of this cache in use prints one
 * line and aborts; a second free of an object at once if nothing was freed or sent home in between, and in
 * any case when the object goes back to its slab.
 * Context: MT-safe; not async-signal-safe.
 */
PERCPU__INLINE void percpu_cache_free(struct percpu_cache *cache, void *object)
{
	const uintptr_t address = (uintptr_t)object;
	const struct percpu__slab_id *slab =
		(const struct percpu__slab_id *)((const char *)cache->slabs + (address >> 10 & percpu__settled(cache, mask)));
	const uint64_t offset = address - slab->start, inverse = percpu__settled(cache, inverse);

	/* Not far from the slab's first object, and by a multiple of their size; whose slab it is, the list tells. */
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
