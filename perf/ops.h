/* SPDX-License-Identifier: MIT */
/*
 * The loops that ops.c times: one file of them, built by every compiler for a program and for a
 * shared object.
 */
#ifndef PERCPU_PERF_OPS_H
#define PERCPU_PERF_OPS_H

#include <stdbool.h>

#define NR_PLACEMENTS 8

enum kind {
	PERCPU_ONE,     /* percpu_add on one counter */
	PERCPU_EIGHT,   /* percpu_add over eight */
	THREAD_LOCAL,   /* one instruction on a thread-local counter */
	PINNED_EIGHT,   /* one instruction over the same eight, correct only without migration */
	LOCKED,         /* lock add on the same one, uncontended */
	LIBRSEQ,        /* rseq_load_add_store__ptr on one counter of librseq's */
	NR_KINDS
};

/* counter: a per-CPU pointer, a plain address, or librseq's, as the kind needs it. */
typedef void loop(void *counter, long nr);

struct loops {
	const char *compiler;
	bool shared;
	loop *loop[NR_KINDS][NR_PLACEMENTS]; /* NULL: not built */
	struct loops *next;
};

/* Called by a constructor of each file of loops. */
void loops_register(struct loops *loops);

#endif
