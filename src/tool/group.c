/* SPDX-License-Identifier: MIT */
/* Owns which CPUs count together, as hwloc knows this machine. The foreign copy is a group of its own. */
#include <hwloc.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

static const struct {
	const char *name;
	hwloc_obj_type_t type;
} kinds[] = {
	{ "cpu", HWLOC_OBJ_PU },
	{ "core", HWLOC_OBJ_CORE },
	{ "l3", HWLOC_OBJ_L3CACHE },
	{ "node", HWLOC_OBJ_NUMANODE },
	{ "package", HWLOC_OBJ_PACKAGE },
};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static size_t kind_of(const char *by)
{
	size_t i = 0;

	while (i < NR_KINDS && strcmp(kinds[i].name, by))
		i++;
	return i;
}

bool group_is_known(const char *by)
{
	return !by || kind_of(by) < NR_KINDS;
}

static void name_group(struct groups *groups, const char *name)
{
	groups->name = grow(groups->name, groups->nr + 1, sizeof(*groups->name));
	groups->name[groups->nr++] = strdup(name);
}

static void by_cpu(struct groups *groups, unsigned nr_cpus)
{
	char name[16];

	for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
		groups->of_copy[cpu] = groups->nr;
		snprintf(name, sizeof(name), "%u", cpu);
		name_group(groups, name);
	}
}

/* One group for each object of that type; CPUs in none of them are one more. */
static void by_object(struct groups *groups, unsigned nr_cpus, hwloc_obj_type_t type)
{
	const struct groups before = *groups;
	hwloc_topology_t topology;
	hwloc_obj_t object = NULL;
	bool has_others = false;
	char name[16];

	if (hwloc_topology_init(&topology) == 0) {
		hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
		if (hwloc_topology_load(topology) == 0)
			while ((object = hwloc_get_next_obj_by_type(topology, type, object))) {
				for (unsigned cpu = 0; cpu < nr_cpus; cpu++)
					if (object->cpuset && hwloc_bitmap_isset(object->cpuset, cpu))
						groups->of_copy[cpu] = groups->nr;
				/* The machine's number of a node is the one that everybody uses. */
				snprintf(name, sizeof(name), "%u",
					 type == HWLOC_OBJ_NUMANODE ? object->os_index : object->logical_index);
				name_group(groups, name);
			}
		hwloc_topology_destroy(topology);
	}
	for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
		if (groups->of_copy[cpu] != UINT32_MAX)
			continue;
		groups->of_copy[cpu] = groups->nr;
		has_others = true;
	}
	if (has_others)
		name_group(groups, groups->nr == before.nr ? "all" : "none");
}

struct groups group_copies(const char *by, unsigned nr_copies)
{
	const size_t kind = by ? kind_of(by) : NR_KINDS;
	struct groups groups = { .nr = 0 };

	if (kind == NR_KINDS)
		return groups;
	groups.of_copy = grow(NULL, nr_copies, sizeof(*groups.of_copy));
	for (unsigned i = 0; i < nr_copies; i++)
		groups.of_copy[i] = UINT32_MAX;
	if (kinds[kind].type == HWLOC_OBJ_PU)
		by_cpu(&groups, nr_copies - 1);
	else
		by_object(&groups, nr_copies - 1, kinds[kind].type);
	groups.of_copy[nr_copies - 1] = groups.nr;
	name_group(&groups, "foreign");
	return groups;
}

void group_free(struct groups *groups)
{
	for (uint32_t i = 0; i < groups->nr; i++)
		free(groups->name[i]);
	free(groups->name);
	free(groups->of_copy);
	*groups = (struct groups){ .nr = 0 };
}
