/* SPDX-License-Identifier: MIT */
/*
 * check aborts|not TIMES: in so many processes, the check at start finds that this kernel aborts
 * the critical section of a thread that is preempted and continues on the same CPU, or that it does
 * not. A busy host may stop the guest until the check's time is over, so one check in ten may find
 * nothing; none may find the opposite.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/platform.h"

extern const ptrdiff_t __rseq_offset;

static const char *const names[] = {
	[PERCPU__ABORTS_UNKNOWN] = "unknown",
	[PERCPU__ABORTS] = "aborts",
	[PERCPU__ABORTS_NOT] = "not",
};
#define NR_NAMES (sizeof(names) / sizeof(names[0]))

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* In a process of its own, as at start. Returns: the result of percpu__rseq_aborts, or NR_NAMES. */
static unsigned check(void)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(percpu__rseq_aborts(__rseq_offset));
	return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) < (int)NR_NAMES
		       ? (unsigned)WEXITSTATUS(status)
		       : NR_NAMES;
}

int main(int argc, char **argv)
{
	const unsigned times = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
	unsigned found[NR_NAMES + 1] = { 0 };
	double longest = 0, all = 0;
	bool is_right = times > 0;

	for (unsigned i = 0; i < times; i++) {
		const double start = milliseconds();

		found[check()]++;
		all += milliseconds() - start;
		longest = milliseconds() - start > longest ? milliseconds() - start : longest;
	}
	for (unsigned i = 0; i < NR_NAMES; i++)
		if (argc > 1 && i != PERCPU__ABORTS_UNKNOWN && strcmp(names[i], argv[1]) && found[i])
			is_right = false;
	is_right = is_right && !found[NR_NAMES] && found[PERCPU__ABORTS_UNKNOWN] <= times / 10;
	printf("# %u aborts, %u not, %u unknown, %u died; %.1f ms each, at most %.1f\n", found[PERCPU__ABORTS],
	       found[PERCPU__ABORTS_NOT], found[PERCPU__ABORTS_UNKNOWN], found[NR_NAMES], times ? all / times : 0, longest);
	printf("%s 1 - the check finds %s in %u processes\n1..1\n", is_right ? "ok" : "not ok", argc > 1 ? argv[1] : "", times);
	return !is_right;
}
