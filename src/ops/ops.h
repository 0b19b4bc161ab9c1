/* SPDX-License-Identifier: MIT */
/*
 * The layer of this-CPU operations: how they start in a process (start.c), and their out-of-line
 * halves (outline.c, list.c). Their inline halves are the public headers.
 */
#ifndef PERCPU_OPS_FLOOR_H
#define PERCPU_OPS_FLOOR_H

#include <percpu/abi/base.h>
#include <percpu/ops.h>

/* Makes percpu_abi ready; a load and a branch once it is. The acquire pairs with publish. */
static inline void percpu__start(void)
{
	if (__builtin_expect(!__atomic_load_n(&percpu_abi.nr_copies, __ATOMIC_ACQUIRE), 0))
		percpu_start();
}

/* Ends the process: p is NULL, or a field of what NULL points to. */
_Noreturn void percpu__refuse_null(const void *p);

/* The same, and p again: a section of p that comes next is of a library that started, for the compiler too. */
static inline void *percpu__started(void *p)
{
	percpu__start();
	if (__builtin_expect((uintptr_t)p < PERCPU_STRIDE, 0))
		percpu__refuse_null(p);
	__asm__ __volatile__("" : "+r"(p));
	return p;
}

/*
 * Number of the copy for a caller whose sequence could not run: the fallback one in rseq mode, in atomic
 * mode that of the CPU which getcpu() names. More than one CPU may update it at once, hence with atomic
 * instructions alone. Starts the library.
 */
unsigned percpu__shared_cpu(void);

static inline void *percpu__shared_copy(void *p)
{
	return (void *)percpu__copy_at((uintptr_t)p, percpu__shared_cpu());
}

#endif
