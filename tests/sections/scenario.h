/* SPDX-License-Identifier: MIT */
/*
 * A scenario runs one or more restartable sequences in the victim's thread. A tracer stops the
 * thread inside them and moves it to another CPU; a competitor then works on the CPU that the
 * thread has left; and in the end the scenario says whether the result is that of plain C.
 */
#ifndef TESTS_SECTIONS_SCENARIO_H
#define TESTS_SECTIONS_SCENARIO_H

#include <percpu/percpu.h>

#define MAX_STOPS 3

/*
 * cpu[0] is the CPU where the thread began, cpu[i] the one where it continued after its ith stop.
 */
struct moves {
	unsigned nr_stops;
	unsigned cpu[MAX_STOPS + 1];
};

struct scenario {
	const char *name;
	const char *variant;
	const char *options; /* PERCPU_OPTIONS; NULL: any that allow rseq mode */
	/* In the thread, bound to the first CPU. */
	void (*prepare)(const struct scenario *self);
	/* In the thread, on every CPU that it is moved to. */
	void (*run)(const struct scenario *self);
	/*
	 * In another thread, bound to cpu, while the first one is stopped. It may wait for a lock
	 * of the first.
	 */
	void (*compete)(const struct scenario *self, unsigned cpu);
	/* In the first thread. Returns: NULL, or a description of the error. */
	const char *(*verdict)(const struct scenario *self, const struct moves *moves);
	const void *detail;
};

/* The CPUs that the thread is moved between, and the start of their process. */
extern unsigned first_cpu, second_cpu;
void bind_to(unsigned cpu);

/*
 * Operations of the headers compared with plain C (words.c, statistics.c); the library's own
 * critical sections (paths.c).
 */
size_t words_scenarios(const struct scenario **list);
size_t statistics_scenarios(const struct scenario **list);
size_t paths_scenarios(const struct scenario **list);

/*
 * Before there are victims. Returns: NULL if an operation in the wrong place would be detected, or
 * the scenario's name.
 */
const char *words_blind_spot(void);

#endif
