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

unsigned percpu__cpu_mask_bits(unsigned *nr_allowed)
{
	unsigned long mask[1024]; /* 65,536 CPUs: more than any kernel is built for */
	const unsigned word_bits = 8 * sizeof(mask[0]);
	int saved_errno = errno;
	long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);

	errno = saved_errno;
	*nr_allowed = 0;
	if (bytes <= 0 || (size_t)bytes > sizeof(mask))
		return 0;
	for (unsigned word = bytes / sizeof(mask[0]); word-- > 0;) {
		if (!mask[word])
			continue;
		*nr_allowed = word * word_bits + word_bits - __builtin_clzl(mask[word]);
		break;
	}
	return 8 * bytes;
}

unsigned percpu__configured_cpus(void)
{
	int saved_errno = errno;
	long nr = sysconf(_SC_NPROCESSORS_CONF);

	errno = saved_errno;
	return nr < 0 ? 0 : (unsigned)nr;
}
