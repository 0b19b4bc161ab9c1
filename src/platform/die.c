/* SPDX-License-Identifier: MIT */
/*
 * Owns the library's only words on standard error. One write(2) a line, from a buffer on the stack,
 * so that a line is whole whoever else prints, and so that signal handlers may speak too.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/platform.h"

struct line {
	char text[320];
	size_t length;
};

static void put(struct line *line, const char *text)
{
	size_t room = sizeof(line->text) - 1 - line->length; /* one byte stays for the newline */
	size_t length = strlen(text);

	if (length > room)
		length = room;
	memcpy(line->text + line->length, text, length);
	line->length += length;
}

static void put_pointer(struct line *line, const void *pointer)
{
	char digits[2 + 2 * sizeof(pointer) + 1] = "0x";
	uintptr_t value = (uintptr_t)pointer;
	unsigned nr = 2;
	int shift = 8 * sizeof(value) - 4;

	while (shift > 0 && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		digits[nr++] = "0123456789abcdef"[value >> shift & 15];
	digits[nr] = '\0';
	put(line, digits);
}

static void flush(struct line *line)
{
	line->text[line->length++] = '\n';
	if (write(STDERR_FILENO, line->text, line->length) < 0)
		return; /* nowhere left to say it */
}

_Noreturn void percpu__die(const char *what, const void *pointer, const char *rule)
{
	struct line line = { .length = 0 };

	put(&line, "libpercpu: ");
	put(&line, what);
	if (pointer) {
		put(&line, " ");
		put_pointer(&line, pointer);
	}
	put(&line, ": ");
	put(&line, rule);
	flush(&line);
	abort();
}

void percpu__warn(const char *text, const char *detail)
{
	struct line line = { .length = 0 };

	put(&line, "libpercpu: ");
	put(&line, text);
	put(&line, detail);
	flush(&line);
}
