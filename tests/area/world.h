/* SPDX-License-Identifier: MIT */
/*
 * An index with as many maps as it needs, and no unit behind them: offsets alone. What a caller of the
 * layer would do, the counts by which packing is judged, and numbers that repeat from run to run.
 */
#ifndef TESTS_AREA_WORLD_H
#define TESTS_AREA_WORLD_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "area/area.h"

struct object {
	uint32_t slot;
	uint32_t offset;
	uint32_t bytes; /* as requested */
};

struct world_map {
	struct percpu__area_map map; /* first: an index hands back its address */
	_Alignas(4096) struct percpu__area_bitmaps bitmaps;
	_Alignas(4096) union percpu__area_tag tags[PERCPU__UNIT_GRANULES];
};

struct world {
	struct percpu__chunk_index index;
	void *index_memory;
	uint64_t live_bytes; /* as requested */
	uint64_t random;
};

static inline void *lazy_zeroed(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static inline void world_init(struct world *world, uint32_t capacity)
{
	*world = (struct world){ .index_memory = lazy_zeroed(percpu__chunk_index_bytes(capacity)) };
	percpu__chunk_index_init(&world->index, capacity, world->index_memory);
}

/* Never given back: a test is a process of its own. */
static inline struct world_map *world_map_create(void)
{
	struct world_map *s = lazy_zeroed(sizeof(*s));

	percpu__area_map_init(&s->map, &s->bitmaps, s->tags);
	return s;
}

static inline struct world_map *world_map(const struct world *world, uint32_t slot)
{
	return (struct world_map *)percpu__chunk_index_at(&world->index, slot);
}

static inline uint32_t granules_of(uint32_t bytes)
{
	return (bytes + PERCPU__GRANULE - 1) / PERCPU__GRANULE;
}

static inline struct object world_alloc(struct world *world, uint32_t bytes, uint32_t align_granules)
{
	struct object o = { .bytes = bytes };

	if (!percpu__chunk_index_alloc(&world->index, granules_of(bytes), align_granules, &o.slot, &o.offset)) {
		if (percpu__chunk_index_add(&world->index, &world_map_create()->map) == PERCPU__NO_SLOT ||
		    !percpu__chunk_index_alloc(&world->index, granules_of(bytes), align_granules, &o.slot, &o.offset))
			abort();
	}
	world->live_bytes += bytes;
	return o;
}

static inline void world_free(struct world *world, struct object o)
{
	struct percpu__range merged;

	if (percpu__chunk_index_free(&world->index, o.slot, o.offset, &merged) != granules_of(o.bytes))
		abort();
	world->live_bytes -= o.bytes;
}

/* Live requested bytes per byte of pages that hold a live area, in percent. */
static inline double world_utilisation(const struct world *world)
{
	uint64_t pages = 0;

	percpu__chunk_index_for_each(&world->index, slot)
		pages += (unsigned)__builtin_popcountll(
			percpu__area_map_live_pages(percpu__chunk_index_at(&world->index, slot)));
	return 100.0 * (double)world->live_bytes / ((double)pages * PERCPU__PAGE_GRANULES * PERCPU__GRANULE);
}

static inline uint64_t random_u64(uint64_t *state)
{
	uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static inline uint32_t random_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((random_u64(state) >> 32) * n >> 32);
}

/* In [lo, hi], each doubling as likely as any other. */
static inline uint32_t random_log_uniform(uint64_t *state, uint32_t lo, uint32_t hi)
{
	double u = (double)(random_u64(state) >> 11) / (double)(UINT64_C(1) << 53);

	return (uint32_t)(lo * exp(u * log((hi + 1.0) / lo)));
}

#endif
