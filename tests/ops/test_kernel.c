/* SPDX-License-Identifier: MIT */
/* Code as it stands in kernels, with kernel.h in place of theirs. */
#include "harness/harness.h"

#include <limits.h>
#include <sched.h>

#include <percpu/kernel.h>
#include <percpu/percpu.h>

struct flow_stats {
	unsigned long packets;
	unsigned long bytes;
	unsigned char errors;
	struct flow_stats *next;
};

/* As a header would, then as a source file. */
DECLARE_PER_CPU(struct flow_stats, flow_stats);
DEFINE_PER_CPU(struct flow_stats, flow_stats);
EXPORT_PER_CPU_SYMBOL(flow_stats);
static DEFINE_PER_CPU(long, balance) = -7;
static DEFINE_PER_CPU_ALIGNED(int[4], buckets) = { 1, 0, 0, 4 };
static PERCPU_DEFINE(long, handle);

/* Runs before every constructor of the program. */
static void first_of_all(int argc, char **argv, char **environment)
{
	this_cpu_inc(flow_stats.errors);
}
__attribute__((__section__(".preinit_array"), __used__)) static void (*const preinit)(int, char **, char **) =
	first_of_all;

static bool handle_in_constructor;
__attribute__((__constructor__)) static void constructor(void)
{
	handle_in_constructor = handle != NULL;
}

#define SUM(type, expression)                                                                                \
	({                                                                                                   \
		type sum_ = 0;                                                                               \
		for (int cpu = 0; cpu < (int)num_possible_cpus(); cpu++)                                     \
			sum_ += (expression);                                                                \
		sum_;                                                                                        \
	})

static unsigned long flow_packets(struct flow_stats __percpu *stats)
{
	unsigned long packets = 0;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		const struct flow_stats *s = per_cpu_ptr(stats, cpu);

		packets += s->packets;
	}
	return packets;
}

START_TEST(before_any_constructor)
{
	ck_assert_uint_eq(SUM(unsigned, per_cpu(flow_stats, cpu).errors), 1);
	ck_assert(handle_in_constructor);
}
END_TEST

static void each_copy_is_initial(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		const int *b = per_cpu(buckets, cpu);

		ck_assert_int_eq(per_cpu(balance, cpu), -7);
		ck_assert(b[0] == 1 && !b[1] && !b[2] && b[3] == 4);
		ck_assert_uint_eq((uintptr_t)b % 64, 0);
	}
}

START_TEST(initial_values_in_every_copy)
{
	each_copy_is_initial();
	ck_assert_int_eq(balance, -7); /* the initial value itself */
	this_cpu_add(balance, 10);
	ck_assert_int_eq(balance, -7);
	ck_assert_int_eq(SUM(long, per_cpu(balance, cpu)), -7 * (long)num_possible_cpus() + 10);
	ck_assert_uint_eq(num_possible_cpus(), percpu_nr_copies());
	ck_assert_uint_eq(nr_cpu_ids, percpu_nr_copies());
}
END_TEST

START_TEST(dynamic_and_static_alike)
{
	struct flow_stats __percpu *dynamic = alloc_percpu(struct flow_stats);
	struct flow_stats __percpu *all[] = { dynamic, &flow_stats };

	for (unsigned i = 0; i < 2; i++) {
		struct flow_stats __percpu *stats = all[i];

		this_cpu_inc(stats->packets);
		__this_cpu_add(stats->packets, 4);
		raw_cpu_dec(stats->packets);
		this_cpu_sub(stats->bytes, 1U);
		ck_assert_uint_eq(flow_packets(stats), 4);
		ck_assert_uint_eq(SUM(unsigned long, per_cpu_ptr(stats, cpu)->bytes), ULONG_MAX);
		ck_assert_ptr_null(this_cpu_read(stats->next));
	}
	this_cpu_write(flow_stats.next, (struct flow_stats *)dynamic);
	ck_assert_uint_eq(SUM(unsigned, per_cpu(flow_stats, cpu).next != NULL), 1);
	free_percpu(dynamic);
}
END_TEST

START_TEST(results)
{
	int __percpu *p = (int __percpu *)__alloc_percpu(sizeof(int), 16);
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	ck_assert_int_eq(this_cpu_add_return(*p, 5), 5);
	ck_assert_int_eq(this_cpu_sub_return(*p, 6U), -1);
	ck_assert_int_eq(this_cpu_inc_return(*p), 0);
	ck_assert_int_eq(this_cpu_dec_return(*p), -1);
	ck_assert_int_eq(this_cpu_xchg(*p, 9), -1);
	ck_assert_int_eq(this_cpu_cmpxchg(*p, 8, 1), 9);
	ck_assert_int_eq(this_cpu_cmpxchg(*p, 9, 12), 9);
	this_cpu_and(*p, 6);
	this_cpu_or(*p, 1);
	ck_assert_int_eq(this_cpu_read(*p), 5);
	ck_assert_int_eq(*this_cpu_ptr(p), 5);
	ck_assert_int_eq(*raw_cpu_ptr(p), 5);
	ck_assert_uint_lt(raw_smp_processor_id(), nr_cpu_ids);
	free_percpu(p);
}
END_TEST

/* What `variable += -1U` does to a long. */
START_TEST(conversions_of_plain_c)
{
	long plain = 0, __percpu *p = alloc_percpu(long);
	unsigned char small = 0, __percpu *q = alloc_percpu(unsigned char);

	plain += -1U;
	this_cpu_add(*p, -1U);
	ck_assert_int_eq(SUM(long, *per_cpu_ptr(p, cpu)), plain);
	small += 300;
	this_cpu_add(*q, 300);
	ck_assert_uint_eq(SUM(unsigned, *per_cpu_ptr(q, cpu)), small);
	free_percpu(p);
	free_percpu(q);
}
END_TEST

TEST_MAIN("ops/kernel", 30, before_any_constructor, initial_values_in_every_copy, dynamic_and_static_alike, results,
	  conversions_of_plain_c)
