/* SPDX-License-Identifier: MIT */
/*
 * percpu export: the Prometheus text format, version 0.0.4. All series of a name stand together under one HELP
 * and one TYPE, whichever process they are of, so they are sorted; one whose name and labels are another's, or
 * whose name is another kind's, is left out. Every series says of which pool and process it is.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

struct series {
	char *family; /* the name as exported */
	char *labels; /* without braces */
	const struct source *source;
	size_t metric;
};

static const struct percpu_metric *metric_of(const struct series *series)
{
	return percpu_reader_metric(series->source->reader, series->metric);
}

/* ---- names ---- */

static char *fit_name(const char *name, bool colons)
{
	char *text;
	size_t size;
	FILE *out = open_text(&text, &size);

	put_name(out, name, colons);
	fclose(out);
	return text;
}

/* Cuts the suffix off where name has it. */
static bool cut_suffix(char *name, const char *suffix)
{
	const size_t length = strlen(name), cut = strlen(suffix);

	if (length <= cut || strcmp(name + length - cut, suffix))
		return false;
	name[length - cut] = '\0';
	return true;
}

/* name[_unit][_total], each once. */
static char *family_name(const struct percpu_metric *metric)
{
	char *name = fit_name(metric->name, true), *unit = NULL, *text;
	const bool is_counter = metric->kind == PERCPU_METRIC_COUNTER;
	size_t size;
	FILE *out = open_text(&text, &size);

	if (is_counter)
		cut_suffix(name, "_total");
	if (metric->unit[0]) {
		char *bare = fit_name(metric->unit, false);

		unit = grow(NULL, strlen(bare) + 2, 1);
		unit[0] = '_';
		strcpy(unit + 1, bare);
		free(bare);
		cut_suffix(name, unit);
	}
	fprintf(out, "%s%s%s", name, unit ? unit : "", is_counter ? "_total" : "");
	fclose(out);
	free(name);
	free(unit);
	return text;
}

/* ---- labels ---- */

struct label {
	char *name;
	const char *value;
	uint32_t place;
};

static int by_name(const void *a, const void *b)
{
	const struct label *x = a, *y = b;
	const int order = strcmp(x->name, y->name);

	return order ? order : (x->place > y->place) - (x->place < y->place);
}

/* Those that export adds itself, and those that Prometheus keeps to itself. */
static bool is_taken(const char *name, const char *by)
{
	return !strncmp(name, "__", 2) || !strcmp(name, "pool") || !strcmp(name, "pid") || !strcmp(name, "le") ||
	       (by && !strcmp(name, by));
}

static char *label_name(const char *given, const char *by)
{
	char *name = fit_name(given, false), *longer;

	if (!is_taken(name, by))
		return name;
	longer = grow(NULL, strlen(name) + sizeof("exported_"), 1);
	strcpy(longer, "exported_");
	strcat(longer, name);
	free(name);
	return longer;
}

static void put_labels(FILE *out, const struct percpu_metric *metric, const char *by)
{
	struct label *labels = grow(NULL, metric->nr_labels + 1, sizeof(*labels));

	for (uint32_t i = 0; i < metric->nr_labels; i++)
		labels[i] = (struct label){ label_name(metric->labels[i].name, by), metric->labels[i].value, i };
	qsort(labels, metric->nr_labels, sizeof(*labels), by_name);
	for (uint32_t i = 0; i < metric->nr_labels; i++) {
		if (i && !strcmp(labels[i - 1].name, labels[i].name))
			continue; /* each name once */
		fprintf(out, ",%s=\"", labels[i].name);
		put_label_value(out, labels[i].value);
		putc('"', out);
	}
	for (uint32_t i = 0; i < metric->nr_labels; i++)
		free(labels[i].name);
	free(labels);
}

static char *series_labels(const struct source *source, const struct percpu_metric *metric, const char *by)
{
	char *text;
	size_t size;
	FILE *out = open_text(&text, &size);

	fputs("pool=\"", out);
	put_label_value(out, percpu_reader_name(source->reader));
	fprintf(out, "\",pid=\"%d\"", source->pid);
	put_labels(out, metric, by);
	fclose(out);
	return text;
}

/* ---- samples ---- */

/* Where a group's samples go: its name, and the label that tells it apart. */
struct place {
	FILE *out;
	const struct series *series;
	const char *by, *group; /* NULL: all are one */
};

static void begin_sample(struct place place, const char *suffix)
{
	fprintf(place.out, "%s%s{%s", place.series->family, suffix, place.series->labels);
	if (place.by)
		fprintf(place.out, ",%s=\"%s\"", place.by, place.group);
}

static void put_count(struct place place, const char *suffix, uint64_t count)
{
	begin_sample(place, suffix);
	fprintf(place.out, "} %" PRIu64 "\n", count);
}

/*
 * Two boundaries for each doubling, which tell a histogram's form in few series, from where its precision
 * begins: below 2, 3, 4, 6, 8, 12 ... times that. Values are whole numbers, so the last one below is said.
 */
static bool is_boundary(const struct percpu_histogram_shape *shape, uint32_t bucket)
{
	const uint64_t end = (percpu_histogram_bucket_high(shape, bucket) + 1) >> shape->unit_shift;

	return end >> shape->precision_bits >= 2 && end >> __builtin_ctzll(end) <= 3;
}

static void put_histogram(struct place place, struct percpu_histogram_data data, double scale)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i + 1 < data.shape.nr_buckets; i++) {
		count += data.counts[i];
		if (!is_boundary(&data.shape, i))
			continue;
		begin_sample(place, "_bucket");
		fputs(",le=\"", place.out);
		put_double(place.out, percpu_histogram_bucket_high(&data.shape, i) * scale);
		fprintf(place.out, "\"} %" PRIu64 "\n", count);
	}
	begin_sample(place, "_bucket");
	fprintf(place.out, ",le=\"+Inf\"} %" PRIu64 "\n", data.nr);
	begin_sample(place, "_sum");
	fputs("} ", place.out);
	put_double(place.out, data.sum * scale);
	putc('\n', place.out);
	put_count(place, "_count", data.nr);
	free(data.counts);
}

static void put_samples(FILE *out, const struct series *series, const char *by)
{
	const struct percpu_metric *metric = metric_of(series);
	const struct groups *groups = &series->source->groups;

	for (uint32_t group = 0; group < source_nr_groups(series->source); group++) {
		const struct place place = { out, series, groups->nr ? by : NULL, groups->nr ? groups->name[group] : NULL };

		if (metric->shape) {
			put_histogram(place, source_histogram(series->source, series->metric, group), metric->scale);
			continue;
		}
		begin_sample(place, "");
		fputs("} ", out);
		put_value(out, metric, *percpu_reader_words(series->source->reader, series->metric, group, NULL));
		putc('\n', out);
	}
}

/* ---- families ---- */

static int by_family(const void *a, const void *b)
{
	const struct series *x = a, *y = b;
	const int family = strcmp(x->family, y->family);

	return family ? family : strcmp(x->labels, y->labels);
}

static void begin_family(FILE *out, const struct series *series)
{
	static const char *const types[] = { "", "counter", "gauge", "histogram" };
	const struct percpu_metric *metric = metric_of(series);

	if (metric->help[0]) {
		fprintf(out, "# HELP %s ", series->family);
		put_help(out, metric->help);
		putc('\n', out);
	}
	fprintf(out, "# TYPE %s %s\n", series->family, types[metric->kind]);
}

/* All of them, sorted. */
static void put_families(FILE *out, const struct series *series, size_t nr, const char *by)
{
	const struct series *first = NULL, *last = NULL; /* of the family that is being written */
	size_t nr_left_out = 0;

	for (size_t i = 0; i < nr; i++) {
		const bool begins = !first || strcmp(first->family, series[i].family);

		if (!begins && (metric_of(first)->kind != metric_of(&series[i])->kind ||
				!strcmp(last->labels, series[i].labels))) {
			nr_left_out++;
			continue;
		}
		if (begins) {
			first = &series[i];
			begin_family(out, first);
		}
		last = &series[i];
		put_samples(out, last, by);
	}
	if (nr_left_out)
		complain("metrics left out because others have the same name: %zu", nr_left_out);
}

static struct series *collect(const struct sources *sources, const char *by, size_t *nr)
{
	struct series *series = NULL;

	*nr = 0;
	for (size_t i = 0; i < sources->nr; i++)
		*nr += percpu_reader_nr(sources->source[i].reader);
	series = grow(NULL, *nr + 1, sizeof(*series));
	*nr = 0;
	for (size_t i = 0; i < sources->nr; i++) {
		const struct source *source = &sources->source[i];

		for (size_t metric = 0; metric < percpu_reader_nr(source->reader); metric++) {
			const struct percpu_metric *described = percpu_reader_metric(source->reader, metric);

			series[(*nr)++] = (struct series){ family_name(described), series_labels(source, described, by),
							   source, metric };
		}
	}
	qsort(series, *nr, sizeof(*series), by_family);
	return series;
}

int export_to(FILE *out, const struct options *options)
{
	struct sources sources;
	struct series *series;
	const int status = sources_open(&sources, options);
	size_t nr;

	if (status)
		return status;
	series = collect(&sources, options->by, &nr);
	put_families(out, series, nr, options->by);
	for (size_t i = 0; i < nr; i++) {
		free(series[i].family);
		free(series[i].labels);
	}
	free(series);
	sources_close(&sources);
	return STATUS_OK;
}

int command_export(const struct options *options)
{
	return options->listen ? serve(options) : export_to(stdout, options);
}
