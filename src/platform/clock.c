/* SPDX-License-Identifier: MIT */
/*
 * Owns the clock by which memory ages, and the CPU time of a thread. The clock has the resolution
 * of the kernel's tick, 1 to 10 ms, and costs no system call where the kernel maps its clock into
 * the process.
 */
#include "platform/platform.h"
#include "platform/sys.h"

static uint64_t set_ms; /* relaxed atomic; 0: as the kernel says */

uint64_t percpu__now_ms(void)
{
	const uint64_t fixed = __atomic_load_n(&set_ms, __ATOMIC_RELAXED);
	struct timespec now = { 0 };

	if (percpu__unlikely(fixed))
		return fixed;
	sys_clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void percpu__set_clock(uint64_t ms)
{
	__atomic_store_n(&set_ms, ms, __ATOMIC_RELAXED);
}

uint64_t percpu__thread_time(void)
{
	struct timespec time = { 0, 0 };

	sys_clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
}
