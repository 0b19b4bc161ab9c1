/* SPDX-License-Identifier: MIT */
/* What percpu topo says of this machine, as text and as JSON, beside what its kernel says. */
#include "vm/nodes.h"

static char said[1 << 20];

static void ask(const char *command)
{
	FILE *output = popen(command, "r");

	ck_assert_ptr_nonnull(output);
	said[fread(said, 1, sizeof(said) - 1, output)] = '\0';
	ck_assert_int_eq(pclose(output), 0);
}

static void check_said(const char *line)
{
	ck_assert_msg(strstr(said, line), "no \"%s\" in\n%s", line, said);
}

/* The nodes that CPUs are on, with memory or without. */
static void ask_nodes_themselves(void)
{
	unsigned is_cpu, node;

	ask_nodes();
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		if (node_of[cpu] >= 0) {
			ck_assert(pin(cpu) && !syscall(SYS_getcpu, &is_cpu, &node, NULL));
			node_of[cpu] = (int)node;
		}
}

/* As the kernel writes it: "0-3,8". */
static void list_cpus_of_node(int node, char *list, size_t size)
{
	size_t at = 0;

	list[0] = '\0';
	for (unsigned cpu = 0, end; cpu < percpu_nr_cpus(); cpu = end) {
		end = cpu + 1;
		if (node_of[cpu] != node)
			continue;
		while (end < percpu_nr_cpus() && node_of[end] == node)
			end++;
		at += (size_t)snprintf(list + at, size - at, end - cpu > 1 ? "%s%u-%u" : "%s%u", at ? "," : "", cpu, end - 1);
		ck_assert_uint_lt(at, size);
	}
}

static void allow_all(void)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	ck_assert(!sched_setaffinity(0, sizeof(all), &all));
}

START_TEST(text)
{
	char line[4096], list[2000], online[1000] = "";
	FILE *file = fopen("/sys/devices/system/cpu/online", "r");

	ck_assert(file && fgets(online, sizeof(online), file));
	fclose(file);
	ask_nodes_themselves();
	allow_all();
	ask("percpu topo 2>&1");
	ck_assert_int_eq(strncmp(said, "mode      rseq: ", 16), 0);
	snprintf(line, sizeof(line), "\npossible  0-%u\nonline    %sallowed   %s", percpu_nr_cpus() - 1, online, online);
	check_said(line);
	for (int node = 0; node < 64; node++) {
		list_cpus_of_node(node, list, sizeof(list));
		snprintf(line, sizeof(line), *list ? "\nnode %-4d %s\n" : "\nnode %-4d ", node, list);
		if (*list)
			check_said(line);
		else
			ck_assert_ptr_null(strstr(said, line));
	}
	snprintf(line, sizeof(line), "\nstride    %zu bytes, %u copies\n", (size_t)PERCPU_STRIDE, percpu_nr_copies());
	check_said(line);
	check_said("\nplaced    1 of 1 chunks; 0 bytes lie elsewhere\n");
}
END_TEST

START_TEST(json)
{
	char line[256], node[16];
	unsigned allowed;

	ask_nodes_themselves();
	allowed = random_online();
	ck_assert(pin(allowed));
	ask("percpu topo --json 2>&1");
	snprintf(line, sizeof(line), "\"possible\":%u,\"copies\":%u,", percpu_nr_cpus(), percpu_nr_copies());
	check_said(line);
	check_said("\"unplaced_chunks\":0,\"misplaced_bytes\":0,");
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++) {
		snprintf(node, sizeof(node), node_of[cpu] < 0 ? "null" : "%d", node_of[cpu]);
		snprintf(line, sizeof(line), "{\"cpu\":%u,\"online\":%s,\"allowed\":%s,\"node\":%s}", cpu,
			 node_of[cpu] < 0 ? "false" : "true", cpu == allowed ? "true" : "false", node);
		check_said(line);
	}
}
END_TEST

TEST_MAIN("vm/topo", 60, text, json)
