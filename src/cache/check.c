/* SPDX-License-Identifier: MIT */
/*
 * Owns the checks of PERCPU_OPTIONS=check: a used bit for each object, and poison in free objects
 * of caches without constructor and RCU.
 * Also ends the process after any misuse of a cache.
 */
#include <string.h>

#include "cache/check.h"

#include "cache/slab.h"

#define POISON 0x6b

_Noreturn void percpu__cache_fatal(const struct percpu__cache *cache, const char *call,
				   const void *pointer, enum percpu__fault fault)
{
	const struct percpu__subject subject = { .pointer = pointer, .cache = cache->name,
						 .object_bytes = cache->pub.size };

	percpu__fatal(call, &subject, fault);
}

static bool has_poison(const struct percpu__cache *cache)
{
	return !cache->ctor && !(cache->flags & PERCPU_CACHE_TYPESAFE_BY_RCU);
}

/* Sets the object's used bit. Returns: its value before. */
static bool set_used(const struct percpu__cache *cache, const void *object, bool set)
{
	const struct percpu__slab *slab = percpu__slab_of((uintptr_t)object);
	const uint32_t number = percpu__object_number(cache, slab, object);
	uint64_t *word = &percpu__arena.used_bits[percpu__slab_index(slab)].word[number / 64];
	const uint64_t bit = UINT64_C(1) << number % 64;

	return (set ? __atomic_fetch_or(word, bit, __ATOMIC_RELAXED)
		    : __atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED)) &
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

	if (set_used(cache, object, true))
		percpu__cache_fatal(cache, "percpu_cache_alloc", object,
				    PERCPU__FAULT_HANDED_OUT_TWICE);
	for (size_t i = 0; has_poison(cache) && i < cache->link_bytes; i++)
		if (bytes[i] != POISON)
			percpu__cache_fatal(cache, "percpu_cache_alloc", object,
					    PERCPU__FAULT_WRITE_AFTER_FREE);
}

void percpu__check_freed(const struct percpu__cache *cache, void *object)
{
	if (!set_used(cache, object, false))
		percpu__cache_fatal(cache, "percpu_cache_free", object, PERCPU__FAULT_DOUBLE_FREE);
	if (has_poison(cache))
		memset(object, POISON, cache->link_bytes);
}
