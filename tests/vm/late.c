/* SPDX-License-Identifier: MIT */
/*
 * Copies of CPUs that come online while a process runs lie on the right node, whichever CPU touched
 * them first. This program has no static per-CPU variable: its chunk would be made, and all nodes
 * read, before a CPU of a test is offline.
 */
#include "vm/nodes.h"

/* Makes a chunk of its own. */
static char __percpu *take_chunk(void)
{
	char __percpu *chunk = percpu_alloc(PERCPU_MAX_SIZE, 8);

	ck_assert_ptr_nonnull((void *)(uintptr_t)chunk);
	return chunk;
}

static size_t chunks_unplaced(size_t nr_chunks)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(percpu_pool_stats(NULL, &stats), 0);
	ck_assert_uint_eq(stats.nr_chunks, nr_chunks);
	return stats.nr_chunks_unplaced;
}

/* Returns: a CPU of another node, if there is one. */
static unsigned elsewhere(int node)
{
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		if (node_of[cpu] >= 0 && node_of[cpu] != node)
			return cpu;
	return 0;
}

/* Every copy of an online CPU is on that CPU's node, although a CPU of another node touched it. */
static void check_placed(char __percpu *chunk, unsigned late)
{
	ck_assert(pin(elsewhere(node_of[late])));
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++) {
		char *copy = percpu_ptr(chunk, cpu);

		if (node_of[cpu] < 0)
			continue;
		copy[0] = copy[PERCPU_MAX_SIZE - 1] = 1;
		ck_assert_msg(node_of_page(copy) == node_of[cpu] && node_of_page(copy + PERCPU_MAX_SIZE - 1) == node_of[cpu],
			      "CPU %u is on node %d, its copy on %d (%u came late)", cpu, node_of[cpu], node_of_page(copy), late);
	}
}

START_TEST(cpus_online_later_are_right)
{
	unsigned which[8], late;
	char __percpu *before;

	ask_nodes();
	late = find_switchable(which, 8);
	ck_assert_uint_gt(late, 0);
	late = which[late - 1];
	ck_assert_uint_eq(chunks_unplaced(0), 0);
	ck_assert(set_online(late, false));
	before = take_chunk();
	ck_assert(set_online(late, true));
	ck_assert_int_eq(ask_node(late), node_of[late]);
	check_placed(before, late);
	check_placed(take_chunk(), late);
	ck_assert_uint_eq(chunks_unplaced(2), 0);
	ck_assert_int_eq(percpu_pool_misplaced(NULL), 0);
}
END_TEST

/* VM_HOT_ADD: a device for QEMU's monitor, which the console reaches. Returns: the CPU's number. */
static unsigned plug_in(void)
{
	FILE *console = fopen("/dev/console", "w");

	ck_assert_ptr_nonnull(console);
	fprintf(console, "@monitor device_add %s\n", getenv("VM_HOT_ADD"));
	fclose(console);
	for (unsigned tries = 0; tries < 100; tries++) {
		usleep(100000);
		for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
			if (node_of[cpu] < 0 && set_online(cpu, true))
				return cpu;
	}
	ck_abort_msg("no CPU came");
}

/* The CPU remains. */
START_TEST(cpus_plugged_in_are_right)
{
	const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	char __percpu *before;
	unsigned late;
	char *copy;

	ask_nodes();
	before = take_chunk();
	check_placed(before, 0);
	late = plug_in();
	ask_nodes();
	ck_assert_int_ge(node_of[late], 0);
	check_placed(take_chunk(), late);
	ck_assert_uint_eq(chunks_unplaced(2), 0);
	ck_assert_int_eq(percpu_pool_misplaced(NULL), 0);
	/*
	 * A counter from before works there; its page is on the node of the first access, and
	 * statistics say so.
	 */
	copy = percpu_ptr(before, late);
	ck_assert(pin(late));
	percpu_inc(before);
	ck_assert_int_eq(copy[0], 1);
	ck_assert_int_eq(node_of_page(copy), node_of[late]);
	ck_assert_int_eq(percpu_pool_misplaced(NULL), 0);
	ck_assert(pin(elsewhere(node_of[late])));
	copy[page_bytes] = 1;
	ck_assert_int_eq(percpu_pool_misplaced(NULL),
			 node_of_page(copy + page_bytes) == node_of[late] ? 0 : (ssize_t)page_bytes);
}
END_TEST

/* They need a guest, and the last one a CPU to plug in. */
int main(void)
{
	const TTest *tests[] = { cpus_online_later_are_right, NULL, NULL };

	if (!is_guest())
		return puts("1..0 # SKIP CPUs go offline and online only in guests") < 0;
	if (getenv("VM_HOT_ADD"))
		tests[1] = cpus_plugged_in_are_right;
	return run_suite(suite_of("vm/late", tests, 60));
}
