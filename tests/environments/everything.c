/* SPDX-License-Identifier: MIT */
/*
 * Uses each part of the library a little and verifies the results, for environments that take
 * something away. "everything MODE [without-liburcu]": MODE is rseq, atomic or any; the word is for
 * a library that was built without liburcu.
 */
#include <percpu/percpu.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_THREADS 4
#define NR_STEPS 20000
#define NR_NODES 64

#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			printf("%s:%d: %s (errno: %s)\n", __FILE__, __LINE__, #condition, strerror(errno));  \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

struct counts {
	uint8_t bytes;
	uint16_t halves;
	uint32_t words;
	uint64_t doubles;
};

PERCPU_DEFINE(uint64_t, static_count);
static struct counts __percpu *counts;
static struct percpu_list __percpu *list;
static struct percpu_cache *cache;
static struct percpu_pool *pool, *published; /* published: only where memfd_create works */
static uint64_t __percpu *seen_outside;
static struct percpu_counter counter;
static struct percpu_group pair;
static struct percpu_histogram histogram;
static struct percpu_list_node nodes[NR_NODES];

static void step(unsigned number, unsigned i)
{
	struct percpu_list_node *node = percpu_list_pop(list);
	uint64_t __percpu *area;
	uint64_t *object;

	percpu_inc(&counts->bytes);
	percpu_inc(&counts->halves);
	percpu_add(&counts->words, 3);
	percpu_add_return(&counts->doubles, 5);
	percpu_inc(static_count);
	percpu_counter_add(&counter, 2);
	percpu_group_add(&pair, 1, 2);
	percpu_histogram_record(&histogram, i);
	percpu_inc(seen_outside);
	if (node)
		percpu_list_push(list, node);
	object = percpu_cache_alloc(cache);
	must(object);
	*object = number;
	if (i % 16 == 0) {
		area = (uint64_t __percpu *)percpu_pool_alloc(i % 32 ? pool : NULL, 8 + i % 300, 8);
		must(area && percpu_read(area) == 0);
		percpu_add(area, number + 1);
		must(percpu_sum(area) == number + 1);
		percpu_free(area);
	}
	must(*object == number);
	percpu_cache_free(cache, object);
	if (i % 512 == 0)
		sched_yield();
}

static void *work(void *argument)
{
	for (unsigned i = 0; i < NR_STEPS; i++)
		step((uintptr_t)argument, i);
	return NULL;
}

static void look_at_sums(uint64_t nr)
{
	struct counts sum = { .bytes = 0 };
	unsigned nr_nodes = 0;

	percpu_for_each_copy(i) {
		const struct counts *copy = percpu_ptr(counts, i);

		sum.bytes += copy->bytes;
		sum.halves += copy->halves;
		sum.words += copy->words;
		sum.doubles += copy->doubles;
		for (struct percpu_list_node *node = percpu_ptr(list, i)->head; node; node = node->next)
			nr_nodes++;
	}
	must(sum.bytes == (uint8_t)nr && sum.halves == (uint16_t)nr && sum.words == (uint32_t)(3 * nr));
	must(sum.doubles == 5 * nr);
	must(percpu_sum(static_count) == nr);
	must(nr_nodes == NR_NODES);
}

static void look_at_statistics(uint64_t nr)
{
	static uint64_t counts[4096];
	struct percpu_histogram_data data = { .counts = counts };
	uint64_t fields[2];

	must(histogram.shape.nr_buckets <= sizeof(counts) / sizeof(counts[0]));
	percpu_group_read(&pair, fields);
	percpu_histogram_read(&histogram, &data);
	must(percpu_counter_sum(&counter) == (int64_t)(2 * nr) && fields[0] == nr && fields[1] == 2 * nr);
	must(data.nr == nr && data.max == NR_STEPS - 1 && data.sum == NR_THREADS * (uint64_t)NR_STEPS * (NR_STEPS - 1) / 2);
	must(percpu_sum(seen_outside) == nr);
}

/* Without memfd_create the pool cannot be published; everything else works. */
static void publish(void)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .published = PERCPU_ON };
	const struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = "steps" };

	published = percpu_pool_create("everything", &attr);
	must(published || errno == EPERM || errno == ENOSYS || errno == ENOMEM || errno == EFBIG);
	must((seen_outside = (uint64_t __percpu *)percpu_pool_alloc(published, sizeof(*seen_outside), 8)));
	if (published)
		must(percpu_unpublish(percpu_publish(seen_outside, &metric)) == 0);
}

/* A library without liburcu rejects the attribute before it reads the flavour. */
static void refuse_rcu(void)
{
	const struct percpu_cache_attr attr = { .size = sizeof(attr), .flavor = (const struct rcu_flavor_struct *)&attr };

	errno = 0;
	must(!percpu_cache_create_attr("rcu", 64, 0, PERCPU_CACHE_TYPESAFE_BY_RCU, NULL, &attr));
	must(errno == ENOTSUP);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "any";
	struct percpu_cache_stats objects = { .size = sizeof(objects) };
	struct percpu_pool_stats stats = { .size = sizeof(stats) };
	pthread_t threads[NR_THREADS];

	printf("%u CPUs, %s: %s\n", percpu_nr_cpus(), percpu_mode() == PERCPU_MODE_RSEQ ? "rseq" : "atomic",
	       percpu_mode_reason());
	must(strcmp(mode, "rseq") || percpu_mode() == PERCPU_MODE_RSEQ);
	must(strcmp(mode, "atomic") || percpu_mode() == PERCPU_MODE_ATOMIC);

	if (argc > 2 && !strcmp(argv[2], "without-liburcu"))
		refuse_rcu();
	must((counts = percpu_new(struct counts)) && (list = percpu_new(struct percpu_list)));
	must((cache = percpu_cache_create("everything", 100, 0, 0, NULL)));
	must((pool = percpu_pool_create("everything", NULL)));
	must(!percpu_counter_init(&counter, 0, 0) && !percpu_group_init(&pair, 2));
	must(!percpu_histogram_init(&histogram, NULL, 1, NR_STEPS, 5));
	publish();
	for (unsigned i = 0; i < NR_NODES; i++)
		percpu_list_push(list, &nodes[i]);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		must(!pthread_create(&threads[i], NULL, work, (void *)i));
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	look_at_sums(NR_THREADS * NR_STEPS);
	look_at_statistics(NR_THREADS * NR_STEPS);

	must(!percpu_cache_stats(cache, &objects) && !objects.nr_objects);
	must(percpu_cache_shrink(cache) >= 0);
	must(!percpu_cache_destroy(cache));
	must(!percpu_pool_stats(pool, &stats) && !stats.nr_live);
	must(!percpu_pool_destroy(pool));
	must(percpu_trim(NULL) >= 0);
	percpu_counter_fini(&counter);
	percpu_group_fini(&pair);
	percpu_histogram_fini(&histogram);
	percpu_free(seen_outside);
	must(!published || !percpu_pool_destroy(published));
	percpu_free(counts);
	percpu_free(list);
	return 0;
}
