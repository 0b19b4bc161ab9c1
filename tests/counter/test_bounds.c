/* SPDX-License-Identifier: MIT */
/* Additions with a batch of their own, and additions with a limit that is never passed. */
#include "harness/harness.h"

#define require(condition) ck_assert(condition)
#include "ops/storm.h"

static struct percpu_counter counter;

static int64_t held_back(void)
{
	int64_t most = 0;

	percpu_for_each_copy(i) {
		const struct percpu__counter_copy *copy = percpu_ptr(counter.copies, i);

		if (llabs(copy->total - copy->folded) > most)
			most = llabs(copy->total - copy->folded);
	}
	return most;
}

/* ---- a named batch ---- */

START_TEST(a_named_batch_is_honoured)
{
	static const int64_t
		batches[] = { -5, 0, 1, 2, 7, 31, 32, 33, INT64_C(1) << 40, INT64_MAX },
		steps[] = { 1, -1, 6, -31, 5, 32, -33, 100, 0, INT64_C(1) << 50 };
	int64_t value = 0;

	if (enter((enum state)_i) < 0)
		SKIP("this machine has no such state");
	percpu_counter_init(&counter, 0, 32);
	for (unsigned i = 0; i < 1000; i++) {
		const int64_t batch = batches[i % 10], step = steps[i * 7 / 3 % 10];
		const int64_t most = batch < 1 ? 1 : batch > 32 ? 32 : batch;

		/* The bound includes what earlier additions left in the copy. */
		percpu_counter_add(&counter, 30);
		percpu_counter_add_batch(&counter, step, batch);
		value += step + 30;
		ck_assert_int_lt(held_back(), most);
		ck_assert_int_eq(percpu_counter_sum(&counter), value);
		ck_assert_int_lt(llabs(percpu_counter_read(&counter) - value),
				 most * percpu_nr_copies());
	}
	percpu_counter_add(&counter, 5);
	percpu_counter_add_batch(&counter, 0, 1);
	ck_assert_int_eq(percpu_counter_read(&counter), value + 5);
	percpu_counter_fini(&counter);
}
END_TEST

static void step_batches(struct storm_thread *self, bool in_handler)
{
	percpu_counter_add_batch(&counter, 3, 1 + (int64_t)(self->steps % 40));
	percpu_counter_add_batch(&counter, -2, 2);
}

START_TEST(a_storm_of_batches_loses_none)
{
	uint64_t steps;

	if (_i)
		setenv("PERCPU_OPTIONS", _i == 1 ? "mode:atomic" : "cpus:1", 1);
	percpu_counter_init(&counter, 0, 0);
	steps = storm(step_batches, 0.4);
	ck_assert_int_eq(percpu_counter_sum(&counter), (int64_t)steps);
	ck_assert_int_lt(llabs(percpu_counter_read(&counter) - (int64_t)steps),
			 percpu_counter_error(&counter));
	percpu_counter_fini(&counter);
}
END_TEST

/* ---- a limit ---- */

START_TEST(a_limit_is_exact)
{
	if (enter((enum state)_i) < 0)
		SKIP("this machine has no such state");
	percpu_counter_init(&counter, 0, 0);
	percpu_counter_add(&counter, 20); /* held back by the copy */
	ck_assert(!percpu_counter_limited_add(&counter, 29, 10));
	ck_assert(percpu_counter_limited_add(&counter, 30, 10));
	ck_assert(!percpu_counter_limited_add(&counter, 30, 1));
	ck_assert(percpu_counter_limited_add(&counter, 5, 0));
	ck_assert(percpu_counter_limited_add(&counter, 29, -1));
	ck_assert_int_eq(percpu_counter_sum(&counter), 29);
	ck_assert(!percpu_counter_limited_add(&counter, 0, -30));
	ck_assert(percpu_counter_limited_add(&counter, 0, -29));
	ck_assert_int_eq(percpu_counter_sum(&counter), 0);
	percpu_counter_set(&counter, INT64_MAX - 1);
	ck_assert(!percpu_counter_limited_add(&counter, INT64_MAX, 2));
	ck_assert(percpu_counter_limited_add(&counter, INT64_MAX, 1));
	ck_assert(!percpu_counter_limited_add(&counter, INT64_MAX, INT64_MAX));
	percpu_counter_set(&counter, INT64_MIN);
	ck_assert(!percpu_counter_limited_add(&counter, INT64_MIN, -1));
	ck_assert_int_eq(percpu_counter_sum(&counter), INT64_MIN);
	percpu_counter_fini(&counter);
}
END_TEST

/* Each thread takes some and gives it back later: together they never have more than the limit. */
enum { LIMIT = 100 };
static int64_t taken, most_taken;
static uint64_t nr_refused;

static void step_reserve(struct storm_thread *self, bool in_handler)
{
	const int64_t v = 1 + (int64_t)(self->steps % 60);
	int64_t now, most;

	if (!percpu_counter_limited_add(&counter, LIMIT, v)) {
		__atomic_fetch_add(&nr_refused, 1, __ATOMIC_RELAXED);
		return;
	}
	now = __atomic_add_fetch(&taken, v, __ATOMIC_SEQ_CST);
	most = __atomic_load_n(&most_taken, __ATOMIC_RELAXED);
	while (now > most && !__atomic_compare_exchange_n(&most_taken, &most, now, false,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	must(now <= LIMIT);
	if (self->number % 2 && !in_handler) /* so that others find it taken */
		sched_yield();
	__atomic_fetch_sub(&taken, v, __ATOMIC_SEQ_CST);
	percpu_counter_sub(&counter, v);
}

START_TEST(a_storm_never_passes_a_limit)
{
	if (_i)
		setenv("PERCPU_OPTIONS", _i == 1 ? "mode:atomic" : "cpus:1", 1);
	percpu_counter_init(&counter, 0, 0);
	storm(step_reserve, 0.4);
	ck_assert_int_eq(percpu_counter_sum(&counter), 0);
	ck_assert_int_gt(most_taken, LIMIT / 2);
	ck_assert_uint_gt(nr_refused, 0);
	percpu_counter_fini(&counter);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("counter: bounds");
	TCase *modes = case_of("modes");

	tcase_set_timeout(modes, 120);
	tcase_add_loop_test(modes, a_named_batch_is_honoured, 0, NR_STATES);
	tcase_add_loop_test(modes, a_limit_is_exact, 0, NR_STATES);
	tcase_add_loop_test(modes, a_storm_of_batches_loses_none, 0, 3);
	tcase_add_loop_test(modes, a_storm_never_passes_a_limit, 0, 3);
	suite_add_tcase(suite, modes);
	return run_suite(suite);
}
