/* SPDX-License-Identifier: MIT */
/*
 * Owns the messages on standard error: each is a text of the catalogue, filled in with its subject.
 * A line is made in a buffer on the stack and leaves by one write(2), so that lines of several
 * threads do not mix, and signal handlers may print too.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/report.h"

#define FAULT_TEXT(name, text) [PERCPU__FAULT_##name] = text,
static const char *const texts[PERCPU__NR_FAULTS] = { PERCPU__FAULTS(FAULT_TEXT) };

#define NAME_MAX_BYTES 64u /* as printed */

struct line {
	char text[320];
	size_t length;
};

static void put_char(struct line *line, char c)
{
	if (line->length < sizeof(line->text) - 1) /* one byte stays for the newline */
		line->text[line->length++] = c;
}

static void put(struct line *line, const char *text)
{
	while (*text)
		put_char(line, *text++);
}

static const char digits[] = "0123456789abcdef";

/*
 * Puts a string of unknown origin. Bytes other than printable ASCII become \xNN, in at most
 * max_bytes of the line.
 */
static void put_untrusted(struct line *line, const char *text, size_t max_bytes, bool is_quoted)
{
	const size_t end = line->length + max_bytes;

	for (; *text; text++) {
		const unsigned char c = *text;
		const bool is_plain =
			c >= ' ' && c <= '~' && !(is_quoted && (c == '"' || c == '\\'));

		if (line->length + (is_plain ? 1 : 4) > end) {
			put(line, "...");
			return;
		}
		if (!is_plain) {
			put(line, "\\x");
			put_char(line, digits[c >> 4]);
		}
		put_char(line, is_plain ? (char)c : digits[c & 15]);
	}
}

static void put_pointer(struct line *line, const void *pointer)
{
	const uintptr_t value = (uintptr_t)pointer;
	int shift = 8 * sizeof(value) - 4;

	if (!pointer) {
		put(line, "NULL");
		return;
	}
	put(line, "0x");
	while (shift > 0 && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put_char(line, digits[value >> shift & 15]);
}

static void put_number(struct line *line, uint64_t value)
{
	char text[21];
	unsigned at = sizeof(text) - 1;

	text[at] = '\0';
	do
		text[--at] = digits[value % 10];
	while (value /= 10);
	put(line, text + at);
}

static void put_text(struct line *line, const struct percpu__subject *subject, const char *text)
{
	unsigned nr_values = 0;

	for (; *text; text++) {
		if (*text != '%') {
			put_char(line, *text);
			continue;
		}
		switch (*++text) {
		case 'p':
			put_pointer(line, subject->pointer);
			break;
		case 's':
			put_untrusted(line, subject->text, sizeof(line->text), false);
			break;
		case 'x':
			put_pointer(line, (const void *)(uintptr_t)subject->value[nr_values++]);
			break;
		default: /* u */
			put_number(line, subject->value[nr_values++]);
		}
	}
}

static void put_owner(struct line *line, const struct percpu__subject *subject)
{
	const char *const name = subject->cache ? subject->cache : subject->pool;

	if (!name)
		return;
	put(line, subject->cache ? " (cache \"" : " (pool \"");
	put_untrusted(line, name, NAME_MAX_BYTES, true);
	put_char(line, '"');
	if (subject->cache) {
		put(line, ", ");
		put_number(line, subject->object_bytes);
		put(line, "-byte objects");
	}
	put_char(line, ')');
}

void percpu__warn(const char *call, const struct percpu__subject *subject, enum percpu__fault fault)
{
	static const struct percpu__subject nothing;
	struct line line = { .length = 0 };

	subject = subject ? subject : &nothing;
	put(&line, "libpercpu: ");
	if (call) {
		put(&line, call);
		put(&line, ": ");
	}
	put_text(&line, subject, texts[fault]);
	put_owner(&line, subject);
	line.text[line.length++] = '\n';
	if (syscall(SYS_write, STDERR_FILENO, line.text, line.length) < 0)
		return; /* there is nowhere else to print it */
}

_Noreturn void percpu__fatal(const char *call, const struct percpu__subject *subject,
			     enum percpu__fault fault)
{
	percpu__warn(call, subject, fault);
	abort();
}

void percpu__describe_code(const void *address, char *text, size_t size)
{
	Dl_info info;

	if (dladdr(address, &info) && info.dli_fname)
		snprintf(text, size, "%s+0x%zx", info.dli_fname,
			 (size_t)((const char *)address - (const char *)info.dli_fbase));
	else
		snprintf(text, size, "%p", address);
}

void percpu__at_exit(void (*function)(void))
{
	if (atexit(function))
		percpu__warn(NULL, NULL, PERCPU__FAULT_EXIT_HANDLER);
}
