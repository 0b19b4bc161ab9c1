/* SPDX-License-Identifier: MIT */
/*
 * Published pools: counting in one beside counting in private memory; a hundred thousand metrics,
 * read and shown. The command is run as a user runs it, ./percpu in the build directory, and waited
 * for.
 */
#include "bench.h"

#include <sys/resource.h>

#include <percpu/percpu.h>

#define ROUNDS 31
#define ADDS 1000000u
#define METRICS 100000u

static struct percpu_pool *published_pool(void)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_pool *pool;

	attr.published = PERCPU_ON;
	pool = percpu_pool_create("perf", &attr);
	bench_check(pool);
	return pool;
}

/* ---- counting ---- */

static double adds_ns(uint64_t __percpu *p)
{
	const double start = bench_now_ns();

	for (unsigned i = 0; i < ADDS; i++)
		percpu_inc(p);
	return (bench_now_ns() - start) / ADDS;
}

static void counting(void)
{
	struct bench_series ours = { .nr = 0 }, theirs = { .nr = 0 };
	uint64_t __percpu *published = percpu_pool_alloc(published_pool(), 8, 64), *private = percpu_alloc(8, 64);

	bench_check(published && private);
	bench_pin(bench_cpu(0));
	for (unsigned round = 0; round < ROUNDS; round++) {
		bench_add(&ours, adds_ns(published));
		bench_add(&theirs, adds_ns(private));
	}
	bench_check(percpu_sum(published) == (uint64_t)ROUNDS * ADDS);
	bench_print((struct bench_row){ .what = "percpu_inc, published / private", .unit = "ns", .how = "median of 31",
					.ours = bench_quantile(&ours, 0.5), .theirs = bench_quantile(&theirs, 0.5) });
}

/* ---- a hundred thousand ---- */

static void publish_all(struct percpu_pool *pool)
{
	const double start = bench_now_ns();
	char name[64];

	for (unsigned i = 0; i < METRICS; i++) {
		const struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = name,
						      .help = "One of a hundred thousand." };
		uint64_t __percpu *p = percpu_pool_alloc(pool, 8, 8);

		snprintf(name, sizeof(name), "metric_number_%u", i);
		bench_check(p && percpu_publish(p, &metric));
		percpu_inc(p);
	}
	bench_print((struct bench_row){ .what = "percpu_publish, allocation and name included", .unit = "ns",
					.how = "mean of 100000", .ours = (bench_now_ns() - start) / METRICS });
}

static int open_first(const struct percpu_publisher *publisher, void *arg)
{
	*(struct percpu_reader **)arg = percpu_reader_open(publisher->pid, publisher->fd);
	return 1;
}

static void read_all(void)
{
	struct bench_series ms = { .nr = 0 };
	struct percpu_reader *reader = NULL;

	percpu_publishers(getpid(), open_first, &reader);
	bench_check(reader);
	for (unsigned round = 0; round < ROUNDS; round++) {
		const double start = bench_now_ns();

		bench_check(!percpu_reader_update(reader) && percpu_reader_nr(reader) == METRICS);
		bench_add(&ms, (bench_now_ns() - start) / 1e6);
	}
	bench_print((struct bench_row){ .what = "percpu_reader_update, 100000 metrics", .unit = "ms", .how = "median of 31",
					.ours = bench_quantile(&ms, 0.5) });
	bench_print((struct bench_row){ .what = "memory of the pool, a metric", .unit = "bytes", .how = "exact",
					.ours = (double)percpu_reader_held_bytes(reader) / METRICS });
	bench_print((struct bench_row){ .what = "memory of the reader, a metric", .unit = "bytes", .how = "exact",
					.ours = (double)percpu_reader_own_bytes(reader) / METRICS });
	percpu_reader_close(reader);
}

/* Elapsed milliseconds. */
static double run_ms(const char *command)
{
	char line[128];
	const double start = bench_now_ns();

	snprintf(line, sizeof(line), "exec ./percpu %s %d >/dev/null", command, getpid());
	bench_check(system(line) == 0);
	return (bench_now_ns() - start) / 1e6;
}

static void show_all(const char *command)
{
	struct bench_series ms = { .nr = 0 };
	char what[64];

	for (unsigned round = 0; round < 5; round++)
		bench_add(&ms, run_ms(command));
	snprintf(what, sizeof(what), "percpu %s, 100000 metrics", command);
	bench_print((struct bench_row){ .what = what, .unit = "ms", .how = "median of 5", .ours = bench_quantile(&ms, 0.5),
					.want = BENCH_AT_MOST, .target = 1000 });
}

static void many(void)
{
	struct rusage usage;

	publish_all(published_pool());
	read_all();
	show_all("list");
	show_all("export");
	bench_check(!getrusage(RUSAGE_CHILDREN, &usage));
	bench_print((struct bench_row){ .what = "percpu export, resident", .unit = "MiB", .how = "peak",
					.ours = usage.ru_maxrss / 1024.0 });
}

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "counting", NULL, counting },
		{ "many", NULL, many },
	};

	return bench_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
