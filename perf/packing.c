/* SPDX-License-Identifier: MIT */
/*
 * Memory use: utilisation under filling, churn and change of sizes, metadata, what stays after a
 * trim, what fresh counters cost on 512 CPUs; and the time of the churn beside librseq's.
 *
 * Utilisation is requested bytes of live objects / bytes of the pages of one unit in use: the loss
 * by rounding to granules counts. Every workload starts in a fresh process.
 */
#include "bench.h"

#include <percpu/percpu.h>

#ifdef HAVE_LIBRSEQ
#include <rseq/mempool.h>
#endif

#define PAGE 4096.0

static struct percpu_pool_stats stats_now(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	bench_check(!percpu_pool_stats(NULL, &stats));
	return stats;
}

/* ---- a set of live objects, and the sizes requested ---- */

#define MOST 200000u

static struct {
	void __percpu *object[MOST];
	uint32_t bytes[MOST];
	size_t nr, live_bytes;
} set;

static void set_alloc(size_t at, size_t bytes)
{
	set.object[at] = percpu_alloc(bytes, 8);
	bench_check(set.object[at]);
	set.bytes[at] = bytes;
	set.live_bytes += bytes;
}

static void set_free(size_t at)
{
	percpu_free(set.object[at]);
	set.live_bytes -= set.bytes[at];
}

static void set_add(size_t bytes)
{
	bench_check(set.nr < MOST);
	set_alloc(set.nr++, bytes);
}

/* Frees one of them; the last one takes its place in the array. */
static void set_remove(size_t at)
{
	set_free(at);
	set.nr--;
	set.object[at] = set.object[set.nr];
	set.bytes[at] = set.bytes[set.nr];
}

static double utilisation(void)
{
	return 100 * set.live_bytes / (double)stats_now().used_page_bytes;
}

static void print_percent(const char *what, double ours, enum bench_want want, double target)
{
	bench_print((struct bench_row){ .what = what, .unit = "%", .how = "one run, fixed seed", .ours = ours,
					.want = want, .target = target });
}

/* Frees everything, trims, and measures what is left. */
static void empty(const char *name)
{
	struct percpu_pool_stats stats;
	char what[128];

	while (set.nr)
		set_remove(set.nr - 1);
	bench_check(!set.live_bytes);
	bench_check(percpu_trim(NULL) >= 0);
	stats = stats_now();
	bench_check(!stats.nr_live && !stats.live_bytes);
	snprintf(what, sizeof(what), "%s, after free and trim: pages of a unit held", name);
	bench_print((struct bench_row){ .what = what, .unit = "pages", .how = "one run",
					.ours = stats.held_page_bytes / PAGE, .want = BENCH_AT_MOST, .target = 64 });
}

/* ---- the memory of this process, as the kernel sees it ---- */

/* A line "Key:   123 kB" of a file of /proc/self, in bytes. */
static double proc_bytes(const char *file, const char *key)
{
	FILE *stream = fopen(file, "re");
	char line[256];
	double kib = -1;

	bench_check(stream);
	while (kib < 0 && fgets(line, sizeof(line), stream))
		if (!strncmp(line, key, strlen(key)))
			kib = strtod(line + strlen(key), NULL);
	fclose(stream);
	bench_check(kib >= 0);
	return 1024 * kib;
}

static double resident_bytes(void)
{
	return proc_bytes("/proc/self/smaps_rollup", "Rss:");
}

static double page_table_bytes(void)
{
	return proc_bytes("/proc/self/status", "VmPTE:");
}

/* The arrays of the benchmark itself are there before anything is counted. */
static void settle(void)
{
	bench_pin(bench_cpu(0));
	memset(&set, 1, sizeof(set));
	memset(&set, 0, sizeof(set));
	resident_bytes();
	page_table_bytes();
}

/* ---- filling ---- */

#define FILLING 100000u

static void fill(const char *name, double target, size_t (*bytes)(uint64_t *seed, unsigned i))
{
	struct percpu_pool_stats stats;
	uint64_t seed = 1;
	double before;
	char what[128];

	settle();
	before = resident_bytes();
	for (unsigned i = 0; i < FILLING; i++)
		set_add(bytes(&seed, i));
	stats = stats_now();
	snprintf(what, sizeof(what), "%s: utilisation", name);
	print_percent(what, utilisation(), BENCH_AT_LEAST, target);
	snprintf(what, sizeof(what), "%s: bookkeeping / bytes in use", name);
	print_percent(what, 100.0 * stats.bookkeeping_bytes / stats.used_page_bytes, BENCH_AT_MOST, 7);
	/* No copy was touched, so all growth that the kernel reports is metadata. */
	snprintf(what, sizeof(what), "%s: growth of RSS / bytes in use", name);
	print_percent(what, 100 * (resident_bytes() - before) / stats.used_page_bytes, BENCH_INFORMATION, 0);
	empty(name);
}

static size_t counter_bytes(uint64_t *seed, unsigned i)
{
	return 8;
}

static size_t struct_bytes(uint64_t *seed, unsigned i)
{
	static const uint16_t bytes[] = { 296, 128, 64, 1024, 88, 512 };

	return bytes[i % (sizeof(bytes) / sizeof(bytes[0]))];
}

static size_t uniform_bytes(uint64_t *seed, unsigned i)
{
	return bench_uniform(seed, 4, 1024);
}

static size_t log_uniform_bytes(uint64_t *seed, unsigned i)
{
	return bench_log_uniform(seed, 4, 16384);
}

static void counters(void)
{
	fill("100,000 counters of 8 bytes", 99.6, counter_bytes);
}

static void structs(void)
{
	fill("100,000 structs of 64..1024 in turn", 99.9, struct_bytes);
}

static void uniform(void)
{
	fill("100,000 uniform in 4..1024", 99.2, uniform_bytes);
}

static void log_uniform(void)
{
	fill("100,000 log-uniform in 4..16384", 99.7, log_uniform_bytes);
}

/* ---- churn ---- */

#define LIVE 50000u
#define PAIRS 1000000u
#define WARM 100000u
#define SAMPLE 1000u

static size_t churn_bytes(uint64_t *seed)
{
	return bench_log_uniform(seed, 4, 2048);
}

/* One seed, a process of its own. */
static void churn(uint64_t seed)
{
	double worst = 100;
	char name[64], what[128];

	settle();
	snprintf(name, sizeof(name), "churn of 4..2048 bytes, seed %u", (unsigned)seed);
	while (set.nr < LIVE)
		set_add(churn_bytes(&seed));
	for (unsigned i = 1; i <= PAIRS; i++) {
		const size_t at = bench_uniform(&seed, 0, LIVE - 1);

		set_free(at);
		set_alloc(at, churn_bytes(&seed));
		if (i >= WARM && i % SAMPLE == 0)
			worst = fmin(worst, utilisation());
	}
	snprintf(what, sizeof(what), "%s: utilisation at the end", name);
	print_percent(what, utilisation(), BENCH_AT_LEAST, 94);
	snprintf(what, sizeof(what), "%s: utilisation at the worst of 901 moments", name);
	print_percent(what, worst, BENCH_AT_LEAST, 92);
	snprintf(what, sizeof(what), "%s: live / pages in use or idle and still held", name);
	print_percent(what, 100 * set.live_bytes / (double)stats_now().held_page_bytes, BENCH_INFORMATION, 0);
	snprintf(what, sizeof(what), "%s: kept ready per CPU / pages in use", name);
	print_percent(what, 100.0 * stats_now().cached_bytes / stats_now().used_page_bytes,
		      BENCH_INFORMATION, 0);
	empty(name);
}

static void churn_1(void)
{
	churn(1);
}

static void churn_2(void)
{
	churn(2);
}

static void churn_3(void)
{
	churn(3);
}

/* ---- the time of that churn, block by block on the same trace ---- */

#define BLOCK 10000u

static uint32_t trace_at[BLOCK];
static uint16_t trace_bytes[BLOCK];

static void draw_block(uint64_t *state)
{
	for (unsigned i = 0; i < BLOCK; i++) {
		trace_at[i] = bench_uniform(state, 0, LIVE - 1);
		trace_bytes[i] = churn_bytes(state);
	}
}

/* First use: the object must read as zero, and is set to one. */
static inline void touch(volatile uint64_t *copy, bool write)
{
	if (write) {
		bench_check(!*copy);
		*copy = 1;
	}
}

static double our_block(int cpu, bool write)
{
	const double start = bench_now_ns();

	for (unsigned i = 0; i < BLOCK; i++) {
		void __percpu **object = &set.object[trace_at[i]];

		percpu_free(*object);
		*object = percpu_alloc(trace_bytes[i], 8);
		bench_check(*object);
		touch(percpu_ptr((uint64_t __percpu *)*object, cpu), write);
	}
	return (bench_now_ns() - start) / BLOCK;
}

#ifdef HAVE_LIBRSEQ
static struct rseq_mempool_attr *peer_attr(void)
{
	struct rseq_mempool_attr *attr = rseq_mempool_attr_create();

	bench_check(attr && !rseq_mempool_attr_set_percpu(attr, 0, percpu_nr_cpus()));
	return attr;
}

/* Pools of all powers of two from low to high. */
static struct rseq_mempool_set *peer_set(size_t low, size_t high)
{
	struct rseq_mempool_set *pools = rseq_mempool_set_create();
	struct rseq_mempool_attr *attr = peer_attr();

	bench_check(pools);
	for (size_t bytes = low; bytes <= high; bytes *= 2) {
		struct rseq_mempool *pool = rseq_mempool_create("bench", bytes, attr);

		bench_check(pool && !rseq_mempool_set_add_pool(pools, pool));
	}
	rseq_mempool_attr_destroy(attr);
	return pools;
}

static void __rseq_percpu *peer_object[LIVE];

static void peer_alloc(struct rseq_mempool_set *pools, unsigned at, size_t bytes)
{
	peer_object[at] = rseq_mempool_set_percpu_zmalloc(pools, bytes);
	bench_check(peer_object[at]);
}

static double peer_block(struct rseq_mempool_set *pools, int cpu, bool write)
{
	const double start = bench_now_ns();

	for (unsigned i = 0; i < BLOCK; i++) {
		rseq_mempool_percpu_free(peer_object[trace_at[i]]);
		peer_alloc(pools, trace_at[i], trace_bytes[i]);
		touch(rseq_percpu_ptr((uint64_t *)peer_object[trace_at[i]], cpu), write);
	}
	return (bench_now_ns() - start) / BLOCK;
}
#endif

static void time_churn(const char *what, bool write, enum bench_want want)
{
	static struct bench_series ours;
	const int cpu = bench_cpu(0);
	uint64_t state = 1;

	settle();
#ifdef HAVE_LIBRSEQ
	static struct bench_series theirs;
	struct rseq_mempool_set *pools = peer_set(8, 2048);

	for (unsigned i = 0; i < LIVE; i++) {
		const size_t bytes = churn_bytes(&state);

		set_add(bytes);
		peer_alloc(pools, i, bytes);
	}
	for (unsigned i = 0; i < PAIRS / BLOCK; i++) {
		draw_block(&state);
		bench_add(&ours, our_block(cpu, write));
		bench_add(&theirs, peer_block(pools, cpu, write));
	}
	bench_print((struct bench_row){ .what = what, .unit = "ns", .how = "median of 100 blocks of 10,000",
					.ours = bench_quantile(&ours, 0.5), .theirs = bench_quantile(&theirs, 0.5),
					.want = want, .target = 1.6 });
#else
	while (set.nr < LIVE)
		set_add(churn_bytes(&state));
	for (unsigned i = 0; i < PAIRS / BLOCK; i++) {
		draw_block(&state);
		bench_add(&ours, our_block(cpu, write));
	}
	bench_print((struct bench_row){ .what = what, .unit = "ns", .how = "median of 100 blocks of 10,000",
					.ours = bench_quantile(&ours, 0.5) });
	bench_skip(what, "no librseq");
#endif
}

static void churn_time(void)
{
	time_churn("churn, alloc + free / librseq's pool set", false, BENCH_AT_MOST);
}

static void churn_time_written(void)
{
	time_churn("churn, alloc + write + free / librseq's pool set", true, BENCH_INFORMATION);
}

/* ---- counters go, structs come ---- */

static void change(void)
{
	size_t live_bytes;
	uint64_t seed = 1;

	settle();
	while (set.nr < FILLING)
		set_add(8);
	live_bytes = set.live_bytes;
	while (set.nr > FILLING / 10)
		set_remove(bench_uniform(&seed, 0, set.nr - 1));
	while (set.live_bytes < live_bytes)
		set_add(bench_uniform(&seed, 64, 512));
	print_percent("90 % of 100,000 counters freed, then structs of 64..512: utilisation", utilisation(),
		      BENCH_AT_LEAST, 63);
	empty("change of sizes");
}

/* ---- fresh counters ---- */

#define FRESH 8192u

static void print_growth(const char *what, double bytes, enum bench_want want)
{
	bench_print((struct bench_row){ .what = what, .unit = "KiB", .how = "one run", .ours = bytes / 1024,
					.want = want, .target = 128 });
}

static double held_by_kernel(void)
{
	return resident_bytes() + page_table_bytes();
}

/* Includes the library's start and its first chunk. */
static void fresh(void)
{
	double before, tables;

	settle();
	tables = page_table_bytes();
	before = held_by_kernel();
	while (set.nr < FRESH)
		set_add(8);
	tables = page_table_bytes() - tables;
	print_growth("8192 fresh counters, 512 CPUs, untouched: growth of RSS + page tables",
		     held_by_kernel() - before, BENCH_AT_MOST);
	print_growth("of it, page tables", tables, BENCH_INFORMATION);
}

/* In a program that freed a counter before, so that area caches are in use. */
static void fresh_later(void)
{
	double before;

	settle();
	set_add(8);
	set_remove(0);
	before = held_by_kernel();
	while (set.nr < FRESH)
		set_add(8);
	print_growth("8192 fresh counters, 512 CPUs, untouched, after one alloc + free",
		     held_by_kernel() - before, BENCH_AT_MOST);
}

#ifdef HAVE_LIBRSEQ
static void fresh_librseq(void)
{
	struct rseq_mempool_attr *attr;
	struct rseq_mempool *pool;
	double before;

	settle();
	before = held_by_kernel();
	attr = peer_attr();
	pool = rseq_mempool_create("bench", 8, attr);
	bench_check(pool);
	for (unsigned i = 0; i < FRESH; i++)
		bench_check(rseq_mempool_percpu_zmalloc(pool));
	print_growth("librseq alone: 8192 fresh counters, 512 CPUs, zmalloc",
		     held_by_kernel() - before, BENCH_INFORMATION);
}
#else
static void fresh_librseq(void)
{
	bench_skip("librseq alone: 8192 fresh counters, 512 CPUs, zmalloc", "no librseq");
}
#endif

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "counters", NULL, counters },
		{ "structs", NULL, structs },
		{ "uniform", NULL, uniform },
		{ "log-uniform", NULL, log_uniform },
		{ "churn-1", NULL, churn_1 },
		{ "churn-2", NULL, churn_2 },
		{ "churn-3", NULL, churn_3 },
		{ "churn-time", NULL, churn_time },
		{ "churn-time-written", NULL, churn_time_written },
		{ "change", NULL, change },
		{ "fresh-512", "cpus:512", fresh },
		{ "fresh-later-512", "cpus:512", fresh_later },
		{ "fresh-512-librseq", "cpus:512", fresh_librseq },
	};

	return bench_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
