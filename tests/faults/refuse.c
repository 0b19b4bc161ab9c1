/* SPDX-License-Identifier: MIT */
/*
 * Owns the refusal of calls. A seccomp filter turns the system calls that libraries make for memory
 * and files into SIGSYS. The signal handler counts them, refuses one, and makes the others itself,
 * from the only instruction that the filter allows. This affects every caller in the process: the
 * library as it is installed, libnuma and malloc. malloc itself is replaced by a wrapper around
 * glibc's.
 */
#include "faults/refuse.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* AddressSanitizer's malloc returns NULL when it has no memory, instead of ending the process. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

#if REFUSE_IS_KNOWN
static const struct refusable {
	int number;
	int error; /* one that the kernel gives for this call */
	const char *name;
	bool lets_go; /* gives memory back; so does brk, which malloc avoids once it failed */
} refusable[] = {
	{ SYS_mmap, ENOMEM, "mmap", false },
	{ SYS_munmap, ENOMEM, "munmap", true },
	{ SYS_mprotect, ENOMEM, "mprotect", false },
	{ SYS_mremap, ENOMEM, "mremap", false },
	{ SYS_brk, 0, "brk", true }, /* returns the unchanged end of the heap if it fails */
	{ SYS_madvise, EINVAL, "madvise", false },
	{ SYS_mincore, ENOSYS, "mincore", false },
	{ SYS_mbind, EPERM, "mbind", false },
	{ SYS_get_mempolicy, EPERM, "get_mempolicy", false }, /* as in containers */
	{ SYS_move_pages, EPERM, "move_pages", false },
	{ SYS_membarrier, EPERM, "membarrier", false },
	{ SYS_openat, EACCES, "openat", false },
	{ SYS_read, EIO, "read", false },
	{ SYS_pread64, EIO, "pread64", false },
	{ SYS_lseek, EINVAL, "lseek", false },
	{ SYS_readlinkat, EACCES, "readlinkat", false },
	{ SYS_getdents64, EIO, "getdents64", false },
	{ SYS_ioctl, ENOTTY, "ioctl", false },
	{ SYS_sched_getaffinity, EPERM, "sched_getaffinity", false },
	{ SYS_pidfd_open, ENOSYS, "pidfd_open", false },
	{ SYS_memfd_create, EMFILE, "memfd_create", false },
	{ SYS_ftruncate, ENOSPC, "ftruncate", false },
	{ SYS_fallocate, ENOSPC, "fallocate", false },
	{ SYS_fcntl, EPERM, "fcntl", false },
};
#define NR_REFUSABLE (sizeof(refusable) / sizeof(refusable[0]))

#if defined(__x86_64__)
#define REFUSE_ARCH AUDIT_ARCH_X86_64
#define REFUSE_NUMBER(context) ((context)->uc_mcontext.gregs[REG_RAX])
#define REFUSE_RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#define REFUSE_ARGUMENT(context, i)                                                         \
	((context)->uc_mcontext.gregs[(const int[]){ REG_RDI, REG_RSI, REG_RDX,          \
						     REG_R10, REG_R8, REG_R9 }[i]])
long refuse_call(long number, const long *arguments);
extern const char refuse_called[]; /* the address after its system call */
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
#endif

bool refuse_is_armed, refuse_lets_go, refuse_spares_malloc;
unsigned refuse_nr_calls, refuse_which;
const char *refuse_refused;
long refuse_nr_blocks;

/* Counts a call. Returns: true if it is the one to refuse. */
static bool is_refused(const char *name)
{
	if (!refuse_is_armed || ++refuse_nr_calls != refuse_which)
		return false;
	refuse_refused = name;
	return true;
}

/*
 * Returns: true if the call was refused before and a real filter would refuse it ever after. The
 * library repeats these calls: membarrier is tried a second time, and get_mempolicy is called for
 * every page.
 */
static bool stays_refused(const struct refusable *call)
{
	return refuse_is_armed && refuse_refused == call->name &&
	       (call->number == SYS_membarrier || call->number == SYS_get_mempolicy);
}

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
	if (call && !(refuse_lets_go && call->lets_go) &&
	    (is_refused(call->name) || stays_refused(call))) {
		if (call->number != SYS_brk) {
			REFUSE_RESULT(context) = -call->error;
			return;
		}
		arguments[0] = 0;
	}
	REFUSE_RESULT(context) = refuse_call(info->si_syscall, arguments);
}

bool refuse_begin(void)
{
	const uint64_t called = (uintptr_t)refuse_called;
	const struct sigaction action = {
		.sa_sigaction = refuse_handle, .sa_flags = SA_SIGINFO | SA_NODEFER,
	};
	const uint32_t address = offsetof(struct seccomp_data, instruction_pointer);
	struct sock_filter filter[NR_REFUSABLE + 8] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, address),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)called, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, address + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(called >> 32), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	size_t nr = 6;
	struct sock_fprog program = { .filter = filter };

	for (size_t i = 0; i < NR_REFUSABLE; i++, nr++)
		filter[nr] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							  refusable[i].number,
							  NR_REFUSABLE - i, 0);
	filter[nr++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[nr++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
	program.len = nr;
	return !sigaction(SIGSYS, &action, NULL) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* ---- malloc ---- */

/* Not with sanitizers and other libcs, which have another malloc. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_OTHER_MALLOC
#endif
#endif
#if defined(__GLIBC__) && !defined(HAS_OTHER_MALLOC) && !defined(__SANITIZE_ADDRESS__) && \
	!defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t nr, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);
void __libc_free(void *block);

static void *count_block(void *block)
{
	refuse_nr_blocks += block != NULL;
	return block;
}

static bool is_block_refused(const char *name)
{
	if (refuse_spares_malloc || !is_refused(name))
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t bytes)
{
	return is_block_refused("malloc") ? NULL : count_block(__libc_malloc(bytes));
}

void *calloc(size_t nr, size_t bytes)
{
	return is_block_refused("calloc") ? NULL : count_block(__libc_calloc(nr, bytes));
}

void *realloc(void *block, size_t bytes)
{
	if (is_block_refused("realloc"))
		return NULL;
	return block ? __libc_realloc(block, bytes) : count_block(__libc_realloc(block, bytes));
}

void *aligned_alloc(size_t align, size_t bytes)
{
	if (is_block_refused("aligned_alloc"))
		return NULL;
	return count_block(__libc_memalign(align, bytes));
}

int posix_memalign(void **block, size_t align, size_t bytes)
{
	*block = aligned_alloc(align, bytes);
	return *block ? 0 : ENOMEM;
}

void free(void *block)
{
	refuse_nr_blocks -= block != NULL;
	__libc_free(block);
}
#endif
#endif
