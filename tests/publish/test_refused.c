/* SPDX-License-Identifier: MIT */
/*
 * A system that refuses while a pool is published and read: the first call, then the second one, and so on until
 * no more is needed. Each time the error is a documented one, nothing stays open or mapped, and the next attempt
 * succeeds.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "harness/harness.h"
#include "publish/world.h"

static bool is_armed;
static int nr_calls, refused_call;

static bool is_refused(void)
{
	if (!is_armed || ++nr_calls != refused_call)
		return false;
	errno = ENOMEM;
	return true;
}

void *__real_mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_mprotect(void *start, size_t bytes, int protection);
long __real_syscall(long number, ...);
int __real_ftruncate(int fd, off_t bytes);
int __real_fcntl(int fd, int command, ...);
off_t __real_lseek(int fd, off_t offset, int from);
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t nr, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);

void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset);
int __wrap_mprotect(void *start, size_t bytes, int protection);
long __wrap_syscall(long number, ...);
int __wrap_ftruncate(int fd, off_t bytes);
int __wrap_fcntl(int fd, int command, ...);
off_t __wrap_lseek(int fd, off_t offset, int from);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t nr, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	return is_refused() ? MAP_FAILED : __real_mmap(start, bytes, protection, flags, fd, offset);
}

int __wrap_mprotect(void *start, size_t bytes, int protection)
{
	return is_refused() ? -1 : __real_mprotect(start, bytes, protection);
}

long __wrap_syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	/* A file is closed whatever close says. */
	return number != SYS_close && is_refused() ? -1 : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int __wrap_ftruncate(int fd, off_t bytes)
{
	return is_refused() ? -1 : __real_ftruncate(fd, bytes);
}

int __wrap_fcntl(int fd, int command, ...)
{
	va_list args;
	int arg;

	va_start(args, command);
	arg = va_arg(args, int);
	va_end(args);
	return is_refused() ? -1 : __real_fcntl(fd, command, arg);
}

off_t __wrap_lseek(int fd, off_t offset, int from)
{
	return is_refused() ? -1 : __real_lseek(fd, offset, from);
}

void *__wrap_malloc(size_t bytes)
{
	return is_refused() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t nr, size_t bytes)
{
	return is_refused() ? NULL : __real_calloc(nr, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
	return is_refused() ? NULL : __real_realloc(memory, bytes);
}

/* ---- what is tried ---- */

static unsigned nr_open(void)
{
	unsigned nr = 0;

	for (int fd = 0; fd < 1000; fd++)
		nr += __real_fcntl(fd, F_GETFD, 0) >= 0;
	return nr;
}

static unsigned nr_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned nr = 0;
	int byte;

	ck_assert_ptr_nonnull(maps);
	while ((byte = getc(maps)) != EOF)
		nr += byte == '\n';
	fclose(maps);
	return nr;
}

/* Check allocates memory itself, so it is not asked while calls are refused. */
static void must(bool condition)
{
	if (!condition)
		abort();
}

/* Makes, fills and destroys a pool. Returns: 0 or the error. */
static int make(void)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_published *published = NULL;
	struct percpu_pool *pool;
	uint64_t __percpu *p;
	int error = 0;

	attr.published = PERCPU_ON;
	attr.limit_bytes = 2 * PERCPU_STRIDE;
	errno = 0;
	pool = percpu_pool_create("refused", &attr);
	if (!pool)
		return errno;
	for (int i = 0; i < 2 && !error; i++) { /* the second time its memory was used before */
		p = word_in(pool);
		published = p ? publish_as(p, PERCPU_METRIC_COUNTER, "n") : NULL;
		error = published ? 0 : errno;
		if (p)
			percpu_inc(p);
		if (published)
			must(!percpu_unpublish(published));
		percpu_free(p);
	}
	must(!percpu_pool_destroy(pool));
	return error;
}

static int number_of_file;

static int note(const struct percpu_publisher *publisher, void *arg)
{
	number_of_file = publisher->fd;
	return 1;
}

/* Reads what the test itself publishes. */
static int look(void)
{
	struct percpu_reader *reader;
	int error;

	errno = 0;
	reader = percpu_reader_open(getpid(), number_of_file);
	if (!reader)
		return errno;
	error = -percpu_reader_update(reader);
	must(error || percpu_reader_nr(reader) == 100);
	percpu_reader_close(reader);
	return error;
}

/* frees_mappings: what it maps is all its own, not malloc's. Returns: how many calls it needs. */
static int refuse_all(int (*attempt)(void), bool frees_mappings)
{
	unsigned open, mappings;
	int error, call = 1;

	ck_assert_int_eq(attempt(), 0);
	open = nr_open();
	mappings = nr_mappings();
	for (;; call++) {
		nr_calls = 0;
		refused_call = call;
		is_armed = true;
		error = attempt();
		is_armed = false;
		ck_assert_msg(!error || error == ENOMEM || error == EINVAL, "call %d: %s", call, strerror(error));
		ck_assert_uint_eq(nr_open(), open);
		ck_assert_msg(!frees_mappings || nr_mappings() <= mappings + 2, "call %d", call);
		if (nr_calls < call)
			break;
		ck_assert_int_eq(attempt(), 0);
	}
	ck_assert_int_eq(error, 0);
	return call - 1;
}

START_TEST(making_a_pool)
{
	with_options("cpus:3");
	ck_assert_int_gt(refuse_all(make, true), 8);
}
END_TEST

START_TEST(reading_one)
{
	struct percpu_pool *pool;

	with_options("cpus:3");
	pool = published_pool("read", 0);
	for (int i = 0; i < 100; i++) {
		uint64_t __percpu *p = word_in(pool);

		percpu_inc(p);
		ck_assert_ptr_nonnull(publish_as(p, PERCPU_METRIC_COUNTER, "n"));
	}
	ck_assert_int_eq(percpu_publishers(getpid(), note, NULL), 1);
	ck_assert_int_gt(refuse_all(look, false), 8);
}
END_TEST

TEST_MAIN("publish: refused", 60, making_a_pool, reading_one)
