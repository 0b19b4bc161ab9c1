/* SPDX-License-Identifier: MIT */
/* Owns what the kernel and libc say of CPUs without any file: the caller's, and how many there may be. */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

unsigned percpu__getcpu(void)
{
	int saved_errno = errno;
	int cpu = sched_getcpu(); /* the vDSO where there is one */

	errno = saved_errno;
	return cpu < 0 ? UINT_MAX : (unsigned)cpu;
}

/* The kernel copies whole words of its mask, or refuses room that is too small for it. Bytes or 0: it does not say. */
static size_t ask_for_mask(unsigned long *mask, size_t bytes)
{
	const int saved_errno = errno;
	const long got = syscall(SYS_sched_getaffinity, 0, bytes, mask);

	errno = saved_errno;
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

/* The first to ask may be a signal handler on a small stack, so that a large mask has memory of its own. */
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
	int saved_errno = errno;
	long nr = sysconf(_SC_NPROCESSORS_CONF);

	errno = saved_errno;
	return nr < 0 ? 0 : (unsigned)nr;
}
