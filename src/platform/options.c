/* SPDX-License-Identifier: MIT */
/*
 * Owns PERCPU_OPTIONS: "key:value,key,...". Every key is one row of a table. What is not understood is
 * reported if the caller asks, and ignored.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"

#define MAX_CPUS 8192u

static bool set_mode(struct percpu__options *options, const char *value)
{
	const bool atomic = !strcmp(value, "atomic");

	if (!atomic && strcmp(value, "rseq"))
		return false;
	options->atomic = atomic;
	return true;
}

static bool set_cpus(struct percpu__options *options, const char *value)
{
	unsigned nr = 0;

	if (!*value)
		return false;
	for (; *value; value++) {
		if (*value < '0' || *value > '9')
			return false;
		nr = 10 * nr + (*value - '0');
		if (nr > MAX_CPUS)
			return false;
	}
	if (!nr)
		return false;
	options->cpus = nr;
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
	bool (*set)(struct percpu__options *options, const char *value); /* false: no such value */
} keys[] = {
	{ "mode", set_mode },   { "cpus", set_cpus },   { "huge", set_huge },
	{ "check", set_check }, { "leaks", set_leaks },
};

/* item: "key" or "key:value", the caller's to change. */
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
	struct percpu__options options = { .cpus = 0 };

	while (text && *text) {
		size_t length = strcspn(text, ",");
		char item[64] = "";

		if (length < sizeof(item))
			memcpy(item, text, length);
		else
			memcpy(item, text, sizeof(item) - 1);
		if (length && (length >= sizeof(item) || !set(&options, item)) && report)
			percpu__warn("PERCPU_OPTIONS: not understood and ignored: ", item);
		text += length + (text[length] == ',');
	}
	return options;
}

struct percpu__options percpu__options(bool report)
{
	/* Not for a program that runs with more rights than its caller. */
	return percpu__options_parse(secure_getenv("PERCPU_OPTIONS"), report);
}
