/* SPDX-License-Identifier: MIT */
/*
 * Owns the check whether this kernel aborts the critical section of a thread that is preempted and
 * continues on the same CPU. It is for kernels whose version does not tell.
 *
 *	caller                                          neighbour, on the same CPU
 *	begins a critical section, waits in it          sleeps for SLEEP_NS
 *	                                                wakes up, which preempts the caller
 *	                                                turns++, and sleeps again
 *	aborted, and turns has changed: as it must be
 *	sees turns change: two instructions of one
 *	critical section ran on both sides of a
 *	preemption
 *
 * The last case is unmistakable: the neighbour is pinned to the CPU that the critical section saw,
 * and a migration aborts it. An abort may have other causes. So one critical section that was not
 * aborted decides; otherwise MIN_ABORTS that were aborted do.
 *
 * The library may start in a signal handler, before any constructor, or in a process with threads
 * or with much memory. Therefore the neighbour shares the memory, as a copy of the address space
 * may take seconds, and libc does not know it as a thread; the caller gets no signal when it ends,
 * and wait finds it by __WCLONE only. It runs on a stack in the caller's frame and calls the kernel
 * without libc, since it has the caller's thread pointer. The caller keeps its CPU mask, which
 * other threads may read or change meanwhile; the neighbour follows the caller.
 *
 * Nothing is tried where it could do harm: under a system call filter, which may kill, and in a
 * thread of a real-time policy, which the neighbour would never preempt.
 */
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/platform.h"
#include "platform/sys.h"

#define SLEEP_NS 50000L
#define SLICE_NS 100000u /* the least that schedulers grant; a short slice may preempt sooner */
#define LIMIT_NS 250000000L /* reached only on machines that run nothing in time */
#define MIN_ABORTS 5
#define MAX_TURNS 10000     /* a second or two, in case the caller dies */
#define LOOKS_AT_TURNS 20000 /* in a critical section that is not preempted */
#define MAX_CPUS 8192
#define STACK_BYTES 2048


#if defined(__x86_64__) || defined(__aarch64__)

/*
 * The view of a critical section: its CPU, and the turns at its start and at its
 * end. -1: not reached.
 */
struct look {
	int cpu, before, after, is_aborted;
};

#ifdef __x86_64__
#include "platform/check_x86_64.h"
#else
#include "platform/check_aarch64.h"
#endif

/* The kernel's sched_attr; some releases of libc use the name, too. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* On the caller's stack. */
struct neighbour {
	int wanted_cpu; /* written by the caller */
	int cpu;        /* written by the neighbour: where it is pinned; -1: nowhere */
	int turns;      /* written by the neighbour */
	int is_over;    /* written by the caller */
	struct attributes attributes;
	unsigned long mask[MAX_CPUS / 8 / sizeof(unsigned long)];
	char stack[STACK_BYTES] __attribute__((aligned(16)));
};

#define WORD_BITS (8 * sizeof(unsigned long))

static bool pin(struct neighbour *self, unsigned cpu)
{
	bool is_pinned;

	if (cpu >= MAX_CPUS)
		return false;
	self->mask[cpu / WORD_BITS] = 1ul << cpu % WORD_BITS;
	is_pinned = call(SYS_sched_setaffinity, 0, sizeof(self->mask), (long)self->mask) == 0;
	self->mask[cpu / WORD_BITS] = 0;
	return is_pinned;
}

/* The neighbour. No sanitizer, since it is not a thread that they know. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void work_beside(void *arg)
{
	struct neighbour *self = arg;
	struct timespec pause = { .tv_nsec = SLEEP_NS };

	call(SYS_sched_setattr, 0, (long)&self->attributes, 0);
	for (int turn = 1; turn < MAX_TURNS && !__atomic_load_n(&self->is_over, __ATOMIC_RELAXED);
	     turn++) {
		const int cpu = __atomic_load_n(&self->wanted_cpu, __ATOMIC_RELAXED);

		if (cpu != self->cpu) {
			/*
			 * Between the two stores it may be anywhere. Pairs with look,
			 * on the same CPU.
			 */
			__atomic_store_n(&self->cpu, -1, __ATOMIC_RELEASE);
			if (!pin(self, (unsigned)cpu))
				return;
			__atomic_store_n(&self->cpu, cpu, __ATOMIC_RELEASE);
		}
		call(SYS_nanosleep, (long)&pause, 0, 0);
		__atomic_store_n(&self->turns, turn, __ATOMIC_RELAXED);
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	sys_clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* Looks until it has seen enough, or the time is over. */
static enum percpu__aborts watch(struct neighbour *neighbour, char *area)
{
	const uint64_t end = now_ns() + LIMIT_NS;
	const int *cpu_id = (const int *)(area + 4);
	unsigned nr_aborts = 0;

	while (nr_aborts < MIN_ABORTS) {
		struct look at = { -1, -1, -1, 0 };

		__atomic_store_n(&neighbour->wanted_cpu, __atomic_load_n(cpu_id, __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
		look(&at, area, &neighbour->cpu, &neighbour->turns, LOOKS_AT_TURNS);
		if (at.before == -1 || at.cpu == -1)
			; /* the neighbour was elsewhere, or the critical section hardly began */
		else if (!at.is_aborted && at.after != at.before)
			return PERCPU__ABORTS_NOT;
		else if (at.is_aborted &&
			 __atomic_load_n(&neighbour->turns, __ATOMIC_RELAXED) != at.before &&
			 __atomic_load_n(cpu_id, __ATOMIC_RELAXED) == at.cpu)
			nr_aborts++;
		if (now_ns() > end)
			return PERCPU__ABORTS_UNKNOWN;
	}
	return PERCPU__ABORTS;
}

/* A system call filter may kill the caller of a system call that it does not know. */
static bool is_confined(void)
{
	return sys_call(prctl(PR_GET_SECCOMP)) > 0;
}

static bool may_be_preempted(struct attributes *attributes)
{
	return sys_call(syscall(SYS_sched_getattr, 0, attributes, sizeof(*attributes), 0)) == 0 &&
	       (attributes->policy == SCHED_OTHER || attributes->policy == SCHED_BATCH);
}

static enum percpu__aborts check(char *area)
{
	/* No signal at its end, no tracer; the memory is shared, not copied. */
	const unsigned long flags =
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_UNTRACED;
	struct neighbour neighbour = { .cpu = -1, .wanted_cpu = -1 };
	enum percpu__aborts found;
	pid_t pid;

	if (*(int *)(area + 4) < 0 || is_confined() || !may_be_preempted(&neighbour.attributes))
		return PERCPU__ABORTS_UNKNOWN;
	neighbour.attributes.policy = SCHED_OTHER;
	neighbour.attributes.runtime = SLICE_NS;
	neighbour.wanted_cpu = *(int *)(area + 4);
	pid = (pid_t)call_clone(flags, neighbour.stack + STACK_BYTES, work_beside, &neighbour);
	if (pid < 0)
		return PERCPU__ABORTS_UNKNOWN;
	found = watch(&neighbour, area);
	__atomic_store_n(&neighbour.is_over, 1, __ATOMIC_RELAXED);
	while (sys_call(syscall(SYS_wait4, pid, NULL, __WCLONE, NULL)) == -EINTR)
		;
	return found;
}

enum percpu__aborts percpu__rseq_aborts(ptrdiff_t offset)
{
	const uint64_t all = UINT64_MAX;
	enum percpu__aborts found;
	uint64_t mask;

	/*
	 * By the kernel's call: a signal aborts critical sections, too, and libc keeps some signals
	 * out of masks.
	 */
	if (sys_call(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask))) < 0)
		return PERCPU__ABORTS_UNKNOWN;
	found = check(thread_pointer() + offset);
	sys_call(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask)));
	return found;
}

#else

enum percpu__aborts percpu__rseq_aborts(ptrdiff_t offset)
{
	return PERCPU__ABORTS_UNKNOWN;
}

#endif
