/* SPDX-License-Identifier: MIT */
/*
 * percpu export: the Prometheus text format, version 0.0.4. All series of a name stand under one
 * HELP and one TYPE, whichever process publishes them, so they are kept as text, pool by pool, and
 * sorted. The labels of a series name its pool and process; of two series with equal labels the
 * second is left out. The last family of a page counts the series that were left out, and its last
 * line is "# EOF", so that a truncated page is recognised.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

/* Texts lie one after the other in the block of its pool: as offsets, until the block is whole. */
struct series {
	uint32_t kind;
	uid_t user;
	const char *family;  /* the name as exported */
	const char *help;
	const char *labels;  /* with pool and process, without braces */
	const char *samples; /* lines */
	size_t samples_bytes;
};

struct page {
	const char *by;
	FILE *out;           /* the block of the pool that is read now */
	size_t nr, nr_blocks;
	struct series *series;
	char **block;
	struct ledger ledger;
};

/* ---- samples ---- */

/* Where a domain's samples go: its name, and the label that tells it apart. */
struct place {
	FILE *out;
	const struct source *source;
	const char *family, *labels;
	const char *by, *domain; /* NULL: all are one */
	size_t begun_at;        /* the series, in out */
};

static void begin_sample(const struct place *place, const char *suffix)
{
	fprintf(place->out, "%s%s{%s", place->family, suffix, place->labels);
	if (place->by)
		fprintf(place->out, ",%s=\"%s\"", place->by, place->domain);
}

static void put_count(const struct place *place, const char *suffix, uint64_t count)
{
	begin_sample(place, suffix);
	fprintf(place->out, "} %" PRIu64 "\n", count);
}

static bool has_room(const struct place *place)
{
	return ledger_has_room(place->source->ledger, ftello(place->out) - place->begun_at);
}

/*
 * Two boundaries for each doubling show the form of a histogram in few series. They start where its
 * precision begins: below 2, 3, 4, 6, 8, 12 ... times that. Values are whole numbers, so the label
 * is the last one below the boundary.
 */
static bool is_boundary(const struct percpu_histogram_shape *shape, uint32_t bucket)
{
	const uint64_t end = (percpu_histogram_bucket_high(shape, bucket) + 1) >> shape->unit_shift;

	return end >> shape->precision_bits >= 2 && end >> __builtin_ctzll(end) <= 3;
}

static void put_histogram(const struct place *place, const struct percpu_histogram_data *data,
			  double scale)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i + 1 < data->shape.nr_buckets && has_room(place); i++) {
		count += data->counts[i];
		if (!is_boundary(&data->shape, i))
			continue;
		begin_sample(place, "_bucket");
		fputs(",le=\"", place->out);
		put_scaled(place->out, percpu_histogram_bucket_high(&data->shape, i), scale);
		fprintf(place->out, "\"} %" PRIu64 "\n", count);
	}
	begin_sample(place, "_bucket");
	fprintf(place->out, ",le=\"+Inf\"} %" PRIu64 "\n", data->nr);
	begin_sample(place, "_sum");
	fputs("} ", place->out);
	put_scaled(place->out, data->sum, scale);
	putc('\n', place->out);
	put_count(place, "_count", data->nr);
}

static void put_domain(const struct place *place, size_t i, uint32_t domain)
{
	const struct percpu_metric *metric = percpu_reader_metric(place->source->reader, i);

	if (metric->shape) {
		struct percpu_histogram_data data = source_histogram(place->source, i, domain);

		put_histogram(place, &data, metric->scale);
		free(data.counts);
		return;
	}
	begin_sample(place, "");
	fputs("} ", place->out);
	put_value(place->out, metric, *percpu_reader_words(place->source->reader, i, domain, NULL));
	putc('\n', place->out);
}

/* ---- series ---- */

/* As an offset, and its zero byte. */
static const char *put_string(FILE *out, const char *text)
{
	const size_t at = ftello(out);

	fputs(text, out);
	putc('\0', out);
	return (char *)(uintptr_t)at;
}

static char *labels_of(const struct page *page, const struct source *source,
		       const struct percpu_metric *metric)
{
	char *text;
	size_t size;
	FILE *out = open_text(&text, &size);

	put_series_labels(out, source, metric, page->by);
	fclose(out);
	return text;
}

static void add_series(struct page *page, const struct source *source, size_t i)
{
	const struct percpu_metric *metric = percpu_reader_metric(source->reader, i);
	const struct domains *domains = &source->domains;
	struct series series = { .kind = metric->kind, .user = source->user };
	char *family = family_name(metric), *labels = labels_of(page, source, metric);
	struct place place = { .out = page->out,
			       .source = source,
			       .family = family,
			       .labels = labels,
			       .begun_at = ftello(page->out) };
	size_t cost;

	series.family = put_string(page->out, family);
	series.help = put_string(page->out, metric->help);
	series.labels = put_string(page->out, labels);
	series.samples_bytes = ftello(page->out);
	series.samples = (char *)(uintptr_t)series.samples_bytes;
	for (uint32_t domain = 0; domain < source_nr_domains(source) && has_room(&place);
	     domain++) {
		place.by = domains->nr ? page->by : NULL;
		place.domain = domains->nr ? domains->name[domain] : NULL;
		put_domain(&place, i, domain);
	}
	series.samples_bytes = ftello(page->out) - series.samples_bytes;
	free(family);
	free(labels);
	cost = ftello(page->out) - place.begun_at + sizeof(series);
	if (ledger_has_room(source->ledger, cost)) {
		page->series = grow(page->series, page->nr + 1, sizeof(series));
		page->series[page->nr++] = series;
	} else {
		ledger_leave_out(source->ledger, source->user, LEFT_FOR_TEXT, 1);
	}
	ledger_take(source->ledger, cost);
}

static void add_pool(struct source *source, void *arg)
{
	struct page *page = arg;
	const size_t first = page->nr, nr = percpu_reader_nr(source->reader);
	char *text;
	size_t size;

	page->out = open_text(&text, &size);
	for (size_t i = 0; i < nr; i++) {
		if (!source_goes_on(source, sizeof(struct series), nr - i))
			break;
		if (source_takes(source, percpu_reader_metric(source->reader, i)))
			add_series(page, source, i);
	}
	fclose(page->out);
	for (size_t i = first; i < page->nr; i++) {
		struct series *series = &page->series[i];

		series->family = text + (uintptr_t)series->family;
		series->help = text + (uintptr_t)series->help;
		series->labels = text + (uintptr_t)series->labels;
		series->samples = text + (uintptr_t)series->samples;
	}
	page->block = grow(page->block, page->nr_blocks + 1, sizeof(*page->block));
	page->block[page->nr_blocks++] = text;
}

/* ---- families ---- */

static int by_family(const void *a, const void *b)
{
	const struct series *x = a, *y = b;
	int order = strcmp(x->family, y->family);

	if (!order)
		order = (x->kind > y->kind) - (x->kind < y->kind);
	return order ? order : strcmp(x->labels, y->labels);
}

/*
 * Returns: the help text on which all users who publish one agree, or a neutral one if they differ.
 */
static const char *help_of(const struct series *series, size_t nr)
{
	const struct series *first = NULL;

	for (size_t i = 0; i < nr; i++) {
		if (!series[i].help[0])
			continue;
		if (!first)
			first = &series[i];
		else if (first->user != series[i].user && strcmp(first->help, series[i].help))
			return "Those who publish it describe it differently.";
	}
	return first ? first->help : "";
}

static void begin_family(FILE *out, const char *name, const char *suffix, const char *help,
			 const char *type)
{
	if (help[0]) {
		fprintf(out, "# HELP %s%s ", name, suffix);
		put_help(out, help);
		putc('\n', out);
	}
	fprintf(out, "# TYPE %s%s %s\n", name, suffix, type);
}

/* Writes the lines of each series whose name has the suffix. */
static void put_lines(FILE *out, const struct series *series, size_t nr, const char *suffix)
{
	const size_t name_bytes = strlen(series->family), suffix_bytes = strlen(suffix);

	for (size_t i = 0; i < nr; i++)
		for (const char *at = series[i].samples, *end = at + series[i].samples_bytes;
		     at < end;) {
			const char *next = (const char *)memchr(at, '\n', end - at) + 1;

			if (!strncmp(at + name_bytes, suffix, suffix_bytes) &&
			    at[name_bytes + suffix_bytes] == '{')
				fwrite(at, 1, next - at, out);
			at = next;
		}
}

/*
 * Histograms whose name is also that of gauges: their samples are unchanged, in
 * families without a type.
 */
static void put_parts(FILE *out, const struct series *series, size_t nr)
{
	static const char *const suffixes[] = { "_bucket", "_sum", "_count" };

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		begin_family(out, series->family, suffixes[i], help_of(series, nr), "untyped");
		put_lines(out, series, nr, suffixes[i]);
	}
}

static void put_family(FILE *out, const struct series *series, size_t nr)
{
	static const char *const types[] = { "", "counter", "gauge", "histogram" };

	begin_family(out, series->family, "", help_of(series, nr), types[series->kind]);
	for (size_t i = 0; i < nr; i++)
		fwrite(series[i].samples, 1, series[i].samples_bytes, out);
}

static void drop_duplicates(struct page *page)
{
	size_t kept = 0;

	for (size_t i = 0; i < page->nr; i++) {
		if (kept && !by_family(&page->series[kept - 1], &page->series[i]))
			ledger_leave_out(&page->ledger, page->series[i].user, LEFT_AS_DUPLICATE, 1);
		else
			page->series[kept++] = page->series[i];
	}
	page->nr = kept;
}

/* Writes all families; the series are sorted. */
static void put_families(FILE *out, const struct page *page)
{
	const struct series *series = page->series;
	size_t end;

	for (size_t first = 0; first < page->nr; first = end) {
		const bool is_second =
			first && !strcmp(series[first - 1].family, series[first].family);

		for (end = first; end < page->nr && series[end].kind == series[first].kind &&
				  !strcmp(series[end].family, series[first].family); end++)
			;
		if (is_second)
			put_parts(out, series + first, end - first);
		else
			put_family(out, series + first, end - first);
	}
}

int export_to(FILE *out, const struct options *options, bool *is_whole)
{
	struct page page = { .by = options->by, .ledger = ledger_open() };
	const int status = sources_visit(options, &page.ledger, add_pool, &page);

	if (page.nr)
		qsort(page.series, page.nr, sizeof(*page.series), by_family);
	drop_duplicates(&page);
	if (!status) {
		put_families(out, &page);
		ledger_put(out, &page.ledger);
		fputs("# EOF\n", out);
	}
	ledger_complain(&page.ledger);
	*is_whole = !page.ledger.nr;
	for (size_t i = 0; i < page.nr_blocks; i++)
		free(page.block[i]);
	free(page.block);
	free(page.series);
	ledger_close(&page.ledger);
	return status;
}

int command_export(const struct options *options)
{
	bool is_whole;
	int status;

	if (options->listen)
		return serve(options, export_to);
	status = export_to(stdout, options, &is_whole);
	return status ? status : is_whole ? STATUS_OK : STATUS_FAILED;
}
