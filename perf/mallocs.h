/* SPDX-License-Identifier: MIT */
/*
 * Object caches beside malloc: every side runs in processes of its own, the same program with
 * another malloc preloaded, and does the same work, object by object, through the same loops.
 */
#ifndef PERCPU_PERF_MALLOCS_H
#define PERCPU_PERF_MALLOCS_H

#include "bench.h"

#include <dlfcn.h>
#include <fcntl.h>

#include <percpu/percpu.h>

static const struct side {
	const char *name, *library;
} sides[] = {
	{ "libpercpu", NULL },
	{ "glibc", NULL },
	{ "jemalloc", "libjemalloc.so.2" },
	{ "mimalloc", "libmimalloc.so.2.0" },
	{ "tcmalloc", "libtcmalloc_minimal.so.4" },
};
#define NR_SIDES (sizeof(sides) / sizeof(sides[0]))
#define FIRST_OTHER 2 /* of the mallocs that must be installed */

/*
 * The work on both sides is one function, inlined once with a cache and once with NULL, which means
 * malloc. The cache is in a local variable, as it usually is in programs.
 */
static struct percpu_cache *ours; /* NULL: another side's process */

static inline __attribute__((always_inline)) void *take(struct percpu_cache *cache, size_t size)
{
	void *object = cache ? percpu_cache_alloc(cache) : malloc(size);

	bench_use(object);
	return object;
}

static inline __attribute__((always_inline)) void give(struct percpu_cache *cache, void *object)
{
	bench_use(object);
	if (cache)
		percpu_cache_free(cache, object);
	else
		free(object);
}

/* ---- processes ---- */

#define SIDE_IS_MISSING 3 /* status of a child whose malloc is not installed */

/* In the child: returns true if that malloc is the one that was preloaded. */
static inline bool side_is_here(const char *name)
{
	const struct side *side = sides;

	while (strcmp(side->name, name))
		side++;
	return !side->library || dlopen(side->library, RTLD_LAZY | RTLD_NOLOAD);
}

/* In the child: makes a cache of such objects if the side is ours. */
static inline void side_start(const char *name, size_t size)
{
	if (strcmp(name, sides[0].name))
		return;
	ours = percpu_cache_create("bench", size, 0, 0, NULL);
	bench_check(ours);
}

/*
 * Runs this program with --side, the side's name and an argument. Returns: true if it is installed;
 * its output in text.
 */
static inline bool side_run(const struct side *side, const char *arg, char *text, size_t size)
{
	int ends[2], status;
	pid_t child;

	bench_check(!pipe(ends));
	child = fork();
	bench_check(child >= 0);
	if (!child) {
		dup2(ends[1], STDOUT_FILENO);
		if (side->library) {
			setenv("LD_PRELOAD", side->library, 1);
			dup2(open("/dev/null", O_WRONLY), STDERR_FILENO); /* the loader's message if it is missing */
		}
		execl("/proc/self/exe", bench_program, "--side", side->name, arg, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	memset(text, 0, size);
	while (read(ends[0], text + strlen(text), size - 1 - strlen(text)) > 0)
		;
	close(ends[0]);
	bench_check(waitpid(child, &status, 0) == child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SIDE_IS_MISSING)
		return false;
	bench_check(!status);
	return true;
}

#endif
