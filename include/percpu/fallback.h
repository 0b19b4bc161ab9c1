/* SPDX-License-Identifier: MIT */
/*
 * Updates for who borrows the thread-local storage of another thread: the child of a vfork, and a
 * raw clone that shares memory but has no storage of its own. The kernel registers no rseq area for
 * such a child, and the one that it sees belongs to the thread that it borrows from; so percpu_add
 * and the others would count with it on one copy unprotected. These count into the fallback copy,
 * which sums include.
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

#define percpu__fallback_op(q, p, name, term)                                                      \
	percpu__op(q, p, percpu__is_number(q), name PERCPU__NEED_INTEGER,                          \
		   percpu__fallback_add(percpu__verified(q), term, percpu__size(q)))
#define percpu__fallback_add_v(q, p, name, v)                                                      \
	percpu__op(q, p, percpu__is_number(q), name PERCPU__NEED_INTEGER, percpu__integer_local(q, v); \
		   percpu__fallback_add(percpu__verified(q), percpu__term(q), percpu__size(q)))
#define percpu__fallback_sub_v(q, p, name, v)                                                      \
	percpu__op(q, p, percpu__is_number(q), name PERCPU__NEED_INTEGER, percpu__integer_local(q, v); \
		   percpu__fallback_add(percpu__verified(q), 0 - percpu__term(q), percpu__size(q)))
#define percpu__fallback_and_v(q, p, name, v)                                                      \
	percpu__op(q, p, percpu__is_bits(q), name PERCPU__NEED_BITS,                               \
		   percpu__fallback_and(percpu__verified(q), percpu__mask(q, v), percpu__size(q)))
#define percpu__fallback_or_v(q, p, name, v)                                                       \
	percpu__op(q, p, percpu__is_bits(q), name PERCPU__NEED_BITS, percpu__integer_local(q, (v) | 0); \
		   percpu__fallback_or(percpu__verified(q), percpu__term(q), percpu__size(q)))

#define percpu_fallback_add(p, v) percpu__fallback_add_v(percpu__local, p, "percpu_fallback_add", v)
#define percpu_fallback_sub(p, v) percpu__fallback_sub_v(percpu__local, p, "percpu_fallback_sub", v)
#define percpu_fallback_inc(p) percpu__fallback_op(percpu__local, p, "percpu_fallback_inc", 1)
#define percpu_fallback_dec(p) percpu__fallback_op(percpu__local, p, "percpu_fallback_dec", UINT64_MAX)
#define percpu_fallback_and(p, v) percpu__fallback_and_v(percpu__local, p, "percpu_fallback_and", v)
#define percpu_fallback_or(p, v) percpu__fallback_or_v(percpu__local, p, "percpu_fallback_or", v)

#ifdef __cplusplus
}
#endif
#endif
