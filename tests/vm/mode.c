/* SPDX-License-Identifier: MIT */
/* mode rseq|atomic: whether this machine's operations work as it says there, and why they do. */
#include <percpu/percpu.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	const char *mode = percpu_mode() == PERCPU_MODE_RSEQ ? "rseq" : "atomic";

	printf("1..1\n%s 1 - mode %s of %u CPUs: %s\n", argc > 1 && !strcmp(mode, argv[1]) ? "ok" : "not ok", mode,
	       percpu_nr_cpus(), percpu_mode_reason());
	return 0;
}
