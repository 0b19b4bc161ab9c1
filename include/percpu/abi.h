/* SPDX-License-Identifier: MIT */
/*
 * What compiled programs depend on: the stride, and the one struct that inline operations read.
 * Everything else behind the public headers may change without recompiling a program.
 */
#ifndef PERCPU_ABI_H
#define PERCPU_ABI_H

#include <stddef.h>
#include <stdint.h>

/*
 * Visible in the shared object alone: a static copy keeps to the program or plugin that holds it, so
 * that two copies in one process never mix.
 */
#if defined(PERCPU_BUILDING) && !defined(PIC)
#define PERCPU_API __attribute__((visibility("hidden")))
#else
#define PERCPU_API __attribute__((visibility("default")))
#endif

/*
 * Code that dlclose may unmap while the kernel still remembers its critical sections: that of shared
 * objects, libpercpu.so excepted, which is linked never to go.
 */
#if defined(__PIC__) && !defined(__PIE__) && !(defined(PERCPU_BUILDING) && defined(PIC))
#define PERCPU__CODE_MAY_GO 1
#endif

/*
 * A per-CPU pointer is not an address to dereference. C++ can strip the mark again, so there clang
 * rejects `*p`; in C the guard unit faults on it at run time.
 */
#if defined(__clang__) && defined(__cplusplus)
#define __percpu __attribute__((noderef))
#else
#define __percpu
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define PERCPU_STRIDE_SHIFT 18
#define PERCPU_STRIDE ((size_t)1 << PERCPU_STRIDE_SHIFT) /* bytes of address space a unit */
#define PERCPU_MAX_SIZE PERCPU_STRIDE                    /* bytes, largest allocation */
#define PERCPU_MAX_ALIGN ((size_t)4096)                  /* bytes, largest alignment */

/*
 * Written once, by whichever operation comes first; all zero means that none has come yet.
 * rseq_offset is stored before cpu_limit, and both stay zero outside rseq mode.
 */
struct percpu_abi {
	ptrdiff_t rseq_offset; /* bytes from the thread pointer to libc's struct rseq; 0: there is none to use */
	uint32_t cpu_limit;    /* a CPU number below it has a copy of its own, updated by rseq */
	uint32_t nr_copies;    /* N + 1, the foreign copy included */
	uint64_t reserved[6];
} __attribute__((aligned(64)));

#ifdef __cplusplus
static_assert(sizeof(struct percpu_abi) == 64, "programs copy-relocate it");
#else
_Static_assert(sizeof(struct percpu_abi) == 64, "programs copy-relocate it");
#endif

extern PERCPU_API struct percpu_abi percpu_abi;

/* Makes percpu_abi ready where it is not. MT-safe, async-signal-safe. */
PERCPU_API void percpu_start(void);

#ifdef __cplusplus
}
#endif
#endif
