/* SPDX-License-Identifier: MIT */
/*
 * Object caches: objects of one size, handed out and taken back on the CPU where the caller runs,
 * last freed first given.
 *
 *	struct percpu_cache *cache = percpu_cache_create("packets", 1500, 64, 0, NULL);
 *	void *packet = percpu_cache_alloc(cache);
 *	percpu_cache_free(cache, packet);
 *
 * An object has a home: the CPU whose memory it was cut from. Freed there, it is the next to be given.
 * Freed on another CPU, it goes home in a batch. On its own CPU an alloc or a free is one restartable
 * sequence, without a lock and without an atomic instruction.
 */
#ifndef PERCPU_CACHE_H
#define PERCPU_CACHE_H

#include <percpu/ops.h>

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
 * What the inline operations read; it all belongs to the library. A CPU's list of free objects: an array
 * filled from the bottom, its count in the word: operations so far << 16 | objects in the list. A pair of
 * free and alloc writes one line of it, or two where the list is long, and none of the object.
 */
#define PERCPU__CACHE_SLOTS 254 /* sections read the count as a byte */
struct percpu__cache_list {
	uint64_t word;
	uint64_t limit; /* objects; 0: never a list */
	void *slot[PERCPU__CACHE_SLOTS];
} __attribute__((__aligned__(64)));

/* One for every 64 KiB of address space that a cache's objects may lie in. All zero where there is no slab. */
struct percpu__slab_id {
	char *list;     /* of the CPU that owns the objects: the address of its list, less PERCPU_STRIDE */
	uint64_t start; /* address of the slab's first object */
	uint64_t tag;   /* id of the cache whose objects lie here + address / 64 KiB */
	uint64_t reserved[5];
};
#define PERCPU__SLAB_MAX ((uint64_t)512 * 1024) /* bytes */

struct percpu_cache {
	char *line;     /* per-CPU pointer: struct percpu__cache_list, or one without objects: closed */
	char *own_line; /* the same for the library's own operations */
	const struct percpu__slab_id *slabs;
	uint64_t mask;    /* of an offset in slabs, in bytes: there are a power of two */
	uint64_t inverse; /* of the distance between objects, times 2^64; 0 where frees must go the slow way */
	uint64_t size;    /* bytes that the program asked for */
	uint64_t reserved[2];
};

/* Programs have both structs' sizes and offsets compiled in; so has the assembly. */
#ifdef __cplusplus
static_assert(sizeof(struct percpu__cache_list) == 2048 && sizeof(struct percpu__slab_id) == 64, "ABI");
static_assert(sizeof(struct percpu_cache) == 64, "ABI");
#else
_Static_assert(sizeof(struct percpu__cache_list) == 2048 && sizeof(struct percpu__slab_id) == 64, "ABI");
_Static_assert(sizeof(struct percpu_cache) == 64, "ABI");
_Static_assert(offsetof(struct percpu__cache_list, limit) == 8 && offsetof(struct percpu__cache_list, slot) == 16,
	       "what the sections say");
#endif

/*
 * Set size to sizeof(struct percpu_cache_attr): a program built against an older, smaller struct gets defaults for the
 * rest. Unknown bytes that are not zero are refused with EINVAL. percpu_cache(3) says how memory goes back.
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

/*
 * percpu_cache_create - a cache of objects of size bytes. The name is copied. align: a power of two up
 * to 4096, or 0 for that of 8 bytes. ctor runs once for each object before it is first given, and its
 * work lasts: what is freed must be as constructed. No lock is held, so that it may use caches.
 * Context: MT-safe; not async-signal-safe.
 * Returns: the cache, or NULL with errno: EINVAL (size, align, flags, attr), ENOTSUP (RCU, in a library
 * built without liburcu), ENOMEM.
 */
PERCPU_API struct percpu_cache *percpu_cache_create(const char *name, size_t size, size_t align, unsigned flags,
						    void (*ctor)(void *object));
PERCPU_API struct percpu_cache *percpu_cache_create_attr(const char *name, size_t size, size_t align, unsigned flags,
							 void (*ctor)(void *object),
							 const struct percpu_cache_attr *attr);

/*
 * percpu_cache_destroy - gives back all memory. Nobody else may use the cache meanwhile.
 * With RCU it waits for grace periods: not inside a read-side section.
 * Returns: 0, or -EBUSY while objects are in use; then the cache is as before.
 */
PERCPU_API int percpu_cache_destroy(struct percpu_cache *cache);

/*
 * percpu_cache_shrink - gives back every slab without an object in use, whichever CPU holds the free
 * ones. With RCU it waits for a grace period: not inside a read-side section.
 * Returns: bytes given back.
 */
PERCPU_API ssize_t percpu_cache_shrink(struct percpu_cache *cache);

/* percpu_cache_alloc_bulk - n objects, all or none. Returns: 0 or -ENOMEM. */
PERCPU_API int percpu_cache_alloc_bulk(struct percpu_cache *cache, size_t n, void **objects);
PERCPU_API void percpu_cache_free_bulk(struct percpu_cache *cache, size_t n, void **objects);

/*
 * percpu_cache_free_to - as percpu_cache_free, but the object is next given on cpu, below
 * percpu_nr_cpus(), wherever its home is.
 */
PERCPU_API void percpu_cache_free_to(struct percpu_cache *cache, void *object, unsigned cpu);

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

/* Returns: 0, or -EINVAL (out NULL or out->size too small to be any version). */
PERCPU_API int percpu_cache_stats(struct percpu_cache *cache, struct percpu_cache_stats *out);

/* The sections of a list, and what sanitizers hear of them. */
PERCPU__INLINE bool percpu__cache_take(char *const *line, void **item)
{
	if (__builtin_expect(!percpu__try_cache_take(line, item), 0))
		return false;
	percpu__take_over(*item);
	return true;
}

PERCPU__INLINE bool percpu__cache_take_from(char *const *line, char *const *list, void **item)
{
	if (!percpu__try_cache_take_from(line, list, item))
		return false;
	percpu__take_over(*item);
	return true;
}

PERCPU__INLINE bool percpu__cache_put(char *const *line, char *const *list, void *item)
{
	percpu__hand_over(item);
	return percpu__try_cache_put(line, list, item);
}

/* The slow halves, complete in themselves. */
PERCPU_API PERCPU__OUTLINE void *percpu_cache_alloc_slow(struct percpu_cache *cache);
PERCPU_API void percpu_cache_free_slow(struct percpu_cache *cache, void *object);

/*
 * percpu_cache_alloc - Context: MT-safe; not async-signal-safe.
 * Returns: an object, its bytes undefined (as constructed; zero with PERCPU_CACHE_ZERO), or NULL with
 * errno ENOMEM.
 */
PERCPU__INLINE void *percpu_cache_alloc(struct percpu_cache *cache)
{
	void *object;

	if (__builtin_expect(percpu__cache_take(&cache->line, &object), 1))
		return object;
	object = percpu_cache_alloc_slow(cache);
	percpu__take_over(object);
	return object;
}

/* A word of the handle that stays as it is until the cache is destroyed; then its lists are closed as well. */
#define percpu__settled(cache, word) percpu__load_once(cache, offsetof(struct percpu_cache, word))

/*
 * percpu_cache_free - NULL is fine; errno is kept. What is no object of this cache in use prints one
 * line and aborts; a second free of an object at once if nothing was freed or sent home in between, and in
 * any case when the object goes back to its slab.
 * Context: MT-safe; not async-signal-safe.
 */
PERCPU__INLINE void percpu_cache_free(struct percpu_cache *cache, void *object)
{
	const uintptr_t address = (uintptr_t)object;
	const struct percpu__slab_id *slab =
		(const struct percpu__slab_id *)((const char *)cache->slabs + (address >> 10 & percpu__settled(cache, mask)));
	const uint64_t offset = address - slab->start, inverse = percpu__settled(cache, inverse);

	/* Not far from the slab's first object, and by a multiple of their size; whose slab it is, the list tells. */
	if (__builtin_expect(offset < PERCPU__SLAB_MAX && offset * inverse < inverse &&
				     percpu__cache_put(&cache->line, &slab->list, object),
			     1))
		return;
	percpu__hand_over(object);
	percpu_cache_free_slow(cache, object);
}

#ifdef __cplusplus
}
#endif
#endif
