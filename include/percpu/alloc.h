/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU memory: one allocation, one private copy per CPU.
 *
 *	chunk:  | guard | cpu 0 | cpu 1 | ... | cpu N-1 | fallback |	each box: PERCPU_STRIDE bytes
 *	             ^p      p+STRIDE  p+2*STRIDE           p+(N+1)*STRIDE
 *
 * A per-CPU pointer points into the guard unit, where every access faults. The copy of a CPU is a
 * fixed distance away. The fallback copy takes the updates of threads that have no usable rseq
 * area, and of CPUs whose number is N or more: sums must visit it too.
 */
#ifndef PERCPU_ALLOC_H
#define PERCPU_ALLOC_H

#include <stdint.h>
#include <sys/types.h>

#include <percpu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * percpu_alloc - size bytes, aligned to align bytes, zeroed in every copy.
 * Context: MT-safe; not async-signal-safe.
 * Returns: a per-CPU pointer, or NULL with errno: EINVAL (size 0, align no power of two or above
 * PERCPU_MAX_ALIGN), E2BIG (size above PERCPU_MAX_SIZE), ENOMEM.
 */
PERCPU_API void __percpu *percpu_alloc(size_t size, size_t align);

/*
 * percpu_free - gives back every copy. NULL is fine; errno is kept. A pointer that percpu_alloc did
 * not return, or that was freed before, prints one line and aborts. In a published pool that
 * another process owns it does nothing.
 * Context: MT-safe; not async-signal-safe.
 */
PERCPU_API void percpu_free(void __percpu *p);

/* Like percpu_alloc for n elements: ENOMEM when n * size overflows. */
PERCPU_API void __percpu *percpu_alloc_array(size_t n, size_t size, size_t align);

/*
 * percpu_alloc_bulk - n allocations of one size and alignment, all or none.
 * Returns: 0, or -EINVAL, -E2BIG, -ENOMEM as percpu_alloc; then out holds nothing
 * that must be freed.
 */
PERCPU_API int percpu_alloc_bulk(size_t size, size_t align, size_t n, void __percpu **out);
PERCPU_API void percpu_free_bulk(size_t n, void __percpu **ptrs);

/*
 * Bytes of each copy that the caller may use: at least the size asked for.
 * Aborts as percpu_free does.
 */
PERCPU_API size_t percpu_usable_size(const void __percpu *p);

PERCPU_API unsigned percpu_nr_cpus(void);   /* N: highest possible CPU number + 1 */
PERCPU_API unsigned percpu_nr_copies(void); /* N + 1: with the fallback copy */

#define percpu_new(type) ((type __percpu *)percpu_alloc(sizeof(type), percpu__alignof(type)))
#define percpu_new_array(type, n) ((type __percpu *)percpu_alloc_array((n), sizeof(type), percpu__alignof(type)))

/* Typed address of the copy of cpu, in [0, percpu_nr_copies()): arithmetic alone. */
#define percpu_ptr(p, cpu) ((percpu__typeof(p) *)percpu__copy_at(percpu__address(p), cpu))

/* For loops that sum: every copy, the fallback one too. */
#define percpu_for_each_copy(i) for (unsigned i = 0, i##_end_ = percpu_nr_copies(); i < i##_end_; i++)

/*
 * How operations keep their promise in this process, decided once.
 * PERCPU_MODE_RSEQ: plain instructions in restartable sequences. PERCPU_MODE_ATOMIC: atomic
 * instructions on the copy of the CPU that getcpu() names. The reason is one English line.
 */
PERCPU_API enum percpu_mode percpu_mode(void);
PERCPU_API const char *percpu_mode_reason(void);

#ifdef __cplusplus
}
#endif
#endif
