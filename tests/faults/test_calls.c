/* SPDX-License-Identifier: MIT */
/*
 * Makes every call fail once: for every public function that makes system calls or calls malloc,
 * the n-th such call is refused, for n = 1, 2, 3 ... until the function makes fewer than n calls.
 * Each time the function must return a documented result and leave a consistent state, the next
 * attempt must succeed, and nothing may stay mapped or allocated.
 *
 *	test_calls [WORD...]	runs only scenarios whose name contains one of the words
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults/scenario.h"

#if REFUSE_IS_KNOWN
/* Exit codes of a child; end_of also returns SAID_WHY. */
enum end { FINE, WRONG, NEEDS_NO_MORE, NO_FILTER, SAID_WHY };

_Noreturn void fail_at(const char *file, int line, const char *condition)
{
	refuse_is_armed = false;
	printf("# %s:%d: %s (call %u refused: %s)\n", file, line, condition, refuse_which,
	       refuse_refused ? refuse_refused : "none");
	exit(WRONG);
}

/* ---- resources in use ---- */

size_t nr_live(struct percpu_pool *pool)
{
	const bool was_armed = refuse_is_armed;
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	refuse_is_armed = false;
	must(!percpu_pool_stats(pool, &stats));
	refuse_is_armed = was_armed;
	return stats.nr_live;
}

bool is_fresh(void *area, size_t size)
{
	must(area || errno == ENOMEM);
	if (!area)
		return false;
	percpu_for_each_copy(i) {
		char *copy = percpu_ptr((char *)area, i);

		for (size_t at = 0; at < size; at++)
			must(!copy[at]);
		memset(copy, 0xff, size);
	}
	return true;
}

/*
 * Bytes rather than mappings are counted, because the kernel merges neighbours. malloc's heap is
 * left out; its blocks are counted instead.
 */
static size_t mapped_bytes(void)
{
	char buffer[16384], *line, *next;
	size_t bytes = 0, filled = 0;
	unsigned long start, end;
	ssize_t got;
	const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	while ((got = read(fd, buffer + filled, sizeof(buffer) - 1 - filled)) > 0) {
		filled += got;
		buffer[filled] = '\0';
		for (line = buffer; (next = strchr(line, '\n')); line = next + 1) {
			*next = '\0';
			if (sscanf(line, "%lx-%lx", &start, &end) == 2 && !strstr(line, "[heap]"))
				bytes += end - start;
		}
		filled -= line - buffer;
		memmove(buffer, line, filled);
	}
	close(fd);
	return bytes;
}

/* Resources that must not grow. */
struct held {
	size_t live, mapped_bytes;
	long blocks;
};

static struct held held_now(void)
{
	return (struct held){ nr_live(NULL), mapped_bytes(), refuse_nr_blocks };
}

static void keep_least(struct held *least, struct held now)
{
	least->live = now.live < least->live ? now.live : least->live;
	if (now.mapped_bytes < least->mapped_bytes)
		least->mapped_bytes = now.mapped_bytes;
	least->blocks = now.blocks < least->blocks ? now.blocks : least->blocks;
}

/* ---- attempts ---- */

static bool attempt(const struct scenario *scenario, unsigned which)
{
	bool succeeded;

	refuse_refused = NULL;
	refuse_nr_calls = 0;
	refuse_which = which;
	refuse_is_armed = true;
	succeeded = scenario->attempt();
	refuse_is_armed = false;
	return succeeded;
}

static void clear_away(const struct scenario *scenario, bool succeeded)
{
	void (*const clear)(void) = succeeded ? scenario->undo : scenario->mend;

	if (clear)
		clear();
}

/* An attempt with nothing refused must succeed. */
static void cycle(const struct scenario *scenario)
{
	must(attempt(scenario, 0));
	clear_away(scenario, true);
}

static void begin(const struct scenario *scenario)
{
	if (!refuse_begin())
		exit(NO_FILTER);
	refuse_spares_malloc = scenario->spares_malloc;
	if (scenario->prepare)
		scenario->prepare();
}

/* Resources held after two cycles without a failure; shared by all children. */
static struct held *held_if_fine;

/* Runs in a child. If which is 0, nothing is refused, and the resources held are recorded. */
static _Noreturn void go_on(const struct scenario *scenario, unsigned which, const char *options)
{
	size_t mapped;
	bool succeeded;

	setenv("PERCPU_OPTIONS", options, 1);
	begin(scenario);
	if (!which) {
		cycle(scenario);
		cycle(scenario);
		*held_if_fine = held_now();
		exit(FINE);
	}
	succeeded = attempt(scenario, which);
	if (!refuse_refused) {
		must(succeeded);
		exit(NEEDS_NO_MORE);
	}
	clear_away(scenario, succeeded);
	cycle(scenario);
	must(nr_live(NULL) == held_if_fine->live);
	must(scenario->spares_malloc || refuse_nr_blocks <= held_if_fine->blocks);
	mapped = mapped_bytes();
	for (int i = 0; i < 5; i++)
		cycle(scenario);
	must(mapped_bytes() <= mapped);
	exit(FINE);
}

/*
 * Refuses every call in turn, again and again in one process: leftovers of failures must not
 * accumulate. Calls that give memory back are not refused, because memory that cannot be unmapped
 * has to stay.
 */
static _Noreturn void repeat(const struct scenario *scenario, unsigned nr_calls)
{
	struct held early = { SIZE_MAX, SIZE_MAX, LONG_MAX }, late = early;

	setenv("PERCPU_OPTIONS", "", 1);
	refuse_lets_go = true;
	begin(scenario);
	for (unsigned round = 0; round < 8; round++)
		for (unsigned which = 1; which <= nr_calls + 1; which++) {
			clear_away(scenario, attempt(scenario, which));
			if (round == 3)
				keep_least(&early, held_now());
			if (round == 7)
				keep_least(&late, held_now());
		}
	must(late.live <= early.live);
	must(late.mapped_bytes <= early.mapped_bytes);
	must(late.blocks <= early.blocks);
	exit(FINE);
}

/* ---- running them ---- */

static int last_words; /* a file with the standard error of the child */

/* Returns: true if the child aborted and printed the expected message. */
static bool has_said_why(const struct scenario *scenario, int status, const char *said)
{
	return scenario->last_words && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
	       strstr(said, scenario->last_words);
}

static int end_of(const struct scenario *scenario, pid_t child)
{
	char said[512] = "";
	int status, end;

	if (waitpid(child, &status, 0) != child || pread(last_words, said, sizeof(said) - 1, 0) < 0)
		return WRONG;
	if (WIFEXITED(status))
		end = WEXITSTATUS(status);
	else
		end = has_said_why(scenario, status, said) ? SAID_WHY : WRONG;
	if (end == WRONG)
		printf("# status %#x: %s\n", status, said);
	return end;
}

static pid_t fork_for(const struct scenario *scenario)
{
	pid_t child;

	fflush(stdout);
	if (lseek(last_words, 0, SEEK_SET) || ftruncate(last_words, 0))
		return -1;
	child = fork();
	if (!child)
		dup2(last_words, STDERR_FILENO);
	return child;
}

/* Returns: 1 + the number of calls that the scenario makes; 0 if a child failed. */
static unsigned refuse_each(const struct scenario *scenario, const char *options)
{
	for (unsigned which = 0;; which++) {
		const pid_t child = fork_for(scenario);
		int end;

		if (!child)
			go_on(scenario, which, options);
		end = end_of(scenario, child);
		if (end == FINE || (which && end == SAID_WHY))
			continue;
		if (end == NEEDS_NO_MORE)
			return which;
		printf("# %s, PERCPU_OPTIONS=%s, call %u refused: child ended with %d\n",
		       scenario->name, options, which, end);
		return 0;
	}
}

static unsigned nr_tests;

static void report(bool is_fine, const char *name, const char *what)
{
	printf("%sok %u - %s: %s\n", is_fine ? "" : "not ", ++nr_tests, name, what);
}

static void test(const struct scenario *scenario)
{
	static const char *const options[] = {
		"", "cpus:6", "cpus:3,mode:atomic", "cpus:3,check,leaks",
	};
	unsigned most = 0, least = -1u;
	char text[64];
	pid_t child;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const unsigned nr_calls = refuse_each(scenario, options[i]);

		most = nr_calls > most ? nr_calls : most;
		least = nr_calls < least ? nr_calls : least;
	}
	snprintf(text, sizeof(text), "each of up to %u calls refused", most ? most - 1 : 0);
	report(least, scenario->name, text);
	if (scenario->last_words)
		return;
	child = fork_for(scenario);
	if (!child)
		repeat(scenario, most);
	report(end_of(scenario, child) == FINE, scenario->name,
	       "leftovers of failures do not accumulate");
}

static bool can_filter(void)
{
	int status;
	const pid_t child = fork();

	if (!child)
		exit(refuse_begin() ? FINE : NO_FILTER);
	return waitpid(child, &status, 0) == child && status == 0;
}

static bool is_chosen(const struct scenario *scenario, char *const *words)
{
	bool is = !*words;

	for (; *words; words++)
		is |= strstr(scenario->name, *words) != NULL;
	return is;
}

int main(int argc, char **argv)
{
	size_t (*const lists[])(const struct scenario **list) = {
		memory_scenarios, caches_scenarios, statistics_scenarios, published_scenarios,
	};
	const struct scenario *list;

	held_if_fine = mmap(NULL, sizeof(*held_if_fine), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	last_words = memfd_create("last words", MFD_CLOEXEC);
	if (held_if_fine == MAP_FAILED || last_words < 0 || !can_filter())
		return printf("1..0 # SKIP no seccomp filters here\n") < 0;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t nr = lists[i](&list); nr; nr--, list++)
			if (is_chosen(list, argv + 1))
				test(list);
	printf("1..%u\n", nr_tests);
	return 0;
}
#else
int main(void)
{
	return printf("1..0 # SKIP a machine whose calls this test cannot refuse\n") < 0;
}
#endif
