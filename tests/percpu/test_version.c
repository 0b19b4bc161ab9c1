/* SPDX-License-Identifier: MIT */
/* configure.ac, the headers and the library have one version. */
#include "config.h"
#include "harness/harness.h"

#include <percpu/percpu.h>

START_TEST(the_headers_and_configure_have_one_version)
{
	char headers[40];

	snprintf(headers, sizeof(headers), "%d.%d.%d", PERCPU_VERSION_MAJOR, PERCPU_VERSION_MINOR,
		 PERCPU_VERSION_PATCH);
	ck_assert_str_eq(headers, PACKAGE_VERSION);
}
END_TEST

START_TEST(the_library_and_configure_have_one_version)
{
	ck_assert_str_eq(percpu_version(), PACKAGE_VERSION);
}
END_TEST

START_TEST(the_number_orders_versions)
{
	ck_assert_int_eq(PERCPU_VERSION / 10000, PERCPU_VERSION_MAJOR);
	ck_assert_int_eq(PERCPU_VERSION / 100 % 100, PERCPU_VERSION_MINOR);
	ck_assert_int_eq(PERCPU_VERSION % 100, PERCPU_VERSION_PATCH);
}
END_TEST

TEST_MAIN("version", 20, the_headers_and_configure_have_one_version,
	  the_library_and_configure_have_one_version, the_number_orders_versions)
