/* SPDX-License-Identifier: MIT */
/* Scenarios that are attempted while calls are refused, and helpers that all of them need. */
#ifndef TESTS_FAULTS_SCENARIO_H
#define TESTS_FAULTS_SCENARIO_H

#include <errno.h>
#include <string.h>

#include <percpu/percpu.h>

#include "faults/refuse.h"

struct scenario {
	const char *name;
	void (*prepare)(void); /* called with nothing refused; may be NULL, like undo and mend */
	/* Called with one call refused; checks how it failed. Returns: true if it succeeded. */
	bool (*attempt)(void);
	void (*undo)(void); /* called after an attempt that succeeded */
	void (*mend)(void); /* called after an attempt that failed */
	/*
	 * Never refuse malloc, and do not count its blocks. For hwloc 2.9, which crashes in 134 of
	 * 637 cases if its blocks are refused one by one, and leaks some if it cannot read a file.
	 */
	bool spares_malloc;
	/* Part of the message if the call aborts the process, because it cannot report failure. */
	const char *last_words;
};

size_t memory_scenarios(const struct scenario **list);
size_t caches_scenarios(const struct scenario **list);
size_t statistics_scenarios(const struct scenario **list);
size_t published_scenarios(const struct scenario **list);

/* An assertion for children without Check: prints a line and exits. */
#define must(condition)                                                                     \
	do {                                                                                \
		if (!(condition))                                                           \
			fail_at(__FILE__, __LINE__, #condition);                            \
	} while (0)
/* Calls that free or only report never change errno, whatever the kernel refuses. */
#define must_keep_errno(call)                                                               \
	do {                                                                                \
		errno = A_STRANGE_ERRNO;                                                    \
		call;                                                                       \
		must(errno == A_STRANGE_ERRNO);                                             \
	} while (0)
#define A_STRANGE_ERRNO 4321
_Noreturn void fail_at(const char *file, int line, const char *condition);

/* The number of live areas of a pool (NULL: the default pool). Its calls are never refused. */
size_t nr_live(struct percpu_pool *pool);

/*
 * Checks that a new area is zero in every copy, and writes every byte.
 * Returns: true; false if area is NULL, for which errno must be ENOMEM.
 */
bool is_fresh(void *area, size_t size);

#endif
