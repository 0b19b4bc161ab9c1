/* SPDX-License-Identifier: MIT */
/* Scenarios of areas, pools, static variables and their statistics, each with refused calls. */
#include "faults/scenario.h"

#include <stdlib.h>
#include <unistd.h>

#define NR_MANY 30
#define AREA_BYTES 20000 /* NR_MANY such areas take more than one chunk */
static void *areas[NR_MANY];
static struct percpu_pool *pool;

static bool attempt_alloc(void)
{
	return is_fresh(areas[0] = (void *)percpu_alloc(24, 8), 24);
}

static void undo_alloc(void)
{
	must_keep_errno(percpu_free(areas[0]));
}

static bool attempt_array(void)
{
	return is_fresh(areas[0] = (void *)percpu_new_array(uint64_t, 1000), 8000);
}

static bool attempt_alloc_bulk(void)
{
	const size_t before = nr_live(NULL);
	int error;

	must_keep_errno(error = percpu_alloc_bulk(AREA_BYTES, 8, NR_MANY, areas));
	must(!error || error == -ENOMEM);
	must(nr_live(NULL) == before + (error ? 0 : NR_MANY));
	return !error;
}

static void undo_alloc_bulk(void)
{
	must_keep_errno(percpu_free_bulk(NR_MANY, areas));
}

static bool attempt_pool(void)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .populate = PERCPU_ON };

	pool = percpu_pool_create("faults", &attr);
	must(pool || errno == ENOMEM);
	return pool;
}

static void undo_pool(void)
{
	must_keep_errno(must(!percpu_pool_destroy(pool)));
}

static void prepare_pool(void)
{
	must(attempt_pool());
}

static bool attempt_pool_alloc(void)
{
	if (is_fresh(areas[0] = (void *)percpu_pool_alloc(pool, 5000, 64), 5000))
		return true;
	must(!nr_live(pool));
	return false;
}

/* Live areas keep their contents, whatever calls a trim is refused. */
static void prepare_dirty(void)
{
	must(!percpu_alloc_bulk(AREA_BYTES, 8, NR_MANY, areas));
	for (int i = 0; i < NR_MANY; i++)
		must(is_fresh(areas[i], AREA_BYTES));
}

static bool attempt_cycle(void)
{
	bool all = true;

	for (int i = 0; i < NR_MANY; i++)
		if (i % 7)
			must_keep_errno(percpu_free(areas[i]));
	must_keep_errno(must(percpu_trim(NULL) >= 0));
	for (int i = 0; i < NR_MANY; i++) {
		if (i % 7)
			all &= is_fresh(areas[i] = (void *)percpu_alloc(AREA_BYTES, 8), AREA_BYTES);
		else
			must(percpu_ptr((char *)areas[i], 1)[AREA_BYTES - 1] == (char)0xff);
	}
	return all;
}

/* An area that could not be allocated is NULL, and may be freed in the next cycle. */
static void mend_cycle(void)
{
	must(attempt_cycle());
}

/* The first query creates the default pool, so it may fail with -ENOMEM. */
static bool attempt_to_ask(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };
	ssize_t trimmed, misplaced;
	int error;

	must_keep_errno(error = percpu_pool_stats(NULL, &stats));
	must_keep_errno(trimmed = percpu_trim(NULL));
	must_keep_errno(misplaced = percpu_pool_misplaced(NULL));

	must(!error || error == -ENOMEM);
	must(trimmed >= 0 || trimmed == -ENOMEM);
	must(misplaced >= 0 || misplaced == -ENOMEM || misplaced == -EPERM);
	must(error || stats.size == sizeof(stats));
	return !error && trimmed >= 0 && misplaced >= 0;
}

/* The number of CPUs is never too small, whichever source of it is refused. */
static bool attempt_to_start(void)
{
	must_keep_errno(percpu_nr_cpus());
	must(percpu_nr_cpus() >= sysconf(_SC_NPROCESSORS_CONF) || getenv("PERCPU_OPTIONS")[0]);
	must(percpu_nr_copies() == percpu_nr_cpus() + 1);
	must(percpu_mode_reason()[0]);
	return true;
}

/* Does what a module does when it is loaded and unloaded. */
static void *variable;

static bool attempt_static(void)
{
	static const uint64_t initial[4] = { 1, 2, 3, 4 };

	variable = (void *)percpu_static_attach(&variable, initial, sizeof(initial), 8);
	must(percpu_static_attach(&variable, initial, sizeof(initial), 8) ==
	     (void __percpu *)variable);
	percpu_for_each_copy(i)
		must(!memcmp(percpu_ptr((char *)variable, i), initial, sizeof(initial)));
	return true;
}

static void undo_static(void)
{
	must_keep_errno(percpu_static_detach(&variable));
}

static const struct scenario scenarios[] = {
	{ "percpu_alloc, the first one, and percpu_free",
	  .attempt = attempt_alloc, .undo = undo_alloc },
	{ "percpu_alloc_array", .attempt = attempt_array, .undo = undo_alloc },
	{ "percpu_alloc_bulk, percpu_free_bulk",
	  .attempt = attempt_alloc_bulk, .undo = undo_alloc_bulk },
	{ "percpu_trim, percpu_free and percpu_alloc of dirty memory",
	  .prepare = prepare_dirty, .attempt = attempt_cycle, .mend = mend_cycle },
	{ "percpu_pool_create, percpu_pool_destroy", .attempt = attempt_pool, .undo = undo_pool },
	{ "percpu_pool_alloc",
	  .prepare = prepare_pool, .attempt = attempt_pool_alloc, .undo = undo_alloc },
	{ "percpu_pool_stats, percpu_trim, percpu_pool_misplaced", .attempt = attempt_to_ask },
	{ "percpu_nr_cpus, percpu_mode", .attempt = attempt_to_start },
	{ "percpu_static_attach, percpu_static_detach",
	  .attempt = attempt_static, .undo = undo_static,
	  .last_words = "out of memory for static per-CPU variables" },
};

size_t memory_scenarios(const struct scenario **list)
{
	*list = scenarios;
	return sizeof(scenarios) / sizeof(scenarios[0]);
}
