/* SPDX-License-Identifier: MIT */
/*
 * The kernel's spelling of object caches. Flags of a cache that ask for checks or for accounting
 * mean nothing here. Not here: SLAB_TYPESAFE_BY_RCU, for which a flavour must be named (create such
 * a cache by percpu_cache_create_attr), the zones (SLAB_CACHE_DMA), and kmalloc, which is malloc.
 */
#ifndef PERCPU_KERNEL_SLAB_H
#define PERCPU_KERNEL_SLAB_H

#include <percpu/kernel/unmarked.h>

#include <percpu/cache.h>
#include <percpu/kernel/gfp.h>

#define SLAB_HWCACHE_ALIGN PERCPU_CACHE_LINE_ALIGN
#define SLAB_PANIC 0u /* and then they fail as they would without */
#define SLAB_ACCOUNT 0u
#define SLAB_RECLAIM_ACCOUNT 0u
#define SLAB_TEMPORARY 0u
#define SLAB_MEM_SPREAD 0u
#define SLAB_NOLEAKTRACE 0u
#define SLAB_NO_MERGE 0u
#define SLAB_NO_USER_FLAGS 0u
#define SLAB_NO_OBJ_EXT 0u
#define SLAB_KASAN 0u
#define SLAB_SKIP_KFENCE 0u
#define SLAB_CONSISTENCY_CHECKS 0u
#define SLAB_RED_ZONE 0u
#define SLAB_POISON 0u
#define SLAB_STORE_USER 0u
#define SLAB_TRACE 0u
#define kmem_cache percpu_cache

#define kmem_cache_create(name, size, align, flags, ctor)                                                    \
	percpu_cache_create((name), (size) < PERCPU_CACHE_MIN_SIZE ? PERCPU_CACHE_MIN_SIZE : (size), (align),  \
			    (flags), (ctor))
#define kmem_cache_create_usercopy(name, size, align, flags, offset, bytes, ctor)                            \
	((void)(offset), (void)(bytes), kmem_cache_create((name), (size), (align), (flags), (ctor)))
#define KMEM_CACHE_USERCOPY(type, flags, field) KMEM_CACHE(type, (flags))
#define KMEM_CACHE(type, flags) kmem_cache_create(#type, sizeof(struct type), __alignof__(struct type), (flags), NULL)
#define kmem_cache_free(cache, object) percpu_cache_free((cache), (object))
#define kmem_cache_free_bulk(cache, n, objects) percpu_cache_free_bulk((cache), (n), (objects))
#define kmem_cache_shrink(cache) (percpu_cache_shrink(cache) < 0)
#define kmem_cache_size(cache) ((unsigned)(cache)->size)

PERCPU__INLINE void *kmem_cache_alloc(struct percpu_cache *cache, unsigned flags)
{
	void *object = percpu_cache_alloc(cache);

	return flags & __GFP_ZERO && object ? __builtin_memset(object, 0, cache->size) : object;
}

/* Objects come from the cache of the caller's CPU, whatever node is named. */
#define kmem_cache_alloc_node(cache, flags, node) ((void)(node), kmem_cache_alloc((cache), (flags)))
#define kmem_cache_alloc_lru(cache, lru, flags) ((void)(lru), kmem_cache_alloc((cache), (flags)))

PERCPU__INLINE void *kmem_cache_zalloc(struct percpu_cache *cache, unsigned flags)
{
	return kmem_cache_alloc(cache, flags | __GFP_ZERO);
}

/* Returns: n, or 0 and no object. */
PERCPU__INLINE int kmem_cache_alloc_bulk(struct percpu_cache *cache, unsigned flags, size_t n,
					 void **objects)
{
	if (percpu_cache_alloc_bulk(cache, n, objects) < 0)
		return 0;
	for (size_t i = 0; flags & __GFP_ZERO && i < n; i++)
		__builtin_memset(objects[i], 0, cache->size);
	return (int)n;
}

/* NULL is fine; a cache with objects in use stays. */
PERCPU__INLINE void kmem_cache_destroy(struct percpu_cache *cache)
{
	if (cache)
		(void)percpu_cache_destroy(cache);
}

#endif
