/* SPDX-License-Identifier: MIT */
/*
 * The nodes of CPUs that libnuma does not know. The tests make a sysfs of their own, in which CPUs
 * appear and go online, and replace libnuma: there are four nodes; node 1 has no memory, and its
 * nearest node is 3.
 */
#include "harness/harness.h"
#include "platform/platform.h"
#include "topology/topology.h"

#ifdef HAVE_LIBNUMA
#include <errno.h>
#include <numa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NR_CPUS 8
#define NR_NODES 4

static unsigned nr_asked, nr_links_read;

int __wrap_numa_available(void);
int __wrap_numa_max_node(void);
int __wrap_numa_distance(int from, int to);
int __wrap_numa_node_of_cpu(int cpu);
ssize_t __wrap_percpu__read_link(const char *path, char *text, size_t size);
ssize_t __real_percpu__read_link(const char *path, char *text, size_t size);

int __wrap_numa_available(void)
{
	return 0;
}

int __wrap_numa_max_node(void)
{
	return NR_NODES - 1;
}

int __wrap_numa_distance(int from, int to)
{
	return from == to ? 10 : 40 - 5 * to;
}

/* Only CPUs 0 and 1 were online when libnuma read sysfs. */
int __wrap_numa_node_of_cpu(int cpu)
{
	nr_asked++;
	return cpu < 2 ? 2 * cpu : -1;
}

ssize_t __wrap_percpu__read_link(const char *path, char *text, size_t size)
{
	nr_links_read++;
	return __real_percpu__read_link(path, text, size);
}

/* ---- the sysfs of the test ---- */

static char root[64];

static char *path_of(const char *tail)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/devices/system/%s", root, tail);
	return path;
}

static void say(const char *tail, const char *text)
{
	FILE *file = fopen(path_of(tail), "w");

	ck_assert(file && fputs(text, file) >= 0);
	fclose(file);
}

static void link_cpu(unsigned cpu, unsigned node)
{
	char tail[64];

	snprintf(tail, sizeof(tail), "node/node%u/cpu%u", node, cpu);
	ck_assert_int_eq(symlink("../../cpu/cpu", path_of(tail)), 0);
}

static void setup(void)
{
	static const char *const folders[] = {
		"", "cpu", "node", "node/node0", "node/node1", "node/node2", "node/node3",
	};
	char above[96];

	strcpy(root, "/tmp/percpu-sysfs-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	snprintf(above, sizeof(above), "%s/devices", root);
	ck_assert_int_eq(mkdir(above, 0700), 0);
	for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		ck_assert_int_eq(mkdir(path_of(folders[i]), 0700), 0);
	say("cpu/present", "0-3,6\n");
	say("cpu/online", "0-1\n");
	say("node/possible", "0-3\n");
	link_cpu(0, 0);
	link_cpu(1, 2);
	link_cpu(2, 3);
	link_cpu(3, 1);
	link_cpu(6, 0);
	numa_all_nodes_ptr = numa_allocate_nodemask();
	numa_bitmask_setbit(numa_all_nodes_ptr, 0);
	numa_bitmask_setbit(numa_all_nodes_ptr, 2);
	numa_bitmask_setbit(numa_all_nodes_ptr, 3);
	percpu__ask_nodes(NR_CPUS);
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -r %s", root);
	ck_assert_int_eq(system(command), 0);
}

static void check_nodes(const int *nodes)
{
	for (unsigned cpu = 0; cpu < NR_CPUS; cpu++)
		ck_assert_msg(percpu__cpu_to_memory_node(cpu) == nodes[cpu],
			      "CPU %u is on node %d, not %d", cpu, percpu__cpu_to_memory_node(cpu),
			      nodes[cpu]);
}

static void look(void)
{
	errno = 77;
	percpu__find_new_cpus(root, NR_CPUS);
	ck_assert_int_eq(errno, 77);
}

START_TEST(offline_cpus_have_nodes)
{
	setup();
	check_nodes((int[NR_CPUS]){ 0, 2, -1, -1, -1, -1, -1, -1 });
	look();
	check_nodes((int[NR_CPUS]){ 0, 2, 3, 3, -1, -1, 0, -1 });
	teardown();
}
END_TEST

START_TEST(hot_added_cpus_have_nodes_at_once)
{
	setup();
	look();
	link_cpu(5, 2);
	say("cpu/present", "0-3,5-6\n");
	look();
	check_nodes((int[NR_CPUS]){ 0, 2, 3, 3, -1, 2, 0, -1 });
	/* The directory of CPU 7's node appears only when the CPU goes online. */
	say("cpu/present", "0-3,5-7\n");
	look();
	ck_assert_int_eq(percpu__cpu_to_memory_node(7), -1);
	link_cpu(7, 0);
	say("cpu/online", "0-1,7\n");
	look();
	check_nodes((int[NR_CPUS]){ 0, 2, 3, 3, -1, 2, 0, 0 });
	teardown();
}
END_TEST

START_TEST(absent_cpus_are_looked_for_only_after_a_change)
{
	/*
	 * Nodes tried until a link is found: 4 for CPU 2, 2 for CPU 3, 1 for CPU 6, and all for the
	 * absent CPUs 4 and 5. CPU 7 is beyond the last present CPU and not tried.
	 */
	const unsigned nr_first = 4 + 2 + 1 + 2 * NR_NODES;

	setup();
	look();
	ck_assert_uint_eq(nr_links_read, nr_first);
	for (unsigned i = 0; i < 10; i++)
		look();
	check_nodes((int[NR_CPUS]){ 0, 2, 3, 3, -1, -1, 0, -1 });
	ck_assert_uint_eq(nr_links_read, nr_first);
	ck_assert_uint_eq(nr_asked, NR_CPUS);
	say("cpu/present", "0-7\n");
	look();
	ck_assert_uint_eq(nr_links_read, nr_first + 3 * NR_NODES);
	teardown();
}
END_TEST

START_TEST(without_sysfs_the_answers_of_libnuma_stay)
{
	setup();
	teardown();
	look();
	check_nodes((int[NR_CPUS]){ 0, 2, -1, -1, -1, -1, -1, -1 });
}
END_TEST

START_TEST(libnuma_is_asked_once_and_after_its_constructor)
{
	ck_assert_int_eq(percpu__cpu_to_memory_node(0), -1);
	ck_assert_uint_eq(nr_asked, 0);
	numa_all_nodes_ptr = NULL; /* as before libnuma's constructor has run */
	percpu__ask_nodes(NR_CPUS);
	ck_assert_uint_eq(nr_asked, 0);
	setup();
	ck_assert_uint_eq(nr_asked, NR_CPUS);
	percpu__ask_nodes(NR_CPUS);
	check_nodes((int[NR_CPUS]){ 0, 2, -1, -1, -1, -1, -1, -1 });
	ck_assert_uint_eq(nr_asked, NR_CPUS);
	teardown();
}
END_TEST

TEST_MAIN("topology: nodes", 60, libnuma_is_asked_once_and_after_its_constructor,
	  offline_cpus_have_nodes, hot_added_cpus_have_nodes_at_once,
	  absent_cpus_are_looked_for_only_after_a_change, without_sysfs_the_answers_of_libnuma_stay)
#else
int main(void)
{
	return puts("1..0 # SKIP built without libnuma") < 0;
}
#endif
