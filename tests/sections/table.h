/* SPDX-License-Identifier: MIT */
/* Every restartable sequence of this program, and every place where a thread can be stopped in it. */
#ifndef TESTS_SECTIONS_TABLE_H
#define TESTS_SECTIONS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_BOUNDARIES 64

/* As the kernel reads it. */
struct descriptor {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

/*
 * Boundaries in order of address: the instructions that arm it, from where an abort begins again, then
 * those inside, [start, end), and end, where all is done.
 */
struct section {
	struct descriptor *descriptor;
	char function[64];
	uintptr_t arm, start, end, abort;
	uintptr_t last; /* the last instruction inside */
	unsigned nr_boundaries;
	uintptr_t boundaries[MAX_BOUNDARIES];
	bool is_reached[MAX_BOUNDARIES]; /* by any scenario */
	bool is_reached_now[MAX_BOUNDARIES]; /* by the one that is being visited */
};

extern struct section *sections;
extern size_t nr_sections;

/* Returns: NULL, or why there is no telling. */
const char *sections_read(void);

/* The section of a boundary, and the boundary's index in it; NULL: of none. */
struct section *section_at(uintptr_t address, unsigned *index);

#endif
