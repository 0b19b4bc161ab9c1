/* SPDX-License-Identifier: MIT */
/*
 * Owns the objects of a slab. A slab is 64 KiB, or more if fewer than eight objects would fit or a
 * sixteenth would be lost; it is aligned to its size, and has objects of one cache and one owner
 * CPU. The last object ends with the slab:
 *
 *	| rest | object 0 | object 1 | ... | object nr - 1 |
 *
 * so an address is the start of an object exactly if its distance from object 0 is a multiple of
 * object_bytes. One free bit for each object says whether it is in the slab. Objects are carved
 * lowest first; those from `fresh` on were never touched, nor constructed.
 */
#include "cache/slab.h"

#include "cache/check.h"

static uint64_t *free_bits_of(const struct percpu__cache *cache, struct percpu__slab *slab)
{
	return cache->nr_per_slab <= PERCPU__INLINE_BITS
		       ? &slab->bits
		       : percpu__arena.free_bits[percpu__slab_index(slab)].word;
}

/* Returns: the bits of numbers below end, in a word whose first bit has the number `from`. */
static uint64_t bits_below(uint32_t end, uint32_t from)
{
	return end <= from ? 0 : end - from < 64 ? (UINT64_C(1) << (end - from)) - 1 : ~UINT64_C(0);
}

static uint64_t rest_bytes(const struct percpu__cache *cache)
{
	return (PERCPU__ARENA_UNIT << cache->order) -
	       (uint64_t)cache->nr_per_slab * cache->object_bytes;
}

void percpu__slab_init(struct percpu__cache *cache, struct percpu__slab *slab, unsigned owner_cpu)
{
	uint64_t *bits = free_bits_of(cache, slab);
	const uint32_t nr = cache->nr_per_slab;
	const uintptr_t start = percpu__slab_start(slab);

	for (uint64_t unit = 0; unit < UINT64_C(1) << cache->order; unit++) {
		slab[unit].order = cache->order;
		slab[unit].unit = unit;
		slab[unit].cache = cache;
		slab[unit].start = start + rest_bytes(cache);
		slab[unit].magazine = percpu__magazine_of(cache, owner_cpu);
		__atomic_store_n(&slab[unit].tag,
				 cache->id + (start >> PERCPU__ARENA_UNIT_SHIFT) + unit,
				 __ATOMIC_RELAXED);
	}
	slab->nr_free = nr;
	percpu__arena.fresh[percpu__slab_index(slab)] = 0;
	slab->listed = 0;
	for (uint32_t i = 0; i < nr; i += 64)
		bits[i / 64] = bits_below(nr, i);
}

unsigned percpu__slab_carve(const struct percpu__cache *cache, struct percpu__slab *slab,
			    void **links, unsigned nr, unsigned *nr_unconstructed)
{
	uint64_t *bits = free_bits_of(cache, slab);
	uint32_t *fresh = &percpu__arena.fresh[percpu__slab_index(slab)];
	unsigned nr_carved = 0;

	*nr_unconstructed = 0;
	for (uint32_t word = 0; nr_carved < nr && nr_carved < slab->nr_free; word++) {
		while (bits[word] && nr_carved < nr) {
			const uint32_t number = word * 64 + (uint32_t)__builtin_ctzll(bits[word]);
			void *object = (char *)slab->start + (size_t)number * cache->object_bytes;

			bits[word] &= bits[word] - 1;
			links[nr_carved++] = percpu__link_of(cache, object);
			if (number < *fresh)
				continue;
			*fresh = number + 1;
			if (cache->ctor)
				++*nr_unconstructed;
			else if (percpu__unlikely(cache->check))
				percpu__check_carved(cache, object);
		}
	}
	slab->nr_free -= nr_carved;
	return nr_carved;
}

bool percpu__slab_toggle(const struct percpu__cache *cache, struct percpu__slab *slab, void *link)
{
	const uint32_t number = percpu__object_number(cache, slab, percpu__object_of(cache, link));
	uint64_t *word = &free_bits_of(cache, slab)[number / 64];

	*word ^= UINT64_C(1) << number % 64;
	return *word >> number % 64 & 1;
}

void percpu__slab_return(const struct percpu__cache *cache, struct percpu__slab *slab, void *link)
{
	if (percpu__unlikely(!percpu__slab_toggle(cache, slab, link)))
		percpu__cache_fatal(cache, "percpu_cache_free", percpu__object_of(cache, link),
				    PERCPU__FAULT_DOUBLE_FREE);
	slab->nr_free++;
}

static bool check_units(const struct percpu__cache *cache, const struct percpu__slab *slab)
{
	const uintptr_t start = percpu__slab_start(slab), first = start >> PERCPU__ARENA_UNIT_SHIFT;

	for (uint64_t unit = 0; unit < UINT64_C(1) << cache->order; unit++)
		if (slab[unit].order != cache->order || slab[unit].unit != unit ||
		    slab[unit].cache != cache || slab[unit].start != start + rest_bytes(cache) ||
		    slab[unit].magazine != slab->magazine ||
		    slab[unit].tag != cache->id + first + unit)
			return false;
	return true;
}

bool percpu__slab_check_invariants(const struct percpu__cache *cache, struct percpu__slab *slab)
{
	const uint64_t *bits = free_bits_of(cache, slab);
	const uint32_t nr = cache->nr_per_slab,
		       fresh = percpu__arena.fresh[percpu__slab_index(slab)];
	uint32_t nr_free = 0;

	for (uint32_t i = 0; i < nr; i += 64) {
		const uint64_t all = bits_below(nr, i), uncut = all & ~bits_below(fresh, i);

		if (bits[i / 64] & ~all || uncut & ~bits[i / 64])
			return false;
		nr_free += __builtin_popcountll(bits[i / 64]);
	}
	return nr_free == slab->nr_free && check_units(cache, slab);
}
