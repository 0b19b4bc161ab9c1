/* SPDX-License-Identifier: MIT */
/*
 * The output of percpu topo on this machine, as text and as JSON, compared with the kernel's
 * description.
 */
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

static int own_node_of[MAX_CPUS]; /* the node that a CPU is on, with memory or without; -1: not online */

static void ask_all(void)
{
	unsigned is_cpu, node;

	ask_nodes();
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++) {
		own_node_of[cpu] = -1;
		if (node_of[cpu] >= 0) {
			ck_assert(pin(cpu) && !syscall(SYS_getcpu, &is_cpu, &node, NULL));
			own_node_of[cpu] = (int)node;
		}
	}
}

static void read_line(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "r");

	ck_assert(file && fgets(line, size, file));
	fclose(file);
}

/* Formats a list as the kernel does: "0-3,8". */
static void list_cpus_of_node(const int *nodes, int node, char *list, size_t size)
{
	size_t at = 0;

	list[0] = '\0';
	for (unsigned cpu = 0, end; cpu < percpu_nr_cpus(); cpu = end) {
		end = cpu + 1;
		if (nodes[cpu] != node)
			continue;
		while (end < percpu_nr_cpus() && nodes[end] == node)
			end++;
		at += (size_t)snprintf(list + at, size - at, end - cpu > 1 ? "%s%u-%u" : "%s%u", at ? "," : "", cpu, end - 1);
		ck_assert_uint_lt(at, size);
	}
}

/* Reads the lines of that name, which list the CPUs of each node. */
static void check_nodes(const char *what, const int *nodes)
{
	char line[4096], list[2000];

	for (int node = 0; node < 64; node++) {
		list_cpus_of_node(nodes, node, list, sizeof(list));
		snprintf(line, sizeof(line), *list ? "\n%s %-*d %s\n" : "\n%s %-*d ", what, 8 - (int)strlen(what), node, list);
		if (*list)
			check_said(line);
		else
			ck_assert_ptr_null(strstr(said, line));
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
	char line[4096], possible[1000], online[1000];

	read_line("/sys/devices/system/cpu/possible", possible, sizeof(possible));
	read_line("/sys/devices/system/cpu/online", online, sizeof(online));
	ask_all();
	allow_all();
	ask("percpu topo 2>&1");
	ck_assert_int_eq(strncmp(said, "mode      rseq: ", 16), 0);
	snprintf(line, sizeof(line), "\npossible  %sonline    %sallowed   %s", possible, online, online);
	check_said(line);
	check_nodes("node", own_node_of);
	check_nodes("pages", node_of);
	snprintf(line, sizeof(line), "\nstride    %zu bytes, %u copies\n", (size_t)PERCPU_STRIDE, percpu_nr_copies());
	check_said(line);
	check_said("\nplaced    1 of 1 chunks; 0 bytes lie elsewhere\n");
}
END_TEST

/* Formats ,"name":node as JSON. */
static void add_node(char *line, const char *name, int node)
{
	sprintf(line + strlen(line), node < 0 ? ",\"%s\":null" : ",\"%s\":%d", name, node);
}

START_TEST(json)
{
	static const char possible[] = "/sys/devices/system/cpu/possible";
	char line[256];
	unsigned allowed;

	ask_all();
	allowed = random_online();
	ck_assert(pin(allowed));
	ask("percpu topo --json 2>&1");
	snprintf(line, sizeof(line), "{\"mode\":\"rseq\",\"reason\":\"%s\",\"rseq\":{\"registered_by\":\"libc\",", percpu_mode_reason());
	check_said(line);
	snprintf(line, sizeof(line), "},\"copies\":%u,\"stride\":%zu,\"chunk_bytes\":", percpu_nr_copies(), (size_t)PERCPU_STRIDE);
	check_said(line);
	check_said("\"unplaced_chunks\":0,\"misplaced_bytes\":0,");
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++) {
		snprintf(line, sizeof(line), "{\"cpu\":%u,\"possible\":%s,\"online\":%s,\"allowed\":%s", cpu,
			 is_listed(possible, cpu) ? "true" : "false", node_of[cpu] < 0 ? "false" : "true",
			 cpu == allowed ? "true" : "false");
		add_node(line, "node", own_node_of[cpu]);
		add_node(line, "page_node", node_of[cpu]);
		strcat(line, "}");
		check_said(line);
	}
}
END_TEST

TEST_MAIN("vm/topo", 60, text, json)
