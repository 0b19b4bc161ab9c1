/* SPDX-License-Identifier: MIT */
/*
 * The topology layer: the number of possible CPUs, the NUMA node nearest to each CPU, and the
 * domains of CPUs that share a core, an L3 cache, a node or a package.
 */
#ifndef PERCPU_TOPOLOGY_H
#define PERCPU_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PERCPU__SYSFS "/sys"
#define PERCPU__MAX_CPUS 65536u

/* ---- possible.c ---- */

/*
 * percpu__nr_possible_cpus - 1 + the highest CPU number that can ever be online on this machine.
 * sysfs: where sysfs is mounted (PERCPU__SYSFS, or a directory of a test).
 * Context: async-signal-safe if sysfs or the kernel's CPU mask has the answer; otherwise libc is
 * asked, which may call malloc.
 * Returns: never 0.
 */
unsigned percpu__nr_possible_cpus(const char *sysfs);

/* Returns: 1 + the highest CPU of a list such as "0,3-7,9\n"; 0 if the text is no such list. */
unsigned percpu__cpu_list_end(const char *text);

/* ---- node.c ---- */

/*
 * Returns: true if nodes can be asked about, or if there are none. false before the constructor of
 * libnuma has run, which may be after the program's first allocation.
 */
bool percpu__nodes_are_known(void);

/* Returns: true if more than one node has memory, so that the placement of pages matters. */
bool percpu__has_nodes(void);

/*
 * percpu__ask_nodes - asks libnuma for the nodes of all CPUs below nr_cpus, unless this was done
 * before. Does nothing while percpu__nodes_are_known is false. Once the answers are there, costs
 * one load.
 * Context: no lock held, because libnuma calls malloc and reads files.
 */
extern bool percpu__nodes_are_asked;
void percpu__ask_about_nodes(unsigned nr_cpus);
static inline void percpu__ask_nodes(unsigned nr_cpus)
{
	if (__builtin_expect(!__atomic_load_n(&percpu__nodes_are_asked, __ATOMIC_RELAXED), 0))
		percpu__ask_about_nodes(nr_cpus);
}

/*
 * Returns: the node with memory that is nearest to cpu; -1 if it is unknown (an absent CPU, or
 * percpu__ask_nodes has not done its work yet).
 */
int percpu__cpu_to_memory_node(unsigned cpu);

/*
 * percpu__find_new_cpus - finds the nodes of CPUs below nr_cpus that libnuma did not know when it
 * was asked. Reads nothing if every node is known; otherwise reads two small files, and looks for
 * the nodes only if these files have changed, that is, if a CPU was added, removed, or switched on
 * or off.
 */
void percpu__find_new_cpus(const char *sysfs, unsigned nr_cpus);

/* ---- domain.c ---- */

/* In the order of the public enum percpu_level. */
enum percpu__level {
	PERCPU__LEVEL_CORE,
	PERCPU__LEVEL_L3,
	PERCPU__LEVEL_NODE,
	PERCPU__LEVEL_PACKAGE,
	PERCPU__NR_LEVELS
};

/* CPUs that belong to no object of the level form the last domain, which may be empty. */
struct percpu__domains {
	unsigned nr;      /* number of domains, including the last */
	uint16_t *of_cpu; /* indexed by CPU: its domain, below nr */
	int *number;      /* indexed by domain but the last: OS number of its object */
};

/*
 * percpu__domains_at - the domains of CPUs below nr_cpus; every call must pass the same nr_cpus.
 * Returns: 0 or -EINVAL (no such level), -ENOTSUP (hwloc is missing or failed), -ENOMEM.
 */
int percpu__domains_at(enum percpu__level level, unsigned nr_cpus,
		       const struct percpu__domains **domains);

#endif
