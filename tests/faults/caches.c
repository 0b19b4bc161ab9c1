/* SPDX-License-Identifier: MIT */
/* Scenarios of object caches of every kind, each with refused calls. */
#include "faults/scenario.h"

#include <sched.h>

#ifdef HAVE_LIBURCU
#include <urcu/call-rcu.h>
#include <urcu/flavor.h>
#endif

#define NR_MANY 30
static void *objects[NR_MANY];
static struct percpu_cache *cache;

/* Reading the statistics is never refused a call. */
static struct percpu_cache_stats stats_now(void)
{
	const bool was_armed = refuse_is_armed;
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	refuse_is_armed = false;
	must_keep_errno(must(!percpu_cache_stats(cache, &stats)));
	refuse_is_armed = was_armed;
	return stats;
}

static size_t nr_objects(void)
{
	return stats_now().nr_objects;
}

/* The cache gives slabs back to the kernel as soon as they are empty. */
static bool attempt_cache(void)
{
	const struct percpu_cache_attr attr = { .size = sizeof(attr), .decay_ms = 1 };

	cache = percpu_cache_create_attr("faults", 200, 64, 0, NULL, &attr);
	must(cache || errno == ENOMEM);
	return cache;
}

static void undo_cache(void)
{
	must_keep_errno(must(!percpu_cache_destroy(cache)));
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
	must_keep_errno(percpu_cache_free(cache, objects[0]));
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
	must_keep_errno(percpu_cache_free_bulk(cache, NR_MANY, objects));
	must(!nr_objects());
}

/* A free never fails: not a local one, not a remote one, and not percpu_cache_free_to. */
static bool attempt_cache_cycle(void)
{
	must(nr_objects() == NR_MANY);
	for (int i = 0; i < NR_MANY; i++)
		if (i % 3)
			must_keep_errno(percpu_cache_free(cache, objects[i]));
		else
			must_keep_errno(
				percpu_cache_free_to(cache, objects[i], i % percpu_nr_cpus()));
	must(!nr_objects());
	must_keep_errno(must(percpu_cache_shrink(cache) >= 0));
	return !percpu_cache_alloc_bulk(cache, NR_MANY, objects);
}

static void prepare_cache_objects(void)
{
	prepare_cache();
	must(attempt_cache_alloc_bulk());
}

/* Restores the objects after a cycle whose last allocation failed. */
static void mend_cache_cycle(void)
{
	must(!nr_objects());
	must(attempt_cache_alloc_bulk());
}

static bool attempt_cache_destroy(void)
{
	must(percpu_cache_destroy(cache) == -EBUSY);
	undo_cache_alloc_bulk();
	must_keep_errno(must(!percpu_cache_destroy(cache)));
	prepare_cache_objects();
	return true;
}

/* ---- slabs that become empty ---- */

#define NR_LOT 5000
static void *lot[NR_LOT];

/* Pins the thread to the first or last allowed CPU, so that all objects have one owner CPU. */
static void pin(bool last)
{
	static cpu_set_t given; /* the affinity mask before the first call */
	cpu_set_t set;
	int which = -1;

	if (!CPU_COUNT(&given))
		must(!sched_getaffinity(0, sizeof(given), &given));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &given) && (last || which < 0))
			which = cpu;
	CPU_ZERO(&set);
	CPU_SET(which, &set);
	must(!sched_setaffinity(0, sizeof(set), &set));
}

/* Fills whole slabs and frees them; at least 10 slabs must go back to the kernel. */
static bool attempt_lot(void)
{
	const size_t before = stats_now().nr_returned_slabs; /* slow machines give back during the allocation */
	const int error = percpu_cache_alloc_bulk(cache, NR_LOT, lot);

	must(!error || error == -ENOMEM);
	must(nr_objects() == (error ? 0 : NR_LOT));
	if (error)
		return false;
	for (int i = 0; i < NR_LOT; i++)
		memset(lot[i], 0xff, 200);
	must_keep_errno(percpu_cache_free_bulk(cache, NR_LOT, lot));
	must(!nr_objects());
	must(stats_now().nr_returned_slabs - before >= 10);
	return true;
}

static void prepare_lot(void)
{
	pin(false);
	prepare_cache();
}

/* ---- objects in the remote batch of an idle CPU ---- */

#define NR_OF_SLAB 8
#define NR_BATCHED 3 /* less than the capacity of a remote batch */

static void batch_objects(void)
{
	pin(true);
	must_keep_errno(percpu_cache_free_bulk(cache, NR_BATCHED, objects));
	pin(false);
}

static void prepare_batched(void)
{
	pin(false);
	cache = percpu_cache_create("faults", 8192, 0, 0, NULL);
	must(cache && !percpu_cache_alloc_bulk(cache, NR_OF_SLAB, objects));
	must(stats_now().nr_slabs == 1 && nr_objects() == NR_OF_SLAB);
	batch_objects();
}

static bool has_fences = true;

/*
 * The allocation finds the batched objects. If the fence was refused, the critical sections of that
 * CPU cannot be aborted, and objects of another slab are taken.
 */
static bool attempt_batched(void)
{
	must(nr_objects() == NR_OF_SLAB - NR_BATCHED);
	must(!percpu_cache_alloc_bulk(cache, NR_BATCHED, objects));
	must(nr_objects() == NR_OF_SLAB);
	has_fences &= !refuse_refused || strcmp(refuse_refused, "membarrier");
	must(!has_fences || stats_now().nr_slabs == 1);
	return true;
}

/* ---- zeroed, constructed and aligned objects ---- */

static void construct(void *object)
{
	*(uint64_t *)object = 42;
}

static bool attempt_kinds(void)
{
	struct percpu_cache *const zeroed =
		percpu_cache_create("faults", 5000, 0, PERCPU_CACHE_ZERO, NULL);
	struct percpu_cache *const constructed =
		percpu_cache_create("faults", 24, 0, PERCPU_CACHE_LINE_ALIGN, construct);
	uint64_t *const zero = zeroed ? percpu_cache_alloc(zeroed) : NULL;
	uint64_t *const made = constructed ? percpu_cache_alloc(constructed) : NULL;
	const bool all = zero && made;

	must(all || errno == ENOMEM);
	for (size_t i = 0; zero && i < 5000 / sizeof(*zero); i++)
		must(!zero[i]);
	must(!made || (*made == 42 && !((uintptr_t)made % 64)));
	if (zeroed) {
		must_keep_errno(percpu_cache_free(zeroed, zero));
		must_keep_errno(must(!percpu_cache_destroy(zeroed)));
	}
	if (constructed) {
		must_keep_errno(percpu_cache_free(constructed, made));
		must_keep_errno(must(!percpu_cache_destroy(constructed)));
	}
	return all;
}

#ifdef HAVE_LIBURCU
/* There are no readers, so every grace period ends at once. */
static int nr_graces;

static void wait_for_readers(void)
{
	nr_graces++;
}

static void call_after_readers(struct rcu_head *head, void (*function)(struct rcu_head *head))
{
	nr_graces++;
	function(head);
}

static bool attempt_typesafe(void)
{
	const struct rcu_flavor_struct flavor = {
		.update_synchronize_rcu = wait_for_readers, .update_call_rcu = call_after_readers,
	};
	const struct percpu_cache_attr attr = {
		.size = sizeof(attr), .flavor = &flavor, .decay_ms = 1,
	};
	const int before = nr_graces;
	int error;

	cache = percpu_cache_create_attr("faults", 200, 0, PERCPU_CACHE_TYPESAFE_BY_RCU, construct,
					 &attr);
	must(cache || errno == ENOMEM);
	if (!cache)
		return false;
	error = percpu_cache_alloc_bulk(cache, NR_LOT, lot);
	must(!error || error == -ENOMEM);
	for (int i = 0; !error && i < NR_LOT; i++)
		must(*(uint64_t *)lot[i] == 42);
	if (!error)
		must_keep_errno(percpu_cache_free_bulk(cache, NR_LOT, lot));
	must(!nr_objects());
	must(error || nr_graces - before == (int)stats_now().nr_returned_slabs);
	must(error || nr_graces - before >= 8);
	must_keep_errno(must(percpu_cache_shrink(cache) >= 0));
	must_keep_errno(must(!percpu_cache_destroy(cache)));
	return !error;
}

static void prepare_typesafe(void)
{
	pin(false);
}
#endif

static const struct scenario scenarios[] = {
	{ "percpu_cache_create, percpu_cache_destroy",
	  .attempt = attempt_cache, .undo = undo_cache },
	{ "percpu_cache_alloc, percpu_cache_free",
	  .prepare = prepare_cache, .attempt = attempt_cache_alloc, .undo = undo_cache_alloc },
	{ "percpu_cache_alloc_bulk, percpu_cache_free_bulk",
	  .prepare = prepare_cache, .attempt = attempt_cache_alloc_bulk,
	  .undo = undo_cache_alloc_bulk },
	{ "percpu_cache_free, _free_to, _shrink",
	  .prepare = prepare_cache_objects, .attempt = attempt_cache_cycle,
	  .mend = mend_cache_cycle },
	{ "percpu_cache_free of whole slabs", .prepare = prepare_lot, .attempt = attempt_lot },
	{ "percpu_cache_alloc of objects in the remote batch of another CPU",
	  .prepare = prepare_batched, .attempt = attempt_batched, .undo = batch_objects },
	{ "percpu_cache_destroy",
	  .prepare = prepare_cache_objects, .attempt = attempt_cache_destroy },
	{ "caches that zero, construct and align", .attempt = attempt_kinds },
#ifdef HAVE_LIBURCU
	{ "percpu_cache_create_attr with a liburcu flavor",
	  .prepare = prepare_typesafe, .attempt = attempt_typesafe },
#endif
};

size_t caches_scenarios(const struct scenario **list)
{
	*list = scenarios;
	return sizeof(scenarios) / sizeof(scenarios[0]);
}
