/* SPDX-License-Identifier: MIT */
/*
 * Reading does not allocate pages of untouched copies where a load would: in published pools, and
 * on kernels without a zero page, which the library takes this one for. So a page counts as touched
 * if it is mapped at all, even if it is the zero page.
 */
#include "harness/harness.h"
#include "percpu/percpu.h"
#include "percpu/world.h"

#include <pthread.h>
#include <sys/wait.h>

#define NR_COPIES 513u
#define OWN 7u   /* a touched copy, and one that is touched later */
#define LATER 300u

bool __wrap_percpu__has_zero_page(void);
bool __wrap_percpu__has_zero_page(void)
{
	return false;
}

static const struct percpu_pool_attr private_attr = PERCPU_POOL_ATTR_INIT;
static struct percpu_pool_attr published_attr = PERCPU_POOL_ATTR_INIT;

/* Each test runs for two pools. */
static struct percpu_pool *pool_of(bool is_published)
{
	struct percpu_pool *pool;

	with_options("cpus:512");
	published_attr.published = PERCPU_ON;
	pool = percpu_pool_create("untouched", is_published ? &published_attr : &private_attr);
	ck_assert_ptr_nonnull(pool);
	ck_assert_uint_eq(percpu_nr_copies(), NR_COPIES);
	return pool;
}

/* Returns: the number of copies that have a page of the range. */
static unsigned nr_touched(const void *p, size_t size)
{
	unsigned nr = 0;

	for (unsigned copy = 0; copy < NR_COPIES; copy++)
		nr += resident_pages(p, copy, size) > 0;
	return nr;
}

static void *alloc_in(struct percpu_pool *pool, size_t size)
{
	void *p = percpu_pool_alloc(pool, size, 64);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(nr_touched(p, size), 0);
	return p;
}

static void sums_of_one(bool is_published)
{
	struct percpu_pool *pool = pool_of(is_published);
	uint64_t *words = alloc_in(pool, 64);
	uint32_t *halves = (uint32_t *)(words + 1);
	uint8_t *bytes = (uint8_t *)(words + 2);

	for (unsigned turn = 0; turn < 3; turn++) {
		ck_assert_uint_eq(percpu_sum(words), 0);
		ck_assert_uint_eq(nr_touched(words, 64), 0);
	}
	*percpu_ptr(words, OWN) = 5;
	*percpu_ptr(halves, OWN) = 6;
	*percpu_ptr(bytes, OWN) = 7;
	for (unsigned turn = 0; turn < 3; turn++) {
		ck_assert_uint_eq(percpu_sum(words), 5);
		ck_assert_uint_eq(percpu_sum(halves), 6);
		ck_assert_uint_eq(percpu_sum(bytes), 7);
		ck_assert_uint_eq(nr_touched(words, 64), 1);
	}
	/* Pages that were touched later are found. */
	*percpu_ptr(words, LATER) = 10;
	*percpu_ptr(words, NR_COPIES - 1) = 100;
	*percpu_ptr(words, 0) = 1000;
	ck_assert_uint_eq(percpu_sum(words), 1115);
	ck_assert_uint_eq(nr_touched(words, 64), 4);
	percpu_for_each_copy(copy)
		*percpu_ptr(words, copy) = 3;
	for (unsigned turn = 0; turn < 3; turn++)
		ck_assert_uint_eq(percpu_sum(words), 3 * NR_COPIES);
	percpu_free(words);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}

static void sums_of_many(bool is_published)
{
	enum { NR = 4096 };
	struct percpu_pool *pool = pool_of(is_published);
	const size_t page_words = page_bytes() / sizeof(uint64_t);
	uint64_t *p = alloc_in(pool, NR * sizeof(*p)), *sums = malloc(NR * sizeof(*sums));

	for (unsigned turn = 0; turn < 2; turn++) {
		memset(sums, 1, NR * sizeof(*sums));
		percpu_sum_u64(sums, p, NR);
		for (size_t i = 0; i < NR; i++)
			ck_assert_uint_eq(sums[i], 0);
		ck_assert_uint_eq(nr_touched(p, NR * sizeof(*p)), 0);
	}
	/* One page in one copy and another page in other copies; the range begins within a page. */
	percpu_ptr(p, OWN)[NR - 1] = 11;
	for (unsigned copy = LATER; copy < LATER + 5; copy++)
		percpu_ptr(p, copy)[3] = copy;
	percpu_sum_u64(sums, p + 3, NR - 3);
	for (size_t i = 3; i < NR; i++)
		ck_assert_uint_eq(sums[i - 3], i == 3 ? 5 * LATER + 10 : i == NR - 1 ? 11 : 0);
	ck_assert_uint_eq(nr_touched(p, page_bytes()), NR > page_words ? 5 : 6);
	ck_assert_uint_eq(nr_touched(p, NR * sizeof(*p)), 6);
	free(sums);
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}

static void histograms(bool is_published)
{
	struct percpu_pool *pool = pool_of(is_published);
	struct percpu_histogram histogram;
	struct percpu_histogram_data data;

	ck_assert_int_eq(percpu_histogram_init(&histogram, pool, 1, UINT64_C(1) << 40, 7), 0);
	data.counts = malloc(histogram.shape.nr_buckets * sizeof(*data.counts));
	percpu_histogram_read(&histogram, &data);
	ck_assert_uint_eq(data.nr, 0);
	ck_assert_uint_eq(nr_touched(histogram.copies, 8 * histogram.shape.nr_buckets), 0);
	percpu_histogram_record(&histogram, 1000);
	for (unsigned turn = 0; turn < 3; turn++) {
		percpu_histogram_read(&histogram, &data);
		ck_assert_uint_eq(data.nr, 1);
		ck_assert_uint_eq(data.sum, 1000);
		ck_assert_uint_eq(data.min, 1000);
		ck_assert_uint_eq(data.max, 1000);
	}
	ck_assert_uint_le(nr_touched(histogram.copies, 8 * histogram.shape.nr_buckets),
			  2); /* the thread may move */
	free(data.counts);
	percpu_histogram_fini(&histogram);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}

/* A reused area is zeroed in the copies that were written, and not read in the others. */
static void reuse(bool is_published)
{
	static const size_t sizes[] = { 8, 24, 1000, 5000, 100000 };
	struct percpu_pool *pool = pool_of(is_published);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned turn = 0; turn < 4; turn++) {
			char *p = percpu_pool_alloc(pool, sizes[i], 8);
			const unsigned own[] = { OWN, OWN + 1, LATER };

			ck_assert_ptr_nonnull(p);
			for (unsigned at = 0; at < 3; at++) {
				ck_assert(is_zero_copy(p, sizes[i], own[at]));
				fill_copy(p, sizes[i], turn, own[at]);
			}
			ck_assert_uint_eq(nr_touched(p, sizes[i]), 3);
			percpu_free(p);
		}
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}

START_TEST(a_sum)
{
	sums_of_one(_i);
}
END_TEST

START_TEST(sums_of_an_array)
{
	sums_of_many(_i);
}
END_TEST

START_TEST(a_histogram)
{
	histograms(_i);
}
END_TEST

START_TEST(areas_that_are_used_again)
{
	reuse(_i);
}
END_TEST

START_TEST(a_counter)
{
	struct percpu_counter counter;
	void *copies;

	with_options("cpus:512");
	ck_assert_int_eq(percpu_counter_init(&counter, 0, 0), 0);
	copies = (void *)counter.copies;
	ck_assert_int_eq(percpu_counter_sum(&counter), 0);
	ck_assert_uint_eq(nr_touched(copies, 8), 0);
	for (unsigned i = 0; i < 1000; i++)
		percpu_counter_add(&counter, 3);
	ck_assert_int_eq(percpu_counter_sum(&counter), 3000);
	ck_assert_int_eq(percpu_counter_compare(&counter, 2999), 1);
	percpu_counter_set(&counter, 7);
	ck_assert_int_eq(percpu_counter_sum(&counter), 7);
	ck_assert_int_eq(percpu_counter_reset(&counter), 7);
	ck_assert_uint_le(nr_touched(copies, 8), 2);
	percpu_counter_fini(&counter);
}
END_TEST

START_TEST(a_group)
{
	uint64_t fields[PERCPU_GROUP_MAX_FIELDS];
	struct percpu_group group;

	with_options("cpus:512");
	for (unsigned nr = 2; nr <= PERCPU_GROUP_MAX_FIELDS; nr++) {
		ck_assert_int_eq(percpu_group_init(&group, nr), 0);
		percpu_group_read(&group, fields);
		ck_assert_uint_eq(fields[0] | fields[1], 0);
	}
	ck_assert_uint_eq(nr_touched(group.of[PERCPU_GROUP_MAX_FIELDS], 8), 0);
	for (unsigned i = 0; i < 100; i++)
		percpu_group_add(&group, 1, 2, 3, 4);
	percpu_group_read(&group, fields);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(fields[i], 100 * (i + 1));
	ck_assert_uint_le(nr_touched(group.of[PERCPU_GROUP_MAX_FIELDS], 8), 2);
}
END_TEST

START_TEST(sums_by_domain)
{
	struct percpu_pool *pool = pool_of(_i);
	uint64_t *p = alloc_in(pool, 10000), *sums;
	const int nr = percpu_nr_domains(PERCPU_LEVEL_PACKAGE);
	uint64_t total = 0;

	if (nr < 0)
		SKIP("hwloc was not found");
	sums = calloc(nr * 1250, sizeof(*sums));
	ck_assert_int_eq(percpu_sum_by(p, PERCPU_LEVEL_PACKAGE, sums, nr), 0);
	ck_assert_int_eq(percpu_sum_u64_by(sums, p, 1250, PERCPU_LEVEL_PACKAGE, nr), 0);
	ck_assert_uint_eq(nr_touched(p, 10000), 0);
	percpu_ptr(p, OWN)[1000] = 4;
	percpu_ptr(p, LATER)[1000] = 5;
	ck_assert_int_eq(percpu_sum_u64_by(sums, p, 1250, PERCPU_LEVEL_PACKAGE, nr), 0);
	for (int i = 0; i < nr; i++)
		total += sums[i * 1250 + 1000];
	ck_assert_uint_eq(total, 9);
	ck_assert_int_eq(percpu_sum_by(p + 1000, PERCPU_LEVEL_PACKAGE, sums, nr), 0);
	total = 0;
	for (int i = 0; i < nr; i++)
		total += sums[i];
	ck_assert_uint_eq(total, 9);
	ck_assert_uint_eq(nr_touched(p, 10000), 2);
	free(sums);
}
END_TEST

/* Sums of eight thousand variables with 513 copies each allocate no memory. */
START_TEST(eight_thousand_sums_take_no_memory)
{
	static uint64_t *p[8192];
	size_t before;

	if (PERCPU__ASAN || PERCPU__TSAN)
		SKIP("a sanitizer's shadow grows, too");
	with_options("cpus:512");
	for (int i = 0; i < 8192; i++)
		ck_assert_ptr_nonnull(p[i] = percpu_new(uint64_t));
	for (int i = 0; i < 8192; i++)
		percpu_inc(p[i]);
	ck_assert_uint_eq(percpu_sum(p[0]), 1);
	before = held_bytes();
	for (int i = 0; i < 8192; i++)
		ck_assert_uint_eq(percpu_sum(p[i]), 1);
	ck_assert_uint_le(held_bytes(), before + (64 << 10));
}
END_TEST

/* After a purge, the pages are unknown again. */
START_TEST(pages_that_were_purged)
{
	struct percpu_pool *pool = pool_of(false);
	char *keep = percpu_pool_alloc(pool, 8, 8),
	     *p = percpu_pool_alloc(pool, 3 * page_bytes(), 8);
	char *const page = (char *)(((uintptr_t)p + page_bytes() - 1) & -page_bytes());

	percpu_for_each_copy(copy)
		*percpu_ptr(page, copy) = 1;
	ck_assert_uint_eq((uint8_t)percpu_sum((uint8_t *)page), NR_COPIES % 256);
	percpu_free(p);
	ck_assert_int_gt(percpu_trim(pool), 0);
	ck_assert_uint_eq(nr_touched(page, page_bytes()), 0);
	ck_assert_ptr_eq(percpu_pool_alloc(pool, 3 * page_bytes(), 8), p);
	ck_assert_uint_eq(percpu_sum((uint8_t *)page), 0);
	ck_assert_uint_eq(nr_touched(page, page_bytes()), 0);
	percpu_ptr(page, OWN)[0] = 9;
	ck_assert_uint_eq(percpu_sum((uint8_t *)page), 9);
	ck_assert_uint_eq(nr_touched(page, page_bytes()), 1);
	percpu_free(p);
	percpu_free(keep);
}
END_TEST

static void *count_up(void *arg)
{
	uint64_t *p = arg;

	for (unsigned i = 0; i < 20000; i++)
		percpu_inc(p + i % 4096);
	return NULL;
}

/* Sums while pages are touched. */
START_TEST(beside_writers)
{
	struct percpu_pool *pool = pool_of(_i);
	uint64_t *p = alloc_in(pool, 4096 * sizeof(*p)), sums[4096], total = 0;
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_up, p), 0);
	for (unsigned turn = 0; turn < 200; turn++)
		ck_assert_uint_le(percpu_sum(p + turn * 20), 20);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	percpu_sum_u64(sums, p, 4096);
	for (unsigned i = 0; i < 4096; i++) {
		ck_assert_uint_eq(percpu_sum(p + i), sums[i]);
		total += sums[i];
	}
	ck_assert_uint_eq(total, 80000);
}
END_TEST

/* A child counts and sums in shared copies, and in its own copies of private memory. */
START_TEST(in_a_child)
{
	struct percpu_pool *pool = pool_of(_i);
	uint64_t *p = alloc_in(pool, 8);
	int status;
	pid_t child;

	*percpu_ptr(p, OWN) = 1;
	ck_assert_uint_eq(percpu_sum(p), 1);
	child = fork();
	if (!child) {
		*percpu_ptr(p, LATER) = 2;
		_exit(percpu_sum(p) == 3 && nr_touched(p, 8) == 2 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(percpu_sum(p), _i ? 3 : 1);
	ck_assert_uint_eq(nr_touched(p, 8), _i ? 2 : 1);
}
END_TEST

int main(void)
{
	const TTest *const both[] = { a_sum,	      sums_of_an_array,
				      a_histogram,    areas_that_are_used_again,
				      sums_by_domain, beside_writers,
				      in_a_child,     NULL };
	const TTest *const private[] = { a_counter, a_group, eight_thousand_sums_take_no_memory,
					 pages_that_were_purged, NULL };
	uintptr_t at = (uintptr_t)&at & -page_bytes();
	struct percpu__extent extent;
	Suite *suite;
	TCase *tcase;

	if (percpu__find_pages(PERCPU__PAGES_MAPPED, &at, at + page_bytes(), &extent, 1) < 0)
		return printf("1..0 # SKIP this kernel does not tell which pages there are\n") < 0;
	suite = suite_of("counter: untouched", private, 120);
	tcase = case_of("in private and published pools");
	tcase_set_timeout(tcase, 120);
	for (const TTest *const *test = both; *test; test++)
		tcase_add_loop_test(tcase, *test, 0, 2);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
