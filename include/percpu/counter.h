/* SPDX-License-Identifier: MIT */
/*
 * Counters that are read as often as they are written: each copy counts, and publishes to one word what
 * it has come to, once it has come far enough.
 *
 *	copy:     | total | published |			of every CPU; a total never goes back
 *	counter:  approximate = base + every published		read: one load
 *	          base + every total				sum: exact
 *
 * A copy's total and what it published are less than a batch apart, and so percpu_counter_read() is less
 * than percpu_counter_error() away from percpu_counter_sum(), when no call that adds is under way.
 * (Each call that is may hold back another batch or so, until it returns.)
 *
 * To set a counter is to move its base. Nobody writes into another CPU's copy, so that an addition
 * is in the old value or in the new one, never in both or neither.
 */
#ifndef PERCPU_COUNTER_H
#define PERCPU_COUNTER_H

#include <percpu/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

struct percpu__counter_copy {
	int64_t total;
	int64_t published;
} __attribute__((__aligned__(16)));

/*
 * The caller's storage; all of it belongs to the library. What additions read and what they write at
 * times lie so far apart that they never share a line.
 */
struct percpu_counter {
	struct percpu__counter_copy __percpu *copies;
	uint64_t bounds[2]; /* the margin, batch - 1; the span, twice as much */
	uint64_t reserved[5];
	int64_t approximate;
	int64_t base;
	uint64_t reserved2[6];
};

#ifdef __cplusplus
static_assert(sizeof(struct percpu_counter) == 128 && sizeof(struct percpu__counter_copy) == 16, "ABI");
#else
_Static_assert(sizeof(struct percpu_counter) == 128 && sizeof(struct percpu__counter_copy) == 16, "ABI");
_Static_assert(offsetof(struct percpu__counter_copy, published) == 8, "what the sections say");
#endif

/*
 * percpu_counter_init - a counter that stands at value. batch: how far a copy may be from what it
 * published; 0: 32, or twice the number of CPUs if that is more.
 * Context: MT-safe; not async-signal-safe.
 * Returns: 0; -EINVAL (batch above 2^48); -ENOMEM.
 */
PERCPU_API int percpu_counter_init(struct percpu_counter *counter, int64_t value, uint64_t batch);

/* The same for n counters in a row, all or none; each may be given back alone. */
PERCPU_API int percpu_counter_init_bulk(size_t n, struct percpu_counter *counters, int64_t value, uint64_t batch);

/* Gives the copies back. Zeroed storage, and what was given back before, are fine. */
PERCPU_API void percpu_counter_fini(struct percpu_counter *counter);
PERCPU_API void percpu_counter_fini_bulk(size_t n, struct percpu_counter *counters);

/* The slow half, complete in itself. */
PERCPU_API PERCPU__OUTLINE void percpu_counter_add_slow(struct percpu_counter *counter, int64_t v);

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

/* percpu_counter_read - about the value: less than percpu_counter_error() from it. One load. */
PERCPU__INLINE int64_t percpu_counter_read(const struct percpu_counter *counter)
{
	return __atomic_load_n(&counter->approximate, __ATOMIC_RELAXED);
}

/* batch times the number of copies. */
PERCPU_API uint64_t percpu_counter_error(const struct percpu_counter *counter);

/*
 * percpu_counter_sum - the value. While others add, all that was added before the call is in it, and
 * some of what is added meanwhile.
 * Context: MT-safe, async-signal-safe; so are all below.
 */
PERCPU_API int64_t percpu_counter_sum(const struct percpu_counter *counter);

/* percpu_counter_compare - below (-1), at (0) or above (1) limit; sums only when the counter is near it. */
PERCPU_API int percpu_counter_compare(const struct percpu_counter *counter, int64_t limit);

/* percpu_counter_set - the counter stands at value, and every addition that this does not count comes on top. */
PERCPU_API void percpu_counter_set(struct percpu_counter *counter, int64_t value);

/* percpu_counter_reset - to zero. Returns: what it was; what is added meanwhile is in that, or still there. */
PERCPU_API int64_t percpu_counter_reset(struct percpu_counter *counter);

#ifdef __cplusplus
}
#endif
#endif
