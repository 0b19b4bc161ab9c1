/* SPDX-License-Identifier: MIT */
/*
 * Owns sums over all copies. One counter takes one load per copy. An array of counters is summed a
 * few copies at a time, so that every cache line is read once, the prefetcher sees few streams, and
 * the sums are not loaded and stored for each copy; it is split into blocks whose sums fit in the
 * L1 cache. The inner loop is compiled for each vector width that matters, and chosen at run time.
 *
 * Copies without pages are skipped if reading them would allocate pages (percpu__present_of), for
 * one page of counters at a time.
 *
 * Every counter is loaded in one piece: on machines with vector loads, a load of aligned words does
 * not tear them. Concurrent updates may make a sum late, never wrong.
 */
#include <stdbool.h>

#include "counter/counter.h"
#include "ops/ops.h"
#include "percpu/percpu.h"

/* One loop for each width, of loads and additions only. */
#define SUM_OF(type, nr_copies, condition)                                                         \
	for (unsigned i = 0; i < (nr_copies); i++)                                                 \
		if (condition)                                                                     \
			sum += __atomic_load_n((const type *)percpu__copy_at((uintptr_t)p, i),     \
					       __ATOMIC_RELAXED);                                  \
	return sum;
#define SUM(bytes, nr_copies, condition)                                                           \
	switch (bytes) {                                                                           \
	case 1:                                                                                    \
		SUM_OF(uint8_t, nr_copies, condition)                                              \
	case 2:                                                                                    \
		SUM_OF(uint16_t, nr_copies, condition)                                             \
	case 4:                                                                                    \
		SUM_OF(uint32_t, nr_copies, condition)                                             \
	default:                                                                                   \
		SUM_OF(uint64_t, nr_copies, condition)                                             \
	}

/* Sums the copies that have pages. Also the path of the first sum in the process. */
static __attribute__((noinline, cold)) uint64_t sum_of_present(const void *p, size_t bytes)
{
	const struct percpu__present present = percpu__present_asked(p);
	uint64_t sum = 0;

	SUM(bytes, percpu_abi.nr_copies, percpu__is_present(present, i))
}

uint64_t percpu_sum_integer(const void *p, size_t bytes)
{
	const unsigned nr_copies = percpu__nr_plain_copies();
	uint64_t sum = 0;

	if (percpu__unlikely(!nr_copies))
		return sum_of_present(p, bytes);
	SUM(bytes, nr_copies, true)
}

#define BLOCK 1024 /* counters: 8 KiB of sums */

/*
 * Unaligned vectors that may alias the counters, as wide as the registers of the target: wider ones
 * would be split, and their sums kept on the stack. AVX2 takes 77 % of the time of SSE2 in cache;
 * AVX-512 gains nothing over AVX2.
 */
typedef uint64_t vector16 __attribute__((vector_size(16), aligned(8), may_alias));
typedef uint64_t vector32 __attribute__((vector_size(32), aligned(8), may_alias));

#define COPY_WORDS (PERCPU_STRIDE / sizeof(uint64_t)) /* from one copy to the next */

/* Adds n counters of nr copies, a constant, in one pass: loads and stores each sum once. */
#define ADD_COPIES(vector, nr)                                                                     \
	{                                                                                          \
		const size_t lanes = sizeof(vector) / sizeof(uint64_t);                            \
		size_t i = 0;                                                                      \
		for (; i + lanes <= n; i += lanes) {                                               \
			vector sum = *(vector *)(dst + i);                                         \
			_Pragma("GCC unroll 4") for (unsigned at = 0; at < (nr); at++) sum +=      \
				*(const volatile vector *)(copy + at * COPY_WORDS + i);            \
			*(vector *)(dst + i) = sum;                                                \
		}                                                                                  \
		for (; i < n; i++)                                                                 \
			for (unsigned at = 0; at < (nr); at++)                                     \
				dst[i] +=                                                          \
					*(const volatile uint64_t *)(copy + at * COPY_WORDS + i);  \
	}
#define ADD_BODY(vector)                                                                           \
	{                                                                                          \
		for (; nr_copies >= 4; nr_copies -= 4, copy += 4 * COPY_WORDS)                     \
			ADD_COPIES(vector, 4)                                                      \
		if (nr_copies == 3)                                                                \
			ADD_COPIES(vector, 3)                                                      \
		else if (nr_copies == 2)                                                           \
			ADD_COPIES(vector, 2)                                                      \
		else if (nr_copies)                                                                \
			ADD_COPIES(vector, 1)                                                      \
	}

static void add_plain(uint64_t *dst, const uint64_t *copy, size_t n,
		      unsigned nr_copies) ADD_BODY(vector16)

#ifdef __x86_64__
	__attribute__((target("avx2"))) static void add_avx2(uint64_t *dst, const uint64_t *copy,
							     size_t n, unsigned nr_copies)
		ADD_BODY(vector32)

			percpu__add_fn *percpu__best_add(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") ? add_avx2 : add_plain;
}
#else
	percpu__add_fn *percpu__best_add(void)
{
	return add_plain;
}
#endif

static void sum_block(uint64_t *dst, const uint64_t *p, size_t n, unsigned nr_copies,
		      percpu__add_fn *add)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = 0;
	add(dst, (const void *)percpu__copy_at((uintptr_t)p, 0), n, nr_copies);
}

/* Sums counters of one page over the runs of copies that have the page. */
static void sum_present(uint64_t *dst, const uint64_t *p, size_t n, percpu__add_fn *add)
{
	const struct percpu__present present = percpu__present_of(p);
	unsigned first = 0;

	for (size_t i = 0; i < n; i++)
		dst[i] = 0;
	while (first < percpu_abi.nr_copies) {
		unsigned end = first;

		while (end < percpu_abi.nr_copies && percpu__is_present(present, end))
			end++;
		if (end > first)
			add(dst, (const void *)percpu__copy_at((uintptr_t)p, first), n,
			    end - first);
		first = end + 1;
	}
}

size_t percpu__sum_to_page_end(const void *p, size_t n)
{
	const size_t page_bytes = PERCPU__PAGE_GRANULES * PERCPU__GRANULE;
	const size_t left = (page_bytes - (uintptr_t)p % page_bytes) / sizeof(uint64_t);

	return n < left ? n : left;
}

void percpu_sum_u64(uint64_t *dst, const uint64_t __percpu *p, size_t n)
{
	const unsigned nr_copies = percpu__nr_plain_copies();
	percpu__add_fn *const add = percpu__best_add();

	for (size_t from = 0, nr; from < n; from += nr) {
		const uint64_t *counters = (const uint64_t *)(uintptr_t)p + from;

		if (percpu__likely(nr_copies)) {
			nr = n - from < BLOCK ? n - from : BLOCK;
			sum_block(dst + from, counters, nr, nr_copies, add);
		} else {
			nr = percpu__sum_to_page_end(counters, n - from);
			sum_present(dst + from, counters, nr, add);
		}
	}
}
