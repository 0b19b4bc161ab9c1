/* SPDX-License-Identifier: MIT */
/* Owns CPU -> node, as libnuma tells it, and the detour around nodes that have no memory. */
#include "platform/platform.h"
#include "topology/topology.h"

#ifdef HAVE_LIBNUMA
#include <errno.h>
#include <numa.h>
#include <stdint.h>

bool percpu__nodes_are_known(void)
{
	return numa_available() < 0 || numa_all_nodes_ptr;
}

bool percpu__has_nodes(void)
{
	return numa_available() >= 0 && numa_all_nodes_ptr && numa_bitmask_weight(numa_all_nodes_ptr) > 1;
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
	const int saved_errno = errno;
	int node, cancel_state;

	/* libnuma reads files, and a thread must not be cancelled there: a pool may be locked. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	node = numa_node_of_cpu(cpu);
	if (node >= 0)
		node = nearest_with_memory(node);
	pthread_setcancelstate(cancel_state, NULL);
	errno = saved_errno;
	return node;
}

int percpu__cpu_to_memory_node(unsigned cpu)
{
	/* Node + 1 of CPUs asked about before; every writer writes the same. libnuma takes long to say. */
	static int16_t known[PERCPU__MAX_CPUS];
	int node;

	if (cpu >= PERCPU__MAX_CPUS)
		return -1;
	node = __atomic_load_n(&known[cpu], __ATOMIC_RELAXED) - 1;
	if (node < 0) {
		node = find_memory_node(cpu);
		__atomic_store_n(&known[cpu], (int16_t)(node + 1), __ATOMIC_RELAXED);
	}
	return node;
}
#else
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
#endif
