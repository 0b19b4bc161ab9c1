/* SPDX-License-Identifier: MIT */
/*
 * Every touched page of every copy lies on the node of its CPU, or on the nearest node with memory,
 * whichever CPU touched it first; and CPUs that are absent cost no page.
 */
#include "vm/nodes.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define NR_CHUNKS 2

struct block {
	uint64_t word[512]; /* a page where pages are small */
};
#define NR_BLOCKS (NR_CHUNKS * PERCPU_STRIDE / sizeof(struct block))

static struct block __percpu *blocks[NR_BLOCKS];

static PERCPU_DEFINE(struct block, static_block);

/* Every copy of a present CPU is written from some CPU, most often from another one. */
static void touch(struct block __percpu *block)
{
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++) {
		struct block *copy = percpu_ptr(block, cpu);

		if (node_of[cpu] < 0)
			continue;
		ck_assert(pin(random_online()));
		copy->word[0]++;
		copy->word[511]++;
	}
}

static void check_placed(struct block __percpu *block)
{
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++) {
		const struct block *copy = percpu_ptr(block, cpu);
		const int first = node_of_page(&copy->word[0]), last = node_of_page(&copy->word[511]);

		if (node_of[cpu] < 0)
			ck_assert_msg(first < 0 && last < 0, "CPU %u is not there and has a page", cpu);
		else
			ck_assert_msg(first == node_of[cpu] && last == node_of[cpu],
				      "CPU %u is on node %d, its copy on %d and %d", cpu, node_of[cpu], first, last);
	}
}

static void allocate_blocks(struct percpu_pool *pool)
{
	for (unsigned i = 0; i < NR_BLOCKS; i++) {
		blocks[i] = (struct block __percpu *)percpu_pool_alloc(pool, sizeof(struct block), 64);
		ck_assert_ptr_nonnull((void *)(uintptr_t)blocks[i]);
	}
}

static void check_stats(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(percpu_pool_stats(NULL, &stats), 0);
	ck_assert_uint_eq(stats.nr_chunks_unplaced, 0);
	ck_assert_int_eq(percpu_pool_misplaced(NULL), 0);
}

START_TEST(touched_pages_are_on_their_nodes)
{
	ask_nodes();
	printf("# nodes of %u CPUs:", percpu_nr_cpus());
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		printf(node_of[cpu] < 0 ? " -" : " %d", node_of[cpu]);
	puts("");
	fflush(stdout);
	allocate_blocks(NULL);
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		touch(blocks[i]);
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		check_placed(blocks[i]);
	check_stats();
}
END_TEST

START_TEST(static_variables_are_on_their_nodes)
{
	ask_nodes();
	touch(static_block);
	check_placed(static_block);
}
END_TEST

/*
 * Without the library's policy all pages are on the node of the thread that touches them, and the
 * test detects that.
 */
START_TEST(control_without_policy)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .node_policy = PERCPU_OFF };
	unsigned nr_wrong = 0;

	ask_nodes();
	allocate_blocks(percpu_pool_create("anywhere", &attr));
	for (unsigned i = 0; i < NR_BLOCKS; i++) {
		touch(blocks[i]);
		for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
			nr_wrong += node_of[cpu] >= 0 &&
				    node_of_page(percpu_ptr(blocks[i], cpu)->word) != node_of[cpu];
	}
	ck_assert(count_nodes() > 1 ? nr_wrong > 0 : nr_wrong == 0);
}
END_TEST

/* Shows why policies avoid nodes without memory. */
START_TEST(control_of_nodes_without_memory)
{
	void *page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (unsigned node = 0; node < 64; node++) {
		const unsigned long nodes = 1ul << node;

		if (!is_listed("/sys/devices/system/node/online", node))
			continue;
		errno = 0;
		ck_assert_int_eq(syscall(SYS_mbind, page, sysconf(_SC_PAGESIZE), MPOL_PREFERRED, &nodes, 65, 0),
				 is_listed("/sys/devices/system/node/has_memory", node) ? 0 : -1);
		ck_assert_int_eq(errno, is_listed("/sys/devices/system/node/has_memory", node) ? 0 : EINVAL);
	}
}
END_TEST

START_TEST(populated_pages_are_on_their_nodes)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .populate = PERCPU_ON };

	ask_nodes();
	ck_assert(pin(random_online()));
	allocate_blocks(percpu_pool_create("all", &attr));
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
			if (node_of[cpu] >= 0)
				ck_assert_int_eq(node_of_page(percpu_ptr(blocks[i], cpu)->word), node_of[cpu]);
}
END_TEST

/* Whole chunks and single pages go back to the kernel, and are used again. */
START_TEST(pages_after_trim_and_reuse_are_on_their_nodes)
{
	unsigned nr_gone = 0;

	ask_nodes();
	allocate_blocks(NULL);
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		touch(blocks[i]);
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		if (i < NR_BLOCKS / 2 || random_below(2)) {
			percpu_free(blocks[i]);
			blocks[i] = NULL;
			nr_gone++;
		}
	ck_assert(pin(random_online()));
	ck_assert_int_gt(percpu_trim(NULL), 0);
	for (unsigned i = 0; i < NR_BLOCKS; i++) {
		if (!blocks[i])
			blocks[i] = percpu_new(struct block);
		touch(blocks[i]);
	}
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		check_placed(blocks[i]);
	check_stats();
}
END_TEST

/* Freed and allocated again without a trim: zeroing must not touch the copies of absent CPUs. */
START_TEST(reuse_touches_no_page_of_absent_cpus)
{
	ask_nodes();
	for (unsigned turn = 0; turn < 3; turn++) {
		allocate_blocks(NULL);
		for (unsigned i = 0; i < NR_BLOCKS; i++) {
			percpu_inc(&blocks[i]->word[0]);
			touch(blocks[i]);
			ck_assert_uint_eq(percpu_sum(&blocks[i]->word[0]), 1 + count_online());
			check_placed(blocks[i]);
		}
		for (unsigned i = 0; i < NR_BLOCKS; i++)
			percpu_free(blocks[i]);
	}
}
END_TEST

/* Pages of a published pool, touched by the process that made it or by its child. */
START_TEST(published_pages_are_on_their_nodes)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .published = PERCPU_ON };
	struct percpu_pool *pool;
	pid_t worker;
	int status;

	ask_nodes();
	pool = percpu_pool_create("placed", &attr);
	ck_assert_ptr_nonnull(pool);
	allocate_blocks(pool);
	worker = fork();
	if (!worker) {
		for (unsigned i = 0; i < NR_BLOCKS; i += 2)
			touch(blocks[i]);
		_exit(0);
	}
	ck_assert(waitpid(worker, &status, 0) == worker && status == 0);
	for (unsigned i = 1; i < NR_BLOCKS; i += 2)
		touch(blocks[i]);
	for (unsigned i = 0; i < NR_BLOCKS; i++) {
		/* Pages that the worker touched exist when they are read. */
		for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
			if (node_of[cpu] >= 0)
				ck_assert_uint_eq(__atomic_load_n(&percpu_ptr(blocks[i], cpu)->word[511], __ATOMIC_RELAXED), 1);
		check_placed(blocks[i]);
	}
	ck_assert_int_eq(percpu_pool_misplaced(pool), 0);
}
END_TEST

/*
 * A process that may use one CPU places the copies of the others correctly, also if it starts so.
 */
START_TEST(narrow_affinity_changes_nothing)
{
	ask_nodes();
	ck_assert(pin(random_online()));
	check_fresh_view();
	allocate_blocks(NULL);
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
			if (node_of[cpu] >= 0)
				percpu_ptr(blocks[i], cpu)->word[0] = percpu_ptr(blocks[i], cpu)->word[511] = 1;
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		check_placed(blocks[i]);
}
END_TEST

TEST_MAIN("vm/placement", 60, touched_pages_are_on_their_nodes, static_variables_are_on_their_nodes, control_without_policy,
	  control_of_nodes_without_memory, populated_pages_are_on_their_nodes, pages_after_trim_and_reuse_are_on_their_nodes,
	  reuse_touches_no_page_of_absent_cpus, published_pages_are_on_their_nodes, narrow_affinity_changes_nothing)
