/* SPDX-License-Identifier: MIT */
/*
 * Sums over all copies, the foreign one too. A sum taken while others count is a value between what
 * was there when it began and what is there when it ends; once the writers stopped it is exact.
 */
#ifndef PERCPU_SUM_H
#define PERCPU_SUM_H

#include <percpu/alloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * percpu_sum - the sum over all copies, in the counter's own integer type, modulo its width.
 * Context: MT-safe, async-signal-safe.
 */
#define percpu_sum(p) ((percpu__typeof(p))percpu_sum_integer((const void *)(uintptr_t)(p), sizeof(*(p))))

/*
 * percpu_sum_u64 - dst[i] = sum over all copies of p[i], for a struct of n counters of 64 bits.
 * Each copy is read once, front to back. dst need not be aligned beyond uint64_t.
 * Context: MT-safe, async-signal-safe.
 */
PERCPU_API void percpu_sum_u64(uint64_t *dst, const uint64_t __percpu *p, size_t n);

/* percpu_sum of an integer of 1, 2, 4 or 8 bytes, zero-extended. */
PERCPU_API uint64_t percpu_sum_integer(const void *p, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
