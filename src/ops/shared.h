/* SPDX-License-Identifier: MIT */
/* Copies that more than one CPU may update at once, hence with atomic instructions alone. */
#ifndef PERCPU_OPS_SHARED_H
#define PERCPU_OPS_SHARED_H

#include "ops/ops.h"

/*
 * Number of the copy for a caller whose sequence could not run: the foreign one in rseq mode, in atomic
 * mode that of the CPU which getcpu() names. Starts the library.
 */
unsigned percpu__shared_cpu(void);

static inline void *percpu__shared_copy(void *p)
{
	return percpu_ptr((char *)p, percpu__shared_cpu());
}

#endif
