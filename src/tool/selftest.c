/* SPDX-License-Identifier: MIT */
/*
 * percpu selftest: whether additions of this library stay exact when they are interrupted, by other
 * threads on the same CPU and by signals; whether, that is, this kernel aborts critical sections as
 * it must. Beside it runs a control, which adds by a load and a store: where that loses nothing
 * either, nothing was interrupted in the wrong place, and nothing can be said.
 *
 * Time slices alone preempt too seldom to find a kernel that does not abort: a thread that sleeps,
 * adds and sleeps again preempts the others thousands of times a second.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tool/tool.h"

#ifndef sigev_notify_thread_id /* not in every release of glibc */
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define NR_THREADS 4        /* the last one sleeps most of the time */
#define SLICE_NS 250000000L
#define MIN_SLICES 2
#define MAX_SLICES 20       /* until the control loses something */
#define NAP_NS 50000L
#define SHORT_SLICE_NS 100000
#define SIGNAL_NS 100000L   /* from the end of a handler to the next signal, and up to twice that */

static uint64_t __percpu *counter;
static bool is_over;
static void (*step)(void);

struct adder {
	pthread_t thread;
	timer_t timer;
	bool is_signalled, naps;
	unsigned wait;
	uint64_t steps, signals; /* the thread's own */
};

/*
 * A load and a store on every machine: one instruction that adds to memory is exact on its CPU,
 * aborted or not.
 */
static void add(void)
{
	percpu_add_return(counter, 1);
}

/*
 * Straight on, as a section is: emulators take interrupts where the code branches.
 * It races, and must.
 */
__attribute__((no_sanitize("thread"))) static void add_plainly(void)
{
	volatile uint64_t *copy = percpu_this_ptr(counter);
	const uint64_t seen = *copy;

	__asm__ volatile(".rept 64\n\tnop\n\t.endr");
	*copy = seen + 1;
}

static void arm(struct adder *self)
{
	struct itimerspec when = { .it_value.tv_nsec = SIGNAL_NS };

	self->wait = self->wait * 1103515245 + 12345;
	when.it_value.tv_nsec += self->wait % SIGNAL_NS;
	timer_settime(self->timer, 0, &when, NULL);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	struct adder *self = info->si_value.sival_ptr;

	step();
	self->signals++;
	if (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		arm(self);
}

/*
 * Schedulers let a thread finish its slice, unless the one that wakes up asks for a shorter one;
 * older ones know no such thing.
 */
static void ask_for_short_slices(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes = { .size = 48 };

	if (!syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0)) {
		attributes.runtime = SHORT_SLICE_NS;
		syscall(SYS_sched_setattr, 0, &attributes, 0);
	}
}

static void *napper_main(void *arg)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	struct adder *self = arg;

	ask_for_short_slices();
	for (; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); self->steps++) {
		nanosleep(&nap, NULL);
		step();
	}
	return NULL;
}

static void *adder_main(void *arg)
{
	struct adder *self = arg;
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = SIGUSR1,
				  .sigev_value.sival_ptr = self };
	uint64_t steps = 0;

	event.sigev_notify_thread_id = gettid();
	self->is_signalled =
		self->is_signalled && !timer_create(CLOCK_MONOTONIC, &event, &self->timer);
	if (self->is_signalled)
		arm(self);
	for (; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); steps++)
		step();
	if (self->is_signalled)
		timer_delete(self->timer);
	self->steps = steps;
	return NULL;
}

struct result {
	uint64_t additions, signals, lost;
};

/* Adds for a while in several threads of one CPU, or in one that gets signals. */
static bool run(void (*how)(void), bool by_signals, struct result *result)
{
	const struct timespec slice = { .tv_nsec = SLICE_NS };
	const unsigned nr = by_signals ? 1 : NR_THREADS;
	struct adder adders[NR_THREADS] = { { .is_signalled = by_signals },
					    [NR_THREADS - 1] = { .naps = true } };
	uint64_t additions = 0;
	unsigned started = 0;

	step = how;
	counter = percpu_new(uint64_t);
	if (!counter)
		return false;
	__atomic_store_n(&is_over, false, __ATOMIC_RELAXED);
	while (started < nr &&
	       !pthread_create(&adders[started].thread, NULL,
			       adders[started].naps ? napper_main : adder_main, &adders[started]))
		started++;
	nanosleep(&slice, NULL);
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < started; i++) {
		pthread_join(adders[i].thread, NULL);
		additions += adders[i].steps + adders[i].signals;
		result->signals += adders[i].signals;
	}
	result->additions += additions;
	result->lost += additions - percpu_sum(counter);
	percpu_free(counter);
	return started == nr;
}

/* All threads that are made from now on share the CPU that this one is on. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(percpu_this_cpu(), &here);
	sched_setaffinity(0, sizeof(here), &here);
}

enum verdict { EXACT, LOST, UNKNOWN };

static enum verdict race(const char *by_what, bool by_signals)
{
	struct result ours = { 0 }, control = { 0 };

	for (unsigned i = 0; i < MIN_SLICES || (i < MAX_SLICES && !control.lost); i++)
		if (!run(add_plainly, by_signals, &control) || !run(add, by_signals, &ours))
			return UNKNOWN;
	printf("%-12s%ju additions", by_what, (uintmax_t)ours.additions);
	if (by_signals)
		printf(", %ju signals", (uintmax_t)ours.signals);
	printf(", %ju lost; of %ju plain ones %ju\n", (uintmax_t)ours.lost,
	       (uintmax_t)control.additions, (uintmax_t)control.lost);
	return ours.lost ? LOST : control.lost ? EXACT : UNKNOWN;
}

int command_selftest(const struct options *options)
{
	const struct sigaction action = { .sa_sigaction = on_signal,
					  .sa_flags = SA_RESTART | SA_SIGINFO };
	const bool by_rseq = percpu_mode() == PERCPU_MODE_RSEQ;
	const struct rseq_facts rseq = rseq_facts();
	enum verdict preempted, signalled;

	printf("%-12s%s: %s\n", "mode", by_rseq ? "rseq" : "atomic", percpu_mode_reason());
	printf("%-12s", "rseq");
	put_rseq(&rseq);
	stay_here();
	sigaction(SIGUSR1, &action, NULL);
	preempted = race("preemption", false);
	signalled = race("signals", true);
	fflush(stdout);
	if (preempted == LOST || signalled == LOST)
		return complain(by_rseq ? "this kernel does not abort critical sections: set "
					  "PERCPU_OPTIONS=mode:atomic"
					: "atomic additions were lost");
	if (preempted == UNKNOWN || signalled == UNKNOWN)
		return complain("nothing was interrupted where it matters: nothing can be said of "
				"this machine");
	puts(by_rseq ? "This kernel aborts critical sections." : "Atomic additions are exact.");
	return STATUS_OK;
}
