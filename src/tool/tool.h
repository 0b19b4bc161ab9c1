/* SPDX-License-Identifier: MIT */
/*
 * The command percpu(1). It is a program like any other: of the library it uses the public interface alone.
 *
 *   main.c     arguments; what every command shares
 *   text.c     strings of others made fit for terminals, JSON and the Prometheus format
 *   source.c   the published pools that a command is about
 *   group.c    which CPUs count together
 *   list.c, show.c, export.c, top.c, topo.c, selftest.c    a command each
 *   serve.c    export by HTTP
 *   screen.c   the screen of top
 */
#ifndef PERCPU_TOOL_FLOOR_H
#define PERCPU_TOOL_FLOOR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <percpu/percpu.h>

enum status { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

/* ---- main.c ---- */

/* One line on standard error, "percpu: " in front, and the status to end with. */
__attribute__((format(printf, 1, 2))) int complain(const char *format, ...);
__attribute__((format(printf, 1, 2))) int complain_of_usage(const char *format, ...);

/* While a screen is drawn, complaints are kept instead: the last one, "" for none. */
void complaint_keep(bool keep);
void complaint_clear(void);
const char *complaint(void);

/* Never NULL: without memory the command ends. */
void *grow(void *memory, size_t nr, size_t bytes);

struct options {
	const char *target; /* a PID or a name; NULL: all */
	const char *by;     /* NULL, or what group_by_name knows */
	const char *listen; /* NULL, or ADDR:PORT */
	const char *sort;   /* NULL, or a column of top */
	double interval;    /* seconds; of top */
	bool json;
};

int command_list(const struct options *options);
int command_show(const struct options *options);
int command_export(const struct options *options);
int command_top(const struct options *options);
int command_topo(const struct options *options);
int command_selftest(const struct options *options);

/* ---- top.c; more of it in top.h ---- */

bool top_sort_is_known(const char *column);

/* ---- text.c ---- */

/* What a terminal shows as it stands; the rest as \xNN. */
void put_plain(FILE *out, const char *text);

/* In quotes, as JSON has it; what is no UTF-8 as U+FFFD. */
void put_json(FILE *out, const char *text);

/* A label's value, without its quotes, and the text of a HELP line. */
void put_label_value(FILE *out, const char *text);
void put_help(FILE *out, const char *text);

/* A name fit for Prometheus; of labels colons are not. */
void put_name(FILE *out, const char *text, bool colons);

/* A finite number, to 15 digits, which is what a product with a scale is good for. */
void put_double(FILE *out, double value);

/* A stream into memory: after fclose, text is what was written, for free. Never NULL. */
FILE *open_text(char **text, size_t *size);

/* name{label="value",...} for people. */
void put_metric(FILE *out, const struct percpu_metric *metric);

/* ---- group.c ---- */

/* CPUs that count together, and what to call them. */
struct groups {
	uint32_t nr;       /* 0: nothing is told apart */
	uint32_t *of_copy; /* nr_copies of them */
	char **name;       /* "0", "foreign"; of groups */
};

/* Whether there is such a way to group; NULL is one. */
bool group_is_known(const char *by);

/* For a reader of so many copies. */
struct groups group_copies(const char *by, unsigned nr_copies);
void group_free(struct groups *groups);

/* ---- source.c ---- */

/* A pool, open. */
struct source {
	struct percpu_reader *reader;
	pid_t pid;              /* through which it was opened */
	uint64_t file;
	unsigned nr_processes;  /* that have it open */
	struct groups groups;
	bool has_ended;         /* the process, at the last update */
};

struct sources {
	size_t nr;
	size_t nr_refused; /* that were complained of */
	struct source *source;
};

/*
 * Opens what options name, grouped as they say, and updates it. Those that cannot be read are complained of.
 * Returns: a status; with a target, finding nothing is STATUS_FAILED.
 */
int sources_open(struct sources *sources, const struct options *options);
void sources_close(struct sources *sources);

/* What counters and gauges come to in their unit, as a number for people. */
double metric_value(const struct percpu_metric *metric, uint64_t word);

/* As text: exactly, where the scale is 1. */
void put_value(FILE *out, const struct percpu_metric *metric, uint64_t word);

/* The histogram of a group; free counts. */
struct percpu_histogram_data source_histogram(const struct source *source, size_t metric, uint32_t group);

/* All groups together. */
struct percpu_histogram_data source_histogram_total(const struct source *source, size_t metric);
uint64_t source_total(const struct source *source, size_t metric);

/* Rows of values there are for each metric: groups, or the one of all. */
uint32_t source_nr_groups(const struct source *source);

/* ---- export.c, serve.c ---- */

/* Writes what there is now. Returns: a status. */
int export_to(FILE *out, const struct options *options);

/* Serves it until a signal comes. */
int serve(const struct options *options);

#endif
