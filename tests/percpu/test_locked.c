/* SPDX-License-Identifier: MIT */
/*
 * Processes that call mlockall(): memory that they touch is locked and resident, memory that is
 * only reserved is not.
 */
#include "harness/harness.h"
#include "percpu/world.h"

#include <errno.h>
#include <sys/syscall.h>

#ifndef MADV_COLD
#define MADV_COLD 20
#endif

/* The limit for a few kilobytes of objects; a chunk has 33 MiB of copies here. */
#define MOST_BYTES ((size_t)6 << 20)

/* Flags of a call of mlockall() before the first use. */
static const int befores[] = { MCL_CURRENT | MCL_FUTURE, MCL_FUTURE,
			       MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT };
enum { NR_BEFORES = sizeof(befores) / sizeof(befores[0]) };

/* Makes the system call directly, because sanitizers replace libc's function by a stub. */
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
	return pool_with((struct percpu_pool_attr){
		.published = is_published ? PERCPU_ON : PERCPU_OFF, .limit_bytes = limit_bytes });
}

/* Allocates, counts in and sums 7 KiB of counters. */
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

START_TEST(a_pool_in_a_locked_process)
{
	const size_t before = begin(befores[_i % NR_BEFORES]);
	struct percpu_pool *pool = pool_of(_i / NR_BEFORES, 0);

	use_pool(pool);
	ck_assert_msg(rss() < before + MOST_BYTES, "%zu KiB more", (rss() - before) >> 10);
}
END_TEST

START_TEST(the_default_pool_in_a_locked_process)
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

START_TEST(a_touched_published_copy_is_locked)
{
	uint64_t *p;

	begin(befores[_i]);
	p = percpu_pool_alloc(pool_of(true, 0), 8, 8);
	*percpu_ptr(p, 5) = 1;
	ck_assert(is_locked(percpu_ptr(p, 5)));
}
END_TEST

START_TEST(a_cache_in_a_locked_process)
{
	const size_t before = begin(befores[_i]);

	use_cache();
	ck_assert_msg(rss() < before + MOST_BYTES, "%zu KiB more", (rss() - before) >> 10);
}
END_TEST

/* A later mlockall() populates memory that is accessible: existing chunks, but not later ones. */
START_TEST(mlockall_after_the_first_use)
{
	const size_t chunk_bytes = (size_t)129 * PERCPU_STRIDE;
	const bool is_published = _i;
	size_t before;

	with_options("cpus:128");
	use_pool(pool_of(is_published, 65536));
	before = rss();
	lock_all(MCL_CURRENT | MCL_FUTURE);
	/* Plus 1 MiB of descriptions of a published pool, and untouched memory of the program. */
	ck_assert_msg(rss() < before + chunk_bytes + ((size_t)12 << 20), "%zu KiB more",
		      (rss() - before) >> 10);
	before = rss();
	use_pool(pool_of(is_published, 65536));
	ck_assert_msg(rss() < before + MOST_BYTES, "%zu KiB more", (rss() - before) >> 10);
}
END_TEST

/* With MCL_ONFAULT it populates nothing. */
START_TEST(mlockall_on_fault_after_the_first_use)
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

/* After munlockall() new memory is not locked. */
START_TEST(munlockall_ends_locking)
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
	return "a sanitizer's shadow memory would be locked, too";
#else
	if (madvise(NULL, 0, MADV_COLD) < 0)
		return "the kernel does not tell which memory is locked";
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
	tcase_add_loop_test(tcase, a_pool_in_a_locked_process, 0, 2 * NR_BEFORES);
	tcase_add_loop_test(tcase, the_default_pool_in_a_locked_process, 0, NR_BEFORES);
	tcase_add_loop_test(tcase, a_touched_published_copy_is_locked, 0, NR_BEFORES);
	tcase_add_loop_test(tcase, a_cache_in_a_locked_process, 0, NR_BEFORES);
	tcase_add_loop_test(tcase, mlockall_after_the_first_use, 0, 2);
	tcase_add_loop_test(tcase, mlockall_on_fault_after_the_first_use, 0, 2);
	tcase_add_test(tcase, munlockall_ends_locking);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
