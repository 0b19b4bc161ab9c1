/* SPDX-License-Identifier: MIT */
/* The objects of one slab. */
#ifndef PERCPU_CACHE_SLAB_H
#define PERCPU_CACHE_SLAB_H

#include "cache/cache.h"

/*
 * The number of an object in its slab, from the lowest address up. The distance from object 0 is a
 * multiple of object_bytes, and inverse * object_bytes is 2^64 plus little: the quotient is the
 * upper half of the product.
 */
static inline uint32_t percpu__object_number(const struct percpu__cache *cache,
					     const struct percpu__slab *slab, const void *object)
{
	return (unsigned __int128)((uintptr_t)object - slab->start) * cache->inverse >> 64;
}

/* Makes a slab of fresh units, with all objects in it. Context: nobody else knows the slab. */
void percpu__slab_init(struct percpu__cache *cache, struct percpu__slab *slab, unsigned owner_cpu);

/*
 * Takes up to nr objects out of the slab, lowest first, without touching them. The last
 * *nr_unconstructed of them still need the constructor. Context: owner's lock held. Returns: the
 * number taken.
 */
unsigned percpu__slab_carve(const struct percpu__cache *cache, struct percpu__slab *slab,
			    void **links, unsigned nr, unsigned *nr_unconstructed);

/*
 * Toggles the object's free bit. Context: owner's lock held. Returns: its new value, true if it is
 * in the slab.
 */
bool percpu__slab_toggle(const struct percpu__cache *cache, struct percpu__slab *slab, void *link);

/* Returns an object to its slab; a double free ends the process. Context: owner's lock held. */
void percpu__slab_return(const struct percpu__cache *cache, struct percpu__slab *slab, void *link);

/* Checks free bits and descriptors. Context: owner's lock held. Returns: true if they agree. */
bool percpu__slab_check_invariants(const struct percpu__cache *cache, struct percpu__slab *slab);

#endif
