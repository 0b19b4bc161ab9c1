/* SPDX-License-Identifier: MIT */
/*
 * percpu topo: this machine as the library sees it. What is placed where is tried out: a page of every CPU that is online
 * is written from here, and the library asked what lies elsewhere than it should.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

#define PROBE_BYTES 4096
#define ALL_CPUS 65536u

struct cpu {
	bool is_online, is_allowed;
	int node; /* -1: of none that is known */
};

struct machine {
	unsigned nr_cpus;
	struct cpu *cpus;
	bool has_groups;
	struct percpu_pool_stats stats;
	ssize_t misplaced; /* bytes; negative: not known */
};

/* Marks what a list such as "0-3,8" has. */
static void read_online(struct machine *machine)
{
	FILE *file = fopen("/sys/devices/system/cpu/online", "r");
	unsigned first, last;

	while (file && fscanf(file, "%u", &first) == 1) {
		if (fscanf(file, "-%u", &last) != 1)
			last = first;
		for (unsigned cpu = first; cpu <= last && cpu < machine->nr_cpus; cpu++)
			machine->cpus[cpu].is_online = true;
		if (fgetc(file) != ',')
			break;
	}
	if (file)
		fclose(file);
}

static void read_allowed(struct machine *machine)
{
	const size_t bytes = CPU_ALLOC_SIZE(ALL_CPUS);
	cpu_set_t *set = CPU_ALLOC(ALL_CPUS);

	if (set && !sched_getaffinity(0, bytes, set))
		for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++)
			machine->cpus[cpu].is_allowed = CPU_ISSET_S(cpu, bytes, set);
	CPU_FREE(set);
}

static void read_nodes(struct machine *machine)
{
	machine->has_groups = percpu_nr_groups(PERCPU_LEVEL_NODE) > 0;
	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++) {
		const int group = percpu_group_of(PERCPU_LEVEL_NODE, cpu);

		machine->cpus[cpu].node = group < 0 ? -1 : percpu_group_number(PERCPU_LEVEL_NODE, (unsigned)group);
	}
}

static bool probe(struct machine *machine)
{
	char __percpu *page = percpu_alloc(PROBE_BYTES, PROBE_BYTES);

	if (!page)
		return false;
	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++)
		if (machine->cpus[cpu].is_online)
			*percpu_ptr(page, cpu) = 1;
	machine->stats.size = sizeof(machine->stats);
	percpu_pool_stats(NULL, &machine->stats);
	machine->misplaced = percpu_pool_misplaced(NULL);
	percpu_free(page);
	return true;
}

/* ---- what is printed ---- */

static bool is_online(const struct machine *machine, unsigned cpu, int node)
{
	return machine->cpus[cpu].is_online;
}

static bool is_allowed(const struct machine *machine, unsigned cpu, int node)
{
	return machine->cpus[cpu].is_allowed;
}

static bool is_on_node(const struct machine *machine, unsigned cpu, int node)
{
	return machine->cpus[cpu].node == node;
}

/* As the kernel writes them: "0-3,8"; "-" for none. */
static void put_cpus(const struct machine *machine, bool (*has)(const struct machine *, unsigned, int), int node)
{
	bool any = false;

	for (unsigned cpu = 0, end; cpu < machine->nr_cpus; cpu = end) {
		end = cpu + 1;
		if (!has(machine, cpu, node))
			continue;
		while (end < machine->nr_cpus && has(machine, end, node))
			end++;
		printf(end - cpu > 1 ? "%s%u-%u" : "%s%u", any ? "," : "", cpu, end - 1);
		any = true;
	}
	if (!any)
		putchar('-');
}

static int highest_node(const struct machine *machine)
{
	int highest = -1;

	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++)
		highest = machine->cpus[cpu].node > highest ? machine->cpus[cpu].node : highest;
	return highest;
}

static bool is_a_node(const struct machine *machine, int node)
{
	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++)
		if (machine->cpus[cpu].node == node)
			return true;
	return false;
}

static const char *mode_name(void)
{
	return percpu_mode() == PERCPU_MODE_RSEQ ? "rseq" : "atomic";
}

static void put_text(const struct machine *machine)
{
	printf("mode      %s: %s\n", mode_name(), percpu_mode_reason());
	printf("possible  0-%u\nonline    ", machine->nr_cpus - 1);
	put_cpus(machine, is_online, 0);
	printf("\nallowed   ");
	put_cpus(machine, is_allowed, 0);
	putchar('\n');
	for (int node = 0; node <= highest_node(machine); node++)
		if (is_a_node(machine, node)) {
			printf("node %-4d ", node);
			put_cpus(machine, is_on_node, node);
			putchar('\n');
		}
	printf("stride    %zu bytes, %u copies\n", (size_t)PERCPU_STRIDE, percpu_nr_copies());
	printf("chunk     %zu bytes of addresses\n", machine->stats.reserved_bytes / machine->stats.nr_chunks);
	if (machine->misplaced < 0)
		printf("placed    not known: the kernel does not say\n");
	else
		printf("placed    %zu of %zu chunks; %zd bytes lie elsewhere\n",
		       machine->stats.nr_chunks - machine->stats.nr_chunks_unplaced, machine->stats.nr_chunks,
		       machine->misplaced);
}

static void put_as_json(const struct machine *machine)
{
	printf("{\"mode\":\"%s\",\"reason\":", mode_name());
	put_json(stdout, percpu_mode_reason());
	printf(",\"possible\":%u,\"copies\":%u,\"stride\":%zu,\"chunk_bytes\":%zu,\"chunks\":%zu,\"unplaced_chunks\":%zu,"
	       "\"misplaced_bytes\":",
	       machine->nr_cpus, percpu_nr_copies(), (size_t)PERCPU_STRIDE,
	       machine->stats.reserved_bytes / machine->stats.nr_chunks, machine->stats.nr_chunks,
	       machine->stats.nr_chunks_unplaced);
	printf(machine->misplaced < 0 ? "null" : "%zd", machine->misplaced);
	printf(",\"cpus\":[");
	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++) {
		const struct cpu *it = &machine->cpus[cpu];

		printf("%s\n{\"cpu\":%u,\"online\":%s,\"allowed\":%s,\"node\":", cpu ? "," : "", cpu,
		       it->is_online ? "true" : "false", it->is_allowed ? "true" : "false");
		printf(it->node < 0 ? "null}" : "%d}", it->node);
	}
	printf("\n]}\n");
}

int command_topo(const struct options *options)
{
	struct machine machine = { .nr_cpus = percpu_nr_cpus() };

	machine.cpus = grow(NULL, machine.nr_cpus, sizeof(*machine.cpus));
	memset(machine.cpus, 0, machine.nr_cpus * sizeof(*machine.cpus));
	read_online(&machine);
	read_allowed(&machine);
	read_nodes(&machine);
	if (!probe(&machine)) {
		free(machine.cpus);
		return complain("no memory");
	}
	if (options->json)
		put_as_json(&machine);
	else
		put_text(&machine);
	free(machine.cpus);
	return STATUS_OK;
}
