/* SPDX-License-Identifier: MIT */
/*
 * The layer of statistics: sums over copies, and counters, groups and histograms. Its interface is
 * <percpu/sum.h>, <percpu/counter.h>, <percpu/histogram.h> and <percpu/group.h>.
 */
#ifndef PERCPU_COUNTER_LAYER_H
#define PERCPU_COUNTER_LAYER_H

#include <percpu/counter.h>
#include <percpu/histogram.h>
#include <percpu/pool.h>
#include <percpu/group.h>
#include <percpu/sum.h>

/* ---- sum.c ---- */

/*
 * Adds n counters of nr_copies adjacent copies, the first of which is copy, to dst.
 * percpu__best_add() returns the one for the widest vectors of this CPU.
 */
typedef void percpu__add_fn(uint64_t *dst, const uint64_t *copy, size_t n, unsigned nr_copies);
percpu__add_fn *percpu__best_add(void);

/* Returns: how many of the n counters at p lie in the page of the first one. */
size_t percpu__sum_to_page_end(const void *p, size_t n);

#endif
