/* SPDX-License-Identifier: MIT */
/*
 * Owns the slow paths of the operations on words. They run if the critical section in the caller's
 * code did not, and always on machines without rseq.
 *
 * The fast path failed for one of three reasons, which are told apart here. The library had not
 * started: start it and try once more. It is in atomic mode: an atomic instruction on the copy of
 * the CPU that getcpu() named, which may be out of date by then. The thread has no copy of its own
 * at this moment, because its area is not registered or its CPU is not below the limit: an atomic
 * instruction on the fallback copy. So a copy sees critical sections only or atomic instructions
 * only, never both.
 *
 * Updates order nothing but themselves, as critical sections do. Operations that hand data over
 * (read, write, xchg, cmpxchg, add_return) acquire and release, because without rseq two CPUs can
 * meet in one copy.
 */
#include "ops/ops.h"
#include "platform/platform.h"

__attribute__((cold)) void percpu__refuse_null(const void *p)
{
	percpu__fatal("per-CPU operation", &(struct percpu__subject){ .pointer = p },
		      PERCPU__FAULT_NOT_PERCPU);
}

unsigned percpu__shared_cpu(void)
{
	unsigned fallback, cpu;

	percpu__start();
	fallback = percpu_abi.nr_copies - 1;
	if (percpu_abi.rseq_offset)
		return fallback;
	cpu = percpu__getcpu();
	return cpu < fallback ? cpu : fallback;
}

unsigned percpu_op_this_cpu(void)
{
	uint32_t cpu;

	percpu__start();
	cpu = percpu__cpu_id();
	return cpu < percpu_abi.cpu_limit ? cpu : percpu__shared_cpu();
}

/*
 * The atomic instruction of each operation. ATOMIC_write's release pairs with ATOMIC_read; those
 * that do both pair with one another.
 */
#define ATOMIC_add(copy) (void)__atomic_fetch_add(copy, v, __ATOMIC_RELAXED)
#define ATOMIC_and(copy) (void)__atomic_fetch_and(copy, v, __ATOMIC_RELAXED)
#define ATOMIC_or(copy) (void)__atomic_fetch_or(copy, v, __ATOMIC_RELAXED)
#define ATOMIC_write(copy) __atomic_store_n(copy, v, __ATOMIC_RELEASE)
#define ATOMIC_read(copy) __atomic_load_n(copy, __ATOMIC_ACQUIRE)
#define ATOMIC_add_return(copy) __atomic_add_fetch(copy, v, __ATOMIC_ACQ_REL)
#define ATOMIC_xchg(copy) __atomic_exchange_n(copy, v, __ATOMIC_ACQ_REL)
#define ATOMIC_cmpxchg(copy) /* leaves the value before in old, either way */                                \
	(__atomic_compare_exchange_n(copy, &old, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE), old)

#define SHARED(p, bits) ((uint##bits##_t *)percpu__shared_copy(p))

#define OUTLINE_UPDATE(op, bits)                                                                             \
	void percpu_op_##op##_u##bits(void *p, uint##bits##_t v)                                             \
	{                                                                                                    \
		p = percpu__started(p);                                                                      \
		if (!percpu__try_##op##_u##bits(p, v))                                                       \
			ATOMIC_##op(SHARED(p, bits));                                                        \
	}
#define OUTLINE_RESULT(op, bits, ...)                                                                        \
	{                                                                                                    \
		uint##bits##_t result;                                                                       \
		p = percpu__started(p);                                                                      \
		return percpu__try_##op##_u##bits(__VA_ARGS__, &result) ? result                             \
									: ATOMIC_##op(SHARED(p, bits));      \
	}
#define OUTLINE_READ(op, bits)                                                                               \
	uint##bits##_t percpu_op_##op##_u##bits(void *p)                                                     \
	OUTLINE_RESULT(op, bits, p)
#define OUTLINE_FETCH(op, bits)                                                                              \
	uint##bits##_t percpu_op_##op##_u##bits(void *p, uint##bits##_t v)                                   \
	OUTLINE_RESULT(op, bits, p, v)
#define OUTLINE_COMPARE(op, bits)                                                                            \
	uint##bits##_t percpu_op_##op##_u##bits(void *p, uint##bits##_t old, uint##bits##_t v)               \
	OUTLINE_RESULT(op, bits, p, old, v)
#define OUTLINE(shape, op, bits) OUTLINE_##shape(op, bits)
PERCPU__OPERATIONS(OUTLINE)
