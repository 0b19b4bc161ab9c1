/* SPDX-License-Identifier: MIT */
/* What every unit test shares: Check, and a main that prints TAP on standard output. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>
#include <stdlib.h>

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

#define TEST_MAIN(name, timeout_seconds, ...)                                                                \
	int main(void)                                                                                       \
	{                                                                                                    \
		const TTest *const tests[] = { __VA_ARGS__, NULL };                                          \
		return run_suite(suite_of(name, tests, timeout_seconds));                                    \
	}

#endif
