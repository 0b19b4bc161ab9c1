/* SPDX-License-Identifier: MIT */
/*
 * Owns the facts about CPUs that need no file: the CPU of the caller, and how many
 * CPUs there may be.
 */
#include <limits.h>

#include "platform/platform.h"
#include "platform/sys.h"

unsigned percpu__getcpu(void)
{
	const int cpu = sys_getcpu();

	return cpu < 0 ? UINT_MAX : (unsigned)cpu;
}

/*
 * The kernel copies whole words of its mask, or refuses a buffer that is too small. Returns: bytes;
 * 0 on failure.
 */
static size_t ask_for_mask(unsigned long *mask, size_t bytes)
{
	const ssize_t got = sys_sched_getaffinity(bytes, mask);

	return got > 0 && (size_t)got <= bytes ? (size_t)got : 0;
}

static unsigned end_of_mask(const unsigned long *mask, size_t bytes)
{
	const unsigned word_bits = 8 * sizeof(mask[0]);

	for (unsigned word = bytes / sizeof(mask[0]); word-- > 0;)
		if (mask[word])
			return word * word_bits + word_bits - __builtin_clzl(mask[word]);
	return 0;
}

/* The first caller may be a signal handler on a small stack, so a large mask is mapped. */
unsigned percpu__cpu_mask_bits(unsigned *nr_allowed)
{
	unsigned long small[1024 / 8 / sizeof(unsigned long)], *large; /* as libc's own cpu_set_t */
	const size_t large_bytes = 65536 / 8; /* more CPUs than any kernel is built for */
	size_t bytes = ask_for_mask(small, sizeof(small));

	*nr_allowed = 0;
	if (bytes) {
		*nr_allowed = end_of_mask(small, bytes);
		return 8 * bytes;
	}
	large = percpu__map(large_bytes);
	if (!large)
		return 0;
	bytes = ask_for_mask(large, large_bytes);
	*nr_allowed = end_of_mask(large, bytes);
	percpu__release(large, large_bytes);
	return 8 * bytes;
}

unsigned percpu__configured_cpus(void)
{
	const long nr = sys_sysconf(_SC_NPROCESSORS_CONF);

	return nr < 0 ? 0 : (unsigned)nr;
}
