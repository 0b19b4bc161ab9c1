/* SPDX-License-Identifier: MIT */
/* Bins: every size has one, in order, and a sure bin keeps its promise. */
#include "area/bin.h"
#include "harness/harness.h"

START_TEST(bins_cover_sizes_in_order)
{
	for (uint32_t size = 1; size <= PERCPU__UNIT_GRANULES; size++) {
		unsigned step = bin_of(size) - (size > 1 ? bin_of(size - 1) : 0);

		ck_assert_uint_lt(bin_of(size), PERCPU__NR_BINS);
		ck_assert_uint_eq(step, size <= BIN_EXACT || size % (1u << (28 - __builtin_clz(size))) == 0);
	}
	ck_assert_uint_eq(bin_of(1), 1);
	ck_assert_uint_eq(bin_of(63), 63);
	ck_assert_uint_eq(bin_of(64), 64);
	ck_assert_uint_eq(bin_of(71), 64);
	ck_assert_uint_eq(bin_of(72), 65);
	ck_assert_uint_eq(bin_of(130), 72);
	ck_assert_uint_eq(bin_of(32767), 135);
	ck_assert_uint_eq(bin_of(PERCPU__UNIT_GRANULES), PERCPU__NR_BINS - 1);
}
END_TEST

START_TEST(sure_bins_are_sure_and_lowest)
{
	static uint32_t smallest[PERCPU__NR_BINS];

	for (uint32_t size = PERCPU__UNIT_GRANULES; size; size--)
		smallest[bin_of(size)] = size;
	for (uint32_t align = 1; align <= PERCPU__ALIGN_GRANULES_MAX; align *= 2) {
		for (uint32_t size = 1; size + align - 1 < PERCPU__UNIT_GRANULES; size++) {
			unsigned bin = bin_sure(size, align);

			ck_assert_uint_ge(smallest[bin], size + align - 1);
			ck_assert_uint_lt(smallest[bin - 1], size + align - 1);
		}
		ck_assert_uint_eq(bin_sure(PERCPU__UNIT_GRANULES, align), PERCPU__NR_BINS - 1);
	}
}
END_TEST

START_TEST(sets_find_the_next_bin)
{
	struct percpu__bins bins = { { 0 } };

	ck_assert_uint_eq(bins_next(&bins, 0), PERCPU__NR_BINS);
	for (unsigned bin = 0; bin < PERCPU__NR_BINS; bin++) {
		bins_set(&bins, bin);
		for (unsigned from = 0; from <= PERCPU__NR_BINS; from++)
			ck_assert_uint_eq(bins_next(&bins, from), from <= bin ? bin : PERCPU__NR_BINS);
		bins_clear(&bins, bin);
		ck_assert_uint_eq(bins_next(&bins, 0), PERCPU__NR_BINS);
	}
}
END_TEST

START_TEST(ranges_name_their_whole_pages)
{
	ck_assert_uint_eq(percpu__range_pages((struct percpu__range){ 0, PERCPU__UNIT_GRANULES }), UINT64_MAX);
	ck_assert_uint_eq(percpu__range_pages((struct percpu__range){ 0, 0 }), 0);
	ck_assert_uint_eq(percpu__range_pages((struct percpu__range){ 0, 511 }), 0);
	ck_assert_uint_eq(percpu__range_pages((struct percpu__range){ 0, 512 }), 1);
	ck_assert_uint_eq(percpu__range_pages((struct percpu__range){ 1, 1023 }), 2);
	ck_assert_uint_eq(percpu__range_pages((struct percpu__range){ 1, 1022 }), 0);
	ck_assert_uint_eq(percpu__range_pages((struct percpu__range){ 63 * 512, 512 }), UINT64_C(1) << 63);
	ck_assert_uint_eq(percpu__range_pages((struct percpu__range){ 63 * 512 + 1, 511 }), 0);
	ck_assert_uint_eq(percpu__range_pages((struct percpu__range){ PERCPU__UNIT_GRANULES, 0 }), 0);
}
END_TEST

TEST_MAIN("area/bin", 30, bins_cover_sizes_in_order, sure_bins_are_sure_and_lowest, sets_find_the_next_bin,
	  ranges_name_their_whole_pages)
