/* SPDX-License-Identifier: MIT */
/* Every error that <percpu/alloc.h> and <percpu/pool.h> document; successful calls keep errno. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>

#include "harness/harness.h"
#include "percpu/world.h"

static const struct row {
	size_t size, align;
	int error;
} rows[] = {
	{ 0, 8, EINVAL },
	{ 0, 0, EINVAL },
	{ 8, 0, EINVAL },
	{ 8, 3, EINVAL },
	{ 8, 12, EINVAL },
	{ 8, 4095, EINVAL },
	{ 8, 8192, EINVAL },
	{ 8, SIZE_MAX, EINVAL },
	{ 8, (SIZE_MAX >> 1) + 1, EINVAL },
	{ 0, 8192, EINVAL },
	{ PERCPU_MAX_SIZE + 1, 3, EINVAL },
	{ PERCPU_MAX_SIZE + 1, 8192, EINVAL },
	{ PERCPU_MAX_SIZE + 1, 1, E2BIG },
	{ PERCPU_MAX_SIZE + 1, 4096, E2BIG },
	{ PERCPU_MAX_SIZE * 2, 8, E2BIG },
	{ (size_t)1 << 32, 8, E2BIG },
	{ ((size_t)1 << 32) + 8, 8, E2BIG },
	{ SIZE_MAX - 6, 8, E2BIG },
	{ SIZE_MAX, 8, E2BIG },
};
#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

START_TEST(errors_of_alloc)
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		errno = 0;
		ck_assert_ptr_null(percpu_alloc(rows[i].size, rows[i].align));
		ck_assert_msg(errno == rows[i].error, "%zu, %zu: %d", rows[i].size, rows[i].align,
			      errno);
	}
	ck_assert_uint_eq(stats_of(NULL).nr_live, 0);
}
END_TEST

START_TEST(errors_of_pool_alloc)
{
	struct percpu_pool *pool = percpu_pool_create("errors", NULL);

	for (size_t i = 0; i < NR_ROWS; i++) {
		errno = 0;
		ck_assert_ptr_null(percpu_pool_alloc(pool, rows[i].size, rows[i].align));
		ck_assert_int_eq(errno, rows[i].error);
		errno = 0;
		ck_assert_ptr_null(percpu_pool_alloc(NULL, rows[i].size, rows[i].align));
		ck_assert_int_eq(errno, rows[i].error);
	}
	ck_assert_uint_eq(stats_of(pool).nr_chunks, 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(errors_of_bulk)
{
	void *out[3];

	for (size_t i = 0; i < NR_ROWS; i++) {
		errno = 77;
		ck_assert_int_eq(percpu_alloc_bulk(rows[i].size, rows[i].align, 3, out),
				 -rows[i].error);
		ck_assert_int_eq(percpu_alloc_bulk(rows[i].size, rows[i].align, 0, out),
				 -rows[i].error);
		ck_assert_int_eq(errno, 77);
	}
	ck_assert_int_eq(percpu_alloc_bulk(8, 8, 0, NULL), 0);
	ck_assert_int_eq(errno, 77);
	percpu_free_bulk(0, NULL);
}
END_TEST

START_TEST(array_sizes_do_not_overflow)
{
	static const size_t n[] = { SIZE_MAX, SIZE_MAX / 8 + 1, SIZE_MAX / 4, (size_t)1 << 61 };
	uint64_t *p;

	for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
		errno = 0;
		ck_assert_ptr_null(percpu_new_array(uint64_t, n[i]));
		ck_assert_int_eq(errno, ENOMEM);
		errno = 0;
		ck_assert_ptr_null(percpu_alloc_array(n[i], 24, 8));
		ck_assert_int_eq(errno, ENOMEM);
	}
	errno = 0;
	ck_assert_ptr_null(percpu_new_array(uint64_t, 0));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(percpu_alloc_array(8, 0, 8));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(percpu_alloc_array(2, 8, 3));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(percpu_new_array(uint64_t, PERCPU_MAX_SIZE / 8 + 1));
	ck_assert_int_eq(errno, E2BIG);
	p = percpu_new_array(uint64_t, PERCPU_MAX_SIZE / 8);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(percpu_usable_size(p), PERCPU_MAX_SIZE);
	percpu_free(p);
}
END_TEST

static void *attempt(const struct percpu_pool_attr *attr)
{
	errno = 0;
	return percpu_pool_create("attempt", attr);
}

START_TEST(attributes_of_other_versions)
{
	struct {
		struct percpu_pool_attr attr;
		char tail[64];
	} newer = { .attr = { .size = sizeof(newer), .limit_bytes = 64 } };
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_pool *pool;

	pool = attempt(&newer.attr);
	ck_assert_ptr_nonnull(pool);
	ck_assert_uint_eq(stats_of(pool).limit_bytes, 64);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
	for (size_t i = 0; i < sizeof(newer.tail); i++) {
		newer.tail[i] = 1;
		ck_assert_ptr_null(attempt(&newer.attr));
		ck_assert_int_eq(errno, EINVAL);
		newer.tail[i] = 0;
	}

	/* The struct of an older program has no limit; the library does not read beyond its end. */
	attr.size = offsetof(struct percpu_pool_attr, limit_bytes);
	attr.limit_bytes = 8;
	pool = attempt(&attr);
	ck_assert_ptr_nonnull(pool);
	ck_assert_uint_eq(stats_of(pool).limit_bytes, 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
	for (attr.size = 0; attr.size < offsetof(struct percpu_pool_attr, limit_bytes);
	     attr.size++) {
		ck_assert_ptr_null(attempt(&attr));
		ck_assert_int_eq(errno, EINVAL);
	}
	attr.size = SIZE_MAX;
	ck_assert_ptr_null(attempt(&attr));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(invalid_attributes)
{
	static const struct percpu_pool_attr wrong[] = {
		{ .size = sizeof(struct percpu_pool_attr), .huge_pages = 3 },
		{ .size = sizeof(struct percpu_pool_attr), .populate = 3 },
		{ .size = sizeof(struct percpu_pool_attr), .node_policy = UINT32_MAX },
		{ .size = sizeof(struct percpu_pool_attr), .published = 3 },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_ptr_null(attempt(&wrong[i]));
		ck_assert_int_eq(errno, EINVAL);
	}
}
END_TEST

START_TEST(errors_of_destroy)
{
	struct percpu_pool *pool = percpu_pool_create(NULL, NULL);
	void *p = percpu_pool_alloc(pool, 8, 8);

	ck_assert_int_eq(percpu_pool_destroy(NULL), -EINVAL);
	ck_assert_int_eq(percpu_pool_destroy((struct percpu_pool *)&pool), -EINVAL);
	ck_assert_int_eq(percpu_pool_destroy(pool), -EBUSY);
	ck_assert_int_eq(percpu_pool_destroy(pool), -EBUSY);
	ck_assert_uint_eq(percpu_usable_size(p), 8);
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), -EINVAL);
}
END_TEST

START_TEST(statistics_of_other_versions)
{
	struct {
		struct percpu_pool_stats stats;
		char tail[64];
	} newer;
	struct percpu_pool_stats older;
	void *p = percpu_alloc(8, 8);

	ck_assert_int_eq(percpu_pool_stats(NULL, NULL), -EINVAL);
	for (older.size = 0; older.size < 2 * sizeof(size_t); older.size++)
		ck_assert_int_eq(percpu_pool_stats(NULL, &older), -EINVAL);

	memset(&newer, 0x5a, sizeof(newer));
	newer.stats.size = sizeof(newer);
	ck_assert_int_eq(percpu_pool_stats(NULL, &newer.stats), 0);
	ck_assert_uint_eq(newer.stats.size, sizeof(newer.stats));
	ck_assert_uint_eq(newer.stats.nr_live, 1);
	for (size_t i = 0; i < sizeof(newer.tail); i++)
		ck_assert_int_eq(newer.tail[i], 0x5a);

	memset(&older, 0x5a, sizeof(older));
	older.size = offsetof(struct percpu_pool_stats, live_bytes);
	ck_assert_int_eq(percpu_pool_stats(NULL, &older), 0);
	ck_assert_uint_eq(older.size, offsetof(struct percpu_pool_stats, live_bytes));
	ck_assert_uint_eq(older.nr_live, 1);
	ck_assert_uint_eq(older.live_bytes, UINT64_C(0x5a5a5a5a5a5a5a5a));
	percpu_free(p);
}
END_TEST

START_TEST(free_and_success_keep_errno)
{
	struct percpu_pool *pool = percpu_pool_create("errno", NULL);
	static const size_t sizes[] = { 8, 512, 520, 4096, PERCPU_MAX_SIZE };
	void *p[40];

	errno = 77;
	percpu_free(NULL);
	percpu_free_bulk(1, (void *[]){ NULL });
	ck_assert_uint_eq(percpu_usable_size(NULL), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int n = 0; n < 40; n++)
			ck_assert_ptr_nonnull(p[n] = percpu_alloc(sizes[i], 8));
		ck_assert_int_eq(errno, 77);
		for (int n = 0; n < 40; n++) {
			percpu_ptr((char *)p[n], 0)[0] = 1;
			percpu_free(p[n]);
			ck_assert_int_eq(errno, 77);
		}
		ck_assert_int_eq(percpu_alloc_bulk(sizes[i], 8, 40, p), 0);
		percpu_free_bulk(40, p);
		ck_assert_int_eq(errno, 77);
		for (int n = 0; n < 40; n++)
			ck_assert_ptr_nonnull(p[n] = percpu_pool_alloc(pool, sizes[i], 8));
		for (int n = 0; n < 40; n++)
			percpu_free(p[n]);
		ck_assert_int_eq(errno, 77);
	}
	ck_assert_int_ge(percpu_trim(NULL), 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
	ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(a_failed_allocation_leaves_others_intact)
{
	const struct percpu_pool_attr twelve_granules = { .limit_bytes = 90 };
	struct percpu_pool *pool = pool_with(twelve_granules);
	void *p[12];

	for (int i = 0; i < 12; i++)
		ck_assert_ptr_nonnull(p[i] = percpu_pool_alloc(pool, 8, 8));
	errno = 0;
	ck_assert_ptr_null(percpu_pool_alloc(pool, 1, 1));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_uint_eq(stats_of(pool).nr_live, 12);
	percpu_free(p[5]);
	ck_assert_ptr_nonnull(p[5] = percpu_pool_alloc(pool, 8, 8));
	for (int i = 0; i < 12; i++)
		percpu_free(p[i]);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

TEST_MAIN("percpu: errors", 60, errors_of_alloc, errors_of_pool_alloc, errors_of_bulk,
	  array_sizes_do_not_overflow, attributes_of_other_versions, invalid_attributes,
	  errors_of_destroy, statistics_of_other_versions, free_and_success_keep_errno,
	  a_failed_allocation_leaves_others_intact)
