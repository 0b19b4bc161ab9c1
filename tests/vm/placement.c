/* SPDX-License-Identifier: MIT */
/*
 * Every touched page of every copy lies on the node of its CPU, or the nearest that has memory, whoever
 * touched it first; and CPUs that are not there cost no page.
 */
#include "vm/nodes.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define NR_CHUNKS 2

struct block {
	uint64_t word[512]; /* a page where pages are small */
};
#define NR_BLOCKS (NR_CHUNKS * PERCPU_STRIDE / sizeof(struct block))

static struct block __percpu *blocks[NR_BLOCKS];

static PERCPU_DEFINE(struct block, static_block);

/* Every copy of a CPU that is there is written from some CPU, more often than not another one's. */
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

START_TEST(static_variables_are_too)
{
	ask_nodes();
	touch(static_block);
	check_placed(static_block);
}
END_TEST

/* Without the library's policy all pages come from the node of who touches them: the test sees that. */
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

/* What makes the detour around nodes without memory necessary. */
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

START_TEST(populated_pages_are_too)
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

/* Whole chunks and single pages go back, and come again. */
START_TEST(so_are_pages_after_trim_and_reuse)
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

/* Freed and taken again without a trim: what zeroes a copy must not touch those of nobody. */
START_TEST(reuse_touches_nobodys_page)
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
START_TEST(published_pages_are_too)
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
		/* What the worker touched is here when it is read. */
		for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
			if (node_of[cpu] >= 0)
				ck_assert_uint_eq(__atomic_load_n(&percpu_ptr(blocks[i], cpu)->word[511], __ATOMIC_RELAXED), 1);
		check_placed(blocks[i]);
	}
	ck_assert_int_eq(percpu_pool_misplaced(pool), 0);
}
END_TEST

/* A process that may use one CPU places what is another's all the same. */
START_TEST(narrow_affinity_changes_nothing)
{
	const unsigned nr = percpu_nr_cpus();

	ask_nodes();
	ck_assert(pin(random_online()));
	allocate_blocks(NULL);
	ck_assert_uint_eq(percpu_nr_cpus(), nr);
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		for (unsigned cpu = 0; cpu < nr; cpu++)
			if (node_of[cpu] >= 0)
				percpu_ptr(blocks[i], cpu)->word[0] = percpu_ptr(blocks[i], cpu)->word[511] = 1;
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		check_placed(blocks[i]);
}
END_TEST

/* ---- CPUs that come and go ---- */

#define NR_WRITERS 6
static uint64_t __percpu *counter;
static bool is_over;

static void *count(void *nr_steps)
{
	uint64_t steps = 0;

	for (; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); steps++)
		percpu_inc(counter);
	*(uint64_t *)nr_steps = steps;
	return NULL;
}

START_TEST(counting_while_cpus_go_and_come)
{
	unsigned switchable[8], nr_switchable, nr_turns = 0;
	uint64_t steps[NR_WRITERS], sum = 0;
	pthread_t writers[NR_WRITERS];
	cpu_set_t all;
	const time_t end = time(NULL) + 4;

	ck_assert(!sched_getaffinity(0, sizeof(all), &all));
	ask_nodes();
	ck_assert(!sched_setaffinity(0, sizeof(all), &all));
	nr_switchable = find_switchable(switchable, 8);
	ck_assert_uint_gt(nr_switchable, 0);
	counter = percpu_new(uint64_t);
	for (unsigned i = 0; i < NR_WRITERS; i++)
		ck_assert(!pthread_create(&writers[i], NULL, count, &steps[i]));
	for (; time(NULL) < end || nr_turns < 2 * nr_switchable; nr_turns++) {
		const unsigned cpu = switchable[nr_turns % nr_switchable];

		ck_assert(set_online(cpu, false));
		usleep(20000);
		ck_assert(set_online(cpu, true));
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < NR_WRITERS; i++) {
		ck_assert(!pthread_join(writers[i], NULL));
		sum += steps[i];
	}
	ck_assert_uint_eq(percpu_sum(counter), sum);
}
END_TEST

/* In a process that begins when it is off. */
START_TEST(cpus_online_later_are_right)
{
	unsigned late;
	struct block __percpu *before[8];

	ask_nodes();
	ck_assert_uint_eq(find_switchable(&late, 1), 1);
	ck_assert(set_online(late, false));
	for (unsigned i = 0; i < 8; i++)
		before[i] = percpu_new(struct block);
	allocate_blocks(NULL); /* to the end of the first chunk, and more */
	ck_assert(set_online(late, true));
	ck_assert_int_eq(ask_node(late), node_of[late]);
	for (unsigned i = 0; i < 8; i++) {
		touch(before[i]);
		check_placed(before[i]);
	}
	for (unsigned i = 0; i < NR_BLOCKS; i++)
		percpu_free(blocks[i]);
	percpu_trim(NULL);
	allocate_blocks(NULL);
	for (unsigned i = 0; i < NR_BLOCKS; i++) {
		touch(blocks[i]);
		check_placed(blocks[i]);
	}
}
END_TEST

/* VM_HOT_ADD: a device for QEMU's monitor, which the console reaches. The CPU stays. */
START_TEST(cpus_plugged_in_are_right)
{
	const char *device = getenv("VM_HOT_ADD");
	bool was_online[MAX_CPUS], is_plugged = false;
	unsigned new_cpu = 0;
	struct block __percpu *early;
	FILE *console;

	ck_assert_ptr_nonnull(device);
	ask_nodes();
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
		was_online[cpu] = node_of[cpu] >= 0;
	early = percpu_new(struct block);
	touch(early);
	console = fopen("/dev/console", "w");
	ck_assert_ptr_nonnull(console);
	fprintf(console, "@monitor device_add %s\n", device);
	fclose(console);
	for (unsigned tries = 0; tries < 100 && !is_plugged; tries++) {
		usleep(100000);
		for (new_cpu = 0; new_cpu < percpu_nr_cpus() && !is_plugged; new_cpu++)
			is_plugged = !was_online[new_cpu] && set_online(new_cpu, true);
	}
	ck_assert_msg(is_plugged, "no CPU came");
	new_cpu--;
	ask_nodes();
	ck_assert_int_ge(node_of[new_cpu], 0);
	/* A counter of before counts there; what it touches itself is near. */
	ck_assert(pin(new_cpu));
	percpu_inc(&early->word[3]);
	ck_assert_uint_eq(percpu_ptr(early, new_cpu)->word[3], 1);
	ck_assert_int_eq(node_of_page(percpu_ptr(early, new_cpu)), node_of[new_cpu]);
	allocate_blocks(NULL);
	for (unsigned i = 0; i < NR_BLOCKS; i++) {
		ck_assert(pin(new_cpu));
		percpu_inc(&blocks[i]->word[3]);
		ck_assert_uint_eq(percpu_ptr(blocks[i], new_cpu)->word[3], 1);
		ck_assert_int_eq(node_of_page(percpu_ptr(blocks[i], new_cpu)), node_of[new_cpu]);
	}
}
END_TEST

/* The last ones want a guest, and the very last a CPU to plug in. */
int main(void)
{
	const TTest *tests[] = { touched_pages_are_on_their_nodes, static_variables_are_too, control_without_policy,
		control_of_nodes_without_memory, populated_pages_are_too, so_are_pages_after_trim_and_reuse,
		reuse_touches_nobodys_page, published_pages_are_too, narrow_affinity_changes_nothing, NULL, NULL, NULL, NULL };
	unsigned nr = 9;

	if (is_guest()) {
		tests[nr++] = counting_while_cpus_go_and_come;
		tests[nr++] = cpus_online_later_are_right;
		if (getenv("VM_HOT_ADD"))
			tests[nr++] = cpus_plugged_in_are_right;
	}
	return run_suite(suite_of("vm/placement", tests, 60));
}
