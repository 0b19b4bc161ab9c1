/* SPDX-License-Identifier: MIT */
/* The ABI of counters: a copy, the storage in programs, and the slow paths. */
#ifndef PERCPU_ABI_COUNTER_H
#define PERCPU_ABI_COUNTER_H

#include <stddef.h>
#include <stdint.h>

#include <percpu/abi/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The layout of the structs below. percpu_counter_init hands it to the library. */
#define PERCPU_COUNTER_LAYOUT 1u

struct percpu__counter_copy {
	int64_t total;
	int64_t folded;
} __attribute__((__aligned__(16)));
PERCPU__STATIC_ASSERT(sizeof(struct percpu__counter_copy) == 16 &&
			      offsetof(struct percpu__counter_copy, total) == 0 &&
			      offsetof(struct percpu__counter_copy, folded) == 8,
		      "ABI: struct percpu__counter_copy");

/*
 * The storage is the program's, its contents are the library's. The fields that every addition
 * reads and those that some additions write lie too far apart to share a cache line.
 */
struct percpu_counter {
	struct percpu__counter_copy __percpu *copies;
	uint64_t bounds[2]; /* margin: batch - 1; span: twice the margin */
	uint64_t reserved[5];
	int64_t folded;
	int64_t base;
	uint64_t reserved2[6];
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_counter) == 128 &&
			      offsetof(struct percpu_counter, copies) == 0 &&
			      offsetof(struct percpu_counter, bounds) == 8 &&
			      offsetof(struct percpu_counter, folded) == 64 &&
			      offsetof(struct percpu_counter, base) == 72,
		      "ABI: struct percpu_counter");

/*
 * percpu_counter_init_bulk of a program whose counters have this layout.
 * Returns: 0; -ENOTSUP (a layout other than PERCPU_COUNTER_LAYOUT: nothing is written), or as
 * percpu_counter_init.
 */
PERCPU_API int percpu_counter_init_layout(unsigned layout, size_t n,
					  struct percpu_counter *counters, int64_t value,
					  uint64_t batch);

/* The slow paths of the inline operations, complete in themselves. */
PERCPU_API PERCPU__OUTLINE void percpu_counter_add_slow(struct percpu_counter *counter, int64_t v);
/* Reads again if the base changed meanwhile; sums the copies if the value is beyond 2^62. */
PERCPU_API PERCPU__OUTLINE int64_t percpu_counter_read_slow(const struct percpu_counter *counter);

#ifdef __cplusplus
}
#endif
#endif
