/* SPDX-License-Identifier: MIT */
/*
 * Every restartable sequence of this program, and every place where a thread can be stopped in it.
 */
#ifndef TESTS_SECTIONS_TABLE_H
#define TESTS_SECTIONS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_BOUNDARIES 64

/* The layout that the kernel reads. */
struct descriptor {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

/*
 * Boundaries in the order of addresses: the instructions that arm the sequence, where an abort
 * begins again, then those inside, [start, end), and end, where the sequence has committed.
 */
struct section {
	struct descriptor *descriptor;
	char function[64];
	uintptr_t arm, start, end, abort;
	uintptr_t last; /* the last instruction inside */
	unsigned nr_boundaries;
	uintptr_t boundaries[MAX_BOUNDARIES];
	bool is_reached[MAX_BOUNDARIES]; /* reached by any scenario */
	bool is_reached_now[MAX_BOUNDARIES]; /* reached by the current scenario */
};

extern struct section *sections;
extern size_t nr_sections;

/* Returns: NULL, or the reason why the table cannot be read. */
const char *sections_read(void);

/*
 * Finds the critical section of a boundary, and the boundary's index in it. Returns: NULL if there
 * is none.
 */
struct section *section_at(uintptr_t address, unsigned *index);

#endif
