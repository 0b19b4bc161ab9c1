/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps with one bit per granule, for one writer at a time and readers without a lock. area.h
 * states at percpu__area_map_is_live how far such readers may trust them.
 */
#ifndef PERCPU_AREA_BIT_H
#define PERCPU_AREA_BIT_H

#include <stdbool.h>
#include <stdint.h>

#define PERCPU__UNIT_GRANULES 32768u
#define PERCPU__MAP_WORDS (PERCPU__UNIT_GRANULES / 64)

static inline uint64_t load_relaxed(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline void bit_set_relaxed(uint64_t *map, uint32_t i)
{
	__atomic_store_n(&map[i / 64], load_relaxed(&map[i / 64]) | UINT64_C(1) << i % 64,
			 __ATOMIC_RELAXED);
}

static inline void bit_clear_relaxed(uint64_t *map, uint32_t i)
{
	__atomic_store_n(&map[i / 64], load_relaxed(&map[i / 64]) & ~(UINT64_C(1) << i % 64),
			 __ATOMIC_RELAXED);
}

static inline bool bit_test_relaxed(const uint64_t *map, uint32_t i)
{
	return load_relaxed(&map[i / 64]) >> i % 64 & 1;
}

/* Returns: the first set bit at or after i; PERCPU__UNIT_GRANULES if there is none. */
static inline uint32_t bit_next_relaxed(const uint64_t *map, uint32_t i)
{
	uint32_t n = i / 64;
	uint64_t word;

	if (i >= PERCPU__UNIT_GRANULES)
		return PERCPU__UNIT_GRANULES;
	word = load_relaxed(&map[n]) & (~UINT64_C(0) << i % 64);
	while (!word) {
		if (++n == PERCPU__MAP_WORDS)
			return PERCPU__UNIT_GRANULES;
		word = load_relaxed(&map[n]);
	}
	return n * 64 + (uint32_t)__builtin_ctzll(word);
}

/* Returns: the last set bit before i; i is not 0, and bit 0 is always set. */
static inline uint32_t bit_before_relaxed(const uint64_t *map, uint32_t i)
{
	uint32_t n = (i - 1) / 64;
	uint64_t word = load_relaxed(&map[n]) & (~UINT64_C(0) >> (63 - (i - 1) % 64));

	while (!word && n)
		word = load_relaxed(&map[--n]);
	return word ? n * 64 + 63 - (uint32_t)__builtin_clzll(word) : 0;
}

#endif
