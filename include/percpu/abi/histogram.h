/* SPDX-License-Identifier: MIT */
/* The ABI of histograms: a copy, the storage in programs, readings, and the slow path. */
#ifndef PERCPU_ABI_HISTOGRAM_H
#define PERCPU_ABI_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#include <percpu/abi/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERCPU_HISTOGRAM_MAX_PRECISION 14u

/* The layout of the structs below. percpu_histogram_init hands it to the library. */
#define PERCPU_HISTOGRAM_LAYOUT 1u

struct percpu_pool;

/* Which values fall into which bucket; the unit of the values is the program's choice. */
struct percpu_histogram_shape {
	uint32_t unit_shift;
	uint32_t precision_bits;
	uint32_t nr_buckets; /* including the last one, for values above the range */
	uint32_t reserved;   /* zero */
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_histogram_shape) == 16 &&
			      offsetof(struct percpu_histogram_shape, unit_shift) == 0 &&
			      offsetof(struct percpu_histogram_shape, precision_bits) == 4 &&
			      offsetof(struct percpu_histogram_shape, nr_buckets) == 8 &&
			      offsetof(struct percpu_histogram_shape, reserved) == 12,
		      "ABI: struct percpu_histogram_shape");

/* What each copy contains. All zero: no value was recorded. */
struct percpu_histogram_copy {
	uint64_t sum;         /* of all values, modulo 2^64 */
	uint64_t max;         /* the greatest value */
	uint64_t inverse_min; /* ~ the least value */
	uint64_t reserved;
	uint64_t counts[];    /* nr_buckets of them */
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_histogram_copy) == 32 &&
			      offsetof(struct percpu_histogram_copy, sum) == 0 &&
			      offsetof(struct percpu_histogram_copy, max) == 8 &&
			      offsetof(struct percpu_histogram_copy, inverse_min) == 16 &&
			      offsetof(struct percpu_histogram_copy, counts) == 32,
		      "ABI: struct percpu_histogram_copy");

/* The storage is the program's. Constant once initialised, so any number of threads may read it. */
struct percpu_histogram {
	struct percpu_histogram_copy __percpu *copies;
	struct percpu_histogram_shape shape;
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_histogram) == 24 &&
			      offsetof(struct percpu_histogram, copies) == 0 &&
			      offsetof(struct percpu_histogram, shape) == 8,
		      "ABI: struct percpu_histogram");

/*
 * A reading: the merged copies of a histogram. The caller sets counts to room for shape.nr_buckets
 * numbers. Readings of one shape can be compared, merged and subtracted.
 */
struct percpu_histogram_data {
	struct percpu_histogram_shape shape;
	uint64_t nr;  /* number of values: the sum of all counts */
	uint64_t sum; /* of the values, modulo 2^64 */
	uint64_t min; /* UINT64_MAX: no values */
	uint64_t max; /* 0: no values, or only zeroes */
	uint64_t *counts;
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_histogram_data) == 56 &&
			      offsetof(struct percpu_histogram_data, shape) == 0 &&
			      offsetof(struct percpu_histogram_data, nr) == 16 &&
			      offsetof(struct percpu_histogram_data, sum) == 24 &&
			      offsetof(struct percpu_histogram_data, min) == 32 &&
			      offsetof(struct percpu_histogram_data, max) == 40 &&
			      offsetof(struct percpu_histogram_data, counts) == 48,
		      "ABI: struct percpu_histogram_data");

/*
 * percpu_histogram_init of a program whose histograms have this layout.
 * Returns: 0; -ENOTSUP (a layout other than PERCPU_HISTOGRAM_LAYOUT: nothing is written), or as
 * percpu_histogram_init.
 */
PERCPU_API int percpu_histogram_init_layout(unsigned layout, struct percpu_histogram *histogram,
					    struct percpu_pool *pool, uint64_t lowest,
					    uint64_t highest, unsigned precision_bits);

/* The slow path of percpu_histogram_record: adds value to the sum and widens the range to it. */
PERCPU_API PERCPU__OUTLINE void percpu_histogram_note_slow(
	struct percpu_histogram_copy __percpu *copies, uint64_t value);

#ifdef __cplusplus
}
#endif
#endif
