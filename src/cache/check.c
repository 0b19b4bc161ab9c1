/* SPDX-License-Identifier: MIT */
/*
 * Owns PERCPU_OPTIONS=check for caches. CPUs then have no lists, so that every allocation and free
 * passes here. One bit an object says whether it is in use, so that a second free is found at once.
 * An object that need not stay as it is holds poison while it is free; whatever else it holds when it is
 * given was written after the free.
 */
#include <string.h>

#include "cache/cache.h"

#define POISON 0x6b

_Noreturn void percpu__cache_fatal(const struct percpu__cache *cache, const char *call, const void *pointer,
				   enum percpu__fault fault)
{
	const struct percpu__subject subject = { .pointer = pointer, .cache = cache->name,
						 .object_bytes = cache->pub.size };

	percpu__fatal(call, &subject, fault);
}

static bool has_poison(const struct percpu__cache *cache)
{
	return !cache->ctor && !(cache->flags & PERCPU_CACHE_TYPESAFE_BY_RCU);
}

/* Flips the object's bit. Returns: whether it was set. */
static bool toggle_used(const struct percpu__cache *cache, const void *object, bool set)
{
	const struct percpu__slab *slab = percpu__slab_of((uintptr_t)object);
	const uint32_t number = percpu__object_number(cache, slab, object);
	uint64_t *word = &percpu__arena.used_bits[percpu__slab_index(slab)].word[number / 64];
	const uint64_t bit = UINT64_C(1) << number % 64;

	return (set ? __atomic_fetch_or(word, bit, __ATOMIC_RELAXED) : __atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED)) &
	       bit;
}

void percpu__check_carved(const struct percpu__cache *cache, void *object)
{
	if (has_poison(cache))
		memset(object, POISON, cache->link_bytes);
}

void percpu__check_allocated(const struct percpu__cache *cache, void *object)
{
	const unsigned char *bytes = object;

	if (toggle_used(cache, object, true))
		percpu__cache_fatal(cache, "percpu_cache_alloc", object, PERCPU__FAULT_HANDED_OUT_TWICE);
	for (size_t i = 0; has_poison(cache) && i < cache->link_bytes; i++)
		if (bytes[i] != POISON)
			percpu__cache_fatal(cache, "percpu_cache_alloc", object, PERCPU__FAULT_WRITE_AFTER_FREE);
}

void percpu__check_freed(const struct percpu__cache *cache, void *object)
{
	if (!toggle_used(cache, object, false))
		percpu__cache_fatal(cache, "percpu_cache_free", object, PERCPU__FAULT_DOUBLE_FREE);
	if (has_poison(cache))
		memset(object, POISON, cache->link_bytes);
}
