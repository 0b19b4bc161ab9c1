/* SPDX-License-Identifier: MIT */
/*
 * What statistics cost beside percpu_add: limit-checking counters, groups of fields, histograms.
 * Every loop exists at several code addresses, because the address affects the figure. The fastest
 * round of each address counts, and the median of all addresses.
 */
#include "bench.h"

#include <percpu/percpu.h>

#define NR_ROUNDS 31
#define NR_STEPS 20000u
#define NR_PLACES 8
#define HOW "min of 31, median of 8 places"

#define NR_THINGS 64u /* counters, groups, histograms */

static uint64_t __percpu *adds[NR_THINGS];
static struct percpu_group pairs[NR_THINGS], fours[NR_THINGS];
static struct percpu_counter counters[NR_THINGS];
static struct percpu_histogram histograms[NR_THINGS];

/* Random choices of the steps of a loop, drawn beforehand. */
static uint8_t draws[NR_STEPS];
static uint64_t values[NR_STEPS];

/* ---- loops: what a step does to one of the things ---- */

#define DO_ADD(nr) percpu_add(adds[nr], 1)
#define DO_PAIR(nr) percpu_group_add(&pairs[nr], 1, 1500)
#define DO_FOUR(nr) percpu_group_add(&fours[nr], 1, 1500, 2, 3)
#define DO_COUNT(nr) percpu_counter_add(&counters[nr], i & 1 ? 1 : -1)
#define DO_COUNT_UP(nr) percpu_counter_add(&counters[nr], 1)
#define DO_RECORD(nr) percpu_histogram_record(&histograms[nr], 123456)
#define DO_RECORD_DRAWN(nr) percpu_histogram_record(&histograms[nr], values[i])
#define DO_READ(nr) bench_use(percpu_counter_read(&counters[nr]))
#define DO_SUM(nr) bench_use(percpu_counter_sum(&counters[nr]))

/* Which thing: always the same, eight in turn, or one drawn from all. */
#define ONE 0
#define EIGHT (i & 7)
#define DRAWN draws[i]

typedef void loop(void);

#define LOOP(name, what, which, at, nops)                                                                    \
	__attribute__((__noinline__, __aligned__(64))) static void loop_##name##_##at(void)                  \
	{                                                                                                    \
		__asm__ __volatile__(".rept " #nops "\nnop\n.endr"); /* moves the loop against the lines of code */ \
		for (unsigned i = 0; i < NR_STEPS; i++)                                                      \
			DO_##what(which);                                                                    \
	}
#define LOOPS(name, what, which)                                                                             \
	LOOP(name, what, which, 0, 0)                                                                        \
	LOOP(name, what, which, 1, 7)                                                                        \
	LOOP(name, what, which, 2, 16)                                                                       \
	LOOP(name, what, which, 3, 21)                                                                       \
	LOOP(name, what, which, 4, 32)                                                                       \
	LOOP(name, what, which, 5, 41)                                                                       \
	LOOP(name, what, which, 6, 48)                                                                       \
	LOOP(name, what, which, 7, 58)                                                                       \
	static loop *const name[NR_PLACES] = { loop_##name##_0, loop_##name##_1, loop_##name##_2,            \
					       loop_##name##_3, loop_##name##_4, loop_##name##_5,            \
					       loop_##name##_6, loop_##name##_7 };

LOOPS(add_one, ADD, ONE)
LOOPS(add_eight, ADD, EIGHT)
LOOPS(add_drawn, ADD, DRAWN)
LOOPS(pair_one, PAIR, ONE)
LOOPS(pair_eight, PAIR, EIGHT)
LOOPS(pair_drawn, PAIR, DRAWN)
LOOPS(four_one, FOUR, ONE)
LOOPS(count_one, COUNT, ONE)
LOOPS(count_up, COUNT_UP, ONE)
LOOPS(count_eight, COUNT, EIGHT)
LOOPS(record_one, RECORD, ONE)
LOOPS(record_eight, RECORD, EIGHT)
LOOPS(record_values, RECORD_DRAWN, ONE)
LOOPS(read_one, READ, ONE)
LOOPS(sum_one, SUM, ONE)

/* ---- rows ---- */

static const struct row {
	const char *what;
	loop *const *ours, *const *theirs;
	enum bench_want want;
	double target;
} rows[] = {
	{ "percpu_group_add of 2 fields / percpu_add", pair_one, add_one, BENCH_AT_MOST, 2 },
	{ "percpu_group_add over 8 pairs / percpu_add over 8 counters", pair_eight, add_eight, BENCH_AT_MOST, 2 },
	{ "percpu_group_add to drawn pairs / percpu_add to drawn counters", pair_drawn, add_drawn, BENCH_AT_MOST, 2 },
	{ "percpu_group_add of 4 fields / percpu_add", four_one, add_one, BENCH_INFORMATION, 0 },
	{ "percpu_histogram_record / percpu_add", record_one, add_one, BENCH_AT_MOST, 4 },
	{ "percpu_histogram_record in 8 / percpu_add over 8 counters", record_eight, add_eight, BENCH_AT_MOST, 4 },
	{ "percpu_histogram_record of drawn values / percpu_add", record_values, add_one, BENCH_AT_MOST, 4 },
	{ "percpu_counter_add, up and down / percpu_add", count_one, add_one, BENCH_INFORMATION, 0 },
	{ "percpu_counter_add, up alone / percpu_add", count_up, add_one, BENCH_INFORMATION, 0 },
	{ "percpu_counter_add over 8 / percpu_add over 8 counters", count_eight, add_eight, BENCH_INFORMATION, 0 },
	{ "percpu_counter_read / percpu_counter_sum", read_one, sum_one, BENCH_INFORMATION, 0 },
};
#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

static void time_loops(loop *const *loops, double *best)
{
	for (unsigned place = 0; place < NR_PLACES; place++) {
		double ns = bench_now_ns();

		loops[place]();
		ns = (bench_now_ns() - ns) / NR_STEPS;
		if (!best[place] || ns < best[place])
			best[place] = ns;
	}
}

static double median(double *best)
{
	qsort(best, NR_PLACES, sizeof(*best), bench_compare);
	return (best[NR_PLACES / 2 - 1] + best[NR_PLACES / 2]) / 2;
}

static void measure(const struct row *row)
{
	double ours[NR_PLACES] = { 0 }, theirs[NR_PLACES] = { 0 };

	for (unsigned round = 0; round < NR_ROUNDS; round++) {
		time_loops(row->ours, ours);
		time_loops(row->theirs, theirs);
	}
	bench_print((struct bench_row){ row->what, "ns", HOW, median(ours), median(theirs), row->want, row->target });
}

static void make_things(void)
{
	uint64_t random = 1;

	for (unsigned i = 0; i < NR_THINGS; i++) {
		adds[i] = (uint64_t __percpu *)percpu_alloc(sizeof(uint64_t), 64);
		bench_check(adds[i]);
		bench_check(!percpu_group_init(&pairs[i], 2) && !percpu_group_init(&fours[i], 4));
		bench_check(!percpu_histogram_init(&histograms[i], NULL, 1, 60000000000, 5));
	}
	bench_check(!percpu_counter_init_bulk(NR_THINGS, counters, 0, 0));
	for (unsigned i = 0; i < NR_STEPS; i++) {
		draws[i] = bench_random(&random) % NR_THINGS;
		values[i] = bench_log_uniform(&random, 1000, 100000000);
	}
}

static void all_rows(void)
{
	bench_pin(bench_cpu(0));
	make_things();
	for (size_t i = 0; i < NR_ROWS; i++)
		measure(&rows[i]);
}

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "statistics", NULL, all_rows },
	};

	return bench_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
