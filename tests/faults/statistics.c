/* SPDX-License-Identifier: MIT */
/* Scenarios of counters, histograms, groups and sums by domain, each with refused calls. */
#include "faults/scenario.h"

#define NR_COUNTERS 200
static struct percpu_counter counters[NR_COUNTERS];
static struct percpu_histogram histogram;
static struct percpu_group group;

static bool is_done(int error)
{
	must(!error || error == -ENOMEM);
	return !error;
}

static void check_counter(struct percpu_counter *counter)
{
	percpu_counter_add(counter, 5);
	must(percpu_counter_sum(counter) == 12);
	must(percpu_counter_compare(counter, 12) == 0);
	percpu_counter_set(counter, 100);
	must(percpu_counter_reset(counter) == 100);
	must(percpu_counter_sum(counter) == 0);
}

static bool attempt_counter(void)
{
	if (!is_done(percpu_counter_init(counters, 7, 0)))
		return false;
	must_keep_errno(check_counter(counters));
	return true;
}

static void undo_counter(void)
{
	must_keep_errno(percpu_counter_fini(counters));
	must_keep_errno(percpu_counter_fini(counters));
}

static bool attempt_counters(void)
{
	const size_t before = nr_live(NULL);

	if (!is_done(percpu_counter_init_bulk(NR_COUNTERS, counters, 7, 3))) {
		must(nr_live(NULL) == before);
		return false;
	}
	for (int i = 0; i < NR_COUNTERS; i++)
		must_keep_errno(check_counter(&counters[i]));
	return true;
}

static void undo_counters(void)
{
	must_keep_errno(percpu_counter_fini_bulk(NR_COUNTERS, counters));
}

static bool attempt_histogram(void)
{
	static uint64_t counts[10000];
	struct percpu_histogram_data data = { .counts = counts };

	if (!is_done(percpu_histogram_init(&histogram, NULL, 1000, 60000000000, 7)))
		return false;
	must(histogram.shape.nr_buckets <= sizeof(counts) / sizeof(counts[0]));
	must_keep_errno(percpu_histogram_record(&histogram, 5000));
	must_keep_errno(percpu_histogram_read(&histogram, &data));
	must(data.nr == 1 && data.sum == 5000 && data.max == 5000);
	return true;
}

static void undo_histogram(void)
{
	must_keep_errno(percpu_histogram_fini(&histogram));
	must_keep_errno(percpu_histogram_fini(&histogram));
}

static bool attempt_group(void)
{
	uint64_t fields[3];

	if (!is_done(percpu_group_init(&group, 3)))
		return false;
	must_keep_errno(percpu_group_add(&group, 1, 2, 3));
	must_keep_errno(percpu_group_read(&group, fields));
	must(fields[0] == 1 && fields[1] == 2 && fields[2] == 3);
	return true;
}

static void undo_group(void)
{
	must_keep_errno(percpu_group_fini(&group));
	must_keep_errno(percpu_group_fini(&group));
}

/* ---- domains ---- */

#if !PERCPU__ASAN /* its malloc makes more system calls; refusing these breaks hwloc */
static uint64_t __percpu *word;

static void prepare_word(void)
{
	word = percpu_new(uint64_t);
	must(word);
	percpu_add(word, 5);
}

static bool attempt_domains(void)
{
	static uint64_t sums[5000];
	const int nr = percpu_nr_domains(PERCPU_LEVEL_CORE);
	uint64_t sum = 0;
	int error;

	must(nr > 0 || nr == -ENOMEM || nr == -ENOTSUP);
	error = percpu_sum_by(word, PERCPU_LEVEL_CORE, sums, sizeof(sums) / sizeof(sums[0]));
	must(!error || error == -ENOMEM || error == -ENOTSUP);
	if (error || nr < 0)
		return false;
	for (int i = 0; i < nr; i++)
		sum += sums[i];
	must(sum == 5);
	return true;
}
#endif

static const struct scenario scenarios[] = {
	{ "percpu_counter_init, percpu_counter_fini",
	  .attempt = attempt_counter, .undo = undo_counter },
	{ "percpu_counter_init_bulk, percpu_counter_fini_bulk",
	  .attempt = attempt_counters, .undo = undo_counters },
	{ "percpu_histogram_init, percpu_histogram_fini",
	  .attempt = attempt_histogram, .undo = undo_histogram },
	{ "percpu_group_init, percpu_group_fini", .attempt = attempt_group, .undo = undo_group },
#if !PERCPU__ASAN
	{ "percpu_nr_domains, percpu_sum_by",
	  .prepare = prepare_word, .attempt = attempt_domains, .spares_malloc = true },
#endif
};

size_t statistics_scenarios(const struct scenario **list)
{
	*list = scenarios;
	return sizeof(scenarios) / sizeof(scenarios[0]);
}
