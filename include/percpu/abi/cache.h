/* SPDX-License-Identifier: MIT */
/*
 * The ABI of object caches: the handle, its magazines and slabs, and the attributes and statistics.
 */
#ifndef PERCPU_ABI_CACHE_H
#define PERCPU_ABI_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include <percpu/abi/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERCPU_CACHE_MIN_SIZE ((size_t)8) /* bytes of an object */
#define PERCPU_CACHE_MAX_SIZE ((size_t)64 * 1024)

/*
 * Flags of percpu_cache_create.
 * LINE_ALIGN: objects share no cache line; alignment and size are at least 64.
 * ZERO: every object is zeroed when it is allocated; excludes a constructor and TYPESAFE_BY_RCU.
 * TYPESAFE_BY_RCU: slabs are freed only after a grace period; requires the attribute flavor.
 */
#define PERCPU_CACHE_LINE_ALIGN 1u
#define PERCPU_CACHE_ZERO 2u
#define PERCPU_CACHE_TYPESAFE_BY_RCU 4u

/*
 * The free objects that a CPU keeps for itself: an array filled from the bottom. The word is the
 * number of operations so far << 16 | the number of objects. A free and the next alloc write one or
 * two cache lines of the magazine, and none of the object. All zero: stopped, and every operation
 * takes the slow path.
 */
#define PERCPU__CACHE_SLOTS 254 /* critical sections read the count as a byte */
struct percpu__magazine {
	uint64_t word;
	uint64_t limit; /* objects; 0: stopped */
	void *slot[PERCPU__CACHE_SLOTS];
} __attribute__((__aligned__(64)));
PERCPU__STATIC_ASSERT(sizeof(struct percpu__magazine) == 2048 &&
			      offsetof(struct percpu__magazine, word) == 0 &&
			      offsetof(struct percpu__magazine, limit) == 8 &&
			      offsetof(struct percpu__magazine, slot) == 16,
		      "ABI: struct percpu__magazine");

/*
 * What inline frees read of a slab: one struct for every 64 KiB of address space that may contain
 * objects of caches. All zero: there is no slab.
 */
struct percpu__slab_id {
	char *magazine; /* of the CPU that owns the objects: its address - PERCPU_STRIDE */
	uint64_t start; /* address of the slab's first object */
	uint64_t tag;   /* id of the slab's cache + address / 64 KiB */
	uint64_t reserved[5];
};
#define PERCPU__SLAB_MAX ((uint64_t)512 * 1024) /* bytes, largest slab */
PERCPU__STATIC_ASSERT(sizeof(struct percpu__slab_id) == 64 &&
			      offsetof(struct percpu__slab_id, magazine) == 0 &&
			      offsetof(struct percpu__slab_id, start) == 8 &&
			      offsetof(struct percpu__slab_id, tag) == 16 &&
			      offsetof(struct percpu__slab_id, reserved) == 24,
		      "ABI: struct percpu__slab_id");

/*
 * The layout of the structs above and below. percpu_cache_create hands it to the library, which
 * serves programs of earlier layouts, and callers that state none (0), by the slow path: stopped
 * magazines, and inverse 0.
 */
#define PERCPU_CACHE_LAYOUT 1u

/* What the inline operations read of a cache. All of it belongs to the library. */
struct percpu_cache {
	char *magazines; /* per-CPU pointer to struct percpu__magazine; to stopped ones, too */
	uint64_t beyond; /* above every address: sends frees of layout 0 to the slow path */
	const struct percpu__slab_id *slabs;
	uint64_t mask;       /* of offsets into slabs, in bytes; their number is a power of two */
	uint64_t inverse;    /* 2^64 / distance between objects; 0: frees take the slow path */
	uint64_t size;       /* bytes that the program asked for */
	char *own_magazines; /* as magazines, for the library's own operations */
	uint64_t reserved;
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_cache) == 64 &&
			      offsetof(struct percpu_cache, magazines) == 0 &&
			      offsetof(struct percpu_cache, beyond) == 8 &&
			      offsetof(struct percpu_cache, slabs) == 16 &&
			      offsetof(struct percpu_cache, mask) == 24 &&
			      offsetof(struct percpu_cache, inverse) == 32 &&
			      offsetof(struct percpu_cache, size) == 40 &&
			      offsetof(struct percpu_cache, own_magazines) == 48,
		      "ABI: struct percpu_cache");

/*
 * Set size to sizeof(struct percpu_cache_attr): a program built with an older, smaller struct gets
 * defaults for the other fields. Unknown bytes that are not zero are refused with EINVAL.
 * percpu_cache(3) describes how memory is trimmed.
 */
struct rcu_flavor_struct;
struct percpu_cache_attr {
	size_t size;
	const struct rcu_flavor_struct *flavor; /* of the readers, for TYPESAFE_BY_RCU: liburcu's
						   `rcu_flavor` as the program includes it */
	size_t keep_bytes; /* bytes of slabs without live objects that each CPU never trims, rounded
			      up to slabs; 0: as PERCPU_OPTIONS says, or none */
	size_t decay_ms;   /* milliseconds after which idle slabs have been trimmed; 0: as
			      PERCPU_OPTIONS says, or 3000 */
};
#define PERCPU_CACHE_ATTR_INIT { sizeof(struct percpu_cache_attr), 0, 0, 0 }
#define PERCPU_CACHE_DECAY_NEVER ((size_t)-1) /* a value of decay_ms */
PERCPU__STATIC_ASSERT(sizeof(struct percpu_cache_attr) == 32 &&
			      offsetof(struct percpu_cache_attr, size) == 0 &&
			      offsetof(struct percpu_cache_attr, flavor) == 8 &&
			      offsetof(struct percpu_cache_attr, keep_bytes) == 16 &&
			      offsetof(struct percpu_cache_attr, decay_ms) == 24,
		      "ABI: struct percpu_cache_attr");

/* Exact while no thread uses the cache. */
#define PERCPU_CACHE_NODES 64
struct percpu_cache_stats {
	size_t size;                /* in: sizeof(struct percpu_cache_stats) */
	size_t object_bytes;        /* distance from one object to the next */
	size_t slab_bytes;
	size_t nr_objects;          /* live objects */
	size_t nr_free;             /* carved and free: in magazines, depots and remote batches */
	size_t nr_slabs;
	size_t nr_empty_slabs;      /* slabs of which all objects are free and in the slab */
	size_t nr_homes;            /* CPUs that have used the cache */
	uint64_t nr_hits;           /* allocations from the CPU's magazine */
	uint64_t nr_refills;        /* allocations that found it empty */
	uint64_t nr_remote_frees;   /* objects freed on another CPU than their owner */
	uint64_t nr_batches;        /* pushes of these; one per object if batch_max is 1 */
	uint64_t nr_returned_slabs; /* slabs trimmed so far */
	size_t batch_max;           /* objects of a remote batch; 1: no membarrier or no rseq */
	size_t slabs_bytes;         /* address space of the slabs */
	size_t node_bytes[PERCPU_CACHE_NODES]; /* slabs_bytes by the owner's node */
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_cache_stats) == 632 &&
			      offsetof(struct percpu_cache_stats, size) == 0 &&
			      offsetof(struct percpu_cache_stats, object_bytes) == 8 &&
			      offsetof(struct percpu_cache_stats, slab_bytes) == 16 &&
			      offsetof(struct percpu_cache_stats, nr_objects) == 24 &&
			      offsetof(struct percpu_cache_stats, nr_free) == 32 &&
			      offsetof(struct percpu_cache_stats, nr_slabs) == 40 &&
			      offsetof(struct percpu_cache_stats, nr_empty_slabs) == 48 &&
			      offsetof(struct percpu_cache_stats, nr_homes) == 56 &&
			      offsetof(struct percpu_cache_stats, nr_hits) == 64 &&
			      offsetof(struct percpu_cache_stats, nr_refills) == 72 &&
			      offsetof(struct percpu_cache_stats, nr_remote_frees) == 80 &&
			      offsetof(struct percpu_cache_stats, nr_batches) == 88 &&
			      offsetof(struct percpu_cache_stats, nr_returned_slabs) == 96 &&
			      offsetof(struct percpu_cache_stats, batch_max) == 104 &&
			      offsetof(struct percpu_cache_stats, slabs_bytes) == 112 &&
			      offsetof(struct percpu_cache_stats, node_bytes) == 120,
		      "ABI: struct percpu_cache_stats");

/*
 * percpu_cache_create and percpu_cache_create_attr of a program whose inline operations have this
 * layout.
 * Returns: the cache, or NULL with errno: ENOTSUP (a layout above PERCPU_CACHE_LAYOUT), or as
 * percpu_cache_create.
 */
PERCPU_API struct percpu_cache *percpu_cache_create_layout(unsigned layout, const char *name,
							   size_t size, size_t align,
							   unsigned flags,
							   void (*ctor)(void *object),
							   const struct percpu_cache_attr *attr);

/* The slow paths of the inline operations, complete in themselves. */
PERCPU_API PERCPU__OUTLINE void *percpu_cache_alloc_slow(struct percpu_cache *cache);
PERCPU_API void percpu_cache_free_slow(struct percpu_cache *cache, void *object);

#ifdef __cplusplus
}
#endif
#endif
