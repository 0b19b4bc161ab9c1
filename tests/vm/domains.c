/* SPDX-License-Identifier: MIT */
/*
 * Sums by core, L3 cache, node and package of a real machine, compared with the kernel's
 * description of each CPU, which this test reads without hwloc.
 */
#include "vm/nodes.h"

static const enum percpu_level levels[] = { PERCPU_LEVEL_CORE, PERCPU_LEVEL_L3, PERCPU_LEVEL_NODE, PERCPU_LEVEL_PACKAGE };
#define NR_LEVELS (sizeof(levels) / sizeof(levels[0]))

/* Reads a line of /sys/devices/system/cpu/cpuN/, or nothing. */
static const char *sysfs_of(unsigned cpu, const char *name)
{
	static char line[256];
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/%s", cpu, name);
	file = fopen(path, "r");
	if (!file || !fgets(line, sizeof(line), file))
		line[0] = '\0';
	if (file)
		fclose(file);
	return line;
}

/*
 * Returns: a text that identifies the CPU's domain, or an empty one if the machine has no such
 * level.
 */
static void kernels_word(enum percpu_level level, unsigned cpu, char *word, size_t size)
{
	unsigned is_cpu, node;

	switch (level) {
	case PERCPU_LEVEL_CORE: snprintf(word, size, "%s", sysfs_of(cpu, "topology/core_cpus_list")); break;
	case PERCPU_LEVEL_L3: snprintf(word, size, "%s", sysfs_of(cpu, "cache/index3/shared_cpu_list")); break;
	case PERCPU_LEVEL_NODE:
		ck_assert(pin(cpu) && !syscall(SYS_getcpu, &is_cpu, &node, NULL));
		snprintf(word, size, "%u\n", node);
		break;
	case PERCPU_LEVEL_PACKAGE: snprintf(word, size, "%s", sysfs_of(cpu, "topology/physical_package_id")); break;
	}
}

static char words[MAX_CPUS][64]; /* by CPU */

static void ask_kernel(enum percpu_level level)
{
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		if (node_of[cpu] >= 0)
			kernels_word(level, cpu, words[cpu], sizeof(words[cpu]));
}

static bool is_last(enum percpu_level level, int domain)
{
	return domain == percpu_nr_domains(level) - 1;
}

START_TEST(domains_are_those_of_the_kernel)
{
	ask_nodes();
	for (const enum percpu_level *level = levels; level < levels + NR_LEVELS; level++) {
		ask_kernel(*level);
		printf("# level %d: %d domains\n", (int)*level, percpu_nr_domains(*level) - 1);
		fflush(stdout);
		for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++) {
			const int domain = percpu_domain_of(*level, cpu);

			ck_assert_int_ge(domain, 0);
			ck_assert_msg(is_last(*level, domain) == (node_of[cpu] < 0 || !*words[cpu]),
				      "level %d: CPU %u in domain %d, the kernel says %s", (int)*level, cpu, domain, words[cpu]);
			for (unsigned other = 0; node_of[cpu] >= 0 && other < cpu; other++)
				ck_assert_msg(node_of[other] < 0 || (percpu_domain_of(*level, other) == domain) ==
									    !strcmp(words[cpu], words[other]),
					      "level %d: CPUs %u and %u", (int)*level, cpu, other);
		}
		ck_assert(is_last(*level, percpu_domain_of(*level, percpu_nr_copies() - 1)));
	}
}
END_TEST

/* Nodes and packages have the kernel's numbers. */
START_TEST(numbers_of_domains_are_those_of_the_kernel)
{
	static const enum percpu_level numbered[] = { PERCPU_LEVEL_NODE, PERCPU_LEVEL_PACKAGE };

	ask_nodes();
	for (int i = 0; i < 2; i++) {
		ask_kernel(numbered[i]);
		for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
			if (node_of[cpu] >= 0)
				ck_assert_int_eq(percpu_domain_number(numbered[i], (unsigned)percpu_domain_of(numbered[i], cpu)),
						 atoi(words[cpu]));
	}
}
END_TEST

START_TEST(sums_are_those_of_the_domains_cpus)
{
	uint64_t __percpu *counter;
	uint64_t sums[MAX_CPUS], want[MAX_CPUS], pairs[2 * MAX_CPUS];

	ask_nodes();
	for (const enum percpu_level *level = levels; level < levels + NR_LEVELS; level++) {
		uint64_t total = 0;

		counter = percpu_new_array(uint64_t, 2);
		memset(want, 0, sizeof(want));
		for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
			if (node_of[cpu] >= 0 && pin(cpu)) {
				percpu_add(&counter[0], cpu + 1);
				percpu_add(&counter[1], 1);
				want[percpu_domain_of(*level, cpu)] += cpu + 1;
			}
		ck_assert_int_eq(percpu_sum_by(&counter[0], *level, sums, MAX_CPUS), 0);
		ck_assert_int_eq(percpu_sum_u64_by(pairs, counter, 2, *level, MAX_CPUS), 0);
		for (int domain = 0; domain < percpu_nr_domains(*level); domain++) {
			ck_assert_uint_eq(sums[domain], want[domain]);
			ck_assert_uint_eq(pairs[2 * domain], want[domain]);
			total += pairs[2 * domain + 1];
		}
		ck_assert_uint_eq(total, count_online());
		percpu_free(counter);
	}
}
END_TEST

/*
 * A CPU that was offline when domains were first used is in no domain; its counts are in the last
 * sum.
 */
START_TEST(counts_of_late_cpus_are_in_the_last_sum)
{
	uint64_t sums[MAX_CPUS];
	uint64_t __percpu *counter;
	unsigned late;

	ask_nodes();
	ck_assert_uint_eq(find_switchable(&late, 1), 1);
	ck_assert(set_online(late, false));
	for (const enum percpu_level *level = levels; level < levels + NR_LEVELS; level++)
		ck_assert(is_last(*level, percpu_domain_of(*level, late)));
	ck_assert(set_online(late, true));
	ck_assert(pin(late));
	counter = percpu_new(uint64_t);
	percpu_inc(counter);
	for (const enum percpu_level *level = levels; level < levels + NR_LEVELS; level++) {
		ck_assert_int_eq(percpu_sum_by(counter, *level, sums, MAX_CPUS), 0);
		ck_assert_uint_eq(sums[percpu_nr_domains(*level) - 1], 1);
	}
	percpu_free(counter);
}
END_TEST

/* The last one needs a guest. */
int main(void)
{
	const TTest *tests[] = { domains_are_those_of_the_kernel, numbers_of_domains_are_those_of_the_kernel, sums_are_those_of_the_domains_cpus, NULL, NULL };

	if (is_guest())
		tests[3] = counts_of_late_cpus_are_in_the_last_sum;
	return run_suite(suite_of("vm/domains", tests, 60));
}
