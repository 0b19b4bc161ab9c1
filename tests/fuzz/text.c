/* SPDX-License-Identifier: MIT */
/*
 * Texts from outside: PERCPU_OPTIONS, and the kernel's CPU lists, which a second parser reads, too.
 */
#include "fuzz/fuzz.h"

#include <ctype.h>
#include <string.h>

#include "platform/platform.h"
#include "topology/topology.h"

/*
 * Parses "number" or "number-number", joined by commas, with one newline at most at the end.
 * Returns 0 for other texts.
 */
static unsigned long end_of_list(const char *text)
{
	unsigned long end = 0;

	for (;;) {
		unsigned long first, last;
		char *after;

		if (!isdigit((unsigned char)*text))
			return 0;
		first = last = strtoul(text, &after, 10);
		if (*after == '-') {
			if (!isdigit((unsigned char)after[1]))
				return 0;
			last = strtoul(after + 1, &after, 10);
		}
		if (last < first || last >= PERCPU__MAX_CPUS)
			return 0;
		end = last + 1 > end ? last + 1 : end;
		if (*after == '\n')
			after++;
		else if (*after == ',') {
			text = after + 1;
			continue;
		}
		return *after ? 0 : end;
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *text = malloc(size + 1);
	struct percpu__options options;

	must(text);
	memcpy(text, bytes, size);
	text[size] = '\0';
	options = percpu__options_parse(text, false);
	must(options.cpus <= 8192);
	must(percpu__cpu_list_end(text) == end_of_list(text));
	free(text);
	return 0;
}
