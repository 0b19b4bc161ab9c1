/* SPDX-License-Identifier: MIT */
/* The ABI of pools: attributes and statistics. */
#ifndef PERCPU_ABI_POOL_H
#define PERCPU_ABI_POOL_H

#include <stddef.h>
#include <stdint.h>

#include <percpu/compiler.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Values of an attribute's switches: 0 leaves the choice to the library and PERCPU_OPTIONS. */
enum percpu_switch { PERCPU_DEFAULT = 0, PERCPU_ON = 1, PERCPU_OFF = 2 };

/*
 * Set size to sizeof(struct percpu_pool_attr): a program built with an older, smaller struct gets
 * defaults for the other fields. Unknown bytes that are not zero are refused with EINVAL.
 */
struct percpu_pool_attr {
	size_t size;
	uint32_t huge_pages;  /* enum percpu_switch; default: off */
	uint32_t populate;    /* enum percpu_switch; on: commit pages of every possible CPU at once;
				 default: on first touch */
	uint32_t node_policy; /* enum percpu_switch; default: on */
	uint32_t published;   /* enum percpu_switch; on: other processes can read the pool, see
				 <percpu/publish.h>; default: off */
	size_t limit_bytes;   /* most bytes of live areas per CPU, rounded up to granules; 0: no
				 limit, or 4 MiB if published */
	size_t keep_bytes;    /* bytes of idle pages of each copy that are never trimmed; 0: as
				 PERCPU_OPTIONS says, or none */
	size_t decay_ms;      /* milliseconds after which idle memory has been trimmed; 0: as
				 PERCPU_OPTIONS says, or 3000 */
};
#define PERCPU_POOL_ATTR_INIT { sizeof(struct percpu_pool_attr), 0, 0, 0, 0, 0, 0, 0 }
#define PERCPU_POOL_DECAY_NEVER ((size_t)-1) /* a value of decay_ms */
PERCPU__STATIC_ASSERT(sizeof(struct percpu_pool_attr) == 48 &&
			      offsetof(struct percpu_pool_attr, size) == 0 &&
			      offsetof(struct percpu_pool_attr, huge_pages) == 8 &&
			      offsetof(struct percpu_pool_attr, populate) == 12 &&
			      offsetof(struct percpu_pool_attr, node_policy) == 16 &&
			      offsetof(struct percpu_pool_attr, published) == 20 &&
			      offsetof(struct percpu_pool_attr, limit_bytes) == 24 &&
			      offsetof(struct percpu_pool_attr, keep_bytes) == 32 &&
			      offsetof(struct percpu_pool_attr, decay_ms) == 40,
		      "ABI: struct percpu_pool_attr");

/* In bytes unless the name says otherwise. "Of one unit": multiply by the copies for all. */
struct percpu_pool_stats {
	size_t size;               /* in: sizeof(struct percpu_pool_stats) */
	size_t nr_chunks;
	size_t nr_live;            /* live allocations; like live_bytes, approximate while other
				      CPUs allocate */
	size_t live_bytes;         /* live areas of one unit, rounded up to granules */
	size_t used_page_bytes;    /* pages of one unit that contain a live area */
	size_t held_page_bytes;    /* pages of one unit written since they were fresh or purged */
	size_t reserved_bytes;     /* address space of all chunks */
	size_t bookkeeping_bytes;  /* resident metadata */
	size_t cached_bytes;       /* freed areas of one unit that the area caches of CPUs hold */
	size_t purged_bytes;       /* purged so far, all copies */
	size_t nr_chunks_unplaced; /* chunks without their node policy: the kernel refused it, it is
				      over the budget of mappings, or the nodes were not known when
				      the chunk was made, before libnuma's constructor */
	size_t nr_chunks_huge;     /* chunks advised to use huge pages */
	size_t limit_bytes;        /* as in the attribute; 0: no limit */
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_pool_stats) == 104 &&
			      offsetof(struct percpu_pool_stats, size) == 0 &&
			      offsetof(struct percpu_pool_stats, nr_chunks) == 8 &&
			      offsetof(struct percpu_pool_stats, nr_live) == 16 &&
			      offsetof(struct percpu_pool_stats, live_bytes) == 24 &&
			      offsetof(struct percpu_pool_stats, used_page_bytes) == 32 &&
			      offsetof(struct percpu_pool_stats, held_page_bytes) == 40 &&
			      offsetof(struct percpu_pool_stats, reserved_bytes) == 48 &&
			      offsetof(struct percpu_pool_stats, bookkeeping_bytes) == 56 &&
			      offsetof(struct percpu_pool_stats, cached_bytes) == 64 &&
			      offsetof(struct percpu_pool_stats, purged_bytes) == 72 &&
			      offsetof(struct percpu_pool_stats, nr_chunks_unplaced) == 80 &&
			      offsetof(struct percpu_pool_stats, nr_chunks_huge) == 88 &&
			      offsetof(struct percpu_pool_stats, limit_bytes) == 96,
		      "ABI: struct percpu_pool_stats");

#ifdef __cplusplus
}
#endif
#endif
