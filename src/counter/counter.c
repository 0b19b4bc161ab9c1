/* SPDX-License-Identifier: MIT */
/*
 * Owns limit-checking counters: the slow paths and the functions of <percpu/counter.h>.
 *
 * In a copy with one writer, the inline critical section adds while the copy stays within its
 * margin. Otherwise the slow path first folds the copy, by a critical section too, and adds again.
 * In a shared copy, every writer of one word looks at both words afterwards and folds until they
 * are within the margin, so the last writer has seen that they are. An addition larger than the
 * margin bypasses the copies and goes into the base.
 *
 * base + totals is the value at all times. The counter's `folded` is the sum of its copies'
 * `folded` words: the thread that changes one of them adds the change as a second step. Everything
 * else is one step. A fork between the two steps leaves the child's readings off by that change.
 */
#include <errno.h>
#include <string.h>

#include "counter/counter.h"
#include "ops/ops.h"

#define BATCH_MIN 32u
#define BATCH_MAX (UINT64_C(1) << 48)
#define BULK 64u       /* copies allocated at a time */
#define READ_TRIES 16u /* readings while the base changes, before the copies are summed */

/* Sums wrap, as operations on copies do. */
static int64_t plus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t minus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* ---- init and fini ---- */

static void init_one(struct percpu_counter *counter, void __percpu *copies, int64_t value,
		     uint64_t batch)
{
	const unsigned nr_cpus = percpu_nr_cpus();

	if (!batch)
		batch = 2 * nr_cpus > BATCH_MIN ? 2 * nr_cpus : BATCH_MIN;
	memset(counter, 0, sizeof(*counter));
	counter->copies = (struct percpu__counter_copy __percpu *)copies;
	counter->bounds[0] = batch - 1;
	counter->bounds[1] = 2 * counter->bounds[0];
	counter->base = value;
}

int percpu_counter_init_layout(unsigned layout, size_t n, struct percpu_counter *counters,
			       int64_t value, uint64_t batch)
{
	void __percpu *copies[BULK];

	if (layout != PERCPU_COUNTER_LAYOUT)
		return -ENOTSUP;
	if (batch > BATCH_MAX)
		return -EINVAL;
	for (size_t from = 0; from < n; from += BULK) {
		const size_t nr = n - from < BULK ? n - from : BULK;
		const int error =
			percpu_alloc_bulk(sizeof(struct percpu__counter_copy),
					  _Alignof(struct percpu__counter_copy), nr, copies);

		if (error) {
			percpu_counter_fini_bulk(from, counters);
			return error;
		}
		for (size_t i = 0; i < nr; i++)
			init_one(&counters[from + i], copies[i], value, batch);
	}
	return 0;
}

void percpu_counter_fini(struct percpu_counter *counter)
{
	percpu_free(counter->copies);
	counter->copies = NULL;
}

void percpu_counter_fini_bulk(size_t n, struct percpu_counter *counters)
{
	for (size_t i = 0; i < n; i++)
		percpu_counter_fini(&counters[i]);
}

/* ---- adding ---- */

static bool is_within(const uint64_t *bounds, int64_t distance)
{
	return (uint64_t)distance + bounds[0] <= bounds[1];
}

/* The second step of a fold: change is the distance that a copy's folded word has moved. */
static void add_to_folded(struct percpu_counter *counter, int64_t change)
{
	__atomic_fetch_add(&counter->folded, change, __ATOMIC_RELAXED);
}

static void add_to_base(struct percpu_counter *counter, int64_t v)
{
	__atomic_fetch_add(&counter->base, v, __ATOMIC_RELEASE); /* pairs with base_of */
}

/*
 * Sequential consistency ensures that of two threads that wrote one word each, at least one sees
 * both. The folded word is loaded before the total, so that a compare-and-swap that finds it
 * unchanged does not store an outdated total.
 */
static void add_shared(struct percpu_counter *counter, struct percpu__counter_copy *copy, int64_t v,
		       const uint64_t *bounds)
{
	__atomic_fetch_add(&copy->total, v, __ATOMIC_SEQ_CST);
	for (;;) {
		int64_t folded = __atomic_load_n(&copy->folded, __ATOMIC_SEQ_CST);
		const int64_t total = __atomic_load_n(&copy->total, __ATOMIC_SEQ_CST);

		if (is_within(bounds, minus(total, folded)))
			return;
		if (__atomic_compare_exchange_n(&copy->folded, &folded, total, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			add_to_folded(counter, minus(total, folded));
	}
}

/* Adds v, which is within the bounds, to this CPU's copy, and leaves the copy within them. */
static void add_within(struct percpu_counter *counter, int64_t v, const uint64_t *bounds)
{
	void *const copies = percpu__started(percpu__untyped(counter->copies));
	int64_t change;

	while (!percpu__try_counter_add(copies, v, bounds)) {
		if (!percpu__try_counter_fold(copies, &change)) {
			add_shared(counter, percpu__shared_copy(copies), v, bounds);
			return;
		}
		add_to_folded(counter, change);
	}
}

void percpu_counter_add_slow(struct percpu_counter *counter, int64_t v)
{
	if (is_within(counter->bounds, v))
		add_within(counter, v, counter->bounds);
	else
		add_to_base(counter, v);
}

void percpu_counter_add_batch(struct percpu_counter *counter, int64_t v, int64_t batch)
{
	const uint64_t named = batch > 1 ? (uint64_t)batch - 1 : 0, own = counter->bounds[0];
	const uint64_t margin = named < own ? named : own;
	const uint64_t bounds[] = { margin, 2 * margin };
	const bool is_small = is_within(bounds, v);

	if (!is_small)
		add_to_base(counter, v);
	add_within(counter, is_small ? v : 0, bounds);
}

/* ---- reading and setting ---- */

uint64_t percpu_counter_error(const struct percpu_counter *counter)
{
	uint64_t error;

	if (__builtin_mul_overflow(counter->bounds[0] + 1, percpu_nr_copies(), &error))
		return UINT64_MAX;
	return error;
}

/*
 * Loads the base before the totals, by an acquire: they are then at least as new as those from
 * which a set or a reset computed this base. pairs with exchange, add_to_base and
 * percpu_counter_limited_add.
 */
static int64_t base_of(const struct percpu_counter *counter)
{
	return __atomic_load_n(&counter->base, __ATOMIC_ACQUIRE);
}

static int64_t sum_of_totals(const struct percpu_counter *counter)
{
	return percpu_sum(&counter->copies->total);
}

int64_t percpu_counter_sum(const struct percpu_counter *counter)
{
	const int64_t base = base_of(counter);

	return plus(base, sum_of_totals(counter));
}

int64_t percpu_counter_read_slow(const struct percpu_counter *counter)
{
	for (unsigned i = 0; i < READ_TRIES; i++) {
		const int64_t base = base_of(counter);
		const int64_t about =
			plus(base, __atomic_load_n(&counter->folded, __ATOMIC_ACQUIRE));

		if (percpu__counter_may_wrap(about))
			break;
		if (__atomic_load_n(&counter->base, __ATOMIC_RELAXED) == base)
			return about;
	}
	return percpu_counter_sum(counter);
}

/*
 * The reading decides if limit is further away than twice the error: each thread that is folding
 * its copy, or was when this process was forked, may hold back its part of the error a second time.
 */
int percpu_counter_compare(const struct percpu_counter *counter, int64_t limit)
{
	const __int128 about = percpu_counter_read(counter), distance = about - limit;
	const __int128 slack = 2 * (__int128)percpu_counter_error(counter);
	const bool may_wrap = about > INT64_MAX - slack || about < INT64_MIN + slack;
	int64_t value;

	if (!may_wrap && (distance >= slack || distance <= -slack))
		return distance < 0 ? -1 : 1;
	value = percpu_counter_sum(counter);
	return (value > limit) - (value < limit);
}

/*
 * Replaces the counter's value in one step. If the base changed meanwhile, by another reset or by a
 * large addition, base and totals are read again. Returns: the value before.
 */
static int64_t exchange(struct percpu_counter *counter, int64_t value)
{
	int64_t base = base_of(counter), totals;

	do
		totals = sum_of_totals(counter);
	while (!__atomic_compare_exchange_n(&counter->base, &base, minus(value, totals), false,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	return plus(base, totals);
}

void percpu_counter_set(struct percpu_counter *counter, int64_t value)
{
	exchange(counter, value);
}

int64_t percpu_counter_reset(struct percpu_counter *counter)
{
	return exchange(counter, 0);
}

/*
 * Adds to the base: of two additions that would pass the limit together, one finds that the base
 * has changed.
 */
bool percpu_counter_limited_add(struct percpu_counter *counter, int64_t limit, int64_t v)
{
	int64_t base = base_of(counter);

	if (!v)
		return true;
	do {
		const __int128 next = (__int128)plus(base, sum_of_totals(counter)) + v;

		if (v > 0 ? next > limit : next < limit)
			return false;
	} while (!__atomic_compare_exchange_n(&counter->base, &base, plus(base, v), false,
					      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	return true;
}
