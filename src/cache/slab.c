/* SPDX-License-Identifier: MIT */
/*
 * Owns slabs: 64 KiB, or more where fewer than eight objects fit or a sixteenth would be lost, aligned to their size,
 * of objects of one cache and one home. Objects end where the slab ends:
 *
 *	| rest | object 0 | object 1 | ... | object nr - 1 |
 *
 * so that an address is an object's start exactly where its distance from object 0 is a multiple of
 * object_bytes. One bit an object says which are in the slab. They are cut out lowest first, so that
 * objects from `fresh` on were never touched, nor constructed.
 */
#include "cache/chain.h"

static uint64_t *free_bits_of(const struct percpu__cache *cache, struct percpu__slab *slab)
{
	return cache->nr_per_slab <= PERCPU__INLINE_BITS
		       ? &slab->bits
		       : percpu__arena.free_bits[percpu__slab_index(slab)].word;
}

uint32_t percpu__object_number(const struct percpu__cache *cache, const struct percpu__slab *slab, const void *object)
{
	return ((uintptr_t)object - slab->start) / cache->object_bytes;
}

void percpu__slab_init(struct percpu__cache *cache, struct percpu__slab *slab, unsigned home)
{
	uint64_t *bits = free_bits_of(cache, slab);
	const uint32_t nr = cache->nr_per_slab;
	const uintptr_t start = percpu__slab_start(slab);
	const uint64_t rest = (PERCPU__ARENA_UNIT << cache->order) - (uint64_t)nr * cache->object_bytes;

	for (uint64_t unit = 0; unit < UINT64_C(1) << cache->order; unit++) {
		slab[unit].order = cache->order;
		slab[unit].unit = unit;
		slab[unit].cache = cache;
		slab[unit].start = start + rest;
		slab[unit].list = percpu__list_of(cache, home);
		__atomic_store_n(&slab[unit].tag, cache->id + (start >> PERCPU__ARENA_UNIT_SHIFT) + unit, __ATOMIC_RELAXED);
	}
	slab->nr_free = nr;
	percpu__arena.fresh[percpu__slab_index(slab)] = 0;
	slab->listed = 0;
	for (uint32_t i = 0; i < nr; i += 64)
		bits[i / 64] = nr - i < 64 ? (UINT64_C(1) << (nr - i)) - 1 : ~UINT64_C(0);
}

void percpu__slab_cut(const struct percpu__cache *cache, struct percpu__slab *slab, uint64_t nr,
		      struct percpu__chain *chain)
{
	uint64_t *bits = free_bits_of(cache, slab);
	uint32_t *fresh = &percpu__arena.fresh[percpu__slab_index(slab)];
	void *links[PERCPU__CUT_MAX];
	unsigned nr_cut = 0;

	for (uint32_t word = 0; nr_cut < nr && nr_cut < slab->nr_free; word++) {
		while (bits[word] && nr_cut < nr) {
			const uint32_t number = word * 64 + (uint32_t)__builtin_ctzll(bits[word]);
			void *object = (char *)slab->start + (size_t)number * cache->object_bytes;

			bits[word] &= bits[word] - 1;
			if (number >= *fresh) {
				*fresh = number + 1;
				if (cache->ctor)
					cache->ctor(object);
				if (percpu__unlikely(cache->check))
					percpu__check_cut(cache, object);
			}
			links[PERCPU__CUT_MAX - ++nr_cut] = percpu__link_of(cache, object);
		}
	}
	slab->nr_free -= nr_cut;
	percpu__chain_push_many(cache, chain, links + PERCPU__CUT_MAX - nr_cut, nr_cut);
}

void percpu__slab_take_back(const struct percpu__cache *cache, struct percpu__slab *slab, void *link)
{
	void *object = percpu__object_of(cache, link);
	const uint32_t number = percpu__object_number(cache, slab, object);
	uint64_t *word = &free_bits_of(cache, slab)[number / 64];

	if (percpu__unlikely(*word >> number % 64 & 1))
		percpu__die("percpu_cache_free", object, "freed twice");
	*word |= UINT64_C(1) << number % 64;
	slab->nr_free++;
}
