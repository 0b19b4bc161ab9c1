/* SPDX-License-Identifier: MIT */
/*
 * A kernel that refuses the nth call. A seccomp filter turns the system calls that libraries make for
 * memory and files into SIGSYS; its handler counts them, refuses one, and makes the others itself, from
 * the one instruction that the filter lets through. So whoever makes the call meets it: the library as
 * installed, libnuma, malloc. One thread alone, in a process of its own: a filter is never taken away.
 */
#ifndef TESTS_FAULTS_REFUSE_H
#define TESTS_FAULTS_REFUSE_H

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static const struct refusable {
	int number;
	int error; /* as the kernel would have it */
	const char *name;
} refusable[] = {
	{ SYS_mmap, ENOMEM, "mmap" },
	{ SYS_munmap, ENOMEM, "munmap" },
	{ SYS_mprotect, ENOMEM, "mprotect" },
	{ SYS_mremap, ENOMEM, "mremap" },
	{ SYS_brk, 0, "brk" }, /* which fails by telling where the end still is */
	{ SYS_madvise, EINVAL, "madvise" },
	{ SYS_mincore, ENOSYS, "mincore" },
	{ SYS_mbind, EPERM, "mbind" },
	{ SYS_membarrier, EPERM, "membarrier" },
	{ SYS_openat, EACCES, "openat" },
	{ SYS_read, EIO, "read" },
	{ SYS_pread64, EIO, "pread64" },
	{ SYS_lseek, EINVAL, "lseek" },
	{ SYS_ioctl, ENOTTY, "ioctl" },
	{ SYS_sched_getaffinity, EPERM, "sched_getaffinity" },
	{ SYS_memfd_create, EMFILE, "memfd_create" },
	{ SYS_ftruncate, ENOSPC, "ftruncate" },
	{ SYS_fallocate, ENOSPC, "fallocate" },
	{ SYS_fcntl, EPERM, "fcntl" },
};
#define NR_REFUSABLE (sizeof(refusable) / sizeof(refusable[0]))

#if defined(__x86_64__)
#define REFUSE_IS_KNOWN 1
#define REFUSE_ARCH AUDIT_ARCH_X86_64
#define REFUSE_NUMBER(context) ((context)->uc_mcontext.gregs[REG_RAX])
#define REFUSE_RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#define REFUSE_ARGUMENT(context, i)                                                                          \
	((context)->uc_mcontext.gregs[(const int[]){ REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 }[i]])
long refuse_call(long number, const long *arguments);
extern const char refuse_called[]; /* the address behind its system call */
__asm__("	.text\n"
	"	.globl	refuse_call\n"
	"	.type	refuse_call, @function\n"
	"refuse_call:\n"
	"	movq	%rdi, %rax\n"
	"	movq	%rsi, %r11\n"
	"	movq	(%r11), %rdi\n"
	"	movq	8(%r11), %rsi\n"
	"	movq	16(%r11), %rdx\n"
	"	movq	24(%r11), %r10\n"
	"	movq	32(%r11), %r8\n"
	"	movq	40(%r11), %r9\n"
	"	syscall\n"
	"	.globl	refuse_called\n"
	"refuse_called:\n"
	"	ret\n"
	"	.size	refuse_call, . - refuse_call\n");
#elif defined(__aarch64__)
#define REFUSE_IS_KNOWN 1
#define REFUSE_ARCH AUDIT_ARCH_AARCH64
#define REFUSE_NUMBER(context) ((context)->uc_mcontext.regs[8])
#define REFUSE_RESULT(context) ((context)->uc_mcontext.regs[0])
#define REFUSE_ARGUMENT(context, i) ((context)->uc_mcontext.regs[i])
long refuse_call(long number, const long *arguments);
extern const char refuse_called[];
__asm__("	.text\n"
	"	.globl	refuse_call\n"
	"	.type	refuse_call, %function\n"
	"refuse_call:\n"
	"	mov	x8, x0\n"
	"	mov	x9, x1\n"
	"	ldp	x0, x1, [x9]\n"
	"	ldp	x2, x3, [x9, #16]\n"
	"	ldp	x4, x5, [x9, #32]\n"
	"	svc	#0\n"
	"	.globl	refuse_called\n"
	"refuse_called:\n"
	"	ret\n"
	"	.size	refuse_call, . - refuse_call\n");
#else
#define REFUSE_IS_KNOWN 0
#endif

#if REFUSE_IS_KNOWN
static bool refuse_is_armed;
static unsigned refuse_nr_calls;  /* while armed */
static unsigned refuse_which;     /* the one to refuse, from 1; 0: none */
static const char *refuse_refused; /* what it was */

static const struct refusable *refusable_of(long number)
{
	for (size_t i = 0; i < NR_REFUSABLE; i++)
		if (refusable[i].number == number)
			return &refusable[i];
	return NULL;
}

static void refuse_handle(int signal, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;
	const struct refusable *call = refusable_of(info->si_syscall);
	long arguments[6];

	for (int i = 0; i < 6; i++)
		arguments[i] = REFUSE_ARGUMENT(context, i);
	if (call && refuse_is_armed && ++refuse_nr_calls == refuse_which) {
		refuse_refused = call->name;
		if (call->number == SYS_brk)
			arguments[0] = 0;
		else {
			REFUSE_RESULT(context) = -call->error;
			return;
		}
	}
	REFUSE_RESULT(context) = refuse_call(info->si_syscall, arguments);
}

/* Returns: whether this process is watched from now on. */
static bool refuse_begin(void)
{
	const uint64_t called = (uintptr_t)refuse_called;
	const struct sigaction action = { .sa_sigaction = refuse_handle, .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sock_filter filter[NR_REFUSABLE + 8] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)called, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(called >> 32), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	size_t nr = 6;
	struct sock_fprog program = { .filter = filter };

	for (size_t i = 0; i < NR_REFUSABLE; i++, nr++)
		filter[nr] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refusable[i].number,
							  NR_REFUSABLE - i, 0);
	filter[nr++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[nr++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
	program.len = nr;
	return !sigaction(SIGSYS, &action, NULL) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
#endif

#endif
