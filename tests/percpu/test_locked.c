/* SPDX-License-Identifier: MIT */
/*
 * Processes that lock their memory pay for what they touch, and not for what is reserved. What is touched is locked.
 */
#include "harness/harness.h"
#include "percpu/world.h"

#include <errno.h>
#include <sys/syscall.h>

#ifndef MADV_COLD
#define MADV_COLD 20
#endif

#define MOST_BYTES ((size_t)6 << 20) /* for a few kilobytes of objects; a chunk has 33 MiB of copies here */

/* When the lock comes: before there is anything, and then with which flags. */
static const int befores[] = { MCL_CURRENT | MCL_FUTURE, MCL_FUTURE, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT };
enum { NR_BEFORES = sizeof(befores) / sizeof(befores[0]) };

/* By number: sanitizers make libc's do nothing. */
static void lock_all(int flags)
{
	ck_assert_int_eq(syscall(SYS_mlockall, flags), 0);
}

static size_t rss(void)
{
	return proc_bytes("/proc/self/smaps_rollup", "\nRss:");
}

static bool is_locked(void *p)
{
	void *page = (void *)((uintptr_t)p & -page_bytes());

	return madvise(page, page_bytes(), MADV_COLD) < 0 && errno == EINVAL;
}

static struct percpu_pool *pool_of(bool is_published, size_t limit_bytes)
{
	return pool_with((struct percpu_pool_attr){ .published = is_published ? PERCPU_ON : PERCPU_OFF, .limit_bytes = limit_bytes });
}

/* Seven kilobytes of counters in each of its ways. */
static void use_pool(struct percpu_pool *pool)
{
	uint64_t *p = percpu_pool_alloc(pool, 7168, 8);

	ck_assert_ptr_nonnull(p);
	for (unsigned i = 0; i < 896; i++)
		percpu_inc(p + i);
	for (unsigned i = 0; i < 896; i++)
		ck_assert_uint_eq(percpu_sum(p + i), 1);
}

static void use_cache(void)
{
	struct percpu_cache *cache = percpu_cache_create("locked", 64, 0, 0, NULL);
	void *object;

	ck_assert_ptr_nonnull(cache);
	object = percpu_cache_alloc(cache);
	ck_assert_ptr_nonnull(object);
	memset(object, 1, 64);
	ck_assert(is_locked(object));
	percpu_cache_free(cache, object);
}

static size_t begin(int flags)
{
	with_options("cpus:128");
	lock_all(flags);
	return rss();
}

START_TEST(a_pool_of_a_process_that_locks)
{
	const size_t before = begin(befores[_i % NR_BEFORES]);
	struct percpu_pool *pool = pool_of(_i / NR_BEFORES, 0);

	use_pool(pool);
	ck_assert_msg(rss() < before + MOST_BYTES, "%zu KiB more", (rss() - before) >> 10);
}
END_TEST

START_TEST(the_default_pool_of_a_process_that_locks)
{
	const size_t before = begin(befores[_i]);
	uint64_t *p;

	use_pool(NULL);
	ck_assert_msg(rss() < before + MOST_BYTES, "%zu KiB more", (rss() - before) >> 10);
	p = percpu_new(uint64_t);
	*percpu_ptr(p, 5) = 1;
	ck_assert(is_locked(percpu_ptr(p, 5)));
}
END_TEST

START_TEST(a_published_copy_that_was_touched_is_locked)
{
	uint64_t *p;

	begin(befores[_i]);
	p = percpu_pool_alloc(pool_of(true, 0), 8, 8);
	*percpu_ptr(p, 5) = 1;
	ck_assert(is_locked(percpu_ptr(p, 5)));
}
END_TEST

START_TEST(a_cache_of_a_process_that_locks)
{
	const size_t before = begin(befores[_i]);

	use_cache();
	ck_assert_msg(rss() < before + MOST_BYTES, "%zu KiB more", (rss() - before) >> 10);
}
END_TEST

/* A lock that comes later fills what is accessible then: the copies of the chunks that there are. What comes later is not filled. */
START_TEST(a_lock_that_comes_later)
{
	const size_t chunk_bytes = (size_t)129 * PERCPU_STRIDE;
	const bool is_published = _i;
	size_t before;

	with_options("cpus:128");
	use_pool(pool_of(is_published, 65536));
	before = rss();
	lock_all(MCL_CURRENT | MCL_FUTURE);
	/* And of a published pool sixteen times its limit for descriptions; of the program what it had not touched. */
	ck_assert_msg(rss() < before + chunk_bytes + ((size_t)12 << 20), "%zu KiB more", (rss() - before) >> 10);
	before = rss();
	use_pool(pool_of(is_published, 65536));
	ck_assert_msg(rss() < before + MOST_BYTES, "%zu KiB more", (rss() - before) >> 10);
}
END_TEST

/* With the flag for it, it fills nothing at all. */
START_TEST(a_later_lock_on_fault)
{
	size_t before;

	with_options("cpus:128");
	use_pool(pool_of(_i, 0));
	before = rss();
	lock_all(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	use_pool(pool_of(_i, 0));
	ck_assert_msg(rss() < before + MOST_BYTES, "%zu KiB more", (rss() - before) >> 10);
}
END_TEST

/* Who unlocks is not locked any more. */
START_TEST(no_lock_any_more)
{
	uint64_t *p;

	begin(MCL_CURRENT | MCL_FUTURE);
	use_pool(NULL);
	ck_assert_int_eq(syscall(SYS_munlockall), 0);
	p = percpu_pool_alloc(pool_of(false, 0), 8, 8);
	*percpu_ptr(p, 5) = 1;
	ck_assert(!is_locked(percpu_ptr(p, 5)));
}
END_TEST

static const char *why_not(void)
{
#if PERCPU__ASAN || PERCPU__TSAN
	return "a sanitizer's shadow would be locked, too";
#else
	if (madvise(NULL, 0, MADV_COLD) < 0)
		return "this kernel does not tell what is locked";
	if (syscall(SYS_mlockall, MCL_CURRENT) < 0)
		return "this process may not lock its memory";
	syscall(SYS_munlockall);
	return NULL;
#endif
}

int main(void)
{
	const char *reason = why_not();
	Suite *suite = suite_create("percpu: locked");
	TCase *tcase = case_of("percpu: locked");

	if (reason)
		return printf("1..0 # SKIP %s\n", reason) < 0;
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, a_pool_of_a_process_that_locks, 0, 2 * NR_BEFORES);
	tcase_add_loop_test(tcase, the_default_pool_of_a_process_that_locks, 0, NR_BEFORES);
	tcase_add_loop_test(tcase, a_published_copy_that_was_touched_is_locked, 0, NR_BEFORES);
	tcase_add_loop_test(tcase, a_cache_of_a_process_that_locks, 0, NR_BEFORES);
	tcase_add_loop_test(tcase, a_lock_that_comes_later, 0, 2);
	tcase_add_loop_test(tcase, a_later_lock_on_fault, 0, 2);
	tcase_add_test(tcase, no_lock_any_more);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
