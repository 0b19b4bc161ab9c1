/* SPDX-License-Identifier: MIT */
/*
 * Owns the escaping of untrusted text: it cannot control a terminal, end a string or break a line.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

/* Returns: bytes of the UTF-8 character that text begins with; 0 if it does not begin with one. */
static size_t utf8_bytes(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	uint32_t point;
	size_t bytes;

	if (at[0] < 0x80)
		return 1;
	if (at[0] >= 0xc2 && at[0] < 0xe0)
		bytes = 2, point = at[0] & 0x1f;
	else if (at[0] >= 0xe0 && at[0] < 0xf0)
		bytes = 3, point = at[0] & 0x0f;
	else if (at[0] >= 0xf0 && at[0] < 0xf5)
		bytes = 4, point = at[0] & 0x07;
	else
		return 0;
	for (size_t i = 1; i < bytes; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (at[i] & 0x3f);
	}
	if ((bytes == 3 && point < 0x800) ||
	    (bytes == 4 && (point < 0x10000 || point > 0x10ffff)) ||
	    (point >= 0xd800 && point < 0xe000))
		return 0;
	return bytes;
}

/* Control characters, those of two bytes in UTF-8 too. */
static bool is_control(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	return at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0);
}

/*
 * Calls escape for each character that is not put as it is; it puts something
 * instead or returns false.
 */
static void put_text(FILE *out, const char *text,
		     bool (*escape)(FILE *out, const char *at, size_t bytes))
{
	while (*text) {
		const size_t bytes = utf8_bytes(text);

		if (!escape(out, text, bytes))
			fwrite(text, 1, bytes, out);
		text += bytes ? bytes : 1;
	}
}

static bool escape_plain(FILE *out, const char *at, size_t bytes)
{
	if (bytes && !is_control(at))
		return false;
	for (size_t i = 0; i < (bytes ? bytes : 1); i++)
		fprintf(out, "\\x%02x", (unsigned char)at[i]);
	return true;
}

static bool escape_json(FILE *out, const char *at, size_t bytes)
{
	if (!bytes)
		fputs("\\ufffd", out);
	else if (*at == '"' || *at == '\\')
		fprintf(out, "\\%c", *at);
	else if (is_control(at)) /* of two bytes, the second is the character's number */
		fprintf(out, "\\u%04x", (unsigned char)at[bytes - 1]);
	else
		return false;
	return true;
}

static bool escape_help(FILE *out, const char *at, size_t bytes)
{
	if (!bytes)
		fputs("\xef\xbf\xbd", out);
	else if (*at == '\n')
		fputs("\\n", out);
	else if (is_control(at))
		for (size_t i = 0; i < bytes; i++)
			fprintf(out, "\\\\x%02x", (unsigned char)at[i]);
	else if (*at == '\\')
		fputs("\\\\", out);
	else
		return false;
	return true;
}

static bool escape_label_value(FILE *out, const char *at, size_t bytes)
{
	if (*at != '"')
		return escape_help(out, at, bytes);
	fputs("\\\"", out);
	return true;
}

void put_plain(FILE *out, const char *text)
{
	put_text(out, text, escape_plain);
}

void put_json(FILE *out, const char *text)
{
	putc('"', out);
	put_text(out, text, escape_json);
	putc('"', out);
}

void put_help(FILE *out, const char *text)
{
	put_text(out, text, escape_help);
}

void put_label_value(FILE *out, const char *text)
{
	put_text(out, text, escape_label_value);
}

void put_name(FILE *out, const char *text, bool colons)
{
	if (!*text || (*text >= '0' && *text <= '9'))
		putc('_', out);
	for (; *text; text++) {
		const bool fits = (*text >= 'a' && *text <= 'z') ||
				  (*text >= 'A' && *text <= 'Z') ||
				  (*text >= '0' && *text <= '9') || (*text == ':' && colons);

		putc(fits ? *text : '_', out);
	}
}

void put_double(FILE *out, double value)
{
	char text[32];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	fputs(text, out);
}

void put_scaled(FILE *out, uint64_t word, double scale)
{
	if (scale == 1)
		fprintf(out, "%" PRIu64, word);
	else
		put_double(out, (double)word * scale);
}

void put_metric(FILE *out, const struct percpu_metric *metric)
{
	put_plain(out, metric->name);
	for (uint32_t i = 0; i < metric->nr_labels; i++) {
		putc(i ? ',' : '{', out);
		put_plain(out, metric->labels[i].name);
		putc('=', out);
		putc('"', out);
		put_plain(out, metric->labels[i].value);
		putc('"', out);
	}
	if (metric->nr_labels)
		putc('}', out);
}

FILE *open_text(char **text, size_t *size)
{
	FILE *out = open_memstream(text, size);

	if (!out)
		grow(NULL, SIZE_MAX, 1); /* complains and exits */
	return out;
}
