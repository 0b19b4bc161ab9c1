/* SPDX-License-Identifier: MIT */
/*
 * Owns the domains by which values are shown, from the library's view of this machine. The fallback
 * copy is a domain of its own. So are, together, CPUs that are in no domain here; a publisher may
 * have made them up.
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

bool domain_is_known(const char *by)
{
	return !by || !strcmp(by, "cpu") || kind_of(by) < NR_KINDS;
}

static void name_domain(struct domains *domains, const char *name)
{
	domains->name = grow(domains->name, domains->nr + 1, sizeof(*domains->name));
	domains->name[domains->nr++] = strdup(name);
}

static void name_number(struct domains *domains, unsigned number)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", number);
	name_domain(domains, name);
}

/*
 * CPUs that this machine has not are the publisher's word, and one domain, so that there are no
 * more domains than CPUs.
 */
static void by_cpu(struct domains *domains, unsigned nr_cpus)
{
	const unsigned known = nr_cpus < percpu_nr_cpus() ? nr_cpus : percpu_nr_cpus();

	for (unsigned cpu = 0; cpu < known; cpu++) {
		domains->of_copy[cpu] = domains->nr;
		name_number(domains, cpu);
	}
	for (unsigned cpu = known; cpu < nr_cpus; cpu++)
		domains->of_copy[cpu] = domains->nr;
	if (known < nr_cpus)
		name_domain(domains, "none");
}

/* The library's domains but the last one, which is of those that are in none. */
static void by_kind(struct domains *domains, unsigned nr_cpus, size_t kind)
{
	const enum percpu_level level = kinds[kind].level;
	const int nr_domains = percpu_nr_domains(level);
	const uint32_t none = nr_domains > 0 ? nr_domains - 1 : 0;
	bool has_others = false;

	for (uint32_t domain = 0; domain < none; domain++)
		name_number(domains, kinds[kind].is_numbered
					     ? (unsigned)percpu_domain_number(level, domain)
					     : domain);
	for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
		const int domain = cpu < percpu_nr_cpus() ? percpu_domain_of(level, cpu) : -1;

		domains->of_copy[cpu] = domain >= 0 ? (uint32_t)domain : none;
		has_others |= domains->of_copy[cpu] == none;
	}
	if (has_others)
		name_domain(domains, none ? "none" : "all");
}

struct domains domain_copies(const char *by, unsigned nr_copies)
{
	struct domains domains = { .nr = 0 };

	if (!by)
		return domains;
	domains.of_copy = grow(NULL, nr_copies, sizeof(*domains.of_copy));
	if (kind_of(by) < NR_KINDS)
		by_kind(&domains, nr_copies - 1, kind_of(by));
	else
		by_cpu(&domains, nr_copies - 1);
	domains.of_copy[nr_copies - 1] = domains.nr;
	name_domain(&domains, "fallback");
	return domains;
}

void domain_free(struct domains *domains)
{
	for (uint32_t i = 0; i < domains->nr; i++)
		free(domains->name[i]);
	free(domains->name);
	free(domains->of_copy);
	*domains = (struct domains){ .nr = 0 };
}
