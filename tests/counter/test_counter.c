/* SPDX-License-Identifier: MIT */
/* Limit-checking counters: their values, the error of readings, and resets that lose nothing. */
#include "harness/harness.h"

#include <errno.h>
#include <sys/wait.h>

#define require(condition) ck_assert(condition)
#include "ops/storm.h"

static struct percpu_counter counter;

/* Checks the counter while no addition is in progress. */
static void check_settled(int64_t value)
{
	const int64_t error = percpu_counter_error(&counter), read = percpu_counter_read(&counter);

	ck_assert_int_eq(percpu_counter_sum(&counter), value);
	ck_assert_int_lt(read - value, error);
	ck_assert_int_lt(value - read, error);
	percpu_for_each_copy(i) {
		const struct percpu__counter_copy *copy = percpu_ptr(counter.copies, i);

		ck_assert_uint_le((uint64_t)(copy->total - copy->folded) + counter.bounds[0],
				  counter.bounds[1]);
	}
}

static void check_compare(int64_t value)
{
	static const int64_t distances[] = { 0, 1, 2, 31, 32, 95, 96, 97, 1000, INT64_C(1) << 40 };

	for (size_t i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
		ck_assert_int_eq(percpu_counter_compare(&counter, value + distances[i]),
				 -(distances[i] > 0));
		ck_assert_int_eq(percpu_counter_compare(&counter, value - distances[i]),
				 distances[i] > 0);
	}
	ck_assert_int_eq(percpu_counter_compare(&counter, INT64_MAX), -1);
	ck_assert_int_eq(percpu_counter_compare(&counter, INT64_MIN), 1);
}

/* ---- one thread, in every state ---- */

static void count_by(uint64_t batch)
{
	static const int64_t steps[] = { 1,
					 -1,
					 5,
					 -3,
					 31,
					 32,
					 33,
					 -31,
					 -32,
					 -33,
					 1000,
					 -999,
					 INT64_C(1) << 40,
					 0,
					 -(INT64_C(1) << 40),
					 7 };
	int64_t value = 100;

	ck_assert_int_eq(percpu_counter_init(&counter, value, batch), 0);
	check_settled(100);
	for (unsigned i = 0; i < 3000; i++) {
		const int64_t step = steps[i * 7 / 3 % (sizeof(steps) / sizeof(steps[0]))];

		percpu_counter_add(&counter, step);
		value += step;
		check_settled(value);
	}
	for (unsigned i = 0; i < 1000; i++) {
		percpu_counter_inc(&counter);
		percpu_counter_sub(&counter, 3);
		percpu_counter_dec(&counter);
		value -= 3;
		check_settled(value);
	}
	check_compare(value);
	percpu_counter_set(&counter, -5);
	check_settled(-5);
	check_compare(-5);
	percpu_counter_add(&counter, 12);
	ck_assert_int_eq(percpu_counter_reset(&counter), 7);
	check_settled(0);
	percpu_counter_inc(&counter);
	ck_assert_int_eq(percpu_counter_reset(&counter), 1);
	percpu_counter_fini(&counter);
	percpu_counter_fini(&counter);
}

START_TEST(counts_in_every_state)
{
	if (enter((enum state)_i) < 0)
		SKIP("this machine has no such state");
	count_by(0);
}
END_TEST

START_TEST(counts_with_small_and_large_batches)
{
	static const uint64_t batches[] = { 1, 2, 3, 1000, UINT64_C(1) << 48 };

	if (enter((enum state)_i) < 0)
		SKIP("this machine has no such state");
	for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++)
		count_by(batches[i]);
}
END_TEST

/* A counter that goes up and down by one at the margin folds once, and not again. */
START_TEST(a_gauge_at_the_margin_folds_once)
{
	int64_t read;

	ck_assert_int_ge(pin_to_nth(0), 0);
	percpu_counter_init(&counter, 0, 32);
	for (int start = 0; start < 40; start++) {
		percpu_counter_inc(&counter);
		percpu_counter_inc(&counter);
		percpu_counter_dec(&counter);
		read = percpu_counter_read(&counter);
		for (unsigned i = 0; i < 100; i++) {
			percpu_counter_dec(&counter);
			percpu_counter_inc(&counter);
			ck_assert_int_eq(percpu_counter_read(&counter), read);
		}
	}
	percpu_counter_fini(&counter);
}
END_TEST

START_TEST(extremes_wrap)
{
	percpu_counter_init(&counter, INT64_MAX, 0);
	percpu_counter_inc(&counter);
	ck_assert_int_eq(percpu_counter_sum(&counter), INT64_MIN);
	percpu_counter_sub(&counter, INT64_MIN);
	ck_assert_int_eq(percpu_counter_sum(&counter), 0);
	percpu_counter_set(&counter, INT64_MIN);
	ck_assert_int_eq(percpu_counter_compare(&counter, INT64_MAX), -1);
	percpu_counter_fini(&counter);
	ck_assert_int_eq(percpu_counter_init(&counter, 0, (UINT64_C(1) << 48) + 1), -EINVAL);
}
END_TEST

/* The value is near an extreme and never wraps, but its folded part does. */
START_TEST(near_the_extremes_a_counter_reads_and_compares_right)
{
	static const int64_t values[] = { INT64_MAX - 10, INT64_MIN + 10 };
	cpu_set_t all;

	sched_getaffinity(0, sizeof(all), &all);
	for (unsigned i = 0; i < 2; i++) {
		const int64_t start = values[i], sign = i ? -1 : 1;
		int64_t value = start;

		ck_assert_int_ge(pin_to_nth(0), 0);
		percpu_counter_init(&counter, start, 0);
		percpu_counter_sub(&counter, sign * 30);
		sched_setaffinity(0, sizeof(all), &all);
		if (pin_to_nth(1) >= 0)
			value +=
				sign * 2; /* folded there, while the other copy holds back its 30 */
		percpu_counter_add(&counter, sign * (value == start ? 30 : 32));
		ck_assert_int_eq(percpu_counter_sum(&counter), value);
		ck_assert_int_lt(llabs(percpu_counter_read(&counter) / 2 - value / 2), 96);
		ck_assert_int_eq(percpu_counter_compare(&counter, 0), sign);
		ck_assert_int_eq(percpu_counter_compare(&counter, value), 0);
		ck_assert_int_eq(percpu_counter_compare(&counter, value - 1), 1);
		ck_assert_int_eq(percpu_counter_compare(&counter, value + 1), -1);
		ck_assert_int_eq(percpu_counter_compare(&counter, sign > 0 ? INT64_MIN : INT64_MAX),
				 sign);
		percpu_counter_fini(&counter);
		sched_setaffinity(0, sizeof(all), &all);
	}
}
END_TEST

/* The largest batch on the most copies: twice the error is 2^62. */
START_TEST(the_largest_error_compares_right)
{
	setenv("PERCPU_OPTIONS", "cpus:8192", 1);
	percpu_counter_init(&counter, 0, UINT64_C(1) << 48);
	ck_assert_uint_eq(percpu_counter_error(&counter), (UINT64_C(1) << 48) * 8193);
	ck_assert_int_eq(percpu_counter_compare(&counter, INT64_MAX), -1);
	ck_assert_int_eq(percpu_counter_compare(&counter, INT64_MIN), 1);
	percpu_counter_fini(&counter);
}
END_TEST

START_TEST(many_at_once)
{
	enum { NR = 300 };
	struct percpu_counter *counters = calloc(NR, sizeof(*counters));
	struct percpu_pool_stats before = { .size = sizeof(before) }, after = before;

	percpu_pool_stats(NULL, &before);
	ck_assert_int_eq(percpu_counter_init_bulk(NR, counters, 7, 0), 0);
	for (int i = 0; i < NR; i++)
		percpu_counter_add(&counters[i], i);
	for (int i = 0; i < NR; i++)
		ck_assert_int_eq(percpu_counter_sum(&counters[i]), 7 + i);
	percpu_counter_fini(&counters[5]);
	percpu_counter_fini_bulk(NR, counters);
	percpu_pool_stats(NULL, &after);
	ck_assert_uint_eq(after.live_bytes, before.live_bytes);
	free(counters);
}
END_TEST

/* ---- storms ---- */

#define EVERY 512
static int64_t taken; /* by resets */

static void step_count(struct storm_thread *self, bool in_handler)
{
	const uint64_t step = self->steps + self->handler_steps;

	if (self->number == 1 && self->steps == 100 && !in_handler && self->state)
		unregister_rseq();
	/* Mostly by less than a batch, at times by much more. */
	percpu_counter_add(&counter, step % 64 ? 2 : 1002);
	percpu_counter_add(&counter, step % 64 ? -1 : -1001);
	if (self->number == 2 && step % EVERY == 0)
		__atomic_fetch_add(&taken, percpu_counter_reset(&counter), __ATOMIC_RELAXED);
	if (self->number == 3 && step % EVERY == 0) {
		const int64_t was = percpu_counter_reset(&counter);

		must(was > -1100 * (int64_t)NR_THREADS);
		percpu_counter_add(&counter, was);
	}
}

START_TEST(a_storm_with_resets_loses_none)
{
	const enum state state = _i;
	uint64_t steps;

	if (state == ATOMIC)
		setenv("PERCPU_OPTIONS", "mode:atomic", 1);
	if (state == CPU_TOO_HIGH)
		setenv("PERCPU_OPTIONS", "cpus:1", 1);
	percpu_counter_init(&counter, 0, 0);
	storm_threads[1].state =
		state == UNREGISTERED && percpu_mode() == PERCPU_MODE_RSEQ ? &counter : NULL;
	steps = storm(step_count, 0.6);
	check_settled((int64_t)steps - taken);
	ck_assert_int_gt(taken, 0);
	percpu_counter_fini(&counter);
}
END_TEST

/*
 * A reading while others add is off by less than the error, plus a batch for each addition in
 * progress and what the others add meanwhile. A thread has at most two additions in progress, its
 * own and that of a signal handler.
 */
static uint64_t announced, finished;

static void step_read(struct storm_thread *self, bool in_handler)
{
	int64_t slack, least, read;

	if (self->number || in_handler) {
		__atomic_fetch_add(&announced, 1, __ATOMIC_SEQ_CST);
		percpu_counter_inc(&counter);
		__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
		return;
	}
	slack = percpu_counter_error(&counter) + 2 * NR_THREADS * (32 + 2 * NR_THREADS);
	least = __atomic_load_n(&finished, __ATOMIC_SEQ_CST);
	read = percpu_counter_read(&counter);
	must(read > least - slack);
	must(read < (int64_t)__atomic_load_n(&announced, __ATOMIC_SEQ_CST) + slack);
	least = __atomic_load_n(&finished, __ATOMIC_SEQ_CST);
	read = percpu_counter_sum(&counter);
	must(read >= least);
	must(read <= (int64_t)__atomic_load_n(&announced, __ATOMIC_SEQ_CST));
}

START_TEST(readings_in_a_storm_are_near)
{
	if (_i)
		setenv("PERCPU_OPTIONS", "mode:atomic", 1);
	percpu_counter_init(&counter, 0, 32);
	storm(step_read, 0.6);
	check_settled(announced);
	percpu_counter_fini(&counter);
}
END_TEST

/* ---- children, made while other threads change the counter ---- */

enum { NR_CHANGERS = 3, NR_FORKS = 500, LEAP = 1000000 };
static bool is_over;

static void *leap(void *arg)
{
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		percpu_counter_add(&counter, LEAP);
	return arg;
}

static void *set_and_reset(void *arg)
{
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		percpu_counter_set(&counter, LEAP);
		percpu_counter_add(&counter, 3);
		percpu_counter_reset(&counter);
	}
	return arg;
}

static void *count_up(void *arg)
{
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		percpu_counter_add(&counter, 31);
	return arg;
}

/*
 * Runs in the child, where the counter does not change any more.
 * Returns: 0; 1 if the reading is wrong, 2 if a comparison is, 3 if both are.
 */
static int judge_in_child(void)
{
	/* The error, and two batches for each thread that was folding at the fork. */
	const int64_t most = percpu_counter_error(&counter) + 2 * NR_CHANGERS * 32;
	const int64_t value = percpu_counter_sum(&counter), read = percpu_counter_read(&counter);
	bool is_compared_wrong = percpu_counter_compare(&counter, value) != 0;

	for (int64_t distance = 1; distance < 2 * LEAP; distance = distance * 3 / 2 + 1)
		is_compared_wrong |= percpu_counter_compare(&counter, value + distance) != -1 ||
				     percpu_counter_compare(&counter, value - distance) != 1;
	return (read - value >= most || value - read >= most) + 2 * is_compared_wrong;
}

START_TEST(a_child_reads_and_compares_right)
{
	static void *(*const changes[])(void *) = { leap, set_and_reset, count_up };
	pthread_t threads[NR_CHANGERS];
	int nr[4] = { 0 }, status;

	percpu_counter_init(&counter, 0, 32);
	for (int i = 0; i < NR_CHANGERS; i++)
		pthread_create(&threads[i], NULL, changes[_i], NULL);
	for (int i = 0; i < NR_FORKS; i++) {
		const pid_t child = fork();

		if (!child)
			_exit(judge_in_child());
		ck_assert_int_gt(child, 0);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) < 4);
		nr[WEXITSTATUS(status)]++;
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	for (int i = 0; i < NR_CHANGERS; i++)
		pthread_join(threads[i], NULL);
	percpu_counter_fini(&counter);
	ck_assert_msg(nr[0] == NR_FORKS, "of %d children %d read wrong, %d compared wrong",
		      NR_FORKS, nr[1] + nr[3], nr[2] + nr[3]);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { a_gauge_at_the_margin_folds_once, extremes_wrap,
					near_the_extremes_a_counter_reads_and_compares_right,
					the_largest_error_compares_right, many_at_once, NULL };
	Suite *suite = suite_of("counter: counters", tests, 120);
	TCase *modes = case_of("modes");

	tcase_set_timeout(modes, 120);
	tcase_add_loop_test(modes, counts_in_every_state, 0, NR_STATES);
	tcase_add_loop_test(modes, counts_with_small_and_large_batches, 0, NR_STATES);
	tcase_add_loop_test(modes, a_storm_with_resets_loses_none, 0, NR_STATES);
	tcase_add_loop_test(modes, readings_in_a_storm_are_near, 0, 2);
	tcase_add_loop_test(modes, a_child_reads_and_compares_right, 0, 3);
	suite_add_tcase(suite, modes);
	return run_suite(suite);
}
