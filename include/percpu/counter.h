/* SPDX-License-Identifier: MIT */
/*
 * Counters that are read as often as they are written: each copy counts, and publishes to one word what
 * it has come to, once it has come far enough.
 *
 *	copy:     | total | published |			of every CPU; a total never goes back
 *	counter:  | base | published |			of which published is the sum of every copy's
 *
 *	read:  base + published				near it, two words of one line
 *	sum:   base + every total			the value
 *
 * A copy's total and what it published are less than a batch apart, and so percpu_counter_read() is less
 * than percpu_counter_error() away from percpu_counter_sum(), when no call that adds is under way. Each call
 * that is in the moment of publishing holds back less than two batches more, until it returns. In the child of a
 * fork such a call of another thread never returns: what it held back stays a part of the child's error.
 *
 * What is not less than a batch is added to the base, in one step. To set a counter is to move its base. Nobody writes into another CPU's copy, so that an addition
 * is in the old value or in the new one, never in both or neither.
 */
#ifndef PERCPU_COUNTER_H
#define PERCPU_COUNTER_H

#include <percpu/abi/counter.h>
#include <percpu/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * percpu_counter_init - a counter that stands at value. batch: how far a copy may be from what it
 * published; 0: 32, or twice the number of CPUs if that is more.
 * Context: MT-safe; not async-signal-safe.
 * Returns: 0; -EINVAL (batch above 2^48); -ENOMEM; -ENOTSUP (the program was compiled for another layout of counters
 * than the library has: counter is untouched).
 */
PERCPU__INLINE int percpu_counter_init(struct percpu_counter *counter, int64_t value, uint64_t batch)
{
	return percpu_counter_init_layout(PERCPU_COUNTER_LAYOUT, 1, counter, value, batch);
}

/* Initialises n adjacent counters, all or none. Each may be freed by percpu_counter_fini alone. */
PERCPU__INLINE int percpu_counter_init_bulk(size_t n, struct percpu_counter *counters, int64_t value, uint64_t batch)
{
	return percpu_counter_init_layout(PERCPU_COUNTER_LAYOUT, n, counters, value, batch);
}

/* Gives the copies back. Zeroed storage, and what was given back before, are fine. */
PERCPU_API void percpu_counter_fini(struct percpu_counter *counter);
PERCPU_API void percpu_counter_fini_bulk(size_t n, struct percpu_counter *counters);

/*
 * percpu_counter_add - Context: any thread, any time, signal handlers too. Nothing fails; values wrap at
 * 64 bits.
 */
PERCPU__INLINE void percpu_counter_add(struct percpu_counter *counter, int64_t v)
{
	percpu__will_store(counter->copies, sizeof(*counter->copies));
	if (__builtin_expect(!percpu__try_counter_add(percpu__untyped(counter->copies), v, counter->bounds), 0))
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
 * percpu_counter_add_batch - adds v; the copy that it was added to is afterwards less than batch away from what it
 * published, if that is less than the counter's own batch. 1 or less: all that the copy has is published.
 * Context: as percpu_counter_add.
 */
PERCPU_API PERCPU__OUTLINE void percpu_counter_add_batch(struct percpu_counter *counter, int64_t v, int64_t batch);

/* Beyond 2^62 a reading, which is only near the value, may have wrapped though the value has not. */
PERCPU__INLINE bool percpu__counter_may_wrap(int64_t about)
{
	return ((uint64_t)about + (UINT64_C(1) << 62)) >> 63;
}

/*
 * percpu_counter_read - about the value: less than percpu_counter_error() from it.
 * Context: as percpu_counter_add.
 */
PERCPU__INLINE int64_t percpu_counter_read(const struct percpu_counter *counter)
{
	/* The acquires keep the order. The first pairs with percpu_counter_set, and its second load with percpu_counter_read. */
	const int64_t base = __atomic_load_n(&counter->base, __ATOMIC_ACQUIRE);
	const uint64_t published = (uint64_t)__atomic_load_n(&counter->published, __ATOMIC_ACQUIRE);
	const int64_t about = (int64_t)((uint64_t)base + published);

	if (__builtin_expect(percpu__counter_may_wrap(about) ||
			     __atomic_load_n(&counter->base, __ATOMIC_RELAXED) != base, 0))
		return percpu_counter_read_slow(counter);
	return about;
}

/* batch times the number of copies; UINT64_MAX where that is more. */
PERCPU_API uint64_t percpu_counter_error(const struct percpu_counter *counter);

/*
 * percpu_counter_sum - the value. While others add, all that was added before the call is in it, and
 * some of what is added meanwhile.
 * Context: MT-safe, async-signal-safe; so are all below.
 */
PERCPU_API int64_t percpu_counter_sum(const struct percpu_counter *counter);

/* percpu_counter_compare - below (-1), at (0) or above (1) limit; sums only within twice the error of it. */
PERCPU_API int percpu_counter_compare(const struct percpu_counter *counter, int64_t limit);

/* percpu_counter_set - the counter stands at value, and every addition that this does not count comes on top. */
PERCPU_API void percpu_counter_set(struct percpu_counter *counter, int64_t value);

/* percpu_counter_reset - to zero. Returns: what it was; what is added meanwhile is in that, or still there. */
PERCPU_API int64_t percpu_counter_reset(struct percpu_counter *counter);

/*
 * percpu_counter_limited_add - adds v unless that would bring the value beyond limit: above it where v is
 * positive, below it where v is negative. The limit is exact: additions of this kind never bring the value beyond it
 * together, and count what other additions did before the call. Each sums the copies.
 * Returns: whether v was added; true for 0.
 */
PERCPU_API bool percpu_counter_limited_add(struct percpu_counter *counter, int64_t limit, int64_t v);

#ifdef __cplusplus
}
#endif
#endif
