/* SPDX-License-Identifier: MIT */
/* See ops.h. perf/ops.sh builds it, with -DCOMPILER=name. */
#include "ops.h"

#include <percpu/ops.h>
#ifdef HAVE_LIBRSEQ
#include <rseq/mempool.h>
#include <rseq/rseq.h>
#endif

/* The name as a string, expanded first. */
#define NAME_OF(token) #token
#define NAME(token) NAME_OF(token)

static __thread uint64_t thread_counter;

#define DO_PERCPU_ONE percpu_add((uint64_t __percpu *)(uintptr_t)counter, 1)
#define DO_PERCPU_EIGHT percpu_add((uint64_t __percpu *)(uintptr_t)counter + (i & 7), 1)
#ifdef __x86_64__
#define DO_THREAD_LOCAL __asm__ __volatile__("addq $1, %0" : "+m"(thread_counter) : : "cc")
#define DO_PINNED_EIGHT __asm__ __volatile__("addq $1, %0" : "+m"(((uint64_t *)counter)[i & 7]) : : "memory", "cc")
#define DO_LOCKED __asm__ __volatile__("lock addq $1, %0" : "+m"(*(uint64_t *)counter) : : "memory", "cc")
#else
#define DO_THREAD_LOCAL (*(volatile uint64_t *)&thread_counter += 1)
#define DO_PINNED_EIGHT (((volatile uint64_t *)counter)[i & 7] += 1)
#define DO_LOCKED __atomic_fetch_add((uint64_t *)counter, 1, __ATOMIC_RELAXED)
#endif
#define DO_LIBRSEQ                                                                                           \
	for (int cpu = rseq_cpu_start();                                                                     \
	     rseq_load_add_store__ptr(RSEQ_MO_RELAXED, RSEQ_PERCPU_CPU_ID,                                   \
				      rseq_percpu_ptr((intptr_t *)counter, cpu), 1, cpu);                    \
	     cpu = rseq_cpu_start())

#define LOOP(kind, at, nops)                                                                                 \
	__attribute__((__noinline__, __aligned__(64))) static void loop_##kind##_##at(void *counter, long nr) \
	{                                                                                                    \
		__asm__ __volatile__(".rept " #nops "\nnop\n.endr"); /* moves the loop against the lines of code */ \
		for (long i = 0; i < nr; i++)                                                                \
			DO_##kind;                                                                           \
	}
#define LOOPS(kind)                                                                                          \
	LOOP(kind, 0, 0)                                                                                     \
	LOOP(kind, 1, 7)                                                                                     \
	LOOP(kind, 2, 16)                                                                                    \
	LOOP(kind, 3, 21)                                                                                    \
	LOOP(kind, 4, 32)                                                                                    \
	LOOP(kind, 5, 41)                                                                                    \
	LOOP(kind, 6, 48)                                                                                    \
	LOOP(kind, 7, 58)
#define TABLE(kind)                                                                                          \
	[kind] = { loop_##kind##_0, loop_##kind##_1, loop_##kind##_2, loop_##kind##_3,                       \
		   loop_##kind##_4, loop_##kind##_5, loop_##kind##_6, loop_##kind##_7 }

LOOPS(PERCPU_ONE)
LOOPS(PERCPU_EIGHT)
LOOPS(THREAD_LOCAL)
LOOPS(PINNED_EIGHT)
LOOPS(LOCKED)
#ifdef HAVE_LIBRSEQ
LOOPS(LIBRSEQ)
#endif

static struct loops loops = {
	.compiler = NAME(COMPILER),
#if defined(__PIC__) && !defined(__PIE__)
	.shared = true,
#endif
	.loop = {
		TABLE(PERCPU_ONE),
		TABLE(PERCPU_EIGHT),
		TABLE(THREAD_LOCAL),
		TABLE(PINNED_EIGHT),
		TABLE(LOCKED),
#ifdef HAVE_LIBRSEQ
		TABLE(LIBRSEQ),
#endif
	},
};

__attribute__((__constructor__)) static void begin(void)
{
	loops_register(&loops);
}
