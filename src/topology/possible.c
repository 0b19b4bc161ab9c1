/* SPDX-License-Identifier: MIT */
/*
 * Owns the number of possible CPUs, N. Its source is the list of possible CPUs in sysfs. Containers
 * may hide the list or show a false one, so it is checked against two facts from system calls: the
 * highest CPU in the caller's affinity mask is below N, and the kernel's CPU masks have at least N
 * bits. If the list fails either check, the larger of its size and the mask's size is taken: too
 * many copies cost only address space, too few cost speed.
 *
 * The first operation of a process may run in a signal handler on a small stack, so large buffers
 * are mapped instead of placed on the stack.
 */
#include <errno.h>
#include <string.h>

#include "platform/platform.h"
#include "topology/topology.h"

/*
 * Returns: the end of the number at text; NULL if there is none, or if it is PERCPU__MAX_CPUS or
 * more.
 */
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

/*
 * On nearly every machine the list is one range, for which a small buffer suffices.
 * Returns: 0 if there is no list, or if it takes 4 KiB or more.
 */
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
	/*
	 * libc counts directories and calls malloc, so it is asked only if the kernel reports no
	 * mask.
	 */
	return max(max(nr_listed, mask_bits ? mask_bits : percpu__configured_cpus()), 1);
}
