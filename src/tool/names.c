/* SPDX-License-Identifier: MIT */
/*
 * Owns the names of metrics and labels in an export. A name depends on its metric alone, never on
 * other metrics, and yet no two kinds make samples of the same name:
 *
 *	counter     end in _total, and nothing else does
 *	histogram   makes NAME_bucket, NAME_sum and NAME_count, and no other name ends so
 *	gauge       may have the name of a histogram, of whose samples none has: only their TYPE lines would be in each other's way
 *
 * A gauge or a histogram whose own name would end so gets _value behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

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

/* Removes the suffix if name has it. */
static bool cut_suffix(char *name, const char *suffix)
{
	const size_t length = strlen(name), cut = strlen(suffix);

	if (length <= cut || strcmp(name + length - cut, suffix))
		return false;
	name[length - cut] = '\0';
	return true;
}

static bool ends_in(const char *name, const char *suffix)
{
	const size_t length = strlen(name), cut = strlen(suffix);

	return length >= cut && !strcmp(name + length - cut, suffix);
}

/* Returns: true if samples of another kind may end so. */
static bool is_taken(const char *name)
{
	return ends_in(name, "_total") || ends_in(name, "_bucket") || ends_in(name, "_sum") ||
	       ends_in(name, "_count");
}

/* name[_unit], the unit once. */
static char *name_with_unit(const struct percpu_metric *metric)
{
	char *name = fit_name(metric->name, true), *unit, *text;
	size_t size;
	FILE *out;

	if (metric->kind == PERCPU_METRIC_COUNTER)
		cut_suffix(name, "_total");
	if (!metric->unit[0])
		return name;
	unit = fit_name(metric->unit, false);
	out = open_text(&text, &size);
	fputs(name, out);
	if (strlen(name) <= strlen(unit) + 1 || !ends_in(name, unit) ||
	    name[strlen(name) - strlen(unit) - 1] != '_')
		fprintf(out, "_%s", unit);
	fclose(out);
	free(name);
	free(unit);
	return text;
}

char *family_name(const struct percpu_metric *metric)
{
	char *name = name_with_unit(metric), *text;
	const bool is_counter = metric->kind == PERCPU_METRIC_COUNTER;
	size_t size;
	FILE *out = open_text(&text, &size);

	fprintf(out, "%s%s%s",
		strncmp(name, EXPORTER_NAMES, strlen(EXPORTER_NAMES)) ? "" : "exported_", name,
		is_counter       ? "_total"
		: is_taken(name) ? "_value"
				 : "");
	fclose(out);
	free(name);
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

/* Those that export adds itself, those that Prometheus keeps to itself, and the ones before. */
static bool is_in_use(const struct label *labels, uint32_t i, const char *by)
{
	const char *name = labels[i].name;

	if (!strncmp(name, "__", 2) || !strcmp(name, "pool") || !strcmp(name, "pid") ||
	    !strcmp(name, "pool_uid") || !strcmp(name, "le") || (by && !strcmp(name, by)))
		return true;
	for (uint32_t before = 0; before < i; before++)
		if (!strcmp(labels[before].name, name))
			return true;
	return false;
}

static char *exported(char *name)
{
	char *longer = grow(NULL, strlen(name) + sizeof("exported_"), 1);

	strcpy(longer, "exported_");
	strcat(longer, name);
	free(name);
	return longer;
}

static void put_labels(FILE *out, const struct percpu_metric *metric, const char *by)
{
	struct label *labels = grow(NULL, metric->nr_labels + 1, sizeof(*labels));

	for (uint32_t i = 0; i < metric->nr_labels; i++)
		labels[i] = (struct label){ fit_name(metric->labels[i].name, false),
					    metric->labels[i].value, i };
	qsort(labels, metric->nr_labels, sizeof(*labels), by_name);
	for (uint32_t i = 0; i < metric->nr_labels; i++)
		while (is_in_use(labels, i, by))
			labels[i].name = exported(labels[i].name);
	qsort(labels, metric->nr_labels, sizeof(*labels), by_name);
	for (uint32_t i = 0; i < metric->nr_labels; i++) {
		fprintf(out, ",%s=\"", labels[i].name);
		put_label_value(out, labels[i].value);
		putc('"', out);
	}
	for (uint32_t i = 0; i < metric->nr_labels; i++)
		free(labels[i].name);
	free(labels);
}

void put_series_labels(FILE *out, const struct source *source, const struct percpu_metric *metric,
		       const char *by)
{
	fputs("pool=\"", out);
	put_label_value(out, percpu_reader_name(source->reader));
	fprintf(out, "\",pid=\"%d\"", source->pid);
	/*
	 * A descriptor may have been handed to another's process: what is counted there is not that
	 * process's word.
	 */
	if (source->is_other_user)
		fprintf(out, ",pool_uid=\"%u\"", source->user);
	put_labels(out, metric, by);
}
