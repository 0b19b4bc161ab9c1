/* SPDX-License-Identifier: MIT */
/* What percpu selftest and percpu topo say on this machine, in TAP. */
#include <stdio.h>
#include <stdlib.h>

/* Returns: whether the command ended well; what it said goes to the log. */
static int runs(const char *command)
{
	FILE *said = popen(command, "r");
	char line[4096];

	if (!said)
		return 0;
	while (fgets(line, sizeof(line), said))
		printf("# %s", line);
	return pclose(said) == 0;
}

int main(void)
{
	printf("1..2\n");
	printf("%s 1 - percpu topo\n", runs("percpu topo 2>&1") ? "ok" : "not ok");
	printf("%s 2 - percpu selftest\n", runs("percpu selftest 2>&1") ? "ok" : "not ok");
	return 0;
}
