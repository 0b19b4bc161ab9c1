/* SPDX-License-Identifier: MIT */
/*
 * What starting costs: the first allocation in a fresh process, timed by perf/first itself; and the whole
 * life of perf/first beside that of perf/bare, the same program without the library, which adds what the
 * dynamic linker, the library's constructors and the end of the process take.
 */
#include "bench.h"

#include <libgen.h>
#include <limits.h>

#define ROUNDS 501

/* Runs a sibling of this program. Returns: its life in ns; *inside: what it says of itself. */
static double life(const char *name, double *inside)
{
	char path[PATH_MAX] = "";
	double start;
	int fds[2], status;
	pid_t child;

	bench_check(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	dirname(path);
	strncat(path, name, sizeof(path) - strlen(path) - 1);
	bench_check(!pipe(fds));
	start = bench_now_ns();
	child = vfork();
	bench_check(child >= 0);
	if (!child) {
		dup2(fds[1], STDOUT_FILENO);
		execl(path, name, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	bench_check(waitpid(child, &status, 0) == child && !status);
	start = bench_now_ns() - start;
	bench_check(read(fds[0], inside, sizeof(*inside)) == sizeof(*inside));
	close(fds[0]);
	return start;
}

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
		const double whole = life("/first", &ns);
		double nothing;

		bench_add(&inside, ns);
		bench_add(&first, whole);
		nothing = life("/bare", &ns);
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
