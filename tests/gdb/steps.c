/* SPDX-License-Identifier: MIT */
/* Lines for the debugger to step over: each operation is one critical section or several. */
#include <percpu/percpu.h>
#include <sched.h>

static long __percpu *hits;
static struct percpu_list __percpu *list;
static struct percpu_list_node node;
static struct percpu_counter counter;
static struct percpu_cache *cache;
static void *object;
static long got;

__attribute__((noinline)) static long twice(long v)
{
	percpu_add(hits, v);
	return 2 * v;
}

__attribute__((noinline)) static void stop_here(void)
{
	__asm__ volatile("" ::: "memory");
}

/*
 * Pinned: a thread that is stopped often moves often, and one copy is asked for all its operations.
 */
static void stay(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET((unsigned)sched_getcpu(), &here);
	sched_setaffinity(0, sizeof(here), &here);
}

int main(void)
{
	stay();
	hits = percpu_new(long);
	list = percpu_new(struct percpu_list);
	percpu_counter_init(&counter, 0, 0);
	cache = percpu_cache_create("steps", 64, 0, 0, 0);
	percpu_inc(hits);
	percpu_add(hits, twice(20));
	percpu_counter_add(&counter, 3);
	percpu_list_push(list, &node);
	got += percpu_list_pop(list) == &node;
	object = percpu_cache_alloc(cache);
	percpu_cache_free(cache, object);
	for (int i = 0; i < 5; i++) percpu_sub(hits, percpu_read(hits) > 0);
	if (percpu_cmpxchg(hits, percpu_read(hits), 7) != 7) got++;
	stop_here();
	return percpu_sum(hits) != 7 || got != 2 || percpu_counter_sum(&counter) != 3;
}
