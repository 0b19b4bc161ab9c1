/* SPDX-License-Identifier: MIT */
/*
 * Owns sums over all copies. One counter: one load a copy. A struct of counters: copy by copy, so that
 * each line is read once and the prefetcher sees a stream; in blocks whose sums fit in L1. The inner
 * loop is compiled once for every vector width that matters, and chosen at run time.
 *
 * Every counter is loaded whole: a vector load of aligned words tears none of them on the machines
 * that have such loads, and concurrent updates make a sum late, never wrong.
 */
#include <stdbool.h>

#include "counter/counter.h"
#include "ops/ops.h"

uint64_t percpu_sum_integer(const void *p, size_t bytes)
{
	const unsigned nr_copies = percpu_nr_copies();
	uint64_t sum = 0;

	for (unsigned i = 0; i < nr_copies; i++) {
		const void *copy = (const void *)percpu_ptr((const char *)p, i);

		switch (bytes) {
		case 1:
			sum += __atomic_load_n((const uint8_t *)copy, __ATOMIC_RELAXED);
			break;
		case 2:
			sum += __atomic_load_n((const uint16_t *)copy, __ATOMIC_RELAXED);
			break;
		case 4:
			sum += __atomic_load_n((const uint32_t *)copy, __ATOMIC_RELAXED);
			break;
		default:
			sum += __atomic_load_n((const uint64_t *)copy, __ATOMIC_RELAXED);
		}
	}
	return sum;
}

#define BLOCK 1024 /* counters: 8 KiB of sums */

/* Unaligned vectors that may alias the counters; as wide as the target has, narrower ones are split. */
typedef uint64_t vector __attribute__((vector_size(64), aligned(8), may_alias));
#define LANES (sizeof(vector) / sizeof(uint64_t))

#define ADD_BODY                                                                                             \
	{                                                                                                    \
		size_t i = 0;                                                                                \
		for (; i + LANES <= n; i += LANES)                                                           \
			*(vector *)(dst + i) += *(const volatile vector *)(copy + i);                        \
		for (; i < n; i++)                                                                           \
			dst[i] += *(const volatile uint64_t *)(copy + i);                                    \
	}

static void add_plain(uint64_t *dst, const uint64_t *copy, size_t n) ADD_BODY

#ifdef __x86_64__
__attribute__((target("avx2"))) static void add_avx2(uint64_t *dst, const uint64_t *copy, size_t n) ADD_BODY
__attribute__((target("avx512f"))) static void add_avx512(uint64_t *dst, const uint64_t *copy, size_t n) ADD_BODY

percpu__add_fn *percpu__best_add(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f"))
		return add_avx512;
	return __builtin_cpu_supports("avx2") ? add_avx2 : add_plain;
}
#else
percpu__add_fn *percpu__best_add(void)
{
	return add_plain;
}
#endif

void percpu_sum_u64(uint64_t *dst, const uint64_t __percpu *p, size_t n)
{
	const unsigned nr_copies = percpu_nr_copies();
	percpu__add_fn *const add = percpu__best_add();

	for (size_t from = 0; from < n; from += BLOCK) {
		const size_t nr = n - from < BLOCK ? n - from : BLOCK;

		for (size_t i = 0; i < nr; i++)
			dst[from + i] = 0;
		for (unsigned i = 0; i < nr_copies; i++)
			add(dst + from, percpu_ptr(p, i) + from, nr);
	}
}
