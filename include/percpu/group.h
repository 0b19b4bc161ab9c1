/* SPDX-License-Identifier: MIT */
/*
 * Groups of counters that are read consistently: bytes with packets, requests with errors.
 *
 *	struct percpu_group traffic;
 *	percpu_group_init(&traffic, 2);
 *	percpu_group_add(&traffic, 1, nr_bytes);		readers see both or neither
 *
 *	copy:	| word | slot 0: fields | slot 1: fields |
 *
 * The word says which slot is valid. An addition writes all fields to the other slot and commits by
 * storing the next word. A reader reads the valid slot, and repeats that if the word has changed
 * meanwhile, as with a seqcount. Writers never wait for readers, and an interrupted writer does not
 * delay readers.
 */
#ifndef PERCPU_GROUP_H
#define PERCPU_GROUP_H

#include <percpu/abi/group.h>
#include <percpu/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * percpu_group_init - initialises a group of nr_fields (2 to PERCPU_GROUP_MAX_FIELDS) fields of 64
 * bits, all zero.
 * Context: MT-safe; not async-signal-safe.
 * Returns: 0; -EINVAL (nr_fields); -ENOMEM; -ENOTSUP (the program was compiled for another layout
 * of groups than the library has: group is untouched).
 */
PERCPU__INLINE int percpu_group_init(struct percpu_group *group, unsigned nr_fields)
{
	return percpu_group_init_layout(PERCPU_GROUP_LAYOUT, group, nr_fields);
}

/* Frees the copies. Zeroed storage is accepted, and so is a group that was released before. */
PERCPU_API void percpu_group_fini(struct percpu_group *group);

PERCPU__INLINE bool percpu__try_group_add(void *p, unsigned nr, uint64_t v0, uint64_t v1,
					  uint64_t v2, uint64_t v3)
{
	switch (nr) {
	case 2: return percpu__try_group_add_2(p, v0, v1, v2, v3);
	case 3: return percpu__try_group_add_3(p, v0, v1, v2, v3);
	default: return percpu__try_group_add_4(p, v0, v1, v2, v3);
	}
}

PERCPU__INLINE void percpu__group_add(struct percpu_group *group, unsigned nr, uint64_t v0,
				      uint64_t v1, uint64_t v2, uint64_t v3)
{
	void *const p = group->of[nr];

	percpu__will_store(p,
			   nr > 2 ? sizeof(struct percpu__group4) : sizeof(struct percpu__group2));
	if (__builtin_expect(!percpu__try_group_add(p, nr, v0, v1, v2, v3), 0))
		percpu_group_add_slow(group, nr, v0, v1, v2, v3);
}

/* Expands to the number of arguments, two to four, and to four values. */
#define PERCPU__VALUES_2(a, b)                                                                     \
	2, (uint64_t)percpu__integer(+(a)), (uint64_t)percpu__integer(+(b)), 0, 0
#define PERCPU__VALUES_3(a, b, c)                                                                  \
	3, (uint64_t)percpu__integer(+(a)), (uint64_t)percpu__integer(+(b)),                       \
		(uint64_t)percpu__integer(+(c)), 0
#define PERCPU__VALUES_4(a, b, c, d)                                                               \
	4, (uint64_t)percpu__integer(+(a)), (uint64_t)percpu__integer(+(b)),                       \
		(uint64_t)percpu__integer(+(c)), (uint64_t)percpu__integer(+(d))
#define PERCPU__VALUES_OF(a, b, c, d, values, ...) values
#define PERCPU__VALUES(...)                                                                        \
	PERCPU__VALUES_OF(__VA_ARGS__, PERCPU__VALUES_4, PERCPU__VALUES_3, PERCPU__VALUES_2, )     \
	(__VA_ARGS__)

/*
 * percpu_group_add(group, v0, v1, ...) - adds one value to each field, modulo 2^64; takes as many
 * values as the group has fields. One step for readers.
 * Context: any thread, at any time, including signal handlers. Cannot fail, and never waits for
 * another addition.
 */
#define percpu_group_add(group, ...) percpu__group_add((group), PERCPU__VALUES(__VA_ARGS__))

/*
 * percpu_group_read - sets fields[i] to the sum of field i over all copies, each copy read at one
 * moment. A relation that every addition keeps, and that sums keep (two fields are equal, or one is
 * at most the other), holds for the result even while others add. Exact once they have stopped.
 * Context: MT-safe, async-signal-safe.
 */
PERCPU_API void percpu_group_read(const struct percpu_group *group, uint64_t *fields);

/*
 * Reads the fields of one copy, below percpu_nr_copies(), at one moment. Without rseq, the sum may
 * contain additions that are in no copy.
 */
PERCPU_API void percpu_group_read_copy(const struct percpu_group *group, unsigned copy,
				       uint64_t *fields);

#ifdef __cplusplus
}
#endif
#endif
