/* SPDX-License-Identifier: MIT */
/*
 * Owns the library's words on standard error, and its last ones at exit. One write(2) a line, from a
 * buffer on the stack, so that a line is whole whoever else prints, and signal handlers may speak too.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
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
	if (syscall(SYS_write, STDERR_FILENO, line->text, line->length) < 0)
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

void percpu__describe_code(const void *address, char *text, size_t size)
{
	Dl_info info;

	if (dladdr(address, &info) && info.dli_fname)
		snprintf(text, size, "%s+0x%zx", info.dli_fname, (size_t)((const char *)address - (const char *)info.dli_fbase));
	else
		snprintf(text, size, "%p", address);
}

void percpu__at_exit(void (*function)(void))
{
	if (atexit(function))
		percpu__warn("no room for an exit handler", "");
}
