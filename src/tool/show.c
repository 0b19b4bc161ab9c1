/* SPDX-License-Identifier: MIT */
/* percpu show: values, once, for people or as JSON. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

static const double percents[] = { 50, 90, 99, 99.9 };
#define NR_PERCENTS (sizeof(percents) / sizeof(percents[0]))

static const char *kind_name(uint32_t kind)
{
	static const char *const names[] = { "", "counter", "gauge", "histogram" };

	return names[kind];
}

/* ---- for people ---- */

static void put_unit(FILE *out, const struct percpu_metric *metric)
{
	if (metric->unit[0]) {
		putc(' ', out);
		put_plain(out, metric->unit);
	}
}

static void show_histogram(FILE *out, const struct percpu_metric *metric,
			   struct percpu_histogram_data data)
{
	fprintf(out, "%" PRIu64 " values", data.nr);
	if (data.nr) {
		fprintf(out, ", mean %.4g, min %.4g", percpu_histogram_mean(&data) * metric->scale,
			data.min * metric->scale);
		for (size_t i = 0; i < NR_PERCENTS; i++)
			fprintf(out, ", p%g %.4g", percents[i],
				percpu_histogram_percentile(&data, percents[i]) * metric->scale);
		fprintf(out, ", max %.4g", data.max * metric->scale);
		put_unit(out, metric);
	}
	free(data.counts);
}

static void show_domain(FILE *out, const struct source *source, size_t i, uint32_t domain,
			const char *by)
{
	const struct percpu_metric *metric = percpu_reader_metric(source->reader, i);
	const uint64_t word = *percpu_reader_words(source->reader, i, domain, NULL);

	if (!word)
		return; /* a histogram's first is its sum */
	fprintf(out, "    %s %-8s ", by, source->domains.name[domain]);
	if (metric->shape)
		show_histogram(out, metric, source_histogram(source, i, domain));
	else
		put_value(out, metric, word);
	putc('\n', out);
}

static void show_metric(FILE *out, const struct source *source, size_t i, const char *by)
{
	const struct percpu_metric *metric = percpu_reader_metric(source->reader, i);

	put_metric(out, metric);
	fputs("  ", out);
	if (metric->shape) {
		show_histogram(out, metric, source_histogram_total(source, i));
	} else {
		put_value(out, metric, source_total(source, i));
		put_unit(out, metric);
	}
	putc('\n', out);
	for (uint32_t domain = 0; domain < source->domains.nr && ledger_ns(source->ledger);
	     domain++)
		show_domain(out, source, i, domain, by);
}

/* ---- as JSON ---- */

static void json_histogram(FILE *out, const struct percpu_metric *metric,
			   struct percpu_histogram_data data)
{
	const char *comma = "";

	fprintf(out, "{\"count\":%" PRIu64 ",\"sum\":", data.nr);
	put_scaled(out, data.sum, metric->scale);
	if (data.nr) {
		fputs(",\"min\":", out);
		put_scaled(out, data.min, metric->scale);
		fputs(",\"max\":", out);
		put_scaled(out, data.max, metric->scale);
		fputs(",\"percentiles\":{", out);
		for (size_t i = 0; i < NR_PERCENTS; i++) {
			fprintf(out, "%s\"%g\":", i ? "," : "", percents[i]);
			put_scaled(out, percpu_histogram_percentile(&data, percents[i]),
				   metric->scale);
		}
		putc('}', out);
	}
	fputs(",\"buckets\":[", out);
	for (uint32_t i = 0; i < data.shape.nr_buckets; i++) {
		if (!data.counts[i])
			continue;
		fprintf(out, "%s[", comma);
		put_scaled(out, percpu_histogram_bucket_low(&data.shape, i), metric->scale);
		fprintf(out, ",%" PRIu64 "]", data.counts[i]);
		comma = ",";
	}
	fputs("]}", out);
	free(data.counts);
}

static void json_domains(FILE *out, const struct source *source, size_t i, const char *by)
{
	const struct percpu_metric *metric = percpu_reader_metric(source->reader, i);

	fprintf(out, ",\"%s\":{", by);
	for (uint32_t domain = 0; domain < source->domains.nr; domain++) {
		fprintf(out, "%s\"%s\":", domain ? "," : "", source->domains.name[domain]);
		if (metric->shape)
			json_histogram(out, metric, source_histogram(source, i, domain));
		else
			put_value(out, metric,
				  *percpu_reader_words(source->reader, i, domain, NULL));
	}
	putc('}', out);
}

/* JSON objects should not repeat a name: the first of two equal labels is kept. */
static bool is_given_again(const struct percpu_metric *metric, uint32_t label)
{
	for (uint32_t i = 0; i < label; i++)
		if (!strcmp(metric->labels[i].name, metric->labels[label].name))
			return true;
	return false;
}

static void json_metric(FILE *out, const struct source *source, size_t i, const char *by)
{
	const struct percpu_metric *metric = percpu_reader_metric(source->reader, i);

	fputs("{\"name\":", out);
	put_json(out, metric->name);
	fprintf(out, ",\"kind\":\"%s\",\"unit\":", kind_name(metric->kind));
	put_json(out, metric->unit);
	fputs(",\"help\":", out);
	put_json(out, metric->help);
	fputs(",\"labels\":{", out);
	for (uint32_t label = 0; label < metric->nr_labels; label++) {
		if (is_given_again(metric, label))
			continue;
		if (label)
			putc(',', out);
		put_json(out, metric->labels[label].name);
		putc(':', out);
		put_json(out, metric->labels[label].value);
	}
	fputs("},\"value\":", out);
	if (metric->shape)
		json_histogram(out, metric, source_histogram_total(source, i));
	else
		put_value(out, metric, source_total(source, i));
	if (source->domains.nr)
		json_domains(out, source, i, by);
	putc('}', out);
}

/* ---- pools ---- */

struct show {
	struct sheet sheet;
	const char *by;
	bool json;
};

static void put_head(FILE *out, const struct source *source, bool json)
{
	if (json) {
		fprintf(out, "\n{\"pid\":%d,\"name\":", source->pid);
		put_json(out, percpu_reader_name(source->reader));
		fputs(",\"metrics\":[", out);
		return;
	}
	fputs("# ", out);
	put_plain(out, percpu_reader_name(source->reader));
	fprintf(out, ", process %d%s\n", source->pid, source->has_ended ? ", which has ended" : "");
}

static void put_metrics(struct show *show, const struct source *source)
{
	const size_t nr = percpu_reader_nr(source->reader);
	bool is_first = true;

	for (size_t i = 0; i < nr; i++) {
		if (!source_goes_on(source, 0, nr - i))
			return;
		if (!source_takes(source, percpu_reader_metric(source->reader, i)))
			continue;
		sheet_begin(&show->sheet);
		if (show->json) {
			fputs(is_first ? "\n" : ",\n", show->sheet.out);
			json_metric(show->sheet.out, source, i, show->by);
		} else {
			show_metric(show->sheet.out, source, i, show->by);
		}
		if (sheet_keep(&show->sheet, source, 1))
			is_first = false;
	}
}

static void show_pool(struct source *source, void *arg)
{
	struct show *show = arg;

	sheet_open(&show->sheet);
	sheet_begin(&show->sheet);
	put_head(show->sheet.out, source, show->json);
	if (sheet_keep(&show->sheet, source, percpu_reader_nr(source->reader) + 1)) {
		put_metrics(show, source);
		sheet_begin(&show->sheet);
		fputs(show->json ? "]}" : "", show->sheet.out);
		sheet_keep(&show->sheet, source, 0);
	}
	sheet_close(&show->sheet);
}

int command_show(const struct options *options)
{
	struct ledger ledger = ledger_open();
	struct show show = { .by = options->by, .json = options->json };
	int status = sources_visit(options, &ledger, show_pool, &show);
	const bool has_any = show.sheet.nr;

	if (!status && options->json)
		putchar('[');
	sheet_put(stdout, &show.sheet, options->json ? "," : "\n");
	if (!status && options->json)
		printf("%s]\n", has_any ? "\n" : "");
	return ledger_end_of(&ledger, status);
}
