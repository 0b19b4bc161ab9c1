/* SPDX-License-Identifier: MIT */
/*
 * The kernel's spelling of counters. Most names are the native ones; init takes the kernel's
 * arguments in a file that includes this header. A batch that an addition names bounds what it may
 * hold back; a comparison is exact, whatever it names.
 */
#ifndef PERCPU_KERNEL_COUNTER_H
#define PERCPU_KERNEL_COUNTER_H

#include <percpu/kernel/unmarked.h>

#include <percpu/counter.h>

#define percpu_counter_init(counter, value, gfp) ((void)(gfp), (percpu_counter_init)((counter), (value), 0))
#define percpu_counter_init_many(counters, value, gfp, nr)                                                   \
	((void)(gfp), percpu_counter_init_bulk((nr), (counters), (value), 0))
#define percpu_counter_destroy(counter) percpu_counter_fini(counter)
#define percpu_counter_destroy_many(counters, nr) percpu_counter_fini_bulk((nr), (counters))
#define percpu_counter_add_local(counter, amount) percpu_counter_add((counter), (amount))
#define percpu_counter_sub_local(counter, amount) percpu_counter_sub((counter), (amount))
#define __percpu_counter_compare(counter, limit, batch) ((void)(batch), percpu_counter_compare((counter), (limit)))
#define percpu_counter_sum_all(counter) percpu_counter_sum(counter)
#define __percpu_counter_sum(counter) percpu_counter_sum(counter)
#define percpu_counter_sync(counter) percpu_counter_add_batch((counter), 0, 1)

/* A counter that cannot be negative may be read so. */
PERCPU__INLINE int64_t percpu_counter_read_positive(const struct percpu_counter *counter)
{
	const int64_t value = percpu_counter_read(counter);

	return value < 0 ? 0 : value;
}

PERCPU__INLINE int64_t percpu_counter_sum_positive(const struct percpu_counter *counter)
{
	const int64_t value = percpu_counter_sum(counter);

	return value < 0 ? 0 : value;
}

PERCPU__INLINE bool percpu_counter_initialized(const struct percpu_counter *counter)
{
	return counter->copies != NULL;
}

/* What a counter has as its batch unless it is made with another. */
PERCPU__INLINE int percpu__counter_default_batch(void)
{
	const int twice = 2 * (int)percpu_nr_cpus();

	return twice > 32 ? twice : 32;
}
#define percpu_counter_batch percpu__counter_default_batch()
#define PERCPU_COUNTER_LOCAL_BATCH INT32_MAX

#endif
