/* SPDX-License-Identifier: MIT */
/*
 * What every compiled program depends on: the stride, and the one struct that all inline operations read.
 * Programs also have compiled in what other public headers declare for inline code or as storage of theirs: caches and
 * their lists and slabs, counters, groups, histograms, lists. Beside each an assertion holds its size. The names of
 * the out-of-line halves are in src/libpercpu.map. What is in src/ may change without recompiling a program.
 */
#ifndef PERCPU_ABI_H
#define PERCPU_ABI_H

#include <stddef.h>
#include <stdint.h>

/*
 * Visible in the shared object alone: a static copy keeps to the program or plugin that holds it, so
 * that two copies in one process never mix.
 */
#if defined(PERCPU_BUILDING) && !defined(PERCPU_SHARED_OBJECT)
#define PERCPU_API __attribute__((visibility("hidden")))
#else
#define PERCPU_API __attribute__((visibility("default")))
#endif

/*
 * Code that dlclose may unmap while the kernel still remembers its critical sections: that of shared
 * objects, libpercpu.so excepted, which is linked never to go.
 */
#if defined(__PIC__) && !defined(__PIE__) && !(defined(PERCPU_BUILDING) && defined(PERCPU_SHARED_OBJECT))
#define PERCPU__CODE_MAY_GO 1
#endif

/*
 * A per-CPU pointer is no plain one: it is not to be dereferenced, nor passed where a plain one is wanted. Its
 * mark must be such that macros can strip it again:
 *
 *	clang, C++	noderef		rejects both; traits strip it
 *	clang, C	noderef behind an address space		rejects both; the type of a value has no address
 *			space, and clang takes off with it what came later
 *	gcc 14, C, x86-64	a named address space		rejects the second; typeof_unqual strips it
 *	others		none
 *
 * What no compiler rejects the guard unit does, at run time. Code that keeps per-CPU pointers in plain ones
 * defines PERCPU_UNMARKED.
 */
#ifdef PERCPU_UNMARKED
#define __percpu
#elif defined(__clang__) && defined(__cplusplus)
#define __percpu __attribute__((__noderef__))
#elif defined(__clang__)
#define PERCPU__SPACE __attribute__((__address_space__(1)))
#define __percpu PERCPU__SPACE __attribute__((__noderef__))
#elif defined(__GNUC__) && __GNUC__ >= 14 && defined(__SEG_GS) && !defined(__cplusplus)
#define PERCPU__SPACE __seg_gs
#define __percpu PERCPU__SPACE
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
	uint32_t nr_copies;    /* N + 1, the fallback copy included */
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
