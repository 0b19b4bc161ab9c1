/* SPDX-License-Identifier: MIT */
/*
 * Histograms: how often values of each size were recorded, with the sum, the least and the
 * greatest.
 *
 *	struct percpu_histogram latency;
 *	percpu_histogram_init(&latency, NULL, 1000, 60000000000, 7);	1 us to 60 s, within 1/256
 *	percpu_histogram_record(&latency, ns);
 *
 * Buckets are log-linear. The first 2^(precision_bits + 1) are one unit wide, a unit being
 * 2^unit_shift; each 2^precision_bits after them are twice as wide as those before:
 *
 *	precision_bits 2, unit 1:  0 1 2 3 4 5 6 7 | 8- 10- 12- 14- | 16- 20- 24- 28- | 32- ...
 *
 * So a bucket of values of at least 2^(unit_shift + precision_bits) is at most 2^-precision_bits of
 * any of its values wide, and its middle at most half of that away from it. The last bucket has all
 * values above the range.
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
 * percpu_histogram_init - an empty histogram in pool (NULL: the default one). Percentiles of values
 * from lowest to highest are right within value / 2^(precision_bits + 1), of smaller ones within
 * lowest / 2^(precision_bits + 1); precision_bits: 0 to PERCPU_HISTOGRAM_MAX_PRECISION.
 * Context: MT-safe; not async-signal-safe.
 * Returns: 0; -EINVAL (highest 0, below lowest or above INT64_MAX; precision); -E2BIG (more buckets
 * than a copy holds: 32 bytes and 8 a bucket, PERCPU_MAX_SIZE in all); -ENOMEM; -ENOTSUP (the
 * program was compiled for another layout of histograms than the library has: histogram is
 * untouched).
 */
PERCPU__INLINE int percpu_histogram_init(struct percpu_histogram *histogram,
					 struct percpu_pool *pool, uint64_t lowest,
					 uint64_t highest, unsigned precision_bits)
{
	return percpu_histogram_init_layout(PERCPU_HISTOGRAM_LAYOUT, histogram, pool, lowest,
					    highest, precision_bits);
}

/* Gives the copies back. Zeroed storage, and what was given back before, are fine. */
PERCPU_API void percpu_histogram_fini(struct percpu_histogram *histogram);

/* The shape that percpu_histogram_init would choose. Returns: 0, -EINVAL or -E2BIG. */
PERCPU_API int percpu_histogram_shape_init(struct percpu_histogram_shape *shape, uint64_t lowest,
					   uint64_t highest, unsigned precision_bits);

/* Whether a shape that came from outside is one that percpu_histogram_shape_init makes. */
PERCPU_API bool percpu_histogram_shape_is_valid(const struct percpu_histogram_shape *shape);

/* The number of the bucket that value falls into. */
PERCPU__INLINE uint32_t percpu_histogram_bucket(const struct percpu_histogram_shape *shape,
						uint64_t value)
{
	const uint64_t units = value >> shape->unit_shift, least = UINT64_C(1)
								   << shape->precision_bits;
	const unsigned doublings =
		63 - (unsigned)__builtin_clzll(units | least) - shape->precision_bits;
	const uint64_t bucket =
		((uint64_t)doublings << shape->precision_bits) + (units >> doublings);

	return bucket < shape->nr_buckets ? (uint32_t)bucket : shape->nr_buckets - 1;
}

/* The least and the greatest value of a bucket, below nr_buckets; UINT64_MAX: that of the last. */
PERCPU_API uint64_t percpu_histogram_bucket_low(const struct percpu_histogram_shape *shape,
						uint32_t bucket);
PERCPU_API uint64_t percpu_histogram_bucket_high(const struct percpu_histogram_shape *shape,
						 uint32_t bucket);

/* ---- recording ---- */

/*
 * percpu_histogram_record - counts value, in its bucket and in the sum.
 * Context: any thread, any time, signal handlers too. Nothing fails.
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

/* No values, of that shape; counts as the caller has set it. */
PERCPU_API void percpu_histogram_data_clear(struct percpu_histogram_data *data,
					    const struct percpu_histogram_shape *shape);

/*
 * percpu_histogram_read - clears data, which has room for the histogram's buckets, and merges all
 * copies. While others record, each count is what it was at some moment of the call, and sum, min
 * and max may know of values that the counts do not, or the other way round. Once they stopped it
 * is exact.
 * Context: MT-safe, async-signal-safe.
 */
PERCPU_API void percpu_histogram_read(const struct percpu_histogram *histogram,
				      struct percpu_histogram_data *data);

/* Adds what one copy holds, wherever it was mapped to: for readers of published memory. */
PERCPU_API void percpu_histogram_data_add(struct percpu_histogram_data *data,
					  const struct percpu_histogram_copy *copy);

/* Adds other's values to data's. Returns: 0, or -EINVAL where their shapes differ. */
PERCPU_API int percpu_histogram_data_merge(struct percpu_histogram_data *data,
					   const struct percpu_histogram_data *other);

/*
 * Takes an earlier reading of the same histogram out of a later one, so that the values between the
 * two stay. Their min and max are then known within a bucket. Returns: 0, or -EINVAL where the
 * shapes differ.
 */
PERCPU_API int percpu_histogram_data_subtract(struct percpu_histogram_data *data,
					      const struct percpu_histogram_data *earlier);

/*
 * percpu_histogram_percentile - the value that percent (0 to 100) of all values do not exceed: of
 * nr values in order, the one number ceil(nr * percent / 100), and the first for 0. Within the
 * error that percpu_histogram_init states; above the range, and at 100, it is max. No values: 0.
 */
PERCPU_API uint64_t percpu_histogram_percentile(const struct percpu_histogram_data *data,
						double percent);

/*
 * sum / nr; 0 where there are no values. Exact but for rounding, as long as the sum did not wrap.
 */
PERCPU_API double percpu_histogram_mean(const struct percpu_histogram_data *data);

#ifdef __cplusplus
}
#endif
#endif
