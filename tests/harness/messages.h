/* SPDX-License-Identifier: MIT */
/* Compares what a process printed with the library's catalogue of messages. */
#ifndef TESTS_HARNESS_MESSAGES_H
#define TESTS_HARNESS_MESSAGES_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "platform/report.h"

#define MESSAGE_TEXT(name, text) [PERCPU__FAULT_##name] = text,
static const char *const message_texts[PERCPU__NR_FAULTS] = { PERCPU__FAULTS(MESSAGE_TEXT) };
#undef MESSAGE_TEXT

/*
 * Matches a line with the text of a fault. pointer is what stands for %p: a pointer as printf
 * prints it, or NULL for any. Numbers may have any value; %s takes the rest of the line.
 * Returns: what follows the text, or NULL if the line is another one.
 */
static inline const char *after_text(const char *line, enum percpu__fault fault, const char *pointer)
{
	for (const char *text = message_texts[fault]; *text; text++) {
		size_t length = 1;

		if (*text != '%') {
			if (*line++ != *text)
				return NULL;
			continue;
		}
		text++;
		if (*text == 's')
			length = strcspn(line, "\n");
		else if (*text == 'u')
			length = strspn(line, "0123456789");
		else if (*text == 'p' && pointer)
			length = strncmp(line, pointer, strlen(pointer)) ? 0 : strlen(pointer);
		else
			length = strspn(line, "0123456789abcdefxNUL");
		if (!length)
			return NULL;
		line += length;
	}
	return line;
}

/*
 * As after_text, for a line that has the library's name and, unless call is NULL, the call in
 * front.
 */
static inline const char *after_message(const char *line, const char *call, enum percpu__fault fault,
					const char *pointer)
{
	char start[128];

	snprintf(start, sizeof(start), "libpercpu: %s%s", call ? call : "", call ? ": " : "");
	if (strncmp(line, start, strlen(start)))
		return NULL;
	return after_text(line + strlen(start), fault, pointer);
}

/*
 * Returns: true if what was printed is one message, and behind its text stands owner, or nothing if
 * that is "".
 */
static inline bool is_message(const char *printed, const char *call, enum percpu__fault fault, const char *pointer,
			      const char *owner)
{
	const char *rest = after_message(printed, call, fault, pointer);

	return rest && !strncmp(rest, owner, strlen(owner)) && !strcmp(rest + strlen(owner), "\n");
}

#endif
