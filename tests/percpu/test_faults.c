/* SPDX-License-Identifier: MIT */
/*
 * Refused system calls. Every scenario runs in a process of its own with its first call refused,
 * then in another with its second call refused, and so on until it makes no more calls. Each time
 * the result is a documented one, all data is intact, the next attempt succeeds, and nothing stays
 * mapped. The test pretends that the machine has two nodes, with CPUs on them by turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness/harness.h"
#include "percpu/world.h"
#include "platform/capture.h"

/* ---- the refusing system ---- */

enum call { NONE, MMAP, MUNMAP, MPROTECT, MADVISE, MINCORE, SYSCALL, OPEN, READ, IOCTL };

static bool is_armed;
static int nr_calls, refused_call; /* refused_call: its number, from 1; 0: none */
static enum call refused;          /* the kind of the refused call */
static long refused_always;        /* a system call by number; 0: none */
static unsigned nr_binds, nr_fences;
static size_t mapping_limit = 65530;

static bool is_refused(enum call call)
{
	if (!is_armed || ++nr_calls != refused_call)
		return false;
	refused = call;
	errno = call == READ || call == OPEN ? EACCES : ENOMEM;
	return true;
}

void *__real_mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *start, size_t bytes);
int __real_mprotect(void *start, size_t bytes, int protection);
int __real_madvise(void *start, size_t bytes, int advice);
int __real_mincore(void *start, size_t bytes, unsigned char *present);
long __real_syscall(long number, ...);
int __real_open(const char *path, int flags, ...);
ssize_t __real_read(int fd, void *buffer, size_t size);
int __real_ioctl(int fd, unsigned long request, ...);

void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *start, size_t bytes);
int __wrap_mprotect(void *start, size_t bytes, int protection);
int __wrap_madvise(void *start, size_t bytes, int advice);
int __wrap_mincore(void *start, size_t bytes, unsigned char *present);
long __wrap_syscall(long number, ...);
int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
int __wrap_ioctl(int fd, unsigned long request, ...);
bool __wrap_percpu__has_nodes(void);
int __wrap_percpu__cpu_to_memory_node(unsigned cpu);
size_t __wrap_percpu__mapping_limit(void);

void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	return is_refused(MMAP) ? MAP_FAILED
				: __real_mmap(start, bytes, protection, flags, fd, offset);
}

int __wrap_munmap(void *start, size_t bytes)
{
	return is_refused(MUNMAP) ? -1 : __real_munmap(start, bytes);
}

int __wrap_mprotect(void *start, size_t bytes, int protection)
{
	return is_refused(MPROTECT) ? -1 : __real_mprotect(start, bytes, protection);
}

int __wrap_madvise(void *start, size_t bytes, int advice)
{
	return is_refused(MADVISE) ? -1 : __real_madvise(start, bytes, advice);
}

int __wrap_mincore(void *start, size_t bytes, unsigned char *present)
{
	return is_refused(MINCORE) ? -1 : __real_mincore(start, bytes, present);
}

int __wrap_open(const char *path, int flags, ...)
{
	return is_refused(OPEN) ? -1 : __real_open(path, flags);
}

ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
	return is_refused(READ) ? -1 : __real_read(fd, buffer, size);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	return is_refused(IOCTL) ? -1 : __real_ioctl(fd, request, argument);
}

/* Checks the arguments of mbind, which is not called, because the machine may lack the nodes. */
static void check_bind(uintptr_t start, size_t bytes, const unsigned long *nodes)
{
	unsigned char present[64];

	nr_binds++;
	ck_assert_uint_eq(start % PERCPU_STRIDE, 0);
	ck_assert_uint_eq(bytes % PERCPU_STRIDE, 0);
	ck_assert(nodes[0] == 1 || nodes[0] == 2);
	if (__real_mincore((void *)start, PERCPU_STRIDE, present) == 0)
		for (size_t i = 0; i < PERCPU_STRIDE / page_bytes() && i < sizeof(present); i++)
			ck_assert_msg(!(present[i] & 1), "placed after it was touched");
}

long __wrap_syscall(long number, ...)
{
	va_list arguments;
	long a[6];

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == refused_always) {
		errno = EPERM;
		return -1;
	}
	if (is_refused(SYSCALL)) {
		if (number == SYS_close) /* closes the file even if it fails */
			__real_syscall(number, a[0]);
		return -1;
	}
	if (number == SYS_mbind) {
		check_bind(a[0], a[1], (const unsigned long *)a[3]);
		return 0;
	}
	nr_fences += number == SYS_membarrier;
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

bool __wrap_percpu__has_nodes(void)
{
	return true;
}

int __wrap_percpu__cpu_to_memory_node(unsigned cpu)
{
	return cpu % 2;
}

size_t __wrap_percpu__mapping_limit(void)
{
	return mapping_limit;
}

/* ---- scenarios ---- */

struct scenario {
	void (*prepare)(void);
	bool (*attempt)(void); /* true: it succeeded; asserts that a failure is documented */
	void (*undo)(void);    /* called after a success */
};

static char *area, *other_area;
static struct percpu_pool *pool;
static void *bulk[1000];

static bool is_fresh(char *p, size_t size)
{
	if (!p) {
		ck_assert_int_eq(errno, ENOMEM);
		return false;
	}
	ck_assert(is_zero(p, size));
	fill(p, size, 1);
	ck_assert(is_filled(p, size, 1));
	return true;
}

static void prepare_nothing(void)
{
}

static bool attempt_alloc(void)
{
	errno = 0;
	return is_fresh(area = percpu_alloc(24, 8), 24);
}

static void undo_alloc(void)
{
	percpu_free(area);
}

static void prepare_full(void)
{
	other_area = percpu_alloc(PERCPU_MAX_SIZE, 8);
	ck_assert_ptr_nonnull(other_area);
	percpu_for_each_copy(i)
		percpu_ptr(other_area, i)[7] = 7;
}

/* Checks that the other area is intact. */
static void check_full(void)
{
	percpu_for_each_copy(i)
		ck_assert_int_eq(percpu_ptr(other_area, i)[7], 7);
}

static bool attempt_grow(void)
{
	errno = 0;
	if (is_fresh(area = percpu_alloc(24, 8), 24))
		return true;
	check_full();
	ck_assert_uint_eq(stats_of(NULL).nr_live, 1);
	return false;
}

static bool attempt_pool(void)
{
	struct percpu_pool_attr attr = { .size = sizeof(attr),
					 .populate = PERCPU_ON,
					 .huge_pages = PERCPU_ON };

	errno = 0;
	pool = percpu_pool_create("faults", &attr);
	if (!pool) {
		ck_assert_int_eq(errno, ENOMEM);
		return false;
	}
	errno = 0;
	area = percpu_pool_alloc(pool, 5000, 8);
	if (is_fresh(area, 5000))
		return true;
	ck_assert_uint_eq(stats_of(pool).nr_chunks, 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
	return false;
}

static void undo_pool(void)
{
	percpu_free(area);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}

/* Allocates from several chunks. */
static bool attempt_bulk(void)
{
	const size_t before = stats_of(NULL).nr_live;
	const int error = percpu_alloc_bulk(1024, 8, 1000, bulk);

	if (!error) {
		for (int i = 0; i < 1000; i += 111)
			ck_assert(is_fresh(bulk[i], 1024));
		return true;
	}
	ck_assert_int_eq(error, -ENOMEM);
	ck_assert_uint_eq(stats_of(NULL).nr_live, before);
	return false;
}

static void undo_bulk(void)
{
	percpu_free_bulk(1000, bulk);
}

/* Dirty memory is freed, trimmed and reused: it must be zero whichever call is refused. */
#define NR_DIRTY 30

static void prepare_dirty(void)
{
	for (int i = 0; i < NR_DIRTY; i++) {
		bulk[i] = percpu_alloc(i % 2 ? 4096 : 40, 8);
		ck_assert_ptr_nonnull(bulk[i]);
		fill(bulk[i], i % 2 ? 4096 : 40, i);
	}
}

static bool attempt_cycle(void)
{
	bool all = true;

	for (int i = 0; i < NR_DIRTY; i++)
		if (i % 10)
			percpu_free(bulk[i]);
	ck_assert_int_ge(percpu_trim(NULL), 0);
	for (int i = 0; i < NR_DIRTY; i++) {
		if (i % 10) {
			errno = 0;
			bulk[i] = percpu_alloc(i % 2 ? 4096 : 40, 8);
			all &= is_fresh(bulk[i], i % 2 ? 4096 : 40);
		} else {
			ck_assert(is_filled(bulk[i], 40, i));
		}
	}
	ck_assert_uint_le(stats_of(NULL).nr_live, NR_DIRTY);
	for (int i = 0; i < NR_DIRTY; i++)
		percpu_free(bulk[i]);
	prepare_dirty();
	return all;
}

static void undo_nothing(void)
{
}

/* ---- running them ---- */

#define NEEDS_NO_MORE 42

static void run_in_child(const struct scenario *scenario, int call)
{
	unsigned mappings;
	bool succeeded;

	scenario->prepare();
	mappings = nr_mappings();
	refused_call = call;
	is_armed = true;
	succeeded = scenario->attempt();
	is_armed = false;
	if (nr_calls < call) {
		ck_assert(succeeded);
		_exit(NEEDS_NO_MORE);
	}
	if (succeeded)
		scenario->undo();
	for (int i = 0; i < 2; i++) {
		ck_assert_msg(scenario->attempt(), "the next attempt");
		scenario->undo();
	}
	ck_assert_int_ge(percpu_trim(NULL), 0);
	/* One chunk, that of the area cache, chunk indexes, leaves, and one mapping that stayed. */
	ck_assert_uint_le(nr_mappings(), mappings + 40 + 3 * percpu_nr_copies());
	_exit(0);
}

static void run(const struct scenario *scenario, const char *options)
{
	int status = 0, call = 0;

	with_options(options);
	for (; call < 5000 && status == 0; call++) {
		const pid_t child = fork();

		ck_assert_int_ge(child, 0);
		if (!child)
			run_in_child(scenario, call + 1);
		waitpid(child, &status, 0);
	}
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == NEEDS_NO_MORE,
		      "%s: call %d: status %#x", options, call, status);
	ck_assert_int_gt(call, 1);
}

static void run_with_all(struct scenario scenario)
{
	static const char *const options[] = { "cpus:2", "cpus:20", "cpus:3,mode:atomic",
					       "cpus:3,check,leaks" };

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		run(&scenario, options[i]);
}

START_TEST(the_first_allocation)
{
	run_with_all((struct scenario){ prepare_nothing, attempt_alloc, undo_alloc });
}
END_TEST

START_TEST(another_chunk)
{
	run_with_all((struct scenario){ prepare_full, attempt_grow, undo_alloc });
}
END_TEST

START_TEST(creating_a_pool)
{
	run_with_all((struct scenario){ prepare_nothing, attempt_pool, undo_pool });
}
END_TEST

START_TEST(a_bulk_allocation)
{
	run_with_all((struct scenario){ prepare_full, attempt_bulk, undo_bulk });
}
END_TEST

START_TEST(freeing_trimming_and_reusing)
{
	run_with_all((struct scenario){ prepare_dirty, attempt_cycle, undo_nothing });
}
END_TEST

/*
 * One thread wrote all copies, so they lie on one node, and half of them are misplaced; or all of
 * them, if that node is not one of the two.
 */
START_TEST(misplaced_pages_are_counted)
{
	uint64_t *p;
	ssize_t misplaced;

	with_options("cpus:4");
	p = percpu_alloc(sizeof(*p), 8);
	fill(p, sizeof(*p), 1);
	misplaced = percpu_pool_misplaced(NULL);
	if (misplaced != -ENOSYS)
		ck_assert_msg(misplaced == 2 * (ssize_t)page_bytes() ||
				      misplaced == 4 * (ssize_t)page_bytes(),
			      "%zd", misplaced);
	refused_always = SYS_move_pages;
	ck_assert_int_eq(percpu_pool_misplaced(NULL), -EPERM);
	percpu_free(p);
}
END_TEST

/* A pool whose creation fails again and again leaves no mapping and no file behind. */
START_TEST(failures_do_not_add_up)
{
	unsigned mappings;
	int fd;

	with_options("cpus:8");
	percpu_free(percpu_alloc(8, 8));
	mappings = nr_mappings();
	for (int round = 0; round < 200; round++) {
		nr_calls = 0;
		refused_call = 1 + round % 20;
		is_armed = true;
		if (attempt_pool())
			undo_pool();
		is_armed = false;
	}
	ck_assert_uint_le(nr_mappings(), mappings + 40); /* ranges whose unmapping was refused */
	fd = __real_open("/dev/null", O_RDONLY);
	ck_assert_int_lt(fd, 20);
}
END_TEST

/* ---- one system call, always refused ---- */

START_TEST(without_mbind_chunks_count_as_unplaced)
{
	void *p, *q;

	with_options("cpus:4");
	refused_always = SYS_mbind;
	p = percpu_alloc(PERCPU_MAX_SIZE, 8);
	q = percpu_alloc(8, 8);
	ck_assert(is_fresh(p, PERCPU_MAX_SIZE) && is_fresh(q, 8));
	ck_assert_uint_eq(stats_of(NULL).nr_chunks, 2);
	ck_assert_uint_eq(stats_of(NULL).nr_chunks_unplaced, 2);
	percpu_free(p);
	percpu_free(q);
	percpu_trim(NULL);
	ck_assert_uint_eq(stats_of(NULL).nr_chunks_unplaced, stats_of(NULL).nr_chunks);
}
END_TEST

START_TEST(every_run_of_cpus_is_placed_once)
{
	struct percpu_pool *none;
	void *p;

	with_options("cpus:7");
	p = percpu_alloc(8, 8);
	ck_assert_uint_eq(nr_binds, 7); /* neighbouring CPUs are on different nodes */
	ck_assert_uint_eq(stats_of(NULL).nr_chunks_unplaced, 0);
	none = pool_with((struct percpu_pool_attr){ .node_policy = PERCPU_OFF });
	ck_assert_ptr_nonnull(percpu_pool_alloc(none, 8, 8));
	ck_assert_uint_eq(nr_binds, 7);
	ck_assert_uint_eq(stats_of(none).nr_chunks_unplaced, 0);
	percpu_free(p);
}
END_TEST

START_TEST(mappings_have_a_budget)
{
	void *p[6];

	with_options("cpus:8");
	mapping_limit = 100; /* a quarter of it is enough for three chunks */
	for (int i = 0; i < 6; i++)
		ck_assert_ptr_nonnull(p[i] = percpu_alloc(PERCPU_MAX_SIZE, 8));
	ck_assert_uint_eq(nr_binds, 24);
	ck_assert_uint_eq(stats_of(NULL).nr_chunks_unplaced, 3);
	for (int i = 0; i < 6; i++)
		percpu_free(p[i]);
	percpu_trim(NULL);
	/* Destroyed chunks have returned their share of the budget. */
	p[0] = percpu_alloc(PERCPU_MAX_SIZE, 8);
	p[1] = percpu_alloc(PERCPU_MAX_SIZE, 8);
	p[2] = percpu_alloc(PERCPU_MAX_SIZE, 8);
	ck_assert_uint_le(stats_of(NULL).nr_chunks_unplaced, 1);
}
END_TEST

START_TEST(without_membarrier_there_is_no_area_cache)
{
	refused_always = SYS_membarrier;
	for (int round = 0; round < 3; round++) {
		prepare_dirty();
		for (int i = 0; i < NR_DIRTY; i++) {
			ck_assert(is_filled(bulk[i], i % 2 ? 4096 : 40, i));
			percpu_free(bulk[i]);
		}
		ck_assert_uint_eq(stats_of(NULL).cached_bytes, 0);
		ck_assert_uint_eq(stats_of(NULL).nr_live, 0);
	}
}
END_TEST

/* Other CPUs' area caches do not change before a fence has aborted their critical sections. */
START_TEST(trim_and_fork_fence)
{
	unsigned before;
	pid_t child;

	prepare_dirty();
	for (int i = 0; i < NR_DIRTY; i++)
		percpu_free(bulk[i]);
	if (!stats_of(NULL).cached_bytes)
		SKIP("there is no area cache");
	before = nr_fences;
	child = fork();
	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);
	ck_assert_uint_gt(nr_fences, before);
	prepare_dirty();
	for (int i = 0; i < NR_DIRTY; i++)
		percpu_free(bulk[i]);
	before = nr_fences;
	percpu_trim(NULL);
	ck_assert_uint_gt(nr_fences, before);
	ck_assert_uint_eq(stats_of(NULL).cached_bytes, 0);
}
END_TEST

START_TEST(without_the_affinity_mask_cpus_are_found)
{
	uint64_t *counter;

	refused_always = SYS_sched_getaffinity;
	ck_assert_uint_ge(percpu_nr_cpus(), 1);
	ck_assert_uint_ge(percpu_nr_cpus(), sysconf(_SC_NPROCESSORS_ONLN));
	counter = percpu_new(uint64_t);
	percpu_add(counter, 5);
	ck_assert_uint_eq(percpu_sum(counter), 5);
	percpu_free(counter);
}
END_TEST

/* ---- limits of the process ---- */

static void limit_address_space(size_t more)
{
	const size_t now = proc_bytes("/proc/self/status", "\nVmSize:");
	const struct rlimit limit = { now + more, RLIM_INFINITY };

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

static void lift_limit(void)
{
	const struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

START_TEST(no_address_space_for_the_first_chunk)
{
	with_options("cpus:64");
	for (size_t more = 0; more < (size_t)32 << 20; more += (size_t)1 << 20) {
		limit_address_space(more);
		errno = 0;
		area = percpu_alloc(24, 8);
		if (area)
			break;
		ck_assert_int_eq(errno, ENOMEM);
	}
	ck_assert_ptr_nonnull(area);
	lift_limit();
	ck_assert(is_fresh(area, 24));
	percpu_free(area);
	ck_assert(attempt_alloc());
}
END_TEST

START_TEST(no_address_space_for_another_chunk)
{
	with_options("cpus:64");
	prepare_full();
	percpu_free(percpu_alloc(8, 8));
	limit_address_space((size_t)1 << 20);
	ck_assert(attempt_alloc()); /* the second chunk has room */
	errno = 0;
	ck_assert_ptr_null(percpu_alloc(PERCPU_MAX_SIZE, 8));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_int_eq(percpu_alloc_bulk(1000, 8, 1000, bulk), -ENOMEM);
	ck_assert_uint_eq(stats_of(NULL).nr_live, 2);
	check_full();
	lift_limit();
	ck_assert(attempt_bulk());
	undo_bulk();
}
END_TEST

START_TEST(locked_memory_is_zeroed_on_reuse)
{
	with_options("cpus:2");
	other_area = percpu_alloc(8, 8);
	area = percpu_alloc(20000, 4096);
	fill(area, 20000, 1);
	percpu_for_each_copy(i)
		if (mlock(percpu_ptr(area, i), 20000) < 0)
			SKIP("memory cannot be locked here");
	percpu_free(area);
	ck_assert_int_ge(percpu_trim(NULL), 0);
	area = percpu_alloc(20000, 4096);
	ck_assert(is_zero(area, 20000));
}
END_TEST

TEST_MAIN("percpu: faults", 300, the_first_allocation, another_chunk, creating_a_pool,
	  a_bulk_allocation, freeing_trimming_and_reusing, failures_do_not_add_up,
	  without_mbind_chunks_count_as_unplaced, every_run_of_cpus_is_placed_once,
	  mappings_have_a_budget, misplaced_pages_are_counted,
	  without_membarrier_there_is_no_area_cache, trim_and_fork_fence,
	  without_the_affinity_mask_cpus_are_found, no_address_space_for_the_first_chunk,
	  no_address_space_for_another_chunk, locked_memory_is_zeroed_on_reuse)
