/* SPDX-License-Identifier: MIT */
/*
 * A chunk that is made before libnuma has found the nodes is counted as unplaced; later chunks are
 * placed.
 */
#include "vm/nodes.h"

static uint64_t __percpu *early;

static void allocate_early(void)
{
	early = percpu_new(uint64_t);
}

/* Runs before all constructors, also those of libraries. */
__attribute__((section(".preinit_array"), used)) static void (*const run_early)(void) = allocate_early;

static struct percpu_pool_stats stats_now(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(percpu_pool_stats(NULL, &stats), 0);
	return stats;
}

START_TEST(chunks_made_too_early_are_counted)
{
	char *later;

	ask_nodes();
	ck_assert_ptr_nonnull(early);
	percpu_inc(early);
	ck_assert_uint_eq(percpu_sum(early), 1);
	ck_assert_uint_eq(stats_now().nr_chunks, 1);
	ck_assert_uint_eq(stats_now().nr_chunks_unplaced, count_nodes() > 1);
	later = percpu_alloc(PERCPU_MAX_SIZE, 8);
	ck_assert_uint_eq(stats_now().nr_chunks, 2);
	ck_assert_uint_eq(stats_now().nr_chunks_unplaced, count_nodes() > 1);
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		if (node_of[cpu] >= 0) {
			*percpu_ptr(later, cpu) = 1;
			ck_assert_int_eq(node_of_page(percpu_ptr(later, cpu)), node_of[cpu]);
		}
	percpu_free(later);
	percpu_free(early);
}
END_TEST

TEST_MAIN("vm/early", 60, chunks_made_too_early_are_counted)
