/* SPDX-License-Identifier: MIT */
/*
 * Owns histograms: which values are in which bucket, the slow path of recording, and readings. A
 * reading is plain data and may come from another process, so no count is trusted.
 *
 * A unit is the widest power of two that keeps the promised precision at the lowest value:
 * 2^(unit_shift + precision_bits) <= lowest.
 */
#include <errno.h>
#include <string.h>

#include "counter/counter.h"
#include "percpu/percpu.h"

#define COPY_BUCKETS_MAX                                                                           \
	((PERCPU_MAX_SIZE - sizeof(struct percpu_histogram_copy)) / sizeof(uint64_t))

/* ---- shapes ---- */

static unsigned log2_of(uint64_t value)
{
	return 63 - __builtin_clzll(value | 1);
}

/* Returns: the buckets of a range up to highest, and one for values above it. */
static uint64_t nr_buckets_to(struct percpu_histogram_shape shape, uint64_t highest)
{
	shape.nr_buckets = UINT32_MAX;
	return (uint64_t)percpu_histogram_bucket(&shape, highest) + 2;
}

int percpu_histogram_shape_init(struct percpu_histogram_shape *shape, uint64_t lowest,
				uint64_t highest, unsigned precision_bits)
{
	const unsigned log2_lowest = log2_of(lowest);
	uint64_t nr;

	if (!highest || highest < lowest || highest > INT64_MAX ||
	    precision_bits > PERCPU_HISTOGRAM_MAX_PRECISION)
		return -EINVAL;
	*shape = (struct percpu_histogram_shape){
		.unit_shift = log2_lowest > precision_bits ? log2_lowest - precision_bits : 0,
		.precision_bits = precision_bits,
	};
	nr = nr_buckets_to(*shape, highest);
	if (nr > COPY_BUCKETS_MAX)
		return -E2BIG;
	shape->nr_buckets = nr;
	return 0;
}

bool percpu_histogram_shape_is_valid(const struct percpu_histogram_shape *shape)
{
	return shape->precision_bits <= PERCPU_HISTOGRAM_MAX_PRECISION && shape->unit_shift < 63 &&
	       !shape->reserved && shape->nr_buckets >= 2 &&
	       shape->nr_buckets <= COPY_BUCKETS_MAX &&
	       shape->nr_buckets <= nr_buckets_to(*shape, INT64_MAX);
}

/* Returns: the first unit of a bucket. *doublings: log2 of the units in the bucket. */
static uint64_t begin_of(const struct percpu_histogram_shape *shape, uint32_t bucket,
			 unsigned *doublings)
{
	const uint32_t octave = bucket >> shape->precision_bits;

	*doublings = octave ? octave - 1 : 0;
	return (uint64_t)(bucket - (*doublings << shape->precision_bits)) << *doublings;
}

uint64_t percpu_histogram_bucket_low(const struct percpu_histogram_shape *shape, uint32_t bucket)
{
	unsigned doublings;

	return begin_of(shape, bucket, &doublings) << shape->unit_shift;
}

uint64_t percpu_histogram_bucket_high(const struct percpu_histogram_shape *shape, uint32_t bucket)
{
	unsigned doublings;
	const uint64_t begin = begin_of(shape, bucket, &doublings);

	if (bucket == shape->nr_buckets - 1)
		return UINT64_MAX;
	return ((begin + (UINT64_C(1) << doublings)) << shape->unit_shift) - 1;
}

/* ---- histograms ---- */

int percpu_histogram_init_layout(unsigned layout, struct percpu_histogram *histogram,
				 struct percpu_pool *pool, uint64_t lowest, uint64_t highest,
				 unsigned precision_bits)
{
	struct percpu_histogram_shape shape;
	const int error = percpu_histogram_shape_init(&shape, lowest, highest, precision_bits);

	if (layout != PERCPU_HISTOGRAM_LAYOUT)
		return -ENOTSUP;
	memset(histogram, 0, sizeof(*histogram));
	if (error)
		return error;
	histogram->copies = percpu_pool_alloc(
		pool, sizeof(struct percpu_histogram_copy) + shape.nr_buckets * sizeof(uint64_t),
		64);
	if (!histogram->copies)
		return -errno;
	histogram->shape = shape;
	return 0;
}

void percpu_histogram_fini(struct percpu_histogram *histogram)
{
	percpu_free(histogram->copies);
	histogram->copies = NULL;
}

/* Raises the word at p to value in the copy of the current CPU, unless it is greater already. */
static void lift(uint64_t __percpu *p, uint64_t value)
{
	uint64_t seen = percpu_read(p), found;

	for (; seen < value; seen = found) {
		found = percpu_cmpxchg(p, seen, value);
		if (found == seen)
			return;
	}
}

void percpu_histogram_note_slow(struct percpu_histogram_copy __percpu *copies, uint64_t value)
{
	lift(&copies->max, value);
	lift(&copies->inverse_min, ~value);
	percpu_add(&copies->sum, value);
}

/* ---- readings ---- */

void percpu_histogram_data_clear(struct percpu_histogram_data *data,
				 const struct percpu_histogram_shape *shape)
{
	uint64_t *counts = data->counts;

	*data = (struct percpu_histogram_data){
		.shape = *shape, .min = UINT64_MAX, .counts = counts
	};
	memset(counts, 0, shape->nr_buckets * sizeof(*counts));
}

static void add_summary(struct percpu_histogram_data *data,
			const struct percpu_histogram_copy *copy)
{
	const uint64_t min = ~__atomic_load_n(&copy->inverse_min, __ATOMIC_RELAXED);
	const uint64_t max = __atomic_load_n(&copy->max, __ATOMIC_RELAXED);

	data->sum += __atomic_load_n(&copy->sum, __ATOMIC_RELAXED);
	data->min = min < data->min ? min : data->min;
	data->max = max > data->max ? max : data->max;
}

static uint64_t total(const uint64_t *counts, uint32_t nr)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < nr; i++)
		sum += counts[i];
	return sum;
}

void percpu_histogram_read(const struct percpu_histogram *histogram,
			   struct percpu_histogram_data *data)
{
	const struct percpu__present present =
		percpu__present_of((const void *)(uintptr_t)histogram->copies);

	percpu_histogram_data_clear(data, &histogram->shape);
	percpu_for_each_copy(i)
		if (percpu__is_present(present, i))
			add_summary(data, percpu_ptr(histogram->copies, i));
	percpu_sum_u64(data->counts, histogram->copies->counts, data->shape.nr_buckets);
	data->nr = total(data->counts, data->shape.nr_buckets);
}

void percpu_histogram_data_add(struct percpu_histogram_data *data,
			       const struct percpu_histogram_copy *copy)
{
	add_summary(data, copy);
	for (uint32_t i = 0; i < data->shape.nr_buckets; i++) {
		const uint64_t count = __atomic_load_n(&copy->counts[i], __ATOMIC_RELAXED);

		data->counts[i] += count;
		data->nr += count;
	}
}

static bool is_same_shape(const struct percpu_histogram_data *a,
			  const struct percpu_histogram_data *b)
{
	return !memcmp(&a->shape, &b->shape, sizeof(a->shape));
}

int percpu_histogram_data_merge(struct percpu_histogram_data *data,
				const struct percpu_histogram_data *other)
{
	if (!is_same_shape(data, other))
		return -EINVAL;
	for (uint32_t i = 0; i < data->shape.nr_buckets; i++)
		data->counts[i] += other->counts[i];
	data->nr += other->nr;
	data->sum += other->sum;
	data->min = other->min < data->min ? other->min : data->min;
	data->max = other->max > data->max ? other->max : data->max;
	return 0;
}

/* Narrows min and max to the buckets that contain values. */
static void narrow_range(struct percpu_histogram_data *data)
{
	uint32_t first = 0, last = data->shape.nr_buckets;
	uint64_t low, high;

	if (!data->nr) {
		data->min = UINT64_MAX;
		data->max = 0;
		return;
	}
	while (!data->counts[first])
		first++;
	while (!data->counts[last - 1])
		last--;
	low = percpu_histogram_bucket_low(&data->shape, first);
	high = percpu_histogram_bucket_high(&data->shape, last - 1);
	data->min = low > data->min ? low : data->min;
	data->max = high < data->max ? high : data->max;
}

int percpu_histogram_data_subtract(struct percpu_histogram_data *data,
				   const struct percpu_histogram_data *earlier)
{
	if (!is_same_shape(data, earlier))
		return -EINVAL;
	for (uint32_t i = 0; i < data->shape.nr_buckets; i++)
		data->counts[i] -= earlier->counts[i];
	data->nr = total(data->counts, data->shape.nr_buckets);
	data->sum -= earlier->sum;
	narrow_range(data);
	return 0;
}

/* Returns: the middle of a bucket, clamped to the range of the values. */
static uint64_t middle_of(const struct percpu_histogram_data *data, uint32_t bucket)
{
	const uint64_t low = percpu_histogram_bucket_low(&data->shape, bucket);
	const uint64_t middle =
		low + (percpu_histogram_bucket_high(&data->shape, bucket) - low) / 2;

	return middle < data->min ? data->min : middle > data->max ? data->max : middle;
}

uint64_t percpu_histogram_percentile(const struct percpu_histogram_data *data, double percent)
{
	const uint32_t above = data->shape.nr_buckets - 1;
	uint64_t rank = 1, seen = 0;
	uint32_t bucket = 0;

	if (percent >= 100 || !data->nr)
		return data->max;
	if (percent > 0) {
		/* Slightly less, as 99.9 has no exact binary form: the 999th of 1000 values. */
		const double exact = percent / 100 * data->nr * (1 - 0x1p-50);

		rank = (uint64_t)exact + 1;
	}
	while (bucket < above && (seen += data->counts[bucket]) < rank)
		bucket++;
	return bucket == above ? data->max : middle_of(data, bucket);
}

double percpu_histogram_mean(const struct percpu_histogram_data *data)
{
	return data->nr ? (double)data->sum / data->nr : 0;
}
