/* SPDX-License-Identifier: MIT */
/* Pools: pool.c, trim.c, the list of pools in registry.c, and create.c. */
#ifndef PERCPU_POOLS_H
#define PERCPU_POOLS_H

#include "percpu/copies.h"

/*
 * The age of a pool's idle memory, and how much of it is due to go back (trim.c). Guarded by the
 * pool's lock. Times are those of percpu__now_ms.
 */
struct percpu__pool_age {
	uint64_t put_ms;        /* the last free that left idle memory */
	uint64_t epoch_ms;      /* start of the current epoch */
	size_t least_pages;     /* fewest idle pages in this epoch, without those that are due */
	size_t least_empty;     /* fewest chunks without a live area, likewise */
	size_t due_pages;       /* idle pages still to go back */
	size_t due_chunks;      /* empty chunks still to go back */
	size_t stuck_pages;     /* due pages that could not go back the last time */
	size_t nr_unseen;       /* chunks to visit before this epoch's search ends */
	uint32_t slot;          /* the next chunk to visit */
};

struct percpu_pool {
	struct percpu__lock lock;

	/* Immutable once other threads know the pool. */
	const char *name;
	bool huge, populate, node_policy;
	bool has_area_cache;              /* CPUs keep freed areas of this pool */
	const struct percpu__backing *backing;
	struct percpu__shared *shared;    /* the memfd of a published pool; NULL otherwise */
	size_t limit_granules;            /* SIZE_MAX: no limit */
	uint64_t epoch_ms;                /* half the decay; UINT64_MAX: memory does not age */
	size_t kept_pages;                /* idle pages that stay, whatever their age */

	/* Guarded by `lock`. Pages are 4 KiB pages of a unit, summed over all chunks. */
	struct percpu__chunk_index chunk_index;
	size_t idle_pages;                /* free and dirty */
	struct percpu__pool_age age;
	size_t live_pages;                /* hold a live area, or a part of one */
	size_t nr_empty;                  /* chunks without a live area */
	size_t nr_unplaced, nr_huge;      /* chunks */
	size_t purged_bytes;              /* given back so far */

	struct percpu_pool *next;         /* in the list of pools; registry lock */
	struct percpu__gone gone;         /* used by gone.c after the pool is destroyed */
};

/* ---- pool.c ---- */

/*
 * Initialises a zeroed pool that is in no list. attr: a complete one, which the caller has checked.
 * Returns: 0 or -ENOMEM.
 */
int percpu__pool_init(struct percpu_pool *pool, const char *name,
		      const struct percpu_pool_attr *attr, enum percpu__rank rank);

/* Releases what percpu__pool_init allocated. The pool has no chunks. */
void percpu__pool_fini(struct percpu_pool *pool);

/* Returns: the chunk in a slot of the pool's chunk index; NULL if the slot is vacant. */
static inline struct percpu__chunk *percpu__pool_chunk(const struct percpu_pool *pool,
						       uint32_t slot)
{
	return (struct percpu__chunk *)percpu__chunk_index_at(&pool->chunk_index, slot);
}

/* Returns: resident bytes of the metadata of the pool. Context: the pool's lock is held. */
size_t percpu__pool_bookkeeping_bytes(const struct percpu_pool *pool);

/*
 * percpu__pool_take - takes an area. *dirty is true if a copy may hold anything but zero: then the
 * caller calls percpu__pool_prepare after it has unlocked the pool.
 * Returns: true if *area was set; false if there is no memory, or the limit is reached.
 * Context: the pool's lock is held.
 */
bool percpu__pool_take(struct percpu_pool *pool, uint32_t granules, uint32_t align_granules,
		       struct percpu__area *area, bool *dirty);

/*
 * percpu__pool_put - puts the area of p back. Ends the process if another thread has just freed p.
 * Returns: true if the pool has idle memory, so that the caller calls percpu__trim_after_free.
 * Context: the pool's lock is held.
 */
bool percpu__pool_put(struct percpu_pool *pool, void __percpu *p);

/*
 * Verifies poison in dirty areas, if PERCPU_OPTIONS=check, and zeroes them.
 * areas: its contents are destroyed. Context: no lock is held.
 */
void percpu__pool_prepare(struct percpu__area *areas, unsigned nr);

/* Adds a chunk. Returns: false if there is no memory. Context: the pool's lock is held. */
bool percpu__pool_grow(struct percpu_pool *pool);

/*
 * percpu__pool_claim - makes granules [at, end) of a chunk one live area; frees areas that overlap
 * them.
 * percpu__pool_claimed - brings the chunk's page masks up to date after the last claim. Copies may
 * have been written below granule fresh.
 * Context of both: the pool's lock is held.
 */
void percpu__pool_claim(struct percpu_pool *pool, struct percpu__chunk *chunk, uint32_t at,
			uint32_t end);
void percpu__pool_claimed(struct percpu_pool *pool, struct percpu__chunk *chunk, uint32_t fresh);

/* As percpu__pool_take, but locks the pool and zeroes the area. Returns: NULL if it failed. */
void __percpu *percpu__pool_take_zeroed(struct percpu_pool *pool, uint32_t granules,
					uint32_t align_granules);

/* Removes an empty chunk from the pool and destroys it. Context: the pool's lock is held. */
void percpu__pool_drop(struct percpu_pool *pool, struct percpu__chunk *chunk);

/* Checks all invariants. Returns: true if they hold. Context: the pool's lock is held. */
bool percpu__pool_is_valid(const struct percpu_pool *pool);

/* ---- trim.c ---- */

/* Sets decay and kept pages of a new pool from its attributes and PERCPU_OPTIONS. */
void percpu__pool_age_init(struct percpu_pool *pool, const struct percpu_pool_attr *attr);

/* Purges some pages, or destroys one chunk, if any are due. Context: the pool's lock is held. */
void percpu__trim_after_free(struct percpu_pool *pool);

/* Frees a live area of any pool, but not into the area cache. Context: no lock is held. */
void percpu__pool_return(void __percpu *p);

/*
 * percpu__pools_age - gives back some idle memory of any pool, if that was not tried for a while.
 * now_ms: as percpu__now_ms returns it. Context: no lock is held.
 */
void percpu__pools_age(uint64_t now_ms);

/* Gives back all idle memory. Returns: bytes given back. Context: the pool's lock is held. */
size_t percpu__pool_trim(struct percpu_pool *pool);

/* ---- registry.c ---- */

/*
 * Returns: the pool that an address belongs to, even if it lies in a chunk of a published pool that
 * the owner process has made and this process does not know; NULL if there is none.
 * Context: takes the registry lock if the pagemap does not have the address.
 */
struct percpu_pool *percpu__pool_of(uintptr_t address);

/* Calls visit for every pool of the registry. Context: the registry lock is held. */
void percpu__pools_visit(void (*visit)(struct percpu_pool *pool, void *arg), void *arg);
void percpu__pools_lock(void);
void percpu__pools_unlock(void);
void percpu__pools_lock_for_fork(void);
void percpu__pools_unlock_after_fork(void);

/* Context of these three: the registry lock is held. */
void percpu__pools_enter(struct percpu_pool *pool);
void percpu__pools_remove(struct percpu_pool *pool);
bool percpu__pools_contain(const struct percpu_pool *pool);

/* ---- create.c ---- */

/*
 * Reads a struct of attributes, which begins with its size, of a program that was compiled with
 * another version of it. *attr holds the defaults, which a shorter struct keeps; a longer one must
 * have zeros behind the `known` bytes. least: the smallest size there ever was. given may be NULL.
 * Returns: true if the struct is valid.
 */
bool percpu__attr_read(const void *given, void *attr, size_t known, size_t least);

/*
 * Returns: the default pool, which the first call creates; NULL if there is no memory. Costs one
 * load once it exists.
 */
struct percpu_pool *percpu__pool_default(void);

/* Returns: pool, or the default pool if pool is NULL; NULL if there is no memory. */
struct percpu_pool *percpu__pool_or_default(struct percpu_pool *pool);

#endif
