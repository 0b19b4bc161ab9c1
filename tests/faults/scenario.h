/* SPDX-License-Identifier: MIT */
/* What is attempted while calls are refused, and what all that have attempts need. */
#ifndef TESTS_FAULTS_SCENARIO_H
#define TESTS_FAULTS_SCENARIO_H

#include <errno.h>
#include <string.h>

#include <percpu/percpu.h>

#include "faults/refuse.h"

struct scenario {
	const char *name;
	void (*prepare)(void); /* with nothing refused; may be NULL, as undo and mend */
	bool (*attempt)(void); /* with what is refused. Returns: whether it succeeded, after it looked at how it failed */
	void (*undo)(void);    /* after a success */
	void (*mend)(void);    /* after a failure half way, where there is one */
	/*
	 * For other libraries, which take little care: with its blocks refused one by one hwloc 2.9 dies of a signal
	 * in 134 cases of 637, and where it cannot read a file it forgets some. So malloc does as it is asked, and
	 * its blocks are not counted.
	 */
	bool spares_malloc;
	const char *last_words; /* where it cannot fail and ends the process instead, what that says */
};

size_t memory_scenarios(const struct scenario **list);
size_t caches_scenarios(const struct scenario **list);
size_t statistics_scenarios(const struct scenario **list);
size_t published_scenarios(const struct scenario **list);

/* In a child that Check knows nothing of: a line, and an end. */
#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			fail_at(__FILE__, __LINE__, #condition);                                             \
	} while (0)
/* What gives back, and what only tells, does not change errno, whatever the kernel refuses. */
#define must_keep_errno(call)                                                                                \
	do {                                                                                                 \
		errno = A_STRANGE_ERRNO;                                                                     \
		call;                                                                                        \
		must(errno == A_STRANGE_ERRNO);                                                              \
	} while (0)
#define A_STRANGE_ERRNO 4321
_Noreturn void fail_at(const char *file, int line, const char *condition);

/* Areas in use; looking is not refused anything. NULL: in the default pool. */
size_t nr_live(struct percpu_pool *pool);

/* A new area is zero in every copy, and every copy takes what is written. false: there is none, for want of memory. */
bool is_fresh(void *area, size_t size);

#endif
