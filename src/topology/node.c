/* SPDX-License-Identifier: MIT */
/*
 * Owns CPU -> node, and the detour around nodes that have no memory. libnuma is asked first: it knows the CPUs that
 * were online when it was first asked, for ever. The nodes of others are sysfs' to tell, by links that a CPU has from
 * when it is plugged in, online or not. They are looked for when the lists of CPUs say something new.
 *
 * libnuma calls malloc and reads files by way of stdio, so that it is asked about all CPUs at once, before any lock is
 * taken. With a lock held only what it already knows is asked of it.
 */
#include "platform/platform.h"
#include "topology/topology.h"

#ifdef HAVE_LIBNUMA
#include <errno.h>
#include <numa.h>
#include <stdint.h>
#include <stdio.h>

/* Node + 1, or NODE_UNKNOWN; 0: libnuma has not been asked. */
static int16_t known[PERCPU__MAX_CPUS];
#define NODE_UNKNOWN ((int16_t)-1)

/* Whether the kernel answers libnuma. That is a system call, which sets errno, so it is made once. */
static bool is_answered(void)
{
	static enum { UNASKED, YES, NO } answer; /* every writer writes the same */
	int now = __atomic_load_n(&answer, __ATOMIC_RELAXED);

	if (percpu__unlikely(now == UNASKED)) {
		const int saved_errno = errno;

		now = numa_available() < 0 ? NO : YES;
		errno = saved_errno;
		__atomic_store_n(&answer, now, __ATOMIC_RELAXED);
	}
	return now == YES;
}

bool percpu__nodes_are_known(void)
{
	return !is_answered() || numa_all_nodes_ptr;
}

bool percpu__has_nodes(void)
{
	return is_answered() && numa_all_nodes_ptr && numa_bitmask_weight(numa_all_nodes_ptr) > 1;
}

static int nearest_with_memory(int from)
{
	int nearest = -1, distance = 0;

	if (numa_bitmask_isbitset(numa_all_nodes_ptr, from))
		return from;
	for (int node = 0; node <= numa_max_node(); node++) {
		int way = numa_distance(from, node);

		if (!numa_bitmask_isbitset(numa_all_nodes_ptr, node) || (nearest >= 0 && way >= distance))
			continue;
		nearest = node;
		distance = way;
	}
	return nearest;
}

static int find_memory_node(unsigned cpu)
{
	const int node = numa_node_of_cpu(cpu);

	return node < 0 ? node : nearest_with_memory(node);
}

bool percpu__nodes_are_asked;

void percpu__ask_about_nodes(unsigned nr_cpus)
{
	const int saved_errno = errno;
	int cancel_state;

	if (!percpu__nodes_are_known())
		return;
	/* libnuma reads files, and nobody expects to be cancelled in an allocation. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	if (percpu__has_nodes()) {
		numa_distance(0, 0); /* reads them all, once */
		for (unsigned cpu = 0; cpu < nr_cpus && cpu < PERCPU__MAX_CPUS; cpu++) {
			const int node = __atomic_load_n(&known[cpu], __ATOMIC_RELAXED) ? -1 : find_memory_node(cpu);
			int16_t found = 0;

			__atomic_compare_exchange_n(&known[cpu], &found, node < 0 ? NODE_UNKNOWN : (int16_t)(node + 1), false,
						    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
		}
	}
	pthread_setcancelstate(cancel_state, NULL);
	errno = saved_errno;
	/* Who does not see it yet asks once more. */
	__atomic_store_n(&percpu__nodes_are_asked, true, __ATOMIC_RELAXED);
}

int percpu__cpu_to_memory_node(unsigned cpu)
{
	const int16_t found = cpu < PERCPU__MAX_CPUS ? __atomic_load_n(&known[cpu], __ATOMIC_RELAXED) : 0;

	return found <= 0 ? -1 : found - 1;
}

/* ---- CPUs that libnuma has not seen ---- */

struct lists {
	unsigned end;    /* behind the last CPU that is plugged in */
	uint64_t digest; /* of all that they say; never 0 */
};

static uint64_t digest_of(uint64_t digest, const char *text)
{
	while (*text)
		digest = (digest ^ (unsigned char)*text++) * 0x100000001b3;
	return digest;
}

/* Containers may show another list of those online. A node without memory comes when its first CPU is online. */
static struct lists read_lists(const char *sysfs)
{
	static const char *const names[] = { "present", "online" };
	struct lists lists = { 0, 0xcbf29ce484222325 };
	char path[256], text[4096];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/devices/system/cpu/%s", sysfs, names[i]);
		if (percpu__read_file(path, text, sizeof(text)) <= 0)
			continue;
		if (i == 0)
			lists.end = percpu__cpu_list_end(text);
		lists.digest = digest_of(lists.digest, text);
	}
	lists.digest |= 1;
	return lists;
}

static unsigned nr_possible_nodes(const char *sysfs)
{
	char path[256], text[4096];

	snprintf(path, sizeof(path), "%s/devices/system/node/possible", sysfs);
	return percpu__read_file(path, text, sizeof(text)) > 0 ? percpu__cpu_list_end(text) : 0;
}

static int linked_node(const char *sysfs, unsigned cpu, unsigned nr_nodes)
{
	char path[256], target[2];

	for (unsigned node = 0; node < nr_nodes; node++) {
		snprintf(path, sizeof(path), "%s/devices/system/node/node%u/cpu%u", sysfs, node, cpu);
		if (percpu__read_link(path, target, sizeof(target)) > 0)
			return (int)node;
	}
	return -1;
}

static unsigned next_unknown(unsigned cpu, unsigned end)
{
	while (cpu < end && percpu__cpu_to_memory_node(cpu) >= 0)
		cpu++;
	return cpu;
}

void percpu__find_new_cpus(const char *sysfs, unsigned nr_cpus)
{
	static uint64_t last_digest;
	unsigned cpu = next_unknown(0, nr_cpus), end, nr_nodes;
	struct lists lists;

	if (cpu == nr_cpus)
		return;
	lists = read_lists(sysfs);
	if (lists.digest == __atomic_load_n(&last_digest, __ATOMIC_ACQUIRE)) /* pairs with percpu__find_new_cpus */
		return;
	end = lists.end < nr_cpus ? lists.end : nr_cpus;
	nr_nodes = nr_possible_nodes(sysfs);
	for (; cpu < end; cpu = next_unknown(cpu + 1, end)) {
		const int linked = linked_node(sysfs, cpu, nr_nodes), node = linked < 0 ? -1 : nearest_with_memory(linked);

		if (node >= 0)
			__atomic_store_n(&known[cpu], (int16_t)(node + 1), __ATOMIC_RELAXED);
	}
	__atomic_store_n(&last_digest, lists.digest, __ATOMIC_RELEASE); /* pairs with percpu__find_new_cpus */
}
#else
bool percpu__nodes_are_asked = true;

void percpu__ask_about_nodes(unsigned nr_cpus)
{
}

bool percpu__nodes_are_known(void)
{
	return true;
}

bool percpu__has_nodes(void)
{
	return false;
}

int percpu__cpu_to_memory_node(unsigned cpu)
{
	return -1;
}

void percpu__find_new_cpus(const char *sysfs, unsigned nr_cpus)
{
}
#endif
