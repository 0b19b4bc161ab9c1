/* SPDX-License-Identifier: MIT */
/*
 * The check whether this kernel aborts rseq critical sections. It runs on libc's rseq areas, and on
 * an area that is not registered, which simulates a kernel without aborts. Other tests: the check
 * restores all that it changes, and is not tried where it might do harm.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/rseq.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness/harness.h"
#include "platform/platform.h"

#define NR_TRIES 200 /* on a loaded machine a single check may not get a result */
#define NR_THREADS 4

#if defined(__x86_64__) || defined(__aarch64__)

static char *thread_pointer(void)
{
	char *pointer;

#ifdef __x86_64__
	__asm__("movq	%%fs:0, %0" : "=r"(pointer));
#else
	__asm__("mrs	%0, tpidr_el0" : "=r"(pointer));
#endif
	return pointer;
}

/* Returns: NULL, or the reason why the check is not tried here. */
static const char *is_not_tried(void)
{
	return prctl(PR_GET_SECCOMP) > 0 ? "there is a filter of system calls" : NULL;
}

/* Returns: NULL, or the reason why libc's areas are of no use here. */
static const char *has_no_aborts(void)
{
	ptrdiff_t offset;

	if (percpu__rseq_find(&offset) != PERCPU__RSEQ_USABLE)
		return "libc registers no rseq";
	if (percpu__rseq_judge(offset, true) != PERCPU__RSEQ_USABLE)
		return "the kernel is doubtful";
	return is_not_tried();
}

static ptrdiff_t libc_offset(void)
{
	ptrdiff_t offset;

	percpu__rseq_find(&offset);
	return offset;
}

static enum percpu__aborts check(ptrdiff_t offset)
{
	enum percpu__aborts found = PERCPU__ABORTS_UNKNOWN;

	for (unsigned i = 0; i < NR_TRIES && found == PERCPU__ABORTS_UNKNOWN; i++)
		found = percpu__rseq_aborts(offset);
	return found;
}

START_TEST(aborts_are_seen)
{
	SKIP_IF(has_no_aborts());
	ck_assert_int_eq(check(libc_offset()), PERCPU__ABORTS);
}
END_TEST

/* The kernel does not know this area, so it never aborts its critical sections. */
static struct rseq unregistered __attribute__((aligned(32)));

static ptrdiff_t pinned_to_unregistered(void)
{
	cpu_set_t here;

	unregistered.cpu_id = percpu__getcpu();
	CPU_ZERO(&here);
	CPU_SET(unregistered.cpu_id, &here);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(here), &here), 0);
	return (char *)&unregistered - thread_pointer();
}

START_TEST(missing_aborts_are_seen)
{
	const ptrdiff_t offset = pinned_to_unregistered();

	SKIP_IF(is_not_tried());
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(check(offset), PERCPU__ABORTS_NOT);
	ck_assert_uint_eq(unregistered.rseq_cs, 0);
}
END_TEST

START_TEST(a_thread_without_an_area_is_not_checked)
{
	const ptrdiff_t offset = pinned_to_unregistered();

	unregistered.cpu_id = (uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED;
	ck_assert_int_eq(percpu__rseq_aborts(offset), PERCPU__ABORTS_UNKNOWN);
	unregistered.cpu_id = (uint32_t)RSEQ_CPU_ID_UNINITIALIZED;
	ck_assert_int_eq(percpu__rseq_aborts(offset), PERCPU__ABORTS_UNKNOWN);
	ck_assert_uint_eq(unregistered.rseq_cs, 0);
}
END_TEST

static unsigned nr_signals;

static void on_child(int signal)
{
	nr_signals++;
}

START_TEST(mask_affinity_errno_and_children_are_restored)
{
	const ptrdiff_t offset = pinned_to_unregistered();
	sigset_t mask, same;
	cpu_set_t cpus, same_cpus;

	SKIP_IF(is_not_tried());
	signal(SIGCHLD, on_child);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	errno = 77;
	check(offset);
	ck_assert_int_eq(errno, 77);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &same), 0);
	ck_assert_mem_eq(&mask, &same, 8);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(same_cpus), &same_cpus), 0);
	ck_assert(CPU_EQUAL(&cpus, &same_cpus));
	ck_assert_uint_eq(nr_signals, 0);
	ck_assert_int_eq(waitpid(-1, NULL, __WALL | WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

/* ---- contexts in which the library may start ---- */

static enum percpu__aborts seen_by_handler;

static void on_signal(int signal)
{
	seen_by_handler = check(libc_offset());
}

START_TEST(a_signal_handler_may_check)
{
	SKIP_IF(has_no_aborts());
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	ck_assert_int_eq(seen_by_handler, PERCPU__ABORTS);
}
END_TEST

static void *check_in_thread(void *arg)
{
	return (void *)(uintptr_t)check(libc_offset());
}

START_TEST(several_threads_may_check)
{
	pthread_t threads[NR_THREADS];
	void *found;

	SKIP_IF(has_no_aborts());
	for (int i = 0; i < NR_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, check_in_thread, NULL), 0);
	for (int i = 0; i < NR_THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &found), 0);
		ck_assert_int_eq((uintptr_t)found, PERCPU__ABORTS);
	}
}
END_TEST

/* ---- contexts in which the check is not tried ---- */

enum { UNKNOWN_AT_ONCE, NOT_AVAILABLE, OTHER };

/* Runs a function in a child, because its changes to the process cannot be undone. */
static int in_child(int (*say)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(say());
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status), "status %x", status);
	return WEXITSTATUS(status);
}

static int check_once(void)
{
	if (percpu__rseq_aborts(pinned_to_unregistered()) != PERCPU__ABORTS_UNKNOWN)
		return OTHER;
	return unregistered.rseq_cs ? OTHER : UNKNOWN_AT_ONCE;
}

static int check_under_filter(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { sizeof(rules) / sizeof(rules[0]), rules };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		return NOT_AVAILABLE;
	return check_once();
}

/*
 * Under a seccomp filter the check clones no thread, because the filter may kill the process for
 * it.
 */
START_TEST(not_tried_under_a_seccomp_filter)
{
	ck_assert_int_ne(in_child(check_under_filter), OTHER);
}
END_TEST

static int check_in_real_time(void)
{
	const struct sched_param priority = { .sched_priority = 1 };

	return sched_setscheduler(0, SCHED_FIFO, &priority) ? NOT_AVAILABLE : check_once();
}

START_TEST(not_tried_in_a_real_time_thread)
{
	ck_assert_int_ne(in_child(check_in_real_time), OTHER);
}
END_TEST

TEST_MAIN("abort", 120, aborts_are_seen, missing_aborts_are_seen,
	  a_thread_without_an_area_is_not_checked, mask_affinity_errno_and_children_are_restored,
	  a_signal_handler_may_check, several_threads_may_check, not_tried_under_a_seccomp_filter,
	  not_tried_in_a_real_time_thread)

#else

START_TEST(other_architectures_are_unknown)
{
	ck_assert_int_eq(percpu__rseq_aborts(0), PERCPU__ABORTS_UNKNOWN);
}
END_TEST
TEST_MAIN("abort", 30, other_architectures_are_unknown)

#endif
