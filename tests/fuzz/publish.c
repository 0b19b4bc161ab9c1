/* SPDX-License-Identifier: MIT */
/*
 * Publishing beside a reader: at each moment the reader finds every published metric, once, with
 * its values.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <percpu/percpu.h>
#include <string.h>
#include <unistd.h>

#define NR_POOLS 2
#define NR_METRICS 40
#define MAX_NAME 300
#define NR_LABELS 3

static struct model_pool {
	struct percpu_pool *pool; /* NULL: none */
	struct percpu_reader *reader;
	uint32_t nr_domains;
} pools[NR_POOLS];

static struct model_metric {
	struct percpu_published *published; /* NULL: vacant */
	unsigned pool;
	struct percpu_histogram histogram; /* if the metric is a histogram */
	uint64_t *word;                    /* otherwise */
	uint32_t kind, nr_labels;
	uint64_t value; /* the sum; of a histogram, the number of values */
	char name[MAX_NAME];
} metrics[NR_METRICS];

static const struct percpu_label labels[NR_LABELS] = { { "queue", "in" }, { "", "" }, { "core", "7" } };

/* ---- pools ---- */

static int find(const struct percpu_publisher *publisher, void *arg)
{
	const char *name = arg;

	return strcmp(publisher->name, name) ? 0 : 1 + publisher->fd;
}

static void destroy(struct model_pool *pool)
{
	percpu_reader_close(pool->reader);
	must(!percpu_pool_destroy(pool->pool));
	pool->pool = NULL;
}

static bool is_used(unsigned pool)
{
	for (unsigned i = 0; i < NR_METRICS; i++)
		if (metrics[i].published && metrics[i].pool == pool)
			return true;
	return false;
}

static void try_pool(struct input *input)
{
	static char names[NR_POOLS][8] = { "fuzz0", "fuzz1" };
	const unsigned which = next_byte(input) % NR_POOLS;
	struct model_pool *pool = &pools[which];
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	int file;

	attr.published = PERCPU_ON;
	attr.limit_bytes = 16 * PERCPU_STRIDE / 10;
	if (pool->pool && is_used(which)) {
		must(percpu_pool_destroy(pool->pool) == -EBUSY);
		return;
	}
	if (pool->pool) {
		destroy(pool);
		must(!percpu_publishers(getpid(), find, names[which]));
		return;
	}
	pool->pool = percpu_pool_create(names[which], &attr);
	must(pool->pool);
	file = percpu_publishers(getpid(), find, names[which]);
	must(file > 0);
	pool->reader = percpu_reader_open(getpid(), file - 1);
	must(pool->reader && !strcmp(percpu_reader_name(pool->reader), names[which]));
	pool->nr_domains = 1;
}

/* ---- metrics ---- */

/* Every metric has a name of its own, of any length. */
static void make_name(struct input *input, struct model_metric *metric)
{
	const int length = snprintf(metric->name, MAX_NAME, "m%u_", (unsigned)(metric - metrics));
	const unsigned nr = next_byte(input);

	memset(metric->name + length, 'x', nr);
	metric->name[length + nr] = '\0';
}

static void *make_value(struct input *input, struct model_metric *metric)
{
	struct percpu_pool *pool = pools[metric->pool].pool;
	int error;

	if (metric->kind != PERCPU_METRIC_HISTOGRAM)
		return metric->word = (uint64_t *)percpu_pool_alloc(pool, 8, 8);
	error = percpu_histogram_init(&metric->histogram, pool, 1, 1000000, next_byte(input) % 6);
	must(!error || error == -ENOMEM);
	return error ? NULL : metric->histogram.copies;
}

static void free_value(struct model_metric *metric)
{
	if (metric->kind == PERCPU_METRIC_HISTOGRAM)
		percpu_histogram_fini(&metric->histogram);
	else
		percpu_free(metric->word);
}

static void try_publish(struct input *input)
{
	struct model_metric *made = &metrics[next_byte(input) % NR_METRICS];
	struct percpu_metric metric = { .size = sizeof(metric), .unit = "bytes", .help = "Help.", .labels = labels };
	void *value;

	if (made->published)
		return;
	*made = (struct model_metric){ .pool = next_byte(input) % NR_POOLS, .kind = 1 + next_byte(input) % 3,
				       .nr_labels = next_byte(input) % (NR_LABELS + 1) };
	if (!pools[made->pool].pool)
		return;
	make_name(input, made);
	value = make_value(input, made);
	if (!value)
		return;
	metric.kind = made->kind;
	metric.name = made->name;
	metric.nr_labels = made->nr_labels;
	metric.shape = made->kind == PERCPU_METRIC_HISTOGRAM ? &made->histogram.shape : NULL;
	made->published = percpu_publish(value, &metric);
	must(made->published || errno == ENOMEM);
	if (!made->published)
		free_value(made);
}

/* Requests that must fail and have no effect. */
static void try_nonsense(struct input *input)
{
	static uint64_t *elsewhere;
	const struct model_metric *other = &metrics[next_byte(input) % NR_METRICS];
	struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = "nonsense" };
	void *p = other->published && other->word ? other->word : NULL;

	if (!elsewhere)
		elsewhere = (uint64_t *)percpu_new(uint64_t);
	switch (next_byte(input) % 6) {
	case 0: p = elsewhere; break;
	case 1: p = (void *)((uintptr_t)p + 4); break;
	case 2: metric.kind = next_byte(input) % 2 ? 0 : PERCPU_METRIC_HISTOGRAM + 1 + next_byte(input); break;
	case 3: metric.name = next_byte(input) % 2 ? NULL : ""; break;
	case 4: metric.size = next_byte(input) % sizeof(metric); break;
	case 5: metric.nr_labels = 1; break;
	}
	errno = 0;
	must(!percpu_publish(p, &metric) && errno == EINVAL);
	must(percpu_unpublish((struct percpu_published *)&metric) == -EINVAL);
}

static void unpublish(struct model_metric *metric)
{
	must(!percpu_unpublish(metric->published));
	metric->published = NULL;
	free_value(metric);
}

static void try_unpublish(struct input *input)
{
	struct model_metric *metric = &metrics[next_byte(input) % NR_METRICS];

	if (metric->published)
		unpublish(metric);
}

static void try_count(struct input *input)
{
	struct model_metric *metric = &metrics[next_byte(input) % NR_METRICS];
	const uint64_t v = next_word(input);

	if (!metric->published)
		return;
	if (metric->kind == PERCPU_METRIC_HISTOGRAM) {
		percpu_histogram_record(&metric->histogram, v);
		metric->value++;
	} else if (v % 2) {
		percpu_add(metric->word, v);
		metric->value += v;
	} else {
		percpu_fallback_add(metric->word, v);
		metric->value += v;
	}
}

/* ---- the reader ---- */

static void try_group(struct input *input)
{
	struct model_pool *pool = &pools[next_byte(input) % NR_POOLS];
	uint32_t domains[64] = { 0 };

	if (!pool->pool)
		return;
	must(percpu_reader_nr_copies(pool->reader) <= 64);
	pool->nr_domains = 1 + next_byte(input) % 4;
	for (unsigned i = 0; i < percpu_reader_nr_copies(pool->reader); i++)
		domains[i] = next_byte(input) % pool->nr_domains;
	must(!percpu_reader_group(pool->reader, domains, pool->nr_domains));
}

static uint64_t value_of(const struct model_pool *pool, size_t at)
{
	uint64_t value = 0;
	size_t nr;

	for (uint32_t domain = 0; domain < pool->nr_domains; domain++) {
		const uint64_t *words = percpu_reader_words(pool->reader, at, domain, &nr);

		if (nr == 1)
			value += words[0];
		for (size_t word = offsetof(struct percpu_histogram_copy, counts) / 8; word < nr; word++)
			value += words[word];
	}
	return value;
}

static void check_metric(const struct model_pool *pool, size_t at)
{
	const struct percpu_metric *seen = percpu_reader_metric(pool->reader, at);
	const struct model_metric *metric = &metrics[strtoul(seen->name + 1, NULL, 10) % NR_METRICS];

	must(metric->published && &pools[metric->pool] == pool && !strcmp(metric->name, seen->name));
	must(seen->kind == metric->kind && seen->nr_labels == metric->nr_labels);
	must(!strcmp(seen->unit, "bytes") && !strcmp(seen->help, "Help."));
	for (uint32_t i = 0; i < seen->nr_labels; i++)
		must(!strcmp(seen->labels[i].name, labels[i].name) && !strcmp(seen->labels[i].value, labels[i].value));
	must(value_of(pool, at) == metric->value);
}

/*
 * The reader finds as many metrics as there are, each is published, and no two are equal: so it
 * finds all.
 */
static void check_pool(const struct model_pool *pool)
{
	bool is_seen[NR_METRICS] = { false };
	size_t nr = 0;

	for (unsigned i = 0; i < NR_METRICS; i++)
		nr += metrics[i].published && &pools[metrics[i].pool] == pool;
	must(!percpu_reader_update(pool->reader) && percpu_reader_nr(pool->reader) == nr);
	for (size_t at = 0; at < nr; at++) {
		const unsigned which = strtoul(percpu_reader_metric(pool->reader, at)->name + 1, NULL, 10) % NR_METRICS;

		must(!is_seen[which]);
		is_seen[which] = true;
		check_metric(pool, at);
	}
}

static void try_read(struct input *input)
{
	const struct model_pool *pool = &pools[next_byte(input) % NR_POOLS];

	if (pool->pool)
		check_pool(pool);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	setenv("PERCPU_OPTIONS", "cpus:3", 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static void (*const list[])(struct input *) = { try_pool, try_publish, try_publish, try_publish, try_unpublish, try_count,
							try_count, try_nonsense, try_group, try_read };
	struct input input = { bytes, bytes + size };

	while (input.at < input.end)
		list[next_byte(&input) % (sizeof(list) / sizeof(list[0]))](&input);
	for (unsigned i = 0; i < NR_POOLS; i++)
		if (pools[i].pool)
			check_pool(&pools[i]);
	for (unsigned i = 0; i < NR_METRICS; i++)
		if (metrics[i].published)
			unpublish(&metrics[i]);
	for (unsigned i = 0; i < NR_POOLS; i++)
		if (pools[i].pool)
			destroy(&pools[i]);
	return 0;
}
