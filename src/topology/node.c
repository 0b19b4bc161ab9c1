/* SPDX-License-Identifier: MIT */
/* Owns CPU -> node, as libnuma tells it, and the detour around nodes that have no memory. */
#include "platform/platform.h"
#include "topology/topology.h"

#ifdef HAVE_LIBNUMA
#include <numa.h>

bool percpu__has_nodes(void)
{
	return numa_available() >= 0 && numa_bitmask_weight(numa_all_nodes_ptr) > 1;
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

int percpu__cpu_to_memory_node(unsigned cpu)
{
	int node = numa_node_of_cpu(cpu);

	return node < 0 ? -1 : nearest_with_memory(node);
}
#else
bool percpu__has_nodes(void)
{
	return false;
}

int percpu__cpu_to_memory_node(unsigned cpu)
{
	return -1;
}
#endif
