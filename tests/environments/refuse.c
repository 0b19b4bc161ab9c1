/* SPDX-License-Identifier: MIT */
/*
 * "refuse CALL,CALL... PROGRAM ARGUMENTS...": runs the program under a seccomp filter that refuses
 * these system calls.
 */
#include "harness/filter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct call {
	const char *name;
	int number;
	int error;
} calls[] = {
	{ "rseq", SYS_rseq, ENOSYS },
	{ "membarrier", SYS_membarrier, EPERM },
	{ "mbind", SYS_mbind, EPERM },
	{ "madvise", SYS_madvise, EPERM },
	{ "memfd_create", SYS_memfd_create, EPERM },
	{ "mincore", SYS_mincore, EPERM },
	{ "sched_getaffinity", SYS_sched_getaffinity, EPERM },
	{ "getcpu", SYS_getcpu, EPERM },
};
#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	for (char *name = strtok(argv[1], ","); name; name = strtok(NULL, ",")) {
		const struct call *call = calls;

		while (call < calls + NR_CALLS && strcmp(call->name, name))
			call++;
		if (call == calls + NR_CALLS)
			return 2;
		if (!filter_refuse(call->number, call->error))
			return 77;
	}
	execv(argv[2], argv + 2);
	perror(argv[2]);
	return 2;
}
