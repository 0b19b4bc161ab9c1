/* SPDX-License-Identifier: MIT */
/*
 * Histograms: how many values of each size were recorded, and their sum, minimum and maximum.
 *
 *	struct percpu_histogram latency;
 *	percpu_histogram_init(&latency, NULL, 1000, 60000000000, 7);	1 us to 60 s, within 1/256
 *	percpu_histogram_record(&latency, ns);
 *
 * Buckets are log-linear. The first 2^(precision_bits + 1) buckets are one unit wide, where a unit
 * is 2^unit_shift; each next 2^precision_bits buckets are twice as wide as those before:
 *
 *	precision_bits 2, unit 1:  0 1 2 3 4 5 6 7 | 8- 10- 12- 14- | 16- 20- 24- 28- | 32- ...
 *
 * So if v is a value of at least 2^(unit_shift + precision_bits), the width of its bucket is at
 * most v * 2^-precision_bits, and v is at most half of that away from the middle of the bucket. The
 * last bucket contains all values above the range.
 */
#ifndef PERCPU_HISTOGRAM_H
#define PERCPU_HISTOGRAM_H

#include <percpu/abi/histogram.h>
#include <percpu/ops.h>
#include <percpu/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * percpu_histogram_init - initialises an empty histogram in pool (NULL: the default pool). The
 * error of percentiles is at most value / 2^(precision_bits + 1) for values from lowest to highest,
 * and at most lowest / 2^(precision_bits + 1) for smaller ones. precision_bits is 0 to
 * PERCPU_HISTOGRAM_MAX_PRECISION.
 * Context: MT-safe; not async-signal-safe.
 * Returns: 0; -EINVAL (highest 0, below lowest or above INT64_MAX; precision); -E2BIG (more buckets
 * than a copy holds: 32 bytes and 8 a bucket, PERCPU_MAX_SIZE in all); -ENOMEM; -ENOTSUP (the
 * program was compiled for another layout of histograms than the library
 * has: histogram is untouched).
 */
PERCPU__INLINE int percpu_histogram_init(struct percpu_histogram *histogram,
					 struct percpu_pool *pool, uint64_t lowest,
					 uint64_t highest, unsigned precision_bits)
{
	return percpu_histogram_init_layout(PERCPU_HISTOGRAM_LAYOUT, histogram, pool, lowest,
					    highest, precision_bits);
}

/* Frees the copies. Zeroed storage is accepted, and so is a histogram that was released before. */
PERCPU_API void percpu_histogram_fini(struct percpu_histogram *histogram);

/* Computes the shape that percpu_histogram_init chooses. Returns: 0, -EINVAL or -E2BIG. */
PERCPU_API int percpu_histogram_shape_init(struct percpu_histogram_shape *shape, uint64_t lowest,
					   uint64_t highest, unsigned precision_bits);

/* Returns: true if percpu_histogram_shape_init can produce this shape; for untrusted input. */
PERCPU_API bool percpu_histogram_shape_is_valid(const struct percpu_histogram_shape *shape);

/* Returns: the number of the bucket that value falls into. */
PERCPU__INLINE uint32_t percpu_histogram_bucket(const struct percpu_histogram_shape *shape,
						uint64_t value)
{
	const uint64_t units = value >> shape->unit_shift;
	const uint64_t least = UINT64_C(1) << shape->precision_bits;
	const unsigned doublings =
		63 - (unsigned)__builtin_clzll(units | least) - shape->precision_bits;
	const uint64_t bucket =
		((uint64_t)doublings << shape->precision_bits) + (units >> doublings);

	return bucket < shape->nr_buckets ? (uint32_t)bucket : shape->nr_buckets - 1;
}

/*
 * Return the least and the greatest value of a bucket, below nr_buckets. The greatest value of the
 * last bucket is UINT64_MAX.
 */
PERCPU_API uint64_t percpu_histogram_bucket_low(const struct percpu_histogram_shape *shape,
						uint32_t bucket);
PERCPU_API uint64_t percpu_histogram_bucket_high(const struct percpu_histogram_shape *shape,
						 uint32_t bucket);

/* ---- recording ---- */

/*
 * percpu_histogram_record - counts value in its bucket, and adds it to the sum.
 * Context: any thread, at any time, including signal handlers. Cannot fail.
 */
PERCPU__INLINE void percpu_histogram_record(const struct percpu_histogram *histogram,
					    uint64_t value)
{
	struct percpu_histogram_copy __percpu *copies = histogram->copies;

	percpu__will_store(copies, sizeof(*copies));
	if (__builtin_expect(!percpu__try_histogram_note(percpu__untyped(copies), value), 0))
		percpu_histogram_note_slow(copies, value);
	percpu_inc(&copies->counts[percpu_histogram_bucket(&histogram->shape, value)]);
}

/* ---- reading ---- */

/* Makes data an empty reading of that shape. The caller has set counts. */
PERCPU_API void percpu_histogram_data_clear(struct percpu_histogram_data *data,
					    const struct percpu_histogram_shape *shape);

/*
 * percpu_histogram_read - clears data, which has room for the histogram's buckets, and merges all
 * copies into it. While others record, each count is that of some moment during the call, and a
 * value may be in sum, min and max but not in the counts, or the reverse. Exact once they have
 * stopped.
 * Context: MT-safe, async-signal-safe.
 */
PERCPU_API void percpu_histogram_read(const struct percpu_histogram *histogram,
				      struct percpu_histogram_data *data);

/* Adds one copy, mapped at any address: for readers of published pools. */
PERCPU_API void percpu_histogram_data_add(struct percpu_histogram_data *data,
					  const struct percpu_histogram_copy *copy);

/* Adds the values of other to data. Returns: 0, or -EINVAL if their shapes differ. */
PERCPU_API int percpu_histogram_data_merge(struct percpu_histogram_data *data,
					   const struct percpu_histogram_data *other);

/*
 * Subtracts an earlier reading of the same histogram, so that data has the values recorded between
 * the two. Their min and max are then known to within a bucket. Returns: 0, or -EINVAL if the
 * shapes differ.
 */
PERCPU_API int percpu_histogram_data_subtract(struct percpu_histogram_data *data,
					      const struct percpu_histogram_data *earlier);

/*
 * percpu_histogram_percentile - Returns: the value that percent (0 to 100) of all values do not
 * exceed: of nr values in ascending order, number ceil(nr * percent / 100), or the first if percent
 * is 0. The error is the one that percpu_histogram_init states. The result is max if percent is 100
 * or the value is above the range, and 0 if there are no values.
 */
PERCPU_API uint64_t percpu_histogram_percentile(const struct percpu_histogram_data *data,
						double percent);

/*
 * Returns: sum / nr, or 0 if there are no values. Exact except for rounding,
 * unless the sum wrapped.
 */
PERCPU_API double percpu_histogram_mean(const struct percpu_histogram_data *data);

#ifdef __cplusplus
}
#endif
#endif
