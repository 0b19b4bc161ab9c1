/* SPDX-License-Identifier: MIT */
/*
 * Operations beside what one would write without them. Every loop exists at several code addresses,
 * because the address affects the figure. The fastest round of each address counts, and the median
 * of all addresses.
 */
#include "bench.h"
#include "ops.h"

#include <percpu/percpu.h>
#ifdef HAVE_LIBRSEQ
#include <rseq/mempool.h>
#endif

#define NR_ROUNDS 31
#define NR_STEPS 20000
#define HOW "min of 31, median of 8 places"

static struct loops *all;

void loops_register(struct loops *loops)
{
	loops->next = all;
	all = loops;
}

static struct loops *find(const char *compiler, bool shared)
{
	struct loops *loops = all;

	while (loops && (strcmp(loops->compiler, compiler) || loops->shared != shared))
		loops = loops->next;
	return loops;
}

struct figures {
	struct loops *loops;
	double ns[NR_KINDS][NR_PLACEMENTS]; /* the fastest so far */
};

static void time_round(struct figures *figures, void *const *counters)
{
	for (unsigned place = 0; place < NR_PLACEMENTS; place++)
		for (unsigned kind = 0; kind < NR_KINDS; kind++) {
			loop *loop = figures->loops->loop[kind][place];
			double ns;

			if (!loop)
				continue;
			ns = bench_now_ns();
			loop(counters[kind], NR_STEPS);
			ns = (bench_now_ns() - ns) / NR_STEPS;
			if (!figures->ns[kind][place] || ns < figures->ns[kind][place])
				figures->ns[kind][place] = ns;
		}
}

static double median(const struct figures *figures, enum kind kind)
{
	struct bench_series series = { .nr = 0 };

	for (unsigned place = 0; place < NR_PLACEMENTS; place++)
		bench_add(&series, figures->ns[kind][place]);
	qsort(series.value, series.nr, sizeof(double), bench_compare);
	return (series.value[NR_PLACEMENTS / 2 - 1] + series.value[NR_PLACEMENTS / 2]) / 2;
}

static void row(const char *what, const char *compiler, double ours, double theirs, double target)
{
	char text[96];

	snprintf(text, sizeof(text), "%s, %s", what, compiler);
	bench_print((struct bench_row){ text, "ns", HOW, ours, theirs, BENCH_AT_MOST, target });
}

static void *librseq_counter(void)
{
#ifdef HAVE_LIBRSEQ
	struct rseq_mempool *pool = rseq_mempool_create("perf", sizeof(intptr_t), NULL);

	bench_check(pool);
	return rseq_mempool_percpu_zmalloc(pool);
#else
	return NULL;
#endif
}

static void measure(const char *compiler)
{
	struct figures program = { find(compiler, false), { { 0 } } }, shared = { find(compiler, true), { { 0 } } };
	uint64_t __percpu *counters = (uint64_t __percpu *)percpu_alloc(64, 64);
	void *plain, *of_kind[NR_KINDS];

	if (!program.loops || !shared.loops)
		return bench_skip("operations", compiler);
	bench_pin(bench_cpu(0));
	plain = percpu_this_ptr(counters);
	of_kind[PERCPU_ONE] = of_kind[PERCPU_EIGHT] = (void *)(uintptr_t)counters;
	of_kind[THREAD_LOCAL] = of_kind[PINNED_EIGHT] = of_kind[LOCKED] = plain;
	of_kind[LIBRSEQ] = librseq_counter();
	for (unsigned round = 0; round < NR_ROUNDS; round++) {
		time_round(&program, of_kind);
		time_round(&shared, of_kind);
	}
	row("percpu_add one counter / thread-local add", compiler, median(&program, PERCPU_ONE),
	    median(&program, THREAD_LOCAL), 3.0);
	row("percpu_add over 8 counters / pinned add over the same 8", compiler, median(&program, PERCPU_EIGHT),
	    median(&program, PINNED_EIGHT), 3.0);
	row("percpu_add one counter, in a shared object / in a program", compiler, median(&shared, PERCPU_ONE),
	    median(&program, PERCPU_ONE), 1.3);
	row("percpu_add over 8 counters, in a shared object / in a program", compiler, median(&shared, PERCPU_EIGHT),
	    median(&program, PERCPU_EIGHT), 1.3);
	row("percpu_add one counter / uncontended lock add", compiler, median(&program, PERCPU_ONE),
	    median(&program, LOCKED), 0.2);
	if (of_kind[LIBRSEQ])
		row("percpu_add one counter / librseq rseq_load_add_store__ptr", compiler,
		    median(&program, PERCPU_ONE), median(&program, LIBRSEQ), 0.45);
	else
		bench_skip("percpu_add one counter / librseq rseq_load_add_store__ptr", "no librseq");
}

static void with_gcc(void)
{
	measure("gcc");
}

static void with_clang(void)
{
	measure("clang");
}

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "gcc", NULL, with_gcc },
		{ "clang", NULL, with_clang },
	};

	return bench_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
