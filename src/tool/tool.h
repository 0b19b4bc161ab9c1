/* SPDX-License-Identifier: MIT */
/*
 * The command percpu(1). It is a program like any other: of the library it uses the public
 * interface alone.
 *
 *   main.c     arguments
 *   complain.c messages, and the end without memory
 *   text.c     untrusted strings, escaped for terminals, JSON and the Prometheus format
 *   ledger.c   the budget of each user, and what was left out
 *   source.c   the published pools that a command shows, one after the other
 *   value.c    which of their metrics there is room for, and their values
 *   sheet.c    text of pools and metrics, put in order
 *   domain.c   CPUs that are summed together
 *   list.c, show.c, export.c, top.c, topo.c, selftest.c    a command each
 *   names.c    names and labels as Prometheus allows them
 *   rseq.c     which rseq this process has
 *   serve.c    export by HTTP
 *   screen.c   the screen of top
 */
#ifndef PERCPU_TOOL_FLOOR_H
#define PERCPU_TOOL_FLOOR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <percpu/percpu.h>

enum status { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

/* ---- complain.c ---- */

/* One line on standard error, "percpu: " in front, and the status to end with. */
__attribute__((format(printf, 1, 2))) int complain(const char *format, ...);
__attribute__((format(printf, 1, 2))) int complain_of_usage(const char *format, ...);

/*
 * While keep is true, complaints are kept instead of printed; complaint returns the last one, or
 * "".
 */
void complaint_keep(bool keep);
void complaint_clear(void);
const char *complaint(void);

/* Returns: never NULL; out of memory, the command exits. */
void *grow(void *memory, size_t nr, size_t bytes);

/* ---- main.c ---- */

struct options {
	const char *target; /* a PID or a name; NULL: all */
	const char *by;     /* NULL, or what domain_by_name knows */
	const char *listen; /* NULL, or ADDR:PORT */
	const char *hosts;  /* NULL, or names that --listen is called by, with commas between */
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

/* Writes printable characters as they are and others as \xNN. */
void put_plain(FILE *out, const char *text);

/* Writes a JSON string in quotes; invalid UTF-8 becomes U+FFFD. */
void put_json(FILE *out, const char *text);

/* A label's value, without its quotes, and the text of a HELP line. */
void put_label_value(FILE *out, const char *text);
void put_help(FILE *out, const char *text);

/* A name fit for Prometheus; of labels colons are not. */
void put_name(FILE *out, const char *text, bool colons);

/* A finite number, with as many digits as it takes to read the same one back. */
void put_double(FILE *out, double value);

/* word * scale: exactly, where the scale is 1. */
void put_scaled(FILE *out, uint64_t word, double scale);

/* A stream into memory: after fclose, text is what was written, for free. Never NULL. */
FILE *open_text(char **text, size_t *size);

/* name{label="value",...} for people. */
void put_metric(FILE *out, const struct percpu_metric *metric);

/* ---- rseq.c ---- */

struct rseq_facts {
	const char *why_not;        /* libc registered none; NULL: it did */
	unsigned area_bytes;        /* in use, as libc says; 0: none */
	bool is_extended;           /* longer than what the first kernels with rseq had */
	unsigned long kernel_bytes; /* of its features; 0: it does not say */
	unsigned long kernel_align; /* the same */
};

struct rseq_facts rseq_facts(void);

/* To standard output: a line, and an object. */
void put_rseq(const struct rseq_facts *facts);
void put_rseq_as_json(const struct rseq_facts *facts);

/* ---- domain.c ---- */

/* CPUs that are summed together, and their names. */
struct domains {
	uint32_t nr;       /* 0: nothing is told apart */
	uint32_t *of_copy; /* nr_copies of them */
	char **name;       /* "0", "fallback"; of domains */
};

/* Returns: true if CPUs can be grouped by that; NULL is valid. */
bool domain_is_known(const char *by);

/* For a reader of so many copies. */
struct domains domain_copies(const char *by, unsigned nr_copies);
void domain_free(struct domains *domains);

/* ---- ledger.c ---- */

enum reason {
	LEFT_FOR_TIME,
	LEFT_FOR_MEMORY,
	LEFT_FOR_TEXT,
	LEFT_FOR_LABELS,
	LEFT_FOR_DESCRIPTORS,
	LEFT_AS_DUPLICATE,
	LEFT_AS_NONSENSE,
	LEFT_AS_UNREADABLE,
	NR_REASONS
};

#define COMPLAINTS_MAX 4u /* of single pools of a user */
#define EXPORTER_NAMES "percpu_exporter_" /* prefix of the exporter's own series */

struct left_out {
	uid_t uid;
	size_t nr[NR_REASONS];
};

/* The budget and account of one pass over all pools. */
struct ledger {
	uint64_t ns_left, bytes_left;
	double wall_end;
	uint64_t begun_ns, ns, bytes, bytes_taken; /* of the user whose turn it is */
	unsigned nr_complaints;
	size_t nr;
	struct left_out *user;
};

struct ledger ledger_open(void);
void ledger_close(struct ledger *ledger);

/* Begins the turn of one of nr_users_left users; ends it. */
void ledger_begin(struct ledger *ledger, size_t nr_users_left);
void ledger_end(struct ledger *ledger);

/*
 * Of the user whose turn it is: the time that is left, whether there is room for so much more text,
 * and less room from now on.
 */
uint64_t ledger_ns(const struct ledger *ledger);
bool ledger_has_room(const struct ledger *ledger, size_t bytes);
void ledger_take(struct ledger *ledger, size_t bytes);

void ledger_leave_out(struct ledger *ledger, uid_t uid, enum reason reason, size_t nr);

/* Returns: true if nothing was left out for want of budget. */
bool ledger_is_whole(const struct ledger *ledger);

/* Returns: true if one more pool of this user may have a complaint of its own. */
bool ledger_complains(struct ledger *ledger);

/* A line on standard error for each user and reason. */
void ledger_complain(struct ledger *ledger);

/* Complains, closes it. Returns: the status of a command that came to that status so far. */
int ledger_end_of(struct ledger *ledger, int status);

/* The exporter's own series. */
void ledger_put(FILE *out, struct ledger *ledger);

/* ---- source.c ---- */

/* A pool, open. */
struct source {
	struct percpu_reader *reader;
	pid_t pid;              /* through which it was opened */
	uint64_t file;
	unsigned nr_processes;  /* that have it open */
	uid_t user;             /* whose memory it is */
	bool is_other_user; /* the memory belongs neither to the user of the process nor to root */
	struct domains domains;
	bool has_ended;         /* the process, at the update */
	struct ledger *ledger;
};

/*
 * sources_visit - calls visit for each pool that options name, with domains as they say, with its
 * values. Users who hold little come first. Complains of pools that cannot be read.
 * Returns: a status; with a target, finding nothing is STATUS_FAILED.
 */
int sources_visit(const struct options *options, struct ledger *ledger,
		  void (*visit)(struct source *source, void *arg), void *arg);

/* ---- value.c ---- */

/* Returns: true if the metric is shown; one with too many labels is left out. */
bool source_takes(const struct source *source, const struct percpu_metric *metric);

/*
 * Returns: true if the user whose turn it is has time and room for so many more bytes. If not, nr
 * metrics are left out.
 */
bool source_goes_on(const struct source *source, size_t bytes, size_t nr);

/* What counters and gauges come to in their unit, as a number for people. */
double metric_value(const struct percpu_metric *metric, uint64_t word);

/* As text: exactly, where the scale is 1. */
void put_value(FILE *out, const struct percpu_metric *metric, uint64_t word);

/* The histogram of a domain; free counts. */
struct percpu_histogram_data source_histogram(const struct source *source, size_t metric,
					      uint32_t domain);

/* All domains together. */
struct percpu_histogram_data source_histogram_total(const struct source *source, size_t metric);
uint64_t source_total(const struct source *source, size_t metric);

/* Rows of values there are for each metric: domains, or the one of all. */
uint32_t source_nr_domains(const struct source *source);

/* ---- sheet.c ---- */

/* The text of one pool or metric. */
struct slice {
	pid_t pid;
	uint64_t file;
	uint32_t place;   /* in its pool; 0: its head */
	const char *text;
	size_t bytes;
};

struct sheet {
	FILE *out;        /* of the pool that is written now */
	char *text;
	size_t bytes, begun_at, nr, nr_of_pool, nr_blocks;
	struct slice *slice;
	char **block;     /* the texts of pools */
};

/*
 * A pool's text goes to sheet->out from here on, and slices of it are what is between a begin and a
 * keep.
 */
void sheet_open(struct sheet *sheet);
void sheet_begin(struct sheet *sheet);

/*
 * Whether there is room for what was written since; it is kept only then. nr: what is left out if
 * not; 0: it is kept.
 */
bool sheet_keep(struct sheet *sheet, const struct source *source, size_t nr);
void sheet_close(struct sheet *sheet);

/* By process and pool, with something between pools; frees it. */
void sheet_put(FILE *out, struct sheet *sheet, const char *between);

/* ---- names.c ---- */

/*
 * What a metric of this kind is called in an export: no two kinds have the same name, but for
 * gauges and histograms.
 */
char *family_name(const struct percpu_metric *metric);

/* The labels of a series without braces, those of its source first. */
void put_series_labels(FILE *out, const struct source *source, const struct percpu_metric *metric,
		       const char *by);

/* ---- export.c ---- */

/*
 * export_to - writes a page of all values that are published now. *is_whole: false if some had to
 * be left out.
 * Returns: a status.
 */
int export_to(FILE *out, const struct options *options, bool *is_whole);

/* ---- serve.c ---- */

/* Writes the page that is served, as export_to does. */
typedef int page_writer(FILE *out, const struct options *options, bool *is_whole);

/* Serves pages of write_page by HTTP until SIGINT or SIGTERM. Returns: a status. */
int serve(const struct options *options, page_writer *write_page);

#endif
