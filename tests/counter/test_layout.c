/* SPDX-License-Identifier: MIT */
/*
 * Counters, groups and histograms of programs that were compiled for another layout: refused, their
 * storage untouched.
 */
#include "harness/harness.h"

#include <errno.h>
#include <percpu/percpu.h>
#include <string.h>

/* No layout stated, and the one after the library's. */
#define OTHER_LAYOUTS(own) { 0, (own) + 1 }
#define FILLER 0xa5

static void ck_untouched(const void *storage, size_t size)
{
	for (size_t i = 0; i < size; i++)
		ck_assert_uint_eq(((const unsigned char *)storage)[i], FILLER);
}

START_TEST(counters_of_another_layout_are_refused)
{
	static const unsigned layouts[] = OTHER_LAYOUTS(PERCPU_COUNTER_LAYOUT);
	struct percpu_counter counters[2];

	memset(counters, FILLER, sizeof(counters));
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(percpu_counter_init_layout(layouts[i], 2, counters, 7, 0),
				 -ENOTSUP);
		ck_untouched(counters, sizeof(counters));
	}
	ck_assert_int_eq(percpu_counter_init_layout(PERCPU_COUNTER_LAYOUT, 2, counters, 7, 0), 0);
	ck_assert_int_eq(percpu_counter_sum(&counters[1]), 7);
	percpu_counter_fini_bulk(2, counters);
}
END_TEST

START_TEST(groups_of_another_layout_are_refused)
{
	static const unsigned layouts[] = OTHER_LAYOUTS(PERCPU_GROUP_LAYOUT);
	struct percpu_group group;

	memset(&group, FILLER, sizeof(group));
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(percpu_group_init_layout(layouts[i], &group, 2), -ENOTSUP);
		ck_untouched(&group, sizeof(group));
	}
	ck_assert_int_eq(percpu_group_init_layout(PERCPU_GROUP_LAYOUT, &group, 2), 0);
	percpu_group_fini(&group);
}
END_TEST

START_TEST(histograms_of_another_layout_are_refused)
{
	static const unsigned layouts[] = OTHER_LAYOUTS(PERCPU_HISTOGRAM_LAYOUT);
	struct percpu_histogram histogram;

	memset(&histogram, FILLER, sizeof(histogram));
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(
			percpu_histogram_init_layout(layouts[i], &histogram, NULL, 1, 1000, 3),
			-ENOTSUP);
		ck_untouched(&histogram, sizeof(histogram));
	}
	ck_assert_int_eq(
		percpu_histogram_init_layout(PERCPU_HISTOGRAM_LAYOUT, &histogram, NULL, 1, 1000, 3),
		0);
	percpu_histogram_fini(&histogram);
}
END_TEST

TEST_MAIN("layouts of statistics", 20, counters_of_another_layout_are_refused,
	  groups_of_another_layout_are_refused, histograms_of_another_layout_are_refused)
