/* SPDX-License-Identifier: MIT */
/* One copy of a cache: the magazine, depot, slabs and remote batches of one CPU. */
#ifndef PERCPU_CACHE_CPU_CACHE_H
#define PERCPU_CACHE_CPU_CACHE_H

#include "cache/cache.h"
#include "cache/free_list.h"
#include "topology/topology.h"

#define PERCPU__BATCH_MAX 31u

/* Objects of other CPUs that this CPU freed. */
struct percpu__remote_batch {
	struct percpu__stack head;
	void *slot[PERCPU__BATCH_MAX]; /* links */
};
_Static_assert(sizeof(struct percpu__remote_batch) == 256, "whole cache lines");

/* A list of slabs, last entered first. */
struct percpu__slab_list {
	struct percpu__slab *first, *last;
	size_t nr;
};

/* The age of a CPU cache's memory; times are those of percpu__now_ms. */
struct percpu__age {
	uint64_t used_ms;       /* last slow path of its CPU */
	uint64_t epoch_ms;      /* beginning of the epoch */
	size_t nr_least;        /* fewest empty slabs since then */
	uint64_t seen, seen_ms; /* state of magazine and batches, and since when */
};

struct percpu__cpu_cache {
	struct percpu__magazine magazine; /* critical sections of the CPU */
	/* Remote free list: place of the first link << PERCPU__REMOTE_BITS | number of links. */
	uint64_t remote __attribute__((aligned(64)));
	struct percpu__lock lock __attribute__((aligned(64))); /* protects what follows */
	struct percpu__free_list depot;
	struct percpu__slab_list partial, empty; /* slabs with some of their objects, with all */
	size_t nr_slabs;
	struct percpu__age age;
	uint64_t nr_flushed;                 /* objects taken from the magazine to flush it */
	uint64_t nr_drained;                 /* objects taken from it while it was stopped */
	uint64_t nr_refills, nr_remote_frees, nr_pushes; /* percpu_add */
	struct percpu__cpu_cache *next_used; /* immutable once ready */
	uint32_t copy;                       /* its number; immutable once ready */
	bool ready;                          /* cache lock; the release pairs with make_ready */
	struct percpu__remote_batch remote_batch[] __attribute__((aligned(64))); /* as magazine */
};
_Static_assert(offsetof(struct percpu__cpu_cache, magazine) == 0, "the inlines' per-CPU pointer");
_Static_assert(offsetof(struct percpu__cpu_cache, remote) % 64 == 0 &&
		       offsetof(struct percpu__cpu_cache, lock) ==
			       offsetof(struct percpu__cpu_cache, remote) + 64,
	       "cache lines of the owner, of the others, and the rest");

static inline size_t percpu__cpu_cache_bytes(unsigned nr_batches)
{
	return sizeof(struct percpu__cpu_cache) + nr_batches * sizeof(struct percpu__remote_batch);
}

/* Returns: the number of objects in a magazine with that word. */
static inline uint64_t percpu__magazine_nr(uint64_t word)
{
	return word % 65536;
}

static inline struct percpu__remote_batch __percpu *
percpu__remote_batch_for(struct percpu__cache *cache, unsigned owner_cpu)
{
	return &cache->cpu_caches->remote_batch[owner_cpu & (cache->nr_batches - 1u)];
}

/* Returns: true if critical sections run on the copy; false for the fallback copy. */
static inline bool percpu__has_sections(const struct percpu__cache *cache,
					const struct percpu__cpu_cache *cpu_cache)
{
	return cache->sections && cpu_cache->copy + 1 < percpu_abi.nr_copies;
}

/* The CPU cache that owns a slab; it became ready before the slab existed. */
static inline struct percpu__cpu_cache *percpu__owner_of(const struct percpu__slab *slab)
{
	return (struct percpu__cpu_cache *)(slab->magazine + PERCPU_STRIDE);
}

/* Returns: the node of a copy whose CPU runs or has run, or -1. */
static inline int percpu__copy_node(unsigned copy)
{
	if (!percpu__has_nodes() || copy + 1 >= percpu_abi.nr_copies)
		return -1;
	if (percpu__cpu_to_memory_node(copy) < 0)
		percpu__find_new_cpus(PERCPU__SYSFS, percpu_abi.nr_copies - 1);
	return percpu__cpu_to_memory_node(copy);
}

/* Returns: the copy of that number, made ready. Context: may take the cache lock. */
struct percpu__cpu_cache *percpu__cpu_cache_at(struct percpu__cache *cache, unsigned copy);

/*
 * Returns: the copy that the caller works on: its CPU's with a usable rseq area or with rseq off,
 * else the fallback copy. Context: may take the cache lock.
 */
struct percpu__cpu_cache *percpu__cpu_cache_here(struct percpu__cache *cache);

/* The locks of all ready copies. Context: cache lock held. */
void percpu__cpu_caches_lock(struct percpu__cache *cache);
void percpu__cpu_caches_unlock(struct percpu__cache *cache);
void percpu__cpu_caches_lock_for_fork(struct percpu__cache *cache);
void percpu__cpu_caches_unlock_after_fork(struct percpu__cache *cache);

/* Starts the copy's magazine and remote batches, if they are stopped. Context: no lock held. */
void percpu__magazine_start(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache);

/*
 * Stops all magazines and remote batches for critical sections that begin from now on;
 * percpu__magazines_stopped aborts those that began before. Context: cache lock held.
 */
void percpu__magazines_stop(struct percpu__cache *cache);

/*
 * Fences, so that no critical section acts on the state before percpu__magazines_stop or
 * percpu__remote_batches_set_limit. Context: cache lock held.
 * Returns: true if none does; false without fences.
 */
bool percpu__magazines_stopped(struct percpu__cache *cache);

/* Sets the limit of the copy's remote batches; 0 stops them. Context: cache lock held. */
void percpu__remote_batches_set_limit(struct percpu__cache *cache,
				      struct percpu__cpu_cache *cpu_cache, uint32_t limit);

/* Moves the objects of a magazine that no section can touch to list. Context: owner's lock held. */
void percpu__magazine_take_all(const struct percpu__cache *cache,
			       struct percpu__cpu_cache *cpu_cache, struct percpu__free_list *list);

/*
 * Abandons the objects in magazines: in a child whose parent could not stop them they may be torn.
 * Context: all locks held for a fork, in the child.
 */
void percpu__magazines_forget(struct percpu__cache *cache);

#endif
