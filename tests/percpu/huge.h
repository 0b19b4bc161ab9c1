/* SPDX-License-Identifier: MIT */
/* What tests of huge pages share: whether there are any, and which pages a range is made of. */
#ifndef TESTS_PERCPU_HUGE_H
#define TESTS_PERCPU_HUGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* On a machine whose pages are 4 KiB; others have none of 2 MiB, or only since lately. */
static inline bool has_huge_pages(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
	char text[64] = "";

	if (file) {
		if (!fgets(text, sizeof(text), file))
			text[0] = '\0';
		fclose(file);
	}
	return sysconf(_SC_PAGESIZE) == 4096 && (strstr(text, "[madvise]") || strstr(text, "[always]"));
}

/* Whether copies of eight neighbours fill one: on machines with nodes that depends on how CPUs are numbered. */
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

/* Entries of page tables: each is a page of 2 MiB or one of the usual size. */
struct leaves {
	size_t nr_huge, nr_small;
};

/* Of the mappings that begin in [start, start + bytes). */
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
