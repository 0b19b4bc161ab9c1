/* SPDX-License-Identifier: MIT */
/* Object caches, of every kind. */
#include "faults/scenario.h"

#define NR_MANY 30
static void *objects[NR_MANY];
static struct percpu_cache *cache;

/* Looking is not refused anything. */
static size_t nr_objects(void)
{
	const bool was_armed = refuse_is_armed;
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	refuse_is_armed = false;
	must(!percpu_cache_stats(cache, &stats));
	refuse_is_armed = was_armed;
	return stats.nr_objects;
}

static bool attempt_cache(void)
{
	cache = percpu_cache_create("faults", 200, 64, 0, NULL);
	must(cache || errno == ENOMEM);
	return cache;
}

static void undo_cache(void)
{
	must(!percpu_cache_destroy(cache));
}

static void prepare_cache(void)
{
	must(attempt_cache());
}

static bool attempt_cache_alloc(void)
{
	objects[0] = percpu_cache_alloc(cache);
	must(objects[0] || (errno == ENOMEM && !nr_objects()));
	if (objects[0])
		memset(objects[0], 0xff, 200);
	return objects[0];
}

static void undo_cache_alloc(void)
{
	percpu_cache_free(cache, objects[0]);
	must(!nr_objects());
}

static bool attempt_cache_alloc_bulk(void)
{
	const int error = percpu_cache_alloc_bulk(cache, NR_MANY, objects);

	must(!error || error == -ENOMEM);
	must(nr_objects() == (error ? 0 : NR_MANY));
	return !error;
}

static void undo_cache_alloc_bulk(void)
{
	percpu_cache_free_bulk(cache, NR_MANY, objects);
	must(!nr_objects());
}

/* Frees have no way to fail: of one's own, of others', to others. */
static bool attempt_cache_cycle(void)
{
	must(nr_objects() == NR_MANY);
	for (int i = 0; i < NR_MANY; i++)
		if (i % 3)
			percpu_cache_free(cache, objects[i]);
		else
			percpu_cache_free_to(cache, objects[i], i % percpu_nr_cpus());
	must(!nr_objects());
	must(percpu_cache_shrink(cache) >= 0);
	return !percpu_cache_alloc_bulk(cache, NR_MANY, objects);
}

static void prepare_cache_objects(void)
{
	prepare_cache();
	must(attempt_cache_alloc_bulk());
}

/* After a cycle that got no objects again. */
static void mend_cache_cycle(void)
{
	must(!nr_objects());
	must(attempt_cache_alloc_bulk());
}

static bool attempt_cache_destroy(void)
{
	must(percpu_cache_destroy(cache) == -EBUSY);
	undo_cache_alloc_bulk();
	must(!percpu_cache_destroy(cache));
	prepare_cache_objects();
	return true;
}

/* Objects that others freed, and memory that must be read before it is given. */
static void construct(void *object)
{
	*(uint64_t *)object = 42;
}

static bool attempt_kinds(void)
{
	struct percpu_cache *const zeroed = percpu_cache_create("faults", 5000, 0, PERCPU_CACHE_ZERO, NULL);
	struct percpu_cache *const constructed = percpu_cache_create("faults", 24, 0, PERCPU_CACHE_LINE_ALIGN, construct);
	uint64_t *const zero = zeroed ? percpu_cache_alloc(zeroed) : NULL;
	uint64_t *const made = constructed ? percpu_cache_alloc(constructed) : NULL;
	const bool all = zero && made;

	must(all || errno == ENOMEM);
	for (size_t i = 0; zero && i < 5000 / sizeof(*zero); i++)
		must(!zero[i]);
	must(!made || (*made == 42 && !((uintptr_t)made % 64)));
	if (zeroed) {
		percpu_cache_free(zeroed, zero);
		must(!percpu_cache_destroy(zeroed));
	}
	if (constructed) {
		percpu_cache_free(constructed, made);
		must(!percpu_cache_destroy(constructed));
	}
	return all;
}

static const struct scenario scenarios[] = {
	{ "percpu_cache_create, percpu_cache_destroy", .attempt = attempt_cache, .undo = undo_cache },
	{ "percpu_cache_alloc, percpu_cache_free",
	  .prepare = prepare_cache, .attempt = attempt_cache_alloc, .undo = undo_cache_alloc },
	{ "percpu_cache_alloc_bulk, percpu_cache_free_bulk",
	  .prepare = prepare_cache, .attempt = attempt_cache_alloc_bulk, .undo = undo_cache_alloc_bulk },
	{ "percpu_cache_free, _free_to, _shrink",
	  .prepare = prepare_cache_objects, .attempt = attempt_cache_cycle, .mend = mend_cache_cycle },
	{ "percpu_cache_destroy", .prepare = prepare_cache_objects, .attempt = attempt_cache_destroy },
	{ "caches that zero, construct and align", .attempt = attempt_kinds },
};

size_t caches_scenarios(const struct scenario **list)
{
	*list = scenarios;
	return sizeof(scenarios) / sizeof(scenarios[0]);
}
