/* SPDX-License-Identifier: MIT */
/*
 * Owns membarrier's rseq command, which lets one CPU modify another CPU's magazines after it
 * aborted every critical section that runs there. Without membarrier (old kernel, seccomp filter)
 * remote access is impossible, so caches disable remote batches and return objects one at a time.
 */
#include <linux/membarrier.h>
#include <stdatomic.h>

#include "platform/platform.h"
#include "platform/sys.h"

enum readiness { UNKNOWN, READY, REFUSED };

static _Atomic int readiness;

static bool membarrier(int command)
{
	return sys_membarrier(command) == 0;
}

bool percpu__fence_ready(void)
{
	int now = atomic_load_explicit(&readiness, memory_order_relaxed);

	if (percpu__unlikely(now == UNKNOWN)) {
		now = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ) ? READY : REFUSED;
		atomic_store_explicit(&readiness, now, memory_order_relaxed);
	}
	return now == READY;
}

bool percpu__fence(void)
{
	return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) ||
	       (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ) &&
		membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ));
}
