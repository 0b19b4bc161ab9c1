/* SPDX-License-Identifier: MIT */
/*
 * Owns messages on standard error, one line each, and the end of the command when it
 * is out of memory.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "tool/tool.h"

static bool is_kept;
static char kept[256];

void complaint_keep(bool keep)
{
	is_kept = keep;
	kept[0] = '\0';
}

void complaint_clear(void)
{
	kept[0] = '\0';
}

const char *complaint(void)
{
	return kept;
}

static int say(const char *end, const char *format, va_list args, int status)
{
	if (is_kept) {
		vsnprintf(kept, sizeof(kept), format, args);
		return status;
	}
	fflush(stdout);
	fputs("percpu: ", stderr);
	vfprintf(stderr, format, args);
	fputs(end, stderr);
	return status;
}

int complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("\n", format, args, STATUS_FAILED);
	va_end(args);
	return STATUS_FAILED;
}

int complain_of_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("; try 'percpu --help'\n", format, args, STATUS_USAGE);
	va_end(args);
	return STATUS_USAGE;
}

void *grow(void *memory, size_t nr, size_t bytes)
{
	void *grown = reallocarray(memory, nr, bytes);

	if (!grown)
		exit(complain("out of memory"));
	return grown;
}
