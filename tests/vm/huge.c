/* SPDX-License-Identifier: MIT */
/*
 * huge DOMAINS: eight neighbouring copies whose CPUs are on one node share a huge page of that
 * node, DOMAINS times on this machine; eight neighbours of several nodes have small pages, each on
 * its own node.
 */
#include "percpu/huge.h"
#include "vm/nodes.h"

#include <sys/mman.h>

#define NR_NEIGHBOURS 8

static unsigned nr_expected;

static bool are_of_one_node(unsigned first)
{
	for (unsigned cpu = first; cpu < first + NR_NEIGHBOURS; cpu++)
		if (cpu >= percpu_nr_cpus() || node_of[cpu] < 0 || node_of[cpu] != node_of[first])
			return false;
	return true;
}

static bool is_resident(const char *at)
{
	unsigned char present;

	return mincore((void *)((uintptr_t)at & -(uintptr_t)sysconf(_SC_PAGESIZE)), 1, &present) == 0 && present & 1;
}

START_TEST(pages_are_shared_on_one_node_and_never_across)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .huge_pages = PERCPU_ON };
	struct percpu_pool_stats stats = { .size = sizeof(stats) };
	struct percpu_pool *pool;
	unsigned nr_shared = 0;
	char *p;

	ask_nodes();
	ck_assert(has_huge_pages());
	pool = percpu_pool_create("huge", &attr);
	p = percpu_pool_alloc(pool, PERCPU_MAX_SIZE, 8);
	ck_assert_ptr_nonnull(p);
	for (unsigned first = 0; first < percpu_nr_cpus(); first += NR_NEIGHBOURS) {
		const bool shared = are_of_one_node(first);

		if (node_of[first] < 0)
			continue;
		nr_shared += shared;
		ck_assert(pin(random_online()));
		*percpu_ptr(p, first) = 1;
		for (unsigned cpu = first + 1; cpu < first + NR_NEIGHBOURS && cpu < percpu_nr_cpus(); cpu++)
			ck_assert_msg(is_resident(percpu_ptr(p, cpu)) == shared, "copies %u and %u", first, cpu);
	}
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		if (node_of[cpu] >= 0) {
			ck_assert(pin(random_online()));
			percpu_ptr(p, cpu)[PERCPU_MAX_SIZE - 1] = 1;
			ck_assert_int_eq(node_of_page(percpu_ptr(p, cpu) + PERCPU_MAX_SIZE - 1), node_of[cpu]);
		}
	ck_assert_uint_eq(nr_shared, nr_expected);
	ck_assert_int_eq(percpu_pool_stats(pool, &stats), 0);
	ck_assert_uint_eq(stats.nr_chunks_huge, nr_shared > 0);
	ck_assert_int_eq(percpu_pool_misplaced(pool), 0);
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = { pages_are_shared_on_one_node_and_never_across, NULL };

	if (argc != 2)
		return 2;
	nr_expected = (unsigned)atoi(argv[1]);
	return run_suite(suite_of("vm/huge", tests, 60));
}
