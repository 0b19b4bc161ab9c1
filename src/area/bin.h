/* SPDX-License-Identifier: MIT */
/*
 * Bins: the size classes of free areas, in granules.
 *
 *   size   1  2  3 ... 63 | 64..71  72..79 ... 120..127 | 128..143 ... | ... 30720..32767 | 32768
 *   bin    1  2  3 ... 63 |   64      65          71    |    72        |         135      |  136
 *
 * Up to size 63 a bin holds a single size, so any area in it fits. From 64 on each doubling has
 * eight bins.
 * Worked example: a request for 130 belongs to bin 72, whose areas may be too small; any area in
 * bin 73, which starts at 144, fits.
 */
#ifndef PERCPU_AREA_BIN_H
#define PERCPU_AREA_BIN_H

#include "area/area.h"

#define BIN_EXACT 64u /* each smaller size has a bin of its own */
#define BIN_EXACT_LOG2 6
#define BIN_SUB_LOG2 3 /* log2 of bins per doubling */

_Static_assert(BIN_EXACT == 1u << BIN_EXACT_LOG2, "the first doubling starts where exact bins end");
_Static_assert(PERCPU__UNIT_GRANULES == 1u << 15, "the last bin holds a whole unit alone");
_Static_assert(PERCPU__NR_BINS == BIN_EXACT + ((15 - BIN_EXACT_LOG2) << BIN_SUB_LOG2) + 1,
	       "the bins cover all sizes");

static inline unsigned bin_of(uint32_t size)
{
	unsigned shift;

	if (size < BIN_EXACT)
		return size;
	shift = 31 - (unsigned)__builtin_clz(size) - BIN_SUB_LOG2;
	return BIN_EXACT + ((shift + BIN_SUB_LOG2 - BIN_EXACT_LOG2) << BIN_SUB_LOG2) +
	       (size >> shift) - (1u << BIN_SUB_LOG2);
}

/* Returns: the first bin whose areas all have room for the request, wherever they start. */
static inline unsigned bin_sure(uint32_t size, uint32_t align)
{
	uint32_t need = size + align - 1;

	/* An area of a whole unit starts at offset 0. */
	return need < PERCPU__UNIT_GRANULES ? bin_of(need - 1) + 1 : PERCPU__NR_BINS - 1;
}

/* Returns: the first bin of the set at or after bin; PERCPU__NR_BINS if there is none. */
static inline unsigned bins_next(const struct percpu__bins *bins, unsigned bin)
{
	unsigned i = bin / 64;
	uint64_t word;

	if (bin >= PERCPU__NR_BINS)
		return PERCPU__NR_BINS;
	word = bins->word[i] & (~UINT64_C(0) << bin % 64);
	while (!word) {
		if (++i == PERCPU__BINS_WORDS)
			return PERCPU__NR_BINS;
		word = bins->word[i];
	}
	return i * 64 + (unsigned)__builtin_ctzll(word);
}

static inline void bins_set(struct percpu__bins *bins, unsigned bin)
{
	bins->word[bin / 64] |= UINT64_C(1) << bin % 64;
}

static inline void bins_clear(struct percpu__bins *bins, unsigned bin)
{
	bins->word[bin / 64] &= ~(UINT64_C(1) << bin % 64);
}

#endif
