/* SPDX-License-Identifier: MIT */
/*
 * Checks which functions the library calls while it holds a lock. The scenarios of test_calls.c run
 * with wrapped mutexes that count the locks held, on a machine that seems to have two nodes. Each
 * function that may take a lock of its own, be a cancellation point or call the program is wrapped,
 * too, and reports if this thread holds a lock of the library. With -DWATCHED the program seems to
 * use AddressSanitizer.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <config.h>

#include "faults/scenario.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#ifdef HAVE_LIBNUMA
#include <numa.h>
#endif

bool refuse_is_armed; /* for the scenarios; nothing is refused here */
const char *refuse_refused;

/* ---- locks ---- */

static __thread unsigned nr_held __attribute__((tls_model("initial-exec")));
static unsigned nr_locked, nr_looks; /* show that the wrappers are called at all */

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	const int error = __real_pthread_mutex_lock(mutex);

	nr_held += !error;
	nr_locked += !error;
	return error;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	const int error = __real_pthread_mutex_trylock(mutex);

	nr_held += !error;
	nr_locked += !error;
	return error;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	nr_held--;
	return __real_pthread_mutex_unlock(mutex);
}

/* ---- calls ---- */

static const char *found[16];
static unsigned nr_found;

static void look(const char *name)
{
	nr_looks++;
	if (!nr_held)
		return;
	for (unsigned i = 0; i < nr_found; i++)
		if (!strcmp(found[i], name))
			return;
	if (nr_found < sizeof(found) / sizeof(found[0]))
		found[nr_found++] = name;
}

/* Replaces malloc for the whole process, including libnuma and libc. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t nr, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);
void __libc_free(void *block);

void *malloc(size_t bytes)
{
	look("malloc");
	return __libc_malloc(bytes);
}

void *calloc(size_t nr, size_t bytes)
{
	look("calloc");
	return __libc_calloc(nr, bytes);
}

void *realloc(void *block, size_t bytes)
{
	look("realloc");
	return __libc_realloc(block, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
	look("aligned_alloc");
	return __libc_memalign(align, bytes);
}

void free(void *block)
{
	if (block)
		look("free");
	__libc_free(block);
}

/* Calls of the library itself, redirected by the linker's --wrap. */
#define WATCH(type, name, parameters, ...)                                                  \
	type __real_##name parameters;                                                      \
	type __wrap_##name parameters;                                                      \
	type __wrap_##name parameters                                                       \
	{                                                                                   \
		look(#name);                                                                \
		return __real_##name(__VA_ARGS__);                                          \
	}
typedef int visit_module(struct dl_phdr_info *info, size_t size, void *arg);
WATCH(int, atexit, (void (*handler)(void)), handler)
WATCH(void *, dlopen, (const char *path, int flags), path, flags)
WATCH(int, dlclose, (void *module), module)
WATCH(void *, dlsym, (void *module, const char *name), module, name)
WATCH(int, dladdr, (const void *address, Dl_info *info), address, info)
WATCH(int, dl_iterate_phdr, (visit_module *visit, void *arg), visit, arg)
WATCH(FILE *, fopen, (const char *path, const char *mode), path, mode)
WATCH(DIR *, opendir, (const char *path), path)
WATCH(struct dirent *, readdir, (DIR *folder), folder)
WATCH(int, closedir, (DIR *folder), folder)
WATCH(int, close, (int fd), fd)
WATCH(ssize_t, read, (int fd, void *buffer, size_t bytes), fd, buffer, bytes)
WATCH(ssize_t, write, (int fd, const void *buffer, size_t bytes), fd, buffer, bytes)
WATCH(ssize_t, pread, (int fd, void *buffer, size_t bytes, off_t at), fd, buffer, bytes, at)
WATCH(int, pthread_atfork, (void (*before)(void), void (*parent)(void), void (*child)(void)),
      before, parent, child)
WATCH(int, pthread_key_create, (pthread_key_t *key, void (*destroy)(void *)), key, destroy)
WATCH(int, pthread_create,
      (pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg),
      thread, attr, start, arg)

long __real_sysconf(int name);
long __wrap_sysconf(int name);

/* libc answers _SC_PAGESIZE from memory. */
long __wrap_sysconf(int name)
{
	if (name != _SC_PAGESIZE)
		look("sysconf");
	return __real_sysconf(name);
}

/* ---- two nodes ---- */

#ifdef HAVE_LIBNUMA
int __wrap_numa_available(void);
int __wrap_numa_max_node(void);
int __wrap_numa_distance(int from, int to);
int __wrap_numa_node_of_cpu(int cpu);
unsigned __wrap_numa_bitmask_weight(const struct bitmask *mask);
int __wrap_numa_bitmask_isbitset(const struct bitmask *mask, unsigned bit);

int __wrap_numa_available(void)
{
	return 0;
}

int __wrap_numa_max_node(void)
{
	return 1;
}

/* Calls malloc the first time, as libnuma does when it reads the distances. */
int __wrap_numa_distance(int from, int to)
{
	static bool is_read;

	if (!is_read)
		free(malloc(1));
	is_read = true;
	return from == to ? 10 : 20;
}

int __wrap_numa_node_of_cpu(int cpu)
{
	free(malloc(1));
	return cpu % 2;
}

unsigned __wrap_numa_bitmask_weight(const struct bitmask *mask)
{
	return 2;
}

/* Node 1 has no memory, so the library asks for distances. */
int __wrap_numa_bitmask_isbitset(const struct bitmask *mask, unsigned bit)
{
	return bit == 0;
}
#endif

/* ---- a sanitizer ---- */

#ifdef WATCHED
void __asan_poison_memory_region(const volatile void *start, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *start, size_t bytes);
void __asan_set_error_report_callback(void (*hear)(const char *report));
int backtrace(void **stack, int size);

void __asan_poison_memory_region(const volatile void *start, size_t bytes)
{
}

void __asan_unpoison_memory_region(const volatile void *start, size_t bytes)
{
}

void __asan_set_error_report_callback(void (*hear)(const char *report))
{
	look("__asan_set_error_report_callback");
}

int backtrace(void **stack, int size)
{
	look("backtrace");
	return 0;
}
#endif

/* ---- constructors of objects ---- */

static void construct(void *object)
{
	look("a constructor of objects");
	memset(object, 1, 64);
}

/* More objects than a magazine holds, so that the slow paths run, too. */
static bool attempt_constructed(void)
{
	struct percpu_cache *cache = percpu_cache_create("constructed", 64, 0, 0, construct);
	static void *objects[5000];

	if (!cache)
		return false;
	for (unsigned i = 0; i < 5000; i++)
		must((objects[i] = percpu_cache_alloc(cache)));
	for (unsigned i = 0; i < 5000; i++)
		percpu_cache_free(cache, objects[i]);
	return !percpu_cache_destroy(cache);
}

static bool attempt_bulk(void)
{
	void *areas[300];

	if (percpu_alloc_bulk(40, 8, 300, areas))
		return false;
	percpu_free_bulk(300, areas);
	return true;
}

/* ---- helpers for the scenarios ---- */

_Noreturn void fail_at(const char *file, int line, const char *condition)
{
	printf("# %s:%d: %s\n", file, line, condition);
	exit(2);
}

size_t nr_live(struct percpu_pool *pool)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	must(!percpu_pool_stats(pool, &stats));
	return stats.nr_live;
}

bool is_fresh(void *area, size_t size)
{
	must(area);
	percpu_for_each_copy(i)
		memset(percpu_ptr((char *)area, i), 0xff, size);
	return true;
}

/* ---- running them ---- */

static void run(const struct scenario *scenario, const char *options)
{
	setenv("PERCPU_OPTIONS", options, 1);
	if (scenario->prepare)
		scenario->prepare();
	for (unsigned i = 0; i < 3; i++) {
		must(scenario->attempt());
		if (scenario->undo)
			scenario->undo();
	}
	if (!nr_held && nr_locked)
		must(nr_looks);
	must(!nr_held);
	for (unsigned i = 0; i < nr_found; i++)
		printf("# PERCPU_OPTIONS=%s: %s called with a lock held\n", options, found[i]);
	fflush(stdout);
	_exit(nr_found ? 1 : 0);
}

static void test(const struct scenario *scenario, unsigned number)
{
	static const char *const options[] = {
		"", "cpus:6", "cpus:3,mode:atomic", "cpus:20,check,leaks",
	};
	bool fine = true;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		pid_t child;
		int status;

		fflush(stdout);
		child = fork();
		if (!child)
			run(scenario, options[i]);
		fine &= waitpid(child, &status, 0) == child && status == 0;
	}
	printf("%sok %u - %s\n", fine ? "" : "not ", number, scenario->name);
}

int main(void)
{
	static const struct scenario own[] = {
		{ .name = "objects with a constructor", .attempt = attempt_constructed },
		{ .name = "areas in bulk", .attempt = attempt_bulk },
	};
	size_t (*const lists[])(const struct scenario **list) = {
		memory_scenarios, caches_scenarios, statistics_scenarios, published_scenarios,
	};
	const struct scenario *list;
	unsigned number = 0;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		test(&own[i], ++number);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t nr = lists[i](&list); nr; nr--, list++)
			test(list, ++number);
	printf("1..%u\n", number);
	return 0;
}
#else
int main(void)
{
	return printf("1..0 # SKIP needs glibc's malloc, without sanitizers\n") < 0;
}
#endif
