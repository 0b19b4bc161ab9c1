/* SPDX-License-Identifier: MIT */
/*
 * A shelf with as many spaces as it needs, and no unit behind them: offsets alone. What a caller of the
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

struct world_space {
	struct percpu__space space; /* first: a shelf hands back its address */
	_Alignas(4096) struct percpu__space_maps maps;
	_Alignas(4096) union percpu__word words[PERCPU__UNIT_GRANULES];
};

struct world {
	struct percpu__shelf shelf;
	void *shelf_memory;
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
	*world = (struct world){ .shelf_memory = lazy_zeroed(percpu__shelf_bytes(capacity)) };
	percpu__shelf_init(&world->shelf, capacity, world->shelf_memory);
}

/* Never given back: a test is a process of its own. */
static inline struct world_space *world_space_create(void)
{
	struct world_space *s = lazy_zeroed(sizeof(*s));

	percpu__space_init(&s->space, &s->maps, s->words);
	return s;
}

static inline struct world_space *world_space(const struct world *world, uint32_t slot)
{
	return (struct world_space *)percpu__shelf_space(&world->shelf, slot);
}

static inline uint32_t granules_of(uint32_t bytes)
{
	return (bytes + PERCPU__GRANULE - 1) / PERCPU__GRANULE;
}

static inline struct object world_alloc(struct world *world, uint32_t bytes, uint32_t align_granules)
{
	struct object o = { .bytes = bytes };

	if (!percpu__shelf_alloc(&world->shelf, granules_of(bytes), align_granules, &o.slot, &o.offset)) {
		if (percpu__shelf_add(&world->shelf, &world_space_create()->space) == PERCPU__NO_SLOT ||
		    !percpu__shelf_alloc(&world->shelf, granules_of(bytes), align_granules, &o.slot, &o.offset))
			abort();
	}
	world->live_bytes += bytes;
	return o;
}

static inline void world_free(struct world *world, struct object o)
{
	struct percpu__range merged;

	if (percpu__shelf_free(&world->shelf, o.slot, o.offset, &merged) != granules_of(o.bytes))
		abort();
	world->live_bytes -= o.bytes;
}

/* Live requested bytes per byte of pages that hold a live area, in percent. */
static inline double world_utilisation(const struct world *world)
{
	uint64_t pages = 0;

	percpu__shelf_for_each(&world->shelf, slot)
		pages += (unsigned)__builtin_popcountll(
			percpu__space_live_pages(percpu__shelf_space(&world->shelf, slot)));
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
