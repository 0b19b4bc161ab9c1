/* SPDX-License-Identifier: MIT */
/*
 * What huge pages buy: the same random work on counters of a pool with them and of one without, in
 * one process, with sixteen simulated CPUs, so that a chunk has two huge pages. Updates go to this
 * CPU's copies alone; sums read all copies, each of which was written before.
 */
#include "bench.h"

#include <percpu/percpu.h>

#define ROUNDS 101
#define UPDATES 200000u
#define SUMS 20000u
#define COUNTERS_PER_CHUNK (PERCPU_MAX_SIZE / sizeof(uint64_t))
#define MAX_CHUNKS 2048u
#define ENTRY_BYTES 8 /* of a page table, whatever page it maps */

struct side {
	struct percpu_pool *pool;
	uint64_t __percpu *chunks[MAX_CHUNKS];
	size_t table_bytes, nr_entries; /* page tables of all that was written */
	uint32_t random;                /* continues from round to round, the same on both sides */
};

static struct side huge, small;
static unsigned nr_chunks;

/* ---- what the kernel says ---- */

static size_t proc_kib(const char *path, const char *key)
{
	FILE *file = fopen(path, "r");
	char line[256];
	size_t kib = 0;

	bench_check(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			kib = strtoull(line + strlen(key), NULL, 10);
	fclose(file);
	return kib;
}

struct kib {
	size_t tables, huge, all;
};

static struct kib kib_now(void)
{
	return (struct kib){ proc_kib("/proc/self/status", "VmPTE:"),
			     proc_kib("/proc/self/smaps_rollup", "AnonHugePages:"),
			     proc_kib("/proc/self/smaps_rollup", "Anonymous:") };
}

/* ---- the counters ---- */

static void fill(struct side *side, uint32_t huge_pages, unsigned nr_copies)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .huge_pages = huge_pages };
	const struct kib before = kib_now();
	struct kib after;

	side->pool = percpu_pool_create("perf", &attr);
	bench_check(side->pool);
	for (unsigned i = 0; i < nr_chunks; i++) {
		side->chunks[i] = percpu_pool_alloc(side->pool, PERCPU_MAX_SIZE, 8);
		bench_check(side->chunks[i]);
		for (unsigned copy = 0; copy < nr_copies; copy++)
			memset(percpu_ptr(side->chunks[i], copy), 0, PERCPU_MAX_SIZE);
	}
	after = kib_now();
	side->table_bytes = (after.tables - before.tables) << 10;
	side->nr_entries = (after.huge - before.huge) / 2048 + (after.all - after.huge - (before.all - before.huge)) / 4;
}

/* A random index, without a division. */
static inline uint64_t __percpu *counter_at(const struct side *side, uint32_t random)
{
	return side->chunks[(uint64_t)random * nr_chunks >> 32] + random % COUNTERS_PER_CHUNK;
}

static inline uint32_t step(struct side *side)
{
	side->random = side->random * 1664525u + 1013904223u;
	return side->random ^ side->random >> 15;
}

static void update(struct side *side)
{
	for (unsigned i = 0; i < UPDATES; i++)
		percpu_inc(counter_at(side, step(side)));
}

/* Each index depends on the value read before. */
static void update_dependent(struct side *side)
{
	for (unsigned i = 0; i < UPDATES; i++)
		side->random += (uint32_t)percpu_add_return(counter_at(side, step(side)), 1);
}

static void sum(struct side *side)
{
	for (unsigned i = 0; i < SUMS; i++)
		bench_use(percpu_sum(counter_at(side, step(side))));
}

/* ---- rounds ---- */

static double per_step(void (*run)(struct side *side), struct side *side, unsigned nr)
{
	const double start = bench_now_ns();

	run(side);
	return (bench_now_ns() - start) / nr;
}

static void measure(const char *name, void (*run)(struct side *side), unsigned nr, enum bench_want want)
{
	static struct bench_series with, without;
	char what[128];

	with.nr = without.nr = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		/* Dependent indices depend on the counts, which are the same on both sides. */
		bench_add(&with, per_step(run, &huge, nr));
		bench_add(&without, per_step(run, &small, nr));
	}
	snprintf(what, sizeof(what), "%s, %zu MiB of counters, huge / small pages", name,
		 nr_chunks * PERCPU_MAX_SIZE >> 20);
	bench_print((struct bench_row){ .what = what, .unit = "ns", .how = "median of 101", .ours = bench_quantile(&with, 0.5),
					.theirs = bench_quantile(&without, 0.5), .want = want, .target = 1.02 });
}

/*
 * The processor walks the entries that map something. The kernel counts tables, including one of 4
 * KiB for every huge page, which it keeps in case it must split the page, and which no processor
 * walks.
 */
static void print_tables(unsigned nr_copies, enum bench_want want)
{
	char what[128];

	snprintf(what, sizeof(what), "page tables in use, %u copies of %zu MiB, huge / small", nr_copies,
		 nr_chunks * PERCPU_MAX_SIZE >> 20);
	bench_print((struct bench_row){ .what = what, .unit = "KiB", .how = "8 bytes for each page that smaps has",
					.ours = huge.nr_entries * ENTRY_BYTES / 1024.0,
					.theirs = small.nr_entries * ENTRY_BYTES / 1024.0, .want = want, .target = 0.01 });
	bench_print((struct bench_row){ .what = "the same with the kernel's spare tables", .unit = "KiB", .how = "VmPTE",
					.ours = huge.table_bytes / 1024.0, .theirs = small.table_bytes / 1024.0 });
}

static bool has_huge_pages(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	bench_check(!percpu_pool_stats(huge.pool, &stats));
	return stats.nr_chunks_huge == nr_chunks;
}

/*
 * If not all copies are written, those of the first huge page still lie in it, and others have the
 * kernel's zero pages once sums have read them: such lines are information only.
 */
static void run(unsigned mib, unsigned nr_copies)
{
	const enum bench_want want = nr_copies == percpu_nr_copies() - 1 ? BENCH_AT_MOST : BENCH_INFORMATION;

	nr_chunks = (mib << 20) / PERCPU_MAX_SIZE;
	bench_pin(bench_cpu(0));
	bench_check(bench_cpu(0) < 8); /* whose copies are in the first huge page */
	fill(&huge, PERCPU_ON, nr_copies);
	fill(&small, PERCPU_OFF, nr_copies);
	if (!has_huge_pages()) {
		bench_skip("huge pages", "this machine gives none: /sys/kernel/mm/transparent_hugepage");
		return;
	}
	print_tables(nr_copies, want);
	measure("independent random updates", update, UPDATES, BENCH_AT_MOST);
	measure("dependent random updates", update_dependent, UPDATES, BENCH_AT_MOST);
	measure("sums of random counters", sum, SUMS, want);
}

static void run_64(void)
{
	run(64, percpu_nr_copies() - 1);
}

/*
 * 4 GiB of huge pages as it is: those of the first eight copies, which are this CPU's neighbours.
 */
static void run_512(void)
{
	run(512, 1);
}

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "huge-64", "cpus:16", run_64 },
		{ "huge-512", "cpus:16", run_512 },
	};

	return bench_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
