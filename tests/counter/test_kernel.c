/* SPDX-License-Identifier: MIT */
/* Kernel code with counters: a file system's free blocks, and an array of counters per object. */
#include "harness/harness.h"

#include <pthread.h>

#include <percpu/kernel.h>
#include <percpu/percpu.h>

#define EXAMPLE_WATERMARK 1000

struct example_sb_info {
	struct percpu_counter s_freeblocks_counter;
	struct percpu_counter s_dirs[3];
};

static struct example_sb_info sbi;

static int example_fill_super(struct example_sb_info *sb)
{
	int err = percpu_counter_init(&sb->s_freeblocks_counter, 100000, GFP_KERNEL);

	if (err)
		return err;
	err = percpu_counter_init_many(sb->s_dirs, 0, GFP_KERNEL | __GFP_ZERO, 3);
	if (err)
		percpu_counter_destroy(&sb->s_freeblocks_counter);
	return err;
}

static int example_has_free_blocks(struct example_sb_info *sb, int64_t nblocks)
{
	struct percpu_counter *fbc = &sb->s_freeblocks_counter;

	if (percpu_counter_read_positive(fbc) - nblocks < EXAMPLE_WATERMARK)
		return percpu_counter_sum_positive(fbc) >= nblocks;
	return 1;
}

static void *example_allocate(void *arg)
{
	for (int i = 0; i < 10000; i++) {
		percpu_counter_dec(&sbi.s_freeblocks_counter);
		percpu_counter_add_batch(&sbi.s_dirs[i % 3], 2, 128);
		percpu_counter_sub(&sbi.s_dirs[i % 3], 1);
	}
	return arg;
}

START_TEST(kernel_code_counts)
{
	pthread_t threads[4];

	ck_assert(!percpu_counter_initialized(&sbi.s_freeblocks_counter));
	ck_assert_int_eq(example_fill_super(&sbi), 0);
	ck_assert(percpu_counter_initialized(&sbi.s_freeblocks_counter));
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, example_allocate, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(percpu_counter_sum(&sbi.s_freeblocks_counter), 60000);
	ck_assert(example_has_free_blocks(&sbi, 60000));
	ck_assert(!example_has_free_blocks(&sbi, 60001));
	ck_assert_int_eq(percpu_counter_compare(&sbi.s_freeblocks_counter, 60000), 0);
	ck_assert_int_eq(__percpu_counter_compare(&sbi.s_freeblocks_counter, 59999, 1), 1);
	ck_assert_int_eq(percpu_counter_sum(&sbi.s_dirs[0]) + percpu_counter_sum(&sbi.s_dirs[1]) +
				 percpu_counter_sum(&sbi.s_dirs[2]), 40000);
	percpu_counter_set(&sbi.s_freeblocks_counter, -100000);
	ck_assert_int_eq(percpu_counter_sum_positive(&sbi.s_freeblocks_counter), 0);
	ck_assert_int_eq(percpu_counter_read_positive(&sbi.s_freeblocks_counter), 0);
	percpu_counter_destroy_many(sbi.s_dirs, 3);
	percpu_counter_destroy(&sbi.s_freeblocks_counter);
	ck_assert(!percpu_counter_initialized(&sbi.s_freeblocks_counter));
}
END_TEST

/* A reading is less than one batch per CPU off, as lib/flex_proportions.c expects. */
START_TEST(a_named_batch_bounds_what_is_read)
{
	struct percpu_counter events;

	ck_assert_int_eq(percpu_counter_init(&events, 0, GFP_KERNEL), 0);
	for (int i = 1; i < 100; i++) {
		percpu_counter_add_batch(&events, 1, 1);
		ck_assert_int_eq(percpu_counter_read(&events), i);
	}
	for (int i = 0; i < 100; i++) {
		percpu_counter_add_batch(&events, 1, 8);
		ck_assert_int_lt(percpu_counter_sum_all(&events) - percpu_counter_read(&events),
				 8 * nr_cpu_ids);
	}
	ck_assert_int_eq(__percpu_counter_sum(&events), 199);
	ck_assert_int_eq(__percpu_counter_compare(&events, 199, 1000000), 0);
	percpu_counter_destroy(&events);
}
END_TEST

START_TEST(kernel_code_syncs_and_keeps_limits)
{
	struct percpu_counter blocks;

	ck_assert_int_eq(percpu_counter_init(&blocks, 0, GFP_KERNEL), 0);
	percpu_counter_add_local(&blocks, 3);
	percpu_counter_sync(&blocks);
	ck_assert(percpu_counter_limited_add(&blocks, 10, 7));
	ck_assert(!percpu_counter_limited_add(&blocks, 10, 1));
	ck_assert_int_eq(percpu_counter_sum(&blocks), 10);
	percpu_counter_destroy(&blocks);
}
END_TEST

TEST_MAIN("counter/kernel", 60, kernel_code_counts, a_named_batch_bounds_what_is_read,
	  kernel_code_syncs_and_keeps_limits)
