/* SPDX-License-Identifier: MIT */
/*
 * Owns membarrier's rseq command: with it a CPU's lists may be touched from another, once their owner's
 * critical sections have been told off. Without it (old kernel, seccomp) nobody may, and caches do without batches,
 * which would need it: objects go home one by one.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

enum readiness { UNKNOWN, READY, REFUSED };

static _Atomic int readiness;

static bool membarrier(int command)
{
	int saved_errno = errno;
	long result = syscall(SYS_membarrier, command, 0, 0);

	errno = saved_errno;
	return result == 0;
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
