/* SPDX-License-Identifier: MIT */
/*
 * Caches of programs that were compiled for the library's layout, for an earlier one, and for a
 * later one.
 */
#include "harness/harness.h"

#include <errno.h>
#include <percpu/percpu.h>

static struct percpu_cache *create(unsigned layout)
{
	return percpu_cache_create_layout(layout, "layouts", 64, 0, 0, NULL, NULL);
}

/*
 * Whether an inline allocation and an inline free succeed, after the slow path has prepared the
 * magazine.
 */
static bool has_fast_path(struct percpu_cache *cache)
{
	void *object = percpu_cache_alloc_slow(cache), *again = NULL;
	bool is_taken = false;

	for (unsigned i = 0; i < 1000 && !is_taken; i++) {
		percpu_cache_free_slow(cache, object);
		is_taken = percpu__cache_take(&cache->magazines, &again);
		object = is_taken ? again : percpu_cache_alloc_slow(cache);
		ck_assert_ptr_nonnull(object);
	}
	percpu_cache_free(cache, object);
	return is_taken;
}

START_TEST(this_layout_has_the_fast_path)
{
	struct percpu_cache *cache = create(PERCPU_CACHE_LAYOUT);

	SKIP_IF(percpu_mode() == PERCPU_MODE_RSEQ ? NULL : "no inline fast path without rseq");
	ck_assert_uint_ne(cache->inverse, 0);
	ck_assert(has_fast_path(cache));
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(an_earlier_layout_has_the_slow_path)
{
	struct percpu_cache *cache = create(0);

	ck_assert_uint_eq(cache->inverse, 0);
	ck_assert(!has_fast_path(cache));
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(a_later_layout_is_refused)
{
	errno = 0;
	ck_assert_ptr_null(create(PERCPU_CACHE_LAYOUT + 1));
	ck_assert_int_eq(errno, ENOTSUP);
}
END_TEST

TEST_MAIN("layouts of caches", 20, this_layout_has_the_fast_path,
	  an_earlier_layout_has_the_slow_path, a_later_layout_is_refused)
