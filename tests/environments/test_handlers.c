/* SPDX-License-Identifier: MIT */
/*
 * Fork handlers that were registered before the library's, as by a program that loads the library
 * later. They run in the forking thread between the library's own handlers, and use the whole
 * library beside threads that do the same. Here they are registered before any constructor runs,
 * which has the same effect.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/harness.h"

#include <percpu/percpu.h>

#define NR_THREADS 3
#define NR_FORKS 60

enum moment { NONE, PREPARE, PARENT, CHILD, ALL };

static int active;
static unsigned nr_called, nr_wrong;

static struct percpu_cache *cache;
static uint64_t __percpu *count;
static bool over;

/* Made by a handler, and used by others from then on. */
static struct percpu_cache *made_cache;
static struct percpu_pool *made_pool;

static void must(bool right)
{
	nr_wrong += !right;
}

static void use_areas(void)
{
	void __percpu *p[40];

	for (unsigned i = 0; i < 40; i++) {
		uint64_t __percpu *words = percpu_alloc(8 + 8 * i, 8);

		must(words && !percpu_sum(words) && !percpu_sum(words + i));
		percpu_inc(words);
		percpu_add(words + i, i);
		must(percpu_sum(words) == 1 && percpu_usable_size(words) >= 8 + 8 * i);
		p[i] = words;
	}
	for (unsigned i = 0; i < 20; i++)
		percpu_free(p[i]);
	percpu_free_bulk(20, p + 20);
	must(percpu_trim(NULL) >= 0);
}

static void use_objects(struct percpu_cache *from)
{
	void *objects[300];

	for (unsigned round = 0; round < 3; round++) {
		must(percpu_cache_alloc_bulk(from, 300, objects) == 0);
		for (unsigned i = 0; i < 300; i++)
			memset(objects[i], round + 1, 48);
		percpu_cache_free_bulk(from, 300, objects);
	}
	must(percpu_cache_shrink(from) >= 0);
}

static void use_new_ones(void)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	const struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = "n" };
	struct percpu_cache *fresh = percpu_cache_create("fresh", 48, 0, 0, NULL);
	struct percpu_published *published;
	struct percpu_counter counter;
	struct percpu_pool *pool;
	uint64_t __percpu *p;

	must(fresh);
	use_objects(fresh);
	must(percpu_cache_destroy(fresh) == 0);
	attr.published = PERCPU_ON;
	attr.limit_bytes = 4096;
	pool = percpu_pool_create("fresh", &attr);
	p = percpu_pool_alloc(pool, 8, 8);
	published = percpu_publish(p, &metric);
	must(pool && p && published);
	percpu_inc(p);
	must(percpu_sum(p) == 1 && percpu_unpublish(published) == 0);
	percpu_free(p);
	must(percpu_pool_destroy(pool) == 0);
	must(percpu_counter_init(&counter, 5, 0) == 0);
	percpu_counter_add(&counter, 1000);
	must(percpu_counter_sum(&counter) == 1005);
	percpu_counter_fini(&counter);
}

static void make_some(void)
{
	if (made_cache)
		return;
	made_cache = percpu_cache_create("made", 48, 0, 0, NULL);
	made_pool = percpu_pool_create("made", NULL);
	must(made_cache && made_pool && percpu_pool_alloc(made_pool, 8, 8));
	use_objects(made_cache);
}

static void use_all(int here)
{
	if (active != here && active != ALL)
		return;
	nr_called++;
	use_areas();
	use_objects(cache);
	use_new_ones();
	make_some();
}

static void prepare(void)
{
	use_all(PREPARE);
}

static void in_parent(void)
{
	use_all(PARENT);
}

static void in_child(void)
{
	use_all(CHILD);
}

static void register_early(void)
{
	if (pthread_atfork(prepare, in_parent, in_child))
		abort();
}
__attribute__((section(".preinit_array"), used)) static void (*const early)(void) = register_early;

/* ---- beside them ---- */

static void *keep_busy(void *arg)
{
	void *objects[100];
	uintptr_t turns = 0;

	for (; !__atomic_load_n(&over, __ATOMIC_RELAXED); turns++) {
		void __percpu *p = percpu_alloc(8 + turns % 400, 8);

		if (!p || percpu_cache_alloc_bulk(cache, 100, objects))
			abort();
		percpu_inc(count);
		percpu_cache_free_bulk(cache, 100, objects);
		percpu_free(p);
	}
	return (void *)turns;
}

/*
 * In both processes everything works, with what the handlers made, too. Returns: the exit status.
 */
static int live_on(void)
{
	const uint64_t before = percpu_sum(count);

	use_areas();
	use_objects(cache);
	use_new_ones();
	percpu_inc(count);
	if (made_cache) {
		use_objects(made_cache);
		must(percpu_pool_alloc(made_pool, 8, 8));
	}
	must(percpu_sum(count) > before);
	return nr_wrong ? 1 : nr_called != (active == ALL ? 2 : active == PREPARE || active == CHILD);
}

START_TEST(handlers_older_than_the_librarys)
{
	pthread_t threads[NR_THREADS];
	uint64_t sum = 0;
	void *turns;

	cache = percpu_cache_create("busy", 48, 0, 0, NULL);
	count = percpu_new(uint64_t);
	ck_assert(cache && count);
	for (unsigned i = 0; i < NR_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, keep_busy, NULL), 0);
	active = PREPARE + _i;
	for (unsigned i = 0; i < NR_FORKS; i++) {
		int status;
		pid_t child;

		nr_called = 0;
		child = fork();
		if (!child) {
			alarm(PATIENCE_SECONDS); /* in case a lock has lost its holder */
			_exit(live_on());
		}
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
		ck_assert_uint_eq(nr_called, active == ALL ? 2 : active == PREPARE || active == PARENT);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		pthread_join(threads[i], &turns);
		sum += (uintptr_t)turns;
	}
	ck_assert_uint_eq(percpu_sum(count), sum);
	ck_assert_uint_eq(nr_wrong, 0);
	if (made_cache)
		ck_assert_int_eq(percpu_cache_destroy(made_cache), 0);
	active = NONE;
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* A handler that forks: the library's handlers nest. */
static bool has_forked;

static void fork_again(void)
{
	pid_t child;

	if (active != ALL || has_forked)
		return;
	has_forked = true;
	active = NONE;
	child = fork();
	if (!child)
		_exit(0);
	must(child > 0 && waitpid(child, NULL, 0) == child);
	use_areas();
	use_objects(cache);
	active = ALL;
}

static void register_another(void)
{
	pthread_atfork(fork_again, NULL, NULL);
}
__attribute__((section(".preinit_array"), used)) static void (*const another)(void) = register_another;

START_TEST(a_handler_that_forks)
{
	int status;
	pid_t child;

	cache = percpu_cache_create("busy", 48, 0, 0, NULL);
	count = percpu_new(uint64_t);
	active = ALL;
	child = fork();
	if (!child) {
		alarm(PATIENCE_SECONDS);
		_exit(live_on());
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
	ck_assert(has_forked);
	ck_assert_int_eq(live_on(), 0);
	active = NONE;
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { a_handler_that_forks, NULL };
	Suite *suite = suite_of("environments: handlers", tests, 300);
	TCase *moments = case_of("moments");

	tcase_set_timeout(moments, 300);
	tcase_add_loop_test(moments, handlers_older_than_the_librarys, 0, 4);
	suite_add_tcase(suite, moments);
	return run_suite(suite);
}
