/* SPDX-License-Identifier: MIT */
/*
 * The ABI of all inline operations: the stride, and the struct that every critical section reads.
 *
 * The headers of this folder contain every struct, constant and enum that programs compile in, with
 * assertions of their layout, and the functions that inline code calls, except for the slow paths
 * of operations: <percpu/ops.h> declares these from its list. doc/abi.md says what is frozen and
 * how it may change.
 */
#ifndef PERCPU_ABI_BASE_H
#define PERCPU_ABI_BASE_H

#include <stddef.h>
#include <stdint.h>

#include <percpu/compiler.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERCPU_STRIDE_SHIFT 18
#define PERCPU_STRIDE ((size_t)1 << PERCPU_STRIDE_SHIFT) /* bytes of address space of a unit */
#define PERCPU_MAX_SIZE PERCPU_STRIDE                    /* bytes, largest allocation */
#define PERCPU_MAX_ALIGN ((size_t)4096)                  /* bytes, largest alignment */

/*
 * Written once, by the first operation of the process; all zero until then. rseq_offset is stored
 * before cpu_limit; both stay zero outside rseq mode.
 */
struct percpu_abi {
	ptrdiff_t rseq_offset; /* bytes from the thread pointer to libc's struct rseq; 0: none */
	uint32_t cpu_limit;    /* CPUs with lower numbers have their own copy, updated by rseq */
	uint32_t nr_copies;    /* N + 1, including the fallback copy */
	uint64_t reserved[6];
} __attribute__((aligned(64)));

/* Programs have a copy relocation of it, so its size never changes. */
PERCPU__STATIC_ASSERT(sizeof(struct percpu_abi) == 64 &&
			      offsetof(struct percpu_abi, rseq_offset) == 0 &&
			      offsetof(struct percpu_abi, cpu_limit) == 8 &&
			      offsetof(struct percpu_abi, nr_copies) == 12 &&
			      offsetof(struct percpu_abi, reserved) == 16,
		      "ABI: struct percpu_abi");

extern PERCPU_API struct percpu_abi percpu_abi;

/* Initialises percpu_abi if no operation has done so. MT-safe, async-signal-safe. */
PERCPU_API void percpu_start(void);

/* How operations keep their promise in this process. */
enum percpu_mode { PERCPU_MODE_RSEQ = 1, PERCPU_MODE_ATOMIC = 2 };

#ifdef __cplusplus
}
#endif
#endif
