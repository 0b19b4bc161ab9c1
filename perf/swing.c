/* SPDX-License-Identifier: MIT */
/*
 * Memory that swings: many objects are allocated, then freed, repeatedly, so that all of them are
 * live at one moment and none at another. An allocator that gives back memory which it needs again
 * pays for it here.
 *
 * Time is CPU time of the thread or process, so that a busy machine adds little. The best swing of
 * each batch counts; the first swing, which makes the pages, does not.
 */
#include "mallocs.h"

#include <pthread.h>
#include <sys/resource.h>

#define ROUNDS 3
#define HOW "best of 3 processes"
#define TARGET 1.5
#define OBJECTS_MAX (1u << 20)
#define BATCH_PAIRS 20000u /* at least, between two looks at the clock */

static void *objects[OBJECTS_MAX];

struct figures {
	double ns, faults; /* a pair */
};

static double cpu_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static double nr_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static struct figures best_of(struct figures best, double ns, double faults)
{
	best.faults = ns < best.ns ? faults : best.faults;
	best.ns = ns < best.ns ? ns : best.ns;
	return best;
}

/* ---- one thread ---- */

static inline __attribute__((always_inline)) void swing(struct percpu_cache *cache, size_t size, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		objects[i] = take(cache, size);
		*(volatile char *)objects[i] = 1;
	}
	for (unsigned i = 0; i < nr; i++)
		give(cache, objects[i]);
}

static inline __attribute__((always_inline)) struct figures swings(struct percpu_cache *cache, size_t size, unsigned nr)
{
	const unsigned nr_each = nr < BATCH_PAIRS ? BATCH_PAIRS / nr : 1;
	struct figures best = { INFINITY, 0 };

	bench_pin(bench_cpu(0));
	memset(objects, 1, nr * sizeof(void *));
	swing(cache, size, nr);
	swing(cache, size, nr);
	for (unsigned batch = 0; batch < 7; batch++) {
		const double start = cpu_ns(CLOCK_THREAD_CPUTIME_ID), faults = nr_faults();

		for (unsigned i = 0; i < nr_each; i++)
			swing(cache, size, nr);
		best = best_of(best, (cpu_ns(CLOCK_THREAD_CPUTIME_ID) - start) / nr_each / nr,
			       (nr_faults() - faults) / nr_each / nr);
	}
	return best;
}

/* ---- a queue that fills and drains: one thread allocates, another one frees ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t turned;
	bool is_full, over;
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER, .turned = PTHREAD_COND_INITIALIZER };

static void turn(bool is_full)
{
	pthread_mutex_lock(&queue.lock);
	queue.is_full = is_full;
	pthread_cond_broadcast(&queue.turned);
	pthread_mutex_unlock(&queue.lock);
}

/* Returns: true if there will be more. */
static bool wait_for(bool is_full)
{
	bool over;

	pthread_mutex_lock(&queue.lock);
	while (queue.is_full != is_full && !queue.over)
		pthread_cond_wait(&queue.turned, &queue.lock);
	over = queue.over;
	pthread_mutex_unlock(&queue.lock);
	return !over;
}

struct job {
	unsigned nr;
	int cpu;
};

static inline __attribute__((always_inline)) void drain(struct percpu_cache *cache, const struct job *job)
{
	bench_pin(bench_cpu(job->cpu));
	while (wait_for(true)) {
		for (unsigned i = 0; i < job->nr; i++)
			give(cache, objects[i]);
		turn(false);
	}
}

static void *drain_thread(void *job)
{
	struct percpu_cache *const cache = ours;

	if (cache)
		drain(cache, job);
	else
		drain(NULL, job);
	return NULL;
}

static inline __attribute__((always_inline)) struct figures queues(struct percpu_cache *cache, size_t size, unsigned nr,
								   int cpu_of_consumer)
{
	const unsigned nr_each = nr < BATCH_PAIRS ? BATCH_PAIRS / nr : 1;
	struct job job = { nr, cpu_of_consumer };
	struct figures best = { INFINITY, 0 };
	pthread_t thread;

	bench_pin(bench_cpu(0));
	bench_check(!pthread_create(&thread, NULL, drain_thread, &job));
	for (unsigned batch = 0; batch < 8; batch++) {
		const double start = cpu_ns(CLOCK_PROCESS_CPUTIME_ID), faults = nr_faults();

		for (unsigned i = 0; i < nr_each; i++) {
			for (unsigned at = 0; at < nr; at++) {
				objects[at] = take(cache, size);
				*(volatile char *)objects[at] = 1;
			}
			turn(true);
			wait_for(false);
		}
		if (batch) /* the first makes the pages */
			best = best_of(best, (cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / nr_each / nr,
				       (nr_faults() - faults) / nr_each / nr);
	}
	pthread_mutex_lock(&queue.lock);
	queue.over = true;
	pthread_cond_broadcast(&queue.turned);
	pthread_mutex_unlock(&queue.lock);
	pthread_join(thread, NULL);
	return best;
}

/* ---- the rows ---- */

enum kind { SWING, QUEUE_OF_ONE_CPU, QUEUE_OF_TWO };
static const char *const kinds[] = { "swing", "one-cpu", "two-cpus" };

static struct figures run(struct percpu_cache *cache, enum kind kind, size_t size, unsigned nr)
{
	switch (kind) {
	case SWING:
		return cache ? swings(cache, size, nr) : swings(NULL, size, nr);
	default:
		return cache ? queues(cache, size, nr, kind == QUEUE_OF_TWO)
			     : queues(NULL, size, nr, kind == QUEUE_OF_TWO);
	}
}

/* In the child. what: kind, size and number. */
static int run_side(const char *side, const char *what)
{
	struct figures figures;
	char name[16];
	unsigned nr, kind = 0;
	size_t size;

	bench_check(sscanf(what, "%15s %zu %u", name, &size, &nr) == 3);
	while (strcmp(name, kinds[kind]))
		kind++;
	if (!side_is_here(side))
		return SIDE_IS_MISSING;
	side_start(side, size);
	figures = run(ours, kind, size, nr);
	printf("%.6g %.6g\n", figures.ns, figures.faults);
	return 0;
}

static void measure(enum kind kind, size_t size, unsigned nr, struct figures best[NR_SIDES])
{
	char what[64], text[64];

	snprintf(what, sizeof(what), "%s %zu %u", kinds[kind], size, nr);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < NR_SIDES; i++) {
			struct figures figures;

			if (!side_run(&sides[i], what, text, sizeof(text)))
				continue;
			bench_check(sscanf(text, "%lf %lf", &figures.ns, &figures.faults) == 2);
			if (!best[i].ns || figures.ns < best[i].ns)
				best[i] = figures;
		}
}

static void run_row(const char *name, enum kind kind, size_t size, unsigned nr)
{
	struct figures best[NR_SIDES] = { { 0, 0 } };
	size_t winner = 0, nr_others = 0;
	char what[160], how[80];

	measure(kind, size, nr, best);
	for (size_t i = 1; i < NR_SIDES; i++) {
		if (best[i].ns && (!winner || best[i].ns < best[winner].ns))
			winner = i;
		nr_others += best[i].ns && i >= FIRST_OTHER;
	}
	for (size_t i = 1; i < NR_SIDES; i++) {
		snprintf(what, sizeof(what), "%s, %zu bytes x %u / %s", name, size, nr, sides[i].name);
		snprintf(how, sizeof(how), HOW "; page faults a pair: %.3g and %.3g", best[0].faults, best[i].faults);
		if (!best[i].ns)
			bench_skip(what, "not installed");
		else
			bench_print((struct bench_row){ what, "ns", how, best[0].ns, best[i].ns,
							nr_others && i == winner ? BENCH_AT_MOST : BENCH_INFORMATION, TARGET });
	}
}

/* From 64 KiB to 64 MiB. */
static void run_swings(size_t size)
{
	for (size_t bytes = 64u << 10; bytes <= 64u << 20; bytes *= 2)
		run_row("swing", SWING, size, bytes / size);
}

static void run_64(void)
{
	run_swings(64);
}

static void run_1024(void)
{
	run_swings(1024);
}

static void run_4096(void)
{
	run_swings(4096);
}

static void run_16384(void)
{
	run_swings(16384);
}

static void run_one_cpu(void)
{
	run_row("producer and consumer on one CPU", QUEUE_OF_ONE_CPU, 1024, 1000);
	run_row("queue that fills and drains, one CPU", QUEUE_OF_ONE_CPU, 200, 100000);
}

static void run_two_cpus(void)
{
	if (bench_cpu(1) < 0) {
		bench_skip("queue that fills and drains, two CPUs", "fewer CPUs");
		return;
	}
	run_row("queue that fills and drains, two CPUs", QUEUE_OF_TWO, 200, 100000);
}

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "64", NULL, run_64 }, { "1024", NULL, run_1024 }, { "4096", NULL, run_4096 }, { "16384", NULL, run_16384 },
		{ "one-cpu", NULL, run_one_cpu }, { "two-cpus", NULL, run_two_cpus },
	};

	bench_program = "swing";
	if (argc == 4 && !strcmp(argv[1], "--side"))
		return run_side(argv[2], argv[3]);
	return bench_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
