/* SPDX-License-Identifier: MIT */
/* percpu show: values, once, for people or as JSON. */
#include <inttypes.h>
#include <stdlib.h>

#include "tool/tool.h"

static const double percents[] = { 50, 90, 99, 99.9 };
#define NR_PERCENTS (sizeof(percents) / sizeof(percents[0]))

static const char *kind_name(uint32_t kind)
{
	static const char *const names[] = { "", "counter", "gauge", "histogram" };

	return names[kind];
}

/* ---- for people ---- */

static void put_unit(const struct percpu_metric *metric)
{
	if (metric->unit[0]) {
		putchar(' ');
		put_plain(stdout, metric->unit);
	}
}

static void show_histogram(const struct percpu_metric *metric, struct percpu_histogram_data data)
{
	printf("%" PRIu64 " values", data.nr);
	if (data.nr) {
		printf(", mean %.4g, min %.4g", percpu_histogram_mean(&data) * metric->scale, data.min * metric->scale);
		for (size_t i = 0; i < NR_PERCENTS; i++)
			printf(", p%g %.4g", percents[i], percpu_histogram_percentile(&data, percents[i]) * metric->scale);
		printf(", max %.4g", data.max * metric->scale);
		put_unit(metric);
	}
	free(data.counts);
}

static void show_group(const struct source *source, size_t i, uint32_t group, const char *by)
{
	const struct percpu_metric *metric = percpu_reader_metric(source->reader, i);
	const uint64_t word = *percpu_reader_words(source->reader, i, group, NULL);

	if (!word)
		return; /* a histogram's first is its sum */
	printf("    %s %-8s ", by, source->groups.name[group]);
	if (metric->shape)
		show_histogram(metric, source_histogram(source, i, group));
	else
		put_value(stdout, metric, word);
	putchar('\n');
}

static void show_metric(const struct source *source, size_t i, const char *by)
{
	const struct percpu_metric *metric = percpu_reader_metric(source->reader, i);

	put_metric(stdout, metric);
	fputs("  ", stdout);
	if (metric->shape) {
		show_histogram(metric, source_histogram_total(source, i));
	} else {
		put_value(stdout, metric, source_total(source, i));
		put_unit(metric);
	}
	putchar('\n');
	for (uint32_t group = 0; group < source->groups.nr; group++)
		show_group(source, i, group, by);
}

static void show_plain(const struct sources *sources, const char *by)
{
	for (size_t i = 0; i < sources->nr; i++) {
		const struct source *source = &sources->source[i];

		printf("%s# ", i ? "\n" : "");
		put_plain(stdout, percpu_reader_name(source->reader));
		printf(", process %d%s\n", source->pid, source->has_ended ? ", which has ended" : "");
		for (size_t metric = 0; metric < percpu_reader_nr(source->reader); metric++)
			show_metric(source, metric, by);
	}
}

/* ---- as JSON ---- */

static void json_histogram(const struct percpu_metric *metric, struct percpu_histogram_data data)
{
	const char *comma = "";

	printf("{\"count\":%" PRIu64 ",\"sum\":", data.nr);
	put_double(stdout, data.sum * metric->scale);
	if (data.nr) {
		fputs(",\"min\":", stdout);
		put_double(stdout, data.min * metric->scale);
		fputs(",\"max\":", stdout);
		put_double(stdout, data.max * metric->scale);
		fputs(",\"percentiles\":{", stdout);
		for (size_t i = 0; i < NR_PERCENTS; i++) {
			printf("%s\"%g\":", i ? "," : "", percents[i]);
			put_double(stdout, percpu_histogram_percentile(&data, percents[i]) * metric->scale);
		}
		putchar('}');
	}
	fputs(",\"buckets\":[", stdout);
	for (uint32_t i = 0; i < data.shape.nr_buckets; i++) {
		if (!data.counts[i])
			continue;
		printf("%s[", comma);
		put_double(stdout, percpu_histogram_bucket_low(&data.shape, i) * metric->scale);
		printf(",%" PRIu64 "]", data.counts[i]);
		comma = ",";
	}
	fputs("]}", stdout);
	free(data.counts);
}

static void json_groups(const struct source *source, size_t i, const char *by)
{
	const struct percpu_metric *metric = percpu_reader_metric(source->reader, i);

	printf(",\"%s\":{", by);
	for (uint32_t group = 0; group < source->groups.nr; group++) {
		printf("%s\"%s\":", group ? "," : "", source->groups.name[group]);
		if (metric->shape)
			json_histogram(metric, source_histogram(source, i, group));
		else
			put_value(stdout, metric, *percpu_reader_words(source->reader, i, group, NULL));
	}
	putchar('}');
}

static void json_metric(const struct source *source, size_t i, const char *by)
{
	const struct percpu_metric *metric = percpu_reader_metric(source->reader, i);

	fputs("{\"name\":", stdout);
	put_json(stdout, metric->name);
	printf(",\"kind\":\"%s\",\"unit\":", kind_name(metric->kind));
	put_json(stdout, metric->unit);
	fputs(",\"help\":", stdout);
	put_json(stdout, metric->help);
	fputs(",\"labels\":{", stdout);
	for (uint32_t label = 0; label < metric->nr_labels; label++) {
		if (label)
			putchar(',');
		put_json(stdout, metric->labels[label].name);
		putchar(':');
		put_json(stdout, metric->labels[label].value);
	}
	fputs("},\"value\":", stdout);
	if (metric->shape)
		json_histogram(metric, source_histogram_total(source, i));
	else
		put_value(stdout, metric, source_total(source, i));
	if (source->groups.nr)
		json_groups(source, i, by);
	putchar('}');
}

static void show_json(const struct sources *sources, const char *by)
{
	putchar('[');
	for (size_t i = 0; i < sources->nr; i++) {
		const struct source *source = &sources->source[i];

		printf("%s\n{\"pid\":%d,\"name\":", i ? "," : "", source->pid);
		put_json(stdout, percpu_reader_name(source->reader));
		fputs(",\"metrics\":[", stdout);
		for (size_t metric = 0; metric < percpu_reader_nr(source->reader); metric++) {
			fputs(metric ? ",\n" : "\n", stdout);
			json_metric(source, metric, by);
		}
		fputs("]}", stdout);
	}
	printf("%s]\n", sources->nr ? "\n" : "");
}

int command_show(const struct options *options)
{
	struct sources sources;
	const int status = sources_open(&sources, options);

	if (status)
		return status;
	if (options->json)
		show_json(&sources, options->by);
	else
		show_plain(&sources, options->by);
	sources_close(&sources);
	return STATUS_OK;
}
