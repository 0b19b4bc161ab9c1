/* SPDX-License-Identifier: MIT */
/*
 * Misuse of pointers: each case ends its process with SIGABRT and one message, which names call,
 * pointer and pool. Without an argument this program runs itself for each case and each value of
 * PERCPU_OPTIONS; with the name of a case it prints the pointer that it is about to misuse and does
 * so.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <percpu/percpu.h>

#include "harness/messages.h"

static void *shown(const void *p)
{
	if (p)
		printf("%p\n", p);
	else
		puts("NULL");
	fflush(stdout);
	return (void *)(uintptr_t)p;
}

/* ---- NULL and other memory ---- */

static void null(void)
{
	void *nothing[] = { NULL, NULL };

	percpu_free(NULL);
	percpu_free_bulk(2, nothing);
	if (percpu_usable_size(NULL))
		exit(1);
}

/* The process has not used the library before. */
static void before_any_allocation(void)
{
	percpu_free(shown((void *)(uintptr_t)0x7f0000000000));
}

static void malloced(void)
{
	percpu_free(shown(malloc(64)));
}

static void on_stack(void)
{
	int local = 0;

	percpu_free(shown(&local));
}

static void static_object(void)
{
	static int object;

	percpu_free(shown(&object));
}

static void code(void)
{
	percpu_free(shown((void *)(uintptr_t)code));
}

static void tiny(void)
{
	percpu_free(shown((void *)8));
}

/* The value of MAP_FAILED. */
static void minus_one(void)
{
	percpu_free(shown((void *)-1));
}

/* The low bits are those of an allocation. */
static void non_canonical(void)
{
	void *p = percpu_alloc(8, 8);

	percpu_free(shown((void *)((uintptr_t)p | UINT64_C(0xdead) << 48)));
}

static void destroyed_pool(void)
{
	struct percpu_pool *pool = percpu_pool_create("misuse", NULL);
	void *p = percpu_pool_alloc(pool, 8, 8);

	percpu_free(p);
	if (percpu_pool_destroy(pool))
		exit(1);
	percpu_free(shown(p));
}

/* ---- parts of allocations ---- */

static void copy(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(shown(percpu_ptr(p, 0)));
}

static void fallback_copy(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(shown(percpu_ptr(p, percpu_nr_copies() - 1)));
}

/* On a granule. */
static void interior(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(shown(p + 8));
}

/* Not on a granule. */
static void interior_odd(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(shown(p + 3));
}

/* Behind every allocation of the chunk. */
static void beyond(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(shown(p + 100000));
}

/* ---- double frees ---- */

/* The first free leaves the area in the CPU's area cache. */
static void double_free_cached(void)
{
	void *p = percpu_alloc(8, 8), *q = percpu_alloc(8, 8);

	percpu_free(q);
	percpu_free(p);
	percpu_free(shown(p));
}

/* Too large for an area cache. */
static void double_free_large(void)
{
	void *p = percpu_alloc(100000, 8), *neighbour = percpu_alloc(100000, 8);

	percpu_free(p);
	percpu_free(shown(p));
	percpu_free(neighbour);
}

static void double_free_pooled(void)
{
	struct percpu_pool *pool = percpu_pool_create("misuse", NULL);
	void *stays = percpu_pool_alloc(pool, 8, 8), *p = percpu_pool_alloc(pool, 8, 8);

	percpu_free(p);
	percpu_free(shown(p));
	percpu_free(stays);
}

/* The same array twice. */
static void double_free_bulk(void)
{
	void *p[10];

	percpu_alloc_bulk(24, 8, 10, p);
	percpu_free_bulk(10, p);
	shown(p[0]);
	percpu_free_bulk(10, p);
}

/* One pointer twice in an array. */
static void double_free_in_bulk(void)
{
	void *p[10];

	percpu_alloc_bulk(24, 8, 10, p);
	p[7] = shown(p[3]);
	percpu_free_bulk(10, p);
}

/* The bulk contains an area that an area cache holds. */
static void bulk_of_cached(void)
{
	void *p[10], *q = percpu_alloc(24, 8);

	percpu_free(q);
	percpu_alloc_bulk(24, 8, 10, p);
	percpu_free(shown(p[0]));
	percpu_free_bulk(10, p);
}

/*
 * The chunk is unmapped before the second free. The chunk that goes last would keep its addresses
 * for a while.
 */
static void double_free_trimmed(void)
{
	char *p[4];

	for (unsigned i = 0; i < 4; i++)
		p[i] = percpu_alloc(PERCPU_MAX_SIZE, 8);
	for (unsigned i = 0; i < 4; i++)
		percpu_free(p[i]);
	percpu_trim(NULL);
	percpu_free(shown(p[1]));
}

/* ---- sizes ---- */

static void size_of_garbage(void)
{
	int local = 0;

	percpu_usable_size(shown(&local));
}

static void size_of_freed(void)
{
	void *p = percpu_alloc(100000, 8), *stays = percpu_alloc(8, 8);

	percpu_free(p);
	percpu_usable_size(shown(p));
	percpu_free(stays);
}

static void size_of_cached(void)
{
	void *p = percpu_alloc(8, 8), *q = percpu_alloc(8, 8);

	percpu_free(q);
	percpu_free(p);
	percpu_usable_size(shown(p));
}

static void size_of_copy(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_usable_size(shown(percpu_ptr(p, 0)));
}

/* ---- operations ---- */

/* The process's first operation, on a field of NULL, as after a failed allocation. */
static void null_operation(void)
{
	percpu_inc((long *)shown((void *)24));
}

/* A counter after its fini is a NULL pointer. */
static void null_counter(void)
{
	static struct percpu_counter counter;

	percpu_counter_init(&counter, 0, 0);
	percpu_counter_inc(&counter);
	percpu_counter_fini(&counter);
	shown(NULL);
	percpu_counter_inc(&counter);
}

static void group_of_fewer_fields(void)
{
	static struct percpu_group group;

	if (percpu_group_init(&group, 2))
		exit(1);
	percpu_group_add_slow(shown(&group), 3, 1, 1, 1, 0);
}

static void static_too_large(void)
{
	static int key;

	percpu_static_attach(shown(&key), NULL, PERCPU_MAX_SIZE + 1, 8);
}

static void static_too_aligned(void)
{
	static int key;

	percpu_static_attach(shown(&key), NULL, 8, 2 * PERCPU_MAX_ALIGN);
}

/*
 * Writes every byte from the first copy to the end of the last one: no bookkeeping lies in between.
 */
static void overflow(void)
{
	char *p = percpu_alloc(PERCPU_MAX_SIZE, 8), *small = percpu_alloc(8, 8);

	memset(percpu_ptr(p, 0), 0xff, percpu_nr_copies() * PERCPU_STRIDE);
	memset(percpu_ptr((char *)((uintptr_t)small & ~(PERCPU_STRIDE - 1)), 0), 0xff,
	       percpu_nr_copies() * PERCPU_STRIDE);
	for (int round = 0; round < 100; round++) {
		void *again = percpu_alloc(8 + 100 * round, 8);

		if (!again || percpu_usable_size(again) < 8 + 100 * (size_t)round)
			exit(1);
		percpu_free(again);
	}
	percpu_free(small);
	percpu_free(p);
	if (percpu_trim(NULL) < 0)
		exit(1);
}

/* ---- the table ---- */

#define NO_POOL ""
#define DEFAULT_POOL " (pool \"default\")"
#define MISUSE_POOL " (pool \"misuse\")"

static const struct misuse {
	const char *name;
	void (*run)(void);
	const char *call;
	enum percpu__fault fault, or; /* or: that of an area in an area cache, which PERCPU_OPTIONS may turn off */
	const char *owner;
} misuses[] = {
#define OR_CASE(name, call, fault, or, owner)                                                                \
	{ #name, name, call, PERCPU__FAULT_##fault, PERCPU__FAULT_##or, owner },
#define CASE(name, call, fault, owner) OR_CASE(name, call, fault, fault, owner)
#define HARMLESS(name) { #name, name, NULL, PERCPU__NO_FAULT, PERCPU__NO_FAULT, NULL },
	HARMLESS(null)
	HARMLESS(overflow)
	CASE(before_any_allocation, "percpu_free", NOT_PERCPU, NO_POOL)
	CASE(malloced, "percpu_free", NOT_PERCPU, NO_POOL)
	CASE(on_stack, "percpu_free", NOT_PERCPU, NO_POOL)
	CASE(static_object, "percpu_free", NOT_PERCPU, NO_POOL)
	CASE(code, "percpu_free", NOT_PERCPU, NO_POOL)
	CASE(tiny, "percpu_free", NOT_PERCPU, NO_POOL)
	CASE(minus_one, "percpu_free", NOT_PERCPU, NO_POOL)
	CASE(non_canonical, "percpu_free", NOT_PERCPU, NO_POOL)
	CASE(destroyed_pool, "percpu_free", NOT_PERCPU, NO_POOL)
	CASE(copy, "percpu_free", COPY, DEFAULT_POOL)
	CASE(fallback_copy, "percpu_free", COPY, DEFAULT_POOL)
	CASE(interior, "percpu_free", NOT_LIVE, DEFAULT_POOL)
	CASE(interior_odd, "percpu_free", MISALIGNED, DEFAULT_POOL)
	CASE(beyond, "percpu_free", NOT_LIVE, DEFAULT_POOL)
	OR_CASE(double_free_cached, "percpu_free", NOT_LIVE, DOUBLE_FREE, DEFAULT_POOL)
	CASE(double_free_large, "percpu_free", NOT_LIVE, DEFAULT_POOL)
	CASE(double_free_pooled, "percpu_free", NOT_LIVE, MISUSE_POOL)
	CASE(double_free_bulk, "percpu_free_bulk", NOT_LIVE, DEFAULT_POOL)
	CASE(double_free_in_bulk, "percpu_free_bulk", NOT_LIVE, DEFAULT_POOL)
	OR_CASE(bulk_of_cached, "percpu_free_bulk", NOT_LIVE, DOUBLE_FREE, DEFAULT_POOL)
	CASE(double_free_trimmed, "percpu_free", NOT_PERCPU, NO_POOL)
	CASE(size_of_garbage, "percpu_usable_size", NOT_PERCPU, NO_POOL)
	CASE(size_of_freed, "percpu_usable_size", USE_NOT_LIVE, DEFAULT_POOL)
	OR_CASE(size_of_cached, "percpu_usable_size", USE_NOT_LIVE, USE_AFTER_FREE, DEFAULT_POOL)
	CASE(size_of_copy, "percpu_usable_size", COPY, DEFAULT_POOL)
	CASE(null_operation, "per-CPU operation", NOT_PERCPU, NO_POOL)
	CASE(null_counter, "per-CPU operation", NOT_PERCPU, NO_POOL)
	CASE(group_of_fewer_fields, "percpu_group_add", FIELD_COUNT, NO_POOL)
	CASE(static_too_large, "percpu_static_attach", STATIC_SIZE, NO_POOL)
	CASE(static_too_aligned, "percpu_static_attach", STATIC_ALIGN, NO_POOL)
};

static const char *const options[] = { "", "mode:atomic", "check", "leaks", "cpus:1", "cpus:64" };

/* ---- the driver ---- */

static size_t read_all(int file, char *text, size_t size)
{
	size_t length = 0;
	ssize_t got;

	while ((got = read(file, text + length, size - 1 - length)) > 0)
		length += got;
	text[length] = '\0';
	close(file);
	return length;
}

/* Runs a case in a new process. Returns: its status, as wait gives it, or -1. */
static int run(const struct misuse *misuse, const char *option, char *pointer, char *printed, size_t size)
{
	int out[2], err[2], status;
	pid_t child;

	if (pipe(out) || pipe(err))
		return -1;
	fflush(stdout);
	child = fork();
	if (!child) {
		const struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		close(out[0]);
		close(err[0]);
		setenv("PERCPU_OPTIONS", option, 1);
		execl("/proc/self/exe", "misuse", misuse->name, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	close(err[1]);
	read_all(out[0], pointer, size);
	read_all(err[0], printed, size);
	return child < 0 || waitpid(child, &status, 0) != child ? -1 : status;
}

static bool is_as_expected(const struct misuse *misuse, int status, char *pointer, const char *printed)
{
	pointer[strcspn(pointer, "\n")] = '\0';
	if (!misuse->fault)
		return status == 0 && !*printed;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
	       (is_message(printed, misuse->call, misuse->fault, pointer, misuse->owner) ||
		is_message(printed, misuse->call, misuse->or, pointer, misuse->owner));
}

static const char *why_skipped(const struct misuse *misuse, const char *option)
{
	const char *flags = getenv("CFLAGS");

	if (misuse->run == null_operation && flags && strstr(flags, "sanitize"))
		return "a sanitizer looks at the copy first, and reports it";
	if (misuse->run == null_counter && strcmp(option, "mode:atomic"))
		return "in rseq mode a critical section meets the pointer first, and faults";
	if (misuse->run == overflow && !strcmp(option, "check"))
		return "check finds what the case writes";
	return NULL;
}

/* Returns: true if it is as expected. */
static bool report(unsigned number, const struct misuse *misuse, const char *option)
{
	const char *why = why_skipped(misuse, option);
	char pointer[4096], printed[4096];
	bool is_good = true;
	int status = 0;

	if (!why) {
		status = run(misuse, option, pointer, printed, sizeof(printed));
		is_good = is_as_expected(misuse, status, pointer, printed);
	}
	printf("%sok %u - %s%s%s%s%s\n", is_good ? "" : "not ", number, misuse->name, *option ? ", " : "", option,
	       why ? " # SKIP " : "", why ? why : "");
	if (!is_good)
		printf("# status %#x, pointer %s, expected: %s: %s%s\n# printed: %s\n", status, pointer,
		       misuse->call ? misuse->call : "", misuse->fault ? message_texts[misuse->fault] : "nothing",
		       misuse->owner ? misuse->owner : "", printed);
	return is_good;
}

int main(int argc, char **argv)
{
	const size_t nr = sizeof(misuses) / sizeof(misuses[0]);
	unsigned number = 0, failed = 0;

	/*
	 * For options.sh: the effect of PERCPU_OPTIONS=cpus:N, and whether the program has more
	 * rights than its caller.
	 */
	if (argc > 1 && !strcmp(argv[1], "options"))
		return printf("%u %lu\n", percpu_nr_cpus(), getauxval(AT_SECURE)) < 0;
	for (size_t i = 0; argc > 1 && i < nr; i++)
		if (!strcmp(argv[1], misuses[i].name)) {
			misuses[i].run();
			return 0;
		}
	if (argc > 1)
		return 2;
	for (size_t set = 0; set < sizeof(options) / sizeof(options[0]); set++)
		for (size_t i = 0; i < nr; i++)
			failed += !report(++number, &misuses[i], options[set]);
	printf("1..%u\n", number);
	return failed > 0;
}
