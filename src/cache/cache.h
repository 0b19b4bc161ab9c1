/* SPDX-License-Identifier: MIT */
/*
 * The layer of object caches. Each file calls only files further down in this list:
 *
 *   unstated.c    create without a layout, for older programs
 *   handle.c      caches: create, shrink, destroy
 *   alloc.c       public entries of alloc and free, and the validation of freed pointers
 *   stats.c       statistics
 *   sweep.c       the search of all caches for memory that is no longer needed
 *   flow.c        movement of objects between the levels: refill, flush, trim, drain
 *   age.c         which empty slabs of a CPU cache are no longer needed
 *   invariants.c  the check that every free object is in exactly one place
 *   fork.c        locking around fork
 *   depot.c       the slabs behind a magazine
 *   remote.c      remote free lists and remote batches
 *   cpu_cache.c   what one CPU has of a cache, and whether its magazines are started
 *   registry.c    the list of all caches, and their handles
 *   slab.c        the objects of a slab
 *   check.c       PERCPU_OPTIONS=check, and the end of the process after misuse
 *   geometry.c    sizes and limits that follow from a cache's attributes
 *   arena.c       the address space of slabs, and their descriptors
 *   rcu.c         calls of liburcu flavours
 *
 * A free object is in exactly one place. It is named by its `link`, the address of a word in the
 * object or behind it; free lists are made of these words (free_list.h).
 *
 *	         alloc, free            full: flush half
 *	program <------------> magazine -----------------> depot <---------> slab <---> arena
 *	   |                   (array)  <---------------- (free    carve,
 *	   |                             empty: refill     list)   return
 *	   '--- remote free ---> remote batch ---> remote free list --^
 *	                           (array)
 *
 * Concurrency. "Owner's lock" is the lock of the CPU cache that owns the object or slab.
 *
 *	data                       accessed by                        serialised by
 *	magazine, remote batches   critical sections of their CPU     rseq
 *	magazine, remote batches   any thread, once stopped           no magazines, limit 0, fence
 *	magazines, limits          any thread                         cache lock
 *	remote free list           push: CAS; take: exchange          the word; a pusher holds the
 *	                                                              lock of its own copy, for fork
 *	depot, lists of slabs      any thread                         owner's lock
 *	slab descriptors           any thread that holds an object    a live object keeps its slab
 *
 * Ordering: the push of a free list (release) pairs with percpu__remote_take (acquire), so the
 * taker sees the links that the pusher wrote. Starting magazines (release) comes before the first
 * load of a critical section that sees it, of `magazines` or a limit, on which its other loads
 * depend. Everything else is handed over under a lock. Only its CPU writes a magazine's word and
 * slots; any CPU writes its limit, under the cache lock. The kernel orders a thread's migration.
 *
 * The remote free list is only pushed to and taken whole, so its CAS has no ABA problem.
 * Lock order: caches, cache, owner's, arena.
 */
#ifndef PERCPU_CACHE_LAYER_H
#define PERCPU_CACHE_LAYER_H

#include "cache/arena.h"
#include "ops/ops.h"
#include "percpu/percpu.h"
#include "platform/platform.h"

#include <percpu/cache.h>

#define PERCPU__LINE_BYTES 64u

enum percpu__cache_state { PERCPU__CACHE_VACANT, PERCPU__CACHE_LIVE, PERCPU__CACHE_DESTROYED };

struct percpu__cpu_cache;

/* A cache. Fields without a rule are immutable after creation. */
struct percpu__cache {
	struct percpu_cache pub;           /* read by inline operations */
	struct percpu__cpu_cache __percpu *cpu_caches;
	char *stopped_magazines;           /* per-CPU pointer: empty, with limit 0 */
	enum percpu__cache_state state;    /* caches lock */
	uint32_t flags;
	uint32_t object_bytes;             /* from one object to the next */
	uint32_t nr_per_slab;
	uint32_t magazine_limit;           /* objects, of a started magazine */
	uint32_t batch_limit, refill;      /* objects: of a started batch; carved at a time */
	uint32_t depot_limit;              /* objects: a depot of this many is trimmed */
	uint8_t order;                     /* of slabs */
	uint8_t nr_batches;                /* remote batches of each CPU; a power of two */
	bool check;                        /* PERCPU_OPTIONS=check */
	bool sections, remote_batches;     /* CPUs have magazines; CPUs have remote batches */
	bool inlines;                      /* programs may operate on the magazines */
	uint32_t id;                       /* 1 to arena.mask; in the tags of slabs */
	uint32_t link_bytes;               /* from an object to its link */
	uint32_t nr_packed;                /* words behind a link, up to PACKED_MAX */
	bool fences;                       /* can stop magazines; may become false; cache lock */
	uint64_t inverse;                  /* as pub.inverse, but never 0 */
	uint32_t zero_bytes;               /* of each allocated object */
	void (*ctor)(void *object);
	const struct rcu_flavor_struct *rcu;
	uint64_t nr_returned;              /* slabs given back; relaxed atomic */
	uint64_t nr_waiting;               /* slabs in a grace period, and ENDS_LAST; atomic */
	size_t kept_slabs;                 /* empty slabs that each CPU cache keeps */
	uint64_t epoch_ms;                 /* half the decay; UINT64_MAX: memory does not age */
	uint64_t aged_ms;                  /* time of the last complete sweep; relaxed atomic */
	struct percpu__lock lock;          /* limits, and used */
	struct percpu__cpu_cache *used;    /* ready copies; lock or acquire */
	struct percpu__cache *next;        /* caches lock */
	char name[40];
};
_Static_assert(sizeof(struct percpu__cache) <= 384, "most of the cost of an unused cache");

static inline struct percpu__cache *percpu__cache_of(struct percpu_cache *cache)
{
	return (struct percpu__cache *)cache;
}

/* Ends the process with a message about a pointer that was given to the cache, or found in it. */
_Noreturn void percpu__cache_fatal(const struct percpu__cache *cache, const char *call,
				   const void *pointer, enum percpu__fault fault)
	__attribute__((cold));

/* Returns: the cache of a handle. A destroyed one ends the process. */
static inline struct percpu__cache *percpu__live_cache(struct percpu_cache *handle,
						       const char *call)
{
	struct percpu__cache *cache = percpu__cache_of(handle);

	if (percpu__unlikely(cache->state != PERCPU__CACHE_LIVE))
		percpu__cache_fatal(cache, call, handle, PERCPU__FAULT_DESTROYED_CACHE);
	return cache;
}

/* The magazine of a copy, as critical sections compare it: its address less PERCPU_STRIDE. */
static inline char *percpu__magazine_of(const struct percpu__cache *cache, unsigned copy)
{
	return (char *)(uintptr_t)cache->cpu_caches + copy * PERCPU_STRIDE;
}

/* The number of the copy that owns a slab of the cache. */
static inline unsigned percpu__owner_cpu(const struct percpu__cache *cache,
					 const struct percpu__slab *slab)
{
	return (slab->magazine - (char *)(uintptr_t)cache->cpu_caches) / PERCPU_STRIDE;
}

/*
 * Returns: true if an object of the cache, used or free, begins at the address, from which nothing
 * is read.
 */
static inline bool percpu__is_object(const struct percpu__cache *cache, uintptr_t object)
{
	const uintptr_t number = object >> PERCPU__ARENA_UNIT_SHIFT;
	const struct percpu__slab *unit = percpu__slab_at(object);

	return __atomic_load_n(&unit->tag, __ATOMIC_RELAXED) == cache->id + number &&
	       object >= unit->start && (object - unit->start) * cache->inverse < cache->inverse;
}

static inline void *percpu__object_of(const struct percpu__cache *cache, void *link)
{
	return (char *)link - cache->link_bytes;
}

static inline void *percpu__link_of(const struct percpu__cache *cache, void *object)
{
	return (char *)object + cache->link_bytes;
}

#endif
