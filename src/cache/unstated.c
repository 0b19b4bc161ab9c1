/* SPDX-License-Identifier: MIT */
/*
 * Owns the functions that create a cache without stating a layout: dlsym() finds them, and programs
 * call them that were compiled before <percpu/cache.h> handed the layout on. Their caches take the
 * slow path, which no layout enters. Not included: <percpu/cache.h>, which defines inline functions
 * of these names.
 */
#include <percpu/abi/cache.h>

PERCPU_API struct percpu_cache *percpu_cache_create(const char *name, size_t size, size_t align,
						    unsigned flags, void (*ctor)(void *object));
PERCPU_API struct percpu_cache *percpu_cache_create_attr(const char *name, size_t size,
							 size_t align, unsigned flags,
							 void (*ctor)(void *object),
							 const struct percpu_cache_attr *attr);

struct percpu_cache *percpu_cache_create(const char *name, size_t size, size_t align,
					 unsigned flags, void (*ctor)(void *object))
{
	return percpu_cache_create_layout(0, name, size, align, flags, ctor, NULL);
}

struct percpu_cache *percpu_cache_create_attr(const char *name, size_t size, size_t align,
					      unsigned flags, void (*ctor)(void *object),
					      const struct percpu_cache_attr *attr)
{
	return percpu_cache_create_layout(0, name, size, align, flags, ctor, attr);
}
