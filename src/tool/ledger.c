/* SPDX-License-Identifier: MIT */
/*
 * Owns the budget of a command, per user, and the account of what was left out. Time and text are
 * limited. Users who hold little memory come first, and each may use the rest divided by the number
 * of users that remain. So one user's metrics never displace another's, and a single user may use
 * the whole budget.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/tool.h"

#define TIME_NS UINT64_C(4000000000)   /* of this thread, for the pools; Prometheus gives up after 10 seconds */
#define TEXT_BYTES (UINT64_C(64) << 20) /* of all that is shown */
#define WALL_SECONDS 8                 /* where there is no CPU for us, or what is read was swapped out: later users are left out */

static const char *const reasons[NR_REASONS] = {
	[LEFT_FOR_TIME] = "time",
	[LEFT_FOR_MEMORY] = "memory",
	[LEFT_FOR_TEXT] = "text",
	[LEFT_FOR_LABELS] = "labels",
	[LEFT_FOR_DESCRIPTORS] = "descriptors",
	[LEFT_AS_DUPLICATE] = "duplicate",
	[LEFT_AS_NONSENSE] = "nonsense",
	[LEFT_AS_UNREADABLE] = "unreadable",
};

static double wall_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

static uint64_t thread_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
}

struct ledger ledger_open(void)
{
	return (struct ledger){ .ns_left = TIME_NS, .bytes_left = TEXT_BYTES };
}

void ledger_close(struct ledger *ledger)
{
	free(ledger->user);
	ledger->user = NULL;
	ledger->nr = 0;
}

/* ---- the budget ---- */

void ledger_begin(struct ledger *ledger, size_t nr_users_left)
{
	if (!ledger->wall_end) /* the first user has a turn however long the search took */
		ledger->wall_end = wall_seconds() + WALL_SECONDS;
	ledger->begun_ns = thread_ns();
	ledger->ns = wall_seconds() < ledger->wall_end ? ledger->ns_left / nr_users_left : 0;
	ledger->bytes = ledger->bytes_left / nr_users_left;
	ledger->bytes_taken = 0;
	ledger->nr_complaints = 0;
}

void ledger_end(struct ledger *ledger)
{
	const uint64_t spent = thread_ns() - ledger->begun_ns;

	ledger->ns_left -= spent < ledger->ns_left ? spent : ledger->ns_left;
	ledger->bytes_left -=
		ledger->bytes_taken < ledger->bytes_left ? ledger->bytes_taken : ledger->bytes_left;
}

uint64_t ledger_ns(const struct ledger *ledger)
{
	const uint64_t spent = thread_ns() - ledger->begun_ns;

	return spent < ledger->ns ? ledger->ns - spent : 0;
}

bool ledger_has_room(const struct ledger *ledger, size_t bytes)
{
	return ledger->bytes_taken + bytes <= ledger->bytes;
}

void ledger_take(struct ledger *ledger, size_t bytes)
{
	ledger->bytes_taken += bytes;
}

/* ---- what was left out ---- */

static int by_uid(const void *a, const void *b)
{
	const struct left_out *x = a, *y = b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

void ledger_leave_out(struct ledger *ledger, uid_t uid, enum reason reason, size_t nr)
{
	size_t i = 0;

	if (!nr)
		return;
	while (i < ledger->nr && ledger->user[i].uid != uid)
		i++;
	if (i == ledger->nr) {
		ledger->user = grow(ledger->user, ledger->nr + 1, sizeof(*ledger->user));
		ledger->user[ledger->nr++] = (struct left_out){ .uid = uid };
	}
	ledger->user[i].nr[reason] += nr;
}

bool ledger_is_whole(const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->nr; i++)
		for (enum reason reason = 0; reason < LEFT_AS_DUPLICATE; reason++)
			if (ledger->user[i].nr[reason])
				return false;
	return true;
}

bool ledger_complains(struct ledger *ledger)
{
	return ledger->nr_complaints++ < COMPLAINTS_MAX;
}

void ledger_complain(struct ledger *ledger)
{
	if (ledger->nr)
		qsort(ledger->user, ledger->nr, sizeof(*ledger->user), by_uid);
	for (size_t i = 0; i < ledger->nr; i++)
		for (enum reason reason = 0; reason < NR_REASONS; reason++) {
			const size_t nr = ledger->user[i].nr[reason];

			if (nr && (reason < LEFT_AS_NONSENSE || nr > COMPLAINTS_MAX))
				complain("left out of user %u: %zu (%s)", ledger->user[i].uid, nr,
					 reasons[reason]);
		}
}

int ledger_end_of(struct ledger *ledger, int status)
{
	const bool is_whole = ledger_is_whole(ledger);

	ledger_complain(ledger);
	ledger_close(ledger);
	return status ? status : is_whole ? STATUS_OK : STATUS_FAILED;
}

/* Writes the exporter's own series, if anything was left out. */
void ledger_put(FILE *out, struct ledger *ledger)
{
	if (!ledger->nr)
		return;
	qsort(ledger->user, ledger->nr, sizeof(*ledger->user), by_uid);
	fputs("# HELP percpu_exporter_left_out What is published and not on this page: pools, "
	      "metrics, and processes not searched.\n"
	      "# TYPE percpu_exporter_left_out gauge\n",
	      out);
	for (size_t i = 0; i < ledger->nr; i++)
		for (enum reason reason = 0; reason < NR_REASONS; reason++)
			if (ledger->user[i].nr[reason])
				fprintf(out,
					"percpu_exporter_left_out{reason=\"%s\",uid=\"%u\"} %zu\n",
					reasons[reason], ledger->user[i].uid,
					ledger->user[i].nr[reason]);
}
