/* SPDX-License-Identifier: MIT */
/* Constructors are the program's code: they jump out, fork, wait for others that use the cache, and use it themselves. */
#include "cache/world.h"
#include "harness/harness.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const modes[] = { "", "mode:atomic", "check" };
#define NR_MODES ((int)(sizeof(modes) / sizeof(modes[0])))

static struct percpu_cache *cache;
static jmp_buf out;
static unsigned nr_constructed, nr_jumps;

static void begin(int mode, size_t size, void (*ctor)(void *object))
{
	setenv("PERCPU_OPTIONS", modes[mode], 1);
	cache = percpu_cache_create("constructed", size, 0, 0, ctor);
	ck_assert_ptr_nonnull(cache);
}

static void jump_out(void *object)
{
	*(uint64_t *)object = 7;
	if (++nr_constructed == 3 && !nr_jumps++)
		longjmp(out, 1);
}

START_TEST(one_that_jumps_out_leaves_no_lock)
{
	struct percpu_cache_stats stats = { .size = sizeof(stats) };
	uint64_t *objects[600];

	begin(_i, 64, jump_out);
	if (!setjmp(out)) {
		percpu_cache_alloc(cache);
		ck_abort_msg("it came back");
	}
	for (unsigned i = 0; i < 600; i++) {
		objects[i] = percpu_cache_alloc(cache);
		ck_assert(objects[i] && *objects[i] == 7);
	}
	for (unsigned i = 0; i < 600; i++)
		percpu_cache_free(cache, objects[i]);
	/* Those that it should have constructed are lost. */
	ck_assert_int_eq(percpu_cache_stats(cache, &stats), 0);
	ck_assert_uint_ge(stats.nr_objects, 1);
	ck_assert_uint_le(stats.nr_objects, 512);
	ck_assert_int_eq(percpu_cache_destroy(cache), -EBUSY);
}
END_TEST

static void fork_and_look(void *object)
{
	*(uint64_t *)object = 7;
	if (!nr_constructed++) {
		const pid_t child = fork();
		int status;

		if (!child)
			_exit(percpu_cache_alloc(cache) == NULL);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_int_eq(status, 0);
	}
}

START_TEST(one_may_fork)
{
	uint64_t *object;

	begin(_i, 64, fork_and_look);
	object = percpu_cache_alloc(cache);
	ck_assert(object && *object == 7);
	percpu_cache_free(cache, object);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

static void *use(void *arg)
{
	void *object = percpu_cache_alloc(cache);

	percpu_cache_free(cache, object);
	return object;
}

static void wait_for_another(void *object)
{
	pthread_t thread;
	void *got;

	*(uint64_t *)object = 7;
	if (nr_constructed++ % 100)
		return;
	ck_assert_int_eq(pthread_create(&thread, NULL, use, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, &got), 0);
	ck_assert_ptr_nonnull(got);
}

START_TEST(one_may_wait_for_who_uses_the_cache)
{
	uint64_t *objects[600];

	pin(0);
	begin(_i, 48, wait_for_another);
	nr_constructed = 1; /* not in each of those that are nested */
	for (unsigned i = 0; i < 600; i++) {
		objects[i] = percpu_cache_alloc(cache);
		ck_assert(objects[i] && *objects[i] == 7);
	}
	for (unsigned i = 0; i < 600; i++)
		percpu_cache_free(cache, objects[i]);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

static void use_the_cache(void *object)
{
	*(uint64_t *)object = 7;
	if (nr_constructed++ % 100 == 1)
		percpu_cache_free(cache, percpu_cache_alloc(cache));
}

START_TEST(one_may_use_the_cache)
{
	uint64_t *objects[600];

	begin(_i, 48, use_the_cache);
	for (unsigned i = 0; i < 600; i++) {
		objects[i] = percpu_cache_alloc(cache);
		ck_assert(objects[i] && *objects[i] == 7);
	}
	for (unsigned i = 0; i < 600; i++)
		for (unsigned j = 0; j < i; j++)
			ck_assert_ptr_ne(objects[i], objects[j]);
	for (unsigned i = 0; i < 600; i++)
		percpu_cache_free(cache, objects[i]);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cache: constructors");
	TCase *tcase = case_of("constructors");

	tcase_set_timeout(tcase, 30); /* that of a test that hangs */
	tcase_add_loop_test(tcase, one_that_jumps_out_leaves_no_lock, 0, NR_MODES);
	tcase_add_loop_test(tcase, one_may_fork, 0, NR_MODES);
	tcase_add_loop_test(tcase, one_may_wait_for_who_uses_the_cache, 0, NR_MODES);
	tcase_add_loop_test(tcase, one_may_use_the_cache, 0, NR_MODES);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
