/* SPDX-License-Identifier: MIT */
/* Shared by all unit tests: Check, and a main that prints TAP on standard output. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The limit for alarm() in children that may hang: long enough for any machine. Check's own limits
 * are given in seconds of a fast machine, and make check multiplies them by ten.
 */
#define PATIENCE_SECONDS 600

/*
 * Skips. A test that cannot test anything on this machine calls SKIP("why"), and its line of TAP
 * says so. The tests run one after another, each in a process of its own, so its number and its
 * reason lie in memory that the processes share.
 */
#define MAX_RUNS 4096

struct harness_skips {
	unsigned run; /* number of the test that runs, from 1, as in TAP */
	char why[MAX_RUNS + 1][96];
};

static inline struct harness_skips *harness_skips(void)
{
	static struct harness_skips *skips;

	if (!skips) {
		skips = mmap(NULL, sizeof(*skips), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (skips == MAP_FAILED)
			abort();
	}
	return skips;
}

static inline void harness_begin(void)
{
	if (++harness_skips()->run > MAX_RUNS)
		abort();
}

static inline void harness_note_skip(const char *why)
{
	struct harness_skips *skips = harness_skips();

	snprintf(skips->why[skips->run], sizeof(skips->why[0]), "%s", why);
}

/*
 * Ends the test as skipped. Use it in the test function, or in a function whose return ends the
 * test.
 */
#define SKIP(why)                                                                                            \
	do {                                                                                                 \
		harness_note_skip(why);                                                                      \
		return;                                                                                      \
	} while (0)

/* why: the reason to skip the test, or NULL to run it. */
#define SKIP_IF(why)                                                                                         \
	do {                                                                                                 \
		const char *harness_why = (why);                                                             \
		if (harness_why)                                                                             \
			SKIP(harness_why);                                                                   \
	} while (0)

static inline TCase *case_of(const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, harness_begin, NULL);
	return tcase;
}

/* Makes a suite of one test case from the tests that follow; the last argument is NULL. */
static inline Suite *suite_of(const char *name, const TTest *const *tests, double timeout_seconds)
{
	Suite *suite = suite_create(name);
	TCase *tcase = case_of(name);

	tcase_set_timeout(tcase, timeout_seconds);
	for (; *tests; tests++)
		tcase_add_test(tcase, *tests);
	suite_add_tcase(suite, tcase);
	return suite;
}

/* Copies TAP from a file to standard output, and adds to skipped tests the reason. */
static inline void harness_print(FILE *tap)
{
	const struct harness_skips *skips = harness_skips();
	char line[4096];
	unsigned nr;

	while (fgets(line, sizeof(line), tap)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "ok %u - ", &nr) == 1 && nr <= MAX_RUNS && skips->why[nr][0])
			printf("%s # SKIP %s\n", line, skips->why[nr]);
		else
			printf("%s\n", line);
	}
}

/* Runs the suite, each test in a process of its own unless CK_FORK says otherwise. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	const int fd = memfd_create("tap", 0);
	FILE *tap = fdopen(fd, "r");
	char path[64];
	int failed;

	if (!tap)
		abort();
	harness_skips();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	srunner_set_tap(runner, path);
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rewind(tap);
	harness_print(tap);
	fclose(tap);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* why_not: the reason to skip all tests, or NULL to run them. */
#define TEST_MAIN_UNLESS(why_not, name, timeout_seconds, ...)                                                \
	int main(void)                                                                                       \
	{                                                                                                    \
		const TTest *const tests[] = { __VA_ARGS__, NULL };                                          \
		const char *reason = why_not;                                                                \
		if (reason)                                                                                  \
			return printf("1..0 # SKIP %s\n", reason) < 0;                                       \
		return run_suite(suite_of(name, tests, timeout_seconds));                                    \
	}
#define TEST_MAIN(name, timeout_seconds, ...) TEST_MAIN_UNLESS(NULL, name, timeout_seconds, __VA_ARGS__)

#endif
