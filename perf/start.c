/* SPDX-License-Identifier: MIT */
/*
 * What starting costs: the first allocation in a fresh process, timed by perf/first itself; and the
 * run time of perf/first beside that of perf/bare, the same program without the library. The
 * difference is the time of the dynamic linker, the library's constructors and the end of the
 * process.
 */
#include "bench.h"

#define ROUNDS 501

static void print(const char *what, struct bench_series *ours, struct bench_series *theirs, double share,
		  const char *how, enum bench_want want)
{
	bench_print((struct bench_row){ .what = what, .unit = "us", .how = how,
					.ours = bench_quantile(ours, share) / 1e3,
					.theirs = theirs ? bench_quantile(theirs, share) / 1e3 : 0,
					.want = want, .target = 300 });
}

static void start(void)
{
	static struct bench_series first, bare, inside, more;
	double ns;

	for (unsigned round = 0; round < ROUNDS; round++) {
		const double whole = bench_life("/first", NULL, &ns);
		double nothing;

		bench_add(&inside, ns);
		bench_add(&first, whole);
		nothing = bench_life("/bare", NULL, &ns);
		bench_add(&bare, nothing);
		bench_add(&more, whole - nothing);
	}
	print("first allocation in a fresh process", &inside, NULL, 0, "min of 501", BENCH_AT_MOST);
	print("first allocation in a fresh process, median", &inside, NULL, 0.5, "median of 501", BENCH_AT_MOST);
	print("a program that allocates once - one without the library", &more, NULL, 0.5,
	      "median of 501", BENCH_INFORMATION);
	print("a program that allocates once / one without the library", &first, &bare, 0.5,
	      "median of 501", BENCH_INFORMATION);
}

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = { { "start", NULL, start } };

	return bench_main(argc, argv, workloads, 1);
}
