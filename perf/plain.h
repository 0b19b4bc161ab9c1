/* SPDX-License-Identifier: MIT */
/* The cost of reading memory in one piece, by the widest loads of the machine. */
#ifndef PERCPU_PERF_PLAIN_H
#define PERCPU_PERF_PLAIN_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t plain_vector __attribute__((vector_size(64), may_alias));
#define PLAIN_LANES (sizeof(plain_vector) / sizeof(uint64_t))
#define PLAIN_STEP (4 * PLAIN_LANES)

/* nr: a multiple of PLAIN_STEP. Several sums, so that no addition waits for the one before. */
#ifdef __x86_64__
__attribute__((__target_clones__("avx512f", "avx2", "default")))
#endif
static uint64_t plain_sum(const uint64_t *words, size_t nr)
{
	plain_vector a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	uint64_t sum = 0;

	for (const volatile plain_vector *at = (const volatile plain_vector *)words, *end = at + nr / PLAIN_LANES; at < end;
	     at += 4) {
		a += at[0];
		b += at[1];
		c += at[2];
		d += at[3];
	}
	a += b + c + d;
	for (size_t i = 0; i < PLAIN_LANES; i++)
		sum += a[i];
	return sum;
}

#endif
