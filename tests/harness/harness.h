/* SPDX-License-Identifier: MIT */
/* What every unit test shares: Check, and a main that prints TAP on standard output. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * For alarm() in children that may hang, and as such a limit judges no machine. Check's own limits are given in seconds of
 * a fast one; make check takes ten times as much.
 */
#define PATIENCE_SECONDS 600

/* A suite of one test case; the tests are the rest of the arguments, NULL at the end. */
static inline Suite *suite_of(const char *name, const TTest *const *tests, double timeout_seconds)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, timeout_seconds);
	for (; *tests; tests++)
		tcase_add_test(tcase, *tests);
	suite_add_tcase(suite, tcase);
	return suite;
}

/* Runs the suite, one forked process a test unless CK_FORK says otherwise. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static inline void say_nothing(int i)
{
}

/* why_not: NULL, or why this test can say nothing here: then its line is a skip, which TAP knows by the test's name. */
static inline const TTest *unless(const char *why_not, const TTest *test)
{
	static struct {
		TTest test;
		char name[200];
	} skips[32];
	static unsigned nr;

	if (!why_not)
		return test;
	if (nr == sizeof(skips) / sizeof(skips[0]))
		abort();
	snprintf(skips[nr].name, sizeof(skips[nr].name), "%s # SKIP %s", test->name, why_not);
	skips[nr].test = (TTest){ skips[nr].name, say_nothing, test->file, test->line };
	return &skips[nr++].test;
}

/* why_not: NULL, or why none of the tests can say anything here. */
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
