/* SPDX-License-Identifier: MIT */
/*
 * The layer of CPUs, nodes and domains: how many CPUs there may ever be, which memory is near which, and which CPUs share
 * a core, a cache, a node or a package.
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
 * percpu__nr_possible_cpus - N: 1 + the highest CPU number that may ever run here. Never 0.
 * sysfs: root of the file system that says so. Async-signal-safe where that root or the kernel's CPU mask tells.
 */
unsigned percpu__nr_possible_cpus(const char *sysfs);

/* 1 + the highest number of a CPU list such as "0,3-7,9\n"; 0 for anything else. */
unsigned percpu__cpu_list_end(const char *text);

/* ---- node.c ---- */

/* Whether the next two can be asked: not before libnuma's constructor has run, which may be later than the first allocation. */
bool percpu__nodes_are_known(void);

/* More than one node with memory: placing pages means something. */
bool percpu__has_nodes(void);

/*
 * percpu__ask_nodes - asks libnuma about CPUs below nr_cpus, once, as soon as that is possible. Calls malloc and reads files,
 * so that no lock may be held. Costs a load when it has been asked.
 */
extern bool percpu__nodes_are_asked;
void percpu__ask_about_nodes(unsigned nr_cpus);
static inline void percpu__ask_nodes(unsigned nr_cpus)
{
	if (__builtin_expect(!__atomic_load_n(&percpu__nodes_are_asked, __ATOMIC_RELAXED), 0))
		percpu__ask_about_nodes(nr_cpus);
}

/* The node with memory that is nearest to cpu, or -1 where none is known (absent CPUs, and before they are asked about). */
int percpu__cpu_to_memory_node(unsigned cpu);

/*
 * percpu__find_new_cpus - makes the last known of CPUs below nr_cpus that have come since they were asked about.
 * Costs little where all are known, two small files where some are not, and more only when a CPU has come or gone.
 */
void percpu__find_new_cpus(const char *sysfs, unsigned nr_cpus);

/* ---- domain.c ---- */

/* In the order of the public enum percpu_level. */
enum percpu__level { PERCPU__LEVEL_CORE, PERCPU__LEVEL_L3, PERCPU__LEVEL_NODE, PERCPU__LEVEL_PACKAGE, PERCPU__NR_LEVELS };

/* CPUs that are in none of the level's objects make up the last domain, which may be empty. */
struct percpu__domains {
	unsigned nr;      /* the last one included */
	uint16_t *of_cpu; /* by CPU, below nr */
	int *number;      /* by domain but the last: the system's number of the core, node or package */
};

/* For CPUs below nr_cpus, the same in every call. 0; -EINVAL, -ENOTSUP (no hwloc here), -ENOMEM. */
int percpu__domains_at(enum percpu__level level, unsigned nr_cpus, const struct percpu__domains **domains);

#endif
