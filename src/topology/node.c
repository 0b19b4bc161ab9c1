/* SPDX-License-Identifier: MIT */
/*
 * Owns the map from CPU to the nearest node that has memory. libnuma is asked first, but it knows
 * only the CPUs that were online when it was first asked. For the other CPUs, the link nodeN/cpuM
 * in sysfs tells the node; it exists as soon as the CPU is present, online or not. The links are
 * looked for whenever the lists of CPUs in sysfs have changed.
 *
 * libnuma calls malloc and reads files through stdio. So it is asked about all CPUs at once, before
 * any lock is taken; with a lock held, it is asked only for facts that it has in memory.
 */
#include "platform/platform.h"
#include "topology/topology.h"

#ifdef HAVE_LIBNUMA
#include <errno.h>
#include <numa.h>
#include <stdint.h>
#include <stdio.h>

/* Indexed by CPU: node + 1, or NODE_UNKNOWN; 0 before libnuma was asked. */
static int16_t known[PERCPU__MAX_CPUS];
#define NODE_UNKNOWN ((int16_t)-1)

/*
 * Returns: true if the kernel supports NUMA. numa_available makes a system call, so it is called
 * once.
 */
static bool is_answered(void)
{
	static enum { UNASKED, YES, NO } answer; /* all writers store one value */
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

		if (!numa_bitmask_isbitset(numa_all_nodes_ptr, node) ||
		    (nearest >= 0 && way >= distance))
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
	/* libnuma reads files, but an allocation must not be a cancellation point. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	if (percpu__has_nodes()) {
		numa_distance(0, 0); /* the first call reads all distances from files */
		for (unsigned cpu = 0; cpu < nr_cpus && cpu < PERCPU__MAX_CPUS; cpu++) {
			const bool is_found = __atomic_load_n(&known[cpu], __ATOMIC_RELAXED);
			const int node = is_found ? -1 : find_memory_node(cpu);
			const int16_t answer = node < 0 ? NODE_UNKNOWN : (int16_t)(node + 1);
			int16_t unasked = 0;

			__atomic_compare_exchange_n(&known[cpu], &unasked, answer, false,
						    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
		}
	}
	pthread_setcancelstate(cancel_state, NULL);
	errno = saved_errno;
	/* Relaxed: a thread that does not see the store merely asks once more. */
	__atomic_store_n(&percpu__nodes_are_asked, true, __ATOMIC_RELAXED);
}

int percpu__cpu_to_memory_node(unsigned cpu)
{
	int16_t found = 0;

	if (cpu < PERCPU__MAX_CPUS)
		found = __atomic_load_n(&known[cpu], __ATOMIC_RELAXED);
	return found <= 0 ? -1 : found - 1;
}

/* ---- CPUs that libnuma does not know ---- */

struct lists {
	unsigned end;    /* 1 + the highest present CPU; 0 if unknown */
	uint64_t digest; /* hash of the texts of all lists; never 0 */
};

/* FNV-1a. */
static uint64_t digest_of(uint64_t digest, const char *text)
{
	while (*text)
		digest = (digest ^ (unsigned char)*text++) * 0x100000001b3;
	return digest;
}

/*
 * "online" is read as well as "present", because a node without memory appears only when its first
 * CPU goes online. It serves for the digest alone, as containers may show another list of online
 * CPUs.
 */
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
		snprintf(path, sizeof(path), "%s/devices/system/node/node%u/cpu%u", sysfs, node,
			 cpu);
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
	/* pairs with percpu__find_new_cpus */
	if (lists.digest == __atomic_load_n(&last_digest, __ATOMIC_ACQUIRE))
		return;
	end = lists.end < nr_cpus ? lists.end : nr_cpus;
	nr_nodes = nr_possible_nodes(sysfs);
	for (; cpu < end; cpu = next_unknown(cpu + 1, end)) {
		const int linked = linked_node(sysfs, cpu, nr_nodes);
		const int node = linked < 0 ? -1 : nearest_with_memory(linked);

		if (node >= 0)
			__atomic_store_n(&known[cpu], (int16_t)(node + 1), __ATOMIC_RELAXED);
	}
	/* pairs with percpu__find_new_cpus */
	__atomic_store_n(&last_digest, lists.digest, __ATOMIC_RELEASE);
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
