/* SPDX-License-Identifier: MIT */
/* Checks of PERCPU_OPTIONS=check: used bits and poison. */
#ifndef PERCPU_CACHE_CHECK_H
#define PERCPU_CACHE_CHECK_H

#include "cache/cache.h"

/* Poisons an object that is carved for the first time. */
void percpu__check_carved(const struct percpu__cache *cache, void *object);

/*
 * Marks an object as used; one that is used already, or was written to while free, ends the
 * process.
 */
void percpu__check_allocated(const struct percpu__cache *cache, void *object);

/* Marks an object as free and poisons it; a double free ends the process. */
void percpu__check_freed(const struct percpu__cache *cache, void *object);

#endif
