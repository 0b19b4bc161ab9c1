/* SPDX-License-Identifier: MIT */
/*
 * What allocating costs: a pair of alloc and free, zeroed and written to in between, beside
 * librseq's; the same with 512 CPUs; with a million objects live; with two threads at once.
 *
 * Both sides do the same work: they allocate a zeroed object, check this CPU's copy by a load,
 * write its first word, and free it. Rounds alternate. A side's figure is that of its best round,
 * since the rest of the machine can only add to it.
 */
#include "bench.h"

#include <fcntl.h>
#include <pthread.h>

#include <percpu/percpu.h>

#ifdef HAVE_LIBRSEQ
#include <rseq/mempool.h>
#endif

#define ROUNDS 41
#define HOW "min of 41 rounds"

static int this_cpu;

static void settle(void)
{
	this_cpu = bench_cpu(0);
	bench_pin(this_cpu);
}

static void __percpu *must_alloc(size_t size)
{
	void __percpu *p = percpu_alloc(size, 8);

	bench_check(p);
	return p;
}

/* First use: the object must read as zero, and is set to one. */
static inline void touch(volatile uint64_t *copy)
{
	bench_check(!*copy);
	*copy = 1;
}

static inline volatile uint64_t *our_copy(void __percpu *p)
{
	return percpu_ptr((uint64_t __percpu *)p, this_cpu);
}

/* ---- the peer ---- */

#ifdef HAVE_LIBRSEQ
static struct rseq_mempool *peer_pool(size_t size)
{
	struct rseq_mempool_attr *attr = rseq_mempool_attr_create();
	struct rseq_mempool *pool;

	bench_check(attr && !rseq_mempool_attr_set_percpu(attr, 0, percpu_nr_cpus()));
	pool = rseq_mempool_create("bench", size, attr);
	bench_check(pool);
	rseq_mempool_attr_destroy(attr);
	return pool;
}

static void __rseq_percpu *peer_alloc(struct rseq_mempool *pool)
{
	void __rseq_percpu *p = rseq_mempool_percpu_zmalloc(pool);

	bench_check(p);
	return p;
}

static inline volatile uint64_t *peer_copy(void __rseq_percpu *p)
{
	return rseq_percpu_ptr((uint64_t *)p, this_cpu);
}
#endif

/* ---- pairs: alloc, first write, free, in batches of so many live at once ---- */

#define MOST_BATCH 512

static double our_pairs(size_t size, unsigned batch, unsigned nr)
{
	void __percpu *live[MOST_BATCH];
	const double start = bench_now_ns();
	unsigned done = 0;

	for (; done < nr; done += batch) {
		for (unsigned i = 0; i < batch; i++) {
			live[i] = must_alloc(size);
			touch(our_copy(live[i]));
		}
		for (unsigned i = 0; i < batch; i++)
			percpu_free(live[i]);
	}
	return (bench_now_ns() - start) / done;
}

#ifdef HAVE_LIBRSEQ
static double peer_pairs(struct rseq_mempool *pool, unsigned batch, unsigned nr)
{
	void __rseq_percpu *live[MOST_BATCH];
	const double start = bench_now_ns();
	unsigned done = 0;

	for (; done < nr; done += batch) {
		for (unsigned i = 0; i < batch; i++) {
			live[i] = peer_alloc(pool);
			touch(peer_copy(live[i]));
		}
		for (unsigned i = 0; i < batch; i++)
			rseq_mempool_percpu_free(live[i]);
	}
	return (bench_now_ns() - start) / done;
}
#endif

/*
 * Sums and frees objects, so that all copies have page tables, as in a program whose monitor reads
 * them.
 */
static void sum_many(size_t size)
{
	uint64_t __percpu *live[MOST_BATCH];

	for (unsigned i = 0; i < MOST_BATCH; i++) {
		live[i] = must_alloc(size);
		bench_check(percpu_sum(live[i]) == 0);
	}
	for (unsigned i = 0; i < MOST_BATCH; i++)
		percpu_free(live[i]);
}

static void measure_pairs(size_t size, unsigned batch, bool summed, bool is_target)
{
	const unsigned nr_cpus = percpu_nr_cpus();
	const unsigned nr = nr_cpus > 64 ? 1 << 11 : 1 << 14;
	struct bench_series ours = { .nr = 0 };
	char what[128];

	snprintf(what, sizeof(what), "alloc + write + free, %zu bytes, %u CPUs%s%s / librseq", size, nr_cpus,
		 batch > 1 ? ", by 100" : "", summed ? ", summed before" : "");
	if (summed)
		sum_many(size);
#ifdef HAVE_LIBRSEQ
	struct bench_series theirs = { .nr = 0 };
	struct rseq_mempool *pool = peer_pool(size);

	for (unsigned round = 0; round < ROUNDS; round++) {
		bench_add(&ours, our_pairs(size, batch, nr));
		bench_add(&theirs, peer_pairs(pool, batch, nr));
	}
	bench_check(!rseq_mempool_destroy(pool));
	bench_print((struct bench_row){ .what = what, .unit = "ns", .how = HOW,
					.ours = bench_quantile(&ours, 0), .theirs = bench_quantile(&theirs, 0),
					.want = is_target ? BENCH_AT_MOST : BENCH_INFORMATION, .target = 0.5 });
#else
	for (unsigned round = 0; round < ROUNDS; round++)
		bench_add(&ours, our_pairs(size, batch, nr));
	bench_print((struct bench_row){ .what = what, .unit = "ns", .how = HOW,
					.ours = bench_quantile(&ours, 0) });
	bench_skip(what, "no librseq");
#endif
}

static void pairs(void)
{
	settle();
	measure_pairs(8, 1, false, true);
	measure_pairs(64, 1, false, true);
	measure_pairs(8, 100, false, false);
	measure_pairs(64, 100, false, false);
	measure_pairs(8, 1, true, false);
	measure_pairs(64, 1, true, false);
	measure_pairs(8, 100, true, false);
	measure_pairs(64, 100, true, false);
}

/* ---- many live objects: a random one is replaced ---- */

#define MANY 1000000u
#define FEW 1000u

static void shuffle(void **objects, unsigned nr)
{
	uint64_t seed = nr;

	for (unsigned i = nr; i > 1; i--) {
		const unsigned at = bench_uniform(&seed, 0, i - 1);
		void *object = objects[at];

		objects[at] = objects[i - 1];
		objects[i - 1] = object;
	}
}

/* An allocator of objects of 8 bytes. */
struct side {
	void (*prepare)(void);
	void *(*alloc)(void);
	void (*free)(void *object);
};

/*
 * A number of live objects in a process of its own, whose allocator has nothing else. The array of
 * objects is shuffled, so that a pass through it replaces random ones without cache misses of the
 * benchmark: only the misses of the allocator differ between few objects and many.
 */
struct world {
	const struct side *side;
	unsigned nr;
	void (*replace)(struct world *world, unsigned nr); /* so many objects */
	pid_t process;
	int questions, answers; /* the caller's ends of the pipes */
	void **objects;
	unsigned at;
	uint64_t seed;
};

static void world_replace(struct world *world, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		world->side->free(world->objects[world->at]);
		world->objects[world->at] = world->side->alloc();
		world->at = world->at + 1 < world->nr ? world->at + 1 : 0;
	}
}

#define BY 100u
_Static_assert(MANY % BY == 0 && FEW % BY == 0, "worlds are of whole batches");

/* More at once than a small cache holds. */
static void world_replace_batches(struct world *world, unsigned nr)
{
	for (unsigned done = 0; done < nr; done += BY) {
		void **at = world->objects + world->at;

		for (unsigned i = 0; i < BY; i++)
			world->side->free(at[i]);
		for (unsigned i = 0; i < BY; i++)
			at[i] = world->side->alloc();
		world->at = (world->at + BY) % world->nr;
	}
}

/* Includes the benchmark's own misses: the object to replace is drawn at random. */
static void world_replace_drawn(struct world *world, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		void **object = &world->objects[bench_uniform(&world->seed, 0, world->nr - 1)];

		world->side->free(*object);
		*object = world->side->alloc();
	}
}

/* One object is allocated and freed beside the live ones. */
static void world_pair(struct world *world, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		world->side->free(world->side->alloc());
}

#define REPLACED (300 * BY)

/*
 * The child: allocates all objects, then answers every question with the ns that a replacement
 * takes.
 */
static void world_live(struct world *world)
{
	char question;

	world->side->prepare();
	world->objects = calloc(world->nr, sizeof(*world->objects));
	bench_check(world->objects);
	for (unsigned i = 0; i < world->nr; i++)
		world->objects[i] = world->side->alloc();
	shuffle(world->objects, world->nr);
	while (read(world->questions, &question, 1) == 1) {
		const double start = bench_now_ns();
		double ns;

		world->replace(world, REPLACED);
		ns = (bench_now_ns() - start) / REPLACED;
		bench_check(write(world->answers, &ns, sizeof(ns)) == sizeof(ns));
	}
	for (unsigned i = 0; i < world->nr; i++)
		world->side->free(world->objects[i]);
}

static void world_start(struct world *world)
{
	int questions[2], answers[2];

	bench_check(!pipe2(questions, O_CLOEXEC) && !pipe2(answers, O_CLOEXEC));
	world->process = fork();
	bench_check(world->process >= 0);
	if (!world->process) {
		close(questions[1]);
		close(answers[0]);
		world->questions = questions[0];
		world->answers = answers[1];
		world_live(world);
		_exit(0);
	}
	close(questions[0]);
	close(answers[1]);
	world->questions = questions[1];
	world->answers = answers[0];
}

static double world_ask(struct world *world)
{
	double ns;

	bench_check(write(world->questions, "", 1) == 1 && read(world->answers, &ns, sizeof(ns)) == sizeof(ns));
	return ns;
}

static void world_end(struct world *world)
{
	int status;

	close(world->questions);
	bench_check(waitpid(world->process, &status, 0) == world->process && !status);
	close(world->answers);
}

static void measure_many(const char *what, const struct side *side,
			 void (*replace)(struct world *world, unsigned nr), enum bench_want want)
{
	struct world few = { .side = side, .nr = FEW, .replace = replace };
	struct world many = { .side = side, .nr = MANY, .replace = replace };
	struct bench_series few_ns = { .nr = 0 }, many_ns = { .nr = 0 };

	settle();
	world_start(&few);
	world_start(&many);
	world_ask(&few);
	world_ask(&many);
	for (unsigned round = 0; round < ROUNDS; round++) {
		bench_add(&many_ns, world_ask(&many));
		bench_add(&few_ns, world_ask(&few));
	}
	world_end(&many);
	world_end(&few);
	bench_print((struct bench_row){ .what = what, .unit = "ns", .how = HOW,
					.ours = bench_quantile(&many_ns, 0),
					.theirs = bench_quantile(&few_ns, 0), .want = want, .target = 2 });
}

static void our_prepare(void)
{
}

static void *our_alloc(void)
{
	return (void *)must_alloc(8);
}

static void our_free(void *object)
{
	percpu_free((void __percpu *)object);
}

static void many(void)
{
	static const struct side side = { our_prepare, our_alloc, our_free };

	measure_many("alloc + free, 8 bytes, at 1,000,000 live / at 1,000 live", &side, world_pair,
		     BENCH_AT_MOST);
	measure_many("the same, replacing random ones: cold ones are met", &side, world_replace,
		     BENCH_INFORMATION);
	measure_many("the same by 100: so many freed, so many allocated", &side, world_replace_batches,
		     BENCH_INFORMATION);
	measure_many("the same, the benchmark's own misses left in", &side, world_replace_drawn,
		     BENCH_INFORMATION);
}

#ifdef HAVE_LIBRSEQ
static struct rseq_mempool *peers;

static void peer_prepare(void)
{
	peers = peer_pool(8);
}

static void *peer_object(void)
{
	return peer_alloc(peers);
}

static void peer_free(void *object)
{
	rseq_mempool_percpu_free(object);
}

static void many_librseq(void)
{
	static const struct side side = { peer_prepare, peer_object, peer_free };

	measure_many("librseq alone: at 1,000,000 live / at 1,000 live", &side, world_replace,
		     BENCH_INFORMATION);
	measure_many("librseq alone, by 100", &side, world_replace_batches,
		     BENCH_INFORMATION);
	measure_many("librseq alone, the benchmark's own misses left in", &side, world_replace_drawn,
		     BENCH_INFORMATION);
}
#else
static void many_librseq(void)
{
	bench_skip("librseq alone: at 1,000,000 live / at 1,000 live", "no librseq");
}
#endif

/* ---- threads ---- */

#define WORKING_SET 64
#define SPAN_NS 2e7

struct worker {
	int cpu;
	void (*work)(struct worker *worker); /* some pairs */
	pthread_barrier_t *gate;
	uint64_t seed;
	void __percpu *live[WORKING_SET];
	unsigned long nr_pairs;
	double rate; /* pairs per ns */
};

static void same_size(struct worker *worker)
{
	for (unsigned i = 0; i < WORKING_SET; i++)
		percpu_free(must_alloc(64));
	worker->nr_pairs += WORKING_SET;
}

static void random_sizes(struct worker *worker)
{
	for (unsigned i = 0; i < WORKING_SET; i++) {
		const uint64_t random = bench_random(&worker->seed);
		void __percpu **slot = &worker->live[random % WORKING_SET];

		percpu_free(*slot);
		*slot = must_alloc(8 + (random >> 32) % 505);
	}
	worker->nr_pairs += WORKING_SET;
}

static void *worker_run(void *arg)
{
	struct worker *worker = arg;
	double start, now;

	bench_pin(worker->cpu);
	worker->work(worker);
	worker->nr_pairs = 0;
	pthread_barrier_wait(worker->gate);
	start = bench_now_ns();
	do {
		worker->work(worker);
		now = bench_now_ns();
	} while (now - start < SPAN_NS);
	worker->rate = worker->nr_pairs / (now - start);
	for (unsigned i = 0; i < WORKING_SET; i++)
		percpu_free(worker->live[i]);
	return NULL;
}

/* Returns: pairs per ns and thread, with nr threads at once, from the first-th CPU on. */
static double rate(void (*work)(struct worker *worker), unsigned first, unsigned nr)
{
	struct worker workers[2] = { { .seed = 1 }, { .seed = 2 } };
	pthread_t threads[2];
	pthread_barrier_t gate;
	double sum = 0;

	bench_check(!pthread_barrier_init(&gate, NULL, nr));
	for (unsigned i = 0; i < nr; i++) {
		workers[i].cpu = bench_cpu(first + i);
		workers[i].work = work;
		workers[i].gate = &gate;
		bench_check(!pthread_create(&threads[i], NULL, worker_run, &workers[i]));
	}
	for (unsigned i = 0; i < nr; i++) {
		bench_check(!pthread_join(threads[i], NULL));
		sum += workers[i].rate;
	}
	pthread_barrier_destroy(&gate);
	return sum / nr;
}

static void measure_threads(const char *what, void (*work)(struct worker *worker))
{
	struct bench_series two = { .nr = 0 }, one = { .nr = 0 };

	if (bench_cpu(1) < 0) {
		bench_skip(what, "one CPU");
		return;
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		bench_add(&two, 1e3 * rate(work, 0, 2));
		bench_add(&one, 1e3 * rate(work, round % 2, 1));
	}
	bench_print((struct bench_row){ .what = what, .unit = "M/s", .how = "max of 41 rounds",
					.ours = bench_quantile(&two, 1), .theirs = bench_quantile(&one, 1),
					.want = BENCH_AT_LEAST, .target = 0.6 });
}

static void threads(void)
{
	measure_threads("pairs per thread, 64 bytes: two threads / one", same_size);
	measure_threads("pairs per thread, 64 live of 8..512 bytes: two threads / one", random_sizes);
}

int main(int argc, char **argv)
{
	static const struct bench_workload workloads[] = {
		{ "pairs", NULL, pairs },
		{ "pairs-512", "cpus:512", pairs },
		{ "many", NULL, many },
		{ "many-librseq", NULL, many_librseq },
		{ "threads", NULL, threads },
	};

	return bench_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
