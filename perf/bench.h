/* SPDX-License-Identifier: MIT */
/*
 * What all programs of perf/ share: time, order statistics, random numbers, a process of its own
 * for a workload, and the one form in which a result is printed.
 *
 * A result compares two sides that were measured in one run, in alternating rounds, or gives one
 * figure. A result with a target prints a verdict.
 */
#ifndef PERCPU_PERF_BENCH_H
#define PERCPU_PERF_BENCH_H

#include <config.h>

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BENCH_UNUSED __attribute__((unused))

/* Keeps a value, or all of memory, out of the optimiser's sight. */
#define bench_use(value) __asm__ volatile("" : : "g"(value) : "memory")

/* Ends the program, since a figure of a failed run is worth nothing. */
#define bench_check(condition)                                                                               \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno)); \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

/* ---- time and order statistics ---- */

BENCH_UNUSED static double bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static int bench_compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The figures of one side, round by round. */
struct bench_series {
	size_t nr;
	double value[1024];
};

BENCH_UNUSED static void bench_add(struct bench_series *series, double value)
{
	bench_check(series->nr < sizeof(series->value) / sizeof(series->value[0]));
	series->value[series->nr++] = value;
}

/* share 0: the smallest; 0.5: the median; 1: the largest. Sorts. */
BENCH_UNUSED static double bench_quantile(struct bench_series *series, double share)
{
	bench_check(series->nr);
	qsort(series->value, series->nr, sizeof(series->value[0]), bench_compare);
	return series->value[(size_t)(share * (series->nr - 1) + 0.5)];
}

/* ---- random numbers, the same in every run ---- */

BENCH_UNUSED static uint64_t bench_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* low to high inclusive, all equally likely. */
BENCH_UNUSED static size_t bench_uniform(uint64_t *state, size_t low, size_t high)
{
	return low + bench_random(state) % (high - low + 1);
}

/* low to high inclusive, all factors equally likely. */
BENCH_UNUSED static size_t bench_log_uniform(uint64_t *state, size_t low, size_t high)
{
	const double share = (bench_random(state) >> 11) * 0x1p-53;

	return low * exp(share * log((high + 1.0) / low));
}

/* ---- where a thread runs ---- */

/* The nr-th CPU that this process was given; -1: it has fewer. */
BENCH_UNUSED static int bench_cpu(int nr)
{
	static cpu_set_t given;
	static bool known;

	if (!known)
		bench_check(!sched_getaffinity(0, sizeof(given), &given));
	known = true;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &given) && !nr--)
			return cpu;
	return -1;
}

/* Keeps the calling thread on one CPU. */
BENCH_UNUSED static void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	bench_check(!sched_setaffinity(0, sizeof(set), &set));
}

/* ---- results ---- */

enum bench_want { BENCH_INFORMATION, BENCH_AT_MOST, BENCH_AT_LEAST };

struct bench_row {
	const char *what;
	const char *unit;     /* of both sides */
	const char *how;      /* which statistic: "min of 31" */
	double ours;
	double theirs;        /* the other side; 0: there is none, and the target is for ours */
	enum bench_want want; /* which way the ratio should differ from the target */
	double target;
};

static bool bench_json;
static const char *bench_program;

/* The verdict at the end of a row. */
static const char *bench_verdict(enum bench_want want, double value, double target)
{
	if (want == BENCH_INFORMATION)
		return "";
	return (want == BENCH_AT_MOST ? value <= target : value >= target) ? "ok" : "MISSED";
}

/* A line of the table that perf/run heads, or of JSON. */
BENCH_UNUSED static void bench_print(struct bench_row row)
{
	const double value = row.theirs ? row.ours / row.theirs : row.ours;
	const char *verdict = bench_verdict(row.want, value, row.target);
	const char *relation = row.want == BENCH_AT_MOST ? "<=" : row.want == BENCH_AT_LEAST ? ">=" : "";
	char theirs[32] = "", ratio[32] = "", target[32] = "";

	if (bench_json) {
		printf("{\"program\":\"%s\",\"what\":\"%s\",\"unit\":\"%s\",\"how\":\"%s\",\"ours\":%.6g",
		       bench_program, row.what, row.unit, row.how, row.ours);
		if (row.theirs)
			printf(",\"theirs\":%.6g,\"ratio\":%.4g", row.theirs, value);
		if (row.want)
			printf(",\"relation\":\"%s\",\"target\":%g,\"verdict\":\"%s\"", relation, row.target,
			       verdict);
		printf("}\n");
	} else {
		if (row.theirs) {
			snprintf(theirs, sizeof(theirs), "%.2f", row.theirs);
			snprintf(ratio, sizeof(ratio), "%.3f", value);
		}
		if (row.want)
			snprintf(target, sizeof(target), "%s %g", relation, row.target);
		printf("%-76s %10.2f %10s %-5s %7s %9s %-6s  %s\n", row.what, row.ours, theirs, row.unit, ratio,
		       target, verdict, row.how);
	}
	fflush(stdout);
}

/* A row that cannot be measured here. */
BENCH_UNUSED static void bench_skip(const char *what, const char *why)
{
	if (bench_json)
		printf("{\"program\":\"%s\",\"what\":\"%s\",\"skipped\":\"%s\"}\n", bench_program, what, why);
	else
		printf("%-76s skipped: %s\n", what, why);
	fflush(stdout);
}

/* ---- workloads in processes of their own ---- */

/*
 * Runs a sibling of this program; arg may be NULL. Returns: its run time in ns; *inside: the time
 * it reports.
 */
BENCH_UNUSED static double bench_life(const char *name, const char *arg, double *inside)
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
		execl(path, name, arg, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	bench_check(waitpid(child, &status, 0) == child && !status);
	start = bench_now_ns() - start;
	bench_check(read(fds[0], inside, sizeof(*inside)) == sizeof(*inside));
	close(fds[0]);
	return start;
}

struct bench_workload {
	const char *name;
	const char *options; /* PERCPU_OPTIONS; NULL: none */
	void (*run)(void);
};

static void bench_exec(const struct bench_workload *workload)
{
	const char *form = bench_json ? "--json" : "--text";
	pid_t child = fork();
	int status;

	bench_check(child >= 0);
	if (!child) {
		bench_check(!(workload->options ? setenv("PERCPU_OPTIONS", workload->options, 1)
						: unsetenv("PERCPU_OPTIONS")));
		execl("/proc/self/exe", bench_program, form, "--workload", workload->name, (char *)NULL);
		perror("/proc/self/exe");
		_exit(127);
	}
	bench_check(waitpid(child, &status, 0) == child);
	if (status) {
		fprintf(stderr, "%s: workload %s failed\n", bench_program, workload->name);
		exit(1);
	}
}

/*
 * The main function of a program: runs each of nr workloads in a fresh process, or those that the
 * command line names. --json: one JSON object a line.
 */
BENCH_UNUSED static int bench_main(int argc, char **argv, const struct bench_workload *workloads, size_t nr)
{
	bool here = false, named = false;

	bench_program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	for (int i = 1; i < argc; i++) {
		size_t at = 0;

		if (!strcmp(argv[i], "--json") || !strcmp(argv[i], "--text")) {
			bench_json = argv[i][2] == 'j';
			continue;
		}
		if (!strcmp(argv[i], "--workload")) {
			here = true;
			continue;
		}
		while (at < nr && strcmp(argv[i], workloads[at].name))
			at++;
		if (at == nr) {
			fprintf(stderr, "usage: %s [--json] [WORKLOAD...]\nworkloads:", bench_program);
			for (at = 0; at < nr; at++)
				fprintf(stderr, " %s", workloads[at].name);
			fprintf(stderr, "\n");
			return 2;
		}
		named = true;
		if (here)
			workloads[at].run();
		else
			bench_exec(&workloads[at]);
	}
	for (size_t at = 0; !named && at < nr; at++)
		bench_exec(&workloads[at]);
	return 0;
}

#endif
