/* SPDX-License-Identifier: MIT */
/*
 * A victim is a process of its own, a fork of this program: its first thread runs scenarios and is
 * traced, and its second thread competes with the first.
 */
#ifndef TESTS_SECTIONS_TRACER_H
#define TESTS_SECTIONS_TRACER_H

#include <stdbool.h>
#include <sys/types.h>

#include "sections/scenario.h"
#include "sections/table.h"

struct shared; /* memory of the tracer and the victim's threads */

struct victim {
	const char *options;
	bool is_quiet; /* its last messages are discarded */
	pid_t pid; /* 0: it has ended */
	int code;  /* a descriptor of its memory */
	struct shared *shared;
	int to_competitor, from_competitor; /* pipes */
};

/* Starts a victim with options as PERCPU_OPTIONS, a string that must live as long as the victim. */
void victim_start(struct victim *victim, const char *options);
void victim_end(struct victim *victim);

/* Writes into its memory. */
void victim_write(const struct victim *victim, uintptr_t address, const void *bytes, size_t size);

/*
 * Where a scenario is stopped: at a boundary, perhaps after it was moved to another CPU at another
 * boundary.
 */
struct place {
	uintptr_t boundary;
	uintptr_t detour; /* 0: none */
};

/*
 * victim_visit - runs a scenario, stops it when it reaches a boundary for the first time, and calls
 * visit there. Each stop is a preemption, but the thread is not moved. victim_visit_rest - as
 * victim_visit, for boundaries that were not reached yet, after a move at detour.
 * Returns: NULL, or a description of the error.
 */
typedef void visit_fn(struct place place, void *arg);
const char *victim_visit(struct victim *victim, const struct scenario *scenario, visit_fn *visit, void *arg);
const char *victim_visit_rest(struct victim *victim, const struct scenario *scenario, uintptr_t detour, visit_fn *visit,
			      void *arg);

/*
 * The action at each stop. In both cases the competitor runs on the CPU where the thread was
 * stopped.
 */
enum stay_or_go { STAY, GO };
struct plan {
	const char *name;
	unsigned nr_stops;
	enum stay_or_go at_stop[2];
};

/*
 * victim_disturb - runs a scenario and stops it at that place as often as planned.
 * Returns: NULL, or a description of the error.
 */
const char *victim_disturb(struct victim *victim, const struct scenario *scenario, struct place place,
			   const struct plan *plan);

#endif
