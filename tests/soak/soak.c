/* SPDX-License-Identifier: MIT */
/*
 * Everything at once, for SOAK_SECONDS. Threads count in words, counters, groups and histograms,
 * keep lists, and allocate and free per-CPU memory and cache objects, their own and those of other
 * threads. Meanwhile pools, published pools with readers, and caches are created and destroyed,
 * memory is trimmed, the process forks, and the threads are moved and signalled. In the end every
 * count is exact, every object and node is accounted for, and memory has not grown since all had
 * warmed up.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <percpu/percpu.h>

#define NR_WORKERS 6
#define NR_HELD 200
#define NR_NODES 256
#define NR_PLACES 512 /* where a worker leaves objects for the others */

#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			printf("# %s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno));       \
			fflush(stdout);                                                                      \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

struct object {
	uint64_t owner;
	char rest[120];
};

struct worker {
	pthread_t thread;
	unsigned number;
	uint64_t state; /* of the random numbers */
	uint64_t steps, handled;
	void __percpu *areas[NR_HELD];
	size_t sizes[NR_HELD];
	struct object *objects[NR_HELD];
};

static struct worker workers[NR_WORKERS];
static __thread struct worker *self; /* initial-exec: this is a program */
static bool over;
static uint64_t __percpu *count, *handled;
static uint32_t __percpu *narrow;
static struct percpu_list __percpu *list;
static struct percpu_list_node nodes[NR_NODES];
static struct percpu_cache *cache;
static struct percpu_pool *pool, *seen_outside;
static struct percpu_counter counter;
static struct percpu_group pair; /* ones, and threes */
static struct percpu_histogram histogram;
static uint64_t __percpu *published;
static struct object *places[NR_PLACES];
static cpu_set_t cpus;

static uint64_t chance(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state >> 11;
}

/* ---- steps of the workers ---- */

static void swap_area(struct worker *worker)
{
	const unsigned at = chance(&worker->state) % NR_HELD;
	char __percpu *area = (char __percpu *)worker->areas[at];

	if (area) {
		percpu_for_each_copy(i)
			must(percpu_ptr(area, i)[worker->sizes[at] - 1] == (char)at);
		percpu_free(area);
		worker->areas[at] = NULL;
		return;
	}
	worker->sizes[at] = 1 + chance(&worker->state) % (chance(&worker->state) % 16 ? 200 : 20000);
	area = (char __percpu *)percpu_pool_alloc(at % 4 ? NULL : pool, worker->sizes[at], 8);
	must(area);
	percpu_for_each_copy(i) {
		must(!percpu_ptr(area, i)[worker->sizes[at] - 1]);
		percpu_ptr(area, i)[worker->sizes[at] - 1] = at;
	}
	worker->areas[at] = area;
}

/*
 * Allocates an object, frees one, or leaves one for another worker and frees the one that was
 * there.
 */
static void swap_object(struct worker *worker)
{
	const unsigned at = chance(&worker->state) % NR_HELD;
	struct object *object = worker->objects[at];

	if (!object) {
		object = percpu_cache_alloc(cache);
		must(object);
		object->owner = (uintptr_t)object;
		worker->objects[at] = object;
		return;
	}
	if (at % 2)
		object = __atomic_exchange_n(&places[chance(&worker->state) % NR_PLACES], object, __ATOMIC_ACQ_REL);
	worker->objects[at] = NULL;
	if (!object)
		return;
	must(object->owner == (uintptr_t)object);
	object->owner = 0;
	if (at % 8 == 3)
		percpu_cache_free_to(cache, object, chance(&worker->state) % percpu_nr_cpus());
	else
		percpu_cache_free(cache, object);
}

static void turn_list(struct worker *worker)
{
	struct percpu_list_node *node, *next;

	if (chance(&worker->state) % 64) {
		node = percpu_list_pop(list);
		if (node)
			percpu_list_push(list, node);
		return;
	}
	for (node = percpu_list_pop_all(list); node; node = next) {
		next = node->next;
		percpu_list_push(list, node);
	}
}

static void *work(void *argument)
{
	struct worker *worker = self = argument;

	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		percpu_inc(count);
		percpu_add(narrow, 3);
		percpu_counter_add(&counter, worker->steps % 2 ? -1 : 3);
		percpu_group_add(&pair, 1, 3);
		percpu_histogram_record(&histogram, worker->steps % 100000);
		percpu_inc(published);
		worker->steps++;
		turn_list(worker);
		swap_object(worker);
		swap_object(worker);
		if (worker->steps % 4 == 0)
			swap_area(worker);
		if (worker->steps % 1024 == 0)
			sched_yield();
	}
	return NULL;
}

static uint64_t nr_early; /* signals before a worker had set self; relaxed atomic */

static void handle(int signal)
{
	percpu_inc(handled);
	percpu_add(narrow, 3);
	percpu_group_add(&pair, 1, 3);
	if (self)
		self->handled++;
	else
		__atomic_add_fetch(&nr_early, 1, __ATOMIC_RELAXED);
}

/* ---- the first thread, which disturbs the workers ---- */

static void move(struct worker *worker, unsigned turn)
{
	cpu_set_t one;
	unsigned nth = turn % CPU_COUNT(&cpus);

	if (turn % 3 == 0) {
		pthread_setaffinity_np(worker->thread, sizeof(cpus), &cpus);
		return;
	}
	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &cpus) && !nth--)
			CPU_SET(cpu, &one);
	pthread_setaffinity_np(worker->thread, sizeof(one), &one);
}

static void come_and_go(void)
{
	struct percpu_cache *brief = percpu_cache_create("brief", 300, 0, 0, NULL);
	struct percpu_pool *brief_pool = percpu_pool_create("brief", NULL);
	void *objects[50];
	void __percpu *area = percpu_pool_alloc(brief_pool, 1000, 64);

	must(brief && brief_pool && area && !percpu_cache_alloc_bulk(brief, 50, objects));
	must(percpu_pool_destroy(brief_pool) == -EBUSY && percpu_cache_destroy(brief) == -EBUSY);
	percpu_cache_free_bulk(brief, 50, objects);
	percpu_free(area);
	must(!percpu_pool_destroy(brief_pool) && !percpu_cache_destroy(brief));
}

/* Invariants of the statistics hold while the workers change them. */
static void look(void)
{
	static uint64_t last;
	uint64_t fields[2], now = percpu_sum(published);

	percpu_group_read(&pair, fields);
	must(fields[1] == 3 * fields[0]);
	must(now >= last);
	last = now;
	must(percpu_counter_compare(&counter, INT64_MAX) < 0);
}

/* Reads as another process would: published values lie between those counted before and after. */
static int read_published(const struct percpu_publisher *publisher, void *unused)
{
	const uint64_t before = percpu_sum(published);
	struct percpu_reader *reader = percpu_reader_open(publisher->pid, publisher->fd);
	const uint64_t *words;
	uint64_t value = UINT64_MAX;

	must(reader && !percpu_reader_update(reader) && percpu_reader_nr(reader) == 1);
	words = percpu_reader_words(reader, 0, 0, NULL);
	if (words)
		value = *words;
	must(value >= before && value <= percpu_sum(published));
	percpu_reader_close(reader);
	return 1;
}

static void fork_once(void)
{
	int status;
	const pid_t child = fork();

	must(child >= 0);
	if (!child) {
		void __percpu *area = percpu_alloc(100, 8);

		alarm(600);
		percpu_inc(count);
		percpu_free(area);
		_exit(area ? 0 : 1);
	}
	must(waitpid(child, &status, 0) == child && !status);
}

static size_t resident_kib(void)
{
	char text[4096], *found;
	size_t kib = 0;
	FILE *file = fopen("/proc/self/status", "r");

	must(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	found = strstr(text, "VmRSS:");
	if (found)
		kib += strtoul(found + 6, NULL, 10);
	found = strstr(text, "VmPTE:");
	return found ? kib + strtoul(found + 6, NULL, 10) : kib;
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/*
 * Prints the least memory in the second fifth of the time and in the last fifth. The least, because
 * a leak stays, while caches whose threads move between CPUs hold more for moments.
 */
static void disturb(double seconds, size_t *early_kib, size_t *late_kib)
{
	const double start = seconds_now();
	double now;

	/* Longer if the machine was too busy for a measurement in the last fifth. */
	for (unsigned turn = 0; (now = seconds_now() - start) < seconds || *late_kib == SIZE_MAX; turn++) {
		struct worker *worker = &workers[turn % NR_WORKERS];

		pthread_kill(worker->thread, SIGUSR1);
		if (turn % 5 == 0)
			move(worker, turn / 5);
		if (turn % 200 == 7)
			come_and_go();
		if (turn % 500 == 9)
			must(percpu_trim(NULL) >= 0 && percpu_cache_shrink(cache) >= 0);
		if (turn % 20 == 3)
			look();
		if (turn % 500 == 15)
			must(percpu_publishers(getpid(), read_published, NULL) == 1);
		if (turn % 1000 == 11)
			fork_once();
		if (turn % 50 == 13 || now > seconds) {
			size_t *const least = now < seconds * .4 || *early_kib == SIZE_MAX ? early_kib : late_kib;
			const size_t kib = resident_kib();

			if ((now > seconds * .2 && now < seconds * .4) || now > seconds * .8)
				*least = kib < *least ? kib : *least;
		}
		usleep(500);
	}
}

static void give_all_back(void)
{
	for (unsigned i = 0; i < NR_WORKERS; i++)
		for (unsigned at = 0; at < NR_HELD; at++) {
			percpu_free(workers[i].areas[at]);
			percpu_cache_free(cache, workers[i].objects[at]);
		}
	for (unsigned i = 0; i < NR_PLACES; i++)
		percpu_cache_free(cache, places[i]);
}

static void prepare_statistics(void)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .published = PERCPU_ON };
	const struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = "steps" };

	must((seen_outside = percpu_pool_create("soak", &attr)));
	must((published = (uint64_t __percpu *)percpu_pool_alloc(seen_outside, sizeof(*published), 8)));
	must(percpu_publish(published, &metric));
	must(!percpu_counter_init(&counter, 0, 0) && !percpu_group_init(&pair, 2));
	must(!percpu_histogram_init(&histogram, NULL, 1, 1000000, 5));
}

/* Returns: true if all of them hold what the workers' steps and the signal handlers added. */
static bool statistics_are_exact(uint64_t steps, uint64_t nr_handled)
{
	static uint64_t counts[1 << 12];
	struct percpu_histogram_data data = { .counts = counts };
	int64_t expected = 0;
	uint64_t fields[2], sum = 0;

	must(histogram.shape.nr_buckets <= sizeof(counts) / sizeof(counts[0]));
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		const uint64_t own = workers[i].steps, rounds = own / 100000, rest = own % 100000;

		expected += 3 * (int64_t)(own - own / 2) - (int64_t)(own / 2);
		sum += rounds * (UINT64_C(100000) * 99999 / 2) + rest * (rest - 1) / 2;
	}
	percpu_group_read(&pair, fields);
	percpu_histogram_read(&histogram, &data);
	return percpu_sum(published) == steps && percpu_counter_sum(&counter) == expected && data.nr == steps &&
	       data.sum == sum && fields[0] == steps + nr_handled && fields[1] == 3 * fields[0];
}

int main(void)
{
	const char *asked = getenv("SOAK_SECONDS");
	const double seconds = asked ? strtod(asked, NULL) : 3;
	const struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };
	struct percpu_cache_stats objects = { .size = sizeof(objects) };
	struct percpu_pool_stats stats = { .size = sizeof(stats) };
	uint64_t steps = 0, signals = 0;
	size_t early_kib = SIZE_MAX, late_kib = SIZE_MAX;
	size_t nr_live;
	unsigned nr_nodes = 0;

	must(!sched_getaffinity(0, sizeof(cpus), &cpus) && !sigaction(SIGUSR1, &action, NULL));
	must((count = percpu_new(uint64_t)) && (handled = percpu_new(uint64_t)) && (narrow = percpu_new(uint32_t)));
	must((list = percpu_new(struct percpu_list)) && (pool = percpu_pool_create("soak", NULL)));
	must((cache = percpu_cache_create("soak", sizeof(struct object), 0, 0, NULL)));
	prepare_statistics();
	for (unsigned i = 0; i < NR_NODES; i++)
		percpu_list_push(list, &nodes[i]);
	must(!percpu_pool_stats(NULL, &stats));
	nr_live = stats.nr_live;
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		workers[i].number = i;
		workers[i].state = i + 1;
		must(!pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	disturb(seconds, &early_kib, &late_kib);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		steps += workers[i].steps;
		signals += workers[i].handled;
	}

	printf("1..5\n# %g s, %llu steps, %llu signals, %zu KiB early, %zu KiB late\n", seconds, (unsigned long long)steps,
	       (unsigned long long)signals, early_kib, late_kib);
	printf("%sok 1 - every count is exact\n", percpu_sum(count) == steps && percpu_sum(handled) == signals + nr_early &&
	       percpu_sum(narrow) == (uint32_t)(3 * (steps + percpu_sum(handled))) ? "" : "not ");
	printf("%sok 2 - every statistic is exact\n", statistics_are_exact(steps, percpu_sum(handled)) ? "" : "not ");
	percpu_for_each_copy(i)
		for (struct percpu_list_node *node = percpu_ptr(list, i)->head; node; node = node->next)
			nr_nodes++;
	printf("%sok 3 - every node is in one list\n", nr_nodes == NR_NODES ? "" : "not ");
	give_all_back();
	must(!percpu_cache_stats(cache, &objects) && !percpu_pool_stats(NULL, &stats));
	printf("%sok 4 - every object and every area is accounted for\n",
	       stats.nr_live == nr_live && !objects.nr_objects && !percpu_cache_destroy(cache) && !percpu_pool_destroy(pool) ? "" : "not ");
#if PERCPU__ASAN || PERCPU__TSAN
	printf("ok 5 - memory is flat # SKIP a sanitizer keeps freed memory\n");
#else
	printf("%sok 5 - memory is flat\n", late_kib <= early_kib + early_kib / 8 + 1024 ? "" : "not ");
#endif
	return 0;
}
