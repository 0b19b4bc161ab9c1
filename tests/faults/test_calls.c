/* SPDX-License-Identifier: MIT */
/*
 * Every failing call, for every public function that makes any: its nth system call is refused, for n = 1, 2,
 * 3 ... until it needs no more. What it returns is documented, what it leaves is whole, the next attempt
 * works, and nothing of all that stays mapped.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <percpu/percpu.h>

#include "faults/refuse.h"

#if REFUSE_IS_KNOWN
/* How a child ends. */
enum end { FINE, WRONG, NEEDS_NO_MORE, NO_FILTER };

/* In a child that Check knows nothing of: a line, and an end. */
#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			fail_at(__LINE__, #condition);                                                       \
	} while (0)

static _Noreturn void fail_at(int line, const char *condition)
{
	refuse_is_armed = false;
	printf("# %s:%d: %s (call %u refused: %s)\n", __FILE__, line, condition, refuse_which,
	       refuse_refused ? refuse_refused : "none");
	fflush(stdout);
	_exit(WRONG);
}

/* ---- what is seen from outside ---- */

/* Looking is not refused anything. */
static size_t nr_live(struct percpu_pool *pool)
{
	const bool was_armed = refuse_is_armed;
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	refuse_is_armed = false;
	must(!percpu_pool_stats(pool, &stats));
	refuse_is_armed = was_armed;
	return stats.nr_live;
}

static size_t nr_objects(struct percpu_cache *cache)
{
	const bool was_armed = refuse_is_armed;
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	refuse_is_armed = false;
	must(!percpu_cache_stats(cache, &stats));
	refuse_is_armed = was_armed;
	return stats.nr_objects;
}

static unsigned nr_mappings(void)
{
	char buffer[4096];
	unsigned nr = 0;
	ssize_t got;
	const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
		for (ssize_t i = 0; i < got; i++)
			nr += buffer[i] == '\n';
	close(fd);
	return nr;
}

/* A new area is zero in every copy, and every copy takes what is written. */
static bool is_fresh(void *area, size_t size)
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

/* ---- scenarios ---- */

/*
 * prepare: with nothing refused. attempt: what may be; returns whether it succeeded, after it looked at
 * how it failed. undo: after a success.
 */
struct scenario {
	const char *name;
	void (*prepare)(void);
	bool (*attempt)(void);
	void (*undo)(void);
};

#define NR_MANY 30
#define AREA_BYTES 20000 /* so that many are more than one chunk has */
static void *areas[NR_MANY], *objects[NR_MANY];
static struct percpu_pool *pool;
static struct percpu_cache *cache;

static void prepare_nothing(void)
{
}

static bool attempt_alloc(void)
{
	return is_fresh(areas[0] = (void *)percpu_alloc(24, 8), 24);
}

static void undo_alloc(void)
{
	percpu_free(areas[0]);
}

static bool attempt_array(void)
{
	return is_fresh(areas[0] = (void *)percpu_new_array(uint64_t, 1000), 8000);
}

static bool attempt_alloc_bulk(void)
{
	const size_t before = nr_live(NULL);
	const int error = percpu_alloc_bulk(AREA_BYTES, 8, NR_MANY, areas);

	must(!error || error == -ENOMEM);
	must(nr_live(NULL) == before + (error ? 0 : NR_MANY));
	return !error;
}

static void undo_alloc_bulk(void)
{
	percpu_free_bulk(NR_MANY, areas);
}

static bool attempt_pool(void)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .populate = PERCPU_ON };

	pool = percpu_pool_create("faults", &attr);
	must(pool || errno == ENOMEM);
	return pool;
}

static void undo_pool(void)
{
	must(!percpu_pool_destroy(pool));
}

static void prepare_pool(void)
{
	must(attempt_pool());
}

static bool attempt_pool_alloc(void)
{
	if (is_fresh(areas[0] = (void *)percpu_pool_alloc(pool, 5000, 64), 5000))
		return true;
	must(!nr_live(pool));
	return false;
}

/* What is in use stays as it is, whatever a trim may not do. */
static void prepare_dirty(void)
{
	must(!percpu_alloc_bulk(AREA_BYTES, 8, NR_MANY, areas));
	for (int i = 0; i < NR_MANY; i++)
		must(is_fresh(areas[i], AREA_BYTES));
}

static bool attempt_cycle(void)
{
	bool all = true;

	for (int i = 0; i < NR_MANY; i++)
		if (i % 7)
			percpu_free(areas[i]);
	must(percpu_trim(NULL) >= 0);
	for (int i = 0; i < NR_MANY; i++) {
		if (i % 7)
			all &= is_fresh(areas[i] = (void *)percpu_alloc(AREA_BYTES, 8), AREA_BYTES);
		else
			must(percpu_ptr((char *)areas[i], 1)[AREA_BYTES - 1] == (char)0xff);
	}
	return all;
}

static void undo_nothing(void)
{
}

static bool attempt_cache(void)
{
	cache = percpu_cache_create("faults", 200, 64, 0, NULL);
	must(cache || errno == ENOMEM);
	return cache;
}

static void undo_cache(void)
{
	must(!percpu_cache_destroy(cache));
}

static void prepare_cache(void)
{
	must(attempt_cache());
}

static bool attempt_cache_alloc(void)
{
	objects[0] = percpu_cache_alloc(cache);
	must(objects[0] || (errno == ENOMEM && !nr_objects(cache)));
	if (objects[0])
		memset(objects[0], 0xff, 200);
	return objects[0];
}

static void undo_cache_alloc(void)
{
	percpu_cache_free(cache, objects[0]);
	must(!nr_objects(cache));
}

static bool attempt_cache_alloc_bulk(void)
{
	const int error = percpu_cache_alloc_bulk(cache, NR_MANY, objects);

	must(!error || error == -ENOMEM);
	must(nr_objects(cache) == (error ? 0 : NR_MANY));
	return !error;
}

static void undo_cache_alloc_bulk(void)
{
	percpu_cache_free_bulk(cache, NR_MANY, objects);
	must(!nr_objects(cache));
}

/* Frees have no way to fail: of one's own, of others', to others. */
static bool attempt_cache_cycle(void)
{
	must(nr_objects(cache) == NR_MANY);
	for (int i = 0; i < NR_MANY; i++)
		if (i % 3)
			percpu_cache_free(cache, objects[i]);
		else
			percpu_cache_free_to(cache, objects[i], i % percpu_nr_cpus());
	must(!nr_objects(cache));
	must(percpu_cache_shrink(cache) >= 0);
	return !percpu_cache_alloc_bulk(cache, NR_MANY, objects);
}

static void prepare_cache_objects(void)
{
	prepare_cache();
	must(attempt_cache_alloc_bulk());
}

/* After a cycle that got no objects again. */
static void undo_cache_cycle(void)
{
	if (!nr_objects(cache))
		must(attempt_cache_alloc_bulk());
}

static bool attempt_cache_destroy(void)
{
	must(percpu_cache_destroy(cache) == -EBUSY);
	undo_cache_alloc_bulk();
	must(!percpu_cache_destroy(cache));
	prepare_cache_objects();
	return true;
}

static const struct scenario scenarios[] = {
	{ "percpu_alloc, the first one, and percpu_free", prepare_nothing, attempt_alloc, undo_alloc },
	{ "percpu_alloc_array", prepare_nothing, attempt_array, undo_alloc },
	{ "percpu_alloc_bulk, percpu_free_bulk", prepare_nothing, attempt_alloc_bulk, undo_alloc_bulk },
	{ "percpu_trim, percpu_free and percpu_alloc of dirty memory", prepare_dirty, attempt_cycle, undo_nothing },
	{ "percpu_pool_create, percpu_pool_destroy", prepare_nothing, attempt_pool, undo_pool },
	{ "percpu_pool_alloc", prepare_pool, attempt_pool_alloc, undo_alloc },
	{ "percpu_cache_create, percpu_cache_destroy", prepare_nothing, attempt_cache, undo_cache },
	{ "percpu_cache_alloc, percpu_cache_free", prepare_cache, attempt_cache_alloc, undo_cache_alloc },
	{ "percpu_cache_alloc_bulk, percpu_cache_free_bulk", prepare_cache, attempt_cache_alloc_bulk, undo_cache_alloc_bulk },
	{ "percpu_cache_free, _free_to, _shrink", prepare_cache_objects, attempt_cache_cycle, undo_cache_cycle },
	{ "percpu_cache_destroy", prepare_cache_objects, attempt_cache_destroy, undo_nothing },
};
#define NR_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* ---- running them ---- */

static size_t *live_if_fine; /* areas that remain after an attempt and its undoing; seen by all processes */

/* In a process of its own. Refuses nothing if which is 0, to see how it should be. */
static _Noreturn void go_on(const struct scenario *scenario, unsigned which, const char *options)
{
	unsigned mappings;
	bool succeeded;

	setenv("PERCPU_OPTIONS", options, 1);
	if (!refuse_begin())
		_exit(NO_FILTER);
	scenario->prepare();
	refuse_which = which;
	refuse_is_armed = true;
	succeeded = scenario->attempt();
	refuse_is_armed = false;
	if (!which) {
		scenario->undo();
		*live_if_fine = nr_live(NULL);
		_exit(FINE);
	}
	if (!refuse_refused) {
		must(succeeded);
		_exit(NEEDS_NO_MORE);
	}
	if (succeeded)
		scenario->undo();
	must(scenario->attempt());
	scenario->undo();
	must(nr_live(NULL) == *live_if_fine);
	mappings = nr_mappings();
	for (int i = 0; i < 5; i++) {
		must(scenario->attempt());
		scenario->undo();
	}
	must(nr_mappings() <= mappings + 2); /* of malloc, say */
	_exit(FINE);
}

/* What a failure leaves does not add up: again and again the same call refused, in one process. */
static _Noreturn void repeat(const struct scenario *scenario, unsigned nr_calls)
{
	unsigned mappings = 0;
	size_t live = 0;

	if (!refuse_begin())
		_exit(NO_FILTER);
	scenario->prepare();
	for (unsigned round = 0; round < 10 * (nr_calls + 1); round++) {
		bool succeeded;

		if (round == 3 * (nr_calls + 1)) {
			mappings = nr_mappings();
			live = nr_live(NULL);
		}
		refuse_nr_calls = 0;
		refuse_which = 1 + round % (nr_calls + 1);
		refuse_is_armed = true;
		succeeded = scenario->attempt();
		refuse_is_armed = false;
		if (succeeded || scenario->undo == undo_cache_cycle)
			scenario->undo();
		else if (scenario->attempt == attempt_cycle)
			must(scenario->attempt()); /* what is missing is NULL, which may be freed */
	}
	/* Only what could not be unmapped stays, and each time in two parts at most. */
	must(nr_mappings() <= mappings + 14 * 3 + 10);
	must(nr_live(NULL) == live);
	_exit(FINE);
}

static int end_of(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return WRONG;
	return WEXITSTATUS(status);
}

/* Returns: how many calls the scenario makes; 0: something went wrong. */
static unsigned refuse_each(const struct scenario *scenario, const char *options)
{
	for (unsigned which = 0;; which++) {
		const pid_t child = fork();
		int end;

		if (!child)
			go_on(scenario, which, options);
		end = end_of(child);
		if (end == FINE)
			continue;
		if (end == NEEDS_NO_MORE)
			return which;
		printf("# %s, PERCPU_OPTIONS=%s, call %u: ended by %d\n", scenario->name, options, which, end);
		return 0;
	}
}

static bool can_filter(void)
{
	const pid_t child = fork();

	if (!child)
		_exit(refuse_begin() ? FINE : NO_FILTER);
	return end_of(child) == FINE;
}

int main(void)
{
	static const char *const options[] = { "", "cpus:6", "cpus:3,mode:atomic", "cpus:3,check,leaks" };
	unsigned nr = 0;

	live_if_fine = mmap(NULL, sizeof(*live_if_fine), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (live_if_fine == MAP_FAILED || !can_filter())
		return printf("1..0 # SKIP no seccomp filters here\n") < 0;
	for (size_t i = 0; i < NR_SCENARIOS; i++) {
		unsigned most = 0, least = -1u;
		pid_t child;

		for (size_t j = 0; j < sizeof(options) / sizeof(options[0]); j++) {
			const unsigned nr_calls = refuse_each(&scenarios[i], options[j]);

			most = nr_calls > most ? nr_calls : most;
			least = nr_calls < least ? nr_calls : least;
		}
		printf("%sok %u - %s: each of up to %u calls refused\n", least ? "" : "not ", ++nr, scenarios[i].name,
		       most ? most - 1 : 0);
		fflush(stdout);
		child = fork();
		if (!child)
			repeat(&scenarios[i], most);
		printf("%sok %u - %s: failures do not add up\n", end_of(child) == FINE ? "" : "not ", ++nr, scenarios[i].name);
	}
	printf("1..%u\n", nr);
	return 0;
}
#else
int main(void)
{
	return printf("1..0 # SKIP a machine whose calls this test cannot refuse\n") < 0;
}
#endif
