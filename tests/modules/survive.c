/* SPDX-License-Identifier: MIT */
/*
 * A thread runs operations of a plugin (argument), and sleeps or spins elsewhere while the plugin
 * is unloaded. The descriptor that it armed last was in the plugin: at the next preemption the
 * kernel must not find it in the thread's rseq area. Two threads share a CPU, so that preemptions
 * are frequent; a third one on another CPU unloads the plugin.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void (*_Atomic work)(void);
static atomic_int done; /* rounds whose operations the worker has finished */
static atomic_bool stop;

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *compete(void *arg)
{
	pin((uintptr_t)arg);
	while (!atomic_load(&stop))
		;
	return NULL;
}

static void *use_and_leave(void *arg)
{
	const struct timespec pause = { 0, 300000 };

	pin((uintptr_t)arg);
	for (int round = 1; !atomic_load(&stop); round++) {
		void (*function)(void);

		while (!(function = atomic_exchange(&work, NULL)))
			if (atomic_load(&stop))
				return NULL;
		for (int i = 0; i < 10; i++)
			function();
		atomic_store(&done, round);
		if (round % 2)
			nanosleep(&pause, NULL);
		else
			for (volatile int i = 0; i < 200000; i++)
				;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const int rounds = argc > 2 ? atoi(argv[2]) : 400;
	unsigned first = 0, last = 0, nr = 0;
	pthread_t worker, rival;
	cpu_set_t set;

	sched_getaffinity(0, sizeof(set), &set);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set)) {
			first = nr++ ? first : cpu;
			last = cpu;
		}
	if (nr < 2)
		return 77;
	pthread_create(&worker, NULL, use_and_leave, (void *)(uintptr_t)first);
	pthread_create(&rival, NULL, compete, (void *)(uintptr_t)first);
	pin(last);
	for (int round = 1; round <= rounds; round++) {
		void *plugin = dlopen(argv[1], RTLD_NOW);

		if (!plugin) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		atomic_store(&work, (void (*)(void))dlsym(plugin, "part_count"));
		while (atomic_load(&done) != round)
			;
		dlclose(plugin);
	}
	atomic_store(&stop, true);
	pthread_join(worker, NULL);
	pthread_join(rival, NULL);
	return 0;
}
