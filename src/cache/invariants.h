/* SPDX-License-Identifier: MIT */
/* The invariants of a cache. */
#ifndef PERCPU_CACHE_INVARIANTS_H
#define PERCPU_CACHE_INVARIANTS_H

#include "cache/cache.h"

/*
 * Walks all free objects, while magazines and remote batches do not change: stopped and fenced, or
 * unused. Context: cache lock held; takes the locks of all copies. Returns: true if all invariants
 * hold.
 */
bool percpu__cache_check_invariants(struct percpu__cache *cache);

#endif
