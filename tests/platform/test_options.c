/* SPDX-License-Identifier: MIT */
/* PERCPU_OPTIONS: valid items are applied, and each invalid item is reported and ignored. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "platform/capture.h"
#include "platform/platform.h"

static const struct row {
	const char *text;
	struct percpu__options options;
	unsigned nr_refused; /* invalid items, each of which prints one line */
} rows[] = {
	{ NULL, { .cpus = 0 }, 0 },
	{ "", { .cpus = 0 }, 0 },
	{ ",", { .cpus = 0 }, 0 },
	{ ",,,huge,,", { .huge = true }, 0 },
	{ "mode:atomic", { .atomic = true }, 0 },
	{ "mode:rseq", { .rseq = true }, 0 },
	{ "mode:atomic,mode:rseq", { .rseq = true }, 0 },
	{ "mode:rseq,mode:atomic", { .atomic = true }, 0 },
	{ "mode:rseq,mode:", { .rseq = true }, 1 },
	{ "cpus:1", { .cpus = 1 }, 0 },
	{ "cpus:017", { .cpus = 17 }, 0 },
	{ "cpus:8192", { .cpus = 8192 }, 0 },
	{ "cpus:8193", { .cpus = 0 }, 1 },
	{ "cpus:0", { .cpus = 0 }, 1 },
	{ "cpus:", { .cpus = 0 }, 1 },
	{ "cpus", { .cpus = 0 }, 1 },
	{ "cpus:-1", { .cpus = 0 }, 1 },
	{ "cpus:+1", { .cpus = 0 }, 1 },
	{ "cpus: 1", { .cpus = 0 }, 1 },
	{ "cpus:1x", { .cpus = 0 }, 1 },
	{ "cpus:4294967297", { .cpus = 0 }, 1 },
	{ "cpus:18446744073709551617", { .cpus = 0 }, 1 },
	{ "huge", { .huge = true }, 0 },
	{ "huge:", { .huge = true }, 0 },
	{ "huge:1,check:on,leaks", { .huge = true, .check = true, .leaks = true }, 0 },
	{ "huge,huge:off,check,check:0", { .huge = false }, 0 },
	{ "leaks:yes", { .leaks = false }, 1 },
	{ "Huge", { .huge = false }, 1 },
	{ "hug", { .huge = false }, 1 },
	{ "huge2", { .huge = false }, 1 },
	{ " huge", { .huge = false }, 1 },
	{ "mode", { .atomic = false }, 1 },
	{ "mode:", { .atomic = false }, 1 },
	{ "mode:atomic:", { .atomic = false }, 1 },
	{ ":", { .cpus = 0 }, 1 },
	{ ":atomic", { .cpus = 0 }, 1 },
	{ "\xff\x01%n%s", { .cpus = 0 }, 1 },
	{ "nonsense,mode:atomic,cpus:x,rubbish:1,cpus:5", { .atomic = true, .cpus = 5 }, 3 },
	/* An invalid item leaves the earlier value alone. */
	{ "mode:atomic,mode:never", { .atomic = true }, 1 },
	{ "check,check:perhaps", { .check = true }, 1 },
	{ "cpus:3,cpus:many", { .cpus = 3 }, 1 },
	{ "keep:0", { .keep_bytes = 0 }, 0 },
	{ "keep:4095", { .keep_bytes = 4095 }, 0 },
	{ "keep:3K", { .keep_bytes = 3072 }, 0 },
	{ "keep:12M", { .keep_bytes = 12u << 20 }, 0 },
	{ "keep:2G,keep:1024G", { .keep_bytes = UINT64_C(1) << 40 }, 0 },
	{ "keep:1025G", { .keep_bytes = 0 }, 1 },
	{ "keep:1099511627777", { .keep_bytes = 0 }, 1 },
	{ "keep:18446744073709551616", { .keep_bytes = 0 }, 1 },
	{ "keep:18014398509481985K", { .keep_bytes = 0 }, 1 },
	{ "keep:1k,keep:K,keep:,keep,keep:1KB,keep:-1", { .keep_bytes = 0 }, 6 },
	{ "decay:0", { .decay_ms = 0 }, 0 },
	{ "decay:1", { .decay_ms = 1 }, 0 },
	{ "decay:86400000", { .decay_ms = 86400000 }, 0 },
	{ "decay:never", { .decay_ms = UINT64_MAX }, 0 },
	{ "decay:never,decay:20", { .decay_ms = 20 }, 0 },
	{ "decay:86400001,decay:,decay,decay:Never,decay:1s,decay:-1",
	  { .decay_ms = PERCPU__DECAY_MS_DEFAULT }, 6 },
};

static void parse_and_report(void *arg)
{
	percpu__options_parse(arg, true);
}

static void parse_silently(void *arg)
{
	percpu__options_parse(arg, false);
}

START_TEST(every_row_parses_as_expected)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct percpu__options got = percpu__options_parse(rows[i].text, false);
		const struct percpu__options want = rows[i].options;
		const bool decay = rows[i].text && strstr(rows[i].text, "decay");
		const uint64_t decay_ms = decay ? want.decay_ms : PERCPU__DECAY_MS_DEFAULT;

		ck_assert_msg(got.atomic == want.atomic && got.rseq == want.rseq &&
				      got.huge == want.huge && got.check == want.check &&
				      got.leaks == want.leaks && got.cpus == want.cpus &&
				      got.keep_bytes == want.keep_bytes &&
				      got.decay_ms == decay_ms,
			      "\"%s\": atomic %d rseq %d huge %d check %d leaks %d cpus %u "
			      "keep %zu decay %llu",
			      rows[i].text, got.atomic, got.rseq, got.huge, got.check, got.leaks,
			      got.cpus, got.keep_bytes, (unsigned long long)got.decay_ms);
	}
}
END_TEST

START_TEST(each_invalid_item_prints_one_line)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct said said = said_by(parse_and_report, (void *)rows[i].text);

		ck_assert_int_eq(said.status, 0);
		ck_assert_msg(lines_of(said.text) == rows[i].nr_refused, "\"%s\": %s", rows[i].text,
			      said.text);
		ck_assert_str_eq(said_by(parse_silently, (void *)rows[i].text).text, "");
	}
}
END_TEST

START_TEST(the_warning_names_the_item)
{
	ck_assert_str_eq(said_by(parse_and_report, "check,mode:sideways,cpus:4").text,
			 "libpercpu: PERCPU_OPTIONS: ignored unknown option or bad value: "
			 "mode:sideways\n");
}
END_TEST

START_TEST(long_items_are_ignored_and_truncated_in_the_warning)
{
	static char text[1 << 20];
	struct percpu__options options;
	struct said said;

	for (size_t length = 60; length < 68; length++) {
		memset(text, 'k', length);
		strcpy(text + length, ",cpus:9");
		ck_assert_uint_eq(percpu__options_parse(text, false).cpus, 9);
		ck_assert_uint_eq(lines_of(said_by(parse_and_report, text).text), 1);
	}
	memset(text, '7', sizeof(text) - 1);
	memcpy(text, "cpus:", 5);
	text[1 << 19] = ',';
	options = percpu__options_parse(text, false);
	ck_assert_uint_eq(options.cpus, 0);
	said = said_by(parse_and_report, text);
	ck_assert_int_eq(said.status, 0);
	ck_assert_uint_eq(lines_of(said.text), 2);
	ck_assert_uint_lt(strlen(said.text), 1024);
}
END_TEST

START_TEST(a_known_key_with_a_long_value_is_invalid)
{
	char text[128] = "cpus:";

	memset(text + 5, '0', 80);
	text[84] = '4';
	ck_assert_uint_eq(percpu__options_parse(text, false).cpus, 0);
	ck_assert_uint_eq(lines_of(said_by(parse_and_report, text).text), 1);
	text[40] = '\0';
	strcat(text, "4");
	ck_assert_uint_eq(percpu__options_parse(text, false).cpus, 4);
}
END_TEST

START_TEST(the_environment_is_read_at_every_call)
{
	unsetenv("PERCPU_OPTIONS");
	ck_assert_uint_eq(percpu__options(true).cpus, 0);
	setenv("PERCPU_OPTIONS", "cpus:11", 1);
	ck_assert_uint_eq(percpu__options(true).cpus, 11);
	setenv("PERCPU_OPTIONS", "cpus:12", 1);
	ck_assert_uint_eq(percpu__options(true).cpus, 12);
}
END_TEST

TEST_MAIN("platform: options", 30, every_row_parses_as_expected, each_invalid_item_prints_one_line,
	  the_warning_names_the_item, long_items_are_ignored_and_truncated_in_the_warning,
	  a_known_key_with_a_long_value_is_invalid, the_environment_is_read_at_every_call)
