/* SPDX-License-Identifier: MIT */
/*
 * How costs grow with the number of possible CPUs: to start, to allocate for the first time, to
 * allocate a million counters, to sum a thousand of them, to trim. Each number of CPUs is simulated
 * in a process of its own. The cost of work on every copy may grow as the number of copies, and no
 * faster; the cost of a start may not grow. For these, 512 CPUs are compared with fewer, in turn.
 *
 * Copies of 512 CPUs exceed the processor's caches, so that each read of a copy or page costs more
 * than with two CPUs, with or without the library. Therefore another side does the same work on as
 * much memory without the library: both have to grow together.
 */
#include "bench.h"
#include "plain.h"

#include <percpu/percpu.h>
#include <sys/mman.h>

#define ROUNDS 101
#define COUNTERS 1000000u
#define SUMMED 1000u
#define TRIMMED_PAGES 60u /* fewer than frees alone would give back */
#define PAGE ((size_t)4096)

static uint64_t __percpu *counters[COUNTERS];
static struct bench_series ours[2], theirs[2];

#define MANY_CPUS 500 /* work that is done once, and not for every copy, is small beside the rest */

/* their_ns: NULL, or the other side. target: of their ratio where CPUs are many; 0: none. */
static void print(const char *name, struct bench_series *our_ns, struct bench_series *their_ns, double share, const char *how,
		  const char *unit, double scale, double target)
{
	char what[96];

	snprintf(what, sizeof(what), "%s, %u CPUs", name, percpu_nr_cpus());
	bench_print((struct bench_row){ .what = what, .unit = unit, .how = how, .ours = bench_quantile(our_ns, share) / scale,
					.theirs = their_ns ? bench_quantile(their_ns, share) / scale : 0,
					.want = target && percpu_nr_cpus() > MANY_CPUS ? BENCH_AT_MOST : BENCH_INFORMATION,
					.target = target });
	our_ns->nr = 0;
	if (their_ns)
		their_ns->nr = 0;
}

/* The cost for a program that links the library and does not use it. */
static void measure_start(void)
{
	double ns;

	for (unsigned round = 0; round < ROUNDS; round++) {
		bench_add(&theirs[0], bench_life("/bare", NULL, &ns));
		bench_add(&ours[0], bench_life("/first", "unused", &ns));
		bench_life("/first", NULL, &ns);
		bench_add(&ours[1], ns);
	}
	print("start, unused / without the library", &ours[0], &theirs[0], 0.25, "lower quartile of 101", "us", 1e3, 0);
	print("first allocation", &ours[1], NULL, 0.25, "lower quartile of 101", "us", 1e3, 0);
}

static double counters_ns(void)
{
	const double start = bench_now_ns();

	for (unsigned i = 0; i < COUNTERS; i++)
		bench_check(counters[i] = percpu_new(uint64_t));
	return bench_now_ns() - start;
}

static void measure_counters(void)
{
	double start;

	for (unsigned round = 0; round < 5; round++) {
		bench_add(&ours[0], counters_ns());
		start = bench_now_ns();
		for (unsigned i = 0; i < COUNTERS; i++)
			percpu_free(counters[i]);
		bench_add(&ours[1], bench_now_ns() - start);
		bench_check(percpu_trim(NULL) >= 0);
	}
	print("1,000,000 counters", &ours[0], NULL, 0, "min of 5", "ms", 1e6, 0);
	print("1,000,000 counters freed", &ours[1], NULL, 0, "min of 5", "ms", 1e6, 0);
}

/* ---- sums ---- */

static uint64_t __percpu *array; /* every copy written before, so that it has a page of its own */
static uint64_t sums[SUMMED];
static uint64_t *piece; /* of as many words as all copies */

static void sum_one_by_one(void)
{
	for (unsigned i = 0; i < SUMMED; i++)
		sums[i] = percpu_sum(&array[i]);
}

/* The same lines, each in another page. */
static void read_one_by_one(void)
{
	for (unsigned i = 0; i < SUMMED; i++) {
		uint64_t sum = 0;

		percpu_for_each_copy(copy)
			sum += __atomic_load_n(percpu_ptr(&array[i], copy), __ATOMIC_RELAXED);
		sums[i] = sum;
	}
}

static void sum_at_once(void)
{
	percpu_sum_u64(sums, array, SUMMED);
}

static void read_at_once(void)
{
	bench_use(plain_sum(piece, percpu_nr_copies() * SUMMED / PLAIN_STEP * PLAIN_STEP));
}

static double ns_of(void (*run)(void))
{
	const double start = bench_now_ns();

	run();
	bench_use(sums);
	return bench_now_ns() - start;
}

static void measure_sum(const char *name, void (*our_way)(void), void (*their_way)(void))
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		memset(sums, 0, sizeof(sums));
		bench_add(&ours[0], ns_of(our_way));
		for (unsigned i = 0; i < SUMMED; i++)
			bench_check(sums[i] == percpu_nr_copies());
		bench_add(&theirs[0], ns_of(their_way));
	}
	print(name, &ours[0], &theirs[0], 0, "min of 101", "us", 1e3, 1.2);
}

static void measure_sums(void)
{
	const size_t nr_words = (size_t)percpu_nr_copies() * SUMMED;

	array = percpu_new_array(uint64_t, SUMMED);
	piece = aligned_alloc(sizeof(plain_vector), (nr_words + PLAIN_STEP) * sizeof(*piece));
	bench_check(array && piece);
	memset(piece, 1, nr_words * sizeof(*piece));
	percpu_for_each_copy(copy)
		for (unsigned i = 0; i < SUMMED; i++)
			percpu_ptr(array, copy)[i] = 1;
	measure_sum("sums of 1,000 counters, one by one / a loop", sum_one_by_one, read_one_by_one);
	measure_sum("sums of 1,000 counters at once / a plain read of as much", sum_at_once, read_at_once);
	percpu_free(array);
	free(piece);
}

/* ---- memory given back ---- */

static char __percpu *pages[TRIMMED_PAGES + 1];

/* A chunk's worth of pages, written in every copy. */
static double trim_ns(void)
{
	double start, ns;

	for (unsigned i = 0; i <= TRIMMED_PAGES; i++) {
		bench_check(pages[i] = percpu_alloc(PAGE, PAGE));
		percpu_for_each_copy(copy)
			*percpu_ptr(pages[i], copy) = 1;
	}
	for (unsigned i = 0; i < TRIMMED_PAGES; i++)
		percpu_free(pages[i]);
	start = bench_now_ns();
	bench_check(percpu_trim(NULL) >= (ssize_t)(TRIMMED_PAGES * PAGE * percpu_nr_copies()));
	ns = bench_now_ns() - start;
	percpu_free(pages[TRIMMED_PAGES]);
	return ns;
}

/* The same number of scattered pages, one call for each. */
static double madvise_ns(void)
{
	const size_t bytes = (size_t)percpu_nr_copies() * PERCPU_STRIDE;
	char *units = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	double start, ns;

	bench_check(units != MAP_FAILED && !madvise(units, bytes, MADV_NOHUGEPAGE));
	for (unsigned i = 0; i < TRIMMED_PAGES; i++)
		percpu_for_each_copy(copy)
			units[copy * PERCPU_STRIDE + i * PAGE] = 1;
	start = bench_now_ns();
	percpu_for_each_copy(copy)
		bench_check(!madvise(units + copy * PERCPU_STRIDE, TRIMMED_PAGES * PAGE, MADV_DONTNEED));
	ns = bench_now_ns() - start;
	munmap(units, bytes);
	return ns;
}

static void measure_trim(void)
{
	for (unsigned round = 0; round < 9; round++) {
		bench_add(&ours[0], trim_ns());
		bench_add(&theirs[0], madvise_ns());
	}
	print("trim of 60 pages in every copy / madvise", &ours[0], &theirs[0], 0, "min of 9", "us", 1e3, 1.2);
}

static void scale(void)
{
	bench_pin(bench_cpu(0));
	measure_start();
	measure_counters();
	measure_sums();
	measure_trim();
}

/* ---- growth ---- */

#define COUNTERS_ALONE "--counters"

static int counters_alone(void)
{
	const double ns = counters_ns();

	return write(STDOUT_FILENO, &ns, sizeof(ns)) != sizeof(ns);
}

/*
 * 512 CPUs beside fewer, a process of each in turn. 512 CPUs have 7.9 times as many copies as 64.
 */
static const struct growth {
	const char *what, *fewer, *program, *arg;
	bool is_inside; /* the figure that the program reports, not its run time */
	unsigned rounds;
	double share;
	const char *how, *unit;
	double scale, target;
} growths[] = {
	{ "start, unused, of 512 CPUs / of 2", "cpus:2", "/first", "unused", false, ROUNDS, 0.25, "lower quartile of 101", "us",
	  1e3, 1.1 },
	{ "first allocation, of 512 CPUs / of 64", "cpus:64", "/first", NULL, true, ROUNDS, 0.25, "lower quartile of 101", "us",
	  1e3, 8 },
	{ "1,000,000 counters, of 512 CPUs / of 64", "cpus:64", "/scale", COUNTERS_ALONE, true, 9, 0, "min of 9", "ms", 1e6, 8 },
};

static double growth_ns(const struct growth *growth, const char *options)
{
	double inside, life;

	bench_check(!setenv("PERCPU_OPTIONS", options, 1));
	life = bench_life(growth->program, growth->arg, &inside);
	return growth->is_inside ? inside : life;
}

static void grow(void)
{
	bench_pin(bench_cpu(0));
	for (const struct growth *it = growths; it < growths + sizeof(growths) / sizeof(growths[0]); it++) {
		ours[0].nr = theirs[0].nr = 0;
		for (unsigned round = 0; round < it->rounds; round++) {
			bench_add(&ours[0], growth_ns(it, "cpus:512"));
			bench_add(&theirs[0], growth_ns(it, it->fewer));
		}
		bench_print((struct bench_row){ it->what, it->unit, it->how, bench_quantile(&ours[0], it->share) / it->scale,
						bench_quantile(&theirs[0], it->share) / it->scale, BENCH_AT_MOST, it->target });
	}
}

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "cpus-2", "cpus:2", scale },
		{ "cpus-8", "cpus:8", scale },
		{ "cpus-64", "cpus:64", scale },
		{ "cpus-512", "cpus:512", scale },
		{ "growth", NULL, grow },
	};

	if (argc == 2 && !strcmp(argv[1], COUNTERS_ALONE))
		return counters_alone();
	return bench_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
