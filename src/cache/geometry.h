/* SPDX-License-Identifier: MIT */
/* Sizes and limits of a cache. */
#ifndef PERCPU_CACHE_GEOMETRY_H
#define PERCPU_CACHE_GEOMETRY_H

#include "cache/cache.h"

/*
 * Sets what follows from size, align and the flags, constructor, RCU and check of a new cache.
 * Context: any.
 */
void percpu__geometry_set(struct percpu__cache *cache, size_t size, size_t align);

/* Returns: the remote batches of each CPU. */
uint8_t percpu__geometry_batches(unsigned nr_cpus);

#endif
