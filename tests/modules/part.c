/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include <percpu/kernel.h>
#include <percpu/percpu.h>

#include "part.h"

static PERCPU_DEFINE(uint64_t, part_handle);
static DEFINE_PER_CPU(uint16_t, part_variable[3]) = { 0, 7, 9 };

/* Objects hold their own address; one of them is kept from one call to the next, of any thread. */
static struct percpu_cache *part_cache;
static uintptr_t *part_object;

__attribute__((constructor)) static void part_begin(void)
{
	part_cache = percpu_cache_create("part", 24, 0, 0, NULL);
	if (!part_cache)
		abort();
}

__attribute__((destructor)) static void part_end(void)
{
	percpu_cache_free(part_cache, part_object);
	if (percpu_cache_destroy(part_cache))
		abort();
}

static void use_cache(void)
{
	uintptr_t *object = percpu_cache_alloc(part_cache);

	if (!object)
		abort();
	*object = (uintptr_t)object;
	object = __atomic_exchange_n(&part_object, object, __ATOMIC_ACQ_REL);
	if (object && *object != (uintptr_t)object)
		abort();
	if (object && (uintptr_t)object / 64 % 4 == 0)
		percpu_cache_free_to(part_cache, object, percpu_nr_cpus() - 1);
	else
		percpu_cache_free(part_cache, object);
}

void part_count(void)
{
	percpu_inc(part_handle);
	this_cpu_inc(part_variable[0]);
	use_cache();
}

/* Returns: true if every call allocated an object, and all but one were freed. */
static int has_all_objects(uint64_t nr_calls)
{
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	return !percpu_cache_stats(part_cache, &stats) && stats.nr_objects == !!nr_calls &&
	       stats.nr_hits + stats.nr_refills == nr_calls;
}

/* Returns: the sum, or zero if an initial value is wrong or an object is lost. */
uint64_t part_sum(void)
{
	uint64_t sum = percpu_sum(part_handle), low = 0;
	unsigned cpu;

	for_each_possible_cpu(cpu) {
		if (per_cpu(part_variable[1], cpu) != 7 || per_cpu(part_variable[2], cpu) != 9)
			return 0;
		low += per_cpu(part_variable[0], cpu);
	}
	return (uint16_t)low == (uint16_t)sum && has_all_objects(sum) ? 2 * sum : 0;
}
