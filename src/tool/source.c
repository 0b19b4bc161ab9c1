/* SPDX-License-Identifier: MIT */
/*
 * Owns which pools a command is about. Processes that share a pool, as a server and its workers do, show it
 * each; it is opened once, through its creator if that still lives.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

struct hit {
	pid_t pid;
	int fd;
	uint64_t file;
};

struct hits {
	size_t nr;
	struct hit *hit;
	const char *name; /* that is looked for; NULL: all */
};

static int note(const struct percpu_publisher *publisher, void *arg)
{
	struct hits *hits = arg;

	/* What /proc shows may be the beginning of the name. */
	if (hits->name && strncmp(hits->name, publisher->name, strlen(publisher->name)))
		return 0;
	hits->hit = grow(hits->hit, hits->nr + 1, sizeof(*hits->hit));
	hits->hit[hits->nr++] = (struct hit){ publisher->pid, publisher->fd, publisher->file };
	return 0;
}

static int by_file(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;

	return x->file != y->file ? (x->file > y->file) - (x->file < y->file) : (x->pid > y->pid) - (x->pid < y->pid);
}

static const char *reason(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return "it belongs to another user, or has made itself unreadable (see prctl(2), PR_SET_DUMPABLE)";
	case EPROTO:
		return "its contents contradict themselves, or are of another version";
	case E2BIG:
		return "it holds more than this program reads";
	case ENOENT:
		return "it is gone";
	default:
		return strerror(error);
	}
}

/* One of the hits of a file, which opens it: the creator if it is there. */
static struct percpu_reader *open_file(const struct hit *hit, size_t nr, pid_t *pid)
{
	struct percpu_reader *reader = NULL, *better;

	for (size_t i = 0; i < nr && !reader; i++) {
		reader = percpu_reader_open(hit[i].pid, hit[i].fd);
		*pid = hit[i].pid;
	}
	for (size_t i = 0; reader && i < nr; i++) {
		if (hit[i].pid != percpu_reader_creator(reader) || hit[i].pid == *pid)
			continue;
		better = percpu_reader_open(hit[i].pid, hit[i].fd);
		if (!better)
			break;
		percpu_reader_close(reader);
		reader = better;
		*pid = hit[i].pid;
	}
	return reader;
}

static bool update(struct source *source)
{
	const int error = percpu_reader_update(source->reader);

	source->has_ended = error == -ESRCH;
	if (error && !source->has_ended)
		complain("process %d: %s", source->pid, reason(-error));
	return !error || source->has_ended;
}

static void add_source(struct sources *sources, const struct options *options, const char *name, const struct hit *hit,
		       size_t nr)
{
	struct source source = { .file = hit->file, .nr_processes = nr };

	source.reader = open_file(hit, nr, &source.pid);
	if (!source.reader) {
		if (errno != ENOENT) {
			complain("process %d: %s", hit->pid, reason(errno));
			sources->nr_refused++;
		}
		return;
	}
	if (name && strcmp(percpu_reader_name(source.reader), name)) {
		percpu_reader_close(source.reader);
		return;
	}
	source.groups = group_copies(options->by, percpu_reader_nr_copies(source.reader));
	if (source.groups.nr)
		percpu_reader_group(source.reader, source.groups.of_copy, source.groups.nr);
	if (!update(&source)) {
		sources->nr_refused++;
		percpu_reader_close(source.reader);
		group_free(&source.groups);
		return;
	}
	sources->source = grow(sources->source, sources->nr + 1, sizeof(source));
	sources->source[sources->nr++] = source;
}

/* Of the hits of one process: all that have the same files. */
static struct hits add_sharers(struct hits hits)
{
	struct hits all = { .nr = 0 }, kept = { .nr = 0 };

	percpu_publishers(0, note, &all);
	for (size_t i = 0; i < all.nr; i++)
		for (size_t j = 0; j < hits.nr; j++)
			if (all.hit[i].file == hits.hit[j].file) {
				kept.hit = grow(kept.hit, kept.nr + 1, sizeof(*kept.hit));
				kept.hit[kept.nr++] = all.hit[i];
				break;
			}
	free(all.hit);
	free(hits.hit);
	return kept;
}

static void add_all(struct sources *sources, const struct options *options, struct hits hits)
{
	size_t nr;

	if (hits.nr)
		qsort(hits.hit, hits.nr, sizeof(*hits.hit), by_file);
	for (size_t i = 0; i < hits.nr; i += nr) {
		for (nr = 1; i + nr < hits.nr && hits.hit[i + nr].file == hits.hit[i].file; nr++)
			;
		add_source(sources, options, hits.name, hits.hit + i, nr);
	}
}

/* A process number; 0: it is none. */
static pid_t pid_of(const char *target)
{
	char *end;
	const unsigned long pid = strtoul(target, &end, 10);

	return *target >= '0' && *target <= '9' && !*end && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct source *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

int sources_open(struct sources *sources, const struct options *options)
{
	const pid_t pid = options->target ? pid_of(options->target) : 0;
	struct hits hits = { .name = pid ? NULL : options->target };
	int error;

	*sources = (struct sources){ .nr = 0 };
	error = percpu_publishers(pid, note, &hits);
	if (error == -EACCES)
		return complain("process %d: %s", pid, reason(EACCES));
	if (error && error != -ENOENT)
		return complain("process %d: %s", pid, strerror(-error));
	if (pid && hits.nr)
		hits = add_sharers(hits);
	add_all(sources, options, hits);
	free(hits.hit);
	if (sources->nr)
		qsort(sources->source, sources->nr, sizeof(*sources->source), by_pid);
	if (sources->nr || !options->target)
		return STATUS_OK;
	if (sources->nr_refused)
		return STATUS_FAILED;
	if (pid)
		return complain(error ? "there is no process %d" : "process %d publishes nothing", pid);
	return complain("nothing of the name \"%s\" is published, or it is another user's", options->target);
}

void sources_close(struct sources *sources)
{
	for (size_t i = 0; i < sources->nr; i++) {
		percpu_reader_close(sources->source[i].reader);
		group_free(&sources->source[i].groups);
	}
	free(sources->source);
	sources->nr = 0;
}

/* ---- values ---- */

double metric_value(const struct percpu_metric *metric, uint64_t word)
{
	return (metric->kind == PERCPU_METRIC_GAUGE ? (double)(int64_t)word : (double)word) * metric->scale;
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
	const struct percpu_histogram_shape *shape = percpu_reader_metric(source->reader, metric)->shape;
	struct percpu_histogram_data data = { .counts = grow(NULL, shape->nr_buckets, sizeof(*data.counts)) };

	percpu_histogram_data_clear(&data, shape);
	return data;
}

static void add_histogram(struct percpu_histogram_data *data, const struct source *source, size_t metric, uint32_t group)
{
	percpu_histogram_data_add(data, (const void *)percpu_reader_words(source->reader, metric, group, NULL));
}

struct percpu_histogram_data source_histogram(const struct source *source, size_t metric, uint32_t group)
{
	struct percpu_histogram_data data = empty_histogram(source, metric);

	add_histogram(&data, source, metric, group);
	return data;
}

struct percpu_histogram_data source_histogram_total(const struct source *source, size_t metric)
{
	struct percpu_histogram_data data = empty_histogram(source, metric);

	for (uint32_t group = 0; group < source_nr_groups(source); group++)
		add_histogram(&data, source, metric, group);
	return data;
}

uint64_t source_total(const struct source *source, size_t metric)
{
	uint64_t total = 0;

	for (uint32_t group = 0; group < source_nr_groups(source); group++)
		total += *percpu_reader_words(source->reader, metric, group, NULL);
	return total;
}

uint32_t source_nr_groups(const struct source *source)
{
	return source->groups.nr ? source->groups.nr : 1;
}
