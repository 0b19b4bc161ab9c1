/* SPDX-License-Identifier: MIT */
/*
 * percpu topo: this machine as the library sees it. What is placed where is tried out: a page of
 * every CPU that is online is written from here, then the kernel is asked where they lie, and the
 * library what lies elsewhere than it should.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tool/tool.h"

#define PROBE_BYTES 4096
#define ALL_CPUS 65536u
#define ALL_NODES 1024 /* more than kernels have */

enum set { POSSIBLE, ONLINE, ALLOWED, NR_SETS };
static const char *const set_names[] = { "possible", "online", "allowed" };

struct cpu {
	bool is_in[NR_SETS];
	int node;      /* -1: of none that is known */
	int page_node; /* where its page lies; negative: it has none, or the kernel does not say */
};

struct machine {
	unsigned nr_cpus;
	struct cpu *cpus;
	bool has_nodes, has_page_nodes;
	struct percpu_pool_stats stats;
	ssize_t misplaced; /* bytes; negative: not known */
};

/* What a list of the kernel such as "0-3,8" has. */
static void read_list(struct machine *machine, enum set set)
{
	char path[64];
	unsigned first, last;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/%s", set_names[set]);
	file = fopen(path, "r");
	while (file && fscanf(file, "%u", &first) == 1) {
		if (fscanf(file, "-%u", &last) != 1)
			last = first;
		for (unsigned cpu = first; cpu <= last && cpu < machine->nr_cpus; cpu++)
			machine->cpus[cpu].is_in[set] = true;
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
			machine->cpus[cpu].is_in[ALLOWED] = CPU_ISSET_S(cpu, bytes, set);
	CPU_FREE(set);
}

static void read_nodes(struct machine *machine)
{
	machine->has_nodes = percpu_nr_domains(PERCPU_LEVEL_NODE) > 0;
	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++) {
		const int domain = percpu_domain_of(PERCPU_LEVEL_NODE, cpu);

		machine->cpus[cpu].node =
			domain < 0 ? -1 : percpu_domain_number(PERCPU_LEVEL_NODE, (unsigned)domain);
	}
}

/*
 * move_pages without nodes moves nothing: it tells the node of each page, or -ENOENT
 * where there is none.
 */
static void find_pages(struct machine *machine, char __percpu *page)
{
	const uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
	void **pages = grow(NULL, machine->nr_cpus, sizeof(*pages));
	int *nodes = grow(NULL, machine->nr_cpus, sizeof(*nodes));

	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++)
		pages[cpu] = (void *)((uintptr_t)percpu_ptr(page, cpu) & -page_bytes);
	machine->has_page_nodes =
		!syscall(SYS_move_pages, 0, (unsigned long)machine->nr_cpus, pages, NULL, nodes, 0);
	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++)
		machine->cpus[cpu].page_node = machine->has_page_nodes ? nodes[cpu] : -1;
	free(nodes);
	free(pages);
}

static bool probe(struct machine *machine)
{
	char __percpu *page = percpu_alloc(PROBE_BYTES, PROBE_BYTES);

	if (!page)
		return false;
	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++)
		if (machine->cpus[cpu].is_in[ONLINE])
			*percpu_ptr(page, cpu) = 1;
	find_pages(machine, page);
	machine->stats.size = sizeof(machine->stats);
	percpu_pool_stats(NULL, &machine->stats);
	machine->misplaced = percpu_pool_misplaced(NULL);
	percpu_free(page);
	return true;
}

/* ---- what is printed ---- */

static bool is_in_set(const struct cpu *cpu, int set)
{
	return cpu->is_in[set];
}

static bool is_on_node(const struct cpu *cpu, int node)
{
	return cpu->node == node;
}

static bool has_page_on_node(const struct cpu *cpu, int node)
{
	return cpu->page_node == node;
}

typedef bool criterion(const struct cpu *cpu, int which);

/* As the kernel writes them: "0-3,8"; "-" for none. */
static void put_cpus(const struct machine *machine, criterion *is, int which)
{
	bool any = false;

	for (unsigned cpu = 0, end; cpu < machine->nr_cpus; cpu = end) {
		end = cpu + 1;
		if (!is(&machine->cpus[cpu], which))
			continue;
		while (end < machine->nr_cpus && is(&machine->cpus[end], which))
			end++;
		printf(end - cpu > 1 ? "%s%u-%u" : "%s%u", any ? "," : "", cpu, end - 1);
		any = true;
	}
	puts(any ? "" : "-");
}

static bool is_any(const struct machine *machine, criterion *is, int which)
{
	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++)
		if (is(&machine->cpus[cpu], which))
			return true;
	return false;
}

/* A line for each node that there is any CPU for. */
static void put_nodes(const struct machine *machine, const char *what, criterion *is)
{
	for (int node = 0; node < ALL_NODES; node++)
		if (is_any(machine, is, node)) {
			printf("%s %-*d ", what, 8 - (int)strlen(what), node);
			put_cpus(machine, is, node);
		}
}

static const char *mode_name(void)
{
	return percpu_mode() == PERCPU_MODE_RSEQ ? "rseq" : "atomic";
}

static void put_text(const struct machine *machine)
{
	const struct rseq_facts rseq = rseq_facts();

	printf("mode      %s: %s\n", mode_name(), percpu_mode_reason());
	printf("rseq      ");
	put_rseq(&rseq);
	for (int set = 0; set < NR_SETS; set++) {
		printf("%-10s", set_names[set]);
		put_cpus(machine, is_in_set, set);
	}
	put_nodes(machine, "node", is_on_node);
	if (!machine->has_nodes)
		printf("node      not known: hwloc is not installed, or cannot look at this "
		       "machine\n");
	printf("stride    %zu bytes, %u copies\n", (size_t)PERCPU_STRIDE, percpu_nr_copies());
	printf("chunk     %zu bytes of addresses\n",
	       machine->stats.reserved_bytes / machine->stats.nr_chunks);
	if (machine->misplaced < 0)
		printf("placed    not known: the kernel does not say\n");
	else
		printf("placed    %zu of %zu chunks; %zd bytes lie elsewhere\n",
		       machine->stats.nr_chunks - machine->stats.nr_chunks_unplaced,
		       machine->stats.nr_chunks, machine->misplaced);
	put_nodes(machine, "pages", has_page_on_node);
	if (!machine->has_page_nodes)
		printf("pages     not known: the kernel does not say\n");
}

static void put_node(const char *name, int node)
{
	printf(node < 0 ? ",\"%s\":null" : ",\"%s\":%d", name, node);
}

static void put_as_json(const struct machine *machine)
{
	const struct rseq_facts rseq = rseq_facts();

	printf("{\"mode\":\"%s\",\"reason\":", mode_name());
	put_json(stdout, percpu_mode_reason());
	printf(",\"rseq\":");
	put_rseq_as_json(&rseq);
	printf(",\"copies\":%u,\"stride\":%zu,\"chunk_bytes\":%zu,\"chunks\":%zu,\"unplaced_"
	       "chunks\":%zu,"
	       "\"misplaced_bytes\":",
	       percpu_nr_copies(), (size_t)PERCPU_STRIDE,
	       machine->stats.reserved_bytes / machine->stats.nr_chunks, machine->stats.nr_chunks,
	       machine->stats.nr_chunks_unplaced);
	printf(machine->misplaced < 0 ? "null" : "%zd", machine->misplaced);
	printf(",\"cpus\":[");
	for (unsigned cpu = 0; cpu < machine->nr_cpus; cpu++) {
		printf("%s\n{\"cpu\":%u", cpu ? "," : "", cpu);
		for (int set = 0; set < NR_SETS; set++)
			printf(",\"%s\":%s", set_names[set],
			       machine->cpus[cpu].is_in[set] ? "true" : "false");
		put_node("node", machine->cpus[cpu].node);
		put_node("page_node", machine->cpus[cpu].page_node);
		putchar('}');
	}
	printf("\n]}\n");
}

int command_topo(const struct options *options)
{
	struct machine machine = { .nr_cpus = percpu_nr_cpus() };

	machine.cpus = grow(NULL, machine.nr_cpus, sizeof(*machine.cpus));
	memset(machine.cpus, 0, machine.nr_cpus * sizeof(*machine.cpus));
	read_list(&machine, POSSIBLE);
	read_list(&machine, ONLINE);
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
