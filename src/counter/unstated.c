/* SPDX-License-Identifier: MIT */
/*
 * Owns the functions that initialise counters, groups and histograms without stating a layout:
 * dlsym() finds them, and programs call them that were compiled before the headers handed the
 * layout on. The storage of such a program may be smaller than the library's structs, so they fail
 * and write nothing. Not included: the public headers that define inline functions of these names.
 */
#include <percpu/abi/counter.h>
#include <percpu/abi/group.h>
#include <percpu/abi/histogram.h>

PERCPU_API int percpu_counter_init(struct percpu_counter *counter, int64_t value, uint64_t batch);
PERCPU_API int percpu_counter_init_bulk(size_t n, struct percpu_counter *counters, int64_t value,
					uint64_t batch);
PERCPU_API int percpu_group_init(struct percpu_group *group, unsigned nr_fields);
PERCPU_API int percpu_histogram_init(struct percpu_histogram *histogram, struct percpu_pool *pool,
				     uint64_t lowest, uint64_t highest, unsigned precision_bits);

int percpu_counter_init(struct percpu_counter *counter, int64_t value, uint64_t batch)
{
	return percpu_counter_init_layout(0, 1, counter, value, batch);
}

int percpu_counter_init_bulk(size_t n, struct percpu_counter *counters, int64_t value,
			     uint64_t batch)
{
	return percpu_counter_init_layout(0, n, counters, value, batch);
}

int percpu_group_init(struct percpu_group *group, unsigned nr_fields)
{
	return percpu_group_init_layout(0, group, nr_fields);
}

int percpu_histogram_init(struct percpu_histogram *histogram, struct percpu_pool *pool,
			  uint64_t lowest, uint64_t highest, unsigned precision_bits)
{
	return percpu_histogram_init_layout(0, histogram, pool, lowest, highest, precision_bits);
}
