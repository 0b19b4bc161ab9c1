/* SPDX-License-Identifier: MIT */
/*
 * forced PROGRAM: that PROGRAM sees what a kernel does that does not abort sections, when the library is made to use them:
 * its controls pass, and not all of its other tests do.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	char line[4096];
	unsigned nr_failed = 0;
	bool controls_pass = true;
	FILE *said;

	if (argc != 2)
		return 2;
	setenv("PERCPU_OPTIONS", "mode:rseq", 1);
	snprintf(line, sizeof(line), "%s 2>&1", argv[1]);
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
	printf("%s 1 - %s fails\n1..1\n", nr_failed && controls_pass ? "ok" : "not ok", argv[1]);
	return 0;
}
