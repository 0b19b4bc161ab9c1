/* SPDX-License-Identifier: MIT */
#include "harness/harness.h"

#define require(condition) ck_assert(condition)
#include "ops/words.h"

START_TEST(in_rseq_mode)
{
	ck_assert(words_in(AS_IT_COMES));
}
END_TEST

START_TEST(in_atomic_mode)
{
	ck_assert(words_in(ATOMIC));
	ck_assert_int_eq(percpu_mode(), PERCPU_MODE_ATOMIC);
}
END_TEST

START_TEST(on_a_cpu_without_a_copy)
{
	words_in(CPU_TOO_HIGH);
}
END_TEST

START_TEST(in_a_thread_without_an_area)
{
	words_in(UNREGISTERED);
}
END_TEST

TEST_MAIN("ops/words", 120, in_rseq_mode, in_atomic_mode, on_a_cpu_without_a_copy, in_a_thread_without_an_area)
