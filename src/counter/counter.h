/* SPDX-License-Identifier: MIT */
/*
 * The layer of counting: what is computed over all copies, and what is more than one word of a
 * copy. Its interface are <percpu/sum.h>, <percpu/counter.h>, <percpu/histogram.h> and
 * <percpu/group.h>.
 */
#ifndef PERCPU_COUNTER_FLOOR_H
#define PERCPU_COUNTER_FLOOR_H

#include <percpu/counter.h>
#include <percpu/histogram.h>
#include <percpu/pool.h>
#include <percpu/group.h>
#include <percpu/sum.h>

/* ---- sum.c ---- */

/*
 * Adds n counters of a copy, and of the nr_copies - 1 after it, to their sums; the one for this
 * processor's widest vectors.
 */
typedef void percpu__add_fn(uint64_t *dst, const uint64_t *copy, size_t n, unsigned nr_copies);
percpu__add_fn *percpu__best_add(void);

/* How many of n counters from p on lie in the page of the first one. */
size_t percpu__sum_to_page_end(const void *p, size_t n);

#endif
