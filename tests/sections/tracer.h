/* SPDX-License-Identifier: MIT */
/*
 * A victim is a process of its own: a copy of this program, whose first thread runs scenarios and is
 * traced, and whose second one competes with it.
 */
#ifndef TESTS_SECTIONS_TRACER_H
#define TESTS_SECTIONS_TRACER_H

#include <stdbool.h>
#include <sys/types.h>

#include "sections/scenario.h"
#include "sections/table.h"

struct shared; /* what the tracer and the victim's threads tell one another */

struct victim {
	const char *options;
	bool is_quiet; /* what it says as it dies is not wanted */
	pid_t pid; /* 0: none, it is gone */
	int code;  /* its memory */
	struct shared *shared;
	int to_competitor, from_competitor; /* pipes */
};

/* Starts one, with PERCPU_OPTIONS, which must last as long. */
void victim_start(struct victim *victim, const char *options);
void victim_end(struct victim *victim);

/* Writes into its memory. */
void victim_write(const struct victim *victim, uintptr_t address, const void *bytes, size_t size);

/* Where a scenario is stopped: at a boundary; or there after it was moved away at another one. */
struct place {
	uintptr_t boundary;
	uintptr_t detour; /* 0: none */
};

/*
 * victim_visit - runs a scenario with a stop at every boundary that it comes by, the first time it does,
 * and calls visit there. Each stop is a preemption, but the thread is not moved.
 * victim_visit_rest - the same for boundaries that it did not reach yet, after the thread was moved away at detour.
 * Returns: NULL, or what is wrong.
 */
typedef void visit_fn(struct place place, void *arg);
const char *victim_visit(struct victim *victim, const struct scenario *scenario, visit_fn *visit, void *arg);
const char *victim_visit_rest(struct victim *victim, const struct scenario *scenario, uintptr_t detour, visit_fn *visit,
			      void *arg);

/* What is done at each stop; the competitor works on the CPU that the thread was stopped on, either way. */
enum stay_or_go { STAY, GO };
struct plan {
	const char *name;
	unsigned nr_stops;
	enum stay_or_go at_stop[2];
};

/*
 * victim_disturb - runs a scenario and stops it at that place as often as planned.
 * Returns: NULL, or what is wrong.
 */
const char *victim_disturb(struct victim *victim, const struct scenario *scenario, struct place place,
			   const struct plan *plan);

#endif
