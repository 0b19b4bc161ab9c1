/* SPDX-License-Identifier: MIT */
/*
 * Interrupts as many operations as possible on a slow machine. Threads do nothing but operations,
 * each with a timer whose signal handler does the same, on CPUs that they share and change.
 * Emulators run thousands of steps where processors run millions; here most instructions are in a
 * critical section.
 *
 * A thread that lost its CPU for a time slice has a signal pending when it continues, and signals
 * abort critical sections, too. So there are also sleepers: they wake up, do one step and sleep
 * again, and the thread that they preempted continues on the same CPU, with nothing but the
 * preemption to abort its critical section.
 */
#include "harness/harness.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <percpu/percpu.h>

#ifndef sigev_notify_thread_id /* not in every release of glibc */
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define NR_THREADS 4
#define NR_SLEEPERS 2 /* one on each of two CPUs */
#define SLEEP_NS 100000
#define SLICE_NS 100000
#define RACE_SECONDS 5 /* at least; longer on a slow machine */
#define RACE_SECONDS_MAX 60
#define CONTROL_SECONDS 300 /* at most */
#define MIN_SIGNALS 100
#define ENOUGH_TURNS 1500 /* of sleepers */
#define MIN_TURNS 100     /* on a machine that is too slow for more */

struct racer {
	pthread_t thread;
	timer_t timer;
	uint64_t steps, signals; /* of the thread; of a sleeper: its turns, one step each */
	unsigned wait;           /* until the next signal; used by the handler alone */
};

static struct racer racers[NR_THREADS], sleepers[NR_SLEEPERS];
static void (*step)(void), (*step_in_handler)(void);
static bool is_over;
static cpu_set_t all;

/* Each signal arms the timer for the next one, so that the thread makes steps in between. */
static void arm(struct racer *self)
{
	struct itimerspec when = { .it_value.tv_nsec = 1 };

	self->wait = self->wait * 1103515245 + 12345;
	when.it_value.tv_nsec = 200000 + self->wait % 1000000;
	timer_settime(self->timer, 0, &when, NULL);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	struct racer *self = info->si_value.sival_ptr;

	step_in_handler();
	__atomic_store_n(&self->signals, self->signals + 1, __ATOMIC_RELAXED);
	if (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		arm(self);
}

static void *run_racer(void *argument)
{
	struct racer *self = argument;
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1, .sigev_value.sival_ptr = self };
	uint64_t steps = 0;

	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, &self->timer))
		abort();
	arm(self);
	for (; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); steps++)
		step();
	timer_delete(self->timer);
	self->steps = steps;
	return NULL;
}

/*
 * A scheduler lets a thread finish its slice unless the woken thread asks for a shorter one; old
 * kernels reject that request.
 */
static void ask_for_short_slices(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes = { .size = 48, .runtime = SLICE_NS };

	syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static void *run_sleeper(void *argument)
{
	const struct timespec pause = { .tv_nsec = SLEEP_NS };
	struct racer *self = argument;

	ask_for_short_slices();
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		nanosleep(&pause, NULL);
		step();
		__atomic_store_n(&self->steps, self->steps + 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void move_thread(pthread_t thread, unsigned nth)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	nth %= (unsigned)CPU_COUNT(&all);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all) && !nth--)
			CPU_SET(cpu, &one);
	pthread_setaffinity_np(thread, sizeof(one), &one);
}

static bool is_long_enough(time_t start)
{
	const time_t seconds = time(NULL) - start;
	uint64_t signals = 0, turns = 0;

	for (unsigned i = 0; i < NR_THREADS; i++)
		signals += __atomic_load_n(&racers[i].signals, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < NR_SLEEPERS; i++)
		turns += __atomic_load_n(&sleepers[i].steps, __ATOMIC_RELAXED);
	return seconds >= RACE_SECONDS_MAX || (seconds >= RACE_SECONDS && signals >= MIN_SIGNALS && turns >= ENOUGH_TURNS);
}

static void start(struct racer *racer, void *run(void *))
{
	ck_assert(!pthread_create(&racer->thread, NULL, run, racer));
}

static uint64_t stop(struct racer *racer)
{
	ck_assert(!pthread_join(racer->thread, NULL));
	return racer->steps;
}

/* Returns: the steps of all threads; *signals: those of their handlers. */
static uint64_t race(void (*main_step)(void), void (*handler_step)(void), uint64_t *signals)
{
	const struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO };
	const time_t began = time(NULL);
	uint64_t steps = 0, turns = 0;

	ck_assert(!sched_getaffinity(0, sizeof(all), &all));
	ck_assert(!sigaction(SIGUSR1, &action, NULL));
	step = main_step;
	step_in_handler = handler_step;
	is_over = false;
	memset(racers, 0, sizeof(racers));
	memset(sleepers, 0, sizeof(sleepers));
	for (unsigned i = 0; i < NR_THREADS; i++) {
		racers[i].wait = i;
		start(&racers[i], run_racer);
	}
	for (unsigned i = 0; i < NR_SLEEPERS; i++)
		start(&sleepers[i], run_sleeper);
	/* Two racers and a sleeper on each of two CPUs, which change. */
	for (unsigned turn = 0; !is_long_enough(began); turn++) {
		move_thread(racers[turn % NR_THREADS].thread, turn / 16 + turn % 2);
		move_thread(sleepers[turn % NR_SLEEPERS].thread, turn / 16 + turn % 2);
		usleep(5000);
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	*signals = 0;
	for (unsigned i = 0; i < NR_THREADS; i++) {
		steps += stop(&racers[i]);
		*signals += racers[i].signals;
	}
	for (unsigned i = 0; i < NR_SLEEPERS; i++)
		turns += stop(&sleepers[i]);
	printf("# %llu steps, %llu in handlers, %llu of sleepers\n", (unsigned long long)steps, (unsigned long long)*signals,
	       (unsigned long long)turns);
	fflush(stdout);
	ck_assert_uint_ge(*signals, MIN_SIGNALS);
	ck_assert_uint_ge(turns, MIN_TURNS);
	return steps + turns;
}

/* ---- counters ---- */

static uint64_t __percpu *counter;

static void count(void)
{
	percpu_add_return(counter, 1);
}

static void count_plainly(void)
{
	volatile uint64_t *copy = percpu_this_ptr(counter);
	const uint64_t seen = *copy;

	*copy = seen + 1;
}

static bool counts(void (*with)(void))
{
	uint64_t signals, steps;

	counter = percpu_new(uint64_t);
	steps = race(with, with, &signals);
	return percpu_sum(counter) == steps + signals;
}

START_TEST(counters_are_exact)
{
	ck_assert(counts(count));
}
END_TEST

START_TEST(control_of_counters_loses_some)
{
	const time_t end = time(NULL) + CONTROL_SECONDS;
	bool lost = false;

	while (!lost && time(NULL) < end)
		lost = !counts(count_plainly);
	ck_assert_msg(lost, "plain additions lost nothing: this race proves nothing");
}
END_TEST

/* ---- lists: an interrupted thread finds the same first node in front of another ---- */

#define NR_NODES 8 /* for each CPU */
static struct percpu_list_node nodes[CPU_SETSIZE * NR_NODES];
static struct percpu_list __percpu *list;
static unsigned nr_nodes;

static void push_plainly(struct percpu_list_node *node)
{
	struct percpu_list_node *volatile *head = &percpu_this_ptr(list)->head;

	node->next = *head;
	*head = node;
}

static struct percpu_list_node *pop_plainly(void)
{
	struct percpu_list_node *volatile *head = &percpu_this_ptr(list)->head;
	struct percpu_list_node *node = *head;

	if (node)
		*head = node->next;
	return node;
}

static void push(struct percpu_list_node *node)
{
	percpu_list_push(list, node);
}

static struct percpu_list_node *pop(void)
{
	return percpu_list_pop(list);
}

#define DEFINE_STEPS(suffix)                                                                                 \
	static void turn_over##suffix(void)                                                                  \
	{                                                                                                    \
		struct percpu_list_node *node = pop##suffix();                                               \
                                                                                                             \
		if (node)                                                                                    \
			push##suffix(node);                                                                  \
	}                                                                                                    \
	static void exchange##suffix(void)                                                                   \
	{                                                                                                    \
		struct percpu_list_node *first = pop##suffix(), *second = pop##suffix();                     \
                                                                                                             \
		if (first)                                                                                   \
			push##suffix(first);                                                                 \
		if (second)                                                                                  \
			push##suffix(second);                                                                \
	}
DEFINE_STEPS()
DEFINE_STEPS(_plainly)

/* A corrupted list has a cycle, or has lost nodes. */
static bool lists_hold(void (*main_step)(void), void (*handler_step)(void))
{
	uint64_t signals;
	unsigned nr = 0;

	list = percpu_new(struct percpu_list);
	nr_nodes = (unsigned)sysconf(_SC_NPROCESSORS_ONLN) * NR_NODES;
	memset(nodes, 0, sizeof(nodes));
	for (unsigned i = 0; i < nr_nodes; i++) {
		struct percpu_list *copy = percpu_ptr(list, i / NR_NODES % percpu_nr_cpus());

		nodes[i].next = copy->head;
		copy->head = &nodes[i];
	}
	race(main_step, handler_step, &signals);
	percpu_for_each_copy(i)
		for (struct percpu_list_node *node = percpu_ptr(list, i)->head; node && nr <= nr_nodes; node = node->next)
			nr++;
	return nr == nr_nodes;
}

START_TEST(lists_keep_their_nodes)
{
	ck_assert(lists_hold(turn_over, exchange));
}
END_TEST

START_TEST(control_of_lists_loses_some)
{
	const time_t end = time(NULL) + CONTROL_SECONDS;
	bool lost = false;

	while (!lost && time(NULL) < end)
		lost = !lists_hold(turn_over_plainly, exchange_plainly);
	ck_assert_msg(lost, "plain lists lost nothing: this race proves nothing");
}
END_TEST

TEST_MAIN("vm/race", 150, control_of_counters_loses_some, counters_are_exact, control_of_lists_loses_some,
	  lists_keep_their_nodes)
