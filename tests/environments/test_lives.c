/* SPDX-License-Identifier: MIT */
/*
 * Events in the life of a program: ten thousand signals a second, children of all kinds, threads
 * without an rseq area, an affinity of one CPU and of all again, other namespaces. After each, sums
 * are exact and no object is lost. FORKS is the number of forks beside threads that allocate.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness/harness.h"
#define require ck_assert
#include "ops/modes.h"

#include <percpu/percpu.h>

extern char **environ;

static uint64_t __percpu *count;
static bool over;

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/* ---- signals: every operation, in handlers on top of every operation ---- */

static struct everything {
	uint8_t added8, bits8;
	uint16_t added16;
	uint32_t added32, returned32;
	uint64_t added64, exchanged, compared, fallback;
	bool flag;
} __percpu *everything;
static struct percpu_list __percpu *list;
static struct percpu_list_node nodes[32];
static uint64_t nr_handled, xchg_in, xchg_out;
static struct percpu_counter counter;
static struct percpu_group pair;
static struct percpu_histogram histogram;

static void use_everything(uint64_t number)
{
	struct percpu_list_node *node, *next;

	percpu_inc(&everything->added8);
	percpu_or(&everything->bits8, 0x10);
	percpu_and(&everything->bits8, 0x7f);
	percpu_add(&everything->added16, 3);
	percpu_sub(&everything->added32, 5);
	(void)percpu_add_return(&everything->returned32, 7);
	percpu_dec(&everything->added64);
	percpu_write(&everything->flag, true);
	percpu_fallback_add(&everything->fallback, 3);
	percpu_counter_add(&counter, 5);
	percpu_group_add(&pair, 1, 7);
	percpu_histogram_record(&histogram, number % 1000);
	__atomic_fetch_add(&xchg_in, number, __ATOMIC_RELAXED);
	__atomic_fetch_add(&xchg_out, percpu_xchg(&everything->exchanged, number), __ATOMIC_RELAXED);
	for (;;) {
		const uint64_t seen = percpu_read(&everything->compared);

		if (percpu_cmpxchg(&everything->compared, seen, seen + 1) == seen)
			break;
	}
	node = percpu_list_pop(list);
	if (node)
		percpu_list_push(list, node);
	if (number % 64 == 0)
		for (node = percpu_list_pop_all(list); node; node = next) {
			next = node->next;
			percpu_list_push(list, node);
		}
}

static void handle(int signal)
{
	const int saved_errno = errno;

	use_everything(nr_handled);
	nr_handled++;
	errno = saved_errno;
}

/*
 * percpu_cmpxchg may compare on another CPU than the one where percpu_read read: then the loop
 * tries again.
 */
START_TEST(signals_ten_thousand_times_a_second)
{
	const struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };
	const struct itimerspec often = { { 0, 100000 }, { 0, 100000 } }, never = { .it_value = { 0, 0 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	struct everything sum = { .added8 = 0 };
	static uint64_t buckets[4096];
	struct percpu_histogram_data data = { .counts = buckets };
	uint64_t fields[2];
	const double end = seconds_now() + 1;
	uint64_t nr = 0, left = 0;
	unsigned nr_nodes = 0;
	timer_t timer;

	everything = percpu_new(struct everything);
	list = percpu_new(struct percpu_list);
	ck_assert(!percpu_counter_init(&counter, 0, 0) && !percpu_group_init(&pair, 2));
	ck_assert(!percpu_histogram_init(&histogram, NULL, 1, 1000, 9));
	ck_assert_uint_le(histogram.shape.nr_buckets, sizeof(buckets) / sizeof(buckets[0]));
	for (unsigned i = 0; i < 32; i++)
		percpu_list_push(list, &nodes[i]);
	ck_assert_int_eq(sigaction(SIGUSR2, &action, NULL), 0);
	ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	ck_assert_int_eq(timer_settime(timer, 0, &often, NULL), 0);
	/* Longer if the machine has other work. */
	while (seconds_now() < end || __atomic_load_n(&nr_handled, __ATOMIC_RELAXED) < 1000)
		for (unsigned i = 0; i < 1000; i++)
			use_everything(nr++);
	timer_settime(timer, 0, &never, NULL);
	timer_delete(timer);
	nr += nr_handled;
	percpu_for_each_copy(i) {
		const struct everything *copy = percpu_ptr(everything, i);

		sum.added8 += copy->added8;
		sum.added16 += copy->added16;
		sum.added32 += copy->added32;
		sum.returned32 += copy->returned32;
		sum.added64 += copy->added64;
		sum.compared += copy->compared;
		sum.fallback += copy->fallback;
		left += copy->exchanged;
		ck_assert(copy->bits8 == 0 || copy->bits8 == 0x10);
		for (struct percpu_list_node *node = percpu_ptr(list, i)->head; node; node = node->next)
			nr_nodes++;
	}
	ck_assert_uint_eq(sum.added8, (uint8_t)nr);
	ck_assert_uint_eq(sum.added16, (uint16_t)(3 * nr));
	ck_assert_uint_eq(sum.added32, (uint32_t)(-5 * nr));
	ck_assert_uint_eq(sum.returned32, (uint32_t)(7 * nr));
	ck_assert_uint_eq(sum.added64, -nr);
	ck_assert_uint_eq(sum.compared, nr);
	ck_assert_uint_eq(xchg_out + left, xchg_in);
	ck_assert_uint_eq(nr_nodes, 32);
	ck_assert_uint_eq(sum.fallback, 3 * nr);
	ck_assert_int_eq(percpu_counter_sum(&counter), 5 * nr);
	percpu_group_read(&pair, fields);
	ck_assert(fields[0] == nr && fields[1] == 7 * nr);
	percpu_histogram_read(&histogram, &data);
	ck_assert_uint_eq(data.nr, nr);
}
END_TEST

/* ---- children ---- */

/* Counts until the test is over. Returns: the number of additions. */
static void *keep_counting(void *unused)
{
	uintptr_t nr = 0;

	for (; !__atomic_load_n(&over, __ATOMIC_RELAXED); nr++)
		percpu_inc(count);
	return (void *)nr;
}

static uint64_t end_counting(pthread_t thread)
{
	void *nr;

	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, &nr);
	return (uintptr_t)nr;
}

static void wait_for(pid_t child)
{
	int status;

	ck_assert_int_gt(child, 0);
	ck_assert_int_eq(waitpid(child, &status, __WALL), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}

#define FALLBACK_EACH 1000

/* In a child that runs on this thread's TLS: every operation that is allowed there. */
static void count_into_fallback(void)
{
	for (unsigned i = 0; i < FALLBACK_EACH; i++) {
		percpu_fallback_inc(count);
		percpu_fallback_add(count, 5);
		percpu_fallback_sub(count, 4);
		percpu_fallback_dec(count);
		percpu_fallback_add(count, 1);
	}
}

START_TEST(children_of_vfork)
{
	pthread_t thread;

	count = percpu_new(uint64_t);
	ck_assert_int_eq(pthread_create(&thread, NULL, keep_counting, NULL), 0);
	for (unsigned i = 0; i < 20; i++) {
		const pid_t child = vfork();

		if (!child) {
			count_into_fallback();
			_exit(0);
		}
		wait_for(child);
	}
	ck_assert_uint_eq(end_counting(thread) + 20 * 2 * FALLBACK_EACH, percpu_sum(count));
	ck_assert_uint_eq(*percpu_ptr(count, percpu_nr_copies() - 1), 20 * 2 * FALLBACK_EACH);
}
END_TEST

/* ---- a raw clone, whose thread pointer is its parent's ---- */

static char stack[64 * 1024] __attribute__((aligned(16)));

static int raw_child(void *unused)
{
	count_into_fallback();
	syscall(SYS_exit, 0); /* not exit(), which is for the process */
	return 0;
}

/* Runs beside its parent, which counts with the same TLS. */
START_TEST(raw_clones_that_share_memory)
{
	uint64_t nr = 0;

	count = percpu_new(uint64_t);
	for (unsigned i = 0; i < 20; i++) {
		const pid_t child = clone(raw_child, stack + sizeof(stack), CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, NULL);

		for (unsigned j = 0; j < 20000; j++, nr++)
			percpu_inc(count);
		wait_for(child);
	}
	ck_assert_uint_eq(percpu_sum(count), nr + 20 * 2 * FALLBACK_EACH);
	ck_assert_uint_eq(*percpu_ptr(count, percpu_nr_copies() - 1), 20 * 2 * FALLBACK_EACH);
}
END_TEST

/* Runs this program again as a child, with its argument. */
#define AS_CHILD "--count"

static int count_and_look(void)
{
	uint64_t __percpu *mine = percpu_new(uint64_t);

	for (unsigned i = 0; mine && i < 10000; i++)
		percpu_inc(mine);
	return mine && percpu_sum(mine) == 10000 ? 0 : 1;
}

START_TEST(children_of_posix_spawn)
{
	char *const arguments[] = { "test_lives", AS_CHILD, NULL };
	pthread_t thread;

	count = percpu_new(uint64_t);
	ck_assert_int_eq(pthread_create(&thread, NULL, keep_counting, NULL), 0);
	for (unsigned i = 0; i < 20; i++) {
		pid_t child;

		ck_assert_int_eq(posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
		wait_for(child);
	}
	ck_assert_uint_eq(end_counting(thread), percpu_sum(count));
}
END_TEST

/* ---- threads that allocate ---- */

#define NR_ALLOCATORS 8
#define NR_HELD 16
#define NR_SLOTS 128

static struct percpu_cache *cache;
/* Objects in use, which hold their own address. The thread that swaps one out owns it. */
static uintptr_t *slots[NR_SLOTS];
static bool half_give_up;          /* their rseq areas */

static void renew_object(unsigned turn)
{
	uintptr_t *object = percpu_cache_alloc(cache);

	if (!object)
		abort();
	*object = (uintptr_t)object;
	object = __atomic_exchange_n(&slots[turn % NR_SLOTS], object, __ATOMIC_ACQ_REL);
	if (object && *object != (uintptr_t)object)
		abort();
	if (turn % 5)
		percpu_cache_free(cache, object);
	else
		percpu_cache_free_to(cache, object, turn % percpu_nr_cpus());
}

/* Returns: the number of additions. */
static void *keep_allocating(void *argument)
{
	const unsigned number = (uintptr_t)argument;
	void __percpu *held[NR_HELD] = { NULL };
	uintptr_t turn = 0;

	if (half_give_up && number % 2 && !unregister_rseq())
		abort();
	for (; !__atomic_load_n(&over, __ATOMIC_RELAXED); turn++) {
		percpu_free(held[turn % NR_HELD]);
		held[turn % NR_HELD] = percpu_alloc(8 + (number + turn) % 300, 8);
		if (!held[turn % NR_HELD])
			abort();
		percpu_inc(count);
		renew_object(number + turn);
		if (turn % 64 == 0)
			sched_yield();
	}
	percpu_free_bulk(NR_HELD, held);
	return (void *)turn;
}

static size_t nr_live(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(percpu_pool_stats(NULL, &stats), 0);
	return stats.nr_live;
}

static struct percpu_cache_stats cache_stats(void)
{
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	percpu_cache_stats(cache, &stats);
	return stats;
}

/*
 * Runs the threads beside the caller's work, which is done nr times or for some time; then counts
 * everything.
 */
static void allocate_beside(void (*work)(void), unsigned nr, double seconds)
{
	const double end = seconds_now() + seconds;
	pthread_t threads[NR_ALLOCATORS];
	uint64_t sum = 0, sum_without = 0;
	size_t nr_before;
	void *turns;

	count = percpu_new(uint64_t);
	cache = percpu_cache_create("lives", 48, 0, 0, NULL);
	ck_assert(count && cache);
	nr_before = nr_live();
	for (uintptr_t i = 0; i < NR_ALLOCATORS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, keep_allocating, (void *)i), 0);
	for (unsigned i = 0; i < nr || seconds_now() < end; i++)
		work();
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < NR_ALLOCATORS; i++) {
		pthread_join(threads[i], &turns);
		sum += (uintptr_t)turns;
		sum_without += half_give_up && i % 2 ? (uintptr_t)turns : 0;
	}
	ck_assert_uint_eq(percpu_sum(count), sum);
	if (half_give_up)
		ck_assert_uint_eq(*percpu_ptr(count, percpu_nr_copies() - 1), sum_without);
	ck_assert_uint_eq(nr_live(), nr_before);
	percpu_cache_free_bulk(cache, NR_SLOTS, (void **)slots);
	ck_assert_uint_eq(cache_stats().nr_objects, 0);
	ck_assert_uint_eq(cache_stats().nr_hits + cache_stats().nr_refills, sum);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}

/*
 * In a child: the objects in use are those of the parent, and one that each thread had in hand;
 * without membarrier, also those in magazines.
 */
static int objects_live_on(void)
{
	const bool has_lists = percpu_mode() == PERCPU_MODE_ATOMIC || cache_stats().batch_max > 1;
	const size_t nr_before = cache_stats().nr_objects;
	size_t nr = 0;
	void *fresh[300];

	for (unsigned i = 0; i < NR_SLOTS; i++) {
		if (slots[i] && *slots[i] != (uintptr_t)slots[i])
			return 3;
		nr += !!slots[i];
		percpu_cache_free(cache, slots[i]);
	}
	if (nr_before < nr || (has_lists && nr_before > nr + NR_ALLOCATORS) || cache_stats().nr_objects != nr_before - nr)
		return 4;
	if (percpu_cache_alloc_bulk(cache, 300, fresh))
		return 5;
	percpu_cache_free_bulk(cache, 300, fresh);
	return percpu_cache_destroy(cache) == (nr_before > nr ? -EBUSY : 0) ? 0 : 6;
}

/* The child's memory is that of its parent, and everything works. */
static int live_on(void)
{
	const uint64_t before = percpu_sum(count);
	uint64_t __percpu *fresh = percpu_new_array(uint64_t, 20);

	if (!fresh || percpu_sum(&fresh[19]))
		return 1;
	for (unsigned i = 0; i < 100; i++)
		percpu_inc(count);
	percpu_free(fresh);
	if (percpu_sum(count) != before + 100 || percpu_trim(NULL) < 0)
		return 2;
	return objects_live_on();
}

static void fork_once(void)
{
	const pid_t child = fork();

	if (!child) {
		alarm(PATIENCE_SECONDS); /* in case a lock has lost its holder */
		_exit(live_on());
	}
	wait_for(child);
}

START_TEST(forks_beside_threads_that_allocate)
{
	const char *asked = getenv("FORKS");

	allocate_beside(fork_once, asked ? strtoul(asked, NULL, 10) : 200, 0);
}
END_TEST

static void give_back(void)
{
	ck_assert_int_ge(percpu_cache_shrink(cache), 0);
	ck_assert_int_ge(percpu_trim(NULL), 0);
	sched_yield();
}

START_TEST(threads_in_every_state)
{
	const enum state state = _i;

	if (state == ATOMIC)
		setenv("PERCPU_OPTIONS", "mode:atomic", 1);
	if (state == CPU_TOO_HIGH)
		setenv("PERCPU_OPTIONS", "cpus:1", 1);
	half_give_up = state == UNREGISTERED && percpu_mode() == PERCPU_MODE_RSEQ;
	allocate_beside(give_back, 0, 0.5);
}
END_TEST

/* ---- the thread's own CPUs and names ---- */

START_TEST(one_cpu_and_back)
{
	pthread_t thread;
	cpu_set_t all;
	uint64_t nr = 0;

	count = percpu_new(uint64_t);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, keep_counting, NULL), 0);
	for (unsigned turn = 0; turn < 200; turn++) {
		for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
			cpu_set_t one;

			if (!CPU_ISSET(cpu, &all))
				continue;
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
			ck_assert_int_eq(pthread_setaffinity_np(thread, sizeof(one), &one), 0);
			ck_assert_uint_eq(percpu_this_cpu(), cpu);
			for (unsigned i = 0; i < 100; i++, nr++)
				percpu_inc(count);
		}
		sched_setaffinity(0, sizeof(all), &all);
		pthread_setaffinity_np(thread, sizeof(all), &all);
	}
	nr += end_counting(thread);
	ck_assert_uint_eq(percpu_sum(count), nr);
	ck_assert_uint_eq(*percpu_ptr(count, percpu_nr_copies() - 1), 0);
}
END_TEST

START_TEST(other_namespaces_and_back)
{
	const int before = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

	count = percpu_new(uint64_t);
	percpu_inc(count);
	if (before < 0 || unshare(CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWIPC))
		SKIP("no namespaces for this user");
	percpu_inc(count);
	percpu_free(percpu_alloc(100, 8));
	ck_assert_int_eq(setns(before, CLONE_NEWUTS), 0);
	percpu_inc(count);
	ck_assert_uint_eq(percpu_sum(count), 3);
	close(before);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = { signals_ten_thousand_times_a_second, children_of_posix_spawn,
				       forks_beside_threads_that_allocate, one_cpu_and_back, other_namespaces_and_back,
#if !PERCPU__TSAN
				       children_of_vfork, raw_clones_that_share_memory,
#endif
				       NULL };
	TCase *states = case_of("states");
	Suite *suite;

	if (argc == 2 && !strcmp(argv[1], AS_CHILD))
		return count_and_look();
	if (PERCPU__TSAN)
		printf("# no vfork, which ThreadSanitizer replaces by fork, and no raw clone, which it does not support\n");
	suite = suite_of("environments: lives", tests, 1800);
	tcase_set_timeout(states, 300);
	tcase_add_loop_test(states, threads_in_every_state, 0, NR_STATES);
	suite_add_tcase(suite, states);
	return run_suite(suite);
}
