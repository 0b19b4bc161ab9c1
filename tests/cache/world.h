/* SPDX-License-Identifier: MIT */
/* Helpers for tests of caches: pinning threads, running work on another CPU, and statistics. */
#ifndef TESTS_CACHE_WORLD_H
#define TESTS_CACHE_WORLD_H

#include "harness/harness.h"

#include <percpu/percpu.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static cpu_set_t given; /* before the first pin */

static inline void note_given(void)
{
	sched_getaffinity(0, sizeof(given), &given);
}

static inline int nth_cpu(int n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, note_given);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &given) && !n--)
			return cpu;
	return -1;
}

static inline void pin(int n)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(nth_cpu(n), &set);
	ck_assert(!sched_setaffinity(0, sizeof(set), &set));
}

static inline bool has_two_cpus(void)
{
	return nth_cpu(1) >= 0 && (unsigned)nth_cpu(1) < percpu_nr_cpus();
}

struct job {
	int cpu;
	void (*run)(void *arg);
	void *arg;
};

static void *job_main(void *arg)
{
	struct job *job = arg;

	pin(job->cpu);
	job->run(job->arg);
	return NULL;
}

/* Runs a function in a thread on the nth CPU, and waits for it. */
static inline void on_cpu(int n, void (*run)(void *arg), void *arg)
{
	struct job job = { n, run, arg };
	pthread_t thread;

	ck_assert(!pthread_create(&thread, NULL, job_main, &job));
	pthread_join(thread, NULL);
}

static inline struct percpu_cache_stats stats_of(struct percpu_cache *cache)
{
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(percpu_cache_stats(cache, &stats), 0);
	return stats;
}

/* A cache without surprises. */
static inline struct percpu_cache *cache_of(size_t size)
{
	struct percpu_cache *cache = percpu_cache_create("test", size, 0, 0, NULL);

	ck_assert_ptr_nonnull(cache);
	return cache;
}

/* Many objects at once, and what to do with them on another CPU. */
struct lot {
	struct percpu_cache *cache;
	size_t nr;
	void **objects;
	unsigned to;
};

static inline struct lot lot_of(struct percpu_cache *cache, size_t nr)
{
	struct lot lot = { cache, nr, calloc(nr, sizeof(void *)), 0 };

	ck_assert(lot.objects);
	ck_assert_int_eq(percpu_cache_alloc_bulk(cache, nr, lot.objects), 0);
	return lot;
}

static inline void free_lot(void *arg)
{
	struct lot *lot = arg;

	percpu_cache_free_bulk(lot->cache, lot->nr, lot->objects);
}

static inline void alloc_lot(void *arg)
{
	struct lot *lot = arg;

	ck_assert_int_eq(percpu_cache_alloc_bulk(lot->cache, lot->nr, lot->objects), 0);
}

static inline bool has(const struct lot *lot, const void *object)
{
	for (size_t i = 0; i < lot->nr; i++)
		if (lot->objects[i] == object)
			return true;
	return false;
}

#endif
