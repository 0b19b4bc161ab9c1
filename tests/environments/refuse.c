/* SPDX-License-Identifier: MIT */
/* "refuse CALL,CALL... PROGRAM ARGUMENTS...": runs the program under a filter that refuses these calls. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
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
	struct sock_filter filter[2 * NR_CALLS + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = { .len = 1, .filter = filter };

	if (argc < 3)
		return 2;
	for (char *name = strtok(argv[1], ","); name; name = strtok(NULL, ",")) {
		const struct call *call = calls;

		while (call < calls + NR_CALLS && strcmp(call->name, name))
			call++;
		if (call == calls + NR_CALLS)
			return 2;
		filter[program.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call->number, 0, 1);
		filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | call->error);
	}
	filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 77;
	execv(argv[2], argv + 2);
	perror(argv[2]);
	return 2;
}
