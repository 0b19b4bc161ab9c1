/* SPDX-License-Identifier: MIT */
/*
 * Publishes metrics of every kind and name, counts in several threads, says "ready" when all is counted, and
 * goes on until its input ends.
 *
 *	publisher NAME THREADS ROUNDS [METRICS]		METRICS: that many plain counters more
 *	publisher NAME THREADS forever
 *	publisher NAME 0 lies					a file of that name with nonsense in it
 */
#include <percpu/percpu.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct percpu_pool *pool;
static uint64_t __percpu *gets, *puts_, *odd;
static int64_t __percpu *depth;
static struct percpu_histogram latency;
static unsigned long rounds;
static atomic_bool stop;

static void must(bool condition, const char *what)
{
	if (!condition) {
		perror(what);
		exit(1);
	}
}

static void *word(void)
{
	void *p = percpu_pool_alloc(pool, 8, 8);

	must(p, "percpu_pool_alloc");
	return p;
}

static void publish(const void *p, struct percpu_metric metric)
{
	metric.size = sizeof(metric);
	must(percpu_publish(p, &metric), "percpu_publish");
}

static void publish_all(void)
{
	static const struct percpu_label get[] = { { "method", "GET" } }, put[] = { { "method", "PUT" } };
	static const struct percpu_label strange[] = {
		{ "quote", "a\"b" }, { "backslash", "a\\b" }, { "line", "a\nb" }, { "escape", "a\x1b[31mb" },
		{ "bytes", "a\xff" "b" }, { "letters", "\xc3\xa9" }, { "pid", "own" }, { "0 9", "name" },
	};

	publish(gets = word(), (struct percpu_metric){ .kind = PERCPU_METRIC_COUNTER, .name = "requests",
						       .help = "Requests answered.", .labels = get, .nr_labels = 1 });
	publish(puts_ = word(), (struct percpu_metric){ .kind = PERCPU_METRIC_COUNTER, .name = "requests",
							.help = "Requests answered.", .labels = put, .nr_labels = 1 });
	publish(depth = word(), (struct percpu_metric){ .kind = PERCPU_METRIC_GAUGE, .name = "queue.depth", .unit = "bytes",
							.help = "Back\\slash,\nand a new line." });
	publish(odd = word(), (struct percpu_metric){ .kind = PERCPU_METRIC_COUNTER, .name = "odd_seconds_total",
						      .unit = "seconds", .help = "Strange labels.", .scale = 1e-3,
						      .labels = strange, .nr_labels = 8 });
	must(!percpu_histogram_init(&latency, pool, 1000, 1000000000, 5), "percpu_histogram_init");
	publish(latency.copies, (struct percpu_metric){ .kind = PERCPU_METRIC_HISTOGRAM, .name = "latency", .unit = "seconds",
							.help = "How long it took.", .shape = &latency.shape,
							.scale = 1e-9 });
}

static void publish_more(unsigned long nr)
{
	char name[64];

	for (unsigned long i = 0; i < nr; i++) {
		uint64_t *p = word();

		snprintf(name, sizeof(name), "plain_%lu", i);
		percpu_add(p, i);
		publish(p, (struct percpu_metric){ .kind = PERCPU_METRIC_COUNTER, .name = name, .help = "One of many." });
	}
}

static void lie(const char *name)
{
	char text[256];
	int fd;

	snprintf(text, sizeof(text), "percpu:%s", name);
	fd = memfd_create(text, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	must(fd >= 0 && ftruncate(fd, 100000) == 0 && pwrite(fd, text, sizeof(text), 0) == sizeof(text), "memfd_create");
}

/* Each round is worth a thousand of everything. */
static void *count(void *arg)
{
	for (unsigned long round = 0; round < rounds && !atomic_load(&stop); round++) {
		for (unsigned i = 0; i < 1000; i++) {
			percpu_inc(gets);
			percpu_add(puts_, 2);
			percpu_dec(depth);
			percpu_inc(odd);
			percpu_histogram_record(&latency, 1000 * (i + 1));
		}
		if (rounds == (unsigned long)-1)
			usleep(1000);
	}
	return NULL;
}

static void publish_pool(const char *name, unsigned long nr_more)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;

	attr.published = PERCPU_ON;
	pool = percpu_pool_create(name, &attr);
	must(pool, "percpu_pool_create");
	publish_all();
	publish_more(nr_more);
}

int main(int argc, char **argv)
{
	const unsigned long nr_threads = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	pthread_t *threads = calloc(nr_threads + 1, sizeof(*threads));
	const bool forever = argc > 3 && !strcmp(argv[3], "forever");
	char byte;

	if (argc < 4)
		return 2;
	rounds = forever ? (unsigned long)-1 : strtoul(argv[3], NULL, 10);
	if (!strcmp(argv[3], "lies"))
		lie(argv[1]);
	else
		publish_pool(argv[1], argc > 4 ? strtoul(argv[4], NULL, 10) : 0);
	for (unsigned long i = 0; i < nr_threads; i++)
		must(!pthread_create(&threads[i], NULL, count, NULL), "pthread_create");
	for (unsigned long i = 0; i < nr_threads && !forever; i++)
		pthread_join(threads[i], NULL);
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	atomic_store(&stop, true);
	for (unsigned long i = 0; i < nr_threads && forever; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
