/* SPDX-License-Identifier: MIT */
/*
 * What is done while it is stopped: one scenario runs one or more restartable sequences in the victim's
 * thread, which a tracer stops inside them and moves to another CPU; a competitor then works on the CPU
 * that the thread was taken from; and in the end the scenario says whether all that went as in plain C.
 */
#ifndef TESTS_SECTIONS_SCENARIO_H
#define TESTS_SECTIONS_SCENARIO_H

#include <percpu/percpu.h>

#define MAX_STOPS 3

/* cpu[0] is where the thread began, cpu[i] where it went on after its ith stop. */
struct moves {
	unsigned nr_stops;
	unsigned cpu[MAX_STOPS + 1];
};

struct scenario {
	const char *name;
	const char *variant;
	const char *options; /* PERCPU_OPTIONS; NULL: any that leave it to sequences */
	/* In the thread, bound to the first CPU. */
	void (*prepare)(const struct scenario *self);
	/* In the thread, wherever it is sent. */
	void (*run)(const struct scenario *self);
	/* In another thread, bound to cpu, while the first one is stopped. It may wait for what that one holds. */
	void (*compete)(const struct scenario *self, unsigned cpu);
	/* In the first thread. Returns: NULL, or what is wrong. */
	const char *(*verdict)(const struct scenario *self, const struct moves *moves);
	const void *detail;
};

/* The CPUs that the thread is moved between, and the start of their process. */
extern unsigned first_cpu, second_cpu;
void bind_to(unsigned cpu);

/* Operations of the headers beside plain C (words.c, statistics.c); the library's own uses of them (paths.c). */
size_t words_scenarios(const struct scenario **list);
size_t statistics_scenarios(const struct scenario **list);
size_t paths_scenarios(const struct scenario **list);

/* Before there are victims: whether an operation done in the wrong place could be seen. NULL, or its name. */
const char *words_blind_spot(void);

#endif
