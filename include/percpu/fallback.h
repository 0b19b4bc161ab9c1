/* SPDX-License-Identifier: MIT */
/*
 * Updates for who borrows the thread-local storage of another thread: the child of a vfork, and a raw clone
 * that shares memory but has no storage of its own. The kernel registers no rseq area for such a child,
 * and the one that it sees belongs to the thread that it borrows from; so percpu_add and the others would
 * count with it on one copy unprotected. These count into the fallback copy, which sums include.
 *
 *	percpu_fallback_add(p, v)  percpu_fallback_sub(p, v)  percpu_fallback_inc(p)  percpu_fallback_dec(p)
 *	percpu_fallback_and(p, v)  percpu_fallback_or(p, v)
 *
 * Types and conversions are those of percpu_add and percpu_and; each is one atomic instruction.
 * Context: anywhere, at any time; async-signal-safe. Nothing fails.
 */
#ifndef PERCPU_FALLBACK_H
#define PERCPU_FALLBACK_H

#include <percpu/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERCPU__FALLBACK(op)                                                                                  \
	PERCPU__INLINE void percpu__fallback_##op(void *p, uint64_t v, size_t size)                           \
	{                                                                                                    \
		void *const copy = (void *)percpu__copy_at((uintptr_t)p, percpu_nr_copies() - 1);            \
		switch (size) {                                                                              \
		case 1: (void)__atomic_fetch_##op((uint8_t *)copy, (uint8_t)v, __ATOMIC_RELAXED); break;     \
		case 2: (void)__atomic_fetch_##op((uint16_t *)copy, (uint16_t)v, __ATOMIC_RELAXED); break;   \
		case 4: (void)__atomic_fetch_##op((uint32_t *)copy, (uint32_t)v, __ATOMIC_RELAXED); break;   \
		case 8: (void)__atomic_fetch_##op((uint64_t *)copy, v, __ATOMIC_RELAXED); break;             \
		}                                                                                            \
	}
PERCPU__FALLBACK(add)
PERCPU__FALLBACK(and)
PERCPU__FALLBACK(or)

#define percpu_fallback_add(p, v)                                                                             \
	percpu__number_op(p, percpu__fallback_add(percpu__untyped(p), percpu__term(p, v), percpu__size(p)))
#define percpu_fallback_sub(p, v)                                                                             \
	percpu__number_op(p, percpu__fallback_add(percpu__untyped(p), 0 - percpu__term(p, v), percpu__size(p)))
#define percpu_fallback_inc(p) percpu_fallback_add(p, 1)
#define percpu_fallback_dec(p) percpu_fallback_sub(p, 1)
#define percpu_fallback_and(p, v)                                                                             \
	percpu__bit_op(p, percpu__fallback_and(percpu__untyped(p), percpu__mask(p, v), percpu__size(p)))
#define percpu_fallback_or(p, v)                                                                              \
	percpu__bit_op(p, percpu__fallback_or(percpu__untyped(p), percpu__term(p, (v) | 0), percpu__size(p)))

#ifdef __cplusplus
}
#endif
#endif
