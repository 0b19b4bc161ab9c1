/* SPDX-License-Identifier: MIT */
/*
 * Counters that are read as often as they are written. Each copy counts by itself; once it has
 * moved far enough, the difference is folded into one word of the counter, as mm/vmstat.c folds
 * per-CPU differentials.
 *
 *	copy:     | total | folded |	one for each CPU; a total is never reset
 *	counter:  | base  | folded |	folded is the sum of the copies' folded words
 *
 *	read:  base + folded		near the value: two words of one cache line
 *	sum:   base + every total	the value
 *
 * A copy's total and its folded word are less than a batch apart, so percpu_counter_read() is less
 * than percpu_counter_error() away from percpu_counter_sum() while no addition is in progress. Each
 * addition that is folding its copy may add less than two batches to that until it returns. In the
 * child of a fork such an addition of another thread never returns, and stays in the error of the
 * child's readings.
 *
 * An addition of a batch or more goes into the base, in one step. Setting a counter moves its base.
 * No thread writes to another CPU's copy, so an addition is in the value before a reset or in the
 * value after it, never in both or neither.
 */
#ifndef PERCPU_COUNTER_H
#define PERCPU_COUNTER_H

#include <percpu/abi/counter.h>
#include <percpu/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * percpu_counter_init - initialises a counter to value. A copy is folded before its total is batch
 * or more away from what was folded; batch 0 means 32, or twice the number of CPUs if that is more.
 * Context: MT-safe; not async-signal-safe.
 * Returns: 0; -EINVAL (batch above 2^48); -ENOMEM; -ENOTSUP (the program was compiled for another
 * layout of counters than the library has: counter is untouched).
 */
PERCPU__INLINE int percpu_counter_init(struct percpu_counter *counter, int64_t value,
				       uint64_t batch)
{
	return percpu_counter_init_layout(PERCPU_COUNTER_LAYOUT, 1, counter, value, batch);
}

/*
 * Initialises n adjacent counters, all or none. Each may be released by percpu_counter_fini alone.
 */
PERCPU__INLINE int percpu_counter_init_bulk(size_t n, struct percpu_counter *counters,
					    int64_t value, uint64_t batch)
{
	return percpu_counter_init_layout(PERCPU_COUNTER_LAYOUT, n, counters, value, batch);
}

/* Frees the copies. Zeroed storage is accepted, and so is a counter that was released before. */
PERCPU_API void percpu_counter_fini(struct percpu_counter *counter);
PERCPU_API void percpu_counter_fini_bulk(size_t n, struct percpu_counter *counters);

/*
 * percpu_counter_add - adds v. The value wraps at 64 bits.
 * Context: any thread, at any time, including signal handlers. Cannot fail.
 */
PERCPU__INLINE void percpu_counter_add(struct percpu_counter *counter, int64_t v)
{
	percpu__will_store(counter->copies, sizeof(*counter->copies));
	if (__builtin_expect(
		    !percpu__try_counter_add(percpu__untyped(counter->copies), v, counter->bounds),
		    0))
		percpu_counter_add_slow(counter, v);
}

PERCPU__INLINE void percpu_counter_sub(struct percpu_counter *counter, int64_t v)
{
	percpu_counter_add(counter, (int64_t)(0 - (uint64_t)v));
}

PERCPU__INLINE void percpu_counter_inc(struct percpu_counter *counter)
{
	percpu_counter_add(counter, 1);
}

PERCPU__INLINE void percpu_counter_dec(struct percpu_counter *counter)
{
	percpu_counter_add(counter, -1);
}

/*
 * percpu_counter_add_batch - adds v with a smaller batch than the counter's own: afterwards the
 * copy is less than batch away from what was folded. 1 or less folds all of it; the counter's own
 * batch is the largest that has an effect.
 * Context: as percpu_counter_add.
 */
PERCPU_API PERCPU__OUTLINE void percpu_counter_add_batch(struct percpu_counter *counter, int64_t v,
							 int64_t batch);

/*
 * Beyond 2^62 a reading, which is only near the value, may have wrapped although the value has not.
 */
PERCPU__INLINE bool percpu__counter_may_wrap(int64_t about)
{
	return ((uint64_t)about + (UINT64_C(1) << 62)) >> 63;
}

/*
 * percpu_counter_read - Returns: the value, with an error of less than percpu_counter_error().
 * Context: as percpu_counter_add.
 */
PERCPU__INLINE int64_t percpu_counter_read(const struct percpu_counter *counter)
{
	/*
	 * The acquires keep the order of the three loads. The first pairs with percpu_counter_set,
	 * and its second load with percpu_counter_read.
	 */
	const int64_t base = __atomic_load_n(&counter->base, __ATOMIC_ACQUIRE);
	const uint64_t folded = (uint64_t)__atomic_load_n(&counter->folded, __ATOMIC_ACQUIRE);
	const int64_t about = (int64_t)((uint64_t)base + folded);

	if (__builtin_expect(percpu__counter_may_wrap(about) ||
			     __atomic_load_n(&counter->base, __ATOMIC_RELAXED) != base, 0))
		return percpu_counter_read_slow(counter);
	return about;
}

/* Returns: the batch times the number of copies, or UINT64_MAX if that overflows. */
PERCPU_API uint64_t percpu_counter_error(const struct percpu_counter *counter);

/*
 * percpu_counter_sum - Returns: the value. While others add, it contains every addition that ended
 * before the call, and some of those that run meanwhile.
 * Context: MT-safe, async-signal-safe, like all functions below.
 */
PERCPU_API int64_t percpu_counter_sum(const struct percpu_counter *counter);

/*
 * percpu_counter_compare - Returns: -1, 0 or 1 if the value is below, at or above limit. Sums the
 * copies only if the reading is within twice the error of limit.
 */
PERCPU_API int percpu_counter_compare(const struct percpu_counter *counter, int64_t limit);

/*
 * percpu_counter_set - sets the value. An addition that runs meanwhile is either overwritten or
 * added to value.
 */
PERCPU_API void percpu_counter_set(struct percpu_counter *counter, int64_t value);

/*
 * percpu_counter_reset - sets the value to zero.
 * Returns: the value before. An addition that runs meanwhile is in the result or in the counter,
 * never in both.
 */
PERCPU_API int64_t percpu_counter_reset(struct percpu_counter *counter);

/*
 * percpu_counter_limited_add - adds v unless the value would pass limit: exceed it if v is
 * positive, fall below it if v is negative. The limit is exact: additions by this function never
 * pass it together, and each counts all other additions that ended before the call. Sums the
 * copies.
 * Returns: true if v was added, or is 0.
 */
PERCPU_API bool percpu_counter_limited_add(struct percpu_counter *counter, int64_t limit,
					   int64_t v);

#ifdef __cplusplus
}
#endif
#endif
