/* SPDX-License-Identifier: MIT */
/* PERCPU_OPTIONS: check detects writes after free and double frees, leaks prints leaks at exit. */
#include <pthread.h>

#include "harness/harness.h"
#include "percpu/world.h"
#include "platform/capture.h"
#include "harness/messages.h"

struct written {
	size_t size, at;
	unsigned copy;
	bool in_pool;
};

static void write_after_free(void *arg)
{
	const struct written *written = arg;
	struct percpu_pool *pool = written->in_pool ? percpu_pool_create("watched", NULL) : NULL;
	char *p = percpu_pool_alloc(pool, written->size, 8), *again;

	fill(p, written->size, 1);
	percpu_free(p);
	percpu_ptr(p, written->copy)[written->at] = 1;
	dprintf(STDERR_FILENO, "%p\n", (void *)p);
	again = percpu_pool_alloc(pool, written->size, 8);
	dprintf(STDERR_FILENO, again == p ? "the same\n" : "another\n");
}

START_TEST(check_finds_a_write_after_free)
{
	static struct written rows[] = {
		{ 8, 0, 0, false },       { 8, 7, 1, false },         { 100, 99, 2, false },
		{ 4096, 4000, 0, false }, { 70000, 69999, 1, false }, { 8, 0, 2, true },
		{ 5000, 0, 0, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct said said;
		char p[32] = "", *line;

		setenv("PERCPU_OPTIONS", i % 2 ? "check,cpus:2" : "check,cpus:40", 1);
		said = said_by(write_after_free, &rows[i]);
		ck_assert_int_eq(sscanf(said.text, "%31s", p), 1);
		line = said.text + strlen(p) + 1;
		ck_assert_msg(
			is_message(line, "percpu_alloc", PERCPU__FAULT_WRITE_AFTER_FREE, p,
				   rows[i].in_pool ? " (pool \"watched\")" : " (pool \"default\")"),
			"%s", line);
		ck_assert(WIFSIGNALED(said.status) && WTERMSIG(said.status) == SIGABRT);
	}
}
END_TEST

static void use_correctly(void *arg)
{
	void *p[100];

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 100; i++) {
			p[i] = percpu_alloc(1 + 37 * i, 8);
			if (!is_zero(p[i], 1 + 37 * i))
				_exit(1);
			fill(p[i], 1 + 37 * i, i);
		}
		for (int i = 0; i < 100; i++)
			percpu_free(p[(i * 37) % 100]);
		if (percpu_alloc_bulk(24, 8, 100, p))
			_exit(2);
		for (int i = 0; i < 100; i++) {
			if (!is_zero(p[i], 24))
				_exit(3);
			fill(p[i], 24, i);
		}
		percpu_free_bulk(100, p);
		if (round % 5 == 0)
			percpu_trim(NULL);
	}
}

START_TEST(check_is_silent_without_errors)
{
	static const char *const options[] = { "check", "check,cpus:40", "check,leaks",
					       "check,mode:atomic" };

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct said said;

		setenv("PERCPU_OPTIONS", options[i], 1);
		said = said_by(use_correctly, NULL);
		ck_assert_str_eq(said.text, "");
		ck_assert_int_eq(said.status, 0);
	}
}
END_TEST

static void free_twice(void *arg)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(p);
	dprintf(STDERR_FILENO, "%p\n", (void *)p);
	percpu_free(p);
}

START_TEST(check_finds_a_double_free)
{
	struct said said;
	char p[32] = "", *line;

	with_options("check");
	said = said_by(free_twice, NULL);
	ck_assert_int_eq(sscanf(said.text, "%31s", p), 1);
	line = said.text + strlen(p) + 1;
	ck_assert_msg(
		is_message(line, "percpu_free", PERCPU__FAULT_NOT_LIVE, p, " (pool \"default\")"),
		"%s", line);
}
END_TEST

/* Every copy of freed memory reads as poison. */
START_TEST(check_poisons_every_copy)
{
	char *p, *neighbour;

	with_options("check");
	p = percpu_alloc(16, 8);
	neighbour = percpu_alloc(16, 8);
	fill(p, 16, 1);
	fill(neighbour, 16, 2);
	percpu_free(p);
	percpu_for_each_copy(i)
		for (int at = 0; at < 16; at++)
			ck_assert_int_eq(percpu_ptr(p, i)[at], 0x6b);
	ck_assert(is_filled(neighbour, 16, 2));
}
END_TEST

/* ---- leaks ---- */

static void *leak(size_t size)
{
	return percpu_alloc(size, 8);
}

static void leak_some(void *arg)
{
	void *bulk[3];

	leak(24);
	percpu_free(leak(1000));
	percpu_alloc_bulk(40, 8, 3, bulk);
	percpu_free(bulk[1]);
	percpu_pool_alloc(percpu_pool_create("leaky", NULL), 56, 8);
	percpu_alloc_array(3, 24, 8);
	exit(0);
}

START_TEST(leaks_are_printed_at_exit)
{
	static const size_t want[] = { 24, 40, 40, 56, 72 };
	bool seen[5] = { false };
	struct said said;
	char *line;

	with_options("leaks");
	said = said_by(leak_some, NULL);
	ck_assert_int_eq(said.status, 0);
	ck_assert_uint_eq(lines_of(said.text), 5);
	for (line = strtok(said.text, "\n"); line; line = strtok(NULL, "\n")) {
		void *p, *offset;
		char name[200];
		size_t bytes;
		int i = 0;

		ck_assert_msg(sscanf(line,
				     "libpercpu: leak: %zu bytes at %p, allocated by %199[^+]+%p",
				     &bytes, &p, name, &offset) == 4,
			      "%s", line);
		ck_assert_ptr_nonnull(strstr(name, "test_watched"));
		while (i < 5 && (seen[i] || want[i] != bytes))
			i++;
		ck_assert_int_lt(i, 5);
		seen[i] = true;
	}
}
END_TEST

static void leak_many(void *arg)
{
	static void *p[5000];

	for (int i = 0; i < 5000; i++)
		p[i] = percpu_alloc(8, 8);
	for (int i = 0; i < 5000; i++)
		if (i != 4321)
			percpu_free(p[i]);
	dprintf(STDERR_FILENO, "%p\n", p[4321]);
	exit(0);
}

START_TEST(one_leak_among_many_is_printed)
{
	struct said said;
	void *p = NULL, *told = NULL;

	with_options("leaks");
	said = said_by(leak_many, NULL);
	ck_assert_uint_eq(lines_of(said.text), 2);
	ck_assert_int_eq(sscanf(said.text, "%p libpercpu: leak: 8 bytes at %p", &p, &told), 2);
	ck_assert_ptr_eq(p, told);
}
END_TEST

static void leak_nothing(void *arg)
{
	static int variable;

	percpu_inc((uint64_t *)percpu_static_attach(&variable, NULL, 8, 8));
	percpu_free(leak(8));
	exit(0);
}

START_TEST(variables_are_no_leaks)
{
	struct said said;

	with_options("leaks,check");
	said = said_by(leak_nothing, NULL);
	ck_assert_str_eq(said.text, "");
	ck_assert_int_eq(said.status, 0);
}
END_TEST

/* ---- unknown options ---- */

static void *use(void *arg)
{
	percpu_free(percpu_alloc(8, 8));
	return NULL;
}

static void use_in_threads(void *arg)
{
	pthread_t thread[8];

	for (int i = 0; i < 8; i++)
		pthread_create(&thread[i], NULL, use, NULL);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	percpu_pool_create("again", NULL);
	percpu_mode();
}

START_TEST(unknown_options_are_reported_once)
{
	with_options("colour:blue,cpus:3");
	for (int round = 0; round < 20; round++)
		ck_assert_str_eq(said_by(use_in_threads, NULL).text,
				 "libpercpu: PERCPU_OPTIONS: ignored unknown option or bad value: "
				 "colour:blue\n");
}
END_TEST

/* ---- modes ---- */

START_TEST(the_mode_is_the_requested_one)
{
	with_options("mode:atomic");
	ck_assert_int_eq(percpu_mode(), PERCPU_MODE_ATOMIC);
	ck_assert_str_eq(percpu_mode_reason(), "PERCPU_OPTIONS asks for atomic mode");
	with_options("mode:rseq"); /* too late: the mode is decided once */
	ck_assert_int_eq(percpu_mode(), PERCPU_MODE_ATOMIC);
}
END_TEST

START_TEST(the_reason_is_one_line)
{
	ck_assert(percpu_mode() == PERCPU_MODE_ATOMIC || percpu_mode() == PERCPU_MODE_RSEQ);
	ck_assert_ptr_nonnull(percpu_mode_reason());
	ck_assert_ptr_null(strchr(percpu_mode_reason(), '\n'));
}
END_TEST

TEST_MAIN("percpu: watched", 120, check_finds_a_write_after_free, check_is_silent_without_errors,
	  check_finds_a_double_free, check_poisons_every_copy, leaks_are_printed_at_exit,
	  one_leak_among_many_is_printed, variables_are_no_leaks, unknown_options_are_reported_once,
	  the_mode_is_the_requested_one, the_reason_is_one_line)
