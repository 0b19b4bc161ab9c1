/* SPDX-License-Identifier: MIT */
/*
 * Sums compared with a plain loop: all widths, signed and unsigned, any number, while others count.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "harness/harness.h"
#include "percpu/world.h"

/* ---- one counter ---- */

#define CHECK_SUM(type, values)                                                                    \
	do {                                                                                       \
		type *p = percpu_new(type), want = 0;                                              \
		percpu_for_each_copy (i) {                                                         \
			const type value = (type)(values);                                         \
			*percpu_ptr(p, i) = value;                                                 \
			want = (type)((uint64_t)want + (uint64_t)value);                           \
		}                                                                                  \
		ck_assert_msg(percpu_sum(p) == want, "%s", #type " of " #values);                  \
		_Static_assert(__builtin_types_compatible_p(__typeof__(percpu_sum(p)), type),      \
			       "its own type");                                                    \
		percpu_free(p);                                                                    \
	} while (0)
#define CHECK_TYPE(type)                                                                           \
	do {                                                                                       \
		CHECK_SUM(type, i + 1);                                                            \
		CHECK_SUM(type, -1);                                                               \
		CHECK_SUM(type, i % 2 ? -(int)(3 * i) : (int)(200 * i));                           \
		CHECK_SUM(type, (UINT64_C(0x8182838485868788) >> i % 64) * (2 * i + 1));           \
		CHECK_SUM(type, i == percpu_nr_copies() - 1 ? 42 : 0);                             \
	} while (0)

START_TEST(sums_have_the_width_and_sign_of_the_counter)
{
	CHECK_TYPE(int8_t);
	CHECK_TYPE(uint8_t);
	CHECK_TYPE(int16_t);
	CHECK_TYPE(uint16_t);
	CHECK_TYPE(int32_t);
	CHECK_TYPE(uint32_t);
	CHECK_TYPE(int64_t);
	CHECK_TYPE(uint64_t);
	CHECK_TYPE(long);
	CHECK_TYPE(unsigned long long);
	CHECK_TYPE(char);
}
END_TEST

START_TEST(neighbours_are_not_summed)
{
	struct {
		uint8_t a, b;
		uint16_t c;
		uint32_t d;
		uint64_t e;
	} *p = percpu_alloc(sizeof(*p), 8);
	const unsigned nr = percpu_nr_copies();

	percpu_for_each_copy(i) {
		memset(percpu_ptr(p, i), 0xff, sizeof(*p));
		percpu_ptr(p, i)->b = 1;
		percpu_ptr(p, i)->c = 2;
		percpu_ptr(p, i)->d = 3;
	}
	ck_assert_uint_eq(percpu_sum(&p->a), (uint8_t)(255 * nr));
	ck_assert_uint_eq(percpu_sum(&p->b), (uint8_t)nr);
	ck_assert_uint_eq(percpu_sum(&p->c), (uint16_t)(2 * nr));
	ck_assert_uint_eq(percpu_sum(&p->d), 3 * nr);
	ck_assert_uint_eq(percpu_sum(&p->e), UINT64_MAX * nr);
	percpu_free(p);
}
END_TEST

START_TEST(constant_counters_can_be_summed)
{
	uint32_t *p = percpu_new(uint32_t);
	const uint32_t *view = p;

	percpu_for_each_copy(i)
		*percpu_ptr(p, i) = i;
	ck_assert_uint_eq(percpu_sum(view), percpu_nr_copies() * (percpu_nr_copies() - 1) / 2);
	percpu_free(p);
}
END_TEST

/* ---- a struct of counters ---- */

#define MOST 5000

static void check_struct(size_t n, size_t first, size_t dst_first)
{
	static uint64_t space[MOST + 40], want[MOST];
	uint64_t *p = percpu_new_array(uint64_t, MOST + 16), *dst = space + 8 + dst_first;

	memset(want, 0, sizeof(want));
	memset(space, 0xa5, sizeof(space));
	percpu_for_each_copy(i)
		for (size_t at = 0; at < n; at++) {
			const uint64_t value = (at + 1) * UINT64_C(0x9e3779b97f4a7c15) * (i + 3);

			percpu_ptr(p, i)[first + at] = value;
			want[at] += value;
		}
	/* Neighbouring words must not be summed. */
	percpu_for_each_copy(i) {
		percpu_ptr(p, i)[first + n] = 1;
		if (first)
			percpu_ptr(p, i)[first - 1] = 1;
	}
	percpu_sum_u64(dst, p + first, n);
	ck_assert_msg(!memcmp(dst, want, n * sizeof(*dst)), "%zu counters from %zu to %zu", n,
		      first, dst_first);
	ck_assert_uint_eq(dst[-1], UINT64_C(0xa5a5a5a5a5a5a5a5));
	ck_assert_uint_eq(dst[n], UINT64_C(0xa5a5a5a5a5a5a5a5));
	for (size_t at = 0; at < n; at += 1 + n / 7)
		ck_assert_uint_eq(percpu_sum(&p[first + at]), want[at]);
	percpu_free(p);
}

START_TEST(structs_of_every_small_size)
{
	for (size_t n = 0; n <= 70; n++)
		for (size_t first = 0; first < 9; first += 1 + n % 3)
			check_struct(n, first, n % 8);
}
END_TEST

START_TEST(structs_around_the_blocks)
{
	static const size_t n[] = { 1023, 1024, 1025, 2047, 2048, 2049, 3001, 4999 };

	for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
		check_struct(n[i], 0, 0);
		check_struct(n[i], 3, 5);
	}
}
END_TEST

START_TEST(a_whole_unit)
{
	static uint64_t dst[PERCPU_MAX_SIZE / 8];
	uint64_t *p = percpu_new_array(uint64_t, PERCPU_MAX_SIZE / 8);

	percpu_for_each_copy(i)
		for (size_t at = 0; at < PERCPU_MAX_SIZE / 8; at++)
			percpu_ptr(p, i)[at] = at + i;
	percpu_sum_u64(dst, p, PERCPU_MAX_SIZE / 8);
	for (size_t at = 0; at < PERCPU_MAX_SIZE / 8; at++)
		ck_assert_uint_eq(dst[at],
				  percpu_nr_copies() * at +
					  percpu_nr_copies() * (percpu_nr_copies() - 1) / 2);
	percpu_free(p);
}
END_TEST

START_TEST(zero_counters_write_nothing)
{
	uint64_t dst = 77, *p = percpu_new(uint64_t);

	percpu_sum_u64(&dst, p, 0);
	ck_assert_uint_eq(dst, 77);
	percpu_free(p);
}
END_TEST

/* ---- while others count ---- */

#define NR_FIELDS 21 /* odd: the last ones are summed without vectors */

struct fields {
	uint64_t at[NR_FIELDS];
};

static struct fields *fields;
static _Atomic uint64_t announced,
	finished; /* rounds of all threads, before and after each was counted */
static atomic_bool stop;

static void *count(void *arg)
{
	while (!atomic_load(&stop)) {
		atomic_fetch_add(&announced, 1);
		for (int at = 0; at < NR_FIELDS; at++)
			percpu_add(&fields->at[at], 1);
		atomic_fetch_add(&finished, 1);
	}
	return NULL;
}

/*
 * A sum is at least what was finished when it began, and at most what was announced when it ended.
 */
START_TEST(a_sum_lies_between_its_beginning_and_its_end)
{
	uint64_t sums[NR_FIELDS], last[NR_FIELDS] = { 0 }, total;
	pthread_t thread[3];

	fields = percpu_new(struct fields);
	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, count, NULL);
	for (int round = 0; round < 3000; round++) {
		const uint64_t least = atomic_load(&finished);

		if (round % 2)
			percpu_sum_u64(sums, fields->at, NR_FIELDS);
		else
			for (int at = 0; at < NR_FIELDS; at++)
				sums[at] = percpu_sum(&fields->at[at]);
		for (int at = 0; at < NR_FIELDS; at++) {
			ck_assert_uint_ge(sums[at], least);
			ck_assert_uint_le(sums[at], atomic_load(&announced));
			ck_assert_uint_ge(sums[at], last[at]);
			last[at] = sums[at];
		}
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	total = atomic_load(&finished);
	percpu_sum_u64(sums, fields->at, NR_FIELDS);
	for (int at = 0; at < NR_FIELDS; at++) {
		ck_assert_uint_eq(sums[at], total);
		ck_assert_uint_eq(percpu_sum(&fields->at[at]), total);
	}
	percpu_free(fields);
}
END_TEST

TEST_MAIN("counter: sums", 120, sums_have_the_width_and_sign_of_the_counter,
	  neighbours_are_not_summed, constant_counters_can_be_summed, structs_of_every_small_size,
	  structs_around_the_blocks, a_whole_unit, zero_counters_write_nothing,
	  a_sum_lies_between_its_beginning_and_its_end)
