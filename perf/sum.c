/* SPDX-License-Identifier: MIT */
/*
 * What reading costs: percpu_sum of one counter and percpu_sum_u64 of a struct of 4096, each beside
 * the loop that a user would write, and beside a plain read of as many bytes that lie in one piece,
 * by the widest loads there are. Every copy has been written, so that all have pages of their own.
 */
#include "bench.h"
#include "plain.h"

#include <percpu/percpu.h>

#define ROUNDS 41
#define COUNTERS 4096u
#define LARGE_BYTES (8u << 20)

static uint64_t __percpu *counters;
static uint64_t *piece; /* of as many words as all copies */
static size_t nr_words;
static uint64_t total; /* the result of every way to sum */

static uint64_t result[COUNTERS];

static uint64_t sum_of(const uint64_t *words, size_t nr)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum += words[i];
	return sum;
}

/* ---- one counter ---- */

static void one_sum(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		bench_use(percpu_sum(counters));
}

static void one_loop(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		uint64_t sum = 0;

		percpu_for_each_copy(copy)
			sum += *percpu_ptr(counters, copy);
		bench_use(sum);
	}
}

/* ---- a struct of counters ---- */

static void all_sum(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		percpu_sum_u64(result, counters, COUNTERS);
		bench_use(result);
	}
}

/* Counter by counter, the obvious loop. */
static void all_by_counter(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		for (unsigned at = 0; at < COUNTERS; at++) {
			uint64_t sum = 0;

			percpu_for_each_copy(copy)
				sum += percpu_ptr(counters, copy)[at];
			result[at] = sum;
		}
		bench_use(result);
	}
}

/* Copy by copy. */
static void all_by_copy(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		memset(result, 0, sizeof(result));
		percpu_for_each_copy(copy) {
			const uint64_t *words = percpu_ptr(counters, copy);

			for (unsigned at = 0; at < COUNTERS; at++)
				result[at] += words[at];
		}
		bench_use(result);
	}
}

_Static_assert(COUNTERS % PLAIN_STEP == 0, "plain_sum reads so many at a time");

/* A plain read of as many bytes in one piece. */
static void all_plain(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		result[0] = plain_sum(piece, nr_words);
		bench_use(result);
	}
}

/* ---- rounds ---- */

static double per_call(void (*run)(unsigned nr), unsigned nr)
{
	const double start = bench_now_ns();

	run(nr);
	return (bench_now_ns() - start) / nr;
}

/* The fastest call of both sides, in ns. */
static struct bench_row fastest(void (*ours)(unsigned nr), void (*theirs)(unsigned nr), unsigned nr)
{
	struct bench_series our_ns = { .nr = 0 }, their_ns = { .nr = 0 };

	for (unsigned round = 0; round < ROUNDS; round++) {
		bench_add(&our_ns, per_call(ours, nr));
		bench_add(&their_ns, per_call(theirs, nr));
	}
	return (struct bench_row){ .unit = "ns", .how = "min of 41 rounds", .ours = bench_quantile(&our_ns, 0),
				   .theirs = bench_quantile(&their_ns, 0) };
}

static void print(const char *name, struct bench_row row)
{
	char what[128];

	snprintf(what, sizeof(what), "%s, %u copies", name, percpu_nr_copies());
	row.what = what;
	bench_print(row);
}

static void measure(const char *name, void (*ours)(unsigned nr), void (*theirs)(unsigned nr), unsigned nr)
{
	print(name, fastest(ours, theirs, nr));
}

/* Bytes of all copies. The target is for structs that exceed the L2 cache. */
static void measure_bandwidth(const char *name, void (*ours)(unsigned nr), void (*theirs)(unsigned nr), unsigned nr)
{
	const double bytes = nr_words * sizeof(uint64_t);
	struct bench_row row = fastest(ours, theirs, nr);

	row.unit = "GB/s";
	row.how = "max of 41 rounds";
	row.ours = bytes / row.ours;
	row.theirs = bytes / row.theirs;
	if (bytes > LARGE_BYTES) {
		row.want = BENCH_AT_LEAST;
		row.target = 0.7;
	}
	print(name, row);
}

/* All ways to sum all counters agree. */
static void verify(void)
{
	void (*const runs[])(unsigned nr) = { all_sum, all_by_counter, all_by_copy };

	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		memset(result, 0, sizeof(result));
		runs[i](1);
		bench_check(sum_of(result, COUNTERS) == total);
	}
	all_plain(1);
	bench_check(result[0] == total);
	bench_check(percpu_sum(counters) == percpu_nr_copies() * (percpu_nr_copies() + UINT64_C(1)) / 2);
}

static void sums(void)
{
	const unsigned nr = 300 / percpu_nr_copies() + 1;

	bench_pin(bench_cpu(0));
	counters = percpu_new_array(uint64_t, COUNTERS);
	nr_words = (size_t)percpu_nr_copies() * COUNTERS;
	piece = aligned_alloc(sizeof(plain_vector), nr_words * sizeof(*piece));
	bench_check(counters && piece);
	percpu_for_each_copy(copy)
		for (unsigned at = 0; at < COUNTERS; at++) {
			percpu_ptr(counters, copy)[at] = copy + 1;
			piece[(size_t)copy * COUNTERS + at] = copy + 1;
			total += copy + 1;
		}
	verify();
	measure("percpu_sum / a loop", one_sum, one_loop, 1000000 / percpu_nr_copies());
	measure("percpu_sum_u64 of 4096 / a loop over counters", all_sum, all_by_counter, nr);
	measure("percpu_sum_u64 of 4096 / a loop over copies", all_sum, all_by_copy, nr);
	measure_bandwidth("percpu_sum_u64 of 4096 / a plain read of as much", all_sum, all_plain, nr);
	percpu_free(counters);
	free(piece);
}

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "sums", NULL, sums },
		{ "sums-512", "cpus:512", sums },
	};

	return bench_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
