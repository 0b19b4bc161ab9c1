/* SPDX-License-Identifier: MIT */
/*
 * hotplug [control]: CPUs go offline and online while threads count and pass objects on, two or
 * more on each CPU; nothing is lost. The control must lose something, and does if threads can be
 * interrupted between any two instructions.
 */
#include "vm/nodes.h"

#include <pthread.h>
#include <time.h>

#define NR_WORKERS 16
#define CONTROL_SECONDS 300 /* at most */

static struct worker {
	pthread_t thread;
	size_t self;
	uint64_t steps;
} workers[NR_WORKERS];
static bool is_over;

static bool go_on(void)
{
	return !__atomic_load_n(&is_over, __ATOMIC_RELAXED);
}

static void run_while_cpus_go_and_come(void *(*work)(void *))
{
	unsigned switchable[8], nr_switchable, nr_turns = 0;
	cpu_set_t all;
	time_t end;

	ck_assert(!sched_getaffinity(0, sizeof(all), &all));
	ask_nodes();
	ck_assert(!sched_setaffinity(0, sizeof(all), &all));
	nr_switchable = find_switchable(switchable, 8);
	ck_assert_uint_gt(nr_switchable, 0);
	__atomic_store_n(&is_over, false, __ATOMIC_RELAXED);
	for (size_t i = 0; i < NR_WORKERS; i++) {
		workers[i].self = i;
		ck_assert(!pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	for (end = time(NULL) + 4; time(NULL) < end || nr_turns < 2 * nr_switchable; nr_turns++) {
		const unsigned cpu = switchable[nr_turns % nr_switchable];

		ck_assert(set_online(cpu, false));
		usleep(20000);
		ck_assert(set_online(cpu, true));
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		ck_assert(!pthread_join(workers[i].thread, NULL));
}

/* ---- counters ---- */

static uint64_t __percpu *counter;

static void *count(void *arg)
{
	uint64_t steps = 0;

	for (; go_on(); steps++)
		percpu_inc(counter);
	((struct worker *)arg)->steps = steps;
	return NULL;
}

static void *count_plainly(void *arg)
{
	uint64_t steps = 0;

	for (; go_on(); steps++) {
		volatile uint64_t *copy = percpu_this_ptr(counter);
		const uint64_t seen = *copy;

		*copy = seen + 1;
	}
	((struct worker *)arg)->steps = steps;
	return NULL;
}

static bool counts(void *(*with)(void *))
{
	uint64_t steps = 0;

	counter = percpu_new(uint64_t);
	run_while_cpus_go_and_come(with);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		steps += workers[i].steps;
	printf("# %llu steps, counted %llu\n", (unsigned long long)steps, (unsigned long long)percpu_sum(counter));
	fflush(stdout);
	return percpu_sum(counter) == steps;
}

START_TEST(counting_while_cpus_go_and_come)
{
	ck_assert(counts(count));
}
END_TEST

START_TEST(control_of_counting_loses_some)
{
	const time_t end = time(NULL) + CONTROL_SECONDS;
	bool lost = false;

	while (!lost && time(NULL) < end)
		lost = !counts(count_plainly);
	ck_assert_msg(lost, "plain additions lost nothing: these CPUs prove nothing");
}
END_TEST

/* ---- objects ---- */

static struct percpu_cache *cache;
static void *passed[NR_WORKERS];

static void *pass_on(void *arg)
{
	const size_t self = ((struct worker *)arg)->self;

	for (size_t i = 0; go_on(); i++) {
		void *mine = percpu_cache_alloc(cache), *other;

		if (!mine)
			abort();
		other = __atomic_exchange_n(&passed[(self + i) % NR_WORKERS], mine, __ATOMIC_ACQ_REL);
		if (other)
			percpu_cache_free(cache, other);
	}
	return NULL;
}

static struct percpu_cache_stats stats_now(void)
{
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(percpu_cache_stats(cache, &stats), 0);
	return stats;
}

START_TEST(no_object_is_lost_while_cpus_go_and_come)
{
	cache = percpu_cache_create("passed", 200, 0, 0, NULL);
	ck_assert_ptr_nonnull(cache);
	run_while_cpus_go_and_come(pass_on);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		percpu_cache_free(cache, passed[i]);
	ck_assert_uint_eq(stats_now().nr_objects, 0);
	ck_assert_int_gt(percpu_cache_shrink(cache), 0);
	ck_assert_uint_eq(stats_now().nr_slabs, 0);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *tests[] = { counting_while_cpus_go_and_come, no_object_is_lost_while_cpus_go_and_come, NULL, NULL };

	if (!is_guest())
		return puts("1..0 # SKIP CPUs go offline and online only in guests") < 0;
	if (argc > 1 && !strcmp(argv[1], "control"))
		tests[2] = control_of_counting_loses_some;
	return run_suite(suite_of("vm/hotplug", tests, 60));
}
