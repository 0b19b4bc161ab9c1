/* SPDX-License-Identifier: MIT */
/* The ABI of sums: the levels of domains. */
#ifndef PERCPU_ABI_SUM_H
#define PERCPU_ABI_SUM_H

/* hwloc's core, L3 cache, NUMA node and package. */
enum percpu_level { PERCPU_LEVEL_CORE, PERCPU_LEVEL_L3, PERCPU_LEVEL_NODE, PERCPU_LEVEL_PACKAGE };

#endif
