/* SPDX-License-Identifier: MIT */
/*
 * forced PROGRAM: in rseq mode on a kernel that does not abort critical sections, PROGRAM detects
 * lost updates: its controls pass, and some of its other tests fail. Up to a few runs, since one
 * run may lose nothing.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_RUNS 5

/* Returns: true if it failed as it must. */
static bool fails(const char *program)
{
	char line[4096];
	unsigned nr_failed = 0;
	bool controls_pass = true;
	FILE *said;

	snprintf(line, sizeof(line), "%s 2>&1", program);
	said = popen(line, "r");
	while (said && fgets(line, sizeof(line), said)) {
		const bool has_failed = !strncmp(line, "not ok ", 7);

		printf("# %s", line);
		if (has_failed && strstr(line, "control"))
			controls_pass = false;
		else if (has_failed)
			nr_failed++;
	}
	if (said)
		pclose(said);
	return nr_failed && controls_pass;
}

int main(int argc, char **argv)
{
	bool is_seen = false;

	if (argc != 2)
		return 2;
	setenv("PERCPU_OPTIONS", "mode:rseq", 1);
	for (int i = 0; i < NR_RUNS && !is_seen; i++)
		is_seen = fails(argv[1]);
	printf("%s 1 - %s fails\n1..1\n", is_seen ? "ok" : "not ok", argv[1]);
	return 0;
}
