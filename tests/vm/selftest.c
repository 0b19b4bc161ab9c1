/* SPDX-License-Identifier: MIT */
/* Prints the results of percpu selftest on this machine as TAP. */
#include <stdio.h>

int main(void)
{
	FILE *said = popen("percpu selftest 2>&1", "r");
	char line[4096];

	while (said && fgets(line, sizeof(line), said))
		printf("# %s", line);
	printf("%s 1 - percpu selftest\n1..1\n", said && pclose(said) == 0 ? "ok" : "not ok");
	return 0;
}
