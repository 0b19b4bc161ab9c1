/* SPDX-License-Identifier: MIT */
/*
 * Owns PERCPU_OPTIONS: "key:value,key,...". Every key is one row of a table. An unknown key or
 * value is ignored, and reported if the caller asks.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"

#define MAX_CPUS 8192u
#define MAX_KEEP_BYTES (UINT64_C(1) << 40)
#define MAX_DECAY_MS 86400000u /* a day */

static bool set_mode(struct percpu__options *options, const char *value)
{
	const bool atomic = !strcmp(value, "atomic");

	if (!atomic && strcmp(value, "rseq"))
		return false;
	options->atomic = atomic;
	options->rseq = !atomic;
	return true;
}

/*
 * Parses a decimal number up to max, at least one digit. Returns: the text after it; NULL if there
 * is no number.
 */
static const char *read_number(const char *value, uint64_t max, uint64_t *number)
{
	const char *at = value;

	for (*number = 0; *at >= '0' && *at <= '9'; at++) {
		const unsigned digit = *at - '0';

		if (*number > (max - digit) / 10)
			return NULL;
		*number = 10 * *number + digit;
	}
	return at == value ? NULL : at;
}

static bool set_cpus(struct percpu__options *options, const char *value)
{
	uint64_t nr;
	const char *end = read_number(value, MAX_CPUS, &nr);

	if (!end || *end || !nr)
		return false;
	options->cpus = nr;
	return true;
}

/* Parses a number of bytes, times 2^10, 2^20 or 2^30 if K, M or G follows. */
static bool set_keep(struct percpu__options *options, const char *value)
{
	static const char units[] = "KMG";
	uint64_t bytes;
	const char *end = read_number(value, MAX_KEEP_BYTES, &bytes), *unit;

	if (!end)
		return false;
	if (*end) {
		unit = strchr(units, *end);
		if (!unit || end[1] || bytes > MAX_KEEP_BYTES >> 10 * (unit - units + 1))
			return false;
		bytes <<= 10 * (unit - units + 1);
	}
	options->keep_bytes = bytes;
	return true;
}

static bool set_decay(struct percpu__options *options, const char *value)
{
	uint64_t ms = UINT64_MAX;
	const char *end;

	if (strcmp(value, "never")) {
		end = read_number(value, MAX_DECAY_MS, &ms);
		if (!end || *end)
			return false;
	}
	options->decay_ms = ms;
	return true;
}

static bool set_flag(bool *flag, const char *value)
{
	const bool on = !*value || !strcmp(value, "1") || !strcmp(value, "on");

	if (!on && strcmp(value, "0") && strcmp(value, "off"))
		return false;
	*flag = on;
	return true;
}

static bool set_huge(struct percpu__options *options, const char *value)
{
	return set_flag(&options->huge, value);
}

static bool set_check(struct percpu__options *options, const char *value)
{
	return set_flag(&options->check, value);
}

static bool set_leaks(struct percpu__options *options, const char *value)
{
	return set_flag(&options->leaks, value);
}

static const struct key {
	const char *name;
	bool (*set)(struct percpu__options *options, const char *value); /* returns false for a bad value */
} keys[] = {
	{ "mode", set_mode },   { "cpus", set_cpus },   { "huge", set_huge },
	{ "check", set_check }, { "leaks", set_leaks }, { "keep", set_keep },
	{ "decay", set_decay },
};

/* item: "key" or "key:value"; modified. */
static bool set(struct percpu__options *options, char *item)
{
	char *value = strchr(item, ':');

	if (value)
		*value = '\0';
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		bool known;

		if (strcmp(item, keys[i].name))
			continue;
		known = keys[i].set(options, value ? value + 1 : "");
		if (value)
			*value = ':';
		return known;
	}
	if (value)
		*value = ':';
	return false;
}

struct percpu__options percpu__options_parse(const char *text, bool report)
{
	struct percpu__options options = { .decay_ms = PERCPU__DECAY_MS_DEFAULT };

	while (text && *text) {
		size_t length = strcspn(text, ",");
		char item[64] = "";

		if (length < sizeof(item))
			memcpy(item, text, length);
		else
			memcpy(item, text, sizeof(item) - 1);
		if (length && (length >= sizeof(item) || !set(&options, item)) && report)
			percpu__warn("PERCPU_OPTIONS", &(struct percpu__subject){ .text = item },
				     PERCPU__FAULT_BAD_OPTION);
		text += length + (text[length] == ',');
	}
	return options;
}

struct percpu__options percpu__options(bool report)
{
	/* Not in a program that runs with more privileges than its caller. */
	return percpu__options_parse(secure_getenv("PERCPU_OPTIONS"), report);
}
