/* SPDX-License-Identifier: MIT */
/*
 * Owns N. The kernel's own word is sysfs' list of possible CPUs. Containers hide it or show another,
 * so it is held against two facts that cannot be dressed up: the CPUs that the caller may run on, none
 * of them outside the list, and the size of the kernel's CPU masks, which holds N and may be larger.
 * Where they contradict it, the larger of the two sizes is taken: too many copies cost address space
 * alone, too few cost speed. The first operation of a process may come from a signal handler on a small
 * stack, so nothing large lies on it.
 */
#include <errno.h>
#include <string.h>

#include "platform/platform.h"
#include "topology/topology.h"

/* Reads digits; UINT_MAX-like values are no CPU numbers. NULL where there is no number. */
static const char *read_cpu(const char *text, unsigned *cpu)
{
	const char *at = text;

	*cpu = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		*cpu = 10 * *cpu + (*at - '0');
		if (*cpu >= PERCPU__MAX_CPUS)
			return NULL;
	}
	return at == text ? NULL : at;
}

unsigned percpu__cpu_list_end(const char *text)
{
	unsigned end = 0;

	for (;; text++) {
		unsigned first, last;

		text = read_cpu(text, &first);
		if (!text)
			return 0;
		last = first;
		if (*text == '-')
			text = read_cpu(text + 1, &last);
		if (!text || last < first)
			return 0;
		if (last >= end)
			end = last + 1;
		if (*text != ',')
			break;
	}
	if (*text == '\n')
		text++;
	return *text ? 0 : end;
}

static unsigned max(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

/* Where one range stands, as on nearly every machine, the stack has room for it. What needs 4 KiB is no list of CPUs. */
static unsigned listed_cpus(const char *path)
{
	char small[128], *large;
	const size_t large_bytes = 4096;
	ssize_t length = percpu__read_file(path, small, sizeof(small));
	unsigned nr = 0;

	if (length > 0)
		return percpu__cpu_list_end(small);
	if (length != -EFBIG)
		return 0;
	large = percpu__map(large_bytes);
	if (!large)
		return 0;
	if (percpu__read_file(path, large, large_bytes) > 0)
		nr = percpu__cpu_list_end(large);
	percpu__release(large, large_bytes);
	return nr;
}

unsigned percpu__nr_possible_cpus(const char *sysfs)
{
	static const char tail[] = "/devices/system/cpu/possible";
	char path[256];
	unsigned nr_allowed, nr_listed = 0;
	const unsigned mask_bits = percpu__cpu_mask_bits(&nr_allowed);

	if (strlen(sysfs) + sizeof(tail) <= sizeof(path)) {
		memcpy(path, sysfs, strlen(sysfs));
		memcpy(path + strlen(sysfs), tail, sizeof(tail));
		nr_listed = listed_cpus(path);
	}
	if (nr_listed && nr_listed >= nr_allowed && (!mask_bits || nr_listed <= mask_bits))
		return nr_listed;
	/* libc counts folders, with memory of malloc's: it is asked where the kernel says nothing alone. */
	return max(max(nr_listed, mask_bits ? mask_bits : percpu__configured_cpus()), 1);
}
