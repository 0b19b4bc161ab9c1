/* SPDX-License-Identifier: MIT */
/*
 * A program that uses a little of everything and verifies the results, to be built in every
 * possible way. Its argument, if any, is the mode that it must run in.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PERCPU_UNMARKED /* plain pointers hold areas of all types */
#include <percpu/kernel.h>
#include <percpu/percpu.h>

#include "part.h"

#define NR_THREADS 4
#define NR_ROUNDS 20000

static PERCPU_DEFINE(uint64_t, handle);
static DEFINE_PER_CPU(uint32_t, variable);
static uint64_t *allocated;
static struct percpu_list *list;
static struct percpu_list_node node[NR_THREADS];
static struct percpu_cache *cache;
static int failures;

static void expect(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s\n", what);
	failures++;
}

/* Frees the held object, and holds another. */
static uintptr_t *use_object(uintptr_t *held, uintptr_t mark, int round)
{
	uintptr_t *object = percpu_cache_alloc(cache);

	expect(object != NULL && object != held, "an object of its own");
	*object = mark;
	if (!held)
		return object;
	expect(*held == mark, "an object keeps what was written");
	if (round % 8)
		percpu_cache_free(cache, held);
	else
		percpu_cache_free_to(cache, held, round / 8 % percpu_nr_cpus());
	return object;
}

static void *count(void *arg)
{
	uintptr_t *held = NULL;

	for (int i = 0; i < NR_ROUNDS; i++) {
		percpu_inc(handle);
		this_cpu_inc(variable);
		percpu_add(allocated, 3);
		part_count();
		held = use_object(held, (uintptr_t)arg, i);
	}
	percpu_cache_free(cache, held);
	percpu_list_push(list, &node[(uintptr_t)arg]);
	return NULL;
}

static int count_nodes(void)
{
	int nr = 0;

	percpu_for_each_copy(i)
		for (struct percpu_list_node *at = percpu_ptr(list, i)->head; at; at = at->next)
			nr++;
	return nr;
}

/* On one CPU, because the operations must happen on one copy. */
static void try_results(void)
{
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	expect(percpu_add_return(allocated, 5) == 5, "add_return");
	expect(percpu_cmpxchg(allocated, 4, 9) == 5, "cmpxchg of another value");
	expect(percpu_cmpxchg(allocated, 5, 9) == 5, "cmpxchg of its value");
	expect(percpu_xchg(allocated, 11) == 9, "xchg");
	expect(percpu_read(allocated) == 11, "read");
	sched_setaffinity(0, sizeof(all), &all);
}

int main(int argc, char **argv)
{
	const char *mode = percpu_mode() == PERCPU_MODE_RSEQ ? "rseq" : "atomic";
	struct percpu__stack *stack = percpu_alloc(64, 16);
	struct percpu_cache_stats objects = { .size = sizeof(objects) };
	pthread_t thread[NR_THREADS];
	uint64_t sum = 0;
	void *object;
	unsigned cpu;

	expect(argc < 2 || !argv[1][0] || !strcmp(argv[1], mode), percpu_mode_reason());
	expect(!percpu__stack_pop(stack), "nothing comes from an empty stack");
	allocated = percpu_new(uint64_t);
	list = percpu_new(struct percpu_list);
	cache = percpu_cache_create("app", 100, 0, 0, NULL);
	expect(!percpu_list_pop(list), "nothing comes from an empty list");
	expect(!percpu_list_pop_all(list), "nothing at all comes from an empty list");
	try_results();
	percpu_for_each_copy(i)
		*percpu_ptr(allocated, i) = 0;
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		pthread_create(&thread[i], NULL, count, (void *)i);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(thread[i], NULL);
	expect(percpu_sum(handle) == NR_THREADS * NR_ROUNDS, "the sum of a handle");
	expect(percpu_sum(allocated) == 3 * NR_THREADS * NR_ROUNDS, "the sum of an allocation");
	for_each_possible_cpu(cpu)
		sum += per_cpu(variable, cpu);
	expect(sum == NR_THREADS * NR_ROUNDS, "the sum of a variable");
	expect(part_sum() == 2 * NR_THREADS * NR_ROUNDS, "the sum of another file's");
	expect(count_nodes() == NR_THREADS, "the nodes of a list");
	expect(!percpu_cache_stats(cache, &objects) && !objects.nr_objects, "all objects are back");
	expect(objects.nr_hits + objects.nr_refills == NR_THREADS * NR_ROUNDS, "every allocation was counted");
	object = percpu_cache_alloc(cache);
	expect(percpu_cache_destroy(cache) == -EBUSY, "a cache in use stays");
	percpu_cache_free(cache, object);
	expect(!percpu_cache_destroy(cache), "a cache goes");
	percpu_free(allocated);
	percpu_free(list);
	percpu_free(stack);
	return failures ? 1 : 0;
}
