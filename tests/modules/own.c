/* SPDX-License-Identifier: MIT */
/* A plugin that contains the library, uses everything, and frees nothing. */
#include <stdlib.h>

#include <percpu/kernel.h>
#include <percpu/percpu.h>

int own_take(void);

static PERCPU_DEFINE(uint64_t, own_handle);
static DEFINE_PER_CPU(uint32_t, own_variable) = 5;

static int take_areas(struct percpu_pool *pool)
{
	for (unsigned i = 0; i < 40; i++) {
		uint64_t __percpu *p = percpu_pool_alloc(pool, 30000, 8);

		if (!p)
			return 1;
		percpu_inc(p);
		if (percpu_sum(p) != 1)
			return 1;
	}
	return 0;
}

static int take_objects(void)
{
	struct percpu_cache *cache = percpu_cache_create("own", 128, 0, 0, NULL);

	for (unsigned i = 0; i < 2000; i++)
		if (!cache || !percpu_cache_alloc(cache))
			return 1;
	return 0;
}

static int publish(void)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = "own" };
	struct percpu_pool *pool;

	attr.published = PERCPU_ON;
	attr.limit_bytes = 4 << 20;
	pool = percpu_pool_create("own", &attr);
	return !pool || take_areas(pool) || !percpu_publish(percpu_pool_alloc(pool, 8, 8), &metric);
}

int own_take(void)
{
	void __percpu *small = percpu_alloc(8, 8);

	percpu_inc(own_handle);
	this_cpu_inc(own_variable);
	percpu_free(small);
	percpu_nr_domains(PERCPU_LEVEL_CORE);
	return percpu_sum(own_handle) != 1 || take_areas(NULL) || take_objects() || publish();
}
