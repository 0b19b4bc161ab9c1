/* SPDX-License-Identifier: MIT */
/*
 * mode rseq|atomic POSSIBLE NODES WITH_MEMORY WITH_CPUS PAGE_BYTES: this is the machine that was
 * asked for, operations work in that mode, and the library gives a reason for the mode.
 */
#include <percpu/percpu.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned nr;

static void check(const char *what, unsigned found, const char *wanted)
{
	printf("%s %u - %s: %u\n", strtoul(wanted, NULL, 10) == found ? "ok" : "not ok", ++nr, what, found);
}

/* Returns: how many numbers a list such as "0-3,8" has. */
static unsigned count_listed(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned first, last, sum = 0;

	while (file && fscanf(file, "%u", &first) == 1) {
		if (fscanf(file, "-%u", &last) != 1)
			last = first;
		sum += last - first + 1;
		if (fgetc(file) != ',')
			break;
	}
	if (file)
		fclose(file);
	return sum;
}

int main(int argc, char **argv)
{
	const char *mode = percpu_mode() == PERCPU_MODE_RSEQ ? "rseq" : "atomic";

	if (argc != 7)
		return 2;
	printf("1..7\n%s %u - mode %s: %s\n", strcmp(mode, argv[1]) ? "not ok" : "ok", ++nr, mode, percpu_mode_reason());
	check("CPUs by the library", percpu_nr_cpus(), argv[2]);
	check("possible CPUs", count_listed("/sys/devices/system/cpu/possible"), argv[2]);
	check("nodes", count_listed("/sys/devices/system/node/online"), argv[3]);
	check("nodes with memory", count_listed("/sys/devices/system/node/has_memory"), argv[4]);
	check("nodes with CPUs", count_listed("/sys/devices/system/node/has_cpu"), argv[5]);
	check("bytes of a page", (unsigned)sysconf(_SC_PAGESIZE), argv[6]);
	return 0;
}
