/* SPDX-License-Identifier: MIT */
/*
 * The critical sections of counters, histograms and groups, each compared with plain C. The
 * competitor's updates do not commute with them, so that only these results are right: the update
 * happened at once, on one of the CPUs that the thread was on, before the competitor ran there.
 */
#include "sections/scenario.h"

#include <string.h>

#define NR_WORDS 16

/* The words of one copy and the result of the operation; a world has those of all copies. */
typedef uint64_t site[NR_WORDS];
struct world {
	site copies[3]; /* of the first CPU, of the second, and the fallback one */
	uint64_t result;
};
enum { FIRST, SECOND, FALLBACK, NR_PLACES };

struct operation {
	void (*real)(void);
	uint64_t (*plain)(uint64_t *words);
	void (*compete)(uint64_t *words);
	void (*clean)(uint64_t *words); /* zeroes the words whose value is unspecified */
	site begin;
};

static site __percpu *real_site;
static uint64_t result;

static unsigned place_of(unsigned cpu)
{
	return cpu >= percpu_nr_cpus() ? FALLBACK : cpu == first_cpu ? FIRST : SECOND;
}

static uint64_t *copy_at(unsigned place)
{
	const unsigned copies[] = { first_cpu, second_cpu, percpu_nr_copies() - 1 };

	return place == FALLBACK || copies[place] < percpu_nr_cpus() ? *percpu_ptr(real_site, copies[place]) : NULL;
}

/* ---- groups: an addition of 5 and 7, and the next one ---- */

#define STEP2 16u
#define STEP4 32u

static void real_group2(void)
{
	result = percpu__try_group_add_2(real_site, 5, 7, 0, 0);
}

static void real_group4(void)
{
	volatile uint64_t v = 7; /* not an immediate operand */

	result = percpu__try_group_add_4(real_site, 5, v, 11, v + 6);
}

static void real_group3(void)
{
	result = percpu__try_group_add_3(real_site, 5, 7, 11, 0);
}

static void add_to_group(uint64_t *words, uint64_t factor, unsigned nr, uint64_t step)
{
	static const uint64_t v[] = { 5, 7, 11, 13 };
	const uint64_t *from = words + 1 + (words[0] & step) / 8;
	uint64_t *to = words + 1 + ((words[0] + step) & step) / 8;

	for (unsigned i = 0; i < nr; i++)
		to[i] = factor * from[i] + v[i];
	words[0] += step;
}

/* The slot that is not valid may be half written. */
static void clean_group(uint64_t *words, unsigned nr, uint64_t step)
{
	memset(words + 1 + ((words[0] + step) & step) / 8, 0, nr * sizeof(*words));
}

#define GROUP(nr, step)                                                                                      \
	static uint64_t plain_group##nr(uint64_t *words)                                                     \
	{                                                                                                    \
		add_to_group(words, 1, nr, step);                                                            \
		return true;                                                                                 \
	}                                                                                                    \
	static void compete_group##nr(uint64_t *words)                                                       \
	{                                                                                                    \
		add_to_group(words, 3, nr, step);                                                            \
	}                                                                                                    \
	static void clean_group##nr(uint64_t *words)                                                         \
	{                                                                                                    \
		clean_group(words, nr, step);                                                                \
	}
GROUP(2, STEP2)
GROUP(3, STEP4)
GROUP(4, STEP4)

/* ---- counters: total, folded ---- */

static const uint64_t bounds[2] = { 31, 62 };

static void clean_nothing(uint64_t *words)
{
}

static void real_count(void)
{
	result = percpu__try_counter_add(real_site, 5, bounds);
}

static uint64_t plain_count(uint64_t *words)
{
	const bool fits = words[0] - words[1] + 5 + bounds[0] <= bounds[1];

	words[0] += fits ? 5 : 0;
	return fits;
}

static void compete_count(uint64_t *words)
{
	words[1] = 3 * words[0];
	words[0] = words[1] + 4;
}

static void real_fold(void)
{
	int64_t distance = 0;

	result = percpu__try_counter_fold(real_site, &distance) ? (uint64_t)distance : false;
}

static uint64_t plain_fold(uint64_t *words)
{
	const uint64_t distance = words[0] - words[1];

	words[1] = words[0];
	return distance;
}

/* ---- histograms: sum, max, ~min ---- */

static void real_note(void)
{
	result = percpu__try_histogram_note(real_site, 500);
}

static uint64_t plain_note(uint64_t *words)
{
	const bool fits = words[1] >= 500 && words[2] >= ~UINT64_C(500);

	words[0] += fits ? 500 : 0;
	return fits;
}

static void compete_note(uint64_t *words)
{
	words[0] *= 3;
	words[1] = 1000;
	words[2] = ~UINT64_C(10);
}

/* ---- the table of scenarios ---- */

static const struct operation *operation_of(const struct scenario *self)
{
	return self->detail;
}

/* Makes the copies different, by their last word. */
static void begin(const struct operation *operation, struct world *w)
{
	memset(w, 0, sizeof(*w));
	for (unsigned place = 0; place < NR_PLACES; place++) {
		if (!copy_at(place))
			continue;
		memcpy(w->copies[place], operation->begin, sizeof(site));
		w->copies[place][NR_WORDS - 1] = place;
	}
}

static void prepare(const struct scenario *self)
{
	struct world w;

	if (!real_site)
		real_site = (site __percpu *)percpu_alloc(sizeof(site), 64);
	begin(operation_of(self), &w);
	for (unsigned place = 0; place < NR_PLACES; place++)
		if (copy_at(place))
			memcpy(copy_at(place), w.copies[place], sizeof(site));
	result = 0;
}

static void run(const struct scenario *self)
{
	operation_of(self)->real();
}

static void compete(const struct scenario *self, unsigned cpu)
{
	operation_of(self)->compete(copy_at(place_of(cpu)));
}

static void clean(const struct operation *operation, struct world *w)
{
	for (unsigned place = 0; place < NR_PLACES; place++)
		operation->clean(w->copies[place]);
}

static bool is_as_if_at(const struct operation *operation, const struct moves *moves, unsigned done_at,
			const struct world *seen)
{
	struct world w;

	begin(operation, &w);
	for (unsigned i = 0; i <= moves->nr_stops; i++) {
		const unsigned place = place_of(moves->cpu[i]);

		if (i == done_at)
			w.result = place == FALLBACK ? false : operation->plain(w.copies[place]);
		if (i < moves->nr_stops)
			operation->compete(w.copies[place]);
	}
	clean(operation, &w);
	return !memcmp(seen, &w, sizeof(w));
}

static const char *verdict(const struct scenario *self, const struct moves *moves)
{
	const struct operation *operation = operation_of(self);
	struct world seen;

	memset(&seen, 0, sizeof(seen));
	for (unsigned place = 0; place < NR_PLACES; place++)
		if (copy_at(place))
			memcpy(seen.copies[place], copy_at(place), sizeof(site));
	seen.result = result;
	clean(operation, &seen);
	for (unsigned done_at = 0; done_at <= moves->nr_stops; done_at++)
		if (is_as_if_at(operation, moves, done_at, &seen))
			return NULL;
	return "not as if done at once, on a CPU that the thread was on, before the competitor came there";
}

#define SCENARIO(text, how, real, plain, compete_by, clean_by, ...)                                          \
	{ text, how, NULL, prepare, run, compete, verdict,                                                   \
	  &(const struct operation){ real, plain, compete_by, clean_by, { __VA_ARGS__ } } },
#define GROUP_SCENARIO(nr, how, word)                                                                        \
	SCENARIO("group_add of " #nr, how, real_group##nr, plain_group##nr, compete_group##nr, clean_group##nr, word, 1, 2, \
		 3, 4, 5, 6, 7, 8)

static const struct scenario scenarios[] = {
	GROUP_SCENARIO(2, "from slot 0", 6 * STEP2)
	GROUP_SCENARIO(2, "from slot 1", 7 * STEP2)
	GROUP_SCENARIO(3, "from slot 0", 6 * STEP4)
	GROUP_SCENARIO(3, "from slot 1", 7 * STEP4)
	GROUP_SCENARIO(4, "from slot 0", 6 * STEP4)
	GROUP_SCENARIO(4, "from slot 1", 7 * STEP4)
	SCENARIO("counter_add", "", real_count, plain_count, compete_count, clean_nothing, 100, 90)
	SCENARIO("counter_add", "too far", real_count, plain_count, compete_count, clean_nothing, 100, 72)
	SCENARIO("counter_fold", "", real_fold, plain_fold, compete_count, clean_nothing, 100, 90)
	SCENARIO("histogram_note", "", real_note, plain_note, compete_note, clean_nothing, 9000, 600, ~UINT64_C(400))
	SCENARIO("histogram_note", "a new maximum", real_note, plain_note, compete_note, clean_nothing, 9000, 499,
		 ~UINT64_C(400))
	SCENARIO("histogram_note", "a new minimum", real_note, plain_note, compete_note, clean_nothing, 9000, 600,
		 ~UINT64_C(501))
};

size_t statistics_scenarios(const struct scenario **list)
{
	*list = scenarios;
	return sizeof(scenarios) / sizeof(scenarios[0]);
}
