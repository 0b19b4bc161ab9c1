/* SPDX-License-Identifier: MIT */
/*
 * The rest of the platform layer: small files, kernel versions, CPUs, locks, messages and fences.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "harness/harness.h"
#include "platform/capture.h"
#include "platform/platform.h"

/* ---- files ---- */

static char path[] = "/tmp/percpu-test-XXXXXX";

static void write_file(size_t bytes)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < bytes; i++)
		ck_assert_int_eq(write(fd, &"0123456789"[i % 10], 1), 1);
	close(fd);
}

START_TEST(a_file_is_read_completely)
{
	char buffer[16];

	write_file(15);
	errno = 77;
	memset(buffer, 'x', sizeof(buffer));
	ck_assert_int_eq(percpu__read_file(path, buffer, sizeof(buffer)), 15);
	ck_assert_str_eq(buffer, "012345678901234");
	ck_assert_int_eq(errno, 77);
	unlink(path);
}
END_TEST

START_TEST(an_empty_file_gives_an_empty_string)
{
	char buffer[4] = "xxx";

	write_file(0);
	ck_assert_int_eq(percpu__read_file(path, buffer, sizeof(buffer)), 0);
	ck_assert_str_eq(buffer, "");
	unlink(path);
}
END_TEST

START_TEST(a_file_that_is_too_long_is_refused)
{
	char buffer[16];

	write_file(16);
	errno = 77;
	ck_assert_int_eq(percpu__read_file(path, buffer, sizeof(buffer)), -EFBIG);
	ck_assert_int_eq(percpu__read_file(path, buffer, 1), -EFBIG);
	ck_assert_int_eq(errno, 77);
	unlink(path);
}
END_TEST

START_TEST(an_unreadable_file_is_an_error)
{
	char buffer[16];

	errno = 77;
	ck_assert_int_eq(percpu__read_file("/nonexistent/file", buffer, sizeof(buffer)), -ENOENT);
	ck_assert_int_eq(percpu__read_file("/", buffer, sizeof(buffer)), -EISDIR);
	ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(no_descriptor_is_left_open)
{
	char buffer[16];
	int first = open("/dev/null", O_RDONLY), second;

	close(first);
	percpu__read_file("/", buffer, sizeof(buffer));
	percpu__read_file("/proc/self/maps", buffer, sizeof(buffer));
	percpu__read_file("/proc/sys/vm/max_map_count", buffer, sizeof(buffer));
	second = open("/dev/null", O_RDONLY);
	close(second);
	ck_assert_int_eq(first, second);
}
END_TEST

/* Writes to a FIFO in pieces, so that reads are short. */
static void *write_slowly(void *arg)
{
	int fd = open(arg, O_WRONLY);

	for (int i = 0; i < 5; i++) {
		if (write(fd, "ab", 2) != 2)
			abort();
		usleep(1000);
	}
	close(fd);
	return NULL;
}

START_TEST(short_reads_are_continued)
{
	char buffer[16];
	pthread_t writer;

	write_file(0);
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	pthread_create(&writer, NULL, write_slowly, path);
	ck_assert_int_eq(percpu__read_file(path, buffer, sizeof(buffer)), 10);
	ck_assert_str_eq(buffer, "ababababab");
	pthread_join(writer, NULL);
	unlink(path);
}
END_TEST

/* ---- kernels and CPUs ---- */

/*
 * Release strings of distributions and private builds, and the range of doubtful kernels of each.
 */
START_TEST(doubtful_kernels_are_known)
{
	static const struct {
		const char *release, *range; /* NULL: none */
	} rows[] = {
		{ "6.19", "6.19 to 7.0.13" },
		{ "6.19.0", "6.19 to 7.0.13" },
		{ "6.19-rc1", "6.19 to 7.0.13" },
		{ "6.19.0-rc1", "6.19 to 7.0.13" },
		{ "6.19.0-0.rc0.251203g3f9f0252130e.4.fc44.aarch64", "6.19 to 7.0.13" },
		{ "6.19.14", "6.19 to 7.0.13" },
		{ "6.19.14+deb13-arm64", "6.19 to 7.0.13" },
		{ "6.19.99", "6.19 to 7.0.13" },
		{ "6.20", "6.19 to 7.0.13" }, /* does not exist */
		{ "6.190.1", "6.19 to 7.0.13" },
		{ "7", "6.19 to 7.0.13" },
		{ "7.0", "6.19 to 7.0.13" },
		{ "7.0+", "6.19 to 7.0.13" },
		{ "7.0-rc4", "6.19 to 7.0.13" },
		{ "7.0.0", "6.19 to 7.0.13" },
		{ "7.0.0-rc7-next-20260401", "6.19 to 7.0.13" },
		{ "7.0.0-14-generic", "6.19 to 7.0.13" },
		{ "7.0.0-1014-raspi", "6.19 to 7.0.13" },
		{ "7.0.0-070000rc3-generic", "6.19 to 7.0.13" },
		{ "7.0.9-200.fc44.aarch64", "6.19 to 7.0.13" },
		{ "7.0.13", "6.19 to 7.0.13" },
		{ "7.0.13+deb13-arm64", "6.19 to 7.0.13" },
		{ "7.0.13-rc1", "6.19 to 7.0.13" },
		{ "7.0.014x", NULL },
		{ "7.0.14-rc1", NULL }, /* has the fix of 7.0.14 */
		{ "7.0.14", NULL },
		{ "7.0.14+deb13-arm64", NULL },
		{ "7.0.100", NULL },
		{ "7.1.0-rc1", "7.1-rc1 and 7.1-rc2" },
		{ "7.1.0-rc2", "7.1-rc1 and 7.1-rc2" },
		{ "7.1-rc2-arm64", "7.1-rc1 and 7.1-rc2" },
		{ "7.1.0-rc2-00017-g411c1cf43039", "7.1-rc1 and 7.1-rc2" },
		{ "7.1.0-0.rc2.20260507g5862221fddde.21.fc45.aarch64", "7.1-rc1 and 7.1-rc2" },
		{ "7.1.0-070100rc2-generic", "7.1-rc1 and 7.1-rc2" },
		{ "7.1.0-rc3", NULL },
		{ "7.1.0-rc10", NULL },
		{ "7.1.0-rc22", NULL },
		{ "7.1.0-rc", NULL },
		{ "7.1.0-src2", NULL },
		{ "7.1.0-ARC1", NULL },
		{ "7.1.0", NULL },
		{ "7.1", NULL },
		{ "7.1.1-rc1", NULL },
		{ "7.1.8+deb13-arm64", NULL },
		{ "7.6.19", NULL },
		{ "7.10.0-rc1", NULL },
		{ "8.0.0", NULL },
		{ "16.19", NULL },
		{ "70.0.1", NULL },
		{ "99999999999999999999.0", NULL },
		{ "6.18.44", NULL },
		{ "6.18.0-rc7", NULL },
		{ "6.2.6.19", NULL },
		{ "6.1.19", NULL },
		{ "6.1", NULL },
		{ "6", NULL },
		{ "5.6.19", NULL },
		{ "4.18.0-553.el8.aarch64", NULL },
		{ "4.17.19", "those that may hide being 6.19 to 7.0.13" },
		{ "2.6.100-rc1", "those that may hide being 6.19 to 7.0.13" },
		{ "2.6.60", "those that may hide being 6.19 to 7.0.13" },
		{ "mine", "those that may hide being 6.19 to 7.0.13" },
		{ "", "those that may hide being 6.19 to 7.0.13" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *range = percpu__doubtful_kernel("aarch64", rows[i].release);

		ck_assert_msg(range && rows[i].range ? !strcmp(range, rows[i].range)
						     : range == rows[i].range,
			      "%s: %s", rows[i].release, range ? range : "none");
		ck_assert_msg(!percpu__doubtful_kernel("x86_64", rows[i].release), "%s",
			      rows[i].release);
		ck_assert_msg(!percpu__doubtful_kernel("", rows[i].release), "%s", rows[i].release);
	}
}
END_TEST

START_TEST(every_state_has_a_reason_of_its_own)
{
	for (int a = PERCPU__RSEQ_USABLE; a <= PERCPU__RSEQ_NO_SECTIONS; a++) {
		ck_assert_uint_gt(strlen(percpu__rseq_reason(a)), 10);
		ck_assert_ptr_null(strchr(percpu__rseq_reason(a), '\n'));
		for (int b = PERCPU__RSEQ_USABLE; b < a; b++)
			ck_assert_str_ne(percpu__rseq_reason(a), percpu__rseq_reason(b));
	}
}
END_TEST

/* A reason that blames the kernel names its release and, if the user can force rseq, the option. */
START_TEST(reasons_about_the_kernel_name_its_release)
{
	static const enum percpu__rseq_state states[] = {
		PERCPU__RSEQ_FORCED,
		PERCPU__RSEQ_CHECKED,
		PERCPU__RSEQ_BAD_KERNEL,
		PERCPU__RSEQ_DOUBTED,
	};
	struct utsname names;

	ck_assert_int_eq(uname(&names), 0);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		const char *reason = percpu__rseq_reason(states[i]);

		ck_assert_msg(strstr(reason, names.release) != NULL, "%s", reason);
		ck_assert_msg(strstr(reason, "preemption") != NULL, "%s", reason);
		ck_assert_msg((states[i] == PERCPU__RSEQ_CHECKED) ==
				      !strstr(reason, "PERCPU_OPTIONS=mode:rseq"),
			      "%s", reason);
		ck_assert_ptr_eq(percpu__rseq_reason(states[i]), reason);
	}
}
END_TEST

START_TEST(the_offset_is_nonzero_only_if_rseq_is_usable)
{
	ptrdiff_t offset = 12345;
	const bool usable = percpu__rseq_find(&offset) == PERCPU__RSEQ_USABLE;

	ck_assert_int_eq(usable, offset != 0);
}
END_TEST

START_TEST(the_cpu_mask_agrees_with_sched_getaffinity)
{
	unsigned nr_allowed, bits = percpu__cpu_mask_bits(&nr_allowed), highest = 0;
	cpu_set_t set;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		highest = CPU_ISSET(cpu, &set) ? cpu : highest;
	ck_assert_uint_eq(nr_allowed, highest + 1);
	ck_assert_uint_ge(bits, nr_allowed);
	ck_assert_uint_eq(bits % 64, 0);
	ck_assert_uint_lt(percpu__getcpu(), nr_allowed);
	ck_assert_uint_ge(percpu__configured_cpus(), 1);
}
END_TEST

/* ---- locks ---- */

static void lock_in_order(void *arg)
{
	struct percpu__lock registry = PERCPU__LOCK_INIT(PERCPU__RANK_REGISTRY), pool, other;

	percpu__lock_init(&pool, PERCPU__RANK_POOL);
	percpu__lock_init(&other, PERCPU__RANK_POOL);
	for (int i = 0; i < 2; i++) {
		percpu__lock(&registry);
		percpu__lock(&pool);
		percpu__lock_nested(&other);
		percpu__unlock(&other);
		percpu__unlock(&pool);
		percpu__unlock(&registry);
	}
	percpu__lock(&pool);
	percpu__unlock(&pool);
	percpu__lock(&registry);
	percpu__unlock(&registry);
}

/* A lock held for a fork lets its own thread pass, and blocks all other threads. */
static void lock_for_fork(void *arg)
{
	struct percpu__lock registry = PERCPU__LOCK_INIT(PERCPU__RANK_REGISTRY), pool, made;

	percpu__lock_init(&pool, PERCPU__RANK_POOL);
	percpu__lock_init(&made, PERCPU__RANK_CPU_CACHE);
	for (int i = 0; i < 2; i++) {
		percpu__lock_for_fork(&registry);
		percpu__lock_for_fork(&pool);
		percpu__lock(&pool);
		percpu__lock(&registry);
		percpu__lock_for_fork(&pool);
		percpu__unlock_after_fork(&pool);
		percpu__unlock(&registry);
		percpu__unlock(&pool);
		percpu__lock_made_in_fork(&made, &pool);
		if (!percpu__is_locked_for_fork(&pool) || !percpu__is_locked_for_fork(&made) ||
		    !pthread_mutex_trylock(&pool.mutex))
			percpu__fatal(__func__,
				      &(struct percpu__subject){ .text = "not held for the fork" },
				      PERCPU__FAULT_ASSERTION);
		percpu__unlock_after_fork(&made);
		percpu__unlock_after_fork(&pool);
		percpu__unlock_after_fork(&pool);
		percpu__unlock_after_fork(&registry);
		percpu__lock_made_in_fork(&made, &pool);
		if (percpu__is_locked_for_fork(&made) || pthread_mutex_trylock(&pool.mutex))
			percpu__fatal(__func__, &(struct percpu__subject){ .text = "still held" },
				      PERCPU__FAULT_ASSERTION);
		pthread_mutex_unlock(&pool.mutex);
		percpu__lock(&registry);
		percpu__lock(&pool);
		percpu__unlock(&pool);
		percpu__unlock(&registry);
	}
}

START_TEST(locks_held_for_a_fork_let_their_thread_pass)
{
	const struct said said = said_by(lock_for_fork, NULL);

	ck_assert_str_eq(said.text, "");
	ck_assert_int_eq(said.status, 0);
}
END_TEST

START_TEST(locks_may_be_taken_in_the_order_of_their_ranks)
{
	const struct said said = said_by(lock_in_order, NULL);

	ck_assert_str_eq(said.text, "");
	ck_assert_int_eq(said.status, 0);
}
END_TEST

#ifdef PERCPU_CHECKS
static void lock_in_wrong_order(void *arg)
{
	struct percpu__lock registry = PERCPU__LOCK_INIT(PERCPU__RANK_REGISTRY);
	struct percpu__lock pool = PERCPU__LOCK_INIT(PERCPU__RANK_POOL);

	percpu__lock(&pool);
	percpu__lock(&registry);
}

static void lock_two_of_one_rank(void *arg)
{
	struct percpu__lock a = PERCPU__LOCK_INIT(PERCPU__RANK_POOL);
	struct percpu__lock b = PERCPU__LOCK_INIT(PERCPU__RANK_POOL);

	percpu__lock(&a);
	percpu__lock(&b);
}

static void nest_in_wrong_order(void *arg)
{
	struct percpu__lock registry = PERCPU__LOCK_INIT(PERCPU__RANK_REGISTRY);
	struct percpu__lock pool = PERCPU__LOCK_INIT(PERCPU__RANK_POOL);

	percpu__lock(&pool);
	percpu__lock_nested(&registry);
}

START_TEST(a_wrong_lock_order_aborts)
{
	static void (*const wrongs[])(void *) = {
		lock_in_wrong_order, lock_two_of_one_rank, nest_in_wrong_order,
	};

	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		const struct said said = said_by(wrongs[i], NULL);

		ck_assert_uint_eq(lines_of(said.text), 1);
		ck_assert_msg(!strncmp(said.text, "libpercpu: ", 11) &&
				      strstr(said.text, ": assertion failed: "),
			      "%s", said.text);
		ck_assert(WIFSIGNALED(said.status) && WTERMSIG(said.status) == SIGABRT);
	}
}
END_TEST
#else
static void evaluate_nothing(void *arg)
{
	percpu_assert(*(volatile char *)arg == 1);
}

START_TEST(assertions_without_checks_evaluate_nothing)
{
	ck_assert_int_eq(said_by(evaluate_nothing, NULL).status, 0);
}
END_TEST
#define a_wrong_lock_order_aborts assertions_without_checks_evaluate_nothing
#endif

/* ---- messages ---- */

static void die_of_a_pointer(void *arg)
{
	percpu__fatal("percpu_free", &(struct percpu__subject){ .pointer = arg },
		      PERCPU__FAULT_DOUBLE_FREE);
}

static void die_in_a_cache(void *name)
{
	percpu__fatal("percpu_cache_free_to",
		      &(struct percpu__subject){ .pointer = (void *)16,
						 .cache = name,
						 .object_bytes = 1500,
						 .value = { 18446744073709551615u, 4 } },
		      PERCPU__FAULT_NO_SUCH_CPU);
}

static void die_in_a_pool(void *name)
{
	percpu__fatal("percpu_free",
		      &(struct percpu__subject){ .pointer = (void *)16, .pool = name },
		      PERCPU__FAULT_DOUBLE_FREE);
}

static void warn_at_length(void *arg)
{
	percpu__warn(NULL, &(struct percpu__subject){ .text = arg }, PERCPU__FAULT_BAD_OPTION);
}

START_TEST(a_message_has_call_pointer_and_rule)
{
	assert_dies(die_of_a_pointer, (void *)0x7f00dead0008,
		    "libpercpu: percpu_free: double free of 0x7f00dead0008\n");
	assert_dies(die_of_a_pointer, (void *)8, "libpercpu: percpu_free: double free of 0x8\n");
	assert_dies(die_of_a_pointer, (void *)UINTPTR_MAX,
		    "libpercpu: percpu_free: double free of 0xffffffffffffffff\n");
	assert_dies(die_of_a_pointer, NULL, "libpercpu: percpu_free: double free of NULL\n");
}
END_TEST

START_TEST(a_message_names_the_cache_or_the_pool)
{
	assert_dies(die_in_a_cache, "packets",
		    "libpercpu: percpu_cache_free_to: cannot free 0x10 to CPU "
		    "18446744073709551615: CPU numbers are below 4 "
		    "(cache \"packets\", 1500-byte objects)\n");
	assert_dies(die_in_a_pool, "sessions",
		    "libpercpu: percpu_free: double free of 0x10 (pool \"sessions\")\n");
}
END_TEST

START_TEST(a_name_cannot_break_the_message)
{
	static char name[100000];

	assert_dies(die_in_a_pool, "a\"b\\c\nd\x1b[2J\x7f\xc3\xa4",
		    "libpercpu: percpu_free: double free of 0x10 "
		    "(pool \"a\\x22b\\x5cc\\x0ad\\x1b[2J\\x7f\\xc3\\xa4\")\n");
	memset(name, 'n', sizeof(name) - 1);
	assert_dies(die_in_a_pool, name,
		    "libpercpu: percpu_free: double free of 0x10 "
		    "(pool \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
		    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...\")\n");
}
END_TEST

START_TEST(a_long_message_is_cut_to_one_line)
{
	static char detail[100000];
	struct said said;

	memset(detail, 'd', sizeof(detail) - 1);
	said = said_by(warn_at_length, detail);
	ck_assert_int_eq(said.status, 0);
	ck_assert_uint_eq(lines_of(said.text), 1);
	ck_assert_uint_eq(strlen(said.text), 320);
	ck_assert(said.text[319] == '\n');
}
END_TEST

START_TEST(code_addresses_are_described)
{
	char text[256], tiny[4];

	percpu__describe_code((void *)(uintptr_t)percpu__describe_code, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "+0x"));
	percpu__describe_code((void *)8, text, sizeof(text));
	ck_assert_str_eq(text, "0x8");
	percpu__describe_code((void *)(uintptr_t)percpu__describe_code, tiny, sizeof(tiny));
	ck_assert_uint_eq(strlen(tiny), 3);
}
END_TEST

/* ---- fences ---- */

START_TEST(fences_keep_errno_and_readiness_is_constant)
{
	const bool ready = percpu__fence_ready();

	errno = 77;
	ck_assert_int_eq(percpu__fence_ready(), ready);
	if (ready)
		percpu__fence();
	ck_assert_int_eq(errno, 77);
}
END_TEST

TEST_MAIN("platform", 30, a_file_is_read_completely, an_empty_file_gives_an_empty_string,
	  a_file_that_is_too_long_is_refused, an_unreadable_file_is_an_error,
	  no_descriptor_is_left_open, short_reads_are_continued, doubtful_kernels_are_known,
	  every_state_has_a_reason_of_its_own, reasons_about_the_kernel_name_its_release,
	  the_offset_is_nonzero_only_if_rseq_is_usable, the_cpu_mask_agrees_with_sched_getaffinity,
	  locks_may_be_taken_in_the_order_of_their_ranks,
	  locks_held_for_a_fork_let_their_thread_pass,
	  a_wrong_lock_order_aborts, a_message_has_call_pointer_and_rule,
	  a_message_names_the_cache_or_the_pool, a_name_cannot_break_the_message,
	  a_long_message_is_cut_to_one_line, code_addresses_are_described,
	  fences_keep_errno_and_readiness_is_constant)
