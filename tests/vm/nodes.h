/* SPDX-License-Identifier: MIT */
/*
 * Shared by tests on machines with nodes: the node of each CPU, by getcpu on that CPU, and the node
 * of a page, by move_pages, which without a list of nodes moves nothing.
 */
#ifndef TESTS_VM_NODES_H
#define TESTS_VM_NODES_H

#include "harness/harness.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <percpu/percpu.h>

#define MAX_CPUS 1024

static int node_of[MAX_CPUS]; /* the node of the CPU's memory; -1: not online */

static inline bool pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

/* Returns: true if the list in a file, such as "0-3,8", has the number. */
static inline bool is_listed(const char *path, unsigned number)
{
	FILE *file = fopen(path, "r");
	unsigned first, last;
	bool found = false;

	ck_assert_ptr_nonnull(file);
	while (fscanf(file, "%u", &first) == 1) {
		if (fscanf(file, "-%u", &last) != 1)
			last = first;
		found |= first <= number && number <= last;
		if (fgetc(file) != ',')
			break;
	}
	fclose(file);
	return found;
}

/* Returns: the node itself, or the nearest node with memory. */
static inline int memory_near(unsigned node)
{
	static const char has_memory[] = "/sys/devices/system/node/has_memory";
	char path[64];
	FILE *file;
	unsigned distance, least = UINT_MAX;
	int nearest = -1;

	if (is_listed(has_memory, node))
		return (int)node;
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/distance", node);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	for (unsigned other = 0; fscanf(file, "%u", &distance) == 1; other++) {
		while (!is_listed("/sys/devices/system/node/online", other)) /* the line has none for these */
			other++;
		if (distance < least && is_listed(has_memory, other)) {
			least = distance;
			nearest = (int)other;
		}
	}
	fclose(file);
	return nearest;
}

static inline int ask_node(unsigned cpu)
{
	unsigned is_cpu, is_node;

	if (!pin(cpu) || syscall(SYS_getcpu, &is_cpu, &is_node, NULL) || is_cpu != cpu)
		return -1;
	return memory_near(is_node);
}

/* Without the library. */
static inline void ask_all_nodes(void)
{
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
		node_of[cpu] = ask_node(cpu);
}

static inline void ask_nodes(void)
{
	ck_assert_uint_le(percpu_nr_cpus(), MAX_CPUS);
	ask_all_nodes();
}

static inline unsigned last_online(void)
{
	unsigned cpu = MAX_CPUS;

	while (node_of[--cpu] < 0)
		;
	return cpu;
}

static inline unsigned count_online(void)
{
	unsigned nr = 0;

	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
		nr += node_of[cpu] >= 0;
	return nr;
}

/* Returns: the number of nodes whose memory belongs to a CPU. */
static inline unsigned count_nodes(void)
{
	bool seen[MAX_CPUS] = { false };
	unsigned nr = 0;

	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
		if (node_of[cpu] >= 0 && !seen[node_of[cpu]]) {
			seen[node_of[cpu]] = true;
			nr++;
		}
	return nr;
}

/* Returns: the node of a page, or a negative number if there is no page. */
static inline int node_of_page(const void *address)
{
	void *page = (void *)((uintptr_t)address & -(uintptr_t)sysconf(_SC_PAGESIZE));
	int status = -1;

	ck_assert_int_eq(syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0), 0);
	return status;
}

static inline unsigned random_below(unsigned end)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % end);
}

static inline unsigned random_online(void)
{
	unsigned cpu;

	do
		cpu = random_below(percpu_nr_cpus());
	while (node_of[cpu] < 0);
	return cpu;
}

/* A process that starts now, under the limits of this one, sees as many CPUs on the same nodes. */
static inline void check_fresh_view(void)
{
	static char said[1 << 20];
	char line[64];
	FILE *output = popen("percpu topo --json 2>&1", "r");

	ck_assert_ptr_nonnull(output);
	said[fread(said, 1, sizeof(said) - 1, output)] = '\0';
	ck_assert_int_eq(pclose(output), 0);
	snprintf(line, sizeof(line), "\"copies\":%u,", percpu_nr_copies());
	ck_assert_msg(strstr(said, line), "no %s in %s", line, said);
	ck_assert_msg(strstr(said, "\"unplaced_chunks\":0,\"misplaced_bytes\":0,"), "%s", said);
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		if (node_of[cpu] >= 0) {
			const char *at;

			snprintf(line, sizeof(line), "{\"cpu\":%u,\"possible\":true,\"online\":true,", cpu);
			at = strstr(said, line);
			ck_assert_msg(at, "no %s in %s", line, said);
			at = strstr(at, "\"node\":");
			ck_assert_msg(at && at[7] >= '0' && at[7] <= '9', "no node after %s in %s", line, said);
		}
}

/* ---- CPUs that go offline and online ---- */

/* Only in a guest, whose /init sets VM_GUEST: the host's CPUs are in use. */
static inline bool is_guest(void)
{
	return getenv("VM_GUEST");
}

static inline bool set_online(unsigned cpu, bool online)
{
	char path[64];
	FILE *file;
	bool done;

	ck_assert(is_guest());
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online", cpu);
	file = fopen(path, "w");
	if (!file)
		return false;
	done = fputs(online ? "1" : "0", file) >= 0;
	return !fclose(file) && done;
}

/* Finds CPUs that can be taken offline, starting after CPU 0. */
static inline unsigned find_switchable(unsigned *which, unsigned max)
{
	unsigned nr = 0;

	for (unsigned cpu = 1; cpu < MAX_CPUS && nr < max; cpu++)
		if (node_of[cpu] >= 0 && set_online(cpu, false)) {
			ck_assert(set_online(cpu, true));
			which[nr++] = cpu;
		}
	return nr;
}

#endif
