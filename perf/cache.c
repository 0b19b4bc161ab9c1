/* SPDX-License-Identifier: MIT */
/*
 * What object caches cost, beside malloc of glibc, jemalloc, mimalloc and gperftools' tcmalloc.
 *
 * Every side runs in processes of its own, the same program with another malloc preloaded, in
 * alternating rounds; its figure is that of its best round. All do the same work, object by object,
 * through the same loops. A malloc that is not installed is left out; if only glibc's is left,
 * there is no verdict.
 */
#include "mallocs.h"

#include <pthread.h>

#define ROUNDS 9
#define HOW "best of 9 processes"

static double least(double a, double b)
{
	return a < b ? a : b;
}

/* ---- one thread ---- */

#define PAIRS 20000 /* a round */

static inline __attribute__((always_inline)) double pairs(struct percpu_cache *cache, size_t size)
{
	double best = INFINITY;

	bench_pin(bench_cpu(0));
	for (unsigned round = 0; round < 300; round++) {
		const double start = bench_now_ns();

		for (unsigned i = 0; i < PAIRS; i++)
			give(cache, take(cache, size));
		best = least(best, (bench_now_ns() - start) / PAIRS);
	}
	return best;
}

static inline __attribute__((always_inline)) double hundreds(struct percpu_cache *cache, size_t size)
{
	void *objects[100];
	double best = INFINITY;

	bench_pin(bench_cpu(0));
	for (unsigned round = 0; round < 300; round++) {
		const double start = bench_now_ns();

		for (unsigned i = 0; i < PAIRS / 100; i++) {
			for (unsigned at = 0; at < 100; at++)
				objects[at] = take(cache, size);
			for (unsigned at = 0; at < 100; at++)
				give(cache, objects[at]);
		}
		best = least(best, (bench_now_ns() - start) / PAIRS);
	}
	return best;
}

/* ---- producer and consumer ---- */

#define RING_MAX (1u << 18)
static void *ring[RING_MAX];
static struct {
	uint32_t at __attribute__((aligned(64)));
} produced, consumed;
static uint32_t ring_size, nr_kept; /* how many the consumer leaves in the ring */
static bool over;

static inline __attribute__((always_inline)) void consume(struct percpu_cache *cache, size_t size, bool read)
{
	uint32_t at = 0;

	bench_pin(bench_cpu(1));
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		uint32_t end = __atomic_load_n(&produced.at, __ATOMIC_ACQUIRE);

		for (; end - at > nr_kept; at++) {
			uint64_t *object = ring[at & (ring_size - 1)], sum = 0;

			for (size_t i = 0; read && i < size / 8; i++)
				sum += object[i];
			bench_use(sum);
			give(cache, object);
			__atomic_store_n(&consumed.at, at + 1, __ATOMIC_RELEASE);
		}
	}
}

static void *consumer(void *size)
{
	struct percpu_cache *const cache = ours;

	if (cache)
		consume(cache, (uintptr_t)size, (uintptr_t)size > 64);
	else
		consume(NULL, (uintptr_t)size, (uintptr_t)size > 64);
	return NULL;
}

static inline __attribute__((always_inline)) uint32_t produce(struct percpu_cache *cache, size_t size, bool write, uint32_t at, uint32_t nr)
{
	for (const uint32_t end = at + nr; at != end; at++) {
		uint64_t *object = take(cache, size);

		if (write)
			for (size_t i = 0; i < size / 8; i++)
				object[i] = at;
		else
			*object = at;
		while (at - __atomic_load_n(&consumed.at, __ATOMIC_ACQUIRE) >= ring_size)
			;
		ring[at & (ring_size - 1)] = object;
		__atomic_store_n(&produced.at, at + 1, __ATOMIC_RELEASE);
	}
	return at;
}

static pthread_t start_consumer(size_t size, uint32_t of_ring, uint32_t kept)
{
	pthread_t thread;

	ring_size = of_ring;
	nr_kept = kept;
	bench_pin(bench_cpu(0));
	bench_check(!pthread_create(&thread, NULL, consumer, (void *)size));
	return thread;
}

static inline __attribute__((always_inline)) double hand_over(struct percpu_cache *cache, size_t size)
{
	const pthread_t thread = start_consumer(size, 1024, 0);
	double best = INFINITY;
	uint32_t at = 0;

	for (unsigned round = 0; round < 30; round++) {
		const double start = bench_now_ns();

		at = produce(cache, size, size > 64, at, 50000);
		best = least(best, (bench_now_ns() - start) / 50000);
	}
	while (__atomic_load_n(&consumed.at, __ATOMIC_ACQUIRE) != at)
		;
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return best;
}

/*
 * ---- larson: each thread frees what others allocated ----
 *
 * The clock runs while blocks are replaced, not while threads wait for one another. The work
 * besides malloc and free is the same for all sides, and small: a random number is a multiplication
 * and an addition, whose upper bits are good enough to choose a block.
 */

#define BLOCKS 1000
#define STEPS 5000 /* until the arrays change hands */
#define LARSON_THREADS_MAX 64
static void *blocks[LARSON_THREADS_MAX][BLOCKS];
static unsigned nr_larson, nr_waiting, larson_turn;
static double larson_best;

static void meet(void)
{
	const unsigned turn = __atomic_load_n(&larson_turn, __ATOMIC_ACQUIRE);

	if (__atomic_add_fetch(&nr_waiting, 1, __ATOMIC_ACQ_REL) == nr_larson) {
		__atomic_store_n(&nr_waiting, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&larson_turn, turn + 1, __ATOMIC_RELEASE);
	}
	while (__atomic_load_n(&larson_turn, __ATOMIC_ACQUIRE) == turn)
		;
}

static inline __attribute__((always_inline)) void larson(struct percpu_cache *cache, size_t size, unsigned number)
{
	uint64_t random = number;

	bench_pin(bench_cpu((int)number));
	for (unsigned i = 0; i < BLOCKS; i++)
		blocks[number][i] = take(cache, size);
	for (unsigned round = 0; round < 2000; round++) {
		void **mine = blocks[(number + round) % nr_larson];
		double start;

		meet();
		start = bench_now_ns();
		for (unsigned step = 0; step < STEPS; step++) {
			const uint32_t at = (random >> 32) * BLOCKS >> 32;

			random = random * UINT64_C(6364136223846793005) + 1;
			give(cache, mine[at]);
			mine[at] = take(cache, size);
			*(uint64_t *)mine[at] = step;
		}
		if (!number)
			larson_best = least(larson_best, (bench_now_ns() - start) / STEPS);
		meet();
	}
}

static void *larson_thread(void *number)
{
	struct percpu_cache *const cache = ours;

	if (cache)
		larson(cache, 64, (uintptr_t)number);
	else
		larson(NULL, 64, (uintptr_t)number);
	return NULL;
}

static inline __attribute__((always_inline)) double larsons(struct percpu_cache *cache, size_t size)
{
	pthread_t threads[LARSON_THREADS_MAX];

	while (nr_larson < LARSON_THREADS_MAX && bench_cpu((int)nr_larson) >= 0)
		nr_larson++;
	larson_best = INFINITY;
	for (uintptr_t i = 0; i < nr_larson; i++)
		bench_check(!pthread_create(&threads[i], NULL, larson_thread, (void *)i));
	for (unsigned i = 0; i < nr_larson; i++)
		pthread_join(threads[i], NULL);
	return larson_best;
}

/* ---- memory held ---- */

#define HELD_SECONDS 60

static size_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	size_t pages;

	bench_check(file && fscanf(file, "%*u %zu", &pages) == 1);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Bytes held for each live byte; negative if they still grew in the second half of the time. */
static inline __attribute__((always_inline)) double held(struct percpu_cache *cache, size_t size)
{
	const double start = bench_now_ns();
	const size_t live = (size_t)(RING_MAX - 4096) * size;
	size_t before, half = 0, now;
	pthread_t thread;
	uint32_t at = 0;

	memset(ring, 1, sizeof(ring));
	before = resident_bytes();
	thread = start_consumer(size, RING_MAX, RING_MAX - 4096);
	while (bench_now_ns() - start < HELD_SECONDS * 1e9) {
		at = produce(cache, size, false, at, 100000);
		if (!half && bench_now_ns() - start > HELD_SECONDS * 0.5e9)
			half = resident_bytes();
	}
	while (at - __atomic_load_n(&consumed.at, __ATOMIC_ACQUIRE) != nr_kept)
		;
	now = resident_bytes();
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return (now > half + live / 100 ? -1.0 : 1.0) * (now - before) / live;
}

/* ---- the rows ---- */

#define ROW(work)                                                                                            \
	static double work##_of(size_t size)                                                                 \
	{                                                                                                    \
		struct percpu_cache *const cache = ours;                                                     \
                                                                                                             \
		return cache ? work(cache, size) : work(NULL, size);                                         \
	}
ROW(pairs)
ROW(hundreds)
ROW(hand_over)
ROW(larsons)
ROW(held)

static const struct row {
	const char *name, *what, *unit;
	double (*run)(size_t size);
	size_t size;
	int nr_cpus;
	double target;
} rows[] = {
	{ "pairs", "64 bytes: alloc and free", "ns", pairs_of, 64, 1, 0.5 },
	{ "hundreds", "64 bytes: 100 allocs, then 100 frees, each pair", "ns", hundreds_of, 64, 1, 0.7 },
	{ "handed", "64 bytes: alloc here, free on another CPU, ring of 1024", "ns", hand_over_of, 64, 2, 0.6 },
	{ "packets", "1500 bytes: the same, written here and read there", "ns", hand_over_of, 1500, 2, 0.8 },
	{ "larson", "64 bytes: all CPUs replace random ones of arrays that change hands", "ns", larsons_of, 64, 2, 0.7 },
	{ "held", "64 bytes: held after 60 s of handing over, for each live byte", "", held_of, 64, 2, 1.2 },
};
#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

/* In the child: measures the row once and prints its figure. */
static int run_side(const char *side_name, const char *row_name)
{
	const struct row *row = rows;

	while (strcmp(row->name, row_name))
		row++;
	if (!side_is_here(side_name))
		return SIDE_IS_MISSING;
	side_start(side_name, row->size);
	printf("%.6g\n", row->run(row->size));
	return 0;
}

/* Measures in a process of its own. Returns: its figure; 0 if this side is not installed. */
static double measure(const struct side *side, const struct row *row)
{
	char text[64] = "";
	double figure = 0;

	if (side_run(side, row->name, text, sizeof(text)))
		bench_check(sscanf(text, "%lf", &figure) == 1);
	return figure;
}

static void run_held(const struct row *row)
{
	const double ratio = measure(&sides[0], row);

	bench_print((struct bench_row){ row->what, "", ratio < 0 ? "still growing" : "flat since 30 s", fabs(ratio), 0,
					BENCH_AT_MOST, ratio < 0 ? 0 : row->target });
}

static void run_row(const struct row *row)
{
	double best[NR_SIDES] = { 0 };
	size_t winner = 0, nr_others = 0;
	char what[160];

	if (bench_cpu(row->nr_cpus - 1) < 0) {
		bench_skip(row->what, "fewer CPUs");
		return;
	}
	if (row->run == held_of) {
		run_held(row);
		return;
	}
	for (unsigned round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < NR_SIDES; i++) {
			const double figure = measure(&sides[i], row);

			if (figure && (!best[i] || figure < best[i]))
				best[i] = figure;
		}
	for (size_t i = 1; i < NR_SIDES; i++) {
		if (best[i] && (!winner || best[i] < best[winner]))
			winner = i;
		nr_others += best[i] && i >= FIRST_OTHER;
	}
	if (!nr_others) {
		snprintf(what, sizeof(what), "%s / the best malloc", row->what);
		bench_skip(what, "no verdict: neither jemalloc nor mimalloc nor tcmalloc is installed");
	}
	for (size_t i = 1; i < NR_SIDES; i++) {
		snprintf(what, sizeof(what), "%s / %s", row->what, sides[i].name);
		if (!best[i])
			bench_skip(what, "not installed");
		else
			bench_print((struct bench_row){ what, row->unit, HOW, best[0], best[i],
							nr_others && i == winner ? BENCH_AT_MOST : BENCH_INFORMATION, row->target });
	}
}

#define WORKLOAD(number)                                                                                     \
	static void run_row_##number(void)                                                                   \
	{                                                                                                    \
		run_row(&rows[number]);                                                                      \
	}
WORKLOAD(0)
WORKLOAD(1)
WORKLOAD(2)
WORKLOAD(3)
WORKLOAD(4)
WORKLOAD(5)

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "pairs", NULL, run_row_0 }, { "hundreds", NULL, run_row_1 }, { "handed", NULL, run_row_2 },
		{ "packets", NULL, run_row_3 }, { "larson", NULL, run_row_4 }, { "held", NULL, run_row_5 },
	};
	_Static_assert(sizeof(workloads) / sizeof(workloads[0]) == NR_ROWS, "every row has a workload");

	bench_program = "cache";
	if (argc == 4 && !strcmp(argv[1], "--side"))
		return run_side(argv[2], argv[3]);
	return bench_main(argc, argv, workloads, NR_ROWS);
}
