/* SPDX-License-Identifier: MIT */
/* Groups: no read in a storm is torn, but reads of separate additions are. */
#include "harness/harness.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define require(condition) ck_assert(condition)
#include "ops/storm.h"

#define MAX PERCPU_GROUP_MAX_FIELDS
#define NR_READS 1000000u
#define CLAIMED (UINT64_C(1) << 63)

static struct percpu_group group;

static void check_fields(const uint64_t *want)
{
	uint64_t fields[MAX];

	percpu_group_read(&group, fields);
	for (unsigned i = 0; i < group.nr_fields; i++)
		ck_assert_uint_eq(fields[i], want[i]);
}

/* ---- one thread, in every state ---- */

START_TEST(adds_in_every_state)
{
	const int copy = enter((enum state)_i);
	uint64_t want[MAX], fields[MAX];

	if (copy < 0)
		SKIP("this machine has no such state");
	for (unsigned nr = 2; nr <= MAX; nr++) {
		memset(want, 0, sizeof(want));
		ck_assert_int_eq(percpu_group_init(&group, nr), 0);
		check_fields(want);
		for (unsigned i = 0; i < 1000; i++) {
			const int32_t odd = i % 3 ? (int32_t)i : -7;

			if (nr == 2)
				percpu_group_add(&group, 1, odd);
			else if (nr == 3)
				percpu_group_add(&group, 1, odd, UINT64_MAX / 3 * i);
			else
				percpu_group_add(&group, 1, odd, UINT64_MAX / 3 * i,
						 0 - ((uint64_t)i << 33));
			want[0]++;
			want[1] += (uint64_t)odd;
			want[2] += UINT64_MAX / 3 * i;
			want[3] -= (uint64_t)i << 33;
			check_fields(want);
		}
		percpu_group_read_copy(&group, (unsigned)copy, fields);
		for (unsigned i = 0; i < nr; i++)
			ck_assert_uint_eq(fields[i], want[i]);
		percpu_group_fini(&group);
		percpu_group_fini(&group);
	}
}
END_TEST

START_TEST(two_to_four_fields)
{
	ck_assert_int_eq(percpu_group_init(&group, 0), -EINVAL);
	ck_assert_int_eq(percpu_group_init(&group, 1), -EINVAL);
	ck_assert_int_eq(percpu_group_init(&group, MAX + 1), -EINVAL);
	percpu_group_fini(&group);
}
END_TEST

START_TEST(another_number_of_fields_ends_the_process)
{
	int status;
	pid_t child;

	if (_i)
		setenv("PERCPU_OPTIONS", "mode:atomic", 1);
	ck_assert_int_eq(percpu_group_init(&group, 2), 0);
	percpu_group_add(&group, 1, 2);
	child = fork();
	if (!child) {
		fclose(stderr);
		close(2);
		percpu_group_add(&group, 1, 2, 3);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_ne(status, 0);
	percpu_group_fini(&group);
}
END_TEST

/* Copies, and then spare copies, stay claimed by writers that never continue. */
START_TEST(claimed_copies_delay_no_writer)
{
	const int copy = enter(ATOMIC);
	uint64_t want[2] = { 0 }, *words;

	ck_assert_int_ge(copy, 0);
	ck_assert_int_eq(percpu_group_init(&group, 2), 0);
	words = percpu_ptr((uint64_t *)group.of[2], (unsigned)copy);
	for (unsigned i = 0; i < 200; i++) {
		percpu_group_add(&group, 1, 10);
		want[0] += 1;
		want[1] += 10;
		check_fields(want);
		*words |= CLAIMED;
		check_fields(want);
		/*
		 * Finds the spare copy of the last addition; a page's head is as long as a spare
		 * copy.
		 */
		if (group.spare) {
			words = (uint64_t *)group.spare;
			do
				words += 16;
			while (*words & CLAIMED && words < (uint64_t *)group.spare + 31 * 16);
		}
	}
	ck_assert_ptr_nonnull(group.spare);
	ck_assert_ptr_nonnull(*(void **)group.spare);
	percpu_group_fini(&group);
}
END_TEST

/*
 * What a signal handler finds that interrupted its own thread, whose claim lasts as long as the
 * handler runs, when there is no memory: only claimed copies, in atomic mode those of other CPUs,
 * then none.
 */
START_TEST(without_memory_no_writer_waits)
{
	const int copy = enter(_i ? ATOMIC : UNREGISTERED);
	struct rlimit before, nothing_more;
	uint64_t want[2] = { 0 };

	if (PERCPU__ASAN || PERCPU__TSAN)
		SKIP("a sanitizer takes memory of its own");
	if (copy < 0)
		SKIP("this machine has no such state");
	ck_assert_int_eq(percpu_group_init(&group, 2), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	nothing_more = (struct rlimit){ 1, before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &nothing_more), 0);
	*percpu_ptr((uint64_t *)group.of[2], (unsigned)copy) |= CLAIMED;
	alarm(60); /* a writer that waits would hang */
	for (unsigned i = 0; i < 2000; i++) {
		percpu_group_add(&group, 1, -10);
		want[0] += 1;
		want[1] -= 10;
		check_fields(want);
		if (i == 1000)
			percpu_for_each_copy(other)
				*percpu_ptr((uint64_t *)group.of[2], other) |= CLAIMED;
	}
	alarm(0);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
	ck_assert_ptr_null(group.spare);
	ck_assert_uint_eq(group.loose_ended, _i ? 999 : 2000);
	percpu_group_fini(&group);
}
END_TEST

/* ---- storms ---- */

static uint64_t nr_reads, nr_torn;
static bool broken; /* each field is added separately */

static void read_once(void)
{
	uint64_t fields[MAX];
	bool agree;

	percpu_group_read(&group, fields);
	agree = fields[0] == fields[1];
	if (group.nr_fields == 4)
		agree &= fields[2] == 3 * fields[0] && fields[3] == 0 - fields[0];
	__atomic_fetch_add(&nr_reads, 1, __ATOMIC_RELAXED);
	if (!agree)
		__atomic_fetch_add(&nr_torn, 1, __ATOMIC_RELAXED);
}

static void step_group(struct storm_thread *self, bool in_handler)
{
	if (self->number == 3 && self->steps == 100 && !in_handler && self->state)
		unregister_rseq();
	if (broken) {
		struct percpu__group2 *words = (struct percpu__group2 *)group.of[2];

		percpu_inc(&words->slot[0][0]);
		percpu_inc(&words->slot[0][1]);
	} else if (group.nr_fields == 2) {
		percpu_group_add(&group, 1, 1);
	} else {
		percpu_group_add(&group, 1, 1, 3, -1);
	}
	/* Two threads read, and so do all signal handlers. */
	if (self->number < 2 || in_handler)
		read_once();
}

static void storm_of_groups(enum state state, unsigned nr_fields, uint64_t reads)
{
	uint64_t steps = 0, fields[MAX];

	if (state == ATOMIC)
		setenv("PERCPU_OPTIONS", "mode:atomic", 1);
	if (state == CPU_TOO_HIGH)
		setenv("PERCPU_OPTIONS", "cpus:1", 1);
	ck_assert_int_eq(percpu_group_init(&group, nr_fields), 0);
	storm_threads[3].state =
		state == UNREGISTERED && percpu_mode() == PERCPU_MODE_RSEQ ? &group : NULL;
	do
		steps += storm(step_group, 0.5);
	while (nr_reads < reads);
	ck_assert_msg(!nr_torn, "%ju of %ju reads torn", (uintmax_t)nr_torn, (uintmax_t)nr_reads);
	percpu_group_read(&group, fields);
	ck_assert_uint_eq(fields[0], steps);
	percpu_group_fini(&group);
}

START_TEST(a_million_reads_in_a_storm_are_not_torn)
{
	storm_of_groups((enum state)_i, 2, NR_READS);
}
END_TEST

START_TEST(reads_of_four_fields_are_not_torn_either)
{
	storm_of_groups((enum state)_i, 4, NR_READS / 10);
}
END_TEST

START_TEST(control_is_torn)
{
	broken = true;
	ck_assert_int_eq(percpu_group_init(&group, 2), 0);
	for (unsigned tries = 0; tries < 20 && !nr_torn; tries++)
		storm(step_group, 0.5);
	ck_assert_msg(nr_torn, "two additions never seen apart: this storm proves nothing");
	percpu_group_fini(&group);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { two_to_four_fields, claimed_copies_delay_no_writer,
				       control_is_torn, NULL };
	Suite *suite = suite_of("counter: groups", tests, 120);
	TCase *modes = case_of("modes");

	tcase_set_timeout(modes, 300);
	tcase_add_loop_test(modes, adds_in_every_state, 0, NR_STATES);
	tcase_add_loop_test(modes, without_memory_no_writer_waits, 0, 2);
	tcase_add_loop_test(modes, another_number_of_fields_ends_the_process, 0, 2);
	tcase_add_loop_test(modes, a_million_reads_in_a_storm_are_not_torn, 0, NR_STATES);
	tcase_add_loop_test(modes, reads_of_four_fields_are_not_torn_either, 0, NR_STATES);
	suite_add_tcase(suite, modes);
	return run_suite(suite);
}
