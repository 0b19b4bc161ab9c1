/* SPDX-License-Identifier: MIT */
/*
 * percpu top. This file owns what it shows: rows of a sample, each held against the same row of the
 * sample before; screen.c owns how.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/top.h"

/* ---- what a metric has counted ---- */

/* By now, in one domain: of a histogram, how many values. */
static double counted(const struct source *source, size_t metric, uint32_t domain)
{
	const struct percpu_metric *described = percpu_reader_metric(source->reader, metric);
	const uint64_t *words;
	uint64_t count = 0;
	size_t nr;

	words = percpu_reader_words(source->reader, metric, domain, &nr);
	if (!described->shape)
		return metric_value(described, *words);
	for (size_t i = nr - described->shape->nr_buckets; i < nr; i++)
		count += words[i];
	return count;
}

/* ---- samples ---- */

static char *name_text(const struct percpu_metric *metric)
{
	char *text;
	size_t size;
	FILE *out = open_text(&text, &size);

	put_metric(out, metric);
	fclose(out);
	return text;
}

static char *pool_text(const struct source *source)
{
	char *text;
	size_t size;
	FILE *out = open_text(&text, &size);

	put_plain(out, percpu_reader_name(source->reader));
	fclose(out);
	return text;
}

static void add_row(struct sample *sample, const struct source *source, size_t metric)
{
	const struct percpu_metric *described = percpu_reader_metric(source->reader, metric);
	struct row row = {
		.file = source->file,
		.pid = source->pid,
		.pool = pool_text(source),
		.name = name_text(described),
		.only_grows = described->kind != PERCPU_METRIC_GAUGE,
		.nr_cpus = source->domains.nr - 1, /* the last domain is the fallback copy */
		.counted = grow(NULL, source->domains.nr, sizeof(*row.counted)),
		.rates = grow(NULL, source->domains.nr, sizeof(*row.rates)),
	};

	for (uint32_t domain = 0; domain < source->domains.nr; domain++) {
		row.counted[domain] = counted(source, metric, domain);
		row.value += row.counted[domain];
		row.rates[domain] = 0;
	}
	sample->row[sample->nr++] = row;
}

static int by_key(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->file != y->file ? (x->file > y->file) - (x->file < y->file)
				  : strcmp(x->name, y->name);
}

/*
 * What was added since an earlier row of the same metric; one that only grows
 * and shrank began again.
 */
static void compare(struct row *row, const struct row *earlier, double seconds)
{
	double sum = 0, most = 0;

	for (unsigned domain = 0; domain <= row->nr_cpus; domain++) {
		double added = row->counted[domain] - earlier->counted[domain];

		if (row->only_grows && added < 0)
			added = row->counted[domain];
		row->rates[domain] = added / seconds;
		row->rate += row->rates[domain];
		if (domain == row->nr_cpus)
			continue;
		sum += fabs(added);
		most = fmax(most, fabs(added));
	}
	row->skew = sum ? most * row->nr_cpus / sum : 0;
	row->has_rate = true;
}

double seconds_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

static void add_pool(struct source *source, void *arg)
{
	struct sample *sample = arg;
	const size_t nr = percpu_reader_nr(source->reader);
	const size_t cost = sizeof(struct row) + 2 * source->domains.nr * sizeof(double);

	sample->nr_pools++;
	sample->row = grow(sample->row, sample->nr + nr + 1, sizeof(*sample->row));
	for (size_t i = 0; i < nr; i++) {
		if (!source_goes_on(source, cost, nr - i))
			return;
		if (!source_takes(source, percpu_reader_metric(source->reader, i)))
			continue;
		add_row(sample, source, i);
		ledger_take(source->ledger, cost + strlen(sample->row[sample->nr - 1].name) +
						    strlen(sample->row[sample->nr - 1].pool));
	}
}

int sample_take(struct sample *sample, const struct sample *earlier, const struct options *options)
{
	const struct options by_cpu = { .target = options->target, .by = "cpu" };
	struct ledger ledger = ledger_open();
	int status;

	*sample = (struct sample){ .time = seconds_now() };
	status = sources_visit(&by_cpu, &ledger, add_pool, sample);
	ledger_complain(&ledger);
	ledger_close(&ledger);
	if (sample->nr)
		qsort(sample->row, sample->nr, sizeof(*sample->row), by_key);
	for (size_t i = 0; i < sample->nr && earlier; i++) {
		const struct row *before = bsearch(&sample->row[i], earlier->row, earlier->nr,
						   sizeof(*earlier->row), by_key);

		if (before && before->nr_cpus == sample->row[i].nr_cpus)
			compare(&sample->row[i], before, sample->time - earlier->time);
	}
	return status;
}

void sample_free(struct sample *sample)
{
	for (size_t i = 0; i < sample->nr; i++) {
		free(sample->row[i].pool);
		free(sample->row[i].name);
		free(sample->row[i].counted);
		free(sample->row[i].rates);
	}
	free(sample->row);
	*sample = (struct sample){ .nr = 0 };
}

/* ---- order ---- */

static int by_name(const struct row *x, const struct row *y)
{
	const int order = strcmp(x->name, y->name);

	return order ? order : (x->pid > y->pid) - (x->pid < y->pid);
}

static int largest_first(double x, double y)
{
	return (x < y) - (x > y);
}

static int by_value(const struct row *x, const struct row *y)
{
	return largest_first(x->value, y->value);
}

static int by_rate(const struct row *x, const struct row *y)
{
	return largest_first(fabs(x->rate), fabs(y->rate));
}

static int by_skew(const struct row *x, const struct row *y)
{
	return largest_first(x->skew, y->skew);
}

static const struct {
	const char *name;
	int (*order)(const struct row *x, const struct row *y);
} columns[] = {
	{ "name", by_name },
	{ "value", by_value },
	{ "rate", by_rate },
	{ "skew", by_skew },
};
#define NR_COLUMNS (sizeof(columns) / sizeof(columns[0]))

static size_t column_of(const char *name)
{
	size_t i = 0;

	while (i < NR_COLUMNS && strcmp(columns[i].name, name))
		i++;
	return i;
}

bool top_sort_is_known(const char *column)
{
	return column_of(column) < NR_COLUMNS;
}

static int by_column(const void *a, const void *b, void *column)
{
	const struct row *const *x = a, *const *y = b;
	const int order = columns[*(size_t *)column].order(*x, *y);

	return order ? order : by_name(*x, *y);
}

const struct row **sample_sorted(const struct sample *sample, const char *name)
{
	const struct row **sorted = grow(NULL, sample->nr + 1, sizeof(*sorted));
	size_t column = column_of(name);

	for (size_t i = 0; i < sample->nr; i++)
		sorted[i] = &sample->row[i];
	qsort_r(sorted, sample->nr, sizeof(*sorted), by_column, &column);
	return sorted;
}
