/* SPDX-License-Identifier: MIT */
/*
 * Owns limit-checking counters: what <percpu/counter.h> leaves out of line.
 *
 * In a copy with one writer the inline section adds where the copy stays within its margin; elsewhere the
 * slow half first publishes, by a section too, and adds again. In a shared copy whoever writes a word
 * looks at both words afterwards, and publishes until they are within the margin: whose write was last has
 * seen that they are. What is larger than the margin goes past the copies, into the base.
 *
 * base + totals is the value at all times. `approximate` follows: each change of a published word or of
 * the base is added to it afterwards, by whoever made the change.
 */
#include <errno.h>
#include <string.h>

#include "counter/counter.h"
#include "ops/ops.h"

#define BATCH_MIN 32u
#define BATCH_MAX (UINT64_C(1) << 48)
#define BULK 64u /* copies allocated at a time */

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

static void set_up(struct percpu_counter *counter, void __percpu *copies, int64_t value, uint64_t batch)
{
	const unsigned nr_cpus = percpu_nr_cpus();

	if (!batch)
		batch = 2 * nr_cpus > BATCH_MIN ? 2 * nr_cpus : BATCH_MIN;
	memset(counter, 0, sizeof(*counter));
	counter->copies = (struct percpu__counter_copy __percpu *)copies;
	counter->bounds[0] = batch - 1;
	counter->bounds[1] = 2 * counter->bounds[0];
	counter->approximate = counter->base = value;
}

int percpu_counter_init_bulk(size_t n, struct percpu_counter *counters, int64_t value, uint64_t batch)
{
	void __percpu *copies[BULK];

	if (batch > BATCH_MAX)
		return -EINVAL;
	for (size_t from = 0; from < n; from += BULK) {
		const size_t nr = n - from < BULK ? n - from : BULK;
		const int error = percpu_alloc_bulk(sizeof(struct percpu__counter_copy),
						    _Alignof(struct percpu__counter_copy), nr, copies);

		if (error) {
			percpu_counter_fini_bulk(from, counters);
			return error;
		}
		for (size_t i = 0; i < nr; i++)
			set_up(&counters[from + i], copies[i], value, batch);
	}
	return 0;
}

int percpu_counter_init(struct percpu_counter *counter, int64_t value, uint64_t batch)
{
	return percpu_counter_init_bulk(1, counter, value, batch);
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

static bool is_within(const struct percpu_counter *counter, int64_t distance)
{
	return (uint64_t)distance + counter->bounds[0] <= counter->bounds[1];
}

static void follow(struct percpu_counter *counter, int64_t change)
{
	__atomic_fetch_add(&counter->approximate, change, __ATOMIC_RELAXED);
}

/*
 * Sequential consistency: of two that wrote one word each, at least one sees both. The published word is
 * looked at first, so that a compare-and-swap which finds it unchanged does not publish an old total.
 */
static void add_shared(struct percpu_counter *counter, struct percpu__counter_copy *copy, int64_t v)
{
	__atomic_fetch_add(&copy->total, v, __ATOMIC_SEQ_CST);
	for (;;) {
		int64_t published = __atomic_load_n(&copy->published, __ATOMIC_SEQ_CST);
		const int64_t total = __atomic_load_n(&copy->total, __ATOMIC_SEQ_CST);

		if (is_within(counter, minus(total, published)))
			return;
		if (__atomic_compare_exchange_n(&copy->published, &published, total, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			follow(counter, minus(total, published));
	}
}

void percpu_counter_add_slow(struct percpu_counter *counter, int64_t v)
{
	void *const copies = percpu__started(percpu__untyped(counter->copies));
	int64_t change;

	if (!is_within(counter, v)) {
		__atomic_fetch_add(&counter->base, v, __ATOMIC_RELAXED);
		follow(counter, v);
		return;
	}
	while (!percpu__try_counter_add(copies, v, counter->bounds)) {
		if (!percpu__try_counter_publish(copies, &change)) {
			add_shared(counter, percpu__shared_copy(copies), v);
			return;
		}
		follow(counter, change);
	}
}

/* ---- reading and setting ---- */

uint64_t percpu_counter_error(const struct percpu_counter *counter)
{
	return (counter->bounds[0] + 1) * percpu_nr_copies();
}

static int64_t sum_of_totals(const struct percpu_counter *counter)
{
	return percpu_sum(&counter->copies->total);
}

int64_t percpu_counter_sum(const struct percpu_counter *counter)
{
	const int64_t base = __atomic_load_n(&counter->base, __ATOMIC_RELAXED);

	return plus(base, sum_of_totals(counter));
}

int percpu_counter_compare(const struct percpu_counter *counter, int64_t limit)
{
	const int64_t about = percpu_counter_read(counter), error = percpu_counter_error(counter);
	const __int128 distance = (__int128)about - limit;
	int64_t value;

	if (distance >= error || distance <= -(__int128)error)
		return distance < 0 ? -1 : 1;
	value = percpu_counter_sum(counter);
	return (value > limit) - (value < limit);
}

/*
 * Makes value of what the counter is, in one step: where the base changed meanwhile (another reset, or a
 * large addition), both are read again. Returns: what it was.
 */
static int64_t exchange(struct percpu_counter *counter, int64_t value)
{
	int64_t base = __atomic_load_n(&counter->base, __ATOMIC_RELAXED), totals, next;

	do {
		totals = sum_of_totals(counter);
		next = minus(value, totals);
	} while (!__atomic_compare_exchange_n(&counter->base, &base, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	follow(counter, minus(next, base));
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
