/* SPDX-License-Identifier: MIT */
/*
 * How costs grow with the number of possible CPUs: to start, to allocate for the first time, to allocate a million
 * counters, to sum a thousand of them, to trim. Each number of CPUs is pretended in a process of its own. What
 * is done to every copy may grow as they do, and no faster; what nobody asked for may not grow.
 */
#include "bench.h"

#include <percpu/percpu.h>

#define ROUNDS 101
#define COUNTERS 1000000u
#define SUMMED 1000u
#define TRIMMED_PAGES 60u /* fewer than frees alone would give back */
#define PAGE ((size_t)4096)

static uint64_t __percpu *counters[COUNTERS];
static struct bench_series series[2];

static void print(const char *name, struct bench_series *values, double share, const char *how, const char *unit, double scale)
{
	char what[96];

	snprintf(what, sizeof(what), "%s, %u CPUs", name, percpu_nr_cpus());
	bench_print((struct bench_row){ .what = what, .unit = unit, .how = how, .ours = bench_quantile(values, share) / scale });
	values->nr = 0;
}

/* A program that does not use the library pays for its being there. */
static void measure_start(void)
{
	double ns;

	for (unsigned round = 0; round < ROUNDS; round++) {
		const double unused = bench_life("/first", "unused", &ns);

		bench_life("/first", NULL, &ns);
		bench_add(&series[0], ns);
		bench_add(&series[1], unused);
	}
	print("start, unused", &series[1], 0.25, "lower quartile of 101", "us", 1e3);
	print("first allocation", &series[0], 0.25, "lower quartile of 101", "us", 1e3);
}

static void measure_counters(void)
{
	double start;

	for (unsigned round = 0; round < 5; round++) {
		start = bench_now_ns();
		for (unsigned i = 0; i < COUNTERS; i++)
			bench_check(counters[i] = percpu_new(uint64_t));
		bench_add(&series[0], bench_now_ns() - start);
		start = bench_now_ns();
		for (unsigned i = 0; i < COUNTERS; i++)
			percpu_free(counters[i]);
		bench_add(&series[1], bench_now_ns() - start);
		bench_check(percpu_trim(NULL) >= 0);
	}
	print("1,000,000 counters", &series[0], 0, "min of 5", "ms", 1e6);
	print("1,000,000 counters freed", &series[1], 0, "min of 5", "ms", 1e6);
}

/* Every copy written before, so that it has a page of its own. */
static void measure_sums(void)
{
	uint64_t __percpu *array = percpu_new_array(uint64_t, SUMMED);
	uint64_t sums[SUMMED];
	double start;

	bench_check(array);
	percpu_for_each_copy(copy)
		for (unsigned i = 0; i < SUMMED; i++)
			percpu_ptr(array, copy)[i] = 1;
	for (unsigned round = 0; round < 21; round++) {
		start = bench_now_ns();
		for (unsigned i = 0; i < SUMMED; i++)
			bench_check(percpu_sum(&array[i]) == percpu_nr_copies());
		bench_add(&series[0], bench_now_ns() - start);
		start = bench_now_ns();
		percpu_sum_u64(sums, array, SUMMED);
		bench_add(&series[1], bench_now_ns() - start);
		bench_check(sums[SUMMED - 1] == percpu_nr_copies());
	}
	percpu_free(array);
	print("sums of 1,000 counters, one by one", &series[0], 0, "min of 21", "us", 1e3);
	print("sums of 1,000 counters at once", &series[1], 0, "min of 21", "us", 1e3);
}

/* A chunk's worth of pages, written in every copy. */
static void measure_trim(void)
{
	char __percpu *pages[TRIMMED_PAGES + 1];

	for (unsigned round = 0; round < 5; round++) {
		double start;

		for (unsigned i = 0; i <= TRIMMED_PAGES; i++) {
			bench_check(pages[i] = percpu_alloc(PAGE, PAGE));
			percpu_for_each_copy(copy)
				*percpu_ptr(pages[i], copy) = 1;
		}
		for (unsigned i = 0; i < TRIMMED_PAGES; i++)
			percpu_free(pages[i]);
		start = bench_now_ns();
		bench_check(percpu_trim(NULL) >= (ssize_t)(TRIMMED_PAGES * PAGE * percpu_nr_copies()));
		bench_add(&series[0], bench_now_ns() - start);
		percpu_free(pages[TRIMMED_PAGES]);
	}
	print("trim of 60 pages in every copy", &series[0], 0, "min of 5", "us", 1e3);
}

static void scale(void)
{
	bench_pin(bench_cpu(0));
	measure_start();
	measure_counters();
	measure_sums();
	measure_trim();
}

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "cpus-2", "cpus:2", scale },
		{ "cpus-8", "cpus:8", scale },
		{ "cpus-64", "cpus:64", scale },
		{ "cpus-512", "cpus:512", scale },
	};

	return bench_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
