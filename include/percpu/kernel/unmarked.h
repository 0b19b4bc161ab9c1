/* SPDX-License-Identifier: MIT */
/*
 * Kernel code takes `typeof(*p)` for a plain type, which it is not where per-CPU pointers are
 * marked: in a file that includes a header of this folder, or <percpu/kernel.h>, before the
 * library's own ones, there is no mark. Who wants it all the same defines PERCPU_MARKED.
 */
#if !defined(PERCPU_ABI_H) && !defined(PERCPU_MARKED) && !defined(PERCPU_UNMARKED)
#define PERCPU_UNMARKED
#endif
