/* SPDX-License-Identifier: MIT */
/* The ABI of groups: their copies, the storage in programs, and the slow path. */
#ifndef PERCPU_ABI_GROUP_H
#define PERCPU_ABI_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include <percpu/abi/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERCPU_GROUP_MAX_FIELDS 4u

/* The layout of the structs below. percpu_group_init hands it to the library. */
#define PERCPU_GROUP_LAYOUT 1u

/*
 * One copy, of two fields, or of three and four. The word counts in steps of the bytes from one
 * slot to the other, so that word & step is the offset of the slot that is valid.
 */
struct percpu__group2 {
	uint64_t word;
	uint64_t slot[2][2];
};
struct percpu__group4 {
	uint64_t word;
	uint64_t slot[2][4];
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu__group2) == 40 &&
			      offsetof(struct percpu__group2, word) == 0 &&
			      offsetof(struct percpu__group2, slot) == 8,
		      "ABI: struct percpu__group2");
PERCPU__STATIC_ASSERT(sizeof(struct percpu__group4) == 72 &&
			      offsetof(struct percpu__group4, word) == 0 &&
			      offsetof(struct percpu__group4, slot) == 8,
		      "ABI: struct percpu__group4");

/*
 * The storage is the program's, its contents are the library's. of[i] is the per-CPU pointer if the
 * group has i fields, and otherwise an invalid address, so that an addition to another number of
 * fields faults.
 */
struct percpu_group {
	void *of[PERCPU_GROUP_MAX_FIELDS + 1];
	uint64_t nr_fields;
	void *spare; /* pages of spare copies, for additions that find a shared copy claimed */
	/* Additions that found no copy at all: how many began and ended, and their sums. */
	uint64_t loose_begun, loose[PERCPU_GROUP_MAX_FIELDS], loose_ended;
	uint64_t reserved[3];
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_group) == 128 &&
			      offsetof(struct percpu_group, of) == 0 &&
			      offsetof(struct percpu_group, nr_fields) == 40 &&
			      offsetof(struct percpu_group, spare) == 48 &&
			      offsetof(struct percpu_group, loose_begun) == 56 &&
			      offsetof(struct percpu_group, loose) == 64 &&
			      offsetof(struct percpu_group, loose_ended) == 96,
		      "ABI: struct percpu_group");

/*
 * percpu_group_init of a program whose groups have this layout.
 * Returns: 0; -ENOTSUP (a layout other than PERCPU_GROUP_LAYOUT: nothing is written), or as
 * percpu_group_init.
 */
PERCPU_API int percpu_group_init_layout(unsigned layout, struct percpu_group *group,
					unsigned nr_fields);

/* The slow path of percpu_group_add, complete in itself. Adds the first nr of the four values. */
PERCPU_API PERCPU__OUTLINE void percpu_group_add_slow(struct percpu_group *group, unsigned nr,
						      uint64_t v0, uint64_t v1, uint64_t v2,
						      uint64_t v3);

#ifdef __cplusplus
}
#endif
#endif
