/* SPDX-License-Identifier: MIT */
/* What percpu top samples, for the screen that shows it. */
#ifndef PERCPU_TOOL_TOP_H
#define PERCPU_TOOL_TOP_H

#include "tool/tool.h"

struct row {
	uint64_t file;
	pid_t pid;
	char *pool, *name; /* fit for a terminal */
	bool only_grows;
	bool has_rate;     /* there is an earlier sample of it */
	unsigned nr_cpus;
	double *counted;   /* by CPU; beyond them, the fallback copy */
	double *rates;     /* a second; likewise */
	double value, rate;
	double skew;       /* the busiest CPU's part, held against the mean of all; 0: nothing was counted */
};

struct sample {
	double time; /* seconds */
	size_t nr_pools;
	size_t nr;
	struct row *row;
};

/*
 * earlier: of which rates are made; NULL. Returns: a status; sample is empty where
 * it is not STATUS_OK.
 */
int sample_take(struct sample *sample, const struct sample *earlier, const struct options *options);
void sample_free(struct sample *sample);

/* Its rows by a column that top_sort_is_known knows; free it. */
const struct row **sample_sorted(const struct sample *sample, const char *column);

double seconds_now(void);

#endif
