/* SPDX-License-Identifier: MIT */
/*
 * Histograms compared with the values: buckets, percentiles of computed and measured values,
 * storms.
 */
#include "harness/harness.h"

#include <errno.h>
#include <math.h>

#define require(condition) ck_assert(condition)
#include "ops/storm.h"

static uint64_t random_state = 42;

static uint64_t random64(void)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static struct percpu_histogram histogram;
static struct percpu_histogram_data data;

static void begin(uint64_t lowest, uint64_t highest, unsigned precision_bits)
{
	ck_assert_int_eq(percpu_histogram_init(&histogram, NULL, lowest, highest, precision_bits),
			 0);
	data.counts = malloc(histogram.shape.nr_buckets * sizeof(uint64_t));
	ck_assert(data.counts);
}

static void end(void)
{
	free(data.counts);
	percpu_histogram_fini(&histogram);
}

/* ---- buckets ---- */

static const struct {
	uint64_t lowest, highest;
	unsigned precision_bits;
} ranges[] = {
	{ 0, 1, 0 },
	{ 1, 1000, 2 },
	{ 1, 3600000000, 7 },
	{ 1000, 60000000000, 7 },
	{ 1 << 20, 1 << 21, 3 },
	{ 100, INT64_MAX, 5 },
	{ 0, 1000, 14 },
	{ 5, 5, 0 },
	{ INT64_MAX, INT64_MAX, 4 },
	{ 0, INT64_MAX, 9 },
};
#define NR_RANGES (sizeof(ranges) / sizeof(ranges[0]))

static struct percpu_histogram_shape shape_of(size_t range)
{
	struct percpu_histogram_shape shape;

	ck_assert_int_eq(percpu_histogram_shape_init(&shape, ranges[range].lowest,
						     ranges[range].highest,
						     ranges[range].precision_bits),
			 0);
	ck_assert(percpu_histogram_shape_is_valid(&shape));
	return shape;
}

START_TEST(buckets_cover_all_values_without_gap)
{
	for (size_t range = 0; range < NR_RANGES; range++) {
		const struct percpu_histogram_shape shape = shape_of(range);
		uint64_t next = 0;

		for (uint32_t bucket = 0; bucket < shape.nr_buckets; bucket++) {
			const uint64_t low = percpu_histogram_bucket_low(&shape, bucket);
			const uint64_t high = percpu_histogram_bucket_high(&shape, bucket);

			ck_assert_uint_eq(low, next);
			ck_assert_uint_ge(high, low);
			ck_assert_uint_eq(percpu_histogram_bucket(&shape, low), bucket);
			ck_assert_uint_eq(percpu_histogram_bucket(&shape, high), bucket);
			ck_assert_uint_eq(percpu_histogram_bucket(&shape, low + (high - low) / 2),
					  bucket);
			next = high + 1;
		}
		ck_assert_uint_eq(next, 0);
		ck_assert_uint_lt(percpu_histogram_bucket(&shape, ranges[range].highest),
				  shape.nr_buckets - 1);
	}
}
END_TEST

START_TEST(buckets_are_as_narrow_as_promised)
{
	for (size_t range = 0; range < NR_RANGES; range++) {
		const struct percpu_histogram_shape shape = shape_of(range);
		const double share = ldexp(1, -(int)ranges[range].precision_bits);

		for (uint32_t bucket = 0; bucket < shape.nr_buckets - 1; bucket++) {
			const uint64_t low = percpu_histogram_bucket_low(&shape, bucket);
			const uint64_t width =
				percpu_histogram_bucket_high(&shape, bucket) - low + 1;
			const uint64_t least =
				low > ranges[range].lowest ? low : ranges[range].lowest;

			ck_assert_msg(width == 1 || width <= share * least, "range %zu, bucket %u",
				      range, bucket);
		}
	}
}
END_TEST

START_TEST(bad_ranges_are_refused)
{
	struct percpu_histogram bad;

	ck_assert_int_eq(percpu_histogram_init(&bad, NULL, 0, 0, 7), -EINVAL);
	ck_assert_int_eq(percpu_histogram_init(&bad, NULL, 10, 9, 7), -EINVAL);
	ck_assert_int_eq(percpu_histogram_init(&bad, NULL, 1, (uint64_t)INT64_MAX + 1, 7), -EINVAL);
	ck_assert_int_eq(percpu_histogram_init(&bad, NULL, 1, 1000, 15), -EINVAL);
	ck_assert_int_eq(percpu_histogram_init(&bad, NULL, 1, INT64_MAX, 14), -E2BIG);
	ck_assert_ptr_null(bad.copies);
	percpu_histogram_fini(&bad);
}
END_TEST

START_TEST(untrusted_shapes_are_checked)
{
	const struct percpu_histogram_shape good = shape_of(2);
	struct percpu_histogram_shape shape = good;

	for (unsigned i = 0; i < 100000; i++) {
		shape = (struct percpu_histogram_shape){ random64() % 70, random64() % 20,
							 random64() % 40000, 0 };
		if (!percpu_histogram_shape_is_valid(&shape))
			continue;
		ck_assert_uint_le(percpu_histogram_bucket(&shape, UINT64_MAX),
				  shape.nr_buckets - 1);
		for (uint32_t bucket = 0; bucket < shape.nr_buckets - 1;
		     bucket += 1 + shape.nr_buckets / 5)
			ck_assert_uint_ge(percpu_histogram_bucket_high(&shape, bucket),
					  percpu_histogram_bucket_low(&shape, bucket));
	}
	shape = good;
	shape.nr_buckets = 1;
	ck_assert(!percpu_histogram_shape_is_valid(&shape));
	shape.nr_buckets = 40000;
	ck_assert(!percpu_histogram_shape_is_valid(&shape));
	shape = good;
	shape.unit_shift = 64;
	ck_assert(!percpu_histogram_shape_is_valid(&shape));
	shape = good;
	shape.precision_bits = 15;
	ck_assert(!percpu_histogram_shape_is_valid(&shape));
	shape = good;
	shape.reserved = 1;
	ck_assert(!percpu_histogram_shape_is_valid(&shape));
}
END_TEST

/* ---- percentiles ---- */

#define NR_VALUES 20000
static uint64_t values[NR_VALUES];

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Compares with the recorded values, all of which lie between lowest and highest. */
static void check_percentiles(size_t nr, uint64_t lowest, unsigned precision_bits)
{
	static const double percents[] = { 0,  0.1, 1,	10, 25,	  33.3,	 50, 66.6,
					   75, 90,  95, 99, 99.9, 99.99, 100 };
	uint64_t sum = 0;

	qsort(values, nr, sizeof(values[0]), compare);
	for (size_t i = 0; i < nr; i++)
		sum += values[i];
	percpu_histogram_read(&histogram, &data);
	ck_assert_uint_eq(data.nr, nr);
	ck_assert_uint_eq(data.sum, sum);
	ck_assert_uint_eq(data.min, values[0]);
	ck_assert_uint_eq(data.max, values[nr - 1]);
	ck_assert_double_eq_tol(percpu_histogram_mean(&data), (double)sum / nr, 1e-9 * sum / nr);
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		const size_t rank = ceil(percents[i] * nr / 100 - 1e-9);
		const uint64_t exact = values[rank ? rank - 1 : 0];
		const uint64_t told = percpu_histogram_percentile(&data, percents[i]);
		const double allowed =
			ldexp(exact > lowest ? exact : lowest, -(int)precision_bits - 1);

		ck_assert_msg(fabs((double)told - (double)exact) <= allowed, "%g %%: %ju for %ju",
			      percents[i], (uintmax_t)told, (uintmax_t)exact);
	}
	ck_assert_uint_eq(percpu_histogram_percentile(&data, 100), values[nr - 1]);
	ck_assert_uint_eq(percpu_histogram_percentile(&data, 1000), values[nr - 1]);
}

START_TEST(percentiles_of_computed_values)
{
	for (unsigned bits = 0; bits <= 10; bits += 2)
		for (unsigned kind = 0; kind < 4; kind++) {
			const size_t nr = kind == 3 ? 7 : NR_VALUES;

			begin(1000, 60000000000, bits);
			for (size_t i = 0; i < nr; i++) {
				const uint64_t random = random64();

				values[i] = kind == 0 ? random % 1000000 : /* uniform */
						    kind == 1 ? (random >> 29) >> random % 36
							      : /* of all sizes */
						    kind == 2
						    ? (i % 100 ? 1500 : 45000000 + random % 64)
						    : /* two clusters */
						    random % 60000000000;
				percpu_histogram_record(&histogram, values[i]);
			}
			check_percentiles(nr, 1000, bits);
			end();
		}
}
END_TEST

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

/* Durations of system calls, including preempted ones. */
START_TEST(percentiles_of_measured_latencies)
{
	begin(1, 60000000000, 7);
	for (size_t i = 0; i < NR_VALUES; i++) {
		const uint64_t start = now_ns();

		if (i % 50)
			getppid();
		else
			sched_yield();
		values[i] = now_ns() - start;
		percpu_histogram_record(&histogram, values[i]);
	}
	check_percentiles(NR_VALUES, 1, 7);
	end();
}
END_TEST

START_TEST(no_value_and_one_value)
{
	begin(1, 1000000, 5);
	percpu_histogram_read(&histogram, &data);
	ck_assert_uint_eq(data.nr, 0);
	ck_assert_uint_eq(data.min, UINT64_MAX);
	ck_assert_uint_eq(data.max, 0);
	ck_assert(percpu_histogram_mean(&data) == 0);
	ck_assert_uint_eq(percpu_histogram_percentile(&data, 50), 0);
	ck_assert_uint_eq(percpu_histogram_percentile(&data, 100), 0);
	percpu_histogram_record(&histogram, 777777);
	percpu_histogram_read(&histogram, &data);
	for (double percent = -50; percent <= 150; percent += 12.5)
		ck_assert_uint_eq(percpu_histogram_percentile(&data, percent), 777777);
	ck_assert_uint_eq(percpu_histogram_percentile(&data, NAN), 777777);
	end();
}
END_TEST

START_TEST(above_the_range_only_max_is_known)
{
	begin(1, 1000, 4);
	percpu_histogram_record(&histogram, 10);
	percpu_histogram_record(&histogram, 5000);
	percpu_histogram_record(&histogram, UINT64_MAX);
	percpu_histogram_read(&histogram, &data);
	ck_assert_uint_eq(data.counts[histogram.shape.nr_buckets - 1], 2);
	ck_assert_uint_eq(percpu_histogram_percentile(&data, 20), 10);
	ck_assert_uint_eq(percpu_histogram_percentile(&data, 60), UINT64_MAX);
	ck_assert_uint_eq(data.min, 10);
	ck_assert_uint_eq(data.max, UINT64_MAX);
	end();
}
END_TEST

/* ---- readings ---- */

START_TEST(readings_merge_and_subtract)
{
	struct percpu_histogram_data earlier = { .counts = NULL }, other = { .counts = NULL };
	struct percpu_histogram_shape shape;
	size_t bytes;

	begin(1, 1000000, 6);
	bytes = histogram.shape.nr_buckets * sizeof(uint64_t);
	earlier.counts = malloc(bytes);
	other.counts = malloc(bytes);
	for (uint64_t v = 1; v <= 100; v++)
		percpu_histogram_record(&histogram, v);
	percpu_histogram_read(&histogram, &earlier);
	for (uint64_t v = 50000; v < 50100; v++)
		percpu_histogram_record(&histogram, v);
	percpu_histogram_read(&histogram, &data);
	ck_assert_int_eq(percpu_histogram_data_subtract(&data, &earlier), 0);
	ck_assert_uint_eq(data.nr, 100);
	ck_assert_uint_eq(data.sum, 50000 * 100 + 99 * 50);
	ck_assert_uint_ge(data.min, 50000 - 50000 / 64);
	ck_assert_uint_le(data.min, 50000);
	ck_assert_uint_eq(data.max, 50099);
	ck_assert_int_eq(percpu_histogram_data_merge(&data, &earlier), 0);
	ck_assert_uint_eq(data.min, 1);
	percpu_histogram_read(&histogram, &other);
	ck_assert_uint_eq(data.nr, other.nr);
	ck_assert_uint_eq(data.sum, other.sum);
	ck_assert_uint_eq(data.max, other.max);
	ck_assert(!memcmp(data.counts, other.counts, bytes));

	/* Copy by copy, as readers of published pools do. */
	percpu_histogram_data_clear(&data, &histogram.shape);
	percpu_for_each_copy(i)
		percpu_histogram_data_add(&data, percpu_ptr(histogram.copies, i));
	ck_assert_uint_eq(data.nr, other.nr);
	ck_assert_uint_eq(data.min, other.min);
	ck_assert(!memcmp(data.counts, other.counts, bytes));

	ck_assert_int_eq(percpu_histogram_data_subtract(&data, &other), 0);
	ck_assert_uint_eq(data.nr, 0);
	ck_assert_uint_eq(data.min, UINT64_MAX);
	ck_assert_int_eq(percpu_histogram_shape_init(&shape, 1, 1000000, 5), 0);
	other.shape = shape;
	ck_assert_int_eq(percpu_histogram_data_merge(&data, &other), -EINVAL);
	ck_assert_int_eq(percpu_histogram_data_subtract(&data, &other), -EINVAL);
	free(earlier.counts);
	free(other.counts);
	end();
}
END_TEST

START_TEST(in_a_pool)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_pool *pool;

	attr.limit_bytes = 4096;
	pool = percpu_pool_create("histograms", &attr);
	ck_assert_int_eq(percpu_histogram_init(&histogram, pool, 1, INT64_MAX, 7), -ENOMEM);
	ck_assert_int_eq(percpu_histogram_init(&histogram, pool, 1, 1000, 3), 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), -EBUSY);
	percpu_histogram_fini(&histogram);
	percpu_histogram_fini(&histogram);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* ---- nothing is lost ---- */

static void step_record(struct storm_thread *self, bool in_handler)
{
	const uint64_t step = self->steps + self->handler_steps;

	if (self->number == 1 && self->steps == 100 && !in_handler && self->state)
		unregister_rseq();
	percpu_histogram_record(&histogram, step % 1000 + 1 + self->number);
}

static void storm_of_records(enum state state)
{
	uint64_t steps;

	unsetenv("PERCPU_OPTIONS");
	if (state == ATOMIC)
		setenv("PERCPU_OPTIONS", "mode:atomic", 1);
	if (state == CPU_TOO_HIGH)
		setenv("PERCPU_OPTIONS", "cpus:1", 1);
	begin(1, 100000, 10);
	storm_threads[1].state =
		state == UNREGISTERED && percpu_mode() == PERCPU_MODE_RSEQ ? &histogram : NULL;
	steps = storm(step_record, 0.5);
	percpu_histogram_read(&histogram, &data);
	ck_assert_uint_eq(data.nr, steps);
	ck_assert_uint_eq(data.min, 1);
	ck_assert_uint_eq(data.max, 1000 + NR_THREADS - 1);
	/* Every bucket is one wide, so that the counts determine the sum. */
	for (uint32_t i = 0; i < histogram.shape.nr_buckets; i++)
		data.sum -= data.counts[i] * percpu_histogram_bucket_low(&histogram.shape, i);
	ck_assert_uint_eq(data.sum, 0);
	end();
}

START_TEST(a_storm_loses_none)
{
	storm_of_records((enum state)_i);
}
END_TEST

/* With growing values, no recorded value exceeds the max of its copy, whatever interrupts. */
static uint64_t greatest;

static void step_climb(struct storm_thread *self, bool in_handler)
{
	const uint64_t value = __atomic_add_fetch(&greatest, 1, __ATOMIC_RELAXED);
	uint64_t max = 0;

	percpu_histogram_record(&histogram, value);
	percpu_for_each_copy(i) {
		const uint64_t here =
			__atomic_load_n(&percpu_ptr(histogram.copies, i)->max, __ATOMIC_RELAXED);

		max = here > max ? here : max;
	}
	must(max >= value);
}

START_TEST(the_greatest_is_not_forgotten)
{
	if (_i)
		setenv("PERCPU_OPTIONS", "mode:atomic", 1);
	begin(1, INT64_MAX, 0);
	storm(step_climb, 0.5);
	percpu_histogram_read(&histogram, &data);
	ck_assert_uint_eq(data.max, greatest);
	end();
}
END_TEST

/* One process for each mode. */
int main(void)
{
	const TTest *const tests[] = {
		buckets_cover_all_values_without_gap,
		buckets_are_as_narrow_as_promised,
		bad_ranges_are_refused,
		untrusted_shapes_are_checked,
		percentiles_of_computed_values,
		percentiles_of_measured_latencies,
		no_value_and_one_value,
		above_the_range_only_max_is_known,
		readings_merge_and_subtract,
		in_a_pool,
		NULL,
	};
	Suite *suite = suite_of("counter: histograms", tests, 120);
	TCase *modes = case_of("modes");

	tcase_set_timeout(modes, 120);
	tcase_add_loop_test(modes, a_storm_loses_none, 0, NR_STATES);
	tcase_add_loop_test(modes, the_greatest_is_not_forgotten, 0, 2);
	suite_add_tcase(suite, modes);
	return run_suite(suite);
}
