/* SPDX-License-Identifier: MIT */
/*
 * Owns which CPUs count together, as the library knows this machine. The foreign copy is a group of its own, and so
 * are CPUs that are in no such thing here, which a publisher may have made up.
 */
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

static const struct {
	const char *name;
	enum percpu_level level;
	bool is_numbered; /* by the system, over the whole machine */
} kinds[] = {
	{ "core", PERCPU_LEVEL_CORE, false },
	{ "l3", PERCPU_LEVEL_L3, false },
	{ "node", PERCPU_LEVEL_NODE, true },
	{ "package", PERCPU_LEVEL_PACKAGE, true },
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
	return !by || !strcmp(by, "cpu") || kind_of(by) < NR_KINDS;
}

static void name_group(struct groups *groups, const char *name)
{
	groups->name = grow(groups->name, groups->nr + 1, sizeof(*groups->name));
	groups->name[groups->nr++] = strdup(name);
}

static void name_number(struct groups *groups, unsigned number)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", number);
	name_group(groups, name);
}

/* CPUs that this machine has not are the publisher's word, and one group, so that there are no more groups than CPUs. */
static void by_cpu(struct groups *groups, unsigned nr_cpus)
{
	const unsigned known = nr_cpus < percpu_nr_cpus() ? nr_cpus : percpu_nr_cpus();

	for (unsigned cpu = 0; cpu < known; cpu++) {
		groups->of_copy[cpu] = groups->nr;
		name_number(groups, cpu);
	}
	for (unsigned cpu = known; cpu < nr_cpus; cpu++)
		groups->of_copy[cpu] = groups->nr;
	if (known < nr_cpus)
		name_group(groups, "none");
}

/* The library's groups but the last one, which is of those that are in none. */
static void by_kind(struct groups *groups, unsigned nr_cpus, size_t kind)
{
	const enum percpu_level level = kinds[kind].level;
	const int nr_groups = percpu_nr_groups(level);
	const uint32_t none = nr_groups > 0 ? nr_groups - 1 : 0;
	bool has_others = false;

	for (uint32_t group = 0; group < none; group++)
		name_number(groups, kinds[kind].is_numbered ? (unsigned)percpu_group_number(level, group) : group);
	for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
		const int group = cpu < percpu_nr_cpus() ? percpu_group_of(level, cpu) : -1;

		groups->of_copy[cpu] = group >= 0 ? (uint32_t)group : none;
		has_others |= groups->of_copy[cpu] == none;
	}
	if (has_others)
		name_group(groups, none ? "none" : "all");
}

struct groups group_copies(const char *by, unsigned nr_copies)
{
	struct groups groups = { .nr = 0 };

	if (!by)
		return groups;
	groups.of_copy = grow(NULL, nr_copies, sizeof(*groups.of_copy));
	if (kind_of(by) < NR_KINDS)
		by_kind(&groups, nr_copies - 1, kind_of(by));
	else
		by_cpu(&groups, nr_copies - 1);
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
