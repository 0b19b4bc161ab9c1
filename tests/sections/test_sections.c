/* SPDX-License-Identifier: MIT */
/*
 * Stops each restartable sequence of this program, which contains all operations of the headers and
 * the whole library, before each of its instructions and right after the last one. There the thread
 * is preempted or moved to another CPU, while a competitor works on the CPU where it was; the
 * sequence begins again and is stopped once more. The result must be that of plain C.
 *
 * Then the sequences are broken on purpose, one after the other, and each must be detected.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sections/arch.h"
#include "sections/tracer.h"

#if ARCH_IS_KNOWN
static const struct plan plans[] = {
	{ "moved away", 1, { GO } },
	{ "moved away and back", 2, { GO, GO } },
	{ "preempted twice", 2, { STAY, STAY } },
};
#define NR_PLANS (sizeof(plans) / sizeof(plans[0]))

static unsigned nr_tests, nr_disturbed;

static void report(bool is_fine, const char *name)
{
	printf("%sok %u - %s\n", is_fine ? "" : "not ", ++nr_tests, name);
}

/* ---- scenarios, and the boundaries that each reaches ---- */

struct visited {
	const struct scenario *scenario;
	unsigned nr;
	struct place places[32 * MAX_BOUNDARIES];
};

static struct visited *visits;
static size_t nr_visits;

static void take_note(struct place place, void *arg)
{
	struct visited *visited = arg;
	unsigned index;
	struct section *section = section_at(place.boundary, &index);

	if (!section || visited->nr == sizeof(visited->places) / sizeof(visited->places[0]))
		abort();
	section->is_reached[index] = section->is_reached_now[index] = true;
	visited->places[visited->nr++] = place;
}

static void forget_what_is_reached(void)
{
	for (size_t i = 0; i < nr_sections; i++)
		memset(sections[i].is_reached_now, 0, sizeof(sections[i].is_reached_now));
}

static void list_scenarios(void)
{
	size_t (*const lists[])(const struct scenario **list) = { words_scenarios, statistics_scenarios, paths_scenarios };
	const struct scenario *list;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		nr_visits += lists[i](&list);
	visits = calloc(nr_visits, sizeof(*visits));
	nr_visits = 0;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t nr = lists[i](&list); nr; nr--)
			visits[nr_visits++].scenario = list++;
}

static void tell(const struct visited *visited, struct place place, const char *how, const char *wrong)
{
	unsigned index = 0;
	const struct section *section = section_at(place.boundary, &index);

	printf("# %s (%s) in %s", visited->scenario->name, visited->scenario->variant, section ? section->function : "?");
	printf(", %s at boundary %u of %u: %s\n", how, index, section ? section->nr_boundaries : 0, wrong);
}

/* Returns a victim for the scenario: the current one, if it is alive and has the right options. */
static void revive(struct victim *victim, const struct scenario *scenario, const char *options)
{
	if (scenario->options)
		options = scenario->options;
	if (victim->pid && !strcmp(victim->options, options))
		return;
	if (victim->pid)
		victim_end(victim);
	victim_start(victim, options);
}

/* Only the library's own paths branch differently after a move: their scenarios have options. */
static bool visit_all(void)
{
	struct victim victim = { .pid = 0 };
	unsigned nr_wrong = 0;

	for (size_t i = 0; i < nr_visits; i++) {
		struct visited *visited = &visits[i];
		const char *wrong;

		forget_what_is_reached();
		revive(&victim, visited->scenario, "");
		wrong = victim_visit(&victim, visited->scenario, take_note, visited);
		if (wrong && nr_wrong++ < 20)
			tell(visited, visited->places[0], "preempted", wrong);
		for (unsigned at = 0; visited->scenario->options && at < visited->nr && !visited->places[at].detour; at++) {
			revive(&victim, visited->scenario, "");
			wrong = victim_visit_rest(&victim, visited->scenario, visited->places[at].boundary, take_note, visited);
			if (wrong && nr_wrong++ < 20)
				tell(visited, visited->places[at], "moved away", wrong);
		}
	}
	victim_end(&victim);
	return !nr_wrong;
}

static bool none_is_skipped(void)
{
	unsigned nr_boundaries = 0, nr_skipped = 0;

	for (size_t i = 0; i < nr_sections; i++) {
		const struct section *section = &sections[i];
		unsigned nr_reached = 0;

		for (unsigned at = 0; at < section->nr_boundaries; at++) {
			nr_reached += section->is_reached[at];
			if (!section->is_reached[at])
				printf("# skipped: %s + %#lx\n", section->function,
				       (unsigned long)(section->boundaries[at] - section->arm));
		}
		printf("# %s: %u boundaries, %u reached\n", section->function, section->nr_boundaries, nr_reached);
		nr_boundaries += section->nr_boundaries;
		nr_skipped += section->nr_boundaries - nr_reached;
	}
	printf("# %zu sections, %u boundaries, %u skipped\n", nr_sections, nr_boundaries, nr_skipped);
	return nr_sections && !nr_skipped;
}

/* ---- disturbances ---- */

/* options: for scenarios that have none, which alone run then; NULL: all scenarios run. */
static bool disturb_all(const char *options)
{
	struct victim victim = { .pid = 0 };
	unsigned nr_wrong = 0;

	for (size_t i = 0; i < nr_visits; i++) {
		if (options && visits[i].scenario->options)
			continue;
		for (unsigned at = 0; at < visits[i].nr; at++)
			for (const struct plan *plan = plans; plan < plans + NR_PLANS; plan++) {
				const char *wrong;

				revive(&victim, visits[i].scenario, options ? options : "");
				wrong = victim_disturb(&victim, visits[i].scenario, visits[i].places[at], plan);
				nr_disturbed++;
				if (wrong && nr_wrong++ < 20)
					tell(&visits[i], visits[i].places[at], plan->name, wrong);
			}
	}
	victim_end(&victim);
	return !nr_wrong;
}

/* ---- broken sequences ---- */

/* The sequence ends before its last instruction: a thread that is stopped there is not aborted. */
static void end_early(const struct victim *victim, const struct section *section)
{
	const uint64_t length = section->last - section->start;

	victim_write(victim, (uintptr_t)&section->descriptor->length, &length, sizeof(length));
}

static void send_abort_to(const struct victim *victim, const struct section *section, uintptr_t where)
{
	uint8_t code[ARCH_JUMP_BYTES];

	arch_make_jump(code, section->abort, where);
	victim_write(victim, section->abort, code, sizeof(code));
}

/* An abort continues behind the sequence. */
static void give_up(const struct victim *victim, const struct section *section)
{
	send_abort_to(victim, section, section->end);
}

/* An abort begins again without arming. */
static void stay_unarmed(const struct victim *victim, const struct section *section)
{
	send_abort_to(victim, section, section->start);
}

/* The sequence is not registered with the kernel. */
static void be_unknown(const struct victim *victim, const struct section *section)
{
	const uint64_t length = 0;

	victim_write(victim, (uintptr_t)&section->descriptor->length, &length, sizeof(length));
}

typedef void break_fn(const struct victim *victim, const struct section *section);

/* Returns: true if a plan at one of the sequence's boundaries makes the scenario fail. */
static bool is_noticed_in(const struct visited *visited, const struct section *section, break_fn *break_it)
{
	struct victim victim = { .pid = 0, .is_quiet = true };
	bool noticed = false;
	unsigned index;

	for (unsigned at = 0; at < visited->nr && !noticed; at++) {
		if (section_at(visited->places[at].boundary, &index) != section)
			continue;
		if (!victim.pid) {
			revive(&victim, visited->scenario, "");
			break_it(&victim, section);
		}
		for (const struct plan *plan = plans; plan < plans + NR_PLANS && !noticed; plan++)
			noticed = victim_disturb(&victim, visited->scenario, visited->places[at], plan);
	}
	if (victim.pid)
		victim_end(&victim);
	return noticed;
}

static bool is_noticed(const struct section *section, break_fn *break_it)
{
	for (size_t i = 0; i < nr_visits; i++)
		if (is_noticed_in(&visits[i], section, break_it))
			return true;
	return false;
}

static bool all_are_noticed(break_fn *break_it)
{
	unsigned nr_noticed = 0;

	for (size_t i = 0; i < nr_sections; i++)
		if (is_noticed(&sections[i], break_it))
			nr_noticed++;
		else
			printf("# not noticed: %s, section %zu\n", sections[i].function, i);
	printf("# %u of %zu noticed\n", nr_noticed, nr_sections);
	return nr_noticed == nr_sections;
}

/* The first two CPUs that this process may use. */
static bool find_cpus(void)
{
	unsigned nr = 0;
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return false;
	for (unsigned cpu = 0; cpu < CPU_SETSIZE && nr < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			*(nr++ ? &second_cpu : &first_cpu) = cpu;
	return nr == 2;
}

static bool is_in_rseq_mode(void)
{
	return percpu_mode() == PERCPU_MODE_RSEQ;
}

static bool can_be_traced(void)
{
	return !ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static bool can_see(void)
{
	const char *blind_spot = words_blind_spot();

	if (blind_spot)
		printf("# blind for %s\n", blind_spot);
	return !blind_spot;
}

/* This process must not start the library: each victim does so with options of its own. */
static bool in_child(bool (*ask)(void))
{
	int status = 0;
	const pid_t child = fork();

	if (!child)
		exit(ask() ? EXIT_SUCCESS : EXIT_FAILURE);
	return waitpid(child, &status, 0) == child && status == 0;
}

int main(void)
{
	char one_cpu[32];
	const char *why;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (getenv("TESTS_RUN_ONCE"))
		why = "the same sections, run before";
	else if (!find_cpus())
		why = "one CPU alone to be moved to";
	else if (!in_child(is_in_rseq_mode))
		why = "not in rseq mode";
	else if (!in_child(can_be_traced))
		why = "ptrace is not allowed here";
	else
		why = sections_read();
	if (why)
		return printf("1..0 # SKIP %s\n", why) < 0;

	list_scenarios();
	report(in_child(can_see), "what goes wrong can be seen");
	report(visit_all(), "preempted before every instruction, each scenario comes out right");
	report(none_is_skipped(), "every boundary of every section is reached");
	report(disturb_all(NULL), "disturbed at every boundary: as in plain C");
	snprintf(one_cpu, sizeof(one_cpu), "cpus:%u", first_cpu + 1);
	report(disturb_all(one_cpu), "beside a CPU without a copy: as in plain C");
	printf("# disturbed %u times\n", nr_disturbed);
	report(all_are_noticed(end_early), "a commit outside of its section is noticed");
	report(all_are_noticed(give_up), "a handler that gives up is noticed");
	report(all_are_noticed(stay_unarmed), "a handler that does not arm again is noticed");
	report(all_are_noticed(be_unknown), "a section without instructions is noticed");
	printf("1..%u\n", nr_tests);
	return 0;
}
#else
int main(void)
{
	return printf("1..0 # SKIP the breakpoints of this architecture are not known here\n") < 0;
}
#endif
