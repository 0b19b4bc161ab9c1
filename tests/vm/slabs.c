/* SPDX-License-Identifier: MIT */
/*
 * Object caches on machines with nodes: every object lies on the node of the CPU where it is
 * allocated, whichever CPU wrote it first, also after a remote free; and the objects of a CPU that
 * goes offline are not lost.
 */
#include "cache/cpu_cache.h"
#include "vm/nodes.h"

#define OBJECT_BYTES 1000
#define NR_EACH 300 /* objects of a CPU: several slabs */

static char *objects[MAX_CPUS][NR_EACH];
static struct percpu_cache *cache;

static struct percpu_cache_stats stats_now(void)
{
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(percpu_cache_stats(cache, &stats), 0);
	return stats;
}

static void setup(void)
{
	ask_nodes();
	cache = percpu_cache_create("slabs", OBJECT_BYTES, 0, 0, NULL);
	ck_assert_ptr_nonnull(cache);
}

/* Allocates on the object's CPU, and writes from any CPU. */
static void allocate_on(unsigned cpu)
{
	ck_assert(pin(cpu));
	for (unsigned i = 0; i < NR_EACH; i++)
		ck_assert_ptr_nonnull(objects[cpu][i] = percpu_cache_alloc(cache));
	ck_assert(pin(random_online()));
	for (unsigned i = 0; i < NR_EACH; i++)
		memset(objects[cpu][i], (int)i, OBJECT_BYTES);
}

static void allocate_all(void)
{
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		if (node_of[cpu] >= 0)
			allocate_on(cpu);
}

static void free_on(unsigned cpu, unsigned whose)
{
	ck_assert(pin(cpu));
	for (unsigned i = 0; i < NR_EACH; i++)
		percpu_cache_free(cache, objects[whose][i]);
}

static void free_all_elsewhere(void)
{
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		if (node_of[cpu] >= 0)
			free_on(random_online(), cpu);
}

static void check_all_placed(void)
{
	size_t node_bytes[MAX_CPUS] = { 0 };

	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		for (unsigned i = 0; node_of[cpu] >= 0 && i < NR_EACH; i++) {
			const int first = node_of_page(objects[cpu][i]);
			const int last = node_of_page(objects[cpu][i] + OBJECT_BYTES - 1);

			ck_assert_msg(first == node_of[cpu] && last == node_of[cpu],
				      "CPU %u is on node %d, its object on %d and %d", cpu, node_of[cpu], first, last);
			node_bytes[node_of[cpu]] += OBJECT_BYTES;
		}
	for (unsigned node = 0; node < PERCPU_CACHE_NODES; node++)
		ck_assert_uint_ge(stats_now().node_bytes[node], count_nodes() > 1 ? node_bytes[node] : 0);
}

/* The parts of absent CPUs have no page, also after remote frees, statistics and a shrink. */
static void check_absent_cost_nothing(void)
{
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		if (node_of[cpu] < 0)
			ck_assert_int_lt(node_of_page(percpu_ptr(percpu__cache_of(cache)->cpu_caches, cpu)), 0);
}

START_TEST(objects_are_on_the_nodes_of_their_owner_cpus)
{
	setup();
	allocate_all();
	check_all_placed();
	free_all_elsewhere();
	ck_assert_int_ge(percpu_cache_shrink(cache), 0);
	ck_assert_uint_eq(stats_now().nr_objects, 0);
	check_absent_cost_nothing();
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(objects_are_still_there_after_remote_frees)
{
	setup();
	for (unsigned turn = 0; turn < 3; turn++) {
		allocate_all();
		check_all_placed();
		free_all_elsewhere();
		if (turn == 1)
			ck_assert_int_gt(percpu_cache_shrink(cache), 0);
	}
	ck_assert_uint_eq(stats_now().nr_objects, 0);
	ck_assert_int_ge(percpu_cache_shrink(cache), 0);
	ck_assert_uint_eq(stats_now().nr_slabs, 0);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* Objects whose owner CPU is offline, and the free objects that it held. */
START_TEST(offline_cpus_hold_no_object_back)
{
	unsigned gone[2], nr;

	setup();
	nr = find_switchable(gone, 2);
	ck_assert_uint_eq(nr, 2);
	allocate_on(gone[0]);
	allocate_on(gone[1]);
	free_on(gone[1], gone[1]);
	for (unsigned i = 0; i < nr; i++)
		ck_assert(set_online(gone[i], false));
	free_on(0, gone[0]);
	ck_assert_uint_eq(stats_now().nr_objects, 0);
	ck_assert_int_gt(percpu_cache_shrink(cache), 0);
	ck_assert_uint_eq(stats_now().nr_slabs, 0);
	for (unsigned i = 0; i < nr; i++) {
		ck_assert(set_online(gone[i], true));
		allocate_on(gone[i]);
		free_on(gone[i], gone[i]);
	}
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* The last one needs a guest. */
int main(void)
{
	const TTest *tests[] = { objects_are_on_the_nodes_of_their_owner_cpus, objects_are_still_there_after_remote_frees, NULL, NULL };

	if (is_guest())
		tests[2] = offline_cpus_hold_no_object_back;
	return run_suite(suite_of("vm/slabs", tests, 60));
}
