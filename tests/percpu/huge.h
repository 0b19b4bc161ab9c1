/* SPDX-License-Identifier: MIT */
/* Helpers for tests of huge pages: does the machine have any, and which pages back a range. */
#ifndef TESTS_PERCPU_HUGE_H
#define TESTS_PERCPU_HUGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Returns: true if the machine has pages of 4 KiB and gives huge pages of 2 MiB on request. */
static inline bool has_huge_pages(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
	char text[64] = "";

	if (file) {
		if (!fgets(text, sizeof(text), file))
			text[0] = '\0';
		fclose(file);
	}
	return sysconf(_SC_PAGESIZE) == 4096 &&
	       (strstr(text, "[madvise]") || strstr(text, "[always]"));
}

/*
 * Returns: true if copies of eight neighbouring CPUs share a huge page for sure. With several nodes
 * this depends on the numbers of the CPUs.
 */
static inline bool neighbours_share_huge_pages(void)
{
	FILE *file = fopen("/sys/devices/system/node/has_memory", "r");
	char text[64] = "";

	if (file) {
		if (!fgets(text, sizeof(text), file))
			text[0] = '\0';
		fclose(file);
	}
	return has_huge_pages() && !strpbrk(text, ",-");
}

/* Page table entries, each for a page of 2 MiB or of the base size. */
struct leaves {
	size_t nr_huge, nr_small;
};

/* Returns: the entries of the mappings that begin in [start, start + bytes). */
static inline struct leaves leaves_of(const void *start, size_t bytes)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	struct leaves leaves = { 0, 0 };
	unsigned long from, to, kib, rss = 0;
	bool is_ours = false;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			is_ours = from >= (uintptr_t)start && from < (uintptr_t)start + bytes;
		else if (is_ours && sscanf(line, "Rss: %lu kB", &kib) == 1)
			rss = kib;
		else if (is_ours && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1) {
			leaves.nr_huge += kib / 2048;
			leaves.nr_small += (rss - kib) * 1024 / (size_t)sysconf(_SC_PAGESIZE);
		}
	}
	if (file)
		fclose(file);
	return leaves;
}

#endif
