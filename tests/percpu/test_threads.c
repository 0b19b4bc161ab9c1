/* SPDX-License-Identifier: MIT */
/* Threads that allocate, free, trim, fork and exit at the same time lose no area and no count. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "harness/harness.h"
#include "percpu/world.h"

#define NR_THREADS 4

static atomic_bool stop;
static atomic_uint wrong;

PERCPU_DEFINE(uint64_t, static_counter);

/* Returns: the number of live areas without the variable above. */
static size_t nr_live(void)
{
	return stats_of(NULL).nr_live - 1;
}

static pthread_t started(void *(*function)(void *), uintptr_t arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, function, (void *)arg), 0);
	return thread;
}

/* ---- areas change hands: threads swap areas in boxes for new ones, check and free them ---- */

#define NR_BOXES 256

static _Atomic(char *) box[NR_BOXES];

/* Writes an area's address at the start of its first copy and at the end of its last copy. */
static void sign(char *p, size_t size)
{
	*(char **)percpu_ptr(p, 0) = p;
	*(char **)(percpu_ptr(p, percpu_nr_copies() - 1) + size - sizeof(p)) = p;
}

static bool is_signed(char *p)
{
	const size_t size = percpu_usable_size(p);

	return *(char **)percpu_ptr(p, 0) == p &&
	       *(char **)(percpu_ptr(p, percpu_nr_copies() - 1) + size - sizeof(p)) == p;
}

static void *swap_boxes(void *arg)
{
	uint64_t state = UINT64_C(0x9e3779b97f4a7c15) * ((uintptr_t)arg + 1);

	for (unsigned i = 0; !atomic_load(&stop) && i < 50000; i++) {
		const size_t size = 8 + 8 * (chance(&state) % (chance(&state) % 16 ? 12 : 600));
		char *p = percpu_alloc(size, 8), *old;

		if (!p || !is_zero_copy(p, size, 0) ||
		    !is_zero_copy(p, size, percpu_nr_copies() - 1) ||
		    !is_zero_copy(p, size, chance(&state) % percpu_nr_copies())) {
			wrong++;
			break;
		}
		sign(p, size);
		old = atomic_exchange(&box[chance(&state) % NR_BOXES], p);
		if (old && !is_signed(old)) {
			wrong++;
			break;
		}
		percpu_free(old);
	}
	return NULL;
}

static void *trim_often(void *arg)
{
	while (!atomic_load(&stop)) {
		wrong += percpu_trim(NULL) < 0;
		usleep(100);
	}
	return NULL;
}

static void *read_statistics(void *arg)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	while (!atomic_load(&stop)) {
		wrong += percpu_pool_stats(NULL, &stats) < 0;
		usleep(100);
	}
	return NULL;
}

/* Moves the swapping threads from CPU to CPU. */
static pthread_t storm_target[NR_THREADS];

static void *move_threads(void *arg)
{
	cpu_set_t all, one;
	uint64_t state = 99;

	sched_getaffinity(0, sizeof(all), &all);
	while (!atomic_load(&stop)) {
		const unsigned cpu = chance(&state) % CPU_SETSIZE % sysconf(_SC_NPROCESSORS_CONF);

		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(storm_target[chance(&state) % NR_THREADS], sizeof(one),
				       &one);
		usleep(50);
	}
	return NULL;
}

static void swap_among(void *(*const *others)(void *), unsigned nr_others)
{
	pthread_t other[4];

	for (uintptr_t i = 0; i < NR_THREADS; i++)
		storm_target[i] = started(swap_boxes, i);
	for (unsigned i = 0; i < nr_others; i++)
		other[i] = started(others[i], 0);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(storm_target[i], NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < nr_others; i++)
		pthread_join(other[i], NULL);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	for (int i = 0; i < NR_BOXES; i++) {
		ck_assert(!box[i] || is_signed(box[i]));
		percpu_free(box[i]);
	}
	ck_assert_int_ge(percpu_trim(NULL), 0);
	ck_assert_uint_eq(nr_live(), 0);
	ck_assert_uint_eq(stats_of(NULL).used_page_bytes, 4096);
}

START_TEST(areas_change_hands)
{
	swap_among(NULL, 0);
}
END_TEST

START_TEST(areas_change_hands_during_trim_and_statistics)
{
	static void *(*const others[])(void *) = { trim_often, read_statistics };

	swap_among(others, 2);
}
END_TEST

START_TEST(areas_change_hands_in_an_affinity_storm)
{
	static void *(*const others[])(void *) = { move_threads };

	swap_among(others, 1);
}
END_TEST

/* Frees the areas that another thread allocates. */
static void *free_from_boxes(void *arg)
{
	for (unsigned freed = 0; freed < 100000;) {
		char *p = atomic_exchange(&box[freed % NR_BOXES], NULL);

		if (!p) {
			sched_yield();
			continue;
		}
		wrong += !is_signed(p);
		percpu_free(p);
		freed++;
	}
	return NULL;
}

START_TEST(one_allocates_another_frees)
{
	pthread_t other = started(free_from_boxes, 0);

	for (unsigned made = 0; made < 100000; made++) {
		char *p = percpu_alloc(48, 8), *expected;

		ck_assert_ptr_nonnull(p);
		ck_assert(is_zero_copy(p, 48, 0) && is_zero_copy(p, 48, percpu_nr_copies() - 1));
		sign(p, 48);
		for (expected = NULL;
		     !atomic_compare_exchange_strong(&box[made % NR_BOXES], &expected, p);
		     expected = NULL)
			sched_yield();
	}
	pthread_join(other, NULL);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	ck_assert_uint_eq(nr_live(), 0);
	ck_assert_uint_le(stats_of(NULL).nr_chunks, 2);
}
END_TEST

/* ---- bulk and pools ---- */

static struct percpu_pool *shared_pool;

static void *bulk_and_pool(void *arg)
{
	uint64_t state = (uintptr_t)arg + 17;
	void *p[70];

	for (int round = 0; round < 300; round++) {
		const size_t size = 8 + 8 * (chance(&state) % 20);
		char *q = percpu_pool_alloc(shared_pool, 3000, 8);

		if (!q || percpu_alloc_bulk(size, 8, 70, p)) {
			wrong++;
			break;
		}
		sign(q, 3000);
		for (int i = 0; i < 70; i++) {
			wrong += !is_zero_copy(p[i], size, 0) ||
				 !is_zero_copy(p[i], size, percpu_nr_copies() - 1);
			sign(p[i], size);
		}
		for (int i = 0; i < 70; i++)
			wrong += !is_signed(p[i]);
		wrong += !is_signed(q);
		for (int i = 0; i < 20; i++) {
			percpu_free(p[i]);
			p[i] = NULL;
		}
		percpu_free_bulk(70, p);
		percpu_free(q);
	}
	return NULL;
}

START_TEST(bulk_and_pools_among_threads)
{
	pthread_t thread[NR_THREADS];

	shared_pool = percpu_pool_create("shared", NULL);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		thread[i] = started(bulk_and_pool, i);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	ck_assert_uint_eq(nr_live(), 0);
	ck_assert_int_eq(percpu_pool_destroy(shared_pool), 0);
}
END_TEST

static void *make_pools(void *arg)
{
	for (int round = 0; round < 100; round++) {
		struct percpu_pool *pool = percpu_pool_create("short", NULL);
		void *p = percpu_pool_alloc(pool, 100, 8);

		wrong += !p || percpu_pool_destroy(pool) != -EBUSY;
		percpu_free(p);
		wrong += percpu_pool_destroy(pool) != 0;
	}
	return NULL;
}

START_TEST(pools_come_and_go_among_threads)
{
	pthread_t thread[NR_THREADS], other = started(trim_often, 0);

	for (uintptr_t i = 0; i < NR_THREADS; i++)
		thread[i] = started(make_pools, i);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(thread[i], NULL);
	atomic_store(&stop, true);
	pthread_join(other, NULL);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
}
END_TEST

/* ---- fork ---- */

static void *allocate_and_free(void *arg)
{
	uint64_t state = (uintptr_t)arg + 5;
	char *p[32] = { NULL };

	while (!atomic_load(&stop)) {
		const unsigned at = chance(&state) % 32;
		const size_t size = 8 + 8 * (chance(&state) % 30);

		wrong += p[at] && !is_signed(p[at]);
		percpu_free(p[at]);
		p[at] = percpu_alloc(size, 8);
		wrong += !p[at] || !is_zero_copy(p[at], size, 0);
		sign(p[at], size);
	}
	for (int i = 0; i < 32; i++)
		percpu_free(p[i]);
	return NULL;
}

/* Exits with 0, or with the number of the check that failed. */
static void run_child(char *mine)
{
	uint64_t state = getpid();
	char *p[200];

	if (!is_signed(mine))
		_exit(1);
	percpu_free(mine);
	for (int i = 0; i < 200; i++) {
		const size_t size = 8 + 8 * (chance(&state) % 30);

		p[i] = percpu_alloc(size, 8);
		if (!p[i] || !is_zero(p[i], size))
			_exit(2);
		sign(p[i], size);
	}
	for (int i = 0; i < 200; i++) {
		if (!is_signed(p[i]))
			_exit(3);
		percpu_free(p[i]);
	}
	if (percpu_trim(NULL) < 0)
		_exit(4);
	_exit(0);
}

START_TEST(forks_among_threads)
{
	pthread_t thread[NR_THREADS];
	char *mine = percpu_alloc(64, 8);

	sign(mine, 64);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		thread[i] = started(allocate_and_free, i);
	for (int round = 0; round < 300; round++) {
		int status;
		const pid_t child = fork();

		if (!child) /* before any assertion: the threads may hold Check's lock */
			run_child(mine);
		ck_assert_int_ge(child, 0);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_msg(status == 0, "round %d: status %#x", round, status);
		ck_assert(is_signed(mine));
	}
	atomic_store(&stop, true);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	percpu_free(mine);
	ck_assert_uint_eq(nr_live(), 0);
}
END_TEST

START_TEST(a_child_counts_for_itself)
{
	uint64_t *counter = percpu_new(uint64_t);
	int status;
	pid_t child;

	percpu_add(counter, 100);
	child = fork();
	if (!child) {
		percpu_add(counter, 11);
		_exit(percpu_sum(counter) == 111 ? 0 : 1);
	}
	percpu_add(counter, 7);
	waitpid(child, &status, 0);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(percpu_sum(counter), 107);
	percpu_free(counter);
}
END_TEST

START_TEST(children_have_children)
{
	char *p = percpu_alloc(8, 8);
	int status;

	sign(p, 8);
	percpu_free(percpu_alloc(8, 8));
	for (int depth = 0; depth < 20; depth++) {
		const pid_t child = fork();

		if (child) {
			waitpid(child, &status, 0);
			if (depth)
				_exit(WEXITSTATUS(status));
			ck_assert_int_eq(status, 0);
			percpu_free(p);
			return;
		}
		if (!is_signed(p))
			_exit(1);
		percpu_free(percpu_alloc(8 + 8 * depth, 8));
	}
	_exit(0);
}
END_TEST

/* ---- first use by many threads ---- */

static pthread_barrier_t barrier;
static void *_Atomic first[16];

static void *be_first(void *arg)
{
	pthread_barrier_wait(&barrier);
	first[(uintptr_t)arg] = percpu_alloc(8, 8);
	return NULL;
}

START_TEST(first_allocations_at_once)
{
	pthread_t thread[16];

	pthread_barrier_init(&barrier, NULL, 16);
	for (uintptr_t i = 0; i < 16; i++)
		thread[i] = started(be_first, i);
	for (int i = 0; i < 16; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < 16; i++)
		for (int k = 0; k < i; k++)
			ck_assert_ptr_ne(first[i], first[k]);
	ck_assert_uint_eq(nr_live(), 16);
	ck_assert_uint_eq(stats_of(NULL).nr_chunks, 1);
	for (int i = 0; i < 16; i++)
		percpu_free(first[i]);
}
END_TEST

/* ---- exit of threads and processes ---- */

static uint64_t *counter;
static uint64_t expected;
static pthread_key_t key;

/* A destructor of a key, called again as long as it sets the key. */
static void count_at_thread_exit(void *value)
{
	percpu_inc(counter);
	percpu_inc(static_counter);
	if ((uintptr_t)value > 1)
		pthread_setspecific(key, (void *)((uintptr_t)value - 1));
}

static void *count_and_end(void *arg)
{
	pthread_setspecific(key, arg);
	percpu_inc(counter);
	percpu_inc(static_counter);
	return NULL;
}

START_TEST(destructors_of_threads_lose_nothing)
{
	pthread_t thread[20];

	counter = percpu_new(uint64_t);
	pthread_key_create(&key, count_at_thread_exit);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 20; i++)
			thread[i] = started(count_and_end, 3);
		for (int i = 0; i < 20; i++)
			pthread_join(thread[i], NULL);
	}
	ck_assert_uint_eq(percpu_sum(counter), 50 * 20 * 4);
	ck_assert_uint_eq(percpu_sum(static_counter), 50 * 20 * 4);
	percpu_free(counter);
}
END_TEST

/* An exit handler that is registered first and thus called last. */
static void check_counts_and_exit(void)
{
	_exit(percpu_sum(counter) == expected && percpu_sum(static_counter) == expected ? 0 : 1);
}

static void count_at_exit(void)
{
	percpu_add(counter, 5);
	percpu_add(static_counter, 5);
}

static void *count_endlessly(void *arg)
{
	uint64_t *other = percpu_new(uint64_t);

	for (;;) {
		percpu_inc(other);
		percpu_free(percpu_alloc(8, 8));
	}
	return NULL;
}

START_TEST(exit_handlers_lose_nothing)
{
	int status;
	const pid_t child = fork();

	if (!child) {
		counter = percpu_new(uint64_t);
		pthread_key_create(&key, count_at_thread_exit);
		atexit(check_counts_and_exit);
		for (int i = 0; i < 20; i++)
			atexit(count_at_exit);
		pthread_join(started(count_and_end, 1), NULL);
		started(count_endlessly, 0); /* runs throughout the exit */
		percpu_inc(counter);
		percpu_inc(static_counter);
		expected = 2 + 1 + 20 * 5;
		exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

TEST_MAIN("percpu: threads", 300, areas_change_hands, areas_change_hands_during_trim_and_statistics,
	  areas_change_hands_in_an_affinity_storm, one_allocates_another_frees,
	  bulk_and_pools_among_threads, pools_come_and_go_among_threads, forks_among_threads,
	  a_child_counts_for_itself, children_have_children, first_allocations_at_once,
	  destructors_of_threads_lose_nothing, exit_handlers_lose_nothing)
