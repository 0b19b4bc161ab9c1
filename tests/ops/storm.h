/* SPDX-License-Identifier: MIT */
/*
 * A storm: more threads than CPUs, which move themselves and are moved, and get signals whose handlers
 * do the same work. One step of the work is the caller's; it runs in threads and handlers alike.
 */
#ifndef TESTS_OPS_STORM_H
#define TESTS_OPS_STORM_H

#include "ops/modes.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#define NR_THREADS 6

/* Check's assertions take locks, which handlers must not: what a step finds wrong ends the process. */
#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			abort();                                                                             \
	} while (0)

struct storm_thread {
	pthread_t thread;
	unsigned number;
	bool is_ready;
	unsigned rounds;
	uint64_t steps;         /* by the thread itself */
	uint64_t handler_steps; /* by handlers on top of it */
	void *state;            /* the caller's */
};

static struct storm_thread storm_threads[NR_THREADS];
static void (*storm_step)(struct storm_thread *self, bool in_handler);
static bool storm_over;
static pthread_key_t storm_self;

static void storm_handler(int signal)
{
	struct storm_thread *self = pthread_getspecific(storm_self);

	storm_step(self, true);
	self->handler_steps++;
}

static void move_thread(pthread_t thread, unsigned where)
{
	static cpu_set_t all;
	static int nr_all;
	cpu_set_t one;

	if (!nr_all) { /* by the first caller, before there are others */
		sched_getaffinity(0, sizeof(all), &all);
		nr_all = CPU_COUNT(&all);
		return;
	}
	where %= nr_all;
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all) && !where--) {
			CPU_SET(cpu, &one);
			break;
		}
	pthread_setaffinity_np(thread, sizeof(one), &one);
}

static void *storm_main(void *argument)
{
	struct storm_thread *self = argument;

	pthread_setspecific(storm_self, self);
	__atomic_store_n(&self->is_ready, true, __ATOMIC_RELEASE); /* pairs with storm */
	while (!__atomic_load_n(&storm_over, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < 200 + 37 * self->number; i++) {
			storm_step(self, false);
			self->steps++;
		}
		__atomic_store_n(&self->rounds, self->rounds + 1, __ATOMIC_RELAXED);
		move_thread(pthread_self(), self->steps / 50 + self->number);
	}
	return NULL;
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/* However busy the machine is: so many rounds that a storm is one. */
#define STORM_ROUNDS 10

static bool storm_is_done(double end)
{
	for (unsigned i = 0; i < NR_THREADS; i++)
		if (__atomic_load_n(&storm_threads[i].rounds, __ATOMIC_RELAXED) < STORM_ROUNDS)
			return false;
	return seconds_now() >= end;
}

/* Returns: the number of steps done, handlers' included. */
static uint64_t storm(void (*step)(struct storm_thread *, bool), double seconds)
{
	const double end = seconds_now() + seconds;
	struct sigaction action = { .sa_handler = storm_handler, .sa_flags = SA_RESTART };
	uint64_t sum = 0;

	storm_step = step;
	storm_over = false;
	pthread_key_create(&storm_self, NULL);
	sigaction(SIGUSR1, &action, NULL);
	move_thread(pthread_self(), 0);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		storm_threads[i] = (struct storm_thread){ .number = i, .state = storm_threads[i].state };
		pthread_create(&storm_threads[i].thread, NULL, storm_main, &storm_threads[i]);
		while (!__atomic_load_n(&storm_threads[i].is_ready, __ATOMIC_ACQUIRE))
			sched_yield();
	}
	for (unsigned turn = 0; !storm_is_done(end); turn++) {
		pthread_kill(storm_threads[turn % NR_THREADS].thread, SIGUSR1);
		if (turn % 5 == 0)
			move_thread(storm_threads[turn / 5 % NR_THREADS].thread, turn / 7);
	}
	__atomic_store_n(&storm_over, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		pthread_join(storm_threads[i].thread, NULL);
		sum += storm_threads[i].steps + storm_threads[i].handler_steps;
	}
	pthread_key_delete(storm_self);
	return sum;
}

#endif
