/* SPDX-License-Identifier: MIT */
/*
 * The number of possible CPUs, with a list in sysfs that is right, hidden or false. The tests
 * replace the two facts that the list is checked against, and libc's count.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/harness.h"
#include "platform/platform.h"
#include "topology/topology.h"

static unsigned mask_bits = 192, nr_allowed = 4, nr_configured = 6;

unsigned __wrap_percpu__cpu_mask_bits(unsigned *allowed);
unsigned __wrap_percpu__configured_cpus(void);

unsigned __wrap_percpu__cpu_mask_bits(unsigned *allowed)
{
	*allowed = nr_allowed;
	return mask_bits;
}

unsigned __wrap_percpu__configured_cpus(void)
{
	return nr_configured;
}

/* ---- the sysfs of the test ---- */

static char root[512];

static void make(const char *tail, bool directory)
{
	char path[600];

	snprintf(path, sizeof(path), "%s%s", root, tail);
	if (directory)
		ck_assert_int_eq(mkdir(path, 0700), 0);
	else
		ck_assert_int_eq(remove(path), 0);
}

static void setup(void)
{
	strcpy(root, "/tmp/percpu-sysfs-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	make("/devices", true);
	make("/devices/system", true);
	make("/devices/system/cpu", true);
}

static void teardown(void)
{
	make("/devices/system/cpu", false);
	make("/devices/system", false);
	make("/devices", false);
	make("", false);
}

static unsigned possible_with(const char *text, size_t bytes)
{
	char path[600];
	unsigned nr;
	FILE *file;

	snprintf(path, sizeof(path), "%s/devices/system/cpu/possible", root);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, bytes, file), bytes);
	fclose(file);
	errno = 77;
	nr = percpu__nr_possible_cpus(root);
	ck_assert_int_eq(errno, 77);
	remove(path);
	return nr;
}

static const struct row {
	const char *text;
	unsigned end; /* 0: not a CPU list */
} rows[] = {
	{ "0", 1 },
	{ "1", 2 },
	{ "0-3", 4 },
	{ "0,3-7,9", 10 },
	{ "9,3-7,0", 10 },
	{ "5-5", 6 },
	{ "0-127", 128 },
	{ "0-65535", 65536 },
	{ "65535", 65536 },
	{ "00007", 8 },
	{ "", 0 },
	{ "65536", 0 },
	{ "0-65536", 0 },
	{ "4294967295", 0 },
	{ "4294967296", 0 },
	{ "18446744073709551616", 0 },
	{ "3-1", 0 },
	{ "0-", 0 },
	{ "-", 0 },
	{ "-3", 0 },
	{ "0--3", 0 },
	{ "0-3-5", 0 },
	{ ",", 0 },
	{ "0,", 0 },
	{ ",0", 0 },
	{ "0,,1", 0 },
	{ "0-3 ", 0 },
	{ " 0-3", 0 },
	{ "0-3x", 0 },
	{ "0-3\n4", 0 },
	{ "0x3", 0 },
	{ "0-3:1/2", 0 },
	{ "all", 0 },
	{ "\n", 0 },
	{ "(null)", 0 },
	{ "\xff\xfe", 0 },
};
#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

START_TEST(cpu_lists_are_parsed)
{
	char line[64];

	for (size_t i = 0; i < NR_ROWS; i++) {
		ck_assert_msg(percpu__cpu_list_end(rows[i].text) == rows[i].end, "\"%s\"",
			      rows[i].text);
		snprintf(line, sizeof(line), "%s\n", rows[i].text);
		ck_assert_msg(percpu__cpu_list_end(line) == rows[i].end, "\"%s\" and a newline",
			      rows[i].text);
		strcat(line, "\n");
		ck_assert_msg(percpu__cpu_list_end(line) == 0, "\"%s\" and two newlines",
			      rows[i].text);
	}
}
END_TEST

/*
 * A list is accepted if it covers the allowed CPUs and fits in the mask; otherwise the larger size
 * wins.
 */
START_TEST(plausible_lists_are_accepted)
{
	char line[64];

	setup();
	for (size_t i = 0; i < NR_ROWS; i++) {
		const unsigned end = rows[i].end, larger = end > mask_bits ? end : mask_bits;
		const unsigned want = end >= nr_allowed && end <= mask_bits ? end : larger;

		ck_assert_msg(possible_with(rows[i].text, strlen(rows[i].text)) == want, "\"%s\"",
			      rows[i].text);
		snprintf(line, sizeof(line), "%s\n", rows[i].text);
		ck_assert_msg(possible_with(line, strlen(line)) == want, "\"%s\" and a newline",
			      rows[i].text);
	}
	teardown();
}
END_TEST

START_TEST(lists_at_the_limits_are_accepted)
{
	char line[1000];
	size_t length = 0;

	setup();
	ck_assert_uint_eq(possible_with("0-3\n", 4), 4);   /* the allowed CPUs only */
	ck_assert_uint_eq(possible_with("0-191\n", 6), 192); /* as many as the mask has bits */
	ck_assert_uint_eq(possible_with("0-4\n", 4), 5);   /* fewer than libc counts */
	for (unsigned cpu = 0; cpu <= 150; cpu++)
		length += snprintf(line + length, sizeof(line) - length, "%u%s", cpu,
				   cpu < 150 ? "," : "\n");
	/* This list is too long for the buffer on the stack. */
	ck_assert_uint_eq(possible_with(line, length), 151);
	teardown();
}
END_TEST

START_TEST(a_list_without_an_allowed_cpu_is_rejected)
{
	setup();
	ck_assert_uint_eq(possible_with("0-2\n", 4), 192);
	mask_bits = 64;
	nr_configured = 100; /* ignored, because the mask is known */
	ck_assert_uint_eq(possible_with("0-2\n", 4), 64);
	mask_bits = 0; /* unknown */
	nr_configured = 0;
	nr_allowed = 4;
	ck_assert_uint_eq(possible_with("0-2\n", 4), 3);
	teardown();
}
END_TEST

START_TEST(a_list_larger_than_the_mask_gives_its_size)
{
	setup();
	ck_assert_uint_eq(possible_with("0-499\n", 6), 500);
	nr_configured = 1000;
	ck_assert_uint_eq(possible_with("0-499\n", 6), 500);
	mask_bits = 0; /* unknown: the list is accepted */
	ck_assert_uint_eq(possible_with("0-499\n", 6), 500);
	teardown();
}
END_TEST

START_TEST(a_megabyte_of_text_is_not_a_list)
{
	const size_t bytes = 1 << 20;
	char *digits = malloc(bytes);

	setup();
	for (char digit = '0'; digit <= '9'; digit += 9) {
		memset(digits, digit, bytes);
		ck_assert_uint_eq(possible_with(digits, bytes), 192);
	}
	memset(digits, '0', bytes);
	for (size_t i = 1; i < bytes; i += 2)
		digits[i] = ',';
	digits[bytes - 1] = '\n';
	ck_assert_uint_eq(possible_with(digits, bytes), 192);
	free(digits);
	teardown();
}
END_TEST

START_TEST(a_zero_byte_ends_the_text)
{
	setup();
	ck_assert_uint_eq(possible_with("0-7\0rubbish", 11), 8);
	ck_assert_uint_eq(possible_with("\0" "0-7", 4), 192);
	teardown();
}
END_TEST

START_TEST(without_a_list_the_mask_or_libc_decides)
{
	setup();
	ck_assert_uint_eq(percpu__nr_possible_cpus(root), 192);
	make("/devices/system/cpu/possible", true);
	ck_assert_uint_eq(percpu__nr_possible_cpus(root), 192);
	make("/devices/system/cpu/possible", false);
	ck_assert_uint_eq(percpu__nr_possible_cpus("/nonexistent"), 192);
	nr_configured = 1000;
	ck_assert_uint_eq(percpu__nr_possible_cpus("/nonexistent"), 192);
	mask_bits = nr_allowed = 0;
	ck_assert_uint_eq(percpu__nr_possible_cpus("/nonexistent"), 1000);
	nr_configured = 0;
	ck_assert_uint_eq(percpu__nr_possible_cpus("/nonexistent"), 1);
	teardown();
}
END_TEST

START_TEST(a_sysfs_path_of_any_length_is_safe)
{
	memset(root, '/', sizeof(root) - 1);
	for (size_t length = 200; length < sizeof(root); length++) {
		root[length] = '\0';
		ck_assert_uint_eq(percpu__nr_possible_cpus(root), 192);
		root[length] = '/';
	}
}
END_TEST

START_TEST(unknown_nodes_are_minus_one)
{
	errno = 77;
	for (unsigned cpu = 0; cpu < 8; cpu++)
		ck_assert_int_ge(percpu__cpu_to_memory_node(cpu), -1);
	ck_assert_int_eq(percpu__cpu_to_memory_node(60000), -1);
	if (!percpu__has_nodes())
		ck_assert_int_le(percpu__cpu_to_memory_node(0), 0);
}
END_TEST

TEST_MAIN("topology: possible CPUs", 60, cpu_lists_are_parsed, plausible_lists_are_accepted,
	  lists_at_the_limits_are_accepted, a_list_without_an_allowed_cpu_is_rejected,
	  a_list_larger_than_the_mask_gives_its_size, a_megabyte_of_text_is_not_a_list,
	  a_zero_byte_ends_the_text, without_a_list_the_mask_or_libc_decides,
	  a_sysfs_path_of_any_length_is_safe, unknown_nodes_are_minus_one)
