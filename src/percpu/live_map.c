/* SPDX-License-Identifier: MIT */
/*
 * Owns the live maps in the file of a published pool: the live areas of each chunk, for the next
 * owner (owner.c). A process that shares the file can write anything there, so no value is trusted.
 */
#include "percpu/percpu.h"

_Static_assert(PERCPU__LIVE_MAP_WORDS * 64 == PERCPU__UNIT_GRANULES, "one bit per granule");

struct percpu__live_map *percpu__live_map_of(const struct percpu__shared *shared, uintptr_t address)
{
	return &shared->maps[(address - (uintptr_t)shared->slots) / shared->slot_bytes];
}

static bool test(const uint64_t *word, uint32_t granule)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED) >> granule % 64 & 1;
}

static void set(uint64_t *word, uint32_t granule, bool on)
{
	const uint64_t bit = UINT64_C(1) << granule % 64,
		       old = __atomic_load_n(word, __ATOMIC_RELAXED);

	__atomic_store_n(word, on ? old | bit : old & ~bit, __ATOMIC_RELAXED);
	/* Keeps stores in program order for the next owner, if this process dies in between. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void percpu__shared_note(struct percpu_pool *pool, const struct percpu__chunk *chunk,
			 uint32_t offset, uint32_t granules, bool lives)
{
	struct percpu__live_map *map = percpu__live_map_of(pool->shared, (uintptr_t)chunk->base);
	const uint32_t end = offset + granules - 1;

	if (lives) {
		if (__atomic_load_n(&map->fresh, __ATOMIC_RELAXED) != chunk->fresh)
			__atomic_store_n(&map->fresh, chunk->fresh, __ATOMIC_RELAXED);
		set(&map->live[end / 64].last, end, true);
		set(&map->live[offset / 64].first, offset, true);
	} else {
		set(&map->live[offset / 64].first, offset, false);
		set(&map->live[end / 64].last, end, false);
	}
}

enum which { FIRST, LAST };

/*
 * Returns: the first granule at or after `at` whose bit is set; PERCPU__UNIT_GRANULES if none is.
 */
static uint32_t next(const struct percpu__live_map *map, enum which which, uint32_t at)
{
	while (at < PERCPU__UNIT_GRANULES) {
		const uint64_t *word = which == FIRST ? &map->live[at / 64].first
						      : &map->live[at / 64].last;
		const uint64_t bits = __atomic_load_n(word, __ATOMIC_RELAXED) >> at % 64;

		if (bits)
			return at + (uint32_t)__builtin_ctzll(bits);
		at = (at | 63) + 1;
	}
	return PERCPU__UNIT_GRANULES;
}

/*
 * Returns: the end of the area that starts at `first`. If its end has no bit, the area extends to
 * the next area's start: too long rather than too short.
 */
static uint32_t end_of(const struct percpu__live_map *map, uint32_t first)
{
	const uint32_t last = next(map, LAST, first), other = next(map, FIRST, first + 1);

	return last < other ? last + 1 : other;
}

uint32_t percpu__shared_size(const struct percpu__shared *shared, uintptr_t address)
{
	const struct percpu__live_map *map = percpu__live_map_of(shared, address);
	const uint32_t granule = address % PERCPU_STRIDE / PERCPU__GRANULE;

	if (address % PERCPU__GRANULE || !test(&map->live[granule / 64].first, granule))
		return 0;
	return end_of(map, granule) - granule;
}

uint32_t percpu__live_map_next(const struct percpu__live_map *map, uint32_t at, uint32_t *end)
{
	const uint32_t first = next(map, FIRST, at);

	*end = first < PERCPU__UNIT_GRANULES ? end_of(map, first) : first;
	return first;
}

void percpu__live_map_repair(struct percpu__live_map *map)
{
	uint32_t end = 0;

	for (uint32_t last = next(map, LAST, 0); last < PERCPU__UNIT_GRANULES;
	     last = next(map, LAST, last + 1)) {
		const uint32_t first = next(map, FIRST, end);

		if (first > last)
			set(&map->live[last / 64].last, last, false);
		else
			end = last + 1;
	}
}
