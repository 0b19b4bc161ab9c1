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

#define PERCPU_CACHE_MIN_SIZE ((size_t)8)         /* bytes of an object */
#define PERCPU_CACHE_MAX_SIZE ((size_t)64 * 1024)

/* Flags of percpu_cache_create. */
#define PERCPU_CACHE_LINE_ALIGN 1u      /* objects share no cache line: alignment and size at least 64 */
#define PERCPU_CACHE_ZERO 2u            /* every object is given zeroed; excludes a constructor and the next one */
#define PERCPU_CACHE_TYPESAFE_BY_RCU 4u /* memory of objects goes back only after a grace period: an attribute too */

/*
 * What the inline operations read; it all belongs to the library. A CPU's list of free objects: an
 * array filled from the bottom, its count in the word: operations so far << 16 | objects in the
 * list. A pair of free and alloc writes one line of it, or two where the list is long, and none of
 * the object.
 */
#define PERCPU__CACHE_SLOTS 254 /* sections read the count as a byte */
struct percpu__magazine {
	uint64_t word;
	uint64_t limit; /* objects; 0: never a list */
	void *slot[PERCPU__CACHE_SLOTS];
} __attribute__((__aligned__(64)));

/*
 * One for every 64 KiB of address space that a cache's objects may lie in. All zero where there is
 * no slab.
 */
struct percpu__slab_id {
	char *magazine;     /* of the CPU that owns the objects: the address of its list, less PERCPU_STRIDE */
	uint64_t start; /* address of the slab's first object */
	uint64_t tag;   /* id of the cache whose objects lie here + address / 64 KiB */
	uint64_t reserved[5];
};
#define PERCPU__SLAB_MAX ((uint64_t)512 * 1024) /* bytes */

/*
 * The layout of the structs above and below. percpu_cache_create hands it to the library, which
 * serves programs of earlier layouts, and callers that state none (0), by the slow path: magazines
 * that are stopped and inverse 0.
 */
#define PERCPU_CACHE_LAYOUT 1u

struct percpu_cache {
	char *magazines;     /* per-CPU pointer: struct percpu__magazine, or one without objects: closed */
	uint64_t beyond;  /* above every address: layout 0 takes the slow path for objects below it */
	const struct percpu__slab_id *slabs;
	uint64_t mask;    /* of an offset in slabs, in bytes: there are a power of two */
	uint64_t inverse; /* of the distance between objects, times 2^64; 0: frees take the slow path */
	uint64_t size;    /* bytes that the program asked for */
	char *own_magazines; /* as magazines, for the library's own operations */
	uint64_t reserved;
};

PERCPU__STATIC_ASSERT(sizeof(struct percpu__magazine) == 2048 && offsetof(struct percpu__magazine, word) == 0 &&
			      offsetof(struct percpu__magazine, limit) == 8 &&
			      offsetof(struct percpu__magazine, slot) == 16,
		      "ABI: struct percpu__magazine");
PERCPU__STATIC_ASSERT(sizeof(struct percpu__slab_id) == 64 && offsetof(struct percpu__slab_id, magazine) == 0 &&
			      offsetof(struct percpu__slab_id, start) == 8 &&
			      offsetof(struct percpu__slab_id, tag) == 16 &&
			      offsetof(struct percpu__slab_id, reserved) == 24,
		      "ABI: struct percpu__slab_id");
PERCPU__STATIC_ASSERT(sizeof(struct percpu_cache) == 64 && offsetof(struct percpu_cache, magazines) == 0 &&
			      offsetof(struct percpu_cache, slabs) == 16 && offsetof(struct percpu_cache, mask) == 24 &&
			      offsetof(struct percpu_cache, inverse) == 32 &&
			      offsetof(struct percpu_cache, size) == 40 && offsetof(struct percpu_cache, own_magazines) == 48,
		      "ABI: struct percpu_cache");

/*
 * Set size to sizeof(struct percpu_cache_attr): a program built against an older, smaller struct
 * gets defaults for the rest. Unknown bytes that are not zero are refused with EINVAL.
 * percpu_cache(3) says how memory goes back.
 */
struct rcu_flavor_struct;
struct percpu_cache_attr {
	size_t size;
	const struct rcu_flavor_struct *flavor; /* of the readers, with PERCPU_CACHE_TYPESAFE_BY_RCU; from liburcu:
						   `rcu_flavor` of the flavour that the program includes */
	size_t keep_bytes; /* of slabs without an object in use that each CPU keeps, however long they are idle, rounded up
			      to slabs; 0: as PERCPU_OPTIONS says, or none */
	size_t decay_ms;   /* milliseconds after which idle slabs have gone back; 0: as PERCPU_OPTIONS says, or 3000 */
};
#define PERCPU_CACHE_ATTR_INIT { sizeof(struct percpu_cache_attr), 0, 0, 0 }
#define PERCPU_CACHE_DECAY_NEVER ((size_t)-1) /* of decay_ms */
PERCPU__STATIC_ASSERT(sizeof(struct percpu_cache_attr) == 32 && offsetof(struct percpu_cache_attr, size) == 0 &&
			      offsetof(struct percpu_cache_attr, flavor) == 8 &&
			      offsetof(struct percpu_cache_attr, keep_bytes) == 16 &&
			      offsetof(struct percpu_cache_attr, decay_ms) == 24,
		      "ABI: struct percpu_cache_attr");

/* Exact once all users have paused. */
#define PERCPU_CACHE_NODES 64
struct percpu_cache_stats {
	size_t size;           /* in: sizeof(struct percpu_cache_stats) */
	size_t object_bytes;   /* from one object to the next */
	size_t slab_bytes;
	size_t nr_objects;     /* in use */
	size_t nr_free;        /* cut from slabs and ready: in lists and batches */
	size_t nr_slabs;
	size_t nr_empty_slabs; /* of those, without an object in use or ready */
	size_t nr_homes;       /* CPUs that used the cache */
	uint64_t nr_hits;      /* allocations from the CPU's own list */
	uint64_t nr_refills;   /* allocations that had to look further */
	uint64_t nr_remote_frees; /* objects that went home from another CPU */
	uint64_t nr_batches;      /* ... in so many pushes; as many as objects where batch_max is 1 */
	uint64_t nr_returned_slabs; /* given back so far */
	size_t batch_max;      /* objects of a batch; 1: one by one, for want of membarrier or rseq */
	size_t slabs_bytes;    /* address space of the slabs */
	size_t node_bytes[PERCPU_CACHE_NODES]; /* of that, by the node of its home */
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_cache_stats) == 632 &&
			      offsetof(struct percpu_cache_stats, nr_objects) == 24 &&
			      offsetof(struct percpu_cache_stats, nr_hits) == 64 &&
			      offsetof(struct percpu_cache_stats, batch_max) == 104 &&
			      offsetof(struct percpu_cache_stats, node_bytes) == 120,
		      "ABI: struct percpu_cache_stats");

/*
 * percpu_cache_create and percpu_cache_create_attr of a program whose inline operations have this
 * layout.
 * Returns: the cache, or NULL with errno: ENOTSUP (a layout above PERCPU_CACHE_LAYOUT), or as
 * percpu_cache_create.
 */
PERCPU_API struct percpu_cache *percpu_cache_create_layout(unsigned layout, const char *name, size_t size, size_t align,
							   unsigned flags, void (*ctor)(void *object),
							   const struct percpu_cache_attr *attr);

/* The slow paths of the inline operations, complete in themselves. */
PERCPU_API PERCPU__OUTLINE void *percpu_cache_alloc_slow(struct percpu_cache *cache);
PERCPU_API void percpu_cache_free_slow(struct percpu_cache *cache, void *object);

#ifdef __cplusplus
}
#endif
#endif
