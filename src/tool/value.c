/* SPDX-License-Identifier: MIT */
/* Owns the values of an open pool: which of its metrics there is room for, and their sums. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

/* ---- what there is room for ---- */

#define LABELS_MAX 128u           /* of a metric that is shown */
#define METRIC_BYTES_MAX 65536u   /* of all its text */

/* Adds the text's length. Returns: true if the sum is within the limit. */
static bool add_length(size_t *bytes, const char *text)
{
	*bytes += strnlen(text, METRIC_BYTES_MAX + 1);
	return *bytes <= METRIC_BYTES_MAX;
}

static bool is_short(const struct percpu_metric *metric)
{
	size_t bytes = 0;
	bool fits = metric->nr_labels <= LABELS_MAX && add_length(&bytes, metric->name) &&
		    add_length(&bytes, metric->unit) && add_length(&bytes, metric->help);

	for (uint32_t i = 0; i < metric->nr_labels && fits; i++)
		fits = add_length(&bytes, metric->labels[i].name) &&
		       add_length(&bytes, metric->labels[i].value);
	return fits;
}

bool source_takes(const struct source *source, const struct percpu_metric *metric)
{
	const bool fits = is_short(metric);

	ledger_leave_out(source->ledger, source->user, LEFT_FOR_LABELS, !fits);
	return fits;
}

bool source_goes_on(const struct source *source, size_t bytes, size_t nr)
{
	const bool has_room = ledger_has_room(source->ledger, bytes);

	if (has_room && ledger_ns(source->ledger))
		return true;
	ledger_leave_out(source->ledger, source->user, has_room ? LEFT_FOR_TIME : LEFT_FOR_TEXT,
			 nr);
	return false;
}

/* ---- values ---- */

double metric_value(const struct percpu_metric *metric, uint64_t word)
{
	return (metric->kind == PERCPU_METRIC_GAUGE ? (double)(int64_t)word : (double)word) *
	       metric->scale;
}

void put_value(FILE *out, const struct percpu_metric *metric, uint64_t word)
{
	if (metric->scale != 1)
		put_double(out, metric_value(metric, word));
	else if (metric->kind == PERCPU_METRIC_GAUGE)
		fprintf(out, "%" PRId64, (int64_t)word);
	else
		fprintf(out, "%" PRIu64, word);
}

static struct percpu_histogram_data empty_histogram(const struct source *source, size_t metric)
{
	const struct percpu_histogram_shape *shape =
		percpu_reader_metric(source->reader, metric)->shape;
	struct percpu_histogram_data data = { .counts = grow(NULL, shape->nr_buckets,
							     sizeof(*data.counts)) };

	percpu_histogram_data_clear(&data, shape);
	return data;
}

static void add_histogram(struct percpu_histogram_data *data, const struct source *source,
			  size_t metric, uint32_t domain)
{
	percpu_histogram_data_add(
		data, (const void *)percpu_reader_words(source->reader, metric, domain, NULL));
}

struct percpu_histogram_data source_histogram(const struct source *source, size_t metric,
					      uint32_t domain)
{
	struct percpu_histogram_data data = empty_histogram(source, metric);

	add_histogram(&data, source, metric, domain);
	return data;
}

struct percpu_histogram_data source_histogram_total(const struct source *source, size_t metric)
{
	struct percpu_histogram_data data = empty_histogram(source, metric);

	for (uint32_t domain = 0; domain < source_nr_domains(source); domain++)
		add_histogram(&data, source, metric, domain);
	return data;
}

uint64_t source_total(const struct source *source, size_t metric)
{
	uint64_t total = 0;

	for (uint32_t domain = 0; domain < source_nr_domains(source); domain++)
		total += *percpu_reader_words(source->reader, metric, domain, NULL);
	return total;
}

uint32_t source_nr_domains(const struct source *source)
{
	return source->domains.nr ? source->domains.nr : 1;
}
